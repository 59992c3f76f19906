"""The mutants that cosmic-ray knows of services/ and gateway/: a sample of their places, and one mutant at each.

Runs in the tool's own environment, which has neither Django nor this project, and prints JSON for sampled.py:
`python -m tests.mutations.by_tool --sample 60 --seed 1 --only services/debts`.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from tests.mutations.silent import Position, silent_parts

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("services", "gateway")


@dataclass(frozen=True, slots=True)
class Mutant:
    """The `occurrence`-th position of the tool's `operator` in a file, whose text begins at `start`."""

    path: str
    operator: str
    occurrence: int
    start: Position
    end: Position

    @property
    def place(self) -> tuple[str, str, Position]:
        """`a + b` can become `a - b`, `a * b` and so on: one place, ten mutants."""
        kind = self.operator.partition("/")[2].partition("_")[0]
        return (self.path, kind, self.start)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sample", type=int, default=60)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="", help="files whose path has one of these in it, between commas")
    asked = options.parse_args()
    places: dict[tuple[str, str, Position], list[Mutant]] = {}
    for path in paths(asked.only.split(",")):
        for mutant in mutants(path):
            places.setdefault(mutant.place, []).append(mutant)
    dice = random.Random(asked.seed)
    order = sorted(places)
    dice.shuffle(order)
    chosen = []
    for place in order:
        if len(chosen) == asked.sample:
            break
        # Some of what the tool makes is no Python.
        made = ((mutant, text_of(mutant)) for mutant in shuffled(dice, places[place]))
        mutant, text = next(((mutant, text) for mutant, text in made if text), (None, ""))
        if mutant is not None:
            before = (ROOT / mutant.path).read_text()
            chosen.append({**asdict(mutant), "before": before, "text": text})
    json.dump({"places": len(places), "mutants": sum(map(len, places.values())), "chosen": chosen}, sys.stdout)
    return 0


def paths(only: list[str]) -> list[Path]:
    found = [path for room in ROOMS for path in sorted((ROOT / "src" / "checkout" / room).rglob("*.py"))]
    return [path for path in found if any(text in str(path) for text in only)]


def shuffled(dice: random.Random, mutants: list[Mutant]) -> list[Mutant]:
    return dice.sample(mutants, len(mutants))


def text_of(mutant: Mutant) -> str:
    """The whole file with the mutation in it; "" when that does not compile, or says the same."""
    source = (ROOT / mutant.path).read_text()
    try:
        text = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence) or source
        same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(source))
    except (SyntaxError, AttributeError):
        # The tool itself stumbles over `except` with a dotted name.
        return ""
    return "" if same else text


def mutants(path: Path) -> Iterator[Mutant]:
    """All of a file's, without those that nothing can tell from the original."""
    source = path.read_text()
    silent = silent_parts(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue
        positions = (position for node in nodes for position in operator().mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            if not any(first <= start < last for first, last in silent):
                yield Mutant(str(path.relative_to(ROOT)), name, occurrence, start, end)


if __name__ == "__main__":
    sys.exit(main())

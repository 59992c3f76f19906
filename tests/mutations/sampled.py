"""Break services/ and gateway/ where cosmic-ray says, by lot, and see that a test notices: `make mutants`.

The table (run.py) asks for each promise; this asks everywhere. For each mutant only the tests run that reach its line,
those first that are most about its file, and for a minute and a half as they were measured. Prints the score, and each
survivor as a diff. Exits 1 when one survives that tests/mutations/explained.py does not explain.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.explained import EXPLAINED
from tests.mutations.reached import NOT_HERE, Reached, on_postgres
from tests.mutations.run import LEFT_OUT, ROOT, rewrite

TOOL = ROOT / "var" / "mutants" / "tool" / "bin" / "python"
#: What starting pytest and the tables takes at most, on a busy machine.
START = 120
#: A test that takes so many seconds more than five times of what was measured does not end.
ENDLESS = 60


@dataclass(frozen=True, slots=True)
class Mutant:
    """`text` is the whole file with the tool's mutation in it, `before` as it was drawn; `line` where they differ.
    Whoever writes a test while the others run may change the file."""

    path: str
    line: int
    operator: str
    before: str
    text: str

    @property
    def diff(self) -> list[str]:
        """The lines that it takes away and those that it puts there."""
        lines = difflib.unified_diff(self.before.splitlines(), self.text.splitlines(), n=0)
        return [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]

    @property
    def explanation(self) -> str:
        """Why nothing can tell it from the original; "" when nobody has said so."""
        old, new = ([line[1:].strip() for line in self.diff if line[0] == sign] for sign in "-+")
        return EXPLAINED.get((self.path.removeprefix("src/checkout/"), "\n".join(old), "\n".join(new)), "")


@dataclass(frozen=True, slots=True)
class Result:
    """`verdict` is "killed", "explained", "SURVIVED", "UNREACHED" (by any test that was measured) or "BROKEN"."""

    mutant: Mutant
    verdict: str
    by: str
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.verdict in {"killed", "explained"}

    def __str__(self) -> str:
        where = f"{self.mutant.path.removeprefix('src/checkout/')}:{self.mutant.line}"
        return f"{self.verdict:9} {where:38} {self.mutant.operator:40} {self.seconds:4.0f} s  {self.by}"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sample", type=int, default=60, help="at so many places")
    options.add_argument("--seed", type=int, default=1, help="the same ones each time")
    options.add_argument("--only", default="", help="files whose path has one of these in it, between commas")
    options.add_argument("--seconds", type=float, default=90, help="of tests for each mutant, as they were measured")
    options.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 2))
    options.add_argument("--measure", action="store_true", help="see anew which tests reach which line")
    asked = options.parse_args()
    reached = Reached.up_to_date(anew=asked.measure)
    drawn = draw(asked.sample, asked.seed, asked.only)
    mutants = [
        Mutant(each["path"], each["start"][0], each["operator"], each["before"], each["text"])
        for each in drawn["chosen"]
    ]
    if not mutants:
        print(f"There is no place to break in a file with {asked.only!r} in its path.")
        return 1
    results = []
    with copies(asked.workers) as free, ThreadPoolExecutor(asked.workers) as pool:

        def work(mutant: Mutant) -> Result:
            tree = free.pop()
            try:
                return attempt(tree, mutant, reached, asked.seconds)
            finally:
                free.append(tree)

        for result in pool.map(work, mutants):
            results.append(result)
            print(result, flush=True)
            if not result.good:
                print("\n".join(f"    {line}" for line in result.mutant.diff), flush=True)
    number = Counter(result.verdict for result in results)
    others = ", ".join(f"{number[name]} {name}" for name in ("SURVIVED", "UNREACHED", "BROKEN") if number[name])
    print(
        f"Sampled {len(results)} of {drawn['places']} places (the tool has {drawn['mutants']} mutants of them): "
        f"{number['killed']} killed, {number['explained']} explained, {others or 'none survived'}."
    )
    return 0 if all(result.good for result in results) else 1


def draw(sample: int, seed: int, only: str) -> dict:
    command = [TOOL, "-m", "tests.mutations.by_tool", f"--sample={sample}", f"--seed={seed}", f"--only={only}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The tool failed:\n{done.stderr}")
    return json.loads(done.stdout)


@contextmanager
def copies(number: int) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(prefix="checkout-mutants-") as folder:
        trees = [Path(folder) / str(each) for each in range(number)]
        for tree in trees:
            shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        yield trees


def attempt(tree: Path, mutant: Mutant, reached: Reached, seconds: float) -> Result:
    """Break one copy, run the tests that reach the line, and mend it again."""
    if mutant.explanation:
        return Result(mutant, "explained", mutant.explanation)
    every = reached.by(mutant.path, mutant.line, mutant.before)
    if not every:
        return Result(mutant, "UNREACHED", "by any test that was measured")
    chosen, planned = [], 0.0
    for name in every:
        cost = reached.tests[name].seconds
        if not chosen or planned + cost <= seconds:
            chosen.append(name)
            planned += cost
    endless = ENDLESS + 5 * max(reached.tests[name].seconds for name in chosen)
    postgres = reached.tests[every[0]].postgres
    began = time.monotonic()
    path = tree / mutant.path
    text = path.read_text()
    rewrite(path, mutant.text)
    try:
        verdict, by = run_tests(tree, chosen, postgres=postgres, timeout=START + 5 * planned, endless=endless)
    finally:
        rewrite(path, text)
    by = by or f"{len(chosen)} of the {len(every)} tests that reach it"
    return Result(mutant, verdict, by, time.monotonic() - began)


def run_tests(
    tree: Path, tests: list[str], *, postgres: bool, timeout: float, endless: float = ENDLESS
) -> tuple[str, str]:
    """The verdict, and the first test that failed. `timeout` is for all of them, `endless` for one, in seconds."""
    (tree / "var").mkdir(exist_ok=True)
    listed = tree / "var" / "tests.txt"
    listed.write_text("\n".join(tests))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"@{listed}"]
    command += ["-o", f"faulthandler_timeout={endless:.0f}", "-o", "faulthandler_exit_on_timeout=true"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if postgres:
        command, environment = on_postgres(command, environment)
    else:
        command += ["-m", NOT_HERE]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return "killed", "(the tests did not end)"
    said = (done.stdout + done.stderr).strip().splitlines()
    failed = [line for line in said if line.startswith(("FAILED tests", "ERROR tests"))]
    if done.returncode == 0:
        return "SURVIVED", ""
    if failed:
        return "killed", failed[0].split(" - ")[0].rpartition("::")[2][:70] or failed[0][:70]
    if any(line.startswith("Timeout (") for line in said):
        return "killed", "(a test did not end)"
    # A module that cannot even be imported is noticed by whatever starts the app.
    if any("Error" in line for line in said):
        return "killed", "(nothing starts)"
    return "BROKEN", said[-1][:100] if said else ""


if __name__ == "__main__":
    sys.exit(main())

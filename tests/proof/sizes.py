"""The sizes of what `make proof` and `make crashes` have proved: a line for each flow, and their sums."""

from __future__ import annotations

import sys
from pathlib import Path


def note(path: str, flow: str, calls: int, cells: int) -> None:
    """Add a line, from whichever process the test ran in."""
    with Path(path).open("a", encoding="utf-8") as sizes:
        sizes.write(f"{flow}\t{calls}\t{cells}\n")


def table(text: str, *, of: str = "calls", proved: str = "cells") -> str:
    """From the lines that `note` has written: how many calls (or points) each flow has, and what was proved at them."""
    sums: dict[str, list[int]] = {}
    for line in text.splitlines():
        flow, calls, cells = line.split("\t")
        held = sums.setdefault(flow, [0, 0])
        held[0], held[1] = held[0] + int(calls), held[1] + int(cells)
    rows = [(flow, *sums[flow]) for flow in sorted(sums)]
    rows.append((f"{len(rows)} flows", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    return "\n".join(
        [
            f"{'flow':42} {of:>6} {proved:>6}",
            *(f"{name:42} {calls:6} {cells:6}" for name, calls, cells in rows),
        ]
    )


if __name__ == "__main__":
    path, *words = sys.argv[1:]
    print(table(Path(path).read_text(encoding="utf-8"), **dict(zip(("of", "proved"), words, strict=False))))

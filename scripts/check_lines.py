"""No line of a template, style sheet or script is longer than 120 characters: `python scripts/check_lines.py`.

For Python ruff sees to it. A changed cell is then a diff that can be read.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "emulator", "example_checkout", "tests")
SUFFIXES = {".css", ".html", ".js", ".mjs"}
NOT_OURS = {"node_modules", ".venv"}
LONGEST = 120


def too_long(root: Path) -> Iterator[str]:
    """`path:line: how long it is`, for each line that is too long."""
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in SUFFIXES):
        name = path.relative_to(root)
        if NOT_OURS.isdisjoint(name.parts):
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                if len(line) > LONGEST:
                    yield f"{name}:{number}: {len(line)} characters, and {LONGEST} are the most"


if __name__ == "__main__":
    complaints = list(too_long(ROOT))
    print("\n".join(complaints) or "No line is too long.")
    sys.exit(bool(complaints))

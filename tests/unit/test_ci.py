"""What is tried by the workflows is what README.md and pyproject.toml promise, no more and no less."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
MATRIX: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["strategy"][
    "matrix"
]


def promised(distribution: Path, what: str) -> list[str]:
    """The versions in the classifiers of a pyproject.toml."""
    classifiers = tomllib.loads((distribution / "pyproject.toml").read_text())["project"]["classifiers"]
    return [found[1] for one in classifiers if (found := re.fullmatch(rf"{what} :: (\d+\.\d+)", one))]


def in_readme(row: str) -> list[str]:
    """The versions in a row of README's table, without what stands in brackets."""
    line = re.search(rf"^\| {row} \| (.*?) *\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert line
    return re.findall(r"\d+\.\d+", re.sub(r"\(.*?\)", "", line[1]))


def test_every_python_that_is_promised_is_tried() -> None:
    assert MATRIX["python"] == promised(ROOT, "Programming Language :: Python") == in_readme("Python")
    assert MATRIX["python"] == promised(ROOT / "emulator", "Programming Language :: Python")


def test_every_django_that_is_promised_is_tried() -> None:
    assert MATRIX["django"] == promised(ROOT, "Framework :: Django") == in_readme("Django")


def test_only_pairs_that_django_does_not_support_are_left_out() -> None:
    left_out = {(pair["python"], pair["django"]) for pair in MATRIX["exclude"]}
    assert left_out == {("3.11", django) for django in MATRIX["django"] if django >= "6.0"}
    assert "(6.0 and 6.1 need Python 3.12)" in (ROOT / "README.md").read_text()


def test_a_release_builds_and_checks_what_ci_does() -> None:
    for workflow in ("ci.yml", "release.yml"):
        source = (ROOT / ".github/workflows" / workflow).read_text()
        assert {"make check", "make test"} <= set(re.findall(r"run: (make \w+)", source))

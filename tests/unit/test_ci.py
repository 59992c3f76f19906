"""What is tried by the workflows is what README.md and pyproject.toml promise, no more and no less."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos import test_life
from tests.proof import test_faults

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


@pytest.mark.parametrize("file", [".ci/run", ".github/workflows/ci.yml"])
def test_the_long_proofs_are_made_in_a_larger_part_than_the_suite_does(file: str) -> None:
    source = (ROOT / file).read_text()
    made = dict(re.findall(r"\bmake (proof|chaos) (.+)", source))
    proof, chaos = (dict(pair.split("=") for pair in made[target].split()) for target in ("proof", "chaos"))
    # Whatever the suite proves is proved there, too: a cell of 144 is one of 24.
    assert int(proof["PART"]) == 24
    assert test_faults.PART % int(proof["PART"]) == 0
    assert int(chaos["EXAMPLES"]) == 24 > test_life.EXAMPLES
    assert int(chaos["STEPS"]) == test_life.STEPS
    assert chaos["SAME"] == "1", "red means that a change did it"


@pytest.mark.parametrize("file", [".ci/run", ".github/workflows/ci.yml"])
def test_every_page_of_the_office_is_looked_at_where_the_suite_leaves_most_out(file: str) -> None:
    """`make pages` with no PART looks at each of them; scripts/pages.sh says so."""
    assert re.search(r"\bmake pages$", (ROOT / file).read_text(), re.MULTILINE)
    assert "PAGES_PART=${PART:-1} " in (ROOT / "scripts/pages.sh").read_text()
    source = (ROOT / "tests/browser/test_office_pages.py").read_text()
    assert 'os.environ.get("PAGES_PART", "6")' in source


def test_a_release_builds_and_checks_what_ci_does() -> None:
    for workflow in ("ci.yml", "release.yml"):
        source = (ROOT / ".github/workflows" / workflow).read_text()
        assert {"make check", "make test"} <= set(re.findall(r"run: (make \w+)", source))

"""What `make mutants` leaves out, which tests it chooses, and that its explanations follow the code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutations.explained import EXPLAINED
from tests.mutations.reached import Reached
from tests.mutations.sampled import run_tests
from tests.mutations.silent import silent_parts
from tests.mutations.statements import by_line

ROOT = Path(__file__).parent.parent.parent
CODE = """
from __future__ import annotations
log = logging.getLogger()
LEAST = 1 + 2
@cached
def late(day: int | None, *, most: int = 3 * 4) -> int | None:
    log.info("late by %s", day - 1)
    if (
        day
        and day > most
    ):
        return day - most
    return None
"""


def is_silent(text: str) -> bool:
    line = next(number for number, said in enumerate(CODE.splitlines(), start=1) if text in said)
    start = (line, CODE.splitlines()[line - 1].index(text))
    return any(first <= start < last for first, last in silent_parts(ast.parse(CODE)))


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        ("| None, *", True),
        ("*, most", True),
        ("3 * 4", False),
        ("| None:", True),
        ("- 1)", True),
        ("1 + 2", False),
        ("@cached", False),
        ("- most", False),
    ],
)
def test_a_mutation_is_left_out_where_nothing_runs(text: str, silent: bool) -> None:
    assert is_silent(text) is silent


def test_a_statement_is_known_again_when_lines_above_it_come_and_go() -> None:
    before, after = by_line(CODE), by_line("\n\n" + CODE)
    assert {line + 2: each for line, each in before.items()} == after
    assert (before[5].key, before[6].key) == (
        "late: def late(day: int | None, *, most: int = 3 * 4) -> int | None:",
    ) * 2
    assert [before[line].key for line in (8, 10, 12)] == ["late: if (", "late: if (", "late: return day - most"]


def test_the_tests_that_are_most_about_a_file_come_first_and_those_on_postgresql_only_alone() -> None:
    path = "src/checkout/services/hooks.py"
    lines = by_line((ROOT / path).read_text())
    line, statement = next((line, each) for line, each in lines.items() if each.text.startswith("return"))
    tests = {"wide": (1, False), "narrow": (9, False), "races": (1, True)}
    elsewhere = {"src/checkout/services/debts.py": {"of: return debt": ["wide"]}}
    every = Reached({"tests": tests, "by_file": {path: {statement.key: [*tests]}, **elsewhere}})
    assert every.by(path, line) == ["narrow", "wide"]
    races = Reached({"tests": tests, "by_file": {path: {statement.key: ["races"]}, **elsewhere}})
    assert races.by(path, line) == ["races"]


def test_the_field_of_a_class_is_reached_by_whatever_reaches_the_class_or_makes_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs before any test does."""
    said = "class Day:\n    late: bool = False\n\n    def __str__(self):\n        return str(self.late)\n"
    monkeypatch.setattr(Path, "read_text", lambda path: said)
    tests = {"shown": (1, False), "made": (1, False), "other": (1, False)}
    kept = {"Day: late: bool = False": [], "Day.__str__: return str(self.late)": ["shown"], "other: pass": ["other"]}
    reached = Reached({"tests": tests, "by_file": {"days.py": kept}})
    assert reached.by("days.py", 2) == ["shown"]
    kept = {"Day: late: bool = False": [], "monday: return Day(": ["made"], "other: pass": ["other"]}
    assert Reached({"tests": tests, "by_file": {"days.py": kept}}).by("days.py", 2) == ["made"]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        # What a test says that notices nothing.
        ("pass", ("SURVIVED", "")),
        ("assert False", ("killed", "test_it")),
        ("while True: pass", ("killed", "(a test did not end)")),
    ],
)
def test_a_test_that_fails_or_does_not_end_has_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, verdict: tuple[str, str]
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -ra -p no:django\n")
    (tmp_path / "tests" / "test_one.py").write_text(f"def test_it():\n    {code}\n")
    assert run_tests(tmp_path, ["tests/test_one.py"], postgres=False, timeout=60, endless=1) == verdict


@pytest.mark.parametrize(("path", "old", "new"), EXPLAINED)
def test_a_line_that_is_explained_stands_there_still(path: str, old: str, new: str) -> None:
    lines = [line.strip() for line in (ROOT / "src" / "checkout" / path).read_text().splitlines()]
    assert old.splitlines()[0] in lines
    assert old != new
    assert EXPLAINED[path, old, new].endswith(".")

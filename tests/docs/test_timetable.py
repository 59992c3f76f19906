"""The documents, help texts and docstrings say of each job what the timetable says, or nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import load_command_class

from checkout import tasks
from checkout.timetable import JOBS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OPERATIONS = ROOT / "docs" / "operations.md"
JOBS_BY_NAME = {job.name: job for job in JOBS}
FREQUENCY = re.compile(
    r"\b(?:hourly|daily|nightly|weekly|every (?:few |\d+ |other )?(?:minutes?|hours?|days?|night|morning)"
    r"|once an? (?:minute|hour|day)|each (?:hour|day|night|morning))\b"
)


def crontab() -> list[tuple[str, str]]:
    """The five fields and the command of each line."""
    [block] = re.findall(r"```cron\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    found = [re.fullmatch(r"((?:\S+ +){4}\S+) +manage\.py (\w+).*", line) for line in block.splitlines()]
    assert all(found), "each line is five fields and a command"
    return [(" ".join(match[1].split()), match[2]) for match in found if match]


def test_the_crontab_is_the_timetable_and_the_doctor() -> None:
    assert sorted(crontab()) == sorted([*((job.cron, job.name) for job in JOBS), ("0 * * * *", "checkout_doctor")])


def frequencies(text: str) -> Iterator[tuple[str, str]]:
    """(job, how often) for each sentence, list item or table row that names a job and says how often something is."""
    for sentence in re.split(r"(?<=[.:;?!])\s|\n\n|\n(?=[-|\d])", text):
        for name in JOBS_BY_NAME:
            if re.search(rf"\b{name}\b", sentence):
                for found in FREQUENCY.findall(sentence):
                    yield name, found


def test_frequencies_are_found() -> None:
    text = "Run `process_payments` hourly, or every few minutes. Not every 5 minutes.\n| `reconcile` | daily |\n"
    assert list(frequencies(text)) == [
        ("process_payments", "hourly"),
        ("process_payments", "every few minutes"),
        ("reconcile", "daily"),
    ]


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_how_often_a_job_runs_is_what_the_timetable_says(document: Path) -> None:
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    wrapped = re.sub(r"(?<=[^\n])\n(?=[a-z`])", " ", prose)
    for name, said in frequencies(wrapped):
        assert said == JOBS_BY_NAME[name].how_often, (name, said)


def test_pay_on_session_says_how_often_its_jobs_run() -> None:
    told = set(frequencies((ROOT / "docs" / "pay-on-session.md").read_text()))
    names = ("send_on_session_payment_emails", "send_queued_mail", "payment_intent_on_session_fulfillment")
    assert {(name, JOBS_BY_NAME[name].how_often) for name in names} <= told


@pytest.mark.parametrize("name", sorted({job.name for job in JOBS} - {"send_queued_mail"}))
def test_no_help_text_says_how_often(name: str) -> None:
    assert not FREQUENCY.findall(load_command_class("checkout", name).help)


def test_no_docstring_of_a_task_says_how_often() -> None:
    for node in ast.walk(ast.parse(Path(tasks.__file__).read_text())):
        if isinstance(node, ast.FunctionDef):
            assert not FREQUENCY.findall(ast.get_docstring(node) or ""), node.name

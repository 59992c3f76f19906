"""docs/runbook.md has an entry for everything that the doctor may say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout.services import doctor

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()


def messages() -> Iterator[str]:
    """The longest fixed piece of each text that a finding may carry, read from the doctor's source."""
    modules = Path(doctor.__file__).parent.glob("*.py")
    for node in (node for module in modules for node in ast.walk(ast.parse(module.read_text()))):
        match node:
            case ast.Call(func=ast.Name(id="Finding"), args=[_, _, text, *_]):
                yield from map(longest_piece, translated(text))
            case ast.Assign(targets=[ast.Name(id="message")], value=text):
                yield from map(longest_piece, translated(text))
            case ast.Assign(targets=[ast.Tuple(elts=[_, ast.Name(id="message")])], value=ast.Tuple(elts=[_, text])):
                yield from map(longest_piece, translated(text))


def translated(value: ast.expr) -> Iterator[str]:
    """What goes through gettext; of texts for one and for many, the latter."""
    for node in ast.walk(value):
        match node:
            case ast.Call(func=ast.Name(id="_"), args=[ast.Constant(value=str(text))]):
                yield text
            case ast.Call(func=ast.Name(id="ngettext"), args=[_, ast.Constant(value=str(text)), _]):
                yield text


def longest_piece(text: str) -> str:
    return max(re.split(r"%\(\w+\)[ds]", text), key=len).strip(" .,:()")


SAID = sorted(set(messages()) - {"no problems found"})


def test_the_doctor_says_many_things() -> None:
    assert len(SAID) > 30


@pytest.mark.parametrize("words", SAID)
def test_each_thing_has_an_entry(words: str) -> None:
    assert words in RUNBOOK


@pytest.mark.parametrize("check", doctor.CHECKS)
def test_each_check_has_a_section(check: str) -> None:
    assert re.search(rf"^## {check}$", RUNBOOK, re.MULTILINE)

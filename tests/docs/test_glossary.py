"""docs/glossary.md gives each word once, in order, and names things that exist."""

from __future__ import annotations

import re
from pathlib import Path

from django.core.management import get_commands

from checkout import conf, contract, models, states
from tests.docs.test_documents import importable

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.*?) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)


def test_every_word_stands_once_and_in_order() -> None:
    words = [word.strip("`").lower() for word, _, _ in ROWS]
    assert len(words) >= 20
    assert words == sorted(words)
    # `request`, the state, and a request for money are the one pair that shares a word; each says which it is.
    assert len({word.split(" ")[0] for word in words}) == len(words) - 1


def test_what_a_word_points_at_exists() -> None:
    known = {*vars(models), *conf.DEFAULTS, *get_commands(), *vars(contract.ContentObject), *states.STATES}
    for word, meaning, where in ROWS:
        for name in re.findall(r"`([^`]+)`", f"{meaning} {where}"):
            is_file = "/" in name and (ROOT / "src" / "checkout" / name).is_file()
            assert is_file or name in known or importable(name) or name == "fulfillment", (word, name)


def test_readers_are_sent_here() -> None:
    assert "(glossary.md)" in (ROOT / "docs" / "index.md").read_text()
    for page in ("README.md", "CONTRIBUTING.md"):
        assert "(docs/glossary.md)" in (ROOT / page).read_text()

"""The table of mutations follows the code: `make mutate` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations.table import MUTATIONS, Mutation

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_text_that_it_breaks_stands_there_once(mutation: Mutation) -> None:
    text = (ROOT / "src" / "checkout" / mutation.path).read_text()
    assert text.count(mutation.old) == 1
    assert mutation.new not in text or mutation.new in mutation.old or not mutation.new.strip()
    compile(text.replace(mutation.old, mutation.new), mutation.path, "exec")
    for test in mutation.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists(), test
        assert not name or f"def {name}(" in (ROOT / path).read_text(), test


def test_every_promise_is_broken_once_at_least() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(range(1, 12))

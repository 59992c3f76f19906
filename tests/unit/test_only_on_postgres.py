"""Nothing that PostgreSQL has to show is left out because its file is not looked into."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import only_on_postgres

HOME = Path(only_on_postgres.__file__).parent
ROOT = HOME.parent


@pytest.mark.parametrize("name", ["services/test_runs.py", "services/test_inbox.py", "postgres/test_senders.py"])
def test_a_file_that_moves_money_or_has_the_mark_is_read(name: str) -> None:
    assert (HOME / name).exists()
    assert only_on_postgres.pytest_ignore_collect(HOME / name) is None


def test_a_file_without_it_is_not() -> None:
    assert only_on_postgres.pytest_ignore_collect(HOME / "unit" / "test_money.py")
    assert only_on_postgres.pytest_ignore_collect(HOME / "unit") is None, "a folder may hold one that has"


def test_one_conftest_alone_gives_the_mark_to_others() -> None:
    """A mark that comes from elsewhere stands in no file of tests, and would be missed there."""
    found = [path for folder in ("tests", "emulator/tests") for path in (ROOT / folder).rglob("*.py")]
    givers = [
        path.relative_to(ROOT).as_posix()
        for path in found
        if not path.name.startswith("test_") and "mark.postgres" in path.read_text()
    ]
    assert givers == ["tests/postgres/conftest.py"]

"""A pytest plugin (`-p tests.only_on_postgres`): keep what PostgreSQL has to show, leave out the rest.

Kept are tests marked `postgres`, and the services that move money or race for it, where the databases' locks,
constraints and decimals differ. The other services run on SQLite alone, so that the whole suite stays short;
`ALL_SERVICES=1` keeps them too.
"""

import os
from pathlib import Path

import pytest

HOME = Path(__file__).parent
SERVICES = HOME / "services"
FUZZ = HOME / "fuzz"
MONEY = {
    "test_on_session.py",
    "test_one_off.py",
    "test_plans.py",
    "test_reconcile.py",
    "test_refunds.py",
    "test_runs.py",
    "test_stale_objects.py",
}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Not even imported is what says nothing of PostgreSQL and moves no money: that saves each process some seconds."""
    if collection_path.name.startswith("test_") and not _moves_money(collection_path):
        return None if _speaks_of_it(collection_path) else True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if item.get_closest_marker("postgres") or _moves_money(item.path)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _speaks_of_it(path: Path) -> bool:
    """A file of tests that are marked has the mark in it, or lies where all are marked by a conftest.py."""
    return path.parent == HOME / "postgres" or "postgres" in path.read_text()


def _moves_money(path: Path) -> bool:
    # Odd input is refused by the databases in different ways.
    if path.is_relative_to(FUZZ) or path.name == "test_odd_input.py":
        return True
    return path.is_relative_to(SERVICES) and (path.name in MONEY or bool(os.environ.get("ALL_SERVICES")))

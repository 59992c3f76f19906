"""A pytest plugin (`-p tests.only_on_postgres`): keep what PostgreSQL has to show, leave out the rest.

Kept are tests marked `postgres`, and all of tests/services, where the databases' differences would show.
"""

from pathlib import Path

import pytest

SERVICES = Path(__file__).parent / "services"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if item.get_closest_marker("postgres") or item.path.is_relative_to(SERVICES)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept

"""What every test may use: an emulator under the real SDK, makers of rows, counters of queries."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.db.models.signals import pre_save
from django.test import TransactionTestCase
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from hypothesis import HealthCheck, settings

from checkout.logs import extras
from stripe_emulator import Clock, Emulator
from tests import emptied, migrated

# Playwright's synchronous API, which the emulator's tests use too, keeps an event loop running in its worker's main
# thread; Django then takes every later test there for asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_configure() -> None:
    """Give each process of pytest-xdist a Redis database of its own, as pytest-django gives it an SQL one.

    Otherwise the Celery workers of one test would take the messages of another that runs beside it.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and (url := os.environ.get("REDIS_URL")):
        parts = urlsplit(url)
        os.environ["REDIS_URL"] = parts._replace(path=f"/{int(parts.path.strip('/') or 0) + int(worker)}").geturl()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_use_migrations: bool, django_db_blocker: Any
) -> Iterator[None]:
    """pytest-django makes the databases after this, from tables that were made once, and removes them before."""
    if not django_db_use_migrations:
        yield
        return
    copied = migrated.Copied()
    yield
    with django_db_blocker.unblock():
        copied.undo()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any, django_db_use_migrations: bool) -> Iterator[None]:
    """Once the databases are there."""
    if not django_db_use_migrations:
        yield
        return
    with django_db_blocker.unblock():
        emptied.remember()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransactionTestCase, "_fixture_teardown", emptied.after_a_test)
        yield


@pytest.fixture(autouse=True)
def in_the_sites_language() -> Iterator[None]:
    """LocaleMiddleware leaves the language of the last request active."""
    yield
    translation.deactivate()


#: What no line of ours may hold at INFO or above.
PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+|_secret_|\b[sr]k_(?:test|live)_\w+|whsec_")


#: What no line of ours may hold at INFO or above, whoever is in the rows of a test: names are looked for as they were
#: saved there.
NAMED = {"name", "company_name", "contact_name", "payer"}
#: Shorter ones are part of other words, and a test that makes thousands has them all alike.
SHORTEST, MOST_NAMES = 3, 200


class Listener(logging.Handler):
    """Keeps the lines that hold something personal or secret."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[str] = []
        self.lines: list[str] = []
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.name} {record.getMessage()} {json.dumps(extras(record), default=str, ensure_ascii=False)}"
        self.lines.append(line)
        if PERSONAL.search(line):
            self.found.append(line)

    def saved(self, instance: Any, **kwargs: Any) -> None:
        """A row of a payer is about to be saved: whatever name it has is not to be read in the log."""
        if instance._meta.model_name in {"checkout", "checkoutadditional", "contact", "customer", "membership"}:
            for column in NAMED & instance.__dict__.keys():
                name = str(instance.__dict__[column]).partition(" <")[0].strip()
                if len(name) >= SHORTEST and len(self.names) < MOST_NAMES:
                    self.names.add(name)

    def named(self) -> list[str]:
        text = "\n".join(self.lines)
        return [name for name in self.names if name in text and re.search(rf"\b{re.escape(name)}\b", text)]


@pytest.fixture(autouse=True)
def nothing_personal_in_the_log() -> Iterator[None]:
    """Whatever a test does, the lines that the app writes hold no payer's name or address, no key and no secret."""
    logger, listener = logging.getLogger("checkout"), Listener()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    pre_save.connect(listener.saved)
    yield
    pre_save.disconnect(listener.saved)
    logger.removeHandler(listener)
    logger.setLevel(before)
    assert listener.found == []
    assert listener.named() == []


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """What one test counted there is nothing to the next."""
    cache.clear()


@pytest.fixture
def emulator(settings: Any, request: pytest.FixtureRequest) -> Emulator:
    """A Stripe of its own for one test, in process, under the real SDK."""
    made = Emulator(seed=1, clock=Clock())
    if folder := os.environ.get("CHECKOUT_REQUEST_LOG"):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        Path(folder).mkdir(parents=True, exist_ok=True)
        made.request_log_path = Path(folder) / f"{worker}.jsonl"
    settings.CHECKOUT_STRIPE_HTTP_CLIENT = made.transport
    return made


@pytest.fixture
def payer(db: None) -> Any:
    return get_user_model().objects.create_user("payer", "payer@example.com", "payer")


@pytest.fixture
def other_payer(db: None) -> Any:
    return get_user_model().objects.create_user("other", "other@example.com", "other")


@pytest.fixture
def staff(db: None) -> Any:
    return get_user_model().objects.create_user("staff", "staff@example.com", "staff", is_staff=True)


@pytest.fixture
def membership(db: None) -> Any:
    from tests.host.models import Membership

    # Always the same, so that what was made for it once may be put there again (tests/kept.py).
    return Membership.objects.create(pk=UUID(int=1))


@pytest.fixture
def count_queries() -> Callable[[Callable[[], Any]], int]:
    """`count_queries(function)`: how many queries it made."""

    def count(function: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as captured:
            function()
        return len(captured)

    return count

"""After a PostgreSQL that was restored from a backup, nothing is taken twice, and what Stripe took is in the books."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
import time_machine
from django.db import connection, connections

from checkout import clock
from checkout.models import ObjectPaymentPlanInstalment, Posting, Problem
from checkout.services import booking, runs
from stripe_emulator import Emulator
from tests.postgres.conftest import fill_with_due

pytestmark = pytest.mark.django_db(transaction=True)

DUE = 20


@pytest.fixture
def backup() -> Iterator[Callable[[], Callable[[], None]]]:
    """`restore = backup()` copies the whole database now; `restore()` puts the copy in its place."""
    database = str(connection.settings_dict["NAME"])
    copy = f"{database}_backup"

    def run(*statements: str) -> None:
        # A database is copied only while nobody is connected to it.
        connections.close_all()
        parameters = connection.get_connection_params() | {"dbname": "postgres"}
        known = {
            name: value for name, value in parameters.items() if name in ("dbname", "host", "port", "user", "password")
        }
        with psycopg.connect(**known, autocommit=True) as server:
            for statement in statements:
                server.execute(statement)  # type: ignore[arg-type]

    def make() -> Callable[[], None]:
        run(f'CREATE DATABASE "{copy}" TEMPLATE "{database}"')

        def restore() -> None:
            run(f'DROP DATABASE "{database}"', f'CREATE DATABASE "{database}" TEMPLATE "{copy}"')

        return restore

    yield make
    run(f'DROP DATABASE IF EXISTS "{copy}"')


@pytest.mark.parametrize("hours", [1, 49])
def test_a_run_after_a_restore_takes_nothing_again(
    emulator: Emulator, backup: Callable[[], Callable[[], None]], hours: int
) -> None:
    fill_with_due(emulator, DUE)
    restore = backup()
    runs.process_payments(workers=4)
    assert emulator.ledger.taken_minor() == DUE * 1000
    restore()
    assert not Posting.objects.filter(kind="taken").exists()
    emulator.clock.advance(hours=hours)
    with time_machine.travel(clock.now() + timedelta(hours=hours)):
        runs.process_payments(workers=4)
    assert emulator.ledger.taken_minor() == DUE * 1000
    assert Posting.objects.filter(kind="taken", amount=10).count() == DUE
    assert set(ObjectPaymentPlanInstalment.objects.filter(deposit=False).values_list("state", flat=True)) == {"success"}
    assert not booking.wrong_counters()
    assert not Problem.objects.exists()

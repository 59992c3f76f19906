"""Runs that race and runs that are killed: each instalment is charged exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from checkout import clock, states
from checkout.models import Checkout, ObjectPaymentPlanInstalment, StateChange
from checkout.services import reconcile, runs
from stripe_emulator import Emulator
from stripe_emulator.server import serve_in_thread
from tests.postgres.conftest import FillDue, in_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def assert_each_charged_once(emulator: Emulator, instalments: list[ObjectPaymentPlanInstalment]) -> None:
    rows = ObjectPaymentPlanInstalment.objects.filter(pk__in=[row.pk for row in instalments])
    assert {row.state_id for row in rows} == {states.SUCCESS}
    for row in rows.select_related("object_payment_plan__customer"):
        customer = row.object_payment_plan.customer
        assert customer is not None
        assert emulator.ledger.taken_minor(customer=customer.saved_cards.get().stripe_customer_id) == 1000
    successes = StateChange.objects.filter(instalment__in=rows, to_state=states.SUCCESS)
    assert successes.count() == len(instalments)
    assert Checkout.objects.success().count() == len(instalments)


def test_eight_runs_over_five_hundred_due(emulator: Emulator, fill_due: FillDue, settings: Any) -> None:
    settings.CHECKOUT_RATE_LIMIT = 10_000
    due = fill_due(500)
    with ThreadPoolExecutor(8) as pool:
        started = [pool.submit(in_thread(lambda: runs.process_payments(workers=2))) for _ in range(8)]
        counts = [runs.counts(run.result()) for run in started]
    assert sum(count.get("charged", 0) for count in counts) == 500
    assert_each_charged_once(emulator, due)


@pytest.mark.parametrize("after_requests", [1, 12, 45])
def test_a_run_that_is_killed_and_started_again(
    emulator: Emulator, fill_due: FillDue, settings: Any, after_requests: int
) -> None:
    settings.CHECKOUT_RATE_LIMIT = 10_000
    due = fill_due(60)
    with serve_in_thread(emulator) as base:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.postgres.worker_settings",
            "CHECKOUT_TEST_DATABASE": str(connection.settings_dict["NAME"]),
            "CHECKOUT_TEST_EMULATOR": base,
        }
        before = len(emulator.requests)
        run = subprocess.Popen([sys.executable, "manage.py", "process_payments", "--workers", "4"], env=environment)
        deadline = time.monotonic() + 60
        while len(emulator.requests) < before + after_requests and run.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert run.returncode == -signal.SIGKILL
    left = Checkout.objects.filter(state_id=states.REQUEST)
    # The lease of what the killed run had claimed runs out; then the next run finds out and goes on.
    left.update(lease_until=clock.now() - timedelta(seconds=1))
    runs.process_payments(workers=4)
    assert not reconcile.overdue().exists()
    assert_each_charged_once(emulator, due)

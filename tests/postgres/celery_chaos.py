"""A payment run by real Celery workers that are killed in the middle, in bad weather; for a test and a benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from django.db import connection
from django.db.models import F

from checkout import clock, states
from checkout.conf import conf
from checkout.models import Checkout, ObjectPaymentPlanInstalment, PaymentRun
from checkout.services import audit, fan_out, reconcile, runs, tallies
from stripe_emulator import Emulator, faults
from stripe_emulator.server import serve_in_thread
from tests.postgres.conftest import fill_with_due

ROOT = Path(__file__).parents[2]
CHARGES = r"POST /v1/payment_intents$"
#: After so many seconds a message that a killed worker had taken may be given to another.
VISIBILITY_SECONDS = 1


@dataclass
class Workers:
    """Celery worker processes: the real thing, by the example's application."""

    environment: dict[str, str]
    concurrency: int = 2
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, count: int) -> None:
        for _ in range(count):
            command = [sys.executable, "-m", "celery", "-A", "example_checkout", "worker", "--loglevel", "error"]
            command += ["--concurrency", str(self.concurrency), "--without-gossip", "--without-mingle"]
            command += ["--hostname", f"worker-{time.monotonic_ns()}@%h"]
            # A group of its own, so that a kill takes the parent and its children as a machine that fails would.
            self.running.append(subprocess.Popen(command, env=self.environment, cwd=ROOT, start_new_session=True))

    def kill(self) -> None:
        for worker in self.running:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        self.running.clear()


@contextmanager
def celery_workers(emulator_url: str, concurrency: int = 2) -> Iterator[tuple[Workers, Celery]]:
    """Workers on this test's database, and an application that sends them messages."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.postgres.celery_settings",
        "CHECKOUT_TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "CHECKOUT_TEST_EMULATOR": emulator_url,
        "CHECKOUT_TEST_VISIBILITY": str(VISIBILITY_SECONDS),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
    }
    sender = Celery("sender", broker=os.environ["REDIS_URL"], set_as_current=False)
    sender.conf.task_ignore_result = True
    empty_broker(sender)
    workers = Workers(dict(environment), concurrency)
    try:
        yield workers, sender
    finally:
        workers.kill()
        sender.close()


def empty_broker(sender: Celery) -> None:
    """Every message is lost, those that workers had taken included."""
    with sender.connection_for_write() as broker:
        broker.default_channel.client.flushdb()


def wait_for(what: Callable[[], Any], seconds: float, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(f"{why} took more than {seconds} seconds")
        time.sleep(0.02)


@dataclass
class Figures:
    """What happened."""

    instalments: int = 0
    kills: list[int] = field(default_factory=list)
    requests: int = 0
    lost: int = 0
    handed_out_again: int = 0
    unknown_before_reconcile: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def chaos(emulator: Emulator, count: int, *, kill_after: list[int], chunk: int) -> Figures:
    """`count` instalments are due; both workers are killed whenever so many charges have come, and started again. With
    the last of them the broker loses its messages.

    Afterwards each is charged exactly once, the run adds up, and an audit finds nothing.
    """
    figures = Figures(count, kill_after)
    due = fill_with_due(emulator, count)
    weather = emulator.weather
    for fault in (faults.LostBefore(), faults.LostAfter(), faults.Status(500), faults.Status(500, after=True)):
        weather.add(fault, path=CHARGES, times=None, probability=0.025)
    begun = len(emulator.requests)
    started = time.monotonic()
    with serve_in_thread(emulator) as base, celery_workers(base) as (workers, sender):
        workers.environment["CHECKOUT_TEST_CHUNK"] = str(chunk)
        workers.start(2)
        sender.send_task("checkout.tasks.process_payments")
        for charges in kill_after:
            wait_for(lambda at=charges: len(emulator.requests) - begun >= at, 60, f"charge {charges}")
            workers.kill()
            if charges != kill_after[-1]:
                workers.start(2)
        empty_broker(sender)
        figures.handed_out_again = _planned()
        _grow_old()
        workers.start(2)
        sender.send_task("checkout.tasks.reconcile")
        wait_for(lambda: _planned() == 0, 120, "what nobody took")
        figures.unknown_before_reconcile = Checkout.objects.filter(state_id=states.REQUEST).count()
        for _ in range(20):
            Checkout.objects.filter(state_id=states.REQUEST).update(lease_until=clock.now() - timedelta(seconds=1))
            if not reconcile.overdue().exists():
                break
            sender.send_task("checkout.tasks.reconcile")
            wait_for(lambda: not reconcile.overdue().exists(), 60, "reconcile")
        workers.kill()
    figures.seconds = time.monotonic() - started
    weather.clear()
    run = PaymentRun.objects.get()
    # What the next reconcile does once the run is older than a lease.
    tallies.follow_up([run.pk])
    run.refresh_from_db()
    figures.outcomes = runs.counts(run)
    figures.requests = len(emulator.requests) - begun
    figures.lost = sum(request.status in (None, 500) for request in list(emulator.requests)[begun:])
    _assert_right(emulator, due, run, figures)
    return figures


def _planned() -> int:
    return fan_out.planned(PaymentRun.objects.get().pk).count()


def _grow_old() -> None:
    """Let the run and its attempts be older than a lease."""
    earlier = timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES + 1)
    PaymentRun.objects.update(started_at=F("started_at") - earlier)
    Checkout.objects.update(created_at=F("created_at") - earlier)


def _assert_right(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment], run: PaymentRun, figures: Figures
) -> None:
    rows = ObjectPaymentPlanInstalment.objects.filter(pk__in=[row.pk for row in due])
    assert dict.fromkeys(rows.values_list("state", flat=True)) == {"success": None}
    taken = {}
    for charge in emulator.ledger.charges(succeeded=True):
        taken[charge["customer"]] = taken.get(charge["customer"], 0) + charge["amount_captured"]
    assert len(taken) == len(due)
    assert set(taken.values()) == {1000}, "each exactly once"
    assert figures.outcomes == {"charged": len(due)}, "one run that adds up"
    assert run.finished_at is not None
    assert audit.audit_failed_checkouts().wrong == 0

"""A payment run that many workers share: planned as one, charged in chunks, ended by whoever finishes last.

What is planned stands in the run's items, not in a queue, so a lost or doubled message changes nothing: a chunk that
comes twice finds its items taken, and one that never comes is found by `left_over`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from checkout import clock
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.models import ObjectPaymentPlanInstalment, PaymentRun, PaymentRunItem
from checkout.services import look_back, recovery, releases, runs, tallies, unpaid

logger = logging.getLogger("checkout.runs")

Outcome = PaymentRunItem.Outcome


@dataclass(frozen=True, slots=True)
class Chunk:
    """Items of a run, by primary key, both ends included."""

    run_pk: int
    first: int
    last: int


def plan(user: Actor = None) -> tuple[PaymentRun, list[Chunk]]:
    """Begin a run over everything that is due, or go on with one that was cut short today; what there is to charge.

    What needs a release is planned once it has one. Raises RunStopped while a person keeps runs from going on.
    """
    releases.check_not_stopped()
    look_back.look_back()
    recovery.release_due()
    unpaid.end()
    run = _unfinished()
    if run is not None and clock.on_the_wall(run.started_at) < clock.today():
        # More has become due since it was planned, so what it left is planned anew with that.
        _end(run, "Cut short; the next day's run goes on.")
        run = None
    if run is None:
        gate = releases.gate(runs.due_instalments())
        with transaction.atomic(durable=True):
            run = PaymentRun.objects.create(user=actor(user))
            due = gate.let_through(runs.due_instalments()).select_related(None).values_list("pk", flat=True)
            for pks in _pages(list(due)):
                PaymentRunItem.objects.bulk_create(
                    PaymentRunItem(payment_run=run, instalment_id=pk, outcome=Outcome.PLANNED) for pk in pks
                )
        releases.note_waiting(run, gate, runs.due_instalments())
    chunks = _chunks(run)
    if not chunks:
        tallies.follow_up([run.pk])
        run.refresh_from_db()
    return run, chunks


def left_over() -> list[Chunk]:
    """What of a run is still to be charged although nothing of it has been claimed for CHECKOUT_LEASE_MINUTES: its
    messages were lost, or their tasks failed. A message that was only late finds its items taken.

    Nothing while a person keeps runs from going on. What is left of a run that began a day ago is for the next one.
    """
    run, now = _unfinished(), clock.now()
    since = now - timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES)
    if run is None or not now - timedelta(days=1) < run.started_at < since:
        return []
    if run.items.filter(checkout__created_at__gt=since).exists() or releases.stopped_run() is not None:
        return []
    return _chunks(run)


def charge(chunk: Chunk) -> PaymentRun:
    """Claim and charge what is still planned in this chunk. Safe to run twice, and at the same time."""
    run = PaymentRun.objects.get(pk=chunk.run_pk)
    mine = PaymentRunItem.objects.filter(payment_run=run, pk__range=(chunk.first, chunk.last), outcome=Outcome.PLANNED)
    rows = runs.due_instalments().filter(Exists(mine.filter(instalment=OuterRef("pk"))))
    gate = releases.gate(runs.due_instalments())
    work = _Chunk(run, gate.let_through(rows), None, None, None, None, gate)
    work.work(conf.CHECKOUT_WORKERS)
    # Planned, and above the ceiling by now: it waits as what was above it from the beginning.
    kept_back = work.gate.keep_back(ObjectPaymentPlanInstalment.objects.due).order_by().values("pk")
    mine.filter(instalment__in=kept_back).update(outcome=Outcome.WAITING, note=releases.WAITS)
    still_due = ObjectPaymentPlanInstalment.objects.due.order_by().values("pk")
    # Whoever else works on this chunk may be about to claim what is still due; the rest nobody will.
    mine.exclude(instalment__in=still_due).update(
        outcome=Outcome.SKIPPED, note="It was paid, taken, stopped or moved to another day meanwhile."
    )
    if work.stopped:
        _end(run, work.stopped)
    tallies.follow_up([run.pk])
    run.refresh_from_db()
    return run


def _end(run: PaymentRun, why: str) -> None:
    """Leave the rest of a run. What is claimed already is still settled, and then closes it (`tallies.follow_up`)."""
    PaymentRunItem.objects.filter(payment_run=run, outcome=Outcome.PLANNED).update(outcome=Outcome.SKIPPED, note=why)
    PaymentRun.objects.filter(pk=run.pk).update(note=why)


class _Chunk(runs.Run):
    """A part of a run does not end the run."""

    def _finish(self) -> None:
        pass


def _unfinished() -> PaymentRun | None:
    planned = PaymentRunItem.objects.filter(payment_run=OuterRef("pk"), outcome=Outcome.PLANNED)
    return PaymentRun.objects.filter(Exists(planned), finished_at=None).order_by("pk").first()


def _chunks(run: PaymentRun) -> list[Chunk]:
    return [Chunk(run.pk, page[0], page[-1]) for page in _pages(list(planned(run.pk)), conf.CHECKOUT_CHUNK)]


def planned(run_pk: int) -> Any:
    """Primary keys of the items that nobody has claimed yet."""
    items = PaymentRunItem.objects.filter(payment_run=run_pk, outcome=Outcome.PLANNED)
    return items.order_by("pk").values_list("pk", flat=True)


def _pages(pks: list[int], size: int = 1000) -> list[list[int]]:
    return [pks[start : start + size] for start in range(0, len(pks), size)]

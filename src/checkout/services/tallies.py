"""Keeping the figures of payment runs true: what was not answered when a run looked is filled in later."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.db.models import Exists, OuterRef, Q

from checkout import clock, states
from checkout.conf import conf
from checkout.models import PaymentRun, PaymentRunItem

Outcome = PaymentRunItem.Outcome

#: So many of the newest runs are followed up; an answer that is still missing after that many days is a person's work.
NEWEST: Final = 50
#: What an item becomes whose attempt is in that state, superseded or not, and where it may have stood.
UNANSWERED: Final = (Outcome.CLAIMED, Outcome.UNKNOWN)
#: Stripe's answer could not be written down, and was later.
NOT_WRITTEN: Final = (*UNANSWERED, Outcome.ERROR)
BECAME: Final = (
    (states.SUCCESS, False, Outcome.CHARGED, NOT_WRITTEN),
    (states.PAY_ON_SESSION, False, Outcome.PAY_ON_SESSION, NOT_WRITTEN),
    (states.FAIL, False, Outcome.DECLINED, NOT_WRITTEN),
    (states.FAIL, True, Outcome.SKIPPED, UNANSWERED),
)


def follow_up(runs: Iterable[int] | None = None) -> None:
    """Fill in what became of the items of these runs (the newest ones by default) that were without an answer, and
    close runs that have nothing left to do. A few statements, whatever the size. Safe to run at any time, again."""
    pks = list(runs) if runs is not None else list(PaymentRun.objects.values_list("pk", flat=True)[:NEWEST])
    # What ended with an error before Stripe was asked has no attempt, and stays as it is.
    items = PaymentRunItem.objects.filter(payment_run__in=pks, checkout__isnull=False)
    # Most days there are none.
    for state, superseded, outcome, stood in BECAME if items.filter(outcome__in=NOT_WRITTEN).exists() else ():
        became = items.filter(Q(checkout__state=state), outcome__in=stood, checkout__superseded=superseded)
        # Why it was without an answer is no reason for what became of it.
        became.update(outcome=outcome, note="")
    left = PaymentRunItem.objects.filter(payment_run=OuterRef("pk"), outcome__in=[Outcome.PLANNED, Outcome.CLAIMED])
    unfinished = PaymentRun.objects.filter(~Exists(left), pk__in=pks, finished_at=None)
    if runs is None:
        # One that has only just begun may have nothing planned yet.
        unfinished = unfinished.filter(started_at__lt=clock.now() - timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES))
    unfinished.update(finished_at=clock.now())

"""On which days of a story something can happen: every rule of the jobs that speaks of a day has its days here."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final

from dateutil.relativedelta import relativedelta
from django.utils import timezone

from checkout import states
from checkout.conf import conf
from checkout.models import Checkout, Letter, Notice, ObjectPaymentPlanInstalment, RecoveryStep, SavedCard

DAY: Final = datetime.timedelta(days=1)


def next_day(today: datetime.date) -> datetime.date | None:
    """The first day after `today` on which a job can find something to do, if nothing else happens before; None when
    none can, however long one waits. Never too late, and now and then too early: nothing happens then."""
    tomorrow = today + DAY
    if _is_unfinished():
        return tomorrow
    days = (*_of_lines(), *_of_steps(), *_of_letters(), *_of_cards())
    # Some are counted from an hour, which summer time moves.
    later = [day for found in days for day in (found, found + DAY) if day > today]
    return min(later, default=None)


def _is_unfinished() -> bool:
    return (
        Checkout.objects.filter(state_id=states.REQUEST).exists()
        or Letter.objects.filter(outcome=Letter.Outcome.WAITING).exists()
    )


def _of_lines() -> Iterator[datetime.date]:
    """Taken on its day, and announced before."""
    for due in ObjectPaymentPlanInstalment.objects.filter(state_id=states.PENDING).values_list("due", flat=True):
        # One that a day has not brought is asked for again on the next.
        yield max(due, timezone.localdate() + DAY)
        yield due - datetime.timedelta(days=conf.CHECKOUT_NOTICE_DAYS or 0)


def _of_steps() -> Iterator[datetime.date]:
    """Tried again."""
    for day in RecoveryStep.objects.filter(ended="").values_list("day", flat=True):
        yield max(day, timezone.localdate() + DAY)


def _of_letters() -> Iterator[datetime.date]:
    """Followed by a reminder, or by none."""
    for ended_at in Letter.objects.exclude(ended_at=None).values_list("ended_at", flat=True):
        yield timezone.localdate(ended_at) + datetime.timedelta(days=conf.CHECKOUT_REMINDER_DAYS or 0)
    for queued_at in Notice.objects.values_list("queued_at", flat=True):
        yield timezone.localdate(queued_at) + datetime.timedelta(days=conf.CHECKOUT_ON_SESSION_REMINDER_DAYS or 0)


def _of_cards() -> Iterator[datetime.date]:
    """The payer is asked for another a month before it runs out."""
    for expires in SavedCard.objects.exclude(expiry_date=None).values_list("expiry_date", flat=True):
        yield expires - relativedelta(months=1)
        yield expires

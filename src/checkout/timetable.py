"""When each job runs. Celery's beat is made from `JOBS`: `from checkout.timetable import CELERY_BEAT_SCHEDULE`.

docs/operations.md has the same as a crontab, and the doctor reads from here how long a job may be silent. Tests hold
the documents and the commands' help texts to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any, Final

from django.utils.translation import gettext_noop as _

#: A daily job may be two hours late.
DAY: Final = timedelta(hours=26)
HOUR: Final = timedelta(hours=1)
#: A daily message that no worker took within this time is dropped.
TAKE_DAILY_WITHIN: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Job:
    """One scheduled job: the command of that name, and the Celery task `checkout.tasks.<name>`.

    `every` is an interval of 1 to 59 whole minutes, or the time of day for a daily job (in the time zone of cron or of
    `CELERY_TIMEZONE`). `silent_for` is how long ago the last success may be before the doctor reports the job; None
    when the doctor watches the work that waits instead. `what_is_lost` is English, translated where it is shown. The
    `for_…` flags name what a site must have to need the job at all.

    Raises ValueError for an interval that a crontab cannot express.
    """

    name: str
    every: timedelta | time
    silent_for: timedelta | None
    what_is_lost: str = ""
    for_plans: bool = False
    for_webhooks: bool = False
    for_digest: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.every, timedelta) and self.every not in (timedelta(minutes=n) for n in range(1, 60)):
            raise ValueError(f"{self.name}: a crontab cannot express an interval of {self.every}.")

    @property
    def task(self) -> str:
        return f"checkout.tasks.{self.name}"

    @property
    def cron(self) -> str:
        """The five fields of a crontab, `*/16 * * * *`. An interval that does not divide the hour is cut short at
        its end: cron counts minutes of the hour."""
        if isinstance(self.every, timedelta):
            return f"*/{_minutes(self.every)} * * * *"
        return f"{self.every.minute} {self.every.hour} * * *"

    @property
    def how_often(self) -> str:
        """As the documents say it: `every 16 minutes`, `daily`."""
        return f"every {_minutes(self.every)} minutes" if isinstance(self.every, timedelta) else "daily"


def _minutes(interval: timedelta) -> int:
    return interval // timedelta(minutes=1)


def _every(minutes: int) -> timedelta:
    return timedelta(minutes=minutes)


JOBS: Final = (
    Job(
        "payment_intent_fulfillment",
        _every(16),
        HOUR,
        _("payments whose payer closed the page are not found"),
    ),
    Job("setup_intent_fulfillment", _every(14), HOUR, _("saved cards are not found"), for_plans=True),
    Job(
        # More often than the other payments: this payer has come because of a letter, and waits for the result.
        "payment_intent_on_session_fulfillment",
        _every(10),
        HOUR,
        _("instalments that payers confirmed are not found"),
        for_plans=True,
    ),
    Job("process_events", _every(5), HOUR / 2, _("webhook events that failed are not tried again"), for_webhooks=True),
    Job("send_letters", _every(5), HOUR, _("payers get no receipts, and are not told what was declined")),
    # Whoever sends the queue (cron runs post_office's own command), the doctor sees letters that have waited too long.
    Job("send_queued_mail", _every(5), None),
    Job("bulk_actions", _every(5), HOUR, _("what staff asked to be done to many is not done"), for_plans=True),
    Job("reconcile", _every(30), 3 * HOUR, _("charges without an answer stay unknown")),
    Job("settle_refunds", _every(30), 3 * HOUR, _("refunds and disputes that no event told of are not found")),
    Job(
        "send_on_session_payment_emails",
        _every(20),
        HOUR,
        _("payers are not told that their bank requires them"),
        for_plans=True,
    ),
    Job("process_payments", time(6, 10), DAY, _("instalments that are due are not taken"), for_plans=True),
    Job(
        "refresh_card_expiry_dates", time(4, 20), DAY, _("payers are not asked for a new card in time"), for_plans=True
    ),
    Job("send_staff_digest", time(5, 50), DAY, _("staff are not told what was paid"), for_digest=True),
    Job("checkout_books", time(4, 50), DAY, _("nobody compares the books with Stripe's payouts")),
    Job("audit_failed_checkout", time(3, 30), DAY, _("nobody compares what is over with Stripe")),
)


def _beat() -> dict[str, Any]:
    try:
        from celery.schedules import crontab
    except ImportError:  # the extra `celery` is not installed, so nobody asks
        return {}
    beat = {}
    for job in JOBS:
        # A message that nobody took before the next one comes is worth nothing: workers that were down do not catch up.
        schedule: timedelta | crontab
        if isinstance(job.every, timedelta):
            schedule = expires = job.every
        else:
            schedule, expires = crontab(hour=job.every.hour, minute=job.every.minute), TAKE_DAILY_WITHIN
        options = {"expires": int(expires.total_seconds())}
        beat[f"checkout.{job.name}"] = {"task": job.task, "schedule": schedule, "options": options}
    return beat


CELERY_BEAT_SCHEDULE: Final[dict[str, Any]] = _beat()

"""When each job runs, for Celery's beat: `CELERY_BEAT_SCHEDULE = checkout.schedules.CELERY_BEAT_SCHEDULE`.

docs/operations.md has the same as a crontab. The doctor reads from `JOBS` how long each may have been silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.utils.translation import gettext_noop as _

DAILY: Final = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Job:
    """`silent_for` is how long ago the last success may be before somebody should be told; `what_is_lost` is
    English, to be translated where it is shown. `command` does it by hand; where it is empty, the one of that name."""

    name: str
    silent_for: timedelta
    what_is_lost: str
    for_plans: bool = False
    for_webhooks: bool = False
    for_digest: bool = False
    command: str = ""


JOBS: Final = (
    Job("payment_intent_fulfillment", timedelta(hours=1), _("payments whose payer closed the page are not found")),
    Job("setup_intent_fulfillment", timedelta(hours=1), _("saved cards are not found"), for_plans=True),
    Job(
        "payment_intent_on_session_fulfillment",
        timedelta(hours=1),
        _("instalments that payers confirmed are not found"),
        for_plans=True,
    ),
    Job(
        "close_stale_checkouts",
        timedelta(hours=2),
        _("abandoned attempts stay open"),
        command="stripe_intent_fulfillment",
    ),
    Job("process_payments", DAILY, _("instalments that are due are not taken"), for_plans=True),
    Job("reconcile", timedelta(hours=3), _("charges without an answer stay unknown"), for_plans=True),
    Job("send_on_session_payment_emails", DAILY, _("payers are not told that their bank wants them"), for_plans=True),
    Job("refresh_card_expiry_dates", DAILY, _("payers are not asked for a new card in time"), for_plans=True),
    Job("settle_refunds", timedelta(hours=3), _("refunds that are on their way stay so")),
    Job("audit_failed_checkout", DAILY, _("nobody compares failures with Stripe")),
    Job(
        "process_events", timedelta(minutes=30), _("webhook events that failed are not tried again"), for_webhooks=True
    ),
    Job("send_staff_digest", DAILY, _("staff are not told what was paid"), for_digest=True),
)


def _beat() -> dict[str, Any]:
    try:
        from celery.schedules import crontab
    except ImportError:  # the extra `celery` is not installed, so nobody asks
        return {}
    every = {
        "payment_intent_fulfillment": timedelta(minutes=14),
        "payment_intent_on_session_fulfillment": timedelta(minutes=16),
        "setup_intent_fulfillment": timedelta(minutes=20),
        "close_stale_checkouts": timedelta(minutes=30),
        "process_events": timedelta(minutes=5),
        "reconcile": timedelta(minutes=30),
        "settle_refunds": timedelta(minutes=30),
        "process_payments": crontab(hour=6, minute=10),
        "send_on_session_payment_emails": crontab(hour=8, minute=40),
        "refresh_card_expiry_dates": crontab(hour=4, minute=20),
        "audit_failed_checkouts": crontab(hour=3, minute=30),
        "send_staff_digest": crontab(hour=5, minute=50),
    }
    return {
        f"checkout.{name}": {"task": f"checkout.tasks.{name}", "schedule": schedule, "options": _options(schedule)}
        for name, schedule in every.items()
    }


def _options(schedule: Any) -> dict[str, Any]:
    """A message that nobody took before the next one comes is worth nothing: workers that were down do not catch up."""
    return {"expires": int(schedule.total_seconds())} if isinstance(schedule, timedelta) else {"expires": 6 * 3600}


CELERY_BEAT_SCHEDULE: Final[dict[str, Any]] = _beat()

"""Do the scheduled jobs run?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from checkout import clock, timetable
from checkout.conf import conf, webhook_secrets
from checkout.models import ObjectPaymentPlan, ScheduledJob
from checkout.services import staff_notices
from checkout.services.doctor.findings import Finding, Level, age, moment


@dataclass(frozen=True, slots=True)
class JobState:
    """A job that this site has to run, and how it went. Times are aware; None: never."""

    job: timetable.Job
    started_at: datetime | None = None
    succeeded_at: datetime | None = None
    #: The first line of what went wrong the last time, if it did.
    error: str = ""

    @property
    def is_silent(self) -> bool:
        """It has not succeeded when it should have."""
        if self.job.silent_for is None:
            return False
        return self.succeeded_at is None or self.succeeded_at < clock.now() - self.job.silent_for


def job_states() -> list[JobState]:
    """Every watched job that this site needs: those for plans, webhooks and the digest only where there are any."""
    known = {row.name: row for row in ScheduledJob.objects.all()}
    needed = {
        "for_plans": ObjectPaymentPlan.objects.exists(),
        "for_webhooks": bool(webhook_secrets()),
        "for_digest": conf.CHECKOUT_NOTIFY == staff_notices.DIGEST and bool(conf.CHECKOUT_NOTIFY_EMAILS),
    }
    found = []
    for job in timetable.JOBS:
        if job.silent_for is None or any(getattr(job, condition) and not holds for condition, holds in needed.items()):
            continue
        row = known.get(job.name)
        if row is None:
            found.append(JobState(job))
        else:
            error = row.last_error.splitlines()[0] if row.last_error else ""
            found.append(JobState(job, row.last_started_at, row.last_succeeded_at, error))
    return found


def check_jobs() -> Iterator[Finding]:
    now = clock.now()
    for state in job_states():
        job, last = state.job, state.succeeded_at
        do = _("Is cron or Celery's beat running? Run `%(job)s` by hand and read docs/operations.md.")
        do %= {"job": job.name}
        failed = _("The last time it failed: %(error)s") % {"error": state.error} if state.error else ""
        if last is None:
            level, message = Level.ERROR, _("%(job)s HAS NEVER SUCCEEDED, so %(lost)s.")
        elif state.is_silent:
            level, message = Level.ERROR, _("%(job)s HAS NOT RUN SINCE %(when)s (%(age)s), so %(lost)s.")
        elif failed:
            level, message = Level.WARNING, _("%(job)s last succeeded %(when)s.")
        else:
            continue
        message %= {
            "job": job.name,
            "lost": _(job.what_is_lost),
            "when": moment(last) if last else "",
            "age": age(now - last) if last else "",
        }
        yield Finding("jobs", level, f"{message} {failed}".rstrip(), do)

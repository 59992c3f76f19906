"""One action for many plans or payments: written down as one row each, then done one by one, by whoever has time.

What is to be done stands in the rows, not in a queue: a message that is lost or comes twice, a process that dies, a
second click, all end in each thing being done once.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import clock
from checkout.contract import Actor, actor
from checkout.errors import CheckoutError, OutcomeUnknown
from checkout.models import (
    BulkItem,
    BulkJob,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    StateChange,
)
from checkout.services import by_staff, plan_changes, plan_previews, plans

logger = logging.getLogger("checkout.staff")

Kind, Outcome = BulkJob.Kind, BulkItem.Outcome

#: More than these are several jobs: nobody reads a list of results that is longer.
MOST: Final = 2000

#: Longer than any single action takes, its calls to Stripe included.
LEASE: Final = timedelta(minutes=10)

#: An item whose worker died so often is left, and says so.
MOST_TRIES: Final = 3


def begin(
    kind: str, pks: Iterable[int], user: Actor, reason: str, *, key: UUID, terms: dict[str, Any] | None = None
) -> BulkJob:
    """Write down that something is to be done to each of these (plans, or lines for `BulkJob.TO_LINES`), in one commit.
    With the same `key` a second call finds the first one's job. `terms`: `{"day": "2031-01-15"}`, `{"months": 2}`.

    Raises CheckoutError for none of them, and for more than `MOST`.
    """
    wanted = sorted(set(pks))
    if not wanted:
        raise CheckoutError(_("Nothing was chosen."))
    if len(wanted) > MOST:
        raise CheckoutError(_("These are more than %(number)d. Choose fewer.") % {"number": MOST})
    column = "instalment_id" if kind in BulkJob.TO_LINES else "plan_id"
    try:
        with transaction.atomic():
            job = BulkJob.objects.create(
                uuid=key, kind=kind, terms=terms or {}, reason=reason.strip()[:255], user=actor(user)
            )
            BulkItem.objects.bulk_create(BulkItem(job=job, **{column: pk}) for pk in wanted)
    except IntegrityError:
        before = BulkJob.objects.filter(uuid=key).first()
        if before is None:
            raise
        return before
    logger.info("user %s: %s for %d", job.user_id, kind, len(wanted), extra={"job": job.pk})
    return job


def work(job: BulkJob, *, seconds: float | None = None) -> bool:
    """Do what is left of a job, for so many seconds at most; True when nothing is left. Safe to run twice, and at the
    same time. Outside of any transaction."""
    until = None if seconds is None else time.monotonic() + seconds
    while until is None or time.monotonic() < until:
        item = _claim(job)
        if item is None:
            break
        _do(job, item)
    left = job.items.filter(outcome__in=(Outcome.WAITING, Outcome.DOING)).exists()
    if not left:
        BulkJob.objects.filter(pk=job.pk, finished_at=None).update(finished_at=clock.now())
        job.refresh_from_db()
    return not left


def work_on_all(*, seconds: float | None = None) -> int:
    """Go on with every job that is not finished, for so many seconds at most; how many are finished now."""
    until = None if seconds is None else time.monotonic() + seconds
    finished = 0
    for job in BulkJob.objects.filter(finished_at=None).order_by("pk"):
        finished += work(job, seconds=None if until is None else until - time.monotonic())
    return finished


def _claim(job: BulkJob) -> BulkItem | None:
    """The next item, ours for as long as the lease; None when there is none to take."""
    while True:
        free = Q(outcome=Outcome.WAITING) | Q(outcome=Outcome.DOING, lease_until__lt=clock.now())
        item = job.items.filter(free).order_by("pk").first()
        if item is None:
            return None
        taken = BulkItem.objects.filter(pk=item.pk, outcome=item.outcome, tries=item.tries).update(
            outcome=Outcome.DOING, tries=item.tries + 1, lease_until=clock.now() + LEASE
        )
        if taken:
            item.refresh_from_db()
            return item


def _do(job: BulkJob, item: BulkItem) -> None:
    """One item, through the same service as the action for one; whatever happens, it has an outcome."""
    again = item.tries > 1
    try:
        if item.tries > MOST_TRIES:
            raise CheckoutError(_("It was begun %(number)d times and never ended.") % {"number": MOST_TRIES})
        note = _ACTIONS[Kind(job.kind)](job, item, again)
        outcome = Outcome.DONE
    except OutcomeUnknown:
        outcome, note = Outcome.FAILED, _("Stripe gave no answer. Look again in a few minutes.")
    except CheckoutError as problem:
        outcome, note = Outcome.REFUSED, str(problem)
    except Exception as problem:
        # One that is broken must not stop the others.
        logger.exception("part %s of job %s", item.pk, job.pk, extra={"job": job.pk})
        outcome, note = Outcome.FAILED, type(problem).__name__
    # Whoever lost the lease changes nothing.
    BulkItem.objects.filter(pk=item.pk, outcome=Outcome.DOING, tries=item.tries).update(
        outcome=outcome, note=note, ended_at=clock.now(), lease_until=None
    )


def _line(item: BulkItem) -> ObjectPaymentPlanInstalment:
    rows = ObjectPaymentPlanInstalment.objects.select_related(
        "object_payment_plan__customer", "object_payment_plan__agreement__saved_card", "debt"
    )
    return rows.get(bulk_items=item)


def _plan(item: BulkItem) -> ObjectPaymentPlan:
    return ObjectPaymentPlan.objects.select_related("customer", "payment_plan").get(bulk_items=item)


def _remind(job: BulkJob, item: BulkItem, again: bool) -> str:
    line = _line(item)
    if again and by_staff.was_asked_since(line, job.made_at):
        # The one a day would not do: it may have been yesterday.
        return ""
    if not by_staff.ask_payer(line, job.user):
        raise CheckoutError(_("There was a mail today."))
    return ""


def _move(job: BulkJob, item: BulkItem, again: bool) -> str:
    line, day = _line(item), datetime.date.fromisoformat(job.terms["day"])
    if line.due != day:
        by_staff.change_due(line, day, job.user, job.reason)
    elif not again:
        raise CheckoutError(_("It is due on that day already."))
    return ""


def _stop(job: BulkJob, item: BulkItem, again: bool) -> str:
    plan = _plan(item)
    if plan.deleted and not again:
        raise CheckoutError(_("This payment plan was stopped."))
    plans.stop(plan, job.user)
    noted = StateChange.objects.filter(
        object_payment_plan=plan, to_state="stopped", user=job.user, note=job.reason, at__gte=job.made_at
    )
    if not noted.exists():
        by_staff.note_stop(plan, job.user, job.reason)
    return ""


def _change(job: BulkJob, item: BulkItem, again: bool) -> str:
    plan = _plan(item)
    if again:
        made = PlanChange.objects.filter(
            plan=plan, kind=job.kind, user=job.user, reason=job.reason, at__gte=job.made_at
        )
        if made.exists():
            return ""
    if job.kind == Kind.WRITE_OFF and not plan_previews.preview(plan, job.kind).by:
        raise CheckoutError(_("Nothing is left of it."))
    change = plan_changes.propose(plan, job.kind, job.reason, job.user, **job.terms)
    return "" if change.is_in_force else _("Waits for the payer")


_ACTIONS: Final = {
    Kind.REMIND: _remind,
    Kind.MOVE: _move,
    Kind.STOP: _stop,
    Kind.PAUSE: _change,
    Kind.WRITE_OFF: _change,
}


def check(kind: str, subject: Any, terms: dict[str, Any]) -> str:
    """Why it would be left as it is; empty when it would be done. For the page that asks first: looks, does nothing."""
    try:
        match kind:
            case Kind.REMIND:
                by_staff.check_askable(subject)
            case Kind.MOVE:
                by_staff.check_movable(subject)
                day = terms.get("day")
                if day and subject.due.isoformat() == day:
                    return _("It is due on that day already.")
            case Kind.STOP:
                if subject.deleted:
                    return _("This payment plan was stopped.")
            case _:
                plan_previews.preview(subject, kind, **(terms or ({"months": 1} if kind == Kind.PAUSE else {})))
    except CheckoutError as problem:
        return str(problem)
    return ""

"""The day of a line is moved: by staff, or by its payer within what the site allows."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import formats
from django.utils.translation import gettext as _

from checkout import clock, states
from checkout.conf import conf
from checkout.contract import Actor
from checkout.errors import CannotPay, PlanError
from checkout.journal import Code, Why
from checkout.models import ObjectPaymentPlan, ObjectPaymentPlanInstalment, StateChange
from checkout.services import moves
from checkout.services.letters import asking


@dataclass(frozen=True, slots=True)
class Window:
    """The days to which a payer may move a line, both included."""

    first: datetime.date
    last: datetime.date


def move(instalment: ObjectPaymentPlanInstalment, due: datetime.date, user: Actor, why: Why) -> None:
    """Move a line that nobody has claimed to another day. Raises CannotPay when it was claimed or paid meanwhile, and
    PlanError when the plan has a line on that day already."""
    if instalment.object_payment_plan.deleted:
        raise CannotPay(_("This payment plan was stopped."))
    try:
        with transaction.atomic():
            rows = ObjectPaymentPlanInstalment.objects.filter(
                Q(state=states.PENDING), pk=instalment.pk, due=instalment.due
            )
            # The condition and the change are one statement, so a run cannot claim it in between.
            if not rows.update(due=due):
                raise CannotPay(_("This line is being charged, or was settled, so its date does not change any more."))
            change = moves.note(instalment, user=user, why=why)
            asking.plan_changed(instalment.object_payment_plan, change)
    except IntegrityError as error:
        raise day_is_taken() from error
    instalment.due = due


def day_is_taken() -> PlanError:
    """For the constraint that a plan has one line on a day."""
    return PlanError(_("This plan has a payment on that day already. Choose another day."))


def move_by_payer(instalment: ObjectPaymentPlanInstalment, due: datetime.date, user: Actor = None) -> None:
    """Move a payment once, within CHECKOUT_PAYER_MAY_MOVE_DAYS of the day that was agreed and before the next one.

    Raises CannotPay, with a sentence for the payer, when it may not be moved (any more) or not to that day.
    """
    window = windows(instalment.object_payment_plan).get(instalment.pk)
    if window is None:
        raise CannotPay(_("This payment cannot be moved any more. Below is how it stands."))
    if not window.first <= due <= window.last:
        raise CannotPay(
            _("Choose a day from %(first)s to %(last)s.") % {"first": _day(window.first), "last": _day(window.last)}
        )
    move(instalment, due, user, Why(Code.DUE_MOVED_BY_PAYER, before=instalment.due, due=due))


def windows(plan: ObjectPaymentPlan) -> dict[int, Window]:
    """The payments of a plan that its payer may move now, by their primary keys, and to which days."""
    days = conf.CHECKOUT_PAYER_MAY_MOVE_DAYS
    if not days or plan.deleted or plan.paused:
        return {}
    lines = list(plan.instalments.select_related("debt").order_by("due"))
    moved = moves_by_payer(plan)
    found = {}
    for place, line in enumerate(lines):
        if line.deposit or line.state_id != states.PENDING or line.due < clock.today() or line.pk in moved:
            continue
        last = _agreed(plan, line) + timedelta(days=days)
        if place + 1 < len(lines):
            last = min(last, lines[place + 1].due - timedelta(days=1))
        # What is reserved is asked for by an attempt that is open.
        if last > line.due and not (line.debt is not None and line.debt.asked):
            found[line.pk] = Window(line.due + timedelta(days=1), last)
    return found


def moves_by_payer(plan: ObjectPaymentPlan) -> dict[int, datetime.date]:
    """From which day each payment was moved by its payer, by primary key."""
    rows = StateChange.objects.filter(instalment__object_payment_plan=plan, code=Code.DUE_MOVED_BY_PAYER)
    return {
        pk: datetime.date.fromisoformat(facts["before"]) for pk, facts in rows.values_list("instalment_id", "facts")
    }


def _agreed(plan: ObjectPaymentPlan, line: ObjectPaymentPlanInstalment) -> datetime.date:
    """The day that its payer agreed to, wherever staff have moved it since."""
    agreed = plan.agreement.lines if plan.agreement is not None else []
    days = [datetime.date.fromisoformat(each["due"]) for each in agreed if each["count"] == line.count]
    return days[0] if days else line.due


def _day(day: datetime.date) -> str:
    return formats.date_format(day, "DATE_FORMAT")

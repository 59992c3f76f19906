"""What payers promise, and what staff have done about what is overdue.

A promise holds everything that asks by itself: the card is not tried again, and no letter reminds, before its day.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import clock, states
from checkout.contract import Actor, actor
from checkout.errors import AlreadyPaid, CannotPay
from checkout.journal import Code, Why
from checkout.models import FollowUp, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import moves

#: What is promised waits for its payer. A line that nobody has tried yet has a day of its own, which may be moved.
MAY_BE_PROMISED = frozenset({states.FAIL, states.PAY_ON_SESSION})


def held_on(day: datetime.date, line: str = "") -> Q:
    """Lines of which nothing is asked on that day, for their payer has promised a later one. `line` is the way to the
    line from the rows that are filtered, as `instalment__`."""
    return Q(**{f"{line}follow_up__promised_for__gt": day})


def is_held(line: ObjectPaymentPlanInstalment) -> bool:
    """True while its payer has promised to pay on a later day than today."""
    return ObjectPaymentPlanInstalment.objects.filter(held_on(clock.today()), pk=line.pk).exists()


def promise(line: ObjectPaymentPlanInstalment, day: datetime.date | None, user: Actor, note: str = "") -> None:
    """Its payer promised to pay on `day`; None takes the promise back.

    Raises AlreadyPaid, and CannotPay for a plan that was stopped or a line that nobody has tried to take yet.
    """
    _check(line)
    if line.state_id not in MAY_BE_PROMISED:
        raise CannotPay(_("Nobody has tried to take this yet. Change its due date instead."))
    why = Why(Code.PROMISED, day=day.isoformat(), note=note) if day is not None else Why(Code.PROMISE_ENDED, note=note)
    _write(line, user, why, promised_for=day, done_at=None)


def put_off(line: ObjectPaymentPlanInstalment, until: datetime.date, user: Actor, note: str = "") -> None:
    """Not on the list of what is to do before that day. Raises AlreadyPaid and CannotPay."""
    _check(line)
    _write(line, user, Why(Code.PUT_OFF, day=until.isoformat(), note=note), snoozed_until=until)


def done(line: ObjectPaymentPlanInstalment, user: Actor, note: str = "") -> None:
    """Nothing to do, until its card is declined anew. Raises AlreadyPaid and CannotPay."""
    _check(line)
    _write(line, user, Why(Code.DONE_FOR_NOW, note=note), done_at=clock.now())


def declined_anew(line: ObjectPaymentPlanInstalment) -> None:
    """There is something to do again. In the transaction that settles the decline."""
    FollowUp.objects.filter(instalment=line).exclude(done_at=None).update(done_at=None)


def forget(line: ObjectPaymentPlanInstalment) -> None:
    """It has another day now, and what was agreed about the old one is over."""
    FollowUp.objects.filter(instalment=line).delete()


def of_another(plan: ObjectPaymentPlan) -> None:
    """Somebody else pays from now on, and has promised nothing. In the transaction in which they take over."""
    FollowUp.objects.filter(instalment__object_payment_plan=plan).update(promised_for=None)


def _check(line: ObjectPaymentPlanInstalment) -> None:
    line.refresh_from_db()
    if line.state_id == states.SUCCESS:
        raise AlreadyPaid(_("This was paid already."))
    if line.object_payment_plan.deleted:
        raise CannotPay(_("This payment plan was stopped."))


def _write(line: ObjectPaymentPlanInstalment, user: Actor, why: Why, **columns: Any) -> None:
    who = actor(user)
    with transaction.atomic():
        known = columns | {"note": why.note[:255], "user": who, "changed_at": clock.now()}
        FollowUp.objects.update_or_create(instalment=line, defaults=known)
        moves.note(line, user=user, why=why)

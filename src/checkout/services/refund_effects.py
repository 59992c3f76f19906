"""What a refund does to the payment plan whose line it gives back: nothing, stop it, or owe the amount again."""

from __future__ import annotations

import datetime
import logging
from decimal import Decimal

from dateutil.relativedelta import relativedelta
from django.db.models import Max, ProtectedError, Q
from django.utils.translation import gettext as _

from checkout import clock, money, states
from checkout.errors import CheckoutError, RefundError
from checkout.journal import Code, Why
from checkout.models import Checkout, Debt, ObjectPaymentPlan, ObjectPaymentPlanInstalment, Refund, StateChange
from checkout.plan_changes import Ended
from checkout.services import booking, debts, moves, plans
from checkout.services.letters import asking as letters

logger = logging.getLogger("checkout.refunds")

Effect = Refund.PlanEffect


def plan_line(checkout: Checkout) -> ObjectPaymentPlanInstalment | None:
    """The line of a plan that this payment paid, if it did."""
    content_object = checkout.content_object
    return content_object if isinstance(content_object, ObjectPaymentPlanInstalment) else None


def goes_on(plan: ObjectPaymentPlan) -> bool:
    """Whether something is still to be taken of a plan."""
    return not plan.deleted and plan.instalments.filter(Q(state__in=states.UNPAID)).exists()


def check_can_give_back(line: ObjectPaymentPlanInstalment | None, amount: Decimal) -> None:
    """Raises RefundError or MoneyError unless `amount` may be owed again in this line's place."""
    if line is None:
        return
    if line.object_payment_plan.deleted:
        raise RefundError(_("This plan was stopped, so nothing can be owed on it again. Choose to keep it as it is."))
    if ObjectPaymentPlanInstalment.objects.filter(replaces=line).exists():
        raise RefundError(_("This line was given back before. Choose to keep the plan as it is."))
    money.check_chargeable(amount, line.object_payment_plan.currency)


def is_given_back(checkout: Checkout) -> bool:
    """Asked once the money is reserved: from then on another refund of the same payment waits, or is seen here."""
    return checkout.refunds.exclude(state=Refund.FAILED).filter(plan_effect=Effect.GIVE_BACK).exists()


def give_back(row: Refund) -> None:
    """The amount is owed again: a new last line, which says which line it stands for. The paid line keeps its state."""
    line = plan_line(row.checkout)
    if line is None:
        return
    plan = line.object_payment_plan
    last = plan.instalments.aggregate(due=Max("due"), count=Max("count"))
    due = max(last["due"], clock.today()) + relativedelta(months=1)
    new = ObjectPaymentPlanInstalment.objects.create(
        object_payment_plan=plan,
        count=last["count"] + 1,
        amount=row.amount,
        due=due.replace(day=1) if due.replace(day=1) > last["due"] else due + datetime.timedelta(days=1),
        replaces=line,
    )
    debts.open_lines([new])
    if row.checkout.debt is not None:
        # It is owed by the new line, and no longer by the old one.
        booking.post(row.checkout.debt, booking.Kind.MOVED, -row.amount, refund=row, cause=f"owed_again:{row.uuid}")
    change = _record_plan(plan, row, Why(Code.LINE_OWED_AGAIN, line=line.count, new=new.count))
    letters.plan_changed(plan, change)
    Refund.objects.filter(pk=row.pk).update(plan_effect_done=True)


def take_back(row: Refund) -> list[str]:
    """A refund failed, so what it did to the plan is undone where that can be done. Sentences for staff otherwise."""
    if row.plan_effect == Effect.STOP and row.plan_effect_done:
        return [_("The plan was stopped with this refund, and stays stopped.")]
    line = plan_line(row.checkout)
    added = ObjectPaymentPlanInstalment.objects.filter(replaces=line).first() if line is not None else None
    if row.plan_effect != Effect.GIVE_BACK or added is None:
        return []
    # A run may have looked at it without asking Stripe for it: a line that should not be there was not due either.
    added.run_items.filter(checkout=None).delete()
    if _deleted(row, added) or _ended(row, added):
        plan = added.object_payment_plan
        letters.plan_changed(plan, _record_plan(plan, row, Why(Code.LINE_TAKEN_OFF, line=added.count)))
        return [_("The line that was added to the plan was taken off again.")]
    return [_("The line that was added to the plan may be charged although the payer has no refund: look at it now.")]


def _deleted(row: Refund, added: ObjectPaymentPlanInstalment) -> bool:
    """True once the line is gone; False when anything happened to it that is to be remembered."""
    if added.checkouts.exists():
        return False
    untouched = Q(state=states.PENDING, debt__owed=row.amount, debt__paid=0, debt__asked=0)
    try:
        deleted, _kinds = ObjectPaymentPlanInstalment.objects.filter(untouched, pk=added.pk).delete()
    except ProtectedError:
        # Its payer was told when it is due, or staff have released it.
        return False
    if deleted:
        _owed_by_the_old_line(row, added.debt)
    return bool(deleted)


def _ended(row: Refund, added: ObjectPaymentPlanInstalment) -> bool:
    """True once the line is over, as one that a change of the plan takes off; False when something of it is asked for
    or paid, or it owes another amount by now."""
    # Lines before debts, as everybody takes them.
    list(ObjectPaymentPlanInstalment.objects.select_for_update(of=("self",), no_key=True).filter(pk=added.pk))
    debt = booking.locked(added.debt) if added.debt is not None else None
    if debt is not None and (debt.owed, debt.paid, debt.asked) != (row.amount, 0, 0):
        return False
    why = Why(Code.LINE_TAKEN_OFF, line=added.count)
    waits = {states.PENDING, states.FAIL}
    # It stands for nothing any more: the money did not go back.
    if not moves.move(added, to=states.SUCCESS, only_from=waits, why=why, ended=Ended.TAKEN_OFF, replaces=None):
        return False
    _owed_by_the_old_line(row, debt)
    return True


def _owed_by_the_old_line(row: Refund, added: Debt | None) -> None:
    if added is not None:
        booking.post(added, booking.Kind.MOVED, -row.amount, refund=row, cause=f"taken_off:{row.uuid}")
    if row.checkout.debt is not None:
        booking.post(row.checkout.debt, booking.Kind.MOVED, row.amount, refund=row, cause=f"owed_as_before:{row.uuid}")


def stop_plan(row: Refund) -> None:
    """Outside the transaction, because open attempts are cancelled at Stripe. What cannot be done now is done later."""
    if row.plan_effect != Effect.STOP or row.plan_effect_done or row.failed:
        return
    line = plan_line(row.checkout)
    if line is not None and not line.object_payment_plan.deleted:
        try:
            plans.stop(line.object_payment_plan, row.requested_by)
        except CheckoutError as problem:
            logger.warning("refund %s: the plan is not stopped yet: %s", row.pk, problem, extra={"refund": row.pk})
            return
        _record_plan(line.object_payment_plan, row, Why(Code.STOPPED_WITH_REFUND, refund=row.pk))
    settled = not row.pending
    Refund.objects.filter(pk=row.pk).update(plan_effect_done=True, lease_until=None if settled else row.lease_until)


def _record_plan(plan: ObjectPaymentPlan, row: Refund, why: Why) -> StateChange:
    return StateChange.objects.create(
        object_payment_plan=plan, refund=row, from_state="", to_state="refund", user=row.requested_by, **why.columns
    )

"""A part that came by other means, as staff write it down, and undoing what they wrote: nothing is deleted, and what
it paid is owed again."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from checkout import actions, clock, money, states
from checkout.contract import Actor
from checkout.errors import AlreadyPaid, AttemptInProgress, CannotPay
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    CustomerPayment,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Posting,
)
from checkout.plan_changes import Ended
from checkout.services import (
    attempt_debts,
    attempt_rows,
    booking,
    debts,
    due_dates,
    ending,
    hooks,
    intents,
    moves,
    notices,
    numbering,
    plan_cards,
)
from checkout.services.letters import asking

logger = logging.getLogger("checkout.staff")

#: So many days from now what is owed again is due, where its own day has gone by: its payer has to hear of it first.
NOTICE: Final = timedelta(days=7)

Subject = Checkout | ObjectPaymentPlanInstalment | CustomerPayment


def part_paid(
    line: ObjectPaymentPlanInstalment,
    amount: Decimal,
    user: Actor,
    reason: str,
    *,
    key: uuid.UUID | None = None,
    within: Callable[[Decimal], None] | None = None,
    means: attempt_debts.Means = attempt_debts.UNSAID,
) -> Checkout:
    """A part of a line came by other `means` (`amount`: Decimal, whole currency units): an attempt with a receipt of
    its own. The same `key` again is the same part. Runs and pages take the rest; pages that are open at the line are
    ended at Stripe first, for they ask for too much. `within` is called with the amount in the commit that books it,
    and undoes that by raising.

    Raises MoneyError when the rest would be less than Stripe takes, AlreadyPaid when no more than `amount` is left,
    AttemptInProgress while some of it is being taken, CannotPay when the plan was stopped.
    """
    plan, key = line.object_payment_plan, key or uuid.uuid4()
    if former := Checkout.objects.filter(uuid=key).first():
        return former
    if plan.deleted:
        raise CannotPay(_("This payment plan was stopped."))
    money.to_minor(amount, plan.currency)
    intents.close_open_attempts(line, user)
    try:
        with transaction.atomic(durable=True):
            debt = booking.locked(debts.of_line(line))
            if amount >= debt.left:
                raise AlreadyPaid(_("No more than that is left. Mark it as paid instead."))
            money.check_chargeable(debt.left - amount, plan.currency)
            checkout = attempt_rows.insert_in_parts(
                line,
                actions.MANUAL,
                user,
                [(debt, amount)],
                description=_description(line),
                on_session=False,
                uuid=key,
            )
            if not attempt_rows.still_payable(line):
                raise AlreadyPaid(_("This was settled already."))
            ending.succeed(checkout, user=user, why=Why.said(reason, otherwise=Code.PAID_BY_OTHER_MEANS), means=means)
            shown = f"{money.tidy(amount, plan.currency)} {plan.currency}"
            moves.note(line, user=user, why=Why(Code.PART_PAID, amount=shown, note=reason))
            if within is not None:
                within(amount)
    except IntegrityError as error:
        if former := Checkout.objects.filter(uuid=key).first():
            return former
        raise AttemptInProgress(_("Another payment for this is under way.")) from error
    numbering.give([checkout])
    return checkout


def _description(line: ObjectPaymentPlanInstalment) -> str:
    """What a part was for, in the language of its payer: they read it on the receipt."""
    plan = line.object_payment_plan
    row: Any = plan.content_object
    with translation.override(notices.language_of(plan.payer_row, plan.customer)):
        about = [str(each) for each in row.checkout_description] if row is not None else []
        return "\n".join([*about, _("%(payment)s, in part") % {"payment": line.name}])[:1000]


def subject_of(posting: Posting) -> Subject:
    """What it paid: a line, a request, or (for a row of the site) the attempt that stands for it."""
    row: Any = posting.debt.content_object
    if isinstance(row, ObjectPaymentPlanInstalment | CustomerPayment):
        return row
    if posting.checkout is None:
        raise CannotPay(_("This was not written down by staff, so it cannot be undone here."))
    return posting.checkout


def standing_for(debt_pk: int | None) -> list[Posting]:
    """What came by other means on a debt, and nobody has undone, oldest first."""
    rows = list(
        Posting.objects.filter(debt=debt_pk, kind=Posting.Kind.OTHER_MEANS).select_related("debt").order_by("pk")
    )
    causes = [_cause(row) for row in rows]
    undone = set(Posting.objects.filter(cause__in=causes).values_list("cause", flat=True))
    return [row for row, cause in zip(rows, causes, strict=True) if cause not in undone]


def is_undone(posting: Posting) -> bool:
    return booking.is_posted(_cause(posting))


def _cause(posting: Posting) -> str:
    return f"undone:{posting.pk}"


def why_not(posting: Posting) -> str:
    """Why it cannot be undone; empty when it can."""
    if posting.kind != Posting.Kind.OTHER_MEANS:
        return _("Only what was paid by other means is undone. What a card paid is given back.")
    if is_undone(posting):
        return _("This was undone already.")
    row: Any = posting.debt.content_object
    if row is None:
        return _("What this was for no longer exists.")
    if isinstance(row, ObjectPaymentPlanInstalment):
        if row.ended in (Ended.WRITTEN_OFF, Ended.TAKEN_OFF):
            return _("The rest of this payment was taken off or written off. Undo that change of the plan first.")
        if row.state_id == states.REQUEST:
            return _("This is being charged at this moment. Look again in a few minutes.")
    return ""


def due_again(line: ObjectPaymentPlanInstalment) -> datetime.date:
    """The day that is proposed: its own while its payer has time to hear of it, else the first free one after that."""
    earliest = clock.today() + NOTICE
    if line.due >= earliest:
        return line.due
    others = line.object_payment_plan.instalments.filter(ended="").exclude(pk=line.pk)
    taken = set(others.values_list("due", flat=True))
    while earliest in taken:
        earliest += timedelta(days=1)
    return earliest


def undo(
    posting: Posting,
    user: Actor,
    reason: str,
    *,
    due: datetime.date | None = None,
    within: Callable[[Decimal], None] | None = None,
) -> Posting:
    """Post the opposite of what came by other means. A line that was paid is due again on `due` (by default on
    `due_again`), a request waits again, and a row of the site is told by its `checkout_undone(checkout)`, if it has
    one. The payer is told where they had been told that it was paid. `within` is called with the amount in the commit
    that books it, and undoes that by raising.

    Open pages at it are ended first, for they ask for too little. Raises AlreadyPaid when it was undone before,
    CannotPay when it cannot be, AttemptInProgress while a payment for it is being taken, MoneyError when what would be
    owed is less than a card can pay, PlanError when another line is due on that day, and what the site's hook raises;
    nothing was done then.
    """
    if is_undone(posting):
        raise AlreadyPaid(_("This was undone already."))
    if problem := why_not(posting):
        raise CannotPay(problem)
    row: Any = posting.debt.content_object
    intents.close_open_attempts(row, user)
    try:
        with transaction.atomic(durable=True):
            booked = _undo(posting, row, user, reason, due)
            if within is not None:
                within(posting.amount)
    except IntegrityError as error:
        if is_undone(posting):
            raise AlreadyPaid(_("This was undone already.")) from error
        if isinstance(row, ObjectPaymentPlanInstalment):
            raise due_dates.day_is_taken() from error
        raise
    logger.info("posting %s undone by user %s", posting.pk, getattr(user, "pk", None))
    return booked


def _undo(posting: Posting, row: Any, user: Actor, reason: str, due: datetime.date | None) -> Posting:
    if isinstance(row, ObjectPaymentPlanInstalment):
        # Plans before lines before debts, as everybody takes them.
        list(ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(pk=row.object_payment_plan_id))
        lines = ObjectPaymentPlanInstalment.objects.select_for_update(of=("self",), no_key=True)
        row = lines.select_related("object_payment_plan").get(pk=row.pk)
        if row.ended:
            raise CannotPay(why_not(posting))
    held = booking.locked(posting.debt)
    if held.asked:
        raise AttemptInProgress(_("A payment for this is open. Cancel it first, or wait for its end."))
    booking.post(
        held,
        Posting.Kind.UNDONE,
        -posting.amount,
        cause=_cause(posting),
        user=user,
        note=reason,
        checkout=posting.checkout,
        method=posting.method,
        reference=posting.reference,
    )
    shown = f"{money.tidy(posting.amount, held.currency)} {held.currency}"
    why = Why(Code.PAYMENT_UNDONE, amount=shown, note=reason)
    if posting.checkout is not None:
        _undo_attempt(posting.checkout, user, why)
    if isinstance(row, ObjectPaymentPlanInstalment | CustomerPayment):
        _owe_again(row, held.left, user, why, due)
        if isinstance(row, ObjectPaymentPlanInstalment):
            plan_cards.renew(row.object_payment_plan, str(why)[:255])
    elif hooks.has(row, "checkout_undone"):
        hooks.run(row, "checkout_undone", posting.checkout)
    asking.payment_undone(posting, row)
    return Posting.objects.get(cause=_cause(posting))


def _undo_attempt(checkout: Checkout, user: Actor, why: Why) -> None:
    Checkout.objects.filter(pk=checkout.pk, undone_at=None).update(undone_at=clock.now())
    moves.note(checkout, user=user, why=why)


def _owe_again(
    row: ObjectPaymentPlanInstalment | CustomerPayment,
    left: Decimal,
    user: Actor,
    why: Why,
    due: datetime.date | None,
) -> None:
    if row.state_id == states.SUCCESS and left > 0:
        money.check_chargeable(left, row.checkout_currency)
        again: dict[str, Any] = {"due": due or due_again(row)} if isinstance(row, ObjectPaymentPlanInstalment) else {}
        if not moves.owe_again(row, user=user, why=why, **again):
            raise AttemptInProgress(_("Something happened here at this moment. Please look again."))
        return
    moves.note(row, user=user, why=why)

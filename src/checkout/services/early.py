"""Paying before the day: what an amount pays of a plan, and the attempt that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from checkout import actions, clock, money, schedule, states
from checkout.contract import Actor, actor
from checkout.errors import AlreadyPaid, AttemptInProgress, CannotPay, CheckoutError
from checkout.gateway import assert_no_transaction
from checkout.models import Allocation, Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.services import (
    agreements,
    attempt_debts,
    attempt_rows,
    cards,
    checkouts,
    debts,
    intents,
    on_session,
    payers,
)

#: These are owed already, whatever their day says.
OVERDUE = frozenset({states.FAIL, states.PAY_ON_SESSION})


@dataclass(frozen=True, slots=True)
class Part:
    """What one line gets of a payment, and what is left of it afterwards, in whole currency units."""

    line: ObjectPaymentPlanInstalment
    amount: Decimal
    left: Decimal


def unpaid_lines(plan: ObjectPaymentPlan) -> list[ObjectPaymentPlanInstalment]:
    """The lines that may be paid now, overdue ones first, then by their days. Raises CannotPay, with a sentence for the
    payer, for a plan that was stopped or whose deposit is not paid, AttemptInProgress while one is being taken."""
    if plan.deleted:
        raise CannotPay(_("This payment plan was stopped, so there is nothing to pay."))
    rows = plan.instalments.select_related("debt", "object_payment_plan__payment_plan").exclude(Q(state=states.SUCCESS))
    lines = sorted(rows, key=lambda line: (not _is_overdue(line), line.due, line.count))
    if any(line.deposit for line in lines):
        raise CannotPay(_("Please pay the deposit first. The instalments follow once it is paid."))
    if any(line.state_id == states.REQUEST for line in lines):
        raise AttemptInProgress(_("This is being paid at this moment. Please look again in a few minutes."))
    return [line for line in lines if line.left > 0]


def _is_overdue(line: ObjectPaymentPlanInstalment) -> bool:
    return line.state_id in OVERDUE or line.due <= clock.today()


def parts_of(plan: ObjectPaymentPlan, amount: Decimal) -> list[Part]:
    """Which lines `amount` pays, and how much of each, by the template's rule.

    Raises CannotPay, with what would work, for an amount that is too much, or that leaves of a line less than a card
    can pay; what `unpaid_lines` and `money.check_chargeable` raise.
    """
    lines = unpaid_lines(plan)
    left = [line.left for line in lines]
    if not lines:
        raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))
    if amount > sum(left):
        raise CannotPay(
            _("Only %(left)s is left to pay. Nothing was taken.") % {"left": _shown(sum(left, Decimal(0)), plan)}
        )
    money.check_chargeable(amount, plan.currency)
    gets = schedule.allocate(
        amount,
        left,
        first=sum(_is_overdue(line) for line in lines),
        last_first=plan.payment_plan.paid_early == PaymentPlan.PaidEarly.LAST,
    )
    parts = [Part(lines[place], part, left[place] - part) for place, part in gets.items()]
    _check_rest(parts, amount, plan)
    return parts


def _check_rest(parts: Sequence[Part], amount: Decimal, plan: ObjectPaymentPlan) -> None:
    least = money.from_minor(money.minimum_minor(plan.currency), plan.currency)
    for part in parts:
        if not 0 < part.left < least:
            continue
        less, more = amount - (least - part.left), _shown(amount + part.left, plan)
        works = _("%(less)s or %(more)s") % {"less": _shown(less, plan), "more": more} if less >= least else more
        raise CannotPay(
            _("That would leave %(rest)s of one payment, and a card cannot pay less than %(least)s. Pay %(works)s.")
            % {
                "rest": _shown(part.left, plan),
                "least": _shown(least, plan),
                "works": works,
            }
        )


def _shown(amount: Decimal, plan: ObjectPaymentPlan) -> str:
    return money.format_money(amount, plan.currency, get_language() or "en-gb")


def create_checkout_early(
    plan: ObjectPaymentPlan, amount: Decimal, user: Actor = None, *, another_card: bool = False
) -> Checkout:
    """The payer is here to pay `amount` of what is left of a plan, before its day: an attempt with its intent. The
    plan's card is offered first, unless they want `another_card`.

    It reserves what it asks for on every line that it pays, so a run takes none of it meanwhile. Raises as `parts_of`,
    AlreadyPaid, AttemptInProgress while something of it is being taken, OutcomeUnknown when Stripe gave no answer.
    """
    assert_no_transaction()
    payer = actor(user)
    parts = parts_of(plan, amount)
    existing = Checkout.objects.asking_for(parts[0].line).taking_money().open().first()
    theirs = existing is not None and not payers.is_of_former(plan, existing)
    if existing is not None and theirs and existing.allocated and _asks_for(existing, parts):
        if another_card:
            on_session.without_saved_card(existing)
        return intents.ensure_intent(checkouts.take_over(existing, payer))
    for part in parts:
        intents.close_open_attempts(part.line, payer)
    return intents.once_more(lambda: _begin(plan, amount, payer, another_card=another_card))


def _asks_for(checkout: Checkout, parts: Sequence[Part]) -> bool:
    asked = [(debt.pk, amount) for debt, amount in attempt_debts.parts_of(checkout)]
    return checkout.is_payment and asked == [(part.line.debt_id, part.amount) for part in parts]


def _begin(plan: ObjectPaymentPlan, amount: Decimal, user: Actor, *, another_card: bool) -> Checkout:
    customer = cards.ensure_customer(plan.checkout_email, plan.checkout_name)
    stripe_customer_id = cards.ensure_stripe_customer(customer)
    try:
        with transaction.atomic(durable=True):
            # The lock meets the UPDATE of `plans.stop`: either it sees this attempt, or this sees the stopped plan.
            held = ObjectPaymentPlan.objects.select_for_update(no_key=True, of=("self",)).select_related("payment_plan")
            # Asked again under it, for something may have been paid since it was shown.
            parts = parts_of(held.get(pk=plan.pk), amount)
            card = plan.card
            begun = attempt_rows.insert_in_parts(
                parts[0].line,
                actions.PAYMENT,
                user,
                [(debts.of_line(part.line), part.amount) for part in parts],
                description="\n".join([*_about(plan), describe(parts)])[:1000],
                customer=customer,
                stripe_customer_id=stripe_customer_id,
                # The saved card is offered first; the intent takes any.
                payment_method_id=card.payment_method_id if card is not None and not another_card else "",
            )
            # The page says what becomes of another card that is used here.
            agreements.write(begun, agreements.another_card(plan), user)
            return begun
    except IntegrityError as error:
        raise AttemptInProgress(_("Another payment for this is under way. Please look again in a minute.")) from error


def allocate_again(checkout: Checkout) -> None:
    """An attempt that a restored database has lost paid several lines: by the same rule they are the same again. Where
    they are not, all of it is posted on the first, and what is too much there is told as a problem."""
    line = checkout.content_object
    if not isinstance(line, ObjectPaymentPlanInstalment) or checkout.total is None:
        return
    try:
        parts = parts_of(line.object_payment_plan, checkout.total)
    except CheckoutError:
        return
    Allocation.objects.bulk_create(
        Allocation(checkout=checkout, debt=debts.of_line(part.line), amount=part.amount) for part in parts
    )
    Checkout.objects.filter(pk=checkout.pk).update(allocated=True)
    checkout.allocated = True


def _about(plan: ObjectPaymentPlan) -> list[str]:
    row: Any = plan.content_object
    return [str(line) for line in row.checkout_description] if row is not None else []


def describe(parts: Sequence[Part]) -> str:
    """What a payment is for, in one line."""
    rows = sorted(parts, key=lambda part: part.line.count)
    numbers = [
        (_("%(number)d (part)") if part.left else "%(number)d") % {"number": part.line.count - 1} for part in rows
    ]
    return ngettext("Instalment %(numbers)s", "Instalments %(numbers)s", len(rows)) % {"numbers": ", ".join(numbers)}

"""A deposit that is paid while the card is saved: one visit to the bank, and the plan begins if and only if it came."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from checkout import actions, clock, money
from checkout.contract import Actor
from checkout.errors import PlanError
from checkout.gateway import PaymentIntent
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlan, Problem
from checkout.services import agreements, applying, attempt_rows, cards, ending


def came(checkout: Checkout, intent: PaymentIntent, user: Actor = None) -> None:
    """The deposit came: the card is kept, the row is told, the plan begins, and its deposit is paid, in the caller's
    transaction.

    The money is an attempt of its own at the deposit's line, with the intent: receipt, refund and dispute find it there
    as they find every other. Where the plan cannot begin (the site refuses it, or has another one by now) the money is
    in the books all the same, on a plan that takes nothing more, and a problem is open.
    """
    cards.store_card(checkout, intent)
    won = ending.succeed(
        checkout,
        user=user,
        why=Why(Code.STRIPE_SUCCEEDED),
        request_id=intent.request_id,
        tell=False,
        # It belongs to the deposit from now on.
        payment_intent_id="",
        payment_method_id=intent.payment_method_id,
    )
    if not won:
        return
    if agreements.live_plan(checkout) is not None:
        refusal: applying.Refusal | None = applying.Refusal(Problem.Kind.NOT_PAYABLE)
    else:
        refusal = applying.ask(checkout, lambda: _begin(checkout, intent, user))
    if refusal is None:
        ending.told(checkout)
        return
    deposit = _book(agreements.begin_stopped(checkout), checkout, intent, user, tell=False)
    applying.set_aside(deposit, refusal)


def _begin(checkout: Checkout, intent: PaymentIntent, user: Actor) -> None:
    plan = agreements.ensure_plan(checkout)
    if plan is None:
        raise PlanError(f"Checkout {checkout.pk} names no plan to begin.")
    _book(plan, checkout, intent, user)


def _book(plan: ObjectPaymentPlan, checkout: Checkout, intent: PaymentIntent, user: Actor, **how: Any) -> Checkout:
    """The attempt at the deposit's line that this money is. Raises PlanError for a plan of the site's own making whose
    deposit is another amount."""
    line: Any = plan.instalments.select_related("object_payment_plan__payment_plan", "debt").get(deposit=True)
    deposit = attempt_rows.build(
        line,
        actions.PAYMENT,
        checkout.user,
        begun_by=checkout,
        customer=checkout.customer,
        stripe_customer_id=checkout.stripe_customer_id,
        payment_plan=checkout.payment_plan,
        claimed_at=checkout.claimed_at,
        created_at=checkout.created_at,
        seen_at=clock.now(),
    )
    deposit.language, deposit.livemode = checkout.language, checkout.livemode
    if deposit.total != checkout.deposit:
        raise PlanError(
            _("The deposit of the plan is %(owed)s, and %(came)s was agreed and paid.")
            % {
                "owed": money.format_money(deposit.total or Decimal(0), checkout.currency),
                "came": money.format_money(checkout.deposit or Decimal(0), checkout.currency),
            }
        )
    attempt_rows.insert_many([deposit], user)
    ending.succeed(
        deposit,
        user=user,
        why=Why(Code.STRIPE_SUCCEEDED),
        request_id=intent.request_id,
        payment_intent_id=intent.id,
        payment_method_id=intent.payment_method_id,
        **how,
    )
    return deposit

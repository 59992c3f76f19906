"""The one door: a Stripe intent's true status comes into our rows here, and nowhere else.

Webhook, poll, return page, run and command all bring an id or a freshly read intent, never a verdict. Twice, late or
out of order is a normal day: the second caller finds `success` and leaves quietly.
"""

from __future__ import annotations

import logging
from typing import Any

from checkout import tracing
from checkout.contract import Actor
from checkout.errors import GatewayError
from checkout.gateway import PaymentIntent, SetupIntent, gateway
from checkout.ids import uuid_or_none
from checkout.models import Agreement, Checkout, ObjectPaymentPlan, PlanChange
from checkout.services import cards, plans, settling, take_overs

logger = logging.getLogger("checkout.fulfillment")


def fulfill(checkout: Checkout, user: Actor = None) -> Checkout:
    """Read the attempt's intent from Stripe and settle what it says. Safe to call at any time, by anyone, again.

    Raises OutcomeUnknown when Stripe cannot be read, IntentMismatch when the intent is not what was agreed, HookFailed
    when the host's hook raised (nothing is settled then; the next sweep tries again).
    """
    if not checkout.intent_id:
        return checkout
    if checkout.by_setup_intent:
        return fulfill_setup_intent(checkout.setup_intent_id, user)
    return bring(checkout, gateway().retrieve_payment_intent(checkout.payment_intent_id), user)


def fulfill_just_read(checkout: Checkout, beside: settling.Beside) -> Checkout:
    """`fulfill` for a payment whose row was read right now, with its debt: it is not read again. `beside` as
    `settling.settle`."""
    intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    return bring(checkout, intent, read=checkout, beside=beside)


def fulfill_payment_intent(intent_id: str, user: Actor = None) -> Checkout:
    """Settle what Stripe says about this PaymentIntent. Raises Checkout.DoesNotExist when it is not one of ours."""
    intent = gateway().retrieve_payment_intent(intent_id)
    return bring(_owner(intent), intent, user)


def fulfill_setup_intent(intent_id: str, user: Actor = None) -> Checkout:
    """Settle what Stripe says about this SetupIntent; after a plan's card is saved, its deposit is charged."""
    intent = gateway().retrieve_setup_intent(intent_id)
    return bring(_owner(intent), intent, user)


def bring(checkout: Checkout, intent: PaymentIntent | SetupIntent, user: Actor = None, **how: Any) -> Checkout:
    """Settle an intent that was just read (one by one or from a list), and do what follows once that is committed.
    `how` a payment is settled: `read` and `beside`, as `settling.settle`."""
    with tracing.span("checkout.attempt", checkout=checkout.pk):
        settled = _bring(checkout, intent, user, **how)
        tracing.note(state=settled.state_id or "")
        return settled


def _bring(checkout: Checkout, intent: PaymentIntent | SetupIntent, user: Actor, **how: Any) -> Checkout:
    if isinstance(intent, SetupIntent):
        return _bring_setup(checkout, intent, user)
    settled = settling.settle(checkout.pk, intent, user, **how)
    if settled.succeeded and (settled.is_payment or settled.deposit is not None) and settled.customer_id is not None:
        _after_a_new_card(settled)
    return settled


def _bring_setup(before: Checkout, intent: SetupIntent, user: Actor) -> Checkout:
    checkout = settling.settle(before.pk, intent, user)
    if checkout.succeeded and checkout.customer is not None and not before.succeeded:
        cards.detach_replaced(checkout.customer)
    if checkout.succeeded:
        go_on(checkout)
    row = checkout.content_object if checkout.succeeded and not before.succeeded else None
    if isinstance(plan := row, ObjectPaymentPlan):
        plans.take_declined(plan)
    if isinstance(change := row, PlanChange):
        change.plan.refresh_from_db()
        take_overs.take_what_waits(change.plan)
        plans.take_declined(change.plan)
    return checkout


def go_on(checkout: Checkout) -> None:
    """Of a saved card that was settled before: whoever did it may have been cut off before its plan's deposit was
    taken. Where none waits, Stripe is asked for nothing."""
    if checkout.is_payment_plan:
        plans.take_waiting_deposit(checkout)


def _after_a_new_card(checkout: Checkout) -> None:
    """What is printed on a card that was saved while paying is not on the intent. A failure here changes nothing."""
    agreement = Agreement.objects.filter(checkout=checkout).select_related("saved_card").first()
    card = agreement.saved_card if agreement is not None else None
    if card is None or checkout.customer is None:
        return
    if not card.last4:
        try:
            cards.read_card(card)
        except GatewayError as problem:
            logger.warning("saved card %s was not read: %s", card.pk, problem)
    cards.detach_replaced(checkout.customer)


def _owner(intent: PaymentIntent | SetupIntent) -> Checkout:
    """The attempt that an intent belongs to: by id, or by our metadata when the answer that named the id was lost."""
    column = "setup_intent_id" if isinstance(intent, SetupIntent) else "payment_intent_id"
    found = Checkout.objects.filter(**{column: intent.id}).first()
    if found is not None:
        return found
    uuid = uuid_or_none(intent.metadata.get("checkout", ""))
    checkout = Checkout.objects.filter(**{column: ""}, uuid=uuid).first() if uuid else None
    if checkout is None:
        raise Checkout.DoesNotExist(f"No checkout of ours asked for {intent.id}.")
    Checkout.objects.filter(pk=checkout.pk, **{column: ""}).update(**{column: intent.id})
    return checkout

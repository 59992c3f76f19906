"""What happens when a PaymentIntent is confirmed (https://docs.stripe.com/payments/paymentintents/lifecycle)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stripe_emulator.core.errors import ApiError, invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World

from . import charges, disputes, issuers, payment_methods
from .cards import Card
from .declines import AUTHENTICATION, THREE_DS_ERROR, Decline, decline_for, of_network
from .intents import (
    authentication,
    check_owner,
    check_return_url,
    chosen_method,
    last_error,
    next_action,
    unexpected_state,
)
from .tokens import check_context

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing")

_FAILED_AUTHENTICATION = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again."
)


@dataclass(slots=True)
class Attempt:
    """A confirmation that passed every check and may begin."""

    method: JSON
    params: JSON
    publishable: bool
    off_session: bool


def prepare(world: World, intent: JSON, params: JSON, *, publishable: bool) -> Attempt:
    """Everything that can be refused before the bank is asked. Leaves the intent as it is.

    A new intent is not stored yet when it comes here: refused here, it never existed.
    """
    _check_confirmable(intent)
    if "amount_to_confirm" in params and params["amount_to_confirm"] != intent["amount"]:
        raise invalid(
            f"The amount_to_confirm ({params['amount_to_confirm']}) does not match the amount of this PaymentIntent "
            f"({intent['amount']}).",
            "amount_to_confirm",
        )
    check_context(intent, params)
    method = chosen_method(world, params, publishable=publishable) or _fallback(world, intent)
    if method is None:
        raise _without_method(intent)
    check_owner("payment_intent", intent["customer"], method)
    payment_methods.check_usable(world, method)
    check_return_url(intent, params, publishable=publishable)
    return Attempt(method, params, publishable, off_session=bool(params.get("off_session")))


def _fallback(world: World, intent: JSON) -> JSON | None:
    """The intent's own method; else the customer's old default card, which may surprise whoever forgot to name one."""
    if intent["payment_method"] is not None:
        return world.get("payment_method", intent["payment_method"])
    customer = world.tables["customer"].get(intent["customer"] or "") or {}
    source = customer.get("default_source")
    return None if source is None else world.get("payment_method", source)


def _without_method(intent: JSON) -> ApiError:
    customer = intent["customer"]
    ending = f" The Customer {customer} has no default source to fall back on." if customer else ""
    return unexpected_state(
        intent,
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
        "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment "
        f"method or ConfirmationToken.{ending}",
    )


def _check_confirmable(intent: JSON) -> None:
    status = intent["status"]
    if status == "succeeded":
        raise unexpected_state(
            intent,
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.",
        )
    if status not in CONFIRMABLE:
        raise unexpected_state(
            intent,
            f"You cannot confirm this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one "
            "of the following statuses may be confirmed: requires_payment_method, requires_confirmation, "
            "requires_action.",
        )


def run(world: World, intent: JSON, attempt: Attempt) -> None:
    """Ask the bank. Raises the 402 of a decline; otherwise the intent has moved on."""
    method, params = attempt.method, attempt.params
    card = payment_methods.card_of(world, method)
    hidden = world.hide(intent["id"])
    world.change(intent, payment_method=method["id"], last_payment_error=None, next_action=None)
    # With manual confirmation the server confirms once more after the payer's challenge.
    passed = hidden.pop("passed", None) == method["id"]
    options = (intent["payment_method_options"] or {}).get("card", {})
    step = authentication(
        card,
        set_up=bool(payment_methods.facts(world, method).get("set_up")),
        off_session=attempt.off_session,
        asked=options.get("request_three_d_secure"),
    )
    if passed:
        charge(world, intent, method, card, flow="challenge")
    elif step == "refuse" or (step == "challenge" and params.get("error_on_requires_action")):
        raise fail(world, intent, method, AUTHENTICATION)
    elif step == "challenge":
        action = next_action(world, intent, params, publishable=attempt.publishable)
        world.change(intent, status="requires_action", next_action=action)
        world.emit("payment_intent.requires_action", intent)
    elif step == "bank_refuses":
        charge(world, intent, method, card, flow=None, decline=decline_for("authentication_required"))
    elif step == "breaks":
        charge(world, intent, method, card, flow=None, decline=THREE_DS_ERROR)
    else:
        charge(world, intent, method, card, flow="frictionless" if step == "frictionless" else None)


def charge(
    world: World, intent: JSON, method: JSON, card: Card, *, flow: str | None, decline: Decline | None = None
) -> None:
    """The bank's answer: raises the 402 of a decline, or takes (or holds) the money."""
    decline = decline or issuers.answer(world, method, card, intent)
    payment_methods.pass_checks(world, method, card)
    options = (intent["payment_method_options"] or {}).get("card", {})
    manual = "manual" in (options.get("capture_method"), intent["capture_method"])
    if decline is not None:
        decline = of_network(decline, method["card"]["brand"])
        failed = charges.make(world, intent, method, card, decline=decline, captured=False, flow=flow)
        raise fail(world, intent, method, decline, failed["id"])
    _keep_method(world, intent, method, options, flow)
    made = charges.make(world, intent, method, card, decline=None, captured=not manual, flow=flow)
    if manual:
        world.change(intent, status="requires_capture", amount_capturable=intent["amount"], latest_charge=made["id"])
        world.later(world.timings.hold, "lapse_hold", intent=intent["id"])
        world.emit("payment_intent.amount_capturable_updated", intent)
        return
    _aftermath(world, made, card)
    world.change(intent, status="succeeded", amount_received=intent["amount"], latest_charge=made["id"])
    world.emit("payment_intent.succeeded", intent)
    complete_session(world, intent)


def complete_session(world: World, intent: JSON) -> None:
    """Have the checkout session of this intent, if it has one, take note of its success."""
    session = (world.hidden.get(intent["id"]) or {}).get("session")
    if session is not None:
        world.later(0, "complete_session", session=session)


def _keep_method(world: World, intent: JSON, method: JSON, options: JSON, flow: str | None) -> None:
    """Attach the method when it is to be used again; otherwise this use was its only one."""
    future = options.get("setup_future_usage") or intent["setup_future_usage"]
    hidden = payment_methods.facts(world, method)
    if future not in (None, "none") and intent["customer"] is not None:
        payment_methods.attach_to(world, method, intent["customer"])
        if flow is not None:
            hidden["set_up"] = True
    if method["customer"] is None:
        hidden["used"] = True


def _aftermath(world: World, made: JSON, card: Card) -> None:
    """What Stripe and the bank do by themselves once money was captured.

    The dispute of a test card comes at once. Recorded at Stripe: it is told before the payment's own success.
    """
    timings = world.timings
    world.later(timings.settle, "settle", charge=made["id"], at_once=card.available_at_once)
    if card.dispute is not None:
        with world.unasked():
            disputes.open_dispute(world, made, card.dispute, inquiry=card.inquiry)
    if card.fraud_warning:
        world.later(timings.fraud_warning, "fraud_warning", charge=made["id"])


def fail(world: World, intent: JSON, method: JSON, decline: Decline, charge_id: str | None = None) -> ApiError:
    """Put the intent back to wanting a payment method; the error to raise."""
    error = last_error(method, decline.message, **payment_methods.decline_facts(decline))
    if charge_id is not None:
        error["charge"] = charge_id
    record_failure(world, intent, {**error, "payment_method_type": "card"}, charge_id)
    details: dict[str, Any] = {"payment_method": dict(method), "charge": charge_id, "payment_intent": intent}
    return payment_methods.card_error(decline, **details)


def record_failure(world: World, intent: JSON, error: JSON, charge_id: str | None = None) -> None:
    world.change(
        intent,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=error,
        latest_charge=charge_id or intent["latest_charge"],
    )
    world.emit("payment_intent.payment_failed", intent)


# -- the payer at the bank's page -----------------------------------------------------------------------------
def pass_challenge(world: World, intent: JSON) -> None:
    """The payer authenticated. A decline afterwards is told by the intent: no request of ours was declined."""
    method = world.get("payment_method", intent["payment_method"])
    world.hide(intent["id"]).pop("challenge", None)
    if intent["confirmation_method"] == "manual":
        world.hide(intent["id"])["passed"] = method["id"]
        world.change(intent, status="requires_confirmation", next_action=None)
        return
    world.change(intent, next_action=None)
    try:
        charge(world, intent, method, payment_methods.card_of(world, method), flow="challenge")
    except ApiError:
        return


def fail_challenge(world: World, intent: JSON) -> None:
    method = world.get("payment_method", intent["payment_method"])
    world.hide(intent["id"]).pop("challenge", None)
    code = "payment_intent_authentication_failure"
    error = last_error(method, _FAILED_AUTHENTICATION, code, "invalid_request_error")
    record_failure(world, intent, {**error, "payment_method_type": "card"})


# -- holding and letting go -----------------------------------------------------------------------------------
def capture(world: World, intent: JSON, amount: int) -> None:
    """Take `amount` minor units of what is held; the rest is released, which is no refund."""
    held = world.get("charge", intent["latest_charge"])
    details = dict(held["payment_method_details"]["card"])
    details.pop("capture_before", None)
    previous = world.change(
        held,
        captured=True,
        amount_captured=amount,
        payment_method_details={**held["payment_method_details"], "card": details},
    )
    world.emit("charge.captured", held, previous)
    method = world.get("payment_method", held["payment_method"])
    _aftermath(world, held, payment_methods.card_of(world, method))
    world.change(intent, status="succeeded", amount_received=amount, amount_capturable=0)
    world.emit("payment_intent.succeeded", intent)


def cancel(world: World, intent: JSON, reason: str | None) -> None:
    held = intent["status"] == "requires_capture"
    world.change(
        intent,
        status="canceled",
        canceled_at=world.timestamp(),
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    if held and reason == "automatic":
        world.emit("charge.expired", world.get("charge", intent["latest_charge"]))
    world.emit("payment_intent.canceled", intent)


def lapse_hold(world: World, about: JSON) -> None:
    """Seven days after an authorisation that nobody captured, Stripe lets it go."""
    intent = world.get("payment_intent", about["intent"])
    if intent["status"] == "requires_capture":
        cancel(world, intent, "automatic")

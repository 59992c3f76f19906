"""What happens when a SetupIntent is confirmed (https://docs.stripe.com/payments/setup-intents)."""

from __future__ import annotations

from dataclasses import replace

from stripe_emulator.core.errors import ApiError
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World

from . import payment_methods
from .cards import Card
from .declines import THREE_DS_ERROR, Decline
from .intents import (
    authentication,
    check_owner,
    check_return_url,
    chosen_method,
    last_error,
    next_action,
    three_d_secure,
    unexpected_state,
)
from .paying import Attempt, complete_session
from .tokens import check_context

_FAILED_AUTHENTICATION = "The latest attempt to set up the payment method has failed because authentication failed."
CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def prepare(world: World, intent: JSON, params: JSON, *, publishable: bool) -> Attempt:
    """Everything that can be refused before the bank is asked.

    Unlike a PaymentIntent of old, a SetupIntent never falls back on the customer's default.
    """
    status = intent["status"]
    if status == "succeeded":
        raise unexpected_state(
            intent, "You cannot confirm this SetupIntent because it has already succeeded after being confirmed."
        )
    if status not in CANCELABLE:
        raise unexpected_state(intent, f"You cannot confirm this SetupIntent because it has a status of {status}.")
    check_context(intent, params)
    method = chosen_method(world, params, publishable=publishable)
    if method is None and intent["payment_method"] is not None:
        method = world.get("payment_method", intent["payment_method"])
    if method is None:
        raise unexpected_state(
            intent,
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a "
            "payment method and then confirm it again.",
        )
    check_owner("setup_intent", intent["customer"], method)
    payment_methods.check_usable(world, method)
    check_return_url(intent, params, publishable=publishable)
    return Attempt(method, params, publishable, off_session=False)


def run(world: World, intent: JSON, attempt: Attempt) -> None:
    """Ask the bank. Raises the 402 of a decline; otherwise the intent has moved on."""
    method = attempt.method
    card = payment_methods.card_of(world, method)
    _abandon_attempt(world, intent)
    world.change(intent, payment_method=method["id"], last_setup_error=None, next_action=None)
    options = (intent["payment_method_options"] or {}).get("card", {})
    step = authentication(card, set_up=False, off_session=False, asked=options.get("request_three_d_secure"))
    tried = _new_attempt(world, intent, method)
    if step == "challenge":
        world.change(tried, status="requires_action")
        action = next_action(world, intent, attempt.params, publishable=attempt.publishable)
        world.change(intent, status="requires_action", next_action=action)
        world.emit("setup_intent.requires_action", intent)
    elif step == "breaks":
        finish(world, intent, method, card, flow=None, decline=THREE_DS_ERROR)
    else:
        finish(world, intent, method, card, flow="frictionless" if step == "frictionless" else None)


def _abandon_attempt(world: World, intent: JSON) -> None:
    last = world.tables["setup_attempt"].get(intent["latest_attempt"] or "")
    if last is not None and last["status"] == "requires_action":
        world.change(last, status="abandoned")


def _new_attempt(world: World, intent: JSON, method: JSON) -> JSON:
    card = method["card"]
    row = world.add(
        {
            "id": world.ids.new("setatt"),
            "object": "setup_attempt",
            "application": None,
            "created": world.timestamp(),
            "customer": intent["customer"],
            "customer_account": None,
            "flow_directions": None,
            "livemode": False,
            "on_behalf_of": None,
            "payment_method": method["id"],
            "payment_method_details": {
                "card": {
                    **{name: card[name] for name in ("brand", "checks", "country", "exp_month", "exp_year",
                                                     "fingerprint", "funding", "last4")},
                    "network": card["brand"],
                    "three_d_secure": None,
                    "wallet": _wallet(card["wallet"]),
                },
                "type": "card",
            },
            "setup_error": None,
            "setup_intent": intent["id"],
            "status": "requires_confirmation",
            "usage": intent["usage"],
        }
    )  # fmt: skip
    world.change(intent, latest_attempt=row["id"])
    return row


def _wallet(wallet: JSON | None) -> JSON | None:
    """Set-ups tell of a wallet without the number of the device."""
    return wallet and {name: value for name, value in wallet.items() if name != "dynamic_last4"}


def finish(
    world: World, intent: JSON, method: JSON, card: Card, *, flow: str | None, decline: Decline | None = None
) -> None:
    """The bank's answer: the card is saved, or the 402 of a decline is raised."""
    if decline is None and not card.saves:
        decline = card.decline
    tried = world.get("setup_attempt", intent["latest_attempt"])
    if decline is not None:
        # Recorded at Stripe: a refusal to save a card tells the codes, and neither advice nor the network's code.
        decline = replace(decline, advice_code=None, network_decline_code=None)
        error = last_error(method, decline.message, **payment_methods.decline_facts(decline))
        _record_failure(world, intent, tried, error)
        raise payment_methods.card_error(decline, payment_method=dict(method), setup_intent=intent)
    payment_methods.pass_checks(world, method, card)
    details = tried["payment_method_details"]
    shown = {**details["card"], "checks": method["card"]["checks"], "three_d_secure": three_d_secure(world, flow)}
    world.change(tried, status="succeeded", payment_method_details={**details, "card": shown})
    facts = payment_methods.facts(world, method)
    facts["set_up"] = True
    if intent["customer"] is not None:
        payment_methods.attach_to(world, method, intent["customer"])
    world.change(intent, status="succeeded", next_action=None, last_setup_error=None)
    world.emit("setup_intent.succeeded", intent)
    complete_session(world, intent)


def _record_failure(world: World, intent: JSON, tried: JSON, error: JSON) -> None:
    world.change(tried, status="failed", setup_error=error)
    world.change(
        intent, status="requires_payment_method", payment_method=None, next_action=None, last_setup_error=error
    )
    world.emit("setup_intent.setup_failed", intent)


def pass_challenge(world: World, intent: JSON) -> None:
    """The payer authenticated at the bank."""
    method = world.get("payment_method", intent["payment_method"])
    world.hide(intent["id"]).pop("challenge", None)
    try:
        finish(world, intent, method, payment_methods.card_of(world, method), flow="challenge")
    except ApiError:
        return  # told by the intent: it was not a request of ours that the bank declined


def fail_challenge(world: World, intent: JSON) -> None:
    method = world.get("payment_method", intent["payment_method"])
    world.hide(intent["id"]).pop("challenge", None)
    code = "setup_intent_authentication_failure"
    error = last_error(method, _FAILED_AUTHENTICATION, code, "invalid_request_error")
    _record_failure(world, intent, world.get("setup_attempt", intent["latest_attempt"]), error)


def cancel(world: World, intent: JSON, reason: str | None) -> None:
    _abandon_attempt(world, intent)
    world.change(intent, status="canceled", cancellation_reason=reason, next_action=None)
    world.emit("setup_intent.canceled", intent)

"""What PaymentIntents and SetupIntents share: secrets, the trimmed view, methods, who owns what, what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from stripe_emulator.core.errors import ApiError, doc_url, invalid, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import Kind, List, Text
from stripe_emulator.wire.routing import Call
from stripe_emulator.wire.specs import ACCEPTED_METHODS, ALLOWED_METHODS, AUTOMATIC_METHODS, METHOD_TYPE

from . import configurations, payment_methods
from .cards import Card

# What a publishable key and the client secret may see (https://docs.stripe.com/api/payment_intents/object, the
# attributes marked as retrievable with a publishable key).
_PUBLIC = {
    "payment_intent": (
        "id", "object", "amount", "canceled_at", "cancellation_reason", "capture_method",
        "client_secret", "confirmation_method", "created", "currency", "description", "last_payment_error", "livemode",
        "next_action", "payment_method", "payment_method_types", "receipt_email", "setup_future_usage", "shipping",
        "status",
    ),
    "setup_intent": (
        "id", "object", "cancellation_reason", "client_secret", "created", "description",
        "last_setup_error", "livemode", "next_action", "payment_method", "payment_method_types", "status", "usage",
    ),
}  # fmt: skip


def trimmed(intent: JSON) -> JSON:
    return {name: intent[name] for name in _PUBLIC[intent["object"]]}


def check_secret(intent: JSON, call: Call) -> None:
    """A publishable key needs the intent's client secret; a wrong one is refused whoever sends it."""
    sent = call.params.get("client_secret")
    if sent is None:
        if call.publishable:
            raise invalid("Missing required param: client_secret.", "client_secret", "parameter_missing")
    elif sent != intent["client_secret"]:
        name = "PaymentIntent" if intent["object"] == "payment_intent" else "SetupIntent"
        raise invalid(
            f"The client_secret provided does not match the client_secret associated with the {name}.",
            "client_secret",
        )


METHOD_SELECTION: dict[str, Kind] = {
    "allowed_payment_method_types": ALLOWED_METHODS,
    "excluded_payment_method_types": ALLOWED_METHODS,
    "payment_method_configuration": Text(100),
    "payment_method_types": List(METHOD_TYPE),  # until endive; see core/versions.py
}
NEW_METHOD_SELECTION: dict[str, Kind] = {**METHOD_SELECTION, "automatic_payment_methods": AUTOMATIC_METHODS}
_SELECTORS = ("automatic_payment_methods", "excluded_payment_method_types", "payment_method_configuration")


def method_selection(world: World, params: JSON) -> JSON:
    """The attributes that say which payment methods an intent takes."""
    allowed = params.get("allowed_payment_method_types")
    excluded = params.get("excluded_payment_method_types")
    if allowed:
        for other in _SELECTORS:
            if other in params:
                message = f"You may only specify one of these parameters: allowed_payment_method_types, {other}."
                raise invalid(message, "allowed_payment_method_types")
    by_hand = params.get("payment_method_types")
    if by_hand:
        return _by_hand(params, by_hand)
    types = [t for t in ACCEPTED_METHODS if (not allowed or t in allowed) and t not in (excluded or ())]
    if not types:
        raise invalid(
            "No valid payment method types for this intent. Please ensure that you have activated payment methods "
            "compatible with your chosen currency in your dashboard.",
            "allowed_payment_method_types" if allowed else "excluded_payment_method_types",
        )
    automatic = params.get("automatic_payment_methods")
    if allowed:
        shown = None
    else:
        automatic = automatic or {"enabled": True}
        shown = {"allow_redirects": automatic.get("allow_redirects", "always"), "enabled": automatic["enabled"]}
    configuration = params.get("payment_method_configuration") or configurations.default_id(world)
    return {
        "allowed_payment_method_types": allowed,
        "automatic_payment_methods": shown,
        "excluded_payment_method_types": excluded,
        "payment_method_configuration_details": None if allowed else {"id": configuration, "parent": None},
        "payment_method_types": types,
    }


def _by_hand(params: JSON, types: list[str]) -> JSON:
    """The types that a server named itself, as it could until endive."""
    for other in (*_SELECTORS, "allowed_payment_method_types"):
        if other in params:
            message = f"You may only specify one of these parameters: {other}, payment_method_types."
            raise invalid(message, "payment_method_types")
    check_by_hand(types)
    return {
        "allowed_payment_method_types": None,
        "automatic_payment_methods": None,
        "excluded_payment_method_types": None,
        "payment_method_configuration_details": None,
        "payment_method_types": types,
    }


def check_by_hand(types: list[str]) -> None:
    for kind in types:
        if kind not in ACCEPTED_METHODS:
            raise invalid(
                f"The payment method type provided: {kind} is invalid. Please ensure the provided type is activated in "
                "your dashboard and your account is enabled for any preview features that you are trying to use. (The "
                "emulator accepts cards only.)",
                "payment_method_types",
            )


def reselect(intent: JSON, params: JSON) -> JSON:
    """Changes of an update or confirmation that narrows the payment methods again."""
    changes: JSON = {}
    for name in ("allowed_payment_method_types", "excluded_payment_method_types"):
        if name in params:
            changes[name] = params[name]
    if params.get("payment_method_types"):
        check_by_hand(params["payment_method_types"])
        changes["payment_method_types"] = params["payment_method_types"]
    if changes.get("allowed_payment_method_types") or "payment_method_types" in changes:
        changes["automatic_payment_methods"] = None
        changes["payment_method_configuration_details"] = None
    return changes


def is_confirmed(params: JSON, only_then: Iterable[str]) -> bool:
    """Whether a new intent is to be confirmed at once; else refuse the parameters that make sense `only_then`."""
    confirmed: bool = params.get("confirm", False)
    if not confirmed:
        for name in only_then:
            if params.get(name, False) is not False:  # to say that the payer is there promises nothing
                raise invalid(f"The parameter `{name}` can only be used when `confirm` is set to `true`.", name)
    return confirmed


# -- which method, and whose ---------------------------------------------------------------------------------
def chosen_method(world: World, params: JSON, *, publishable: bool) -> JSON | None:
    """The payment method that a request names, made if it has to be; None when it names none. See `tokens.carried`."""
    if "payment_method" in params:
        return payment_methods.resolve(world, params["payment_method"])
    if "payment_method_data" in params:
        return payment_methods.from_data(world, params["payment_method_data"], publishable=publishable)
    return None


def check_owner(intent_kind: str, customer: str | None, method: JSON) -> None:
    owner = method["customer"]
    if owner is None or owner == customer:
        return
    if customer is not None:
        raise invalid(
            f"The PaymentMethod {method['id']} does not belong to the Customer you supplied {customer}. Please use "
            "this PaymentMethod with the Customer that it belongs to instead.",
            "payment_method",
        )
    name = "PaymentIntent" if intent_kind == "payment_intent" else "SetupIntent"
    message = (
        f"The PaymentMethod {method['id']} you provided belongs to the Customer {owner}. Please include the Customer "
        f"in the `customer` parameter on the {name}."
    )
    if intent_kind == "payment_intent":
        raise invalid(message, "source", "parameter_missing")  # `source` is what Stripe says
    raise invalid(message, "payment_method")


def check_return_url(intent: JSON, params: JSON, *, publishable: bool) -> None:
    """Methods that redirect need somewhere to return to; an intent that names its types takes cards only here.

    Whether Stripe asks for it with `off_session` is not documented; here it does, so that code which runs against the
    emulator runs against Stripe.
    """
    if params.get("return_url") or (publishable and params.get("use_stripe_sdk")):
        return
    automatic = intent["automatic_payment_methods"]
    if automatic is None or not automatic["enabled"] or automatic["allow_redirects"] == "never":
        return
    name = "Payment Intent" if intent["object"] == "payment_intent" else "Setup Intent"
    raise invalid(
        f"A `return_url` must be specified because this {name} is configured to automatically accept the payment "
        "methods enabled in the Dashboard, some of which may require a full page redirect to succeed. If you do not "
        "want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and "
        "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.",
        "return_url",
    )


# -- what the bank wants --------------------------------------------------------------------------------------
Step = Literal["none", "frictionless", "challenge", "refuse", "bank_refuses", "breaks"]


def authentication(card: Card, *, set_up: bool, off_session: bool, asked: str | None) -> Step:
    """What happens before the bank is asked for money: nothing, 3-D Secure, or a refusal for want of the payer."""
    wanted = asked in ("any", "challenge")
    if card.lookup_fails == "always" or (card.lookup_fails == "if_asked" and wanted):
        return "breaks"
    if off_session and card.off_session == "bank_refuses":
        return "bank_refuses"
    if off_session:
        needs_payer = card.off_session == "refuse" or (card.off_session == "ok_if_set_up" and not set_up)
        return "refuse" if needs_payer else "none"
    if card.challenge or (card.challenge_if_asked and wanted):
        return "challenge"
    if card.frictionless or (wanted and card.three_d_secure):
        return "frictionless"
    return "none"


def next_action(world: World, intent: JSON, params: JSON, *, publishable: bool) -> JSON:
    """How the payer gets to the bank's page: by Stripe.js, or by a redirect when a server confirmed."""
    challenge = world.ids.new("src")
    world.hide(intent["id"])["challenge"] = challenge
    back = params.get("return_url")
    if publishable or params.get("use_stripe_sdk") or back is None:
        return {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {
                "type": "three_d_secure_redirect",
                "source": challenge,
                "stripe_js": f"{world.bank_url}/emulator/challenge/{intent['id']}",
            },
        }
    return {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": back,
            "url": f"{world.bank_url}/emulator/challenge/{intent['id']}"
            f"?client_secret={intent['client_secret']}&source={challenge}",
        },
    }


def three_d_secure(world: World, flow: str | None) -> JSON | None:
    """`three_d_secure` of a charge or attempt that was authenticated, else null."""
    if flow is None:
        return None
    return {
        "authentication_flow": flow,
        "electronic_commerce_indicator": "05",
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": world.ids.text("three_d_secure", 36),
        "version": "2.2.0",
    }


def card_options(options: JSON | None, *, payment: bool) -> JSON:
    """`payment_method_options` as answers show them."""
    sent = dict((options or {}).get("card") or {})
    shown: JSON = {"installments": None} if payment else {}
    shown.update(mandate_options=None, network=None, request_three_d_secure="automatic")
    for name, value in sent.items():
        if value is not None and name not in ("cvc_token", "moto", "three_d_secure", "installments"):
            shown[name] = value
    return {"card": shown}


def last_error(method: JSON, message: str, code: str, kind: str = "card_error", **facts: Any) -> JSON:
    """`last_payment_error` or `last_setup_error`: why the last attempt with that method failed."""
    return {
        "type": kind,
        "code": code,
        **facts,
        "doc_url": doc_url(code),
        "message": message,
        "payment_method": dict(method),
    }


@contextmanager
def on_error(intent: JSON) -> Iterator[None]:
    """Whatever is refused inside shows the intent as it stands, as Stripe's errors about an intent do."""
    try:
        yield
    except ApiError as error:
        error.error.setdefault(intent["object"], intent)
        raise


def unexpected_state(intent: JSON, message: str, param: str | None = None) -> ApiError:
    return refused(message, f"{intent['object']}_unexpected_state", param, **{intent["object"]: intent})

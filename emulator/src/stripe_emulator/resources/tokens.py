"""Confirmation tokens (https://docs.stripe.com/api/confirmation_tokens): what a payer chose, to be confirmed once."""

from __future__ import annotations

from stripe_emulator.core.errors import invalid, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import Boolean, Choice, Hash, Integer, Kind, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import ID, METADATA, METHOD_DATA, PAYMENT_OPTIONS, SHIPPING

from . import customers, payment_methods

TOKEN_SECONDS = 12 * 3600
# What Stripe.js says of the Elements that an intent is confirmed with: what the payer was shown.
CONTEXT = Hash(
    {
        "amount": Integer(0),
        "capture_method": Text(30),
        "currency": Text(10),
        "mode": Choice("payment", "setup", "subscription"),
        "setup_future_usage": Choice("off_session", "on_session"),
    },
    ("mode",),
)
_PARAMS: dict[str, Kind] = {
    "payment_method": ID,
    "payment_method_data": METHOD_DATA,
    "payment_method_options": PAYMENT_OPTIONS,
    "return_url": Text(),
    "setup_future_usage": Choice("off_session", "on_session"),
    "shipping": SHIPPING,
}


@route(
    "POST",
    "/v1/confirmation_tokens",
    {**_PARAMS, "client_context": CONTEXT, "metadata": METADATA, "use_stripe_sdk": Boolean()},
    publishable=True,
)
def make_token(world: World, call: Call) -> JSON:
    """What `stripe.createConfirmationToken` does."""
    return _make(world, call)


@route("POST", "/v1/test_helpers/confirmation_tokens", _PARAMS)
def make_test_token(world: World, call: Call) -> JSON:
    """The same for a test without a browser."""
    return _make(world, call)


def _make(world: World, call: Call) -> JSON:
    params = call.params
    if "payment_method" in params:
        method = payment_methods.existing(world, params["payment_method"])
    else:
        data = params.get("payment_method_data") or {"type": "card"}
        method = payment_methods.from_data(world, data, publishable=call.publishable)
    created = world.timestamp()
    row: JSON = {
        "id": world.ids.new("ctoken"),
        "object": "confirmation_token",
        "created": created,
        "expires_at": created + TOKEN_SECONDS,
        "livemode": False,
        "mandate_data": None,
        "metadata": params.get("metadata") or {},
        "payment_intent": None,
        "payment_method_options": None,
        "payment_method_preview": {
            "billing_details": method["billing_details"],
            "card": method["card"],
            "customer": method["customer"],
            "customer_account": None,
            "type": "card",
        },
        "return_url": params.get("return_url"),
        "setup_future_usage": params.get("setup_future_usage"),
        "setup_intent": None,
        "shipping": customers.full_shipping(params.get("shipping")),
        "use_stripe_sdk": params.get("use_stripe_sdk", True),
    }
    world.add(row)
    world.hide(row["id"]).update(payment_method=method["id"], context=params.get("client_context"))
    return row


@route("GET", "/v1/confirmation_tokens/*")
def token(world: World, call: Call) -> JSON:
    return world.find("confirmation_token", call.ids[0], "confirmation_token", in_path=True)


# -- confirming with one --------------------------------------------------------------------------------------
def carried(world: World, call: Call) -> JSON:
    """The parameters of a confirmation with what its token carries; what the request says itself comes first.

    Raises the refusal of a token that was used before or has expired.
    """
    params = call.params
    if "client_context" in params and not call.publishable:
        raise invalid("Received unknown parameter: client_context", "client_context", "parameter_unknown")
    if "confirmation_token" not in params:
        return params
    row = world.find("confirmation_token", params["confirmation_token"], "confirmation_token")
    used = row["payment_intent"] or row["setup_intent"]
    if used is not None:
        raise refused(
            f"The ConfirmationToken {row['id']} was already used to confirm {used} and may not be used again. Create a "
            "new one.",
            param="confirmation_token",
        )
    if row["expires_at"] <= world.now():
        raise refused(f"The ConfirmationToken {row['id']} has expired. Create a new one.", param="confirmation_token")
    kept = {name: row[name] for name in ("return_url", "setup_future_usage", "shipping", "use_stripe_sdk")}
    hidden = world.hide(row["id"])
    if not ("payment_method" in params or "payment_method_data" in params):
        kept["payment_method"] = hidden["payment_method"]
    if hidden.get("context") is not None:
        kept["client_context"] = hidden["context"]
    return {**{name: value for name, value in kept.items() if value is not None}, **params}


def use(world: World, params: JSON, intent: JSON) -> None:
    """The token of this confirmation, if there is one, can confirm nothing else from now on."""
    if "confirmation_token" in params:
        row = world.get("confirmation_token", params["confirmation_token"])
        world.change(row, **{intent["object"]: intent["id"]})


def check_context(intent: JSON, params: JSON) -> None:
    """What the payer saw in Elements must be what the intent is about to do, or the page lied to them."""
    context = params.get("client_context")
    if context is None:
        return
    paying = intent["object"] == "payment_intent"
    shown: JSON = {"mode": context["mode"]}
    actual: JSON = {"mode": "payment" if paying else "setup"}
    if context["mode"] == "subscription":
        actual["mode"] = "subscription"  # its first invoice is paid or set up
    if paying:
        shown["currency"], actual["currency"] = context.get("currency"), intent["currency"]
        if context["mode"] == "payment":
            shown["amount"], actual["amount"] = context.get("amount"), intent["amount"]
            shown["setup_future_usage"] = context.get("setup_future_usage")
            # What the request, or a token, asks for now counts as the intent's.
            actual["setup_future_usage"] = params.get("setup_future_usage", intent["setup_future_usage"])
            shown["capture_method"] = _plain(context.get("capture_method", "automatic"))
            actual["capture_method"] = _plain(params.get("capture_method", intent["capture_method"]))
    for name, expected in shown.items():
        if actual[name] != expected:
            raise invalid(
                f"The provided {name} ({_word(actual[name])}) does not match the expected {name} ({_word(expected)}). "
                f"Try confirming with a {'Payment' if paying else 'Setup'} Intent that is configured to use the same "
                "parameters as Stripe Elements."
            )


def _plain(capture_method: str | None) -> str | None:
    return "automatic" if capture_method == "automatic_async" else capture_method


def _word(value: object) -> object:
    return "null" if value is None else value

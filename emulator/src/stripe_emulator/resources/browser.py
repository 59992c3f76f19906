"""What a browser is given or makes: customer sessions and confirmation tokens."""

from __future__ import annotations

from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import AnyHash, Boolean, Choice, Hash, Kind, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import ID, METADATA, METHOD_DATA, SHIPPING

from . import customers, payment_methods

SESSION_SECONDS = 1_800
TOKEN_SECONDS = 12 * 3600

_SIMPLE = ("active_entitlements", "buy_button", "customer_portal", "pricing_table")
_WITH_FEATURES = ("customer_sheet", "mobile_payment_element", "payment_element")
_ENABLED = Hash({"enabled": Boolean()}, ("enabled",))
_FEATURES: dict[str, Kind] = {
    "payment_method_allow_redisplay_filters": AnyHash(),
    "payment_method_redisplay": Choice("disabled", "enabled"),
    "payment_method_redisplay_limit": Text(3),
    "payment_method_remove": Choice("disabled", "enabled"),
    "payment_method_remove_last": Choice("disabled", "enabled"),
    "payment_method_save": Choice("disabled", "enabled"),
    "payment_method_save_allow_redisplay_override": Choice("always", "limited", "unspecified"),
    "payment_method_save_usage": Choice("off_session", "on_session"),
    "payment_method_set_as_default": Choice("disabled", "enabled"),
}
_COMPONENTS = Hash(
    {
        **dict.fromkeys(_SIMPLE, _ENABLED),
        **{name: Hash({"enabled": Boolean(), "features": Hash(_FEATURES)}, ("enabled",)) for name in _WITH_FEATURES},
    }
)


@route("POST", "/v1/customer_sessions", {"components": _COMPONENTS, "customer": ID}, ("components", "customer"))
def session(world: World, call: Call) -> JSON:
    customer = customers.live(world, call.params["customer"])
    sent = call.params["components"]
    shown: JSON = {name: {"enabled": sent.get(name, {}).get("enabled", False)} for name in _SIMPLE}
    for name in _WITH_FEATURES:
        enabled = sent.get(name, {}).get("enabled", False)
        shown[name] = {"enabled": enabled, "features": None}
    created = world.timestamp()
    return {
        "object": "customer_session",
        "client_secret": world.ids.new("cuss_secret", 60),
        "components": shown,
        "created": created,
        "customer": customer["id"],
        "customer_account": None,
        "expires_at": created + SESSION_SECONDS,
        "livemode": False,
    }


@route(
    "POST",
    "/v1/confirmation_tokens",
    {
        "payment_method": ID,
        "payment_method_data": METHOD_DATA,
        "metadata": METADATA,
        "return_url": Text(),
        "setup_future_usage": Choice("off_session", "on_session"),
        "shipping": SHIPPING,
        "use_stripe_sdk": Boolean(),
    },
    publishable=True,
)
def make_token(world: World, call: Call) -> JSON:
    """What `stripe.createConfirmationToken` does."""
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
    world.hide(row["id"])["payment_method"] = method["id"]
    return row


@route("GET", "/v1/confirmation_tokens/*")
def token(world: World, call: Call) -> JSON:
    return world.find("confirmation_token", call.ids[0], "confirmation_token", in_path=True)

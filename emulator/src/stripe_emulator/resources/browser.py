"""Customer sessions (https://docs.stripe.com/api/customer_sessions): what a browser may know of a customer."""

from __future__ import annotations

from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import AnyHash, Boolean, Choice, Hash, Kind, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import ID

from . import customers

SESSION_SECONDS = 1_800

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

"""Customer sessions (https://docs.stripe.com/api/customer_sessions): what a browser may know of a customer."""

from __future__ import annotations

from stripe_emulator.core.errors import invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import Boolean, Choice, Hash, Integer, Kind, List
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import ID, SECRET

from . import customers

SESSION_SECONDS = 1_800

_SIMPLE = ("active_entitlements", "buy_button", "customer_portal", "pricing_table")
_WITH_FEATURES = ("customer_sheet", "mobile_payment_element", "payment_element")
_ENABLED = Hash({"enabled": Boolean()}, ("enabled",))
_FEATURES: dict[str, Kind] = {
    "payment_method_allow_redisplay_filters": List(Choice("always", "limited", "unspecified")),
    "payment_method_redisplay": Choice("disabled", "enabled"),
    "payment_method_redisplay_limit": Integer(1, 10),
    "payment_method_remove": Choice("disabled", "enabled"),
    "payment_method_remove_last": Choice("disabled", "enabled"),
    "payment_method_save": Choice("disabled", "enabled"),
    "payment_method_save_allow_redisplay_override": Choice("always", "limited", "unspecified"),
    "payment_method_save_usage": Choice("off_session", "on_session"),
    "payment_method_set_as_default": Choice("disabled", "enabled"),
}
_ELEMENT_FEATURES: JSON = {
    "payment_method_allow_redisplay_filters": ["always"],
    "payment_method_redisplay": "disabled",
    "payment_method_redisplay_limit": 3,
    "payment_method_remove": "disabled",
    "payment_method_save": "disabled",
    "payment_method_save_usage": None,
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
    if shown["payment_element"]["enabled"]:
        asked = sent["payment_element"].get("features") or {}
        shown["payment_element"]["features"] = {
            name: asked.get(name, default) for name, default in _ELEMENT_FEATURES.items()
        }
    created = world.timestamp()
    secret = world.ids.new("cuss_secret", 60)
    # By its secret: nobody reads a session again but the browser that was given it.
    world.hide(secret).update(
        customer=customer["id"],
        expires_at=created + SESSION_SECONDS,
        features=shown["payment_element"]["features"],
    )
    return {
        "object": "customer_session",
        "client_secret": secret,
        "components": shown,
        "created": created,
        "customer": customer["id"],
        "customer_account": None,
        "expires_at": created + SESSION_SECONDS,
        "livemode": False,
    }


@route("POST", "/v1/emulator/customer_sessions", {"client_secret": SECRET}, ("client_secret",), publishable=True)
def saved_cards(world: World, call: Call) -> JSON:
    """For the stand-in of Stripe.js: the cards that the Payment Element may offer, newest first."""
    known = world.hidden.get(call.params["client_secret"]) or {}
    if "expires_at" not in known or known["expires_at"] <= world.now():
        raise invalid("This customer session is not known, or it has expired. Create a new one.", "client_secret")
    features = known["features"] or _ELEMENT_FEATURES
    rows = []
    if features["payment_method_redisplay"] == "enabled":
        allowed = features["payment_method_allow_redisplay_filters"]
        methods = world.tables["payment_method"].newest_first({"customer": known["customer"]})
        rows = [method for method in methods if method["allow_redisplay"] in allowed]
    return {
        "object": "list",
        "data": rows[: features["payment_method_redisplay_limit"]],
        "has_more": False,
        "url": "/v1/customer_sessions",
    }

"""Payment method configurations (https://docs.stripe.com/api/payment_method_configurations).

There are cards, and the wallets that ride on them: those two can be switched off, and then no page shows them.
"""

from __future__ import annotations

from stripe_emulator.core.errors import invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Boolean, Choice, Hash, Kind, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import OTHER_METHODS, PAGE

_URL = "/v1/payment_method_configurations"
_HERE = ("apple_pay", "card", "google_pay")
_ALL = sorted({*_HERE, *OTHER_METHODS, "cartes_bancaires", "jcb"})
_PREFERENCE = Hash({"display_preference": Hash({"preference": Choice("none", "off", "on")})})
_METHODS: dict[str, Kind] = dict.fromkeys(_ALL, _PREFERENCE)


def default(world: World) -> JSON:
    """The account's own, there from the start."""
    found = world.tables["payment_method_configuration"].get(default_id(world))
    return found or world.add(_new(world, default_id(world), "Default", is_default=True))


def default_id(world: World) -> str:
    return "pmc_" + world.ids.of("configuration", 24)


def _new(world: World, config_id: str, name: str, *, is_default: bool) -> JSON:
    return {
        "id": config_id,
        "object": "payment_method_configuration",
        "active": True,
        "application": None,
        "is_default": is_default,
        "livemode": False,
        "name": name,
        "parent": None,
        **{method: _setting(method, "on" if method in _HERE else "off") for method in _ALL},
    }


def _setting(method: str, preference: str) -> JSON:
    value = "on" if preference != "off" else "off"
    return {
        "available": method in _HERE and value == "on",
        "display_preference": {"overridable": None, "preference": preference, "value": value},
    }


def _changes(params: JSON) -> JSON:
    changes: JSON = {name: params[name] for name in ("active", "name") if name in params}
    for method in _ALL:
        preference = ((params.get(method) or {}).get("display_preference") or {}).get("preference")
        if preference is None:
            continue
        if method == "card" and preference == "off":
            raise invalid("The emulator has cards only: they cannot be switched off.", "card")
        if method not in _HERE and preference == "on":
            raise invalid(f"The emulator has cards only: {method} cannot be switched on.", method)
        changes[method] = _setting(method, preference)
    return changes


@route("POST", _URL, {**_METHODS, "name": Text(100), "parent": Text(100)})
def create(world: World, call: Call) -> JSON:
    if "parent" in call.params:
        raise invalid("The emulator has no connected accounts, so a configuration has no parent.", "parent")
    changes = _changes(call.params)
    row = _new(world, world.ids.new("pmc"), call.params.get("name", "Configuration"), is_default=False)
    return world.add({**row, **changes})


def _find(world: World, call: Call) -> JSON:
    default(world)
    return world.find("payment_method_configuration", call.ids[0], "configuration", in_path=True)


@route("GET", f"{_URL}/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("POST", f"{_URL}/*", {**_METHODS, "active": Boolean(), "name": Text(100)})
def update(world: World, call: Call) -> JSON:
    row = _find(world, call)
    world.change(row, **_changes(call.params))
    return row


@route("GET", _URL, {**PAGE, "active": Boolean(), "application": Text(100, unset=True)})
def index(world: World, call: Call) -> JSON:
    default(world)
    return page(world, call, "payment_method_configuration", _URL, {"active": call.params.get("active")})

"""The search requests (https://docs.stripe.com/search)."""

from __future__ import annotations

from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import Integer, Kind, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.search import search
from stripe_emulator.wire.specs import ID

_PARAMS: dict[str, Kind] = {"limit": Integer(), "page": ID, "query": Text()}
_PAYMENT_INTENTS = frozenset(("amount", "created", "currency", "customer", "metadata", "status"))
_CHARGES = frozenset(("amount", "created", "currency", "customer", "disputed", "metadata", "refunded", "status"))
_CUSTOMERS = frozenset(("created", "email", "metadata", "name", "phone"))


@route("GET", "/v1/payment_intents/search", _PARAMS, ("query",))
def payment_intents(world: World, call: Call) -> JSON:
    return search(world, call, "payment_intent", "/v1/payment_intents/search", _PAYMENT_INTENTS)


@route("GET", "/v1/charges/search", _PARAMS, ("query",))
def charges(world: World, call: Call) -> JSON:
    return search(world, call, "charge", "/v1/charges/search", _CHARGES)


@route("GET", "/v1/customers/search", _PARAMS, ("query",))
def customers(world: World, call: Call) -> JSON:
    return search(world, call, "customer", "/v1/customers/search", _CUSTOMERS)

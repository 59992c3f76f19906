"""Events (https://docs.stripe.com/api/events), kept for thirty days."""

from __future__ import annotations

from stripe_emulator.core.errors import invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Boolean, List, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE


@route("GET", "/v1/events/*")
def retrieve(world: World, call: Call) -> JSON:
    return world.archive.shown(world.find("event", call.ids[0], "id", in_path=True))


@route(
    "GET",
    "/v1/events",
    {**CREATED_PAGE, "delivery_success": Boolean(), "type": Text(100), "types": List(Text(100))},
)
def index(world: World, call: Call) -> JSON:
    params = call.params
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.", "type")
    types: list[str] = params.get("types") or []
    kind = params.get("type")
    if len(types) > 20:
        raise invalid("You can filter on up to 20 event types.", "types")
    filters = {"type": kind} if kind is not None and "*" not in kind else {}

    def where(event: JSON) -> bool:
        if kind is not None and "*" in kind and not event["type"].startswith(kind.split("*", 1)[0]):
            return False
        if "delivery_success" in params and (event["pending_webhooks"] == 0) != params["delivery_success"]:
            return False
        return not types or event["type"] in types

    plain = not types and "delivery_success" not in params and (kind is None or "*" not in kind)
    answer = page(world, call, "event", "/v1/events", filters, None if plain else where)
    return {**answer, "data": [world.archive.shown(event) for event in answer["data"]]}

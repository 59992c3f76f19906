"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints). Loopback addresses are welcome here."""

from __future__ import annotations

from stripe_emulator.errors import invalid
from stripe_emulator.event_types import EVENT_TYPES
from stripe_emulator.listing import page
from stripe_emulator.params import Boolean, Choice, Kind, List, Text, Url, merged_metadata
from stripe_emulator.routing import Call, route
from stripe_emulator.specs import METADATA, PAGE
from stripe_emulator.tables import JSON
from stripe_emulator.webhooks import make_endpoint
from stripe_emulator.world import API_VERSION, World

_EVENTS = List(Choice("*", *EVENT_TYPES))
_WRITABLE: dict[str, Kind] = {
    "description": Text(unset=True),
    "enabled_events": _EVENTS,
    "metadata": METADATA,
    "url": Url(),
}


@route(
    "POST",
    "/v1/webhook_endpoints",
    {**_WRITABLE, "api_version": Text(40), "connect": Boolean()},
    ("enabled_events", "url"),
)
def create(world: World, call: Call) -> JSON:
    params = call.params
    if params.get("api_version", API_VERSION) != API_VERSION:
        raise invalid(f"This emulator renders events at {API_VERSION} only.", "api_version")
    return make_endpoint(
        world,
        params["url"],
        params["enabled_events"],
        description=params.get("description"),
        metadata=merged_metadata({}, params.get("metadata") or {}),
    )


def _find(world: World, call: Call) -> JSON:
    return world.find("webhook_endpoint", call.ids[0], "id", in_path=True, name="webhook endpoint")


@route("GET", "/v1/webhook_endpoints/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("POST", "/v1/webhook_endpoints/*", {**_WRITABLE, "disabled": Boolean()})
def update(world: World, call: Call) -> JSON:
    endpoint = _find(world, call)
    params = call.params
    changes: JSON = {name: params[name] for name in ("description", "enabled_events", "url") if name in params}
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        changes["metadata"] = merged_metadata(endpoint["metadata"], params["metadata"])
    world.change(endpoint, **changes)
    return endpoint


@route("DELETE", "/v1/webhook_endpoints/*")
def delete(world: World, call: Call) -> JSON:
    endpoint = _find(world, call)
    world.tables["webhook_endpoint"].remove(endpoint["id"])
    world.hidden.pop(endpoint["id"], None)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


@route("GET", "/v1/webhook_endpoints", PAGE)
def index(world: World, call: Call) -> JSON:
    return page(world, call, "webhook_endpoint", "/v1/webhook_endpoints")

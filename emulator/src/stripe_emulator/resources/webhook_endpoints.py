"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints). Loopback addresses are welcome here."""

from __future__ import annotations

from stripe_emulator.core import versions
from stripe_emulator.core.errors import refused
from stripe_emulator.core.event_types import EVENT_TYPES
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Boolean, Choice, Kind, List, Text, Url, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import METADATA, PAGE

MOST_ENDPOINTS = 16
_EVENTS = List(Choice("*", *EVENT_TYPES))
_WRITABLE: dict[str, Kind] = {
    "description": Text(unset=True),
    "enabled_events": _EVENTS,
    "metadata": METADATA,
    "url": Url(),
}


def make_endpoint(
    world: World,
    url: str,
    events: list[str],
    *,
    secret: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    api_version: str | None = None,
) -> JSON:
    """A new endpoint. Unlike the row that is kept, the answer holds its secret.

    Raises ApiError for the seventeenth: an account has sixteen at most.
    """
    if len(world.tables["webhook_endpoint"]) >= MOST_ENDPOINTS:
        raise refused(f"You have reached the maximum of {MOST_ENDPOINTS} test webhook endpoints.")
    row: JSON = {
        "id": world.ids.new("we"),
        "object": "webhook_endpoint",
        "api_version": api_version or world.api_version,
        "application": None,
        "created": world.timestamp(),
        "description": description,
        "enabled_events": events,
        "livemode": False,
        "metadata": metadata or {},
        "status": "enabled",
        "url": url,
    }
    world.add(row)
    secret = secret or world.ids.new("whsec", 32)
    world.hide(row["id"])["secrets"] = [{"secret": secret, "until": None}]
    return {**row, "secret": secret}


@route(
    "POST",
    "/v1/webhook_endpoints",
    {**_WRITABLE, "api_version": Text(40), "connect": Boolean()},
    ("enabled_events", "url"),
)
def create(world: World, call: Call) -> JSON:
    params = call.params
    if "api_version" in params:
        versions.check(params["api_version"], "api_version")
    return make_endpoint(
        world,
        params["url"],
        params["enabled_events"],
        description=params.get("description"),
        metadata=merged_metadata({}, params.get("metadata") or {}),
        api_version=params.get("api_version"),
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
    world.remove("webhook_endpoint", endpoint["id"])
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


@route("GET", "/v1/webhook_endpoints", PAGE)
def index(world: World, call: Call) -> JSON:
    return page(world, call, "webhook_endpoint", "/v1/webhook_endpoints")

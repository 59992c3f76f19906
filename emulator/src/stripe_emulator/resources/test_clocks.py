"""Test clocks (https://docs.stripe.com/api/test_clocks).

Here they tell a time of their own and nothing hangs on them: what moves the emulator is `Emulator.clock`.
"""

from __future__ import annotations

from stripe_emulator.core.errors import refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Integer, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import ID, PAGE

_KIND = "test_helpers.test_clock"
_URL = "/v1/test_helpers/test_clocks"


def _find(world: World, call: Call) -> JSON:
    return world.find(_KIND, call.ids[0], "test_clock", in_path=True, name="test_clock")


@route("POST", _URL, {"customer": ID, "frozen_time": Integer(0), "name": Text(300)}, ("frozen_time",))
def create(world: World, call: Call) -> JSON:
    created = world.timestamp()
    row: JSON = {
        "id": world.ids.new("clock"),
        "object": _KIND,
        "created": created,
        "deletes_after": created + 30 * DAY,
        "frozen_time": call.params["frozen_time"],
        "livemode": False,
        "name": call.params.get("name"),
        "status": "ready",
        "status_details": {},
    }
    world.add(row)
    world.emit("test_helpers.test_clock.created", row)
    return row


@route("GET", f"{_URL}/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("POST", f"{_URL}/*/advance", {"frozen_time": Integer(0)}, ("frozen_time",))
def advance(world: World, call: Call) -> JSON:
    clock = _find(world, call)
    if call.params["frozen_time"] <= clock["frozen_time"]:
        raise refused("You must advance a test clock to a time after the one it is frozen at.", param="frozen_time")
    world.change(clock, frozen_time=call.params["frozen_time"])
    world.emit("test_helpers.test_clock.ready", clock)
    return clock


@route("DELETE", f"{_URL}/*")
def delete(world: World, call: Call) -> JSON:
    clock = _find(world, call)
    world.emit("test_helpers.test_clock.deleted", clock)
    world.remove(_KIND, clock["id"])
    return {"id": clock["id"], "object": _KIND, "deleted": True}


@route("GET", _URL, PAGE)
def index(world: World, call: Call) -> JSON:
    return page(world, call, _KIND, _URL)

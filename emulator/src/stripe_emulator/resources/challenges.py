"""The bank's page, for the stand-in of Stripe.js. Stripe has no such public endpoint."""

from __future__ import annotations

from stripe_emulator.core.errors import invalid, missing
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import Choice
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import SECRET

from . import paying, saving
from .intents import check_secret


def settle(world: World, intent: JSON, *, passed: bool) -> None:
    """Say how the challenge of an intent in `requires_action` ended."""
    if intent["status"] != "requires_action":
        raise invalid(f"This intent does not wait for its payer: it has a status of {intent['status']}.")
    flow = paying if intent["object"] == "payment_intent" else saving
    (flow.pass_challenge if passed else flow.fail_challenge)(world, intent)


def find(world: World, intent_id: str) -> JSON:
    kind = "setup_intent" if intent_id.startswith("seti_") else "payment_intent"
    row = world.tables[kind].get(intent_id)
    if row is None:
        raise missing(kind.replace("setup_intent", "setupintent"), intent_id[:200], "intent", in_path=True)
    return row


@route(
    "POST",
    "/v1/emulator/challenges/*",
    {"client_secret": SECRET, "outcome": Choice("complete", "fail")},
    ("outcome",),
    publishable=True,
)
def answer(world: World, call: Call) -> JSON:
    intent = find(world, call.ids[0])
    check_secret(intent, call)
    settle(world, intent, passed=call.params["outcome"] == "complete")
    return intent

"""The account and its money: balance and balance transactions (https://docs.stripe.com/api/balance)."""

from __future__ import annotations

from stripe_emulator.core.errors import invalid, missing
from stripe_emulator.core.tables import JSON, Table
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE, ID

from . import balance

COUNTRY, CURRENCY = "GB", "gbp"


def _account(world: World) -> JSON:
    return {
        "id": world.ids.account(),
        "object": "account",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": COUNTRY,
        "default_currency": CURRENCY,
        "details_submitted": True,
        "email": "emulator@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


@route("GET", "/v1/account")
def own(world: World, call: Call) -> JSON:
    return _account(world)


@route("GET", "/v1/accounts/*")
def retrieve(world: World, call: Call) -> JSON:
    if call.ids[0] != world.ids.account():
        raise missing("account", call.ids[0][:200], "id", in_path=True)
    return own(world, call)


# -- balance ----------------------------------------------------------------------------------------------
@route("GET", "/v1/balance")
def total(world: World, call: Call) -> JSON:
    shown = {
        status: [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in sorted({CURRENCY: 0, **of_status}.items())
        ]
        for status, of_status in balance.sums(world).items()
    }
    return {"object": "balance", "livemode": False, **shown}


@route("GET", "/v1/balance_transactions/*")
def transaction(world: World, call: Call) -> JSON:
    return balance.refresh(world, world.find("balance_transaction", call.ids[0], "id", in_path=True))


@route(
    "GET",
    "/v1/balance_transactions",
    {**CREATED_PAGE, "currency": Text(10), "payout": ID, "source": ID, "type": Text(60)},
)
def transactions(world: World, call: Call) -> JSON:
    filters = {name: call.params.get(name) for name in ("currency", "source", "type")}
    among = _paid_out(world, call.params["payout"]) if "payout" in call.params else None
    found = page(world, call, "balance_transaction", "/v1/balance_transactions", filters, among=among)
    for row in found["data"]:
        balance.refresh(world, row)
    return found


def _paid_out(world: World, payout_id: str) -> Table:
    """What a payout holds, its own row included: a table of its own, so that no page scans the whole account."""
    payout = world.find("payout", payout_id, "payout")
    if not payout["automatic"]:
        raise invalid("Balance transaction history can only be filtered on automatic transfers, not manual.", "payout")
    held = Table()
    for transaction_id in world.hidden.get(payout["id"], {}).get("holds", ()):
        held.add(world.get("balance_transaction", transaction_id))
    return held


@route("GET", "/v1/mandates/*")
def mandate(world: World, call: Call) -> JSON:
    """Plain cards need no mandate, so there are none."""
    return world.find("mandate", call.ids[0], "mandate", in_path=True)

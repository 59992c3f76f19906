"""The account and its money: balance, balance transactions, payouts (https://docs.stripe.com/api/balance)."""

from __future__ import annotations

from collections import Counter

from stripe_emulator.core import money
from stripe_emulator.core.errors import invalid, missing
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Choice, Integer, Text, TimeRange, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE, ID, METADATA

from . import balance

_PAYOUT_STATUSES = ("canceled", "failed", "in_transit", "paid", "pending")
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
    sums: dict[str, Counter[str]] = {"available": Counter({CURRENCY: 0}), "pending": Counter({CURRENCY: 0})}
    for transaction in world.tables["balance_transaction"].values():
        sums[balance.refresh(world, transaction)["status"]][transaction["currency"]] += transaction["net"]
    shown = {
        status: [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in sorted(of_status.items())
        ]
        for status, of_status in sums.items()
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
    if "payout" in call.params:
        of_payout = world.find("payout", call.params["payout"], "payout")
        if not of_payout["automatic"]:
            raise invalid(
                "Balance transaction history can only be filtered on automatic transfers, not manual.", "payout"
            )
    found = page(world, call, "balance_transaction", "/v1/balance_transactions", filters)
    for row in found["data"]:
        balance.refresh(world, row)
    return found


# -- payouts ----------------------------------------------------------------------------------------------
@route(
    "POST",
    "/v1/payouts",
    {
        "amount": Integer(1),
        "currency": Text(10),
        "description": Text(unset=True),
        "destination": ID,
        "metadata": METADATA,
        "method": Choice("instant", "standard"),
        "payout_method": ID,
        "source_type": Choice("bank_account", "card", "fpx"),
        "statement_descriptor": Text(22),
    },
    ("amount", "currency"),
)
def pay_out(world: World, call: Call) -> JSON:
    params = call.params
    currency = money.check_currency(params["currency"])
    available = next((a["amount"] for a in total(world, call)["available"] if a["currency"] == currency), 0)
    if params["amount"] > available:
        raise invalid(
            "You have insufficient funds in your Stripe account. One likely reason you have insufficient funds is that "
            "your funds are automatically being paid out; try enabling manual payouts by going to "
            "https://dashboard.stripe.com/account/payouts.",
            "amount",
            "balance_insufficient",
        )
    payout_id = world.ids.new("po")
    moved = balance.post(world, "payout", -params["amount"], currency, payout_id, at_once=True)
    row: JSON = {
        "id": payout_id,
        "object": "payout",
        "amount": params["amount"],
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": world.timestamp() + 2 * DAY,
        "automatic": False,
        "balance_transaction": moved["id"],
        "created": world.timestamp(),
        "currency": currency,
        "description": params.get("description"),
        "destination": None,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata") or {}),
        "method": params.get("method", "standard"),
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "not_applicable",
        "reversed_by": None,
        "source_type": params.get("source_type", "card"),
        "statement_descriptor": params.get("statement_descriptor"),
        "status": "pending",
        "trace_id": None,
        "type": "bank_account",
    }
    world.add(row)
    world.emit("payout.created", row)
    return row


@route("GET", "/v1/payouts/*")
def payout(world: World, call: Call) -> JSON:
    return world.find("payout", call.ids[0], "payout", in_path=True)


@route(
    "GET",
    "/v1/payouts",
    {**CREATED_PAGE, "arrival_date": TimeRange(), "destination": ID, "status": Choice(*_PAYOUT_STATUSES)},
)
def payouts(world: World, call: Call) -> JSON:
    least, most = call.params.get("arrival_date", (None, None))

    def arrives_then(row: JSON) -> bool:
        at = row["arrival_date"]
        return (least is None or at >= least) and (most is None or at <= most)

    filters = {name: call.params.get(name) for name in ("destination", "status")}
    return page(world, call, "payout", "/v1/payouts", filters, arrives_then)


@route("GET", "/v1/mandates/*")
def mandate(world: World, call: Call) -> JSON:
    """Plain cards need no mandate, so there are none."""
    return world.find("mandate", call.ids[0], "mandate", in_path=True)

"""Balance transactions: each movement of money in the account, in its own currency."""

from __future__ import annotations

from stripe_emulator.core import money
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World

SETTLING_DAYS = 2


def post(
    world: World,
    kind: str,
    amount: int,
    currency: str,
    source: str,
    *,
    category: str | None = None,
    fee: int = 0,
    description: str | None = None,
    at_once: bool = False,
) -> JSON:
    """Record a movement of `amount` minor units; `fee` is what Stripe keeps of it."""
    details = []
    if fee:
        details = [
            {
                "amount": fee,
                "application": None,
                "currency": currency,
                "description": "Stripe processing fees" if kind == "charge" else "Dispute fee",
                "type": "stripe_fee",
            }
        ]
    created = world.timestamp()
    return world.add(
        {
            "id": world.ids.new("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": created if at_once else created + SETTLING_DAYS * DAY,
            "balance_type": "payments",
            "created": created,
            "currency": currency,
            "description": description,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details,
            "net": amount - fee,
            "reporting_category": category or kind,
            "source": source,
            "status": "available" if at_once else "pending",
            "type": kind,
        }
    )


def refresh(world: World, transaction: JSON) -> JSON:
    """The transaction as it is now: it becomes available when its time has come, which nobody announces."""
    if transaction["status"] == "pending" and transaction["available_on"] <= world.now():
        world.change(transaction, status="available")
    return transaction


def post_charge(world: World, charge: JSON, *, at_once: bool = False) -> JSON:
    amount, currency = charge["amount_captured"], charge["currency"]
    return post(
        world,
        "charge",
        amount,
        currency,
        charge["id"],
        fee=money.fee(amount, currency),
        description=charge["description"],
        at_once=at_once,
    )

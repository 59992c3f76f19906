"""Balance transactions: each movement of money in the account, in the currency that it is settled in."""

from __future__ import annotations

import calendar
import time

from stripe_emulator.core import money
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World

# Business days from a charge until its money is available: the United Kingdom, and most of Europe.
SETTLING_DAYS = 3


# What Stripe moves in the balance by itself, by type, and the category of its reports
# (https://docs.stripe.com/reports/balance-transaction-types, /reports/reporting-categories).
MOVED_BY_STRIPE = {
    "adjustment": "other_adjustment",
    "payout_minimum_balance_hold": "payout_minimum_balance_hold",
    "payout_minimum_balance_release": "payout_minimum_balance_release",
    "reserved_funds": "risk_reserved_funds",
    "stripe_fee": "fee",
    "stripe_fx_fee": "fee",
    "tax_fee": "tax",
}


def midnight(at: float, days: int = 0) -> int:
    """The beginning of the day of `at` (UTC), so many days later."""
    return int(at) // DAY * DAY + days * DAY


def business_day(at: float, count: int) -> int:
    """The beginning of the `count`-th business day after that of `at`. For a weekend, day 0 is the Monday after it."""
    day = midnight(at)
    while time.gmtime(day).tm_wday >= calendar.SATURDAY:
        day += DAY
    while count > 0:
        day += DAY
        if time.gmtime(day).tm_wday < calendar.SATURDAY:
            count -= 1
    return day


def rates(world: World) -> JSON:
    """What other currencies are settled in, by currency: [settlement currency, rate]. See `Bank.settle_in`."""
    found: JSON = world.hide("settlement").setdefault("rates", {})
    return found


def post(
    world: World,
    kind: str,
    amount: int,
    currency: str,
    source: str | None,
    *,
    category: str | None = None,
    fee: int = 0,
    description: str | None = None,
    at_once: bool = False,
    available_on: int | None = None,
) -> JSON:
    """Record a movement of `amount` minor units; `fee` is what Stripe keeps of it, both in `currency`.

    It may be settled in another currency, at the rate of this day. It is available after some business days, or when it
    is said, or `at_once`.
    """
    settled, rate = rates(world).get(currency, (currency, None))
    if rate is not None:
        amount, fee = round(amount * rate), round(fee * rate)
    details = []
    if fee:
        details = [
            {
                "amount": fee,
                "application": None,
                "currency": settled,
                "description": "Stripe processing fees" if kind == "charge" else "Dispute fee",
                "type": "stripe_fee",
            }
        ]
    created = world.timestamp()
    if available_on is None:
        available_on = midnight(created) if at_once else business_day(created, SETTLING_DAYS)
    row = world.add(
        {
            "id": world.ids.new("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": available_on,
            "balance_type": "payments",
            "created": created,
            "currency": settled,
            "description": description,
            "exchange_rate": rate,
            "fee": fee,
            "fee_details": details,
            "net": amount - fee,
            "reporting_category": category or kind,
            "source": source,
            "status": "available" if available_on <= created else "pending",
            "type": kind,
        }
    )
    world.unpaid[row["id"]] = None
    return row


def refresh(world: World, transaction: JSON) -> JSON:
    """The transaction as it is now: it becomes available when its time has come, which nobody announces."""
    if transaction["status"] == "pending" and transaction["available_on"] <= world.now():
        world.change(transaction, status="available")
    return transaction


def sums(world: World) -> dict[str, dict[str, int]]:
    """What is in the account: by status, then by currency. What is on its way to the bank is in neither."""
    found: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for row in world.tables["balance_transaction"].values():
        status = "available" if row["type"] == "payout" else refresh(world, row)["status"]
        found[status][row["currency"]] = found[status].get(row["currency"], 0) + row["net"]
    return found


def available(world: World, currency: str) -> int:
    return sums(world)["available"].get(currency, 0)


def post_charge(world: World, charge: JSON, *, at_once: bool = False) -> JSON:
    amount, currency = charge["amount_captured"], charge["currency"]
    country = charge["payment_method_details"]["card"]["country"]
    return post(
        world,
        "charge",
        amount,
        currency,
        charge["id"],
        fee=money.fee(amount, currency, country),
        description=charge["description"],
        at_once=at_once,
    )

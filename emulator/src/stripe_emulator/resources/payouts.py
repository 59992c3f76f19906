"""Payouts (https://docs.stripe.com/payouts): by hand, or by a schedule; under way, arrived, and sent back by the bank.

`paid` only says that the money should have arrived: a bank may send it back within five business days.
"""

from __future__ import annotations

import time

from stripe_emulator.core import money
from stripe_emulator.core.errors import invalid, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Choice, Integer, Text, TimeRange, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE, ID, METADATA

from . import balance

STATUSES = ("canceled", "failed", "in_transit", "paid", "pending")
SCHEDULES = ("manual", "daily", "weekly", "monthly")
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "account_frozen": "The bank account has been frozen.",
    "could_not_process": "The bank could not process this transfer.",
    "debit_not_authorized": "Debit transactions are not approved on the bank account.",
    "insufficient_funds": "There are not enough funds in the bank account to cover this debit.",
    "invalid_account_number": "The bank account number is invalid.",
    "no_account": "The bank account could not be found.",
}
_HOUR = 3600
# Business days until a balance below zero is taken from the bank account, as in the UK.
DEBIT_DAYS = 3
# Days after a payout was paid until the bank's reference is known, of which no event tells.
TRACE_DAYS = 2


def schedule(world: World) -> JSON:
    """When money is paid out by itself: `interval` is one of SCHEDULES; `reconciled_last`: whether it follows paid."""
    found = world.hide("payouts")
    found.setdefault("interval", "manual")
    found.setdefault("reconciled_last", False)
    return found


def make(world: World, amount: int, currency: str, *, automatic: bool, sent: JSON | None = None) -> JSON:
    """A payout of `amount` minor units; below zero, the bank account is debited. Its way to the bank begins."""
    sent = sent or {}
    payout_id = world.ids.new("po")
    arrival = balance.business_day(world.now(), 1)
    moved = balance.post(
        world, "payout", -amount, currency, payout_id, available_on=arrival, description="STRIPE PAYOUT"
    )
    row: JSON = {
        "id": payout_id,
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": arrival,
        "automatic": automatic,
        "balance_transaction": moved["id"],
        "created": world.timestamp(),
        "currency": currency,
        "description": "STRIPE PAYOUT" if automatic else sent.get("description"),
        "destination": f"ba_{world.ids.of(f'bank account/{currency}', 24)}",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": merged_metadata({}, sent.get("metadata") or {}),
        "method": sent.get("method", "standard"),
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "in_progress" if automatic else "not_applicable",
        "reversed_by": None,
        "source_type": sent.get("source_type", "card"),
        "statement_descriptor": sent.get("statement_descriptor"),
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }
    world.add(row)
    world.emit("payout.created", row)
    world.later(_HOUR, "payout_sent", payout=payout_id)
    return row


# -- by schedule ----------------------------------------------------------------------------------------------
def _is_payday(world: World, interval: str) -> bool:
    today = time.gmtime(world.now())
    weekday = today.tm_wday < 5
    return {
        "daily": weekday,
        "weekly": today.tm_wday == 0,
        "monthly": today.tm_mday == 1,
    }.get(interval, False)


def begin(world: World, interval: str) -> None:
    """Pay out by that schedule from the next midnight (UTC) on."""
    found = schedule(world)
    was = found["interval"]
    found["interval"] = interval
    if was == "manual" and interval != "manual":
        _next_run(world)


def _next_run(world: World) -> None:
    world.later(balance.midnight(world.now(), 1) - world.now(), "payout_run")


def run(world: World, about: JSON) -> None:
    """Each midnight: what has become available is paid out, if it is the day for it."""
    interval = schedule(world)["interval"]
    if interval == "manual":
        return
    _next_run(world)
    if _is_payday(world, interval):
        for currency, rows in _unpaid(world).items():
            _pay(world, currency, rows)


def _unpaid(world: World) -> dict[str, list[JSON]]:
    """Movements that are in no payout yet and may be paid out now, by currency."""
    found: dict[str, list[JSON]] = {}
    for transaction_id in world.unpaid:
        row = balance.refresh(world, world.get("balance_transaction", transaction_id))
        if row["status"] == "available" or row["type"] == "payout":
            found.setdefault(row["currency"], []).append(row)
    return found


def _pay(world: World, currency: str, rows: list[JSON]) -> None:
    amount = sum(row["net"] for row in rows)
    if amount < 0 and not _overdue(world, currency, rows):
        return
    if not amount:
        return
    payout = make(world, amount, currency, automatic=True)
    holds = [*(row["id"] for row in rows), payout["balance_transaction"]]
    world.hide(payout["id"])["holds"] = holds
    for transaction_id in holds:
        world.unpaid.pop(transaction_id, None)


def _overdue(world: World, currency: str, rows: list[JSON]) -> bool:
    """Whether a balance below zero has stood for long enough, with no sales under way that would cover it."""
    coming = sum(
        row["net"]
        for transaction_id in world.unpaid
        if (row := world.get("balance_transaction", transaction_id))["currency"] == currency
    )
    newest = max(row["created"] for row in rows)
    return coming < 0 and balance.business_day(newest, DEBIT_DAYS) <= world.now()


# -- on the way -----------------------------------------------------------------------------------------------
def _move(world: World, payout: JSON, kind: str, **changes: object) -> None:
    previous = world.change(payout, **changes)
    world.emit(kind, payout, previous if kind == "payout.updated" else None)


def sent_job(world: World, about: JSON) -> None:
    """It is at the bank now, and can no longer be canceled."""
    payout = world.get("payout", about["payout"])
    if payout["status"] != "pending":
        return
    _move(world, payout, "payout.updated", status="in_transit")
    if payout["automatic"] and not schedule(world)["reconciled_last"]:
        reconciled(world, about)
    world.later(max(0.0, payout["arrival_date"] - world.now()), "payout_paid", payout=payout["id"])


def reconciled(world: World, about: JSON) -> None:
    """From now on its transactions can be listed in full."""
    payout = world.get("payout", about["payout"])
    _move(world, payout, "payout.reconciliation_completed", reconciliation_status="completed")


def paid_job(world: World, about: JSON) -> None:
    payout = world.get("payout", about["payout"])
    if payout["status"] != "in_transit":
        return
    _move(world, payout, "payout.paid", status="paid")
    if payout["automatic"] and schedule(world)["reconciled_last"]:
        world.later(_HOUR, "payout_reconciled", payout=payout["id"])
    world.later(TRACE_DAYS * DAY, "payout_traced", payout=payout["id"])
    code = schedule(world).pop("fail_next", None)
    if code is not None:
        world.later(DAY, "payout_fails", payout=payout["id"], code=code)


def traced_job(world: World, about: JSON) -> None:
    """The bank's reference: at Stripe no event tells of it."""
    payout = world.get("payout", about["payout"])
    if payout["status"] == "paid":
        world.change(payout, trace_id={"status": "supported", "value": world.ids.of(payout["id"], 16).upper()})


def fails_job(world: World, about: JSON) -> None:
    fail(world, world.get("payout", about["payout"]), about["code"])


def fail(world: World, payout: JSON, code: str) -> None:
    """The bank sends the money back, also after it was paid. The next scheduled payout tries again.

    Raises ValueError for a payout that is over, and for a code that is not among FAILURES.
    """
    if code not in FAILURES:
        raise ValueError(f"A payout fails by one of {', '.join(FAILURES)}.")
    if payout["status"] in ("failed", "canceled"):
        raise ValueError(f"{payout['id']} is {payout['status']} already.")
    changes = {"status": "failed", "failure_code": code, "failure_message": FAILURES[code]}
    _move(
        world,
        payout,
        "payout.failed",
        **changes,
        failure_balance_transaction=_returned(world, payout, "payout_failure"),
    )


def _returned(world: World, payout: JSON, kind: str) -> str:
    moved = balance.post(
        world, kind, payout["amount"], payout["currency"], payout["id"], category="payout_reversal", at_once=True,
        description=kind.replace("_", " ").upper(),
    )  # fmt: skip
    return str(moved["id"])


# -- requests -------------------------------------------------------------------------------------------------
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
def create(world: World, call: Call) -> JSON:
    params = call.params
    currency = money.check_currency(params["currency"])
    if params["amount"] > balance.available(world, currency):
        raise invalid(
            "You have insufficient funds in your Stripe account. One likely reason you have insufficient funds is that "
            "your funds are automatically being paid out; try enabling manual payouts by going to "
            "https://dashboard.stripe.com/account/payouts.",
            "amount",
            "balance_insufficient",
        )
    return make(world, params["amount"], currency, automatic=False, sent=params)


def _find(world: World, call: Call) -> JSON:
    return world.find("payout", call.ids[0], "payout", in_path=True)


@route("GET", "/v1/payouts/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("POST", "/v1/payouts/*", {"metadata": METADATA})
def update(world: World, call: Call) -> JSON:
    payout = _find(world, call)
    if "metadata" in call.params:
        previous = world.change(payout, metadata=merged_metadata(payout["metadata"], call.params["metadata"]))
        if previous:
            world.emit("payout.updated", payout, previous)
    return payout


@route("POST", "/v1/payouts/*/cancel")
def cancel(world: World, call: Call) -> JSON:
    payout = _find(world, call)
    if payout["automatic"] or payout["status"] != "pending":
        raise refused(
            f"Payouts can only be canceled while they are pending and if they were made by hand; {payout['id']} is "
            f"{payout['status']}."
        )
    returned = _returned(world, payout, "payout_cancel")
    _move(world, payout, "payout.canceled", status="canceled", failure_balance_transaction=returned)
    return payout


@route(
    "GET",
    "/v1/payouts",
    {**CREATED_PAGE, "arrival_date": TimeRange(), "destination": ID, "status": Choice(*STATUSES)},
)
def index(world: World, call: Call) -> JSON:
    least, most = call.params.get("arrival_date", (None, None))

    def arrives_then(row: JSON) -> bool:
        at = row["arrival_date"]
        return (least is None or at >= least) and (most is None or at <= most)

    filters = {name: call.params.get(name) for name in ("destination", "status")}
    return page(world, call, "payout", "/v1/payouts", filters, arrives_then)

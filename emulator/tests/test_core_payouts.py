"""Money from the balance to the bank: when it is available, what a payout holds, and what becomes of it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import stripe

from stripe_emulator import Clock, Emulator

from .helpers import Bench

FRIDAY = datetime.datetime(2026, 9, 18, 15, 0, tzinfo=datetime.UTC).timestamp()
DAY = 86_400


@pytest.fixture
def shop() -> Bench:
    emulator = Emulator(seed=1, clock=Clock(FRIDAY, frozen=True))
    client = stripe.StripeClient("sk_test_x", http_client=emulator.transport(), max_network_retries=0)
    return Bench(emulator, client)


def on(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%a %d %H:%M")


def take(shop: Bench, amount: int = 10_000, card: str = "pm_card_gb", **params: Any) -> Any:
    """A charge, settled."""
    customer, method = shop.saved(card)
    intent = shop.charge(customer, method, amount, **params)
    shop.emulator.clock.advance(seconds=2)
    return shop.v1.charges.retrieve(intent.latest_charge, {"expand": ["balance_transaction"]})


def days(shop: Bench, count: float) -> None:
    """Let them pass, an hour at a time, as they do."""
    for _ in range(int(count * 24)):
        shop.emulator.clock.advance(hours=1)
        shop.emulator.tick()


def balance(shop: Bench, currency: str = "gbp") -> tuple[int, int]:
    """Available and pending."""
    found = shop.v1.balance.retrieve()
    return (
        next((part.amount for part in found.available if part.currency == currency), 0),
        next((part.amount for part in found.pending if part.currency == currency), 0),
    )


def payout_events(shop: Bench) -> list[str]:
    return [kind for kind in shop.events() if kind.startswith("payout.")]


@pytest.mark.parametrize(
    ("card", "fee"), [("pm_card_gb", 170), ("pm_card_de", 270), ("pm_card_visa", 345), ("pm_card_br", 345)]
)
def test_the_fee_hangs_on_the_country_of_the_card(shop: Bench, card: str, fee: int) -> None:
    assert take(shop, card=card).balance_transaction.fee == fee


@pytest.mark.parametrize(
    ("wait", "available"),
    [(0, "Wed 23 00:00"), (1, "Thu 24 00:00"), (2, "Thu 24 00:00"), (3, "Thu 24 00:00"), (4, "Fri 25 00:00")],
)
def test_money_is_available_after_three_business_days_at_midnight(shop: Bench, wait: int, available: str) -> None:
    """Taken on a Friday, Saturday, Sunday, Monday and Tuesday."""
    shop.emulator.clock.advance(days=wait)
    row = take(shop).balance_transaction
    assert (on(row.available_on), row.status) == (available, "pending")
    shop.emulator.clock.advance(seconds=row.available_on - shop.emulator.clock.now())
    assert shop.v1.balance_transactions.retrieve(row.id).status == "available"


def test_a_daily_payout_holds_what_became_available_and_its_rows_end_in_zero(shop: Bench) -> None:
    shop.emulator.bank.payout_schedule("daily")
    first, second = take(shop), take(shop, 5000)
    shop.v1.refunds.create({"charge": second.id, "amount": 1000})
    assert balance(shop) == (0, 9830 + 4905 - 1000)
    days(shop, 5)
    (payout,) = shop.v1.payouts.list().data
    assert (payout.amount, payout.automatic, payout.description) == (13_735, True, "STRIPE PAYOUT")
    assert balance(shop) == (0, 0)
    rows = shop.v1.balance_transactions.list({"payout": payout.id, "expand": ["data.source"]}).data
    assert sum(row.net for row in rows) == 0
    assert sorted(row.type for row in rows) == ["charge", "charge", "payout", "refund"]
    own = next(row for row in rows if row.type == "payout")
    assert (own.source.id, own.net, own.available_on) == (payout.id, -13_735, payout.arrival_date)
    assert {row.source.id for row in rows} >= {first.id, second.id, payout.id}


def test_a_payout_goes_its_way_and_tells_of_each_step(shop: Bench) -> None:
    shop.emulator.bank.payout_schedule("daily")
    take(shop)
    days(shop, 4.5)
    (payout,) = shop.v1.payouts.list().data
    assert (payout.status, payout.reconciliation_status) == ("in_transit", "completed")
    assert (on(payout.created), on(payout.arrival_date)) == ("Wed 23 00:00", "Thu 24 00:00")
    days(shop, 1)
    paid = shop.v1.payouts.retrieve(payout.id)
    assert (paid.status, paid.trace_id.status) == ("paid", "pending")
    steps = ["payout.created", "payout.updated", "payout.reconciliation_completed", "payout.paid"]
    assert payout_events(shop) == steps
    days(shop, 2)
    assert shop.v1.payouts.retrieve(payout.id).trace_id.status == "supported"
    assert payout_events(shop) == steps, "no event tells of the bank's reference"


def test_reconciled_may_come_after_paid(shop: Bench) -> None:
    shop.emulator.bank.payout_schedule("daily", reconciled_last=True)
    take(shop)
    days(shop, 6.5)
    assert payout_events(shop)[-2:] == ["payout.paid", "payout.reconciliation_completed"]


def test_a_payout_that_was_paid_may_fail_and_is_tried_again(shop: Bench) -> None:
    shop.emulator.bank.payout_schedule("daily")
    shop.emulator.bank.fail_next_payout("account_closed")
    take(shop)
    days(shop, 10.5)
    again, failed = shop.v1.payouts.list({"expand": ["data.failure_balance_transaction"]}).data
    assert (failed.status, failed.failure_code) == ("failed", "account_closed")
    back = failed.failure_balance_transaction
    assert (back.type, back.reporting_category, back.net) == ("payout_failure", "payout_reversal", failed.amount)
    assert (again.amount, again.id != failed.id) == (failed.amount, True)
    rows = shop.v1.balance_transactions.list({"payout": again.id}).data
    assert [(row.type, row.net) for row in rows] == [("payout", -9830), ("payout_failure", 9830)]
    assert payout_events(shop).index("payout.failed") > payout_events(shop).index("payout.paid")
    with pytest.raises(ValueError, match="already"):
        shop.emulator.bank.fail_payout(failed.id)


def test_a_balance_below_zero_is_taken_from_the_bank_account(shop: Bench) -> None:
    shop.emulator.bank.payout_schedule("daily")
    charge = take(shop)
    days(shop, 6)
    shop.v1.refunds.create({"charge": charge.id})
    assert balance(shop) == (-10_000, 0)
    days(shop, 1)
    assert len(shop.v1.payouts.list().data) == 1, "not yet"
    days(shop, 6)
    debit = shop.v1.payouts.list().data[0]
    assert (debit.amount, debit.status) == (-10_000, "paid")
    assert balance(shop) == (0, 0)
    rows = shop.v1.balance_transactions.list({"payout": debit.id}).data
    assert sorted((row.type, row.net) for row in rows) == [("payout", 10_000), ("refund", -10_000)]


@pytest.mark.parametrize(("interval", "day"), [("weekly", "Mon 28 00:00"), ("monthly", "Thu 01 00:00")])
def test_money_may_be_paid_out_once_a_week_or_a_month(shop: Bench, interval: str, day: str) -> None:
    shop.emulator.bank.payout_schedule(interval)
    take(shop)
    days(shop, 20)
    assert [on(payout.created) for payout in shop.v1.payouts.list().data] == [day]


def test_by_hand_is_how_it_begins_and_ends(shop: Bench) -> None:
    take(shop)
    days(shop, 20)
    assert shop.v1.payouts.list().data == []
    made = shop.v1.payouts.create({"amount": 800, "currency": "gbp"})
    assert (made.automatic, made.reconciliation_status) == (False, "not_applicable")
    assert balance(shop)[0] == 9030
    days(shop, 5)
    assert shop.v1.payouts.retrieve(made.id).status == "paid"
    with pytest.raises(stripe.InvalidRequestError, match="only be canceled while they are pending"):
        shop.v1.payouts.cancel(made.id)
    second = shop.v1.payouts.create({"amount": 9030, "currency": "gbp"})
    assert shop.v1.payouts.cancel(second.id).status == "canceled"
    assert balance(shop)[0] == 9030
    with pytest.raises(stripe.InvalidRequestError, match="insufficient funds"):
        shop.v1.payouts.create({"amount": 9031, "currency": "gbp"})


def test_other_currencies_may_be_settled_in_our_own(shop: Bench) -> None:
    bank = shop.emulator.bank
    bank.settle_in("gbp", {"eur": 0.86})
    charge = take(shop, currency="eur", card="pm_card_de")
    row = charge.balance_transaction
    assert (charge.currency, row.currency, row.exchange_rate) == ("eur", "gbp", 0.86)
    assert (row.amount, row.fee, row.net) == (8600, 232, 8368)
    bank.settle_in("gbp", {"eur": 0.9})
    dispute = bank.dispute(charge.payment_intent)
    assert dispute["balance_transactions"][0]["amount"] == -9000
    assert shop.emulator.ledger.disputed_minor(currency="eur") == 10_000
    bank.decide_dispute(dispute["id"], "won")
    assert shop.emulator.ledger.net_minor(currency="eur") == 10_000
    movements = shop.v1.disputes.retrieve(dispute["id"]).balance_transactions
    assert [movement.amount for movement in movements] == [-9000, 9000]


def test_what_stripe_moves_by_itself_is_paid_out_with_the_rest(shop: Bench) -> None:
    bank = shop.emulator.bank
    bank.payout_schedule("daily")
    take(shop)
    billed = bank.move_balance(-1200, description="Radar for Fraud Teams")
    bank.move_balance(500, kind="adjustment", description="A correction of fees")
    assert (billed["type"], billed["reporting_category"], billed["fee"], billed["net"], billed["source"]) == (
        "stripe_fee", "fee", 0, -1200, None
    )  # fmt: skip
    days(shop, 6)
    total = 0
    for payout in shop.v1.payouts.list().data:
        rows = shop.v1.balance_transactions.list({"payout": payout.id}).data
        assert sum(row.net for row in rows) == 0
        total += payout.amount
    assert total == 9830 - 1200 + 500
    with pytest.raises(ValueError, match="by one of"):
        bank.move_balance(100, kind="charge")
    with pytest.raises(ValueError, match="Nothing"):
        bank.move_balance(0)


def test_what_a_payout_holds_is_listed_page_by_page_and_by_type(shop: Bench) -> None:
    shop.emulator.bank.payout_schedule("daily")
    for _ in range(4):
        take(shop, 2000)
    days(shop, 6)
    (payout,) = shop.v1.payouts.list().data
    first = shop.v1.balance_transactions.list({"payout": payout.id, "limit": 3})
    second = shop.v1.balance_transactions.list({"payout": payout.id, "limit": 3, "starting_after": first.data[-1].id})
    assert (len(first.data), first.has_more, len(second.data), second.has_more) == (3, True, 2, False)
    assert sum(row.net for row in [*first.data, *second.data]) == 0
    charges = shop.v1.balance_transactions.list({"payout": payout.id, "type": "charge"}).data
    assert {row.type for row in charges} == {"charge"}
    (one,) = shop.v1.balance_transactions.list({"source": charges[0].source}).data
    assert one.id == charges[0].id


def test_payouts_go_on_after_a_snapshot(shop: Bench) -> None:
    shop.emulator.bank.payout_schedule("daily")
    take(shop)
    shop.emulator.restore(shop.emulator.snapshot())
    days(shop, 6)
    take(shop, 7000)
    shop.emulator.restore(shop.emulator.snapshot())
    days(shop, 7)
    assert [payout.amount for payout in shop.v1.payouts.list().data] == [6875, 9830]

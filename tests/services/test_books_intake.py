"""Every movement in the balance and every payout is here once, and what is in a payout is what Stripe says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from checkout import clock
from checkout.errors import GatewayError, OutcomeUnknown
from checkout.gateway import BalanceRow, Gateway, gateway
from checkout.models import BalanceTransaction, BookMonth, LookBack, Payout, StripeEvent
from checkout.services import books_intake, inbox
from stripe_emulator import Emulator
from tests.shop_days import Shop, open_shop

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(emulator: Emulator) -> Iterator[Shop]:
    with open_shop(emulator) as opened:
        yield opened


def calls(emulator: Emulator, path: str) -> int:
    return sum(request.path.partition("?")[0] == path for request in emulator.requests)


def test_movements_and_payouts_are_taken_in_once_and_tied(shop: Shop) -> None:
    paid = shop.pay("100")
    shop.pay("50", "pm_card_de")
    shop.pass_days(6)
    taken = shop.take_in()
    assert (taken.rows, taken.payouts, taken.held, taken.errors) == (3, 1, 1, 0)
    payout = Payout.objects.get()
    assert (payout.amount, payout.status, payout.automatic) == (Decimal("98.30") + Decimal("48.55"), "paid", True)
    assert payout.held_at is not None
    charge = BalanceTransaction.objects.get(payment_intent_id=paid.payment_intent_id)
    assert (charge.type, charge.category, charge.amount, charge.fee, charge.net) == (
        "charge", "charge", Decimal(100), Decimal("1.70"), Decimal("98.30")
    )  # fmt: skip
    assert charge.fee_details[0]["type"] == "stripe_fee"
    assert charge.mark["checkout"] == str(paid.uuid)
    assert (charge.payout, charge.day, charge.month) == (payout, charge.created_at.date(), charge.day.replace(day=1))
    assert payout.transactions.aggregate(sum=Sum("net"))["sum"] == 0
    again = shop.take_in()
    assert (again.rows, again.payouts, again.held) == (0, 0, 0)
    assert BalanceTransaction.objects.count() == 3


@pytest.mark.parametrize("days", [0, 30])
def test_the_banks_reference_and_a_failure_weeks_later_are_found_without_an_event(shop: Shop, days: int) -> None:
    shop.pay()
    shop.pass_days(5)
    shop.take_in()
    payout = Payout.objects.get()
    assert payout.trace_id == ""
    shop.pass_days(4)
    shop.take_in()
    payout.refresh_from_db()
    assert payout.trace_id != ""
    shop.pass_days(days)
    shop.bank.fail_payout(payout.payout_id, "account_closed")
    shop.pass_days(3)
    shop.take_in()
    payout.refresh_from_db()
    assert (payout.status, payout.failure_code, payout.came_back) == ("failed", "account_closed", True)
    again = Payout.objects.exclude(pk=payout.pk).get()
    assert [row.type for row in again.transactions.order_by("pk")] == ["payout_failure", "payout"]


def test_payouts_that_stand_as_before_cost_no_statement_each(
    shop: Shop, count_queries: Callable[[Callable[[], Any]], int]
) -> None:
    def look_again() -> int:
        shop.take_in()
        return count_queries(books_intake.take_in)

    shop.pay()
    shop.pass_days(10)
    one = look_again()
    for _ in range(3):
        shop.pay()
        shop.pass_days(1)
    shop.pass_days(10)
    before = clock.now()
    assert look_again() == one
    again = Payout.objects.filter(created_at__gte=clock.now() - books_intake.PAYOUTS_AGAIN_FOR)
    assert again.count() >= 3
    assert not again.filter(read_at__lte=before).exists()


def test_a_look_that_was_broken_off_goes_on_where_it_stopped(
    shop: Shop, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        shop.pay()
        shop.pass_days(1)
    whole, windows = Gateway.list_balance_transactions, iter(range(9))

    def breaks_off(self: Gateway, **window: Any) -> Iterator[BalanceRow]:
        if next(windows) == 2:
            raise OutcomeUnknown("Stripe gave no answer.")
        yield from whole(self, **window)

    with monkeypatch.context() as broken:
        broken.setattr(Gateway, "list_balance_transactions", breaks_off)
        with pytest.raises(GatewayError):
            shop.take_in()
    before = LookBack.objects.get(what="balance").until
    some = BalanceTransaction.objects.count()
    assert 0 < some < 4
    asked = len(emulator.requests)
    shop.take_in()
    listed = [request for request in list(emulator.requests)[asked:] if "balance_transactions" in request.path]
    assert LookBack.objects.get(what="balance").until > before
    assert BalanceTransaction.objects.filter(type="charge").count() == 4
    # Not from the beginning: a window for each day that was left, and the payout.
    assert len(listed) <= 5


def test_a_look_from_a_later_day_on_leaves_nothing_out_before_it(shop: Shop) -> None:
    shop.pay("10")
    shop.take_in()
    shop.pass_days(3)
    missed = shop.pay("20")
    shop.pass_days(3)
    books_intake.take_in(since=clock.now() - timedelta(days=1))
    assert BalanceTransaction.objects.filter(payment_intent_id=missed.payment_intent_id).exists()


def test_a_hundred_rows_cost_one_call(shop: Shop, emulator: Emulator) -> None:
    for _ in range(3):
        shop.pay()
    for number in range(120):
        shop.bank.move_balance(-1 - number, description="Radar")
    before = calls(emulator, "/v1/balance_transactions")
    assert shop.take_in().rows == 123
    # One window: the beginning of the shop lies within a day.
    assert calls(emulator, "/v1/balance_transactions") - before == 2


def test_what_is_settled_in_another_currency_keeps_what_the_payer_paid(shop: Shop) -> None:
    shop.bank.settle_in("gbp", {"eur": 0.86})
    paid = shop.pay("100", "pm_card_de", "EUR")
    shop.bank.dashboard_refund(paid.payment_intent_id, 2500)
    shop.take_in()
    charge, refund = BalanceTransaction.objects.order_by("created_at", "pk")
    assert (charge.currency, charge.amount, charge.exchange_rate) == ("GBP", Decimal(86), Decimal("0.86"))
    assert (charge.paid_currency, charge.paid_amount) == ("EUR", Decimal(100))
    assert (refund.type, refund.paid_currency, refund.paid_amount) == ("refund", "EUR", Decimal(-25))
    assert refund.payment_intent_id == paid.payment_intent_id


def test_of_a_payout_by_hand_its_own_movement_is_known_and_nothing_is_asked(shop: Shop, emulator: Emulator) -> None:
    shop.bank.payout_schedule("manual")
    shop.pay()
    shop.pass_days(5)
    gateway()._v1.payouts.create({"amount": 5000, "currency": "gbp"})
    shop.take_in()
    payout = Payout.objects.get()
    assert (payout.automatic, payout.amount) == (False, Decimal(50))
    assert [row.type for row in payout.transactions.all()] == ["payout"]


def test_an_event_is_a_hint_and_the_payout_is_read(shop: Shop) -> None:
    shop.pay()
    shop.pass_days(5)
    found = gateway().list_payouts(since=clock.now() - timedelta(days=9))
    payout_id = next(iter(found)).id
    event = StripeEvent.objects.create(
        event_id="evt_po", event_type="payout.paid", object_id=payout_id, livemode=False, created_at=clock.now(),
        payload={"object": {"id": payout_id, "status": "failed", "amount": 1}},
    )  # fmt: skip
    assert inbox.handle(event.pk) is True
    payout = Payout.objects.get()
    assert (payout.status, payout.amount) == ("paid", Decimal("98.30"))
    assert payout.transactions.count() == 2


def test_two_looks_at_once_write_each_row_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    shop.clock.shift(timedelta(seconds=2))
    shop.emulator.tick()
    whose = books_intake.account()
    rows = list(gateway().list_balance_transactions(since=clock.now() - timedelta(hours=1), until=clock.now()))
    months = books_intake.Months(whose)
    assert books_intake.keep(rows, whose, months) == 1
    # The other read what is known before that.
    monkeypatch.setattr(BalanceTransaction.objects, "filter", lambda **lookup: BalanceTransaction.objects.none())
    assert books_intake.keep(rows, whose, months) == 1
    monkeypatch.undo()
    assert BalanceTransaction.objects.count() == 1


def test_what_comes_after_its_month_was_closed_stands_in_the_month_that_is_now(shop: Shop) -> None:
    shop.pay()
    whose: dict[str, Any] = books_intake.account()
    january = clock.today().replace(day=1)
    BookMonth.objects.create(**whose, month=january, lines=0, sha256="0" * 64, day_book=b"")
    shop.pass_days(30)
    shop.take_in()
    late = BalanceTransaction.objects.get(type="charge")
    assert (late.day.month, late.month.month) == (1, 2)

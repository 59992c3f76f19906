"""A closed month stays as it was closed; what comes later stands in the month it came. Files add up to the payouts."""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.db.models import QuerySet

from checkout import bookkeeping, clock, signals, workbook
from checkout.errors import CannotSettle
from checkout.models import BalanceTransaction, BookDifference, BookMonth, Checkout, Payout, Posting
from checkout.services import booking, books_closing, books_intake, books_lines, books_match, refunds
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.test_books_match import intent_of_another_site, plant_adjustment
from tests.shop_days import Shop, open_shop

pytestmark = pytest.mark.django_db

JANUARY, FEBRUARY = datetime.date(2027, 1, 1), datetime.date(2027, 2, 1)


@pytest.fixture
def shop(emulator: Emulator) -> Iterator[Shop]:
    with open_shop(emulator) as opened:
        yield opened


def by_hand(amount: str) -> Checkout:
    """Somebody brought it in cash."""
    row = Membership.objects.create(total=Decimal(amount), name="=Cash()")
    Checkout.objects.manual(row, None)
    return Checkout.objects.for_content_object(row).get()


def look(shop: Shop) -> None:
    shop.take_in()
    books_match.match()
    shop.clock.shift(timedelta(minutes=2))


def january(shop: Shop) -> None:
    first = shop.pay("100")
    shop.pay("50", "pm_card_de")
    refunds.refund(first, Decimal(30))
    by_hand("15")
    shop.pass_days(31)
    look(shop)
    assert clock.today() == datetime.date(2027, 2, 4)


def rows_of(month: datetime.date) -> list[dict[str, str]]:
    text, _number = books_closing.day_book(month, books_intake.account())
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))


def test_the_day_book_ties_to_each_payout_and_to_the_penny(shop: Shop) -> None:
    january(shop)
    rows = rows_of(JANUARY)
    for payout in Payout.objects.all():
        held = [row for row in rows if row["payout"] == payout.payout_id and row["kind"] != "payout"]
        assert sum(Decimal(row["net"]) for row in held) == payout.amount
    own = [Decimal(row["gross"]) for row in rows if row["kind"] == "payout"]
    assert -sum(own) == sum(payout.amount for payout in Payout.objects.all())
    payment = next(row for row in rows if row["kind"] == "payment")
    assert (payment["number"], payment["gross"], payment["fee"], payment["net"], payment["method"]) == (
        "R-2027-00001", "100.00", "1.70", "98.30", "card"
    )  # fmt: skip
    (cash,) = [row for row in rows if row["kind"] == "paid by other means"]
    assert (cash["gross"], cash["payer"][:2], cash["method"]) == ("15.00", "'=", "other")


def test_the_entries_of_a_month_balance_and_leave_the_balance_at_stripe(shop: Shop) -> None:
    january(shop)
    lines = list(books_lines.lines(JANUARY, books_intake.account()))
    entries = bookkeeping.journal(lines, bookkeeping.ACCOUNTS, "GBP")
    sums: dict[str, Decimal] = {}
    for entry in entries:
        sums[entry.debit] = sums.get(entry.debit, Decimal(0)) + entry.amount
        sums[entry.credit] = sums.get(entry.credit, Decimal(0)) - entry.amount
    # Everything is in the bank.
    assert sums["610"] == 0
    assert sums["090"] == sum(payout.amount for payout in Payout.objects.all())
    assert (sums["200"], sums["091"]) == (Decimal(-135), Decimal(15))


def test_tax_is_there_when_the_host_gives_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay("120")
    look(shop)
    monkeypatch.setattr(Membership, "checkout_tax", lambda self, amount: amount / 6, raising=False)
    assert [row["tax"] for row in rows_of(JANUARY)] == ["20.000"]


def test_a_workbook_holds_the_same_rows_and_no_formula(shop: Shop) -> None:
    from openpyxl import load_workbook

    january(shop)
    lines = list(books_lines.lines(JANUARY, books_intake.account()))
    made = workbook.render("2027-01", bookkeeping.COLUMNS, (bookkeeping.cells(line) for line in lines))
    sheet = load_workbook(io.BytesIO(made)).active
    head, *rows = list(sheet.iter_rows())
    assert tuple(cell.value for cell in head) == bookkeeping.COLUMNS
    assert len(rows) == len(lines)
    gross = bookkeeping.COLUMNS.index("gross")
    assert sum(Decimal(str(row[gross].value)) for row in rows) == sum(line.gross for line in lines)
    assert {cell.data_type for row in rows for cell in row} <= {"s", "n", "inlineStr"}


def test_closing_keeps_the_day_book_and_its_hash(shop: Shop, staff: Any) -> None:
    january(shop)
    whose = books_intake.account()
    text, number = books_closing.day_book(JANUARY, whose)
    made = books_closing.close(JANUARY, whose, staff, "As agreed with the accountant")
    assert (made.sha256, made.lines, made.closed_by) == (hashlib.sha256(text).hexdigest(), number, staff)
    assert books_closing.frozen(made) == text
    with pytest.raises(CannotSettle, match="closed already"):
        books_closing.close(JANUARY, whose, staff)
    BookMonth.objects.update(sha256="0" * 64)
    made.refresh_from_db()
    with pytest.raises(CannotSettle, match="not the one"):
        books_closing.frozen(made)


def test_later_truth_stands_in_the_month_it_came_and_says_of_which_it_is(shop: Shop, staff: Any) -> None:
    january(shop)
    whose = books_intake.account()
    made = books_closing.close(JANUARY, whose, staff)
    frozen = books_closing.frozen(made)
    # A movement that Stripe lists late, and cash that was forgotten.
    late = BalanceTransaction.objects.filter(type="charge", amount=100).first()
    assert late is not None
    BalanceTransaction.objects.filter(pk=late.pk).delete()
    shop.clock.shift(timedelta(minutes=5))
    books_intake.take_in(since=clock.now() - timedelta(days=40))
    paid = by_hand("25")
    with transaction.atomic():
        booking.post(paid.debt, Posting.Kind.OTHER_MEANS, Decimal(5), cause="forgotten", day=datetime.date(2027, 1, 20))
    late = BalanceTransaction.objects.get(transaction_id=late.transaction_id)
    assert late.month == FEBRUARY
    adjustments = {(row["gross"], row["adjusts"]) for row in rows_of(FEBRUARY) if row["adjusts"]}
    assert adjustments == {("100.00", "2027-01"), ("5.00", "2027-01")}
    assert books_closing.frozen(BookMonth.objects.get()) == frozen
    # What is not of a closed month is no adjustment.
    assert ("25.00", "") in {(row["gross"], row["adjusts"]) for row in rows_of(FEBRUARY)}


def forgotten(checkout: Checkout, at: datetime.datetime | None = None) -> None:
    """Cash of January; `at` is when it was written down."""
    with transaction.atomic():
        booking.post(
            checkout.debt, Posting.Kind.OTHER_MEANS, Decimal(5), cause="forgotten", day=datetime.date(2027, 1, 20)
        )
        if at is not None:
            QuerySet(Posting).filter(cause="forgotten").update(at=at)


def test_what_is_written_down_while_a_month_is_being_closed_is_in_one_month_only(shop: Shop, staff: Any) -> None:
    january(shop)
    made = books_closing.close(JANUARY, books_intake.account(), staff)
    # Its transaction had begun before, and was committed afterwards.
    forgotten(by_hand("25"), at=made.closed_at - timedelta(seconds=10))
    assert "forgotten" not in books_closing.frozen(made).decode()
    assert "forgotten" not in {row["source"] for row in rows_of(JANUARY)}
    assert "forgotten" in {row["source"] for row in rows_of(FEBRUARY)}


def test_a_month_is_not_closed_while_something_of_it_is_being_written_down(shop: Shop) -> None:
    january(shop)
    forgotten(by_hand("25"))
    assert "just now" in " ".join(books_closing.what_is_left(JANUARY, books_intake.account()))
    shop.clock.shift(timedelta(minutes=2))
    assert books_closing.what_is_left(JANUARY, books_intake.account()) == []


def test_a_month_is_over_once_what_was_begun_before_midnight_is_written_down(shop: Shop) -> None:
    for time, is_over in ((datetime.time(0, 0, 10), False), (datetime.time(0, 1, 10), True)):
        shop.clock.move_to(datetime.datetime.combine(FEBRUARY, time, datetime.UTC))
        left = books_closing.what_is_left(JANUARY, books_intake.account())
        assert ("The month is not over yet." not in left) == is_over


def test_the_journal_books_nothing_into_a_closed_month(shop: Shop, staff: Any) -> None:
    january(shop)
    whose = books_intake.account()
    books_closing.close(JANUARY, whose, staff)
    shop.clock.shift(timedelta(minutes=5))
    forgotten(by_hand("25"))
    entries = bookkeeping.journal(books_lines.lines(FEBRUARY, whose), bookkeeping.ACCOUNTS, "GBP")
    assert [(entry.day, entry.amount, entry.text) for entry in entries if entry.debit == "091"] == [
        (FEBRUARY, Decimal(5), "paid by other means of 2027-01"),
        (clock.today(), Decimal(25), "paid by other means"),
    ]


def test_a_month_is_not_closed_while_something_is_left(shop: Shop, staff: Any) -> None:
    whose = books_intake.account()
    paid = shop.pay("100")
    plant_adjustment(shop, paid)
    left = " ".join(books_closing.what_is_left(JANUARY, whose))
    assert "not over" in left
    shop.pass_days(31)
    assert "not taken in" in " ".join(books_closing.what_is_left(JANUARY, whose))
    shop.take_in()
    left = " ".join(books_closing.what_is_left(JANUARY, whose))
    assert "just now" in left
    assert "not compared" in left
    books_match.match()
    shop.clock.shift(timedelta(minutes=2))
    assert books_closing.what_is_left(JANUARY, whose) == ["1 difference is open."]
    with pytest.raises(CannotSettle, match="1 difference is open"):
        books_closing.close(JANUARY, whose, staff)
    assert not BookMonth.objects.exists()


def test_a_month_waits_until_its_last_entries_were_looked_for_at_stripe(shop: Shop, staff: Any) -> None:
    shop.clock.move_to(datetime.datetime(2027, 1, 31, 9, 0, tzinfo=datetime.UTC))
    # Somebody wrote down by SQL that money came which Stripe never took.
    paid = by_hand("30")
    Checkout.objects.filter(pk=paid.pk).update(payment_intent_id="pi_never_was")
    with transaction.atomic():
        booking.post(paid.debt, Posting.Kind.TAKEN, Decimal(30), cause="sql", checkout=paid)
    shop.clock.move_to(datetime.datetime(2027, 2, 1, 9, 0, tzinfo=datetime.UTC))
    look(shop)
    whose = books_intake.account()
    assert "2 days after its end" in " ".join(books_closing.what_is_left(JANUARY, whose))
    shop.pass_days(2)
    look(shop)
    assert books_closing.what_is_left(JANUARY, whose) == ["1 difference is open."]
    assert BookDifference.objects.get().kind == BookDifference.Kind.NOT_AT_STRIPE


def test_months_are_closed_in_their_order(shop: Shop, staff: Any) -> None:
    shop.pay("100")
    shop.pass_days(32)
    shop.pay("50")
    shop.pass_days(30)
    look(shop)
    whose = books_intake.account()
    assert books_closing.what_is_left(FEBRUARY, whose) == ["Close January 2027 first."]
    books_closing.close(JANUARY, whose, staff)
    books_closing.close(FEBRUARY, whose, staff)
    assert BookMonth.objects.count() == 2


def test_what_was_taken_in_while_a_month_was_being_closed_is_in_one_month_only(shop: Shop, staff: Any) -> None:
    january(shop)
    whose = books_intake.account()
    made = books_closing.close(JANUARY, whose, staff)
    # Another look had read which months are closed before this one was.
    row = BalanceTransaction.objects.get(type="refund")
    BalanceTransaction.objects.filter(pk=row.pk).update(taken_in_at=made.closed_at)
    assert row.transaction_id not in {each["movement"] for each in rows_of(JANUARY)}
    books_intake.take_in()
    row.refresh_from_db()
    assert row.month == FEBRUARY
    assert row.transaction_id in {each["movement"] for each in rows_of(FEBRUARY)}


def test_what_is_not_ours_is_in_the_day_book_as_such(shop: Shop) -> None:
    intent_of_another_site(shop, 4200)
    shop.bank.move_balance(-700, description="Radar")
    look(shop)
    kinds = {row["kind"]: row["net"] for row in rows_of(JANUARY)}
    assert kinds == {"not of this site": "41.17", "fee": "-7.00"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sender", [None, Posting])
def test_each_posting_is_told_after_its_commit_and_only_then(emulator: Emulator, sender: type[Posting] | None) -> None:
    told: list[Posting] = []

    def listen(posting: Posting, **kwargs: Any) -> None:
        assert not transaction.get_connection().in_atomic_block
        told.append(posting)

    signals.checkout_posted.connect(listen, sender=sender)
    try:
        with open_shop(emulator) as shop:
            paid = shop.pay("100")
            refunds.refund(paid, Decimal(30))
            with transaction.atomic():
                booking.post(paid.debt, Posting.Kind.DISCOUNT, Decimal(-1), cause="x")
                transaction.set_rollback(True)
    finally:
        signals.checkout_posted.disconnect(listen, sender=sender)
    assert [(posting.kind, posting.amount) for posting in told] == [
        ("owed", Decimal(100)), ("taken", Decimal(100)), ("given_back", Decimal(-30))
    ]  # fmt: skip
    assert {posting.pk for posting in told} == set(Posting.objects.values_list("pk", flat=True))

"""The office's books: a payout is explained to the penny, and what staff do about a difference stays written down."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from checkout import clock
from checkout.models import (
    BalanceTransaction,
    BookDifference,
    Checkout,
    CustomerPayment,
    ObjectPaymentPlanInstalment,
    Payout,
)
from checkout.office import book_figures
from checkout.services import booking, books_intake, books_match, debts, disputes, refunds
from stripe_emulator import Emulator
from tests.services.test_books_match import intent_of_another_site, mark_of
from tests.shop_days import Shop, open_shop
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(emulator: Emulator) -> Iterator[Shop]:
    with open_shop(emulator) as opened:
        yield opened


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


def a_busy_week(shop: Shop) -> None:
    """Something of everything that may be in a payout."""
    first, second = shop.pay("100"), shop.pay("50", "pm_card_de")
    refunds.refund(first, Decimal(30))
    disputes.dispute_updated_at_stripe(shop.bank.dispute(second.payment_intent_id)["id"])
    intent_of_another_site(shop, 4200)
    shop.bank.move_balance(-700, description="Radar")
    shop.bank.move_balance(250, kind="adjustment", description="Fee correction")
    shop.bank.move_balance(-500, kind="payout_minimum_balance_hold")
    shop.pass_days(6)
    shop.take_in()
    books_match.match()


def test_a_payout_is_the_sum_of_its_named_parts(shop: Shop, office: Client) -> None:
    a_busy_week(shop)
    total = Decimal(0)
    for payout in Payout.objects.all():
        content = book_figures.content_of(payout)
        assert (content.unnamed, content.total) == (0, payout.amount)
        total += sum((amount for _name, amount in content.lines()), Decimal(0))
        shown = office.get(payout.get_absolute_url())
        assert shown.context["adds_up"] is True
    assert total == sum(payout.amount for payout in Payout.objects.all())


def test_what_a_payout_cannot_name_is_shown(shop: Shop, office: Client) -> None:
    shop.pay()
    shop.pass_days(6)
    shop.take_in()
    BalanceTransaction.objects.filter(type="charge").update(amount=Decimal(90), net=Decimal("88.30"))
    payout = Payout.objects.get()
    content = book_figures.content_of(payout)
    assert (content.charges, content.fees, content.unnamed) == (Decimal(90), Decimal("-1.70"), Decimal(10))
    shown = office.get(payout.get_absolute_url())
    assert shown.context["adds_up"] is False
    assert "£10.00" in shown.content.decode()


def test_a_month_in_figures_is_what_moved(shop: Shop) -> None:
    a_busy_week(shop)
    (month,) = book_figures.month_of(clock.today().replace(day=1), books_intake.account())
    assert (month.came, month.refunded, month.disputed) == (Decimal(150), Decimal(30), Decimal(50))
    # 1.70 and 1.45 for the payments, 20 for the dispute, 7 billed.
    assert (month.fees, month.fee_percent) == (Decimal("30.15"), Decimal("20.10"))
    assert month.foreign == Decimal(42) - Decimal("0.83")
    assert month.days == Decimal("4.0")
    assert month.paid_out == sum(payout.amount for payout in Payout.objects.all())


def test_what_is_not_in_the_bank_yet_is_every_penny_that_is_not(shop: Shop) -> None:
    shop.pay("100")
    shop.pass_days(4)
    shop.pay("50")
    shop.take_in()
    coming = book_figures.coming(books_intake.account())
    on_its_way = Payout.objects.filter(status__in=Payout.ON_ITS_WAY)
    waiting = Decimal("49.05") + Decimal(0)
    assert book_figures.in_transit(coming) == {"GBP": waiting + sum(payout.amount for payout in on_its_way)}
    shop.pass_days(9)
    shop.take_in()
    assert book_figures.coming(books_intake.account()) == []


def test_staff_give_a_double_back_and_the_history_says_who(shop: Shop, office: Client, boss: Any) -> None:
    paid = shop.pay("100")
    intent_of_another_site(shop, 10_000, **{**mark_of(paid), "checkout": str(paid.debt.attempt_uuid(9))})
    shop.take_in()
    books_match.match()
    row = BookDifference.objects.get()
    url = reverse("checkout.difference.give.back", args=[row.pk])
    seen = office.get(url).context["seen"]
    for _ in range(2):
        assert office.post(url, {"seen": seen, "reason": "Taken twice"}).status_code == 302
    assert shop.emulator.ledger.refunded_minor() == 10_000
    history = office.get(row.get_absolute_url()).content.decode()
    assert "Taken twice" in history
    assert str(boss) in history


def test_more_than_one_person_may_give_back_is_not_given_back_here(shop: Shop, office: Client, settings: Any) -> None:
    settings.CHECKOUT_SECOND_PERSON_ABOVE = Decimal(50)
    paid = shop.pay("100")
    intent_of_another_site(shop, 10_000, **{**mark_of(paid), "checkout": str(paid.debt.attempt_uuid(9))})
    shop.take_in()
    books_match.match()
    url = reverse("checkout.difference.give.back", args=[BookDifference.objects.get().pk])
    office.post(url, {"seen": office.get(url).context["seen"], "reason": "Taken twice"})
    assert shop.emulator.ledger.refunded_minor() == 0


def read(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_aged_debtors_are_what_is_left_by_age(office: Client, books: Books) -> None:
    lines = list(books.plan.payments.exclude(state="success").order_by("count"))
    for line, days in zip(lines, (10, 45, 200), strict=False):
        ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(due=clock.today() - timedelta(days=days))
    booking.post(debts.of_line(lines[1]), "other_means", Decimal(6), cause="part", note="cash")
    # What was asked for today is not overdue.
    (row,) = read(office.get(reverse("checkout.debtors")))
    assert (row["name"], row["currency"]) == ("Ann Smith", "GBP")
    assert [row[age] for age in ("up to 30 days", "31 to 60", "61 to 90", "more than 90")] == [
        str(lines[0].amount.quantize(Decimal("0.01"))), str((lines[1].amount - 6).quantize(Decimal("0.01"))), "0.00",
        str(lines[2].amount.quantize(Decimal("0.01"))),
    ]  # fmt: skip
    assert Decimal(row["overdue"]) == sum(line.amount for line in lines[:3]) - 6


def test_requests_and_invoices_that_nobody_has_paid_are_debts_of_their_age(office: Client, books: Books) -> None:
    ago = clock.now() - timedelta(days=40)
    CustomerPayment.objects.filter(pk=books.request.pk).update(created_at=ago)
    Checkout.objects.filter(pk=books.invoice.pk).update(created_at=ago, settled_at=ago)
    # A part of the request came.
    debt = debts.of(books.request, books.request.total, "GBP")
    booking.post(debt, "other_means", Decimal(5), cause="a part", note="cash")
    rows = {row["name"]: row for row in read(office.get(reverse("checkout.debtors")))}
    assert (rows["Cleo"]["email"], rows["Cleo"]["31 to 60"], rows["Cleo"]["overdue"]) == (
        "cleo@example.com", "20.00", "20.00",
    )  # fmt: skip
    assert (rows["Inv"]["31 to 60"], rows["Inv"]["up to 30 days"]) == ("100.00", "0.00")
    CustomerPayment.objects.filter(pk=books.request.pk).update(withdrawn_at=clock.now())
    assert "Cleo" not in {row["name"] for row in read(office.get(reverse("checkout.debtors")))}

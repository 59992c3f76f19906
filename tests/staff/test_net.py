"""Wherever staff read what was paid, it is what came less what went back: by the postings, to the penny."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from checkout import clock, states
from checkout.models import Checkout, CustomerPayment, Debt, ObjectPaymentPlan, ObjectPaymentPlanInstalment, Posting
from checkout.office import figures
from checkout.services import booking, by_hand, disputes, invoices, refunds, requests
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import make_due
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db

PLANS = "checkout.object.payment.plan.list"


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    cache.clear()
    client.force_login(boss)
    return client


@pytest.fixture
def moved(books: Books, emulator: Emulator, save_plan: Any, boss: Any) -> Books:
    """On top of a disputed deposit: that dispute is lost, half of a payment at once is refunded, a request is paid in
    cash and a part of a late line too."""
    emulator.bank.decide_dispute(books.dispute.dispute_id, "lost")
    disputes.dispute_updated_at_stripe(books.dispute.dispute_id)
    refunds.refund(books.paid, Decimal(50))
    Checkout.objects.manual(books.request, boss)
    line = books.plan.payments.get(count=2)
    by_hand.part_paid(line, Decimal("6.66"), boss, "cash")
    return books


def read(office: Client, name: str, **query: str) -> list[dict[str, str]]:
    answer = office.get(reverse(name), {**query, "format": "csv"})
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


def sum_of(rows: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows if row[column]), start=Decimal(0))


def paid_by_postings() -> Decimal:
    return Decimal(Posting.objects.exclude(kind__in=Posting.OWES).aggregate(Sum("amount"))["amount__sum"])


def test_the_csv_of_payments_adds_up_to_what_is_paid(office: Client, moved: Books) -> None:
    rows = read(office, "checkout.list.success")
    assert sum_of(rows, "Paid, net") == paid_by_postings()
    assert sum_of(rows, "Came") - sum_of(rows, "Went back") == sum_of(rows, "Paid, net")
    assert {row["Kind"] for row in rows} <= {"Payment", "Charge", "Manual"}
    disputed = next(row for row in rows if row["Number"] == str(moved.dispute.checkout_id))
    assert (disputed["Came"], disputed["Went back"], disputed["Paid, net"]) == ("20.00", "20.00", "0.00")


def test_an_agreed_plan_and_an_invoice_are_not_called_paid(office: Client, moved: Books) -> None:
    agreed = Checkout.objects.get(action="payment_plan")
    for checkout, words in ((agreed, "Agreed"), (moved.invoice, "Invoice asked for"), (moved.paid, "Paid")):
        listed = office.get(reverse("checkout.list"), {"q": str(checkout.pk)}).content.decode()
        shown = office.get(checkout.get_absolute_url()).content.decode()
        assert f">{words}</span>" in listed
        assert f">{words}</span>" in shown
    everything = {row["Number"]: row for row in read(office, "checkout.list")}
    assert {everything[str(each.pk)]["Paid, net"] for each in (agreed, moved.invoice)} == {""}


def test_a_payments_page_says_what_went_back_and_what_is_left_of_it(office: Client, moved: Books) -> None:
    assert "£50.00 went back, £50.00 paid net" in office.get(moved.paid.get_absolute_url()).content.decode()


def test_a_plan_says_what_came_what_went_back_and_what_is_to_come(office: Client, moved: Books) -> None:
    """£100 in four lines: the deposit of £20 was lost to the bank, £6.66 came in cash."""
    page = office.get(moved.plan.get_absolute_url())
    assert (page.context["paid"], page.context["back"], page.context["left"]) == ("£6.66", "£20.00", "£73.34")
    text = page.content.decode()
    assert "£20.00 went back" in text
    assert "£73.34 to come" in text
    [row] = read(office, PLANS)
    assert (row["Total"], row["Paid, net"], row["Went back"], row["To come"]) == ("100.00", "6.66", "20.00", "73.34")
    line = office.get(moved.paid_line.get_absolute_url()).content.decode()
    assert "<dt>Paid, net</dt><dd>£0.00</dd>" in line
    assert "<dt>Went back</dt><dd>£20.00</dd>" in line


def test_nothing_is_to_come_of_a_plan_that_was_stopped(office: Client, moved: Books) -> None:
    ObjectPaymentPlan.objects.update(deleted=True)
    assert office.get(moved.plan.get_absolute_url()).context["left"] == ""
    [row] = read(office, PLANS, show="stopped")
    assert (row["Paid, net"], row["To come"]) == ("6.66", "0.00")
    found = figures.figures("GBP", fresh=True)
    assert sum(month.left for month in found.months) == 0
    assert sum(share.number for share in found.overdue) == sum(share.amount or 0 for share in found.overdue) == 0


def test_a_request_that_was_partly_undone_is_not_called_paid_in_full(office: Client, moved: Books) -> None:
    [row] = read(office, "checkout.customer.payment.list")
    assert (row["Amount"], row["Paid, net"]) == ("25.00", "25.00")
    debt = Checkout.objects.for_content_object(moved.request).success().get().debt
    assert debt is not None
    booking.post(debt, Posting.Kind.UNDONE, Decimal(-5), cause="undone:1")
    [row] = read(office, "checkout.customer.payment.list")
    assert row["Paid, net"] == "20.00"


def test_the_overview_adds_up_by_the_basis_that_it_states(office: Client, moved: Books) -> None:
    make_due(moved.plan)
    found = figures.figures("GBP", fresh=True)
    assert sum(month.taken - month.back for month in found.months) == paid_by_postings()
    assert sum(month.back for month in found.months) == Decimal(70)
    lines = ObjectPaymentPlanInstalment.objects.exclude(state=states.SUCCESS).select_related("debt")
    assert sum(month.left for month in found.months) == sum(line.left for line in lines)
    late = sum((line.left for line in lines if line.due < clock.today()), start=Decimal(0))
    assert sum((share.amount or 0 for share in found.overdue), start=Decimal(0)) == late
    for month in found.months:
        assert month.expected == month.taken - month.back + month.left
    text = " ".join(office.get(reverse("checkout.dashboard")).content.decode().split())
    assert "stands in the month in which the money moved" in text
    assert "£70.00" in text


def test_two_currencies_are_never_added_up(office: Client, moved: Books) -> None:
    ours = figures.figures("GBP", fresh=True).months
    line = moved.plan.payments.get(count=4)
    Debt.objects.filter(pk=moved.paid.debt_id).update(currency="EUR")
    assert figures.currencies() == ["EUR", "GBP"]
    theirs = figures.figures("EUR", fresh=True).months
    assert sum(month.taken for month in theirs) == 100
    now = figures.figures("GBP", fresh=True).months
    assert sum(month.taken for month in now) == sum(month.taken for month in ours) - 100
    assert sum(month.left for month in theirs) == 0 < line.left


def test_an_invoice_waits_for_its_money_until_it_came(office: Client, moved: Books, boss: Any) -> None:
    def told() -> tuple[str, list[str]]:
        cache.clear()
        cards = {card["text"]: card for card in office.get(reverse("checkout.dashboard")).context["cards"]}
        card = cards["Unpaid invoices"]
        assert office.get(card["url"]).context["count"] == card["number"]
        return card["number"], [row["Number"] for row in read(office, "checkout.list.invoice")]

    assert told() == ("1", [str(moved.invoice.pk)])
    Membership.objects.update(can_charge=True)
    invoices.mark_paid(moved.invoice, boss, "bank transfer")
    assert told() == ("0", [])


def test_a_request_stands_among_those_to_pay_until_it_is_paid(office: Client, books: Books, boss: Any) -> None:
    other = requests.create(email="cleo@example.com", name="Cleo", description="Pens", total=Decimal(5))

    def told() -> tuple[str, set[str]]:
        cache.clear()
        cards = {card["text"]: card for card in office.get(reverse("checkout.dashboard")).context["cards"]}
        rows = read(office, "checkout.customer.payment.list", show="open")
        return cards["Requests to pay"]["number"], {row["What for"] for row in rows}

    assert told() == ("2", {"Books", "Pens"})
    Checkout.objects.manual(other, boss)
    assert told() == ("1", {"Books"})
    assert CustomerPayment.objects.count() == 2

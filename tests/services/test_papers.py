"""Receipts, statements and invoices: numbers without a gap, and nothing on them that the books do not say."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pypdf
import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.utils import timezone, translation
from post_office.models import Email

from checkout import clock, errors, mail, pdf
from checkout.models import Checkout, CheckoutAdditional, ObjectPaymentPlan, Paper, PaperSeries, content_key
from checkout.services import invoices, numbering, papers, reconcile, refunds, runs
from checkout.services.letters import writing
from checkout.sheets import Sheet
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due
from tests.services.test_refunds import paid
from tests.staff.conftest import ADDRESS

pytestmark = pytest.mark.django_db


def words(sheet: Sheet) -> list[str]:
    """Everything that stands on a sheet, in order."""
    said = [sheet.organisation, *sheet.organisation_lines, *sheet.to, sheet.heading]
    said += [word for fact in sheet.facts for word in fact] + [*sheet.amount]
    for table in sheet.tables:
        said += [table.heading, *table.columns, *(word for row in table.rows for word in row), *table.sum]
    return [word for word in [*said, *sheet.notes] if word]


def text_of(document: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(document)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


# -- numbers -----------------------------------------------------------------------------------------------


def label_of(checkout: Checkout) -> str:
    return Paper.objects.get(checkout=checkout).label


def test_numbers_follow_each_other_and_a_paper_that_comes_to_nothing_leaves_no_gap(emulator: Emulator) -> None:
    year = clock.today().year
    rows = [paid(emulator, Membership.objects.create(name=f"Payer {number}")) for number in range(3)]
    assert [label_of(row) for row in rows] == [f"R-{year}-0000{number}" for number in (1, 2, 3)]
    Paper.objects.filter(checkout=rows[2]).delete()
    PaperSeries.objects.update(last=2)
    with transaction.atomic():
        numbering.number_of(rows[2])
        transaction.set_rollback(True)
    assert not Paper.objects.filter(checkout=rows[2]).exists()
    next_one = paid(emulator, Membership.objects.create())
    assert numbering.give_missing() == 1
    assert [label_of(row) for row in (next_one, rows[2])] == [f"R-{year}-00003", f"R-{year}-00004"]
    assert numbering.give_missing() == 0


def test_each_year_has_a_series_by_the_day_of_the_payment(emulator: Emulator, settings: Any) -> None:
    with time_machine.travel("2025-12-31T12:00:00Z"):
        old = paid(emulator, Membership.objects.create())
    with time_machine.travel("2026-01-01T12:00:00Z"):
        new = paid(emulator, Membership.objects.create())
    assert [label_of(row) for row in (new, old)] == ["R-2026-00001", "R-2025-00001"]
    settings.CHECKOUT_RECEIPT_SERIES = "shop"
    with time_machine.travel("2026-02-01T12:00:00Z"):
        assert label_of(paid(emulator, Membership.objects.create())) == "shop-00001"


def test_the_series_is_that_of_the_sites_own_year_wherever_the_payer_is(emulator: Emulator) -> None:
    """Some sites show each visitor the times of their own zone."""
    with time_machine.travel("2025-12-31T20:00:00Z"), timezone.override("Pacific/Auckland"):
        assert label_of(paid(emulator, Membership.objects.create())) == "R-2025-00001"


def test_a_number_that_cannot_be_given_hides_no_payment_and_is_given_by_reconcile(
    emulator: Emulator, membership: Membership, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHECKOUT_RECEIPT_SERIES = "R"
    with patch_execute(fails_on="checkout_paperseries"):
        checkout = paid(emulator, membership)
    assert checkout.succeeded
    assert "reconcile gives it to them" in caplog.text
    assert papers.receipt(checkout).number == ""
    reconcile.reconcile()
    assert papers.receipt(checkout).number == "R-00001"


@contextmanager
def patch_execute(*, fails_on: str) -> Iterator[None]:
    """The database refuses whatever names that table."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if fails_on in sql:
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


def test_nothing_paid_has_no_receipt(emulator: Emulator, membership: Membership, save_plan: SavePlan) -> None:
    open_one = Checkout.objects.create_checkout("payment", membership)
    saved = Checkout.objects.get(action="payment_plan", pk=_card_of(save_plan(name="Somebody")).pk)
    for row in (open_one, saved):
        assert numbering.number_of(row) is None
        with pytest.raises(errors.CannotPay):
            papers.receipt(row)
    assert not Paper.objects.filter(checkout__in=[open_one, saved]).exists()


def _card_of(plan: ObjectPaymentPlan) -> Checkout:
    return plan.agreement.checkout


# -- what stands on them -----------------------------------------------------------------------------------


def test_a_receipt_says_what_was_paid_with_which_card_and_what_went_back_since(
    emulator: Emulator, membership: Membership, settings: Any
) -> None:
    settings.CHECKOUT_ORGANISATION = {"name": "Green Lane", "address": "1 Lane\nBath", "tax_number": "GB 1"}
    checkout = paid(emulator, membership)
    asked = len(emulator.requests)
    first = words(papers.receipt(checkout))
    for word in ("Green Lane", "1 Lane", "Bath", "Tax number: GB 1", "A Member", "£100.00", "Membership, One year"):
        assert word in first
    assert "Visa ending in 4242" in first
    assert "Given back since" not in first
    assert len(emulator.requests) == asked
    refunds.refund(checkout, Decimal(30))
    then = words(papers.receipt(Checkout.objects.get()))
    assert then[then.index("Given back since") :][:6] == [
        "Given back since", "£30.00", "Remains paid", "£70.00", "Received", "£100.00",
    ]  # fmt: skip
    assert first[: first.index("Received")] == then[: then.index("Given back since")]


def test_a_receipt_names_the_wallet_that_the_card_was_in(emulator: Emulator, membership: Membership) -> None:
    """As the payer sees it on the phone."""
    headers = {"Authorization": f"Bearer {emulator.publishable_key}"}
    body = b"wallet=apple_pay&number=4242424242424242"
    in_wallet = emulator.handle("POST", "/v1/emulator/wallet_cards", headers, body).json()
    assert "Visa ending in 4242 (Apple Pay)" in words(papers.receipt(paid(emulator, membership, in_wallet["id"])))


def test_a_payment_that_an_older_system_took_has_a_receipt_without_a_number_or_a_card(membership: Membership) -> None:
    moved = Checkout.objects.create(
        action_id="payment", state_id="success", total=Decimal(5), payment_intent_id="pi_old", **content_key(membership)
    )
    sheet = papers.receipt(moved)
    assert (sheet.number, "Paid with" in words(sheet)) == ("", False)


def test_a_statement_adds_up_to_the_postings(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    make_due(plan)
    runs.process_payments()
    deposit = papers.receipts_of(plan)[0]
    refunds.refund(deposit, Decimal(5))
    plan = papers.plans().get(pk=plan.pk)
    table, movements = papers.statement(plan).tables
    assert table.columns == ("Payment", "Agreed", "Paid", "Given back", "Left")
    assert table.sum == ("In all", "£100.00", "£46.66", "£5.00", "£53.34")
    assert [row[1:] for row in table.rows] == [
        ("£20.00", "£20.00", "£5.00", "£0.00"),
        ("£26.66", "£26.66", "£0.00", "£0.00"),
        ("£26.67", "£0.00", "£0.00", "£26.67"),
        ("£26.67", "£0.00", "£0.00", "£26.67"),
    ]
    assert [row[1] for row in movements.rows] == ["£20.00", "£26.66", "-£5.00"]
    assert "given back, Deposit" in movements.rows[2][0]


def test_a_statement_has_no_column_for_what_was_given_back_when_nothing_was(save_plan: SavePlan) -> None:
    table = papers.statement(save_plan()).tables[0]
    assert table.columns == ("Payment", "Agreed", "Paid", "Left")
    assert table.sum == ("In all", "£100.00", "£20.00", "£80.00")


def test_a_statement_before_the_deposit_is_paid_counts_what_is_to_come(save_plan: SavePlan) -> None:
    sheet = papers.statement(save_plan("4000000000000341"))
    assert sheet.amount == ("Left to pay", "£100.00")
    assert len(sheet.tables[0].rows) == 4


def test_what_is_owed_again_is_agreed_once(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    refunds.refund(papers.receipts_of(plan)[0], Decimal(20), plan_effect="give_back")
    table = papers.statement(papers.plans().get()).tables[0]
    assert table.sum == ("In all", "£100.00", "£20.00", "£20.00", "£100.00")


def test_a_stopped_plan_leaves_nothing_to_pay(save_plan: SavePlan) -> None:
    plan = save_plan()
    plan.delete_plan()
    sheet = papers.statement(papers.plans().get())
    assert sheet.amount == ("Left to pay", "£0.00")
    assert sheet.notes == ("This payment plan was stopped. Nothing more is taken.",)


def test_an_invoice_goes_to_the_address_and_says_how_to_pay_until_it_is_paid(
    emulator: Emulator, membership: Membership, settings: Any, monkeypatch: Any
) -> None:
    settings.CHECKOUT_ORGANISATION = {"payment_details": "IBAN GB00 1234\nWithin 14 days"}
    monkeypatch.setattr(Membership, "checkout_success", lambda self, checkout: None)
    checkout = invoices.request_invoice(membership, CheckoutAdditional(**ADDRESS))
    sheet = papers.invoice(checkout)
    assert (sheet.title, sheet.number) == ("Invoice", f"I-{clock.today().year}-00001")
    assert {"1 High Street", "BA1 1AA"} <= set(sheet.to)
    assert sheet.amount == ("To pay", "£100.00")
    assert sheet.notes == ("IBAN GB00 1234", "Within 14 days")
    by_hand = invoices.mark_paid(checkout, None, "by bank transfer")
    assert label_of(by_hand) == f"R-{clock.today().year}-00001"
    after = papers.invoice(checkout)
    assert (after.number, after.amount, after.notes) == (sheet.number, ("Paid", "£100.00"), ())
    assert "Other means than a card" in words(papers.receipt(by_hand))


# -- the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en-gb", "de"])
def test_the_file_says_every_word_of_the_sheet(
    emulator: Emulator, save_plan: SavePlan, settings: Any, language: str
) -> None:
    settings.CHECKOUT_ORGANISATION = {"name": "Green & <Lane>", "address": "1 Lane\nBath"}
    plan = save_plan()
    sheets: list[Callable[[], Sheet]] = [
        lambda: papers.statement(plan),
        lambda: papers.receipt(papers.receipts_of(plan)[0]),
    ]
    with translation.override(language):
        for make in sheets:
            sheet = make()
            document = pdf.render(sheet)
            assert document.startswith(b"%PDF-")
            printed = text_of(document)
            missing = [word for word in words(sheet) if " ".join(word.split()) not in printed]
            assert missing == []
            assert pypdf.PdfReader(io.BytesIO(document)).metadata.title == sheet.heading


def test_letters_that_the_font_has_not_are_no_black_squares() -> None:
    assert pdf.writable("Žofie Müller, 33,33\u202f€ – 猫", "Helvetica") == "Žofie Müller, 33,33 € – ?"
    assert pdf.writable("Nguyễn", "Helvetica") == "Nguyen"


def test_a_font_of_the_site_s_writes_what_it_has(settings: Any) -> None:
    from pathlib import Path

    import reportlab

    settings.CHECKOUT_BRAND = {"pdf_font": str(Path(reportlab.__file__).parent / "fonts" / "Vera.ttf")}
    sheet = Sheet(title="Receipt", file="receipt", language="en", facts=(("For", "Café"),), amount=("Paid", "£1"))
    assert "Café" in text_of(pdf.render(sheet))


# -- in the letters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base_url", ["", "https://shop.example"])
def test_the_letter_of_a_payment_has_the_number_and_leads_to_the_receipt(
    emulator: Emulator, membership: Membership, settings: Any, base_url: str
) -> None:
    settings.CHECKOUT_BASE_URL = base_url
    mail.install()
    checkout = paid(emulator, membership)
    writing.write_waiting()
    [letter] = Email.objects.filter(to="member@example.com")
    assert f"Receipt: {Paper.objects.get(checkout=checkout).label}" in letter.message
    assert ("/checkout/receipt/" in letter.message) == bool(base_url)
    assert ("/checkout/receipt/" in letter.html_message) == bool(base_url)


# -- Stripe's own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on", "sent"), [(False, None), (True, "member@example.com")])
def test_stripe_mails_a_receipt_of_its_own_only_where_the_site_wants_it(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, settings: Any, on: bool, sent: str | None
) -> None:
    settings.CHECKOUT_STRIPE_RECEIPTS = on
    at_once = paid(emulator, membership)
    save_plan(name="Odd <one>", email="member@example.com")
    made = [dict(parse_qsl(each.form)) for each in emulator.requests if _makes_an_intent(each)]
    assert (at_once.succeeded, [form.get("receipt_email") for form in made]) == (True, [sent, sent])


def test_what_is_no_address_stops_no_payment(emulator: Emulator, membership: Membership, settings: Any) -> None:
    settings.CHECKOUT_STRIPE_RECEIPTS = True
    Membership.objects.update(email="nobody")
    membership.refresh_from_db()
    assert paid(emulator, membership).succeeded


def _makes_an_intent(request: Any) -> bool:
    return request.method == "POST" and request.path == "/v1/payment_intents"

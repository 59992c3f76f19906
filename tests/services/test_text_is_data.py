"""Nothing that people type is run: in letters, in the office's mails, in CSV, whatever it looks like."""

from __future__ import annotations

import csv
import html
import io
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from post_office.models import Email, EmailTemplate

from checkout import clock, letters, links, mail
from checkout.gateway import gateway
from checkout.models import Checkout, Customer, Notice, ObjectPaymentPlan, PaymentPlan, Problem
from checkout.office import services as office
from checkout.services import disputes, fulfillment, notices, staff_notices
from checkout.services.letters import writing
from checkout.spreadsheets import harmless
from example_checkout.models import Product, SalesLedger
from scripts import check_text
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.odd import LOOKS_LIKE, names
from tests.staff.conftest import ADDRESS, site  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

OFFICE = "office@example.com"


def to_the_office() -> list[Email]:
    return [letter for letter in Email.objects.order_by("pk") if OFFICE in letter.to]


def kept(text: str) -> str:
    """What is left of a text that a mail can hold, on one line."""
    letters = (" " if letter in "\t\n\r" else letter for letter in text)
    return " ".join("".join(each for each in letters if unicodedata.category(each) not in ("Cc", "Cs")).split())


def paid(emulator: Emulator, name: str) -> Checkout:
    row = Membership.objects.create(name=name[:100], email="payer@example.com")
    checkout = Checkout.objects.create_checkout("payment", row)
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    return fulfillment.fulfill(checkout)


# -- the door --------------------------------------------------------------------------------------------------


@given(name=names)
@example("{{ 7|add:35 }}")
@example("x" * 5000)
def test_a_mail_whose_words_are_ready_says_them_as_they_are(name: str) -> None:
    mail.queue_text(OFFICE, name, f"Dear {name}", f"<p>{html.escape(kept(name))}</p>")
    letter = Email.objects.latest("pk")
    assert letter.subject == kept(name)[:200]
    assert kept(letter.message) == kept(f"Dear {name}")
    assert letter.html_message == f"<p>{html.escape(kept(name))}</p>"
    message = letter.prepare_email_message().message()
    assert message.get_all("Bcc") is None
    assert len(message.get_all("Subject", [])) == 1


@given(name=names)
@example("{{ 7|add:35 }}")
@example("x" * 5000)
@hypothesis_settings(max_examples=15)
def test_every_letter_shows_a_name_and_runs_none(name: str) -> None:
    words = ("name", "description", "amount", "card", "due", "total", "address", "link", "contact", "organisation")
    context: dict[str, Any] = dict.fromkeys(words, name) | {
        "lines": [{"label": name, "due": "1 Nov", "amount": "£1.00", "paid": False}],
    }
    shown = kept(name)
    for letter in letters.REGISTER:
        for language in ("", "de"):
            mail.queue(letter, "payer@example.com", context, language)
            queued = Email.objects.latest("pk")
            assert len(queued.subject) <= 200
            assert shown in " ".join(queued.message.split())
            assert html.escape(shown) in " ".join(queued.html_message.split())
            assert "<script" not in queued.html_message
            assert "<img" not in queued.html_message
            assert queued.prepare_email_message().message().get_all("Bcc") is None


def test_a_letter_sent_again_is_sent_as_it_was(settings: Any) -> None:
    customer = Customer.objects.create(name="Smith {% and %} {{ 7|add:35 }}", email="smith@example.com")
    assert notices.send_once("cause", letters.PLAN_AGREED, customer.email, {"name": customer.name}, customer=customer)
    office.send_again(Notice.objects.get(), None)
    first, second = Email.objects.order_by("pk")
    assert (second.subject, second.message, second.html_message) == (first.subject, first.message, first.html_message)
    assert "Smith {% and %} {{ 7|add:35 }}" in second.message


# -- the ways in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LOOKS_LIKE if "\ud800" not in name])
def test_the_office_hears_of_an_invoice_whatever_the_company_is_called(client: Client, name: str) -> None:
    row = Membership.objects.create()
    path = links.invoice_form(row)
    answer = client.post(path, ADDRESS | {"company_name": name})
    if answer.status_code == 422:
        assert len(name) > 200 or "\x00" in name or not kept(name) or kept(name) != name.strip()
        return
    assert answer.status_code == 302
    [letter] = to_the_office()
    assert kept(name)[:100] in letter.subject
    assert kept(name) in kept(letter.message)
    assert len(letter.message) < 1000 + len(name)


@pytest.mark.parametrize("name", ["Pat {% Payer %}", "{{ 7|add:35 }}", "{# Ann"])
def test_a_dispute_is_told_whatever_its_payer_is_called(emulator: Emulator, name: str) -> None:
    checkout = paid(emulator, name)
    Email.objects.all().delete()
    disputes.dispute_updated_at_stripe(emulator.bank.dispute(checkout.payment_intent_id)["id"])
    [letter] = to_the_office()
    assert name in letter.subject


def test_the_digest_tells_the_whole_day_whatever_payers_are_called(emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_NOTIFY = "digest"
    called = ["Ann", "Bob {% x", "Bob {{ x.", "C {% y %}"]
    for name in called:
        paid(emulator, name)
    assert staff_notices.digest(clock.today()) == len(called)
    [letter] = to_the_office()
    for name in called:
        assert name in letter.message


def test_the_shops_receipt_keeps_no_payment_from_being_settled(client: Client, emulator: Emulator) -> None:
    Product.objects.create(slug="p", name="P", price=Decimal(85))
    client.post("/courses/p/buy/", {"name": "Pat {% Payer %}", "email": "pat@payer.example", "quantity": 1})
    client.post(f"/orders/{SalesLedger.objects.get().pk}/pay/")
    checkout = Checkout.objects.get()
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    client.get(f"/checkout/{checkout.uuid}/return/")
    checkout.refresh_from_db()
    assert checkout.succeeded
    assert "Dear Pat {% Payer %}," in Email.objects.get(to__contains="pat@payer.example").message


# -- one that is bad silences nobody else ---------------------------------------------------------------------


def test_one_address_that_is_none_silences_no_other_and_is_a_problem(settings: Any) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["left the company", OFFICE, "second@example.com"]
    assert staff_notices.tell_staff("cause", "Dispute", ["Answer by tomorrow."])
    assert [letter.to for letter in Email.objects.order_by("pk")] == [[OFFICE], ["second@example.com"]]
    problem = Problem.objects.get()
    assert (problem.kind, problem.subject) == (Problem.Kind.LETTER, "staff: left the company")
    assert staff_notices.tell_staff("another", "Dispute", ["And this."])
    assert Problem.objects.count() == 1


def test_a_cause_that_nobody_could_be_told_of_is_told_when_somebody_can(settings: Any) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["left the company"]
    assert not staff_notices.tell_staff("cause", "Dispute", ["Answer by tomorrow."])
    assert Problem.objects.get().kind == Problem.Kind.LETTER
    settings.CHECKOUT_NOTIFY_EMAILS = [OFFICE]
    assert staff_notices.tell_staff("cause", "Dispute", ["Answer by tomorrow."])


def test_a_template_that_cannot_be_rendered_is_a_problem_and_the_invoice_is_taken(client: Client) -> None:
    EmailTemplate.objects.filter(name="invoice_requested").update(content="{% broken %}")
    row = Membership.objects.create()
    assert client.post(links.invoice_form(row), ADDRESS).status_code == 302
    assert to_the_office()
    writing.write_waiting()
    problem = Problem.objects.get()
    assert problem.kind == Problem.Kind.LETTER
    assert "invoice_requested" in problem.detail


def test_a_plan_that_cannot_be_confirmed_by_mail_is_a_problem(
    emulator: Emulator, save_plan: Any, payment_plan: PaymentPlan
) -> None:
    EmailTemplate.objects.filter(name=letters.PLAN_AGREED).update(content="{% broken %}")
    plan: ObjectPaymentPlan = save_plan()
    writing.write_waiting()
    assert Problem.objects.get().subject == f"plan_agreed:{plan.pk}"


# -- CSV -------------------------------------------------------------------------------------------------------


@given(name=names)
def test_no_cell_of_a_csv_is_run_in_a_spreadsheet_of_any_locale(name: str) -> None:
    line = io.StringIO()
    csv.writer(line).writerow(["first", harmless(name), "last"])
    for separator in ",;\t":
        for row in csv.reader(io.StringIO(line.getvalue(), newline=None), delimiter=separator):
            for cell in row:
                assert cell.strip("\x00 \t\r\n\x0b\x0c")[:1] not in tuple("=+-@＝＋－＠")


def test_a_cell_that_is_harmless_stays_as_it_is() -> None:
    for text in ("Ann Smith", "a=b", "Smith; Sons", "3-4", ""):
        assert harmless(text) == text


# -- the rule that keeps it so ---------------------------------------------------------------------------------


def test_no_module_and_no_document_goes_round_the_door() -> None:
    assert list(check_text.complaints(Path(check_text.ROOT))) == []


@pytest.mark.parametrize(
    "code",
    [
        "from post_office import mail",
        "import post_office.mail",
        "from post_office.mail import send",
        "Template(name)",
        "engine.from_string(name)",
        "mark_safe(name)",
    ],
)
def test_the_rule_sees_who_goes_round_the_door(code: str) -> None:
    assert list(check_text.in_python(code))


def test_the_rule_sees_what_a_document_tells_people_to_do() -> None:
    assert list(check_text.in_document("```python\nmail.send(to, subject=name)\n```"))
    assert not list(check_text.in_document("`mail.send(…)` is not for this."))

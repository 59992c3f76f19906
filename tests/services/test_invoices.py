"""Paying by invoice, and what the office is told."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.test import Client, RequestFactory
from django.utils import timezone
from post_office.models import Email

from checkout import clock, errors, links, tasks
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, CheckoutAdditional, ScheduledJob
from checkout.services import ending, fulfillment, intents, invoices, staff_notices
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.kept import kept
from tests.staff.conftest import ADDRESS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings: Any, db: None) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    kept("init_app_checkout", lambda: call_command("init_app_checkout", verbosity=0))


@pytest.fixture
def goes_on(monkeypatch: Any) -> None:
    """A host whose row may still be paid after an invoice was asked for."""

    def checkout_success(self: Membership, checkout: Checkout) -> None:
        done = not checkout.is_invoice
        Membership.objects.filter(pk=self.pk).update(successes=models.F("successes") + 1, can_charge=not done)

    monkeypatch.setattr(Membership, "checkout_success", checkout_success)


def test_the_form_keeps_the_address_and_mails_staff_and_payer_once(client: Client, membership: Membership) -> None:
    path = links.invoice_form(membership)
    assert client.get(path).status_code == 200
    assert client.post(path, ADDRESS)["Location"] == f"/members/{membership.pk}/thanks/"
    assert client.post(path, ADDRESS)["Location"] == path
    assert "We will send you an invoice" in client.get(path).content.decode()
    checkout = Checkout.objects.get()
    assert (checkout.is_invoice, checkout.succeeded, checkout.total) == (True, True, Decimal(100))
    assert checkout.invoice_data is not None
    assert checkout.invoice_data.postcode == "BA1 1AA"
    assert writing.write_waiting().mailed == 1
    to = {str(mail.to[0]): mail for mail in Email.objects.all()}
    assert set(to) == {"office@example.com", "ann@example.com"}
    assert "1 High Street" in to["office@example.com"].message
    assert f"https://shop.example/checkout/staff/checkouts/{checkout.uuid}/" in to["office@example.com"].message
    membership.refresh_from_db()
    assert membership.successes == 1


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"email": "", "phone": "01632 960123"}, True),
        ({"email": ""}, False),
        ({"email": "nonsense"}, False),
        ({"town": ""}, False),
        ({"county": "", "postcode": ""}, True),
        ({"company_name": ""}, True),
        ({"contact_name": ""}, False),
        ({"address_2": "Top floor"}, True),
    ],
)
def test_the_rules_of_the_address(client: Client, membership: Membership, change: dict[str, str], fits: bool) -> None:
    answer = client.post(links.invoice_form(membership), ADDRESS | change)
    assert answer.status_code == (302 if fits else 422)
    assert Checkout.objects.count() == CheckoutAdditional.objects.count() == int(fits)


def test_the_browser_can_fill_in_the_form(client: Client, membership: Membership) -> None:
    page = client.get(links.invoice_form(membership)).content.decode()
    found = dict(re.findall(r'<input type="\w+" name="(\w+)"[^>]*autocomplete="([\w-]+)"', page))
    assert found == {
        "company_name": "organization", "address_1": "address-line1", "address_2": "address-line2",
        "town": "address-level2", "county": "address-level1", "postcode": "postal-code", "country": "country-name",
        "contact_name": "name", "email": "email", "phone": "tel",
    }  # fmt: skip
    # Phones show the keys that the field needs.
    assert '<input type="tel" name="phone"' in page
    assert '<input type="email" name="email"' in page


def test_a_mistake_is_where_the_reader_is(client: Client, membership: Membership) -> None:
    """The first wrong field has the focus, and names its message."""
    path = links.invoice_form(membership)
    page = client.post(path, ADDRESS | {"town": "", "email": "", "phone": ""}).content.decode()
    assert page.count("autofocus") == 1
    town = re.search(r'<input[^>]*name="town"[^>]*>', page)
    assert town
    assert "autofocus" in town[0]
    assert 'aria-describedby="id_town_error"' in town[0]
    assert '<p class="checkout-error" id="id_town_error">Enter the town or city.</p>' in page
    assert "Please give an e-mail address or a telephone number." in page
    assert "<title>Error: Pay by invoice" in page
    assert "autofocus" not in client.get(path).content.decode()


def test_staff_mark_it_as_paid_once(membership: Membership, staff: Any, goes_on: None) -> None:
    checkout = invoices.request_invoice(membership, CheckoutAdditional(**ADDRESS))
    assert invoices.mark_paid(checkout, staff, "bank transfer 4711").is_manual
    with pytest.raises(errors.AlreadyPaid):
        invoices.mark_paid(checkout, staff, "again")
    membership.refresh_from_db()
    assert membership.successes == 2


def test_a_row_that_offers_no_invoice_gets_none(client: Client, membership: Membership, monkeypatch: Any) -> None:
    monkeypatch.setattr(Membership, "checkout_actions", ("payment",))
    path = links.invoice_form(membership)
    for answer in (client.get(path), client.post(path, ADDRESS)):
        assert answer.status_code == 409
        assert "cannot be paid for in that way" in answer.content.decode()
    assert not Checkout.objects.exists()


# -- what the office is told --------------------------------------------------------------------------------


def pay(emulator: Emulator, membership: Membership) -> Checkout:
    checkout = Checkout.objects.create_checkout("payment", membership)
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    return fulfillment.fulfill(checkout)


def test_staff_hear_of_a_payment_at_once_and_once(emulator: Emulator, membership: Membership) -> None:
    checkout = pay(emulator, membership)
    fulfillment.fulfill(checkout)
    [mail] = Email.objects.all()
    assert mail.subject == "Paid: £100.00 A Member <member@example.com>"


def test_staff_hear_why_a_charge_failed(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership)
    ending.fail(checkout, why=Why(note="test"), decline_code="stolen_card", failure=Why(note="Declined."))
    [mail] = Email.objects.all()
    assert mail.subject.startswith("Not paid: £100.00")
    assert "stolen" in mail.message


def test_staff_hear_nothing_of_an_attempt_that_another_took_the_place_of(
    emulator: Emulator, membership: Membership
) -> None:
    begun = Checkout.objects.create_checkout("payment", membership)
    intents.close(begun, why=Why(Code.REPLACED), superseded=True)
    assert not Email.objects.exists()
    again = Checkout.objects.create_checkout("payment", membership)
    intents.close(again, why=Why(Code.CANCELLED_BY_STAFF))
    [mail] = Email.objects.all()
    assert mail.subject.startswith("Not paid: £100.00")


@pytest.mark.parametrize(
    ("request_", "host"), [(None, "https://shop.example"), (RequestFactory().get("/"), "http://testserver")]
)
def test_a_host_may_tell_staff_of_an_attempt(
    emulator: Emulator, membership: Membership, settings: Any, request_: Any, host: str
) -> None:
    settings.CHECKOUT_NOTIFY = "off"
    checkout = Checkout.objects.create_checkout("payment", membership)
    assert checkout.notify(request_) == 1
    [mail] = Email.objects.all()
    assert mail.subject == "Open: £100.00 A Member <member@example.com>"
    assert f"{host}{checkout.get_absolute_url()}" in mail.message
    settings.CHECKOUT_NOTIFY_EMAILS = []
    assert checkout.notify(request_) == 0


@pytest.mark.parametrize("how", ["digest", "off"])
def test_a_site_may_choose_otherwise(emulator: Emulator, membership: Membership, settings: Any, how: str) -> None:
    settings.CHECKOUT_NOTIFY = how
    pay(emulator, membership)
    assert not Email.objects.exists()


@pytest.fixture
def paid_late_yesterday(emulator: Emulator, membership: Membership, settings: Any) -> Checkout:
    """A payment that came in after everybody had gone home."""
    settings.CHECKOUT_NOTIFY = "digest"
    checkout = pay(emulator, membership)
    evening = datetime.datetime.combine(clock.today() - datetime.timedelta(days=1), datetime.time(23, 50))
    Checkout.objects.filter(pk=checkout.pk).update(settled_at=timezone.make_aware(evening))
    return checkout


def test_the_digest_of_a_whole_day_is_sent_once(paid_late_yesterday: Checkout, capsys: Any) -> None:
    call_command("send_staff_digest")
    call_command("send_staff_digest")
    assert capsys.readouterr().out.splitlines() == ["mailed 1 payments", "nothing to mail, or mailed before"]
    [mail] = Email.objects.all()
    assert "1 paid, 0 not paid" in mail.subject
    assert str(paid_late_yesterday.uuid) in mail.message
    assert ScheduledJob.objects.get(name="send_staff_digest").last_succeeded_at is not None


def test_the_digest_counts_what_it_has_no_room_for(
    paid_late_yesterday: Checkout, emulator: Emulator, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staff_notices, "MOST_LINES", 1)
    for _ in range(3):
        pay(emulator, Membership.objects.create())
    paid_late_yesterday.refresh_from_db()
    Checkout.objects.update(settled_at=paid_late_yesterday.settled_at)
    call_command("send_staff_digest")
    assert capsys.readouterr().out == "mailed 4 payments\n"
    [mail] = Email.objects.all()
    assert "4 paid, 0 not paid" in mail.subject
    assert "and more" in mail.message


def test_a_digest_without_payments_is_said_to_be_mailed(settings: Any, capsys: Any) -> None:
    settings.CHECKOUT_NOTIFY = "digest"
    # The doctor has something to say: no job has ever run here.
    call_command("send_staff_digest")
    assert capsys.readouterr().out == "mailed 0 payments\n"
    assert Email.objects.count() == 1


def test_a_digest_that_nobody_can_be_sent_is_no_success(settings: Any) -> None:
    settings.CHECKOUT_NOTIFY, settings.CHECKOUT_NOTIFY_EMAILS = "digest", ["no address"]
    with pytest.raises(CommandError, match="can be written to"):
        call_command("send_staff_digest")
    assert ScheduledJob.objects.get(name="send_staff_digest").last_succeeded_at is None
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    call_command("send_staff_digest")
    assert Email.objects.count() == 1


def test_the_digest_by_celery(paid_late_yesterday: Checkout) -> None:
    assert tasks.send_staff_digest() == 1
    assert tasks.send_staff_digest() == 0
    assert Email.objects.count() == 1
    assert ScheduledJob.objects.get(name="send_staff_digest").last_succeeded_at is not None


@pytest.mark.parametrize("how", ["immediate", "off"])
def test_whoever_did_not_ask_for_a_digest_gets_none(
    paid_late_yesterday: Checkout, settings: Any, how: str, capsys: Any
) -> None:
    settings.CHECKOUT_NOTIFY = how
    assert tasks.send_staff_digest() == 0
    call_command("send_staff_digest")
    assert capsys.readouterr().out == f"CHECKOUT_NOTIFY is {how!r}, so there is no digest\n"
    assert not Email.objects.exists()

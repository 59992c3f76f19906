"""A customer's page is all that they owe and have paid; a wrong address is corrected, here and at Stripe."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from checkout import links
from checkout.gateway import gateway
from checkout.models import Checkout, Customer, SavedCard, StateChange, StripeCustomer
from checkout.office import accounts, people
from checkout.services import at_stripe, by_hand, fulfillment, personal_data, refunds
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.saved import saved_card
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


@pytest.fixture
def ann(books: Books, emulator: Emulator) -> Customer:
    """On a plan of £100 whose deposit of £20 is disputed; she also paid £100 at once without a login, of which £30 was
    given back, and £6.66 of the plan in cash. Every way that there is."""
    customer = books.plan.customer
    assert customer is not None
    paid = Checkout.objects.create_checkout("payment", Membership.objects.create(name="Ann", email="ANN@example.com"))
    emulator.pay(gateway().retrieve_payment_intent(paid.payment_intent_id).client_secret)
    refunds.refund(fulfillment.fulfill(paid), Decimal(30))
    assert paid.customer_id is None
    line = books.plan.payments.get(count=2)
    by_hand.part_paid(line, Decimal("6.66"), None, "cash")
    return customer


def page_of(customer: Customer) -> str:
    return reverse("checkout.customer.detail", args=[customer.pk])


def press(office: Client, do: str, customer: Customer, **data: str) -> str:
    url = reverse(f"checkout.customer.{do}", args=[customer.pk])
    answer = office.post(url, {"seen": office.get(url).context["seen"], **data}, follow=True)
    return str(answer.content.decode())


def test_the_page_adds_up_everything_owed_and_paid_whatever_the_way(office: Client, ann: Customer) -> None:
    assert accounts.account(ann).totals == {"GBP": (Decimal("76.66"), Decimal(50), Decimal("73.34"))}
    text = " ".join(office.get(page_of(ann)).content.decode().split())
    for words in (
        f"Plan {ann.object_payment_plans.get().pk}, Standard",
        "£73.34 to pay",
        "£76.66 paid net",
        "£50.00 went back",
        "£70.00 of £100.00 paid",
    ):
        assert words in text, words


def test_somebody_whose_address_only_ends_alike_is_another_payer(office: Client, ann: Customer) -> None:
    Membership.objects.create(name="Joann", email="jo.ann@example.com")
    other = Customer.objects.create(name="Joann", email="jo.ann@example.com")
    assert accounts.account(other).entries == []


def test_the_statement_shows_every_movement_in_the_customers_language(office: Client, ann: Customer) -> None:
    url = reverse("checkout.customer.statement", args=[ann.pk])
    text = office.get(url).content.decode()
    assert "Statement of account" in text
    for amount in ("£73.34", "£6.66", "-£30.00", "-£20.00"):
        assert amount in text.replace("\u2212", "-"), amount
    Customer.objects.filter(pk=ann.pk).update(language="de")
    assert "Kontoauszug" in office.get(url).content.decode()
    saved = office.get(reverse("checkout.customer.statement.pdf", args=[ann.pk]))
    assert saved.content.startswith(b"%PDF")


def test_the_same_card_under_another_customer_is_shown(office: Client, ann: Customer) -> None:
    assert "The same card" not in office.get(page_of(ann)).content.decode()
    other = Customer.objects.create(name="Bea", email="bea@example.com")
    known = SavedCard.objects.get(customer=ann)
    saved_card(other, fingerprint=known.fingerprint)
    assert known.fingerprint
    for here, there in ((ann, other), (other, ann)):
        text = office.get(page_of(here)).content.decode()
        assert "The same card" in text
        assert f'href="{page_of(there)}"' in text


def test_a_corrected_address_ends_old_links_and_stripe_is_told(
    office: Client, ann: Customer, books: Books, emulator: Emulator
) -> None:
    plan, line = books.plan, books.waiting_line
    old = links.make_token(line)
    at_the_bank = StripeCustomer.objects.get(customer=ann)
    text = press(office, "correct", ann, name="Ann Smythe", email="ann@new.example", reason="by phone")
    assert "Corrected." in text
    for row in (ann, plan, line):
        row.refresh_from_db()
    assert (ann.name, ann.email) == ("Ann Smythe", "ann@new.example")
    assert not links.is_current(old, line)
    told = gateway()._v1.customers.retrieve(at_the_bank.stripe_customer_id)
    assert (told.email, told.name) == ("ann@new.example", "Ann Smythe")
    for words in ("ann@example.com → ann@new.example", "Ann Smith → Ann Smythe", "by phone", "boss"):
        assert words in text, words
    # What she paid under the old address, without a login, is still hers.
    assert accounts.account(ann).totals["GBP"][0] == Decimal("76.66")


def test_what_stripe_did_not_hear_is_told_by_the_daily_job(office: Client, ann: Customer, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostBefore(), path=r"POST /v1/customers/cus_")
    text = press(office, "correct", ann, name="Ann", email="ann@new.example", reason="typo")
    assert "is told within a day" in text
    row = StripeCustomer.objects.get(customer=ann)
    assert row.outdated
    assert at_stripe.tell_outdated() == 1
    assert gateway()._v1.customers.retrieve(row.stripe_customer_id).email == "ann@new.example"
    assert at_stripe.tell_outdated() == 0


def test_an_address_that_another_customer_has_is_refused(office: Client, ann: Customer) -> None:
    Customer.objects.create(name="Bea", email="bea@example.com")
    text = press(office, "correct", ann, name="Ann", email="BEA@example.com", reason="typo")
    assert "has this address already" in text
    ann.refresh_from_db()
    assert ann.email == "ann@example.com"
    assert not StateChange.objects.filter(customer=ann).exists()


def test_a_second_click_finds_that_something_happened(office: Client, ann: Customer) -> None:
    url = reverse("checkout.customer.note", args=[ann.pk])
    data = {"seen": office.get(url).context["seen"], "note": "Calls back in May."}
    for _ in range(2):
        office.post(url, data)
    assert StateChange.objects.filter(customer=ann, note="Calls back in May.").count() == 1
    assert "Calls back in May." in office.get(page_of(ann)).content.decode()


def test_an_erased_payer_is_in_no_note_and_no_correction(ann: Customer, books: Books, boss: Any) -> None:
    people.note(ann, "Ann's mother pays", boss)
    people.correct(ann, "Ann", "ann@new.example", boss, "typo")
    told = personal_data.export("ann@new.example")
    assert told["notes_of_staff"].count("Ann's mother pays") == 1
    assert {"before": "ann@example.com", "after": "ann@new.example"} in told["corrections"]
    other = Customer.objects.create(name="Zoe", email=f"{uuid.uuid4()}@example.com")
    people.note(other, "Zoe's mother pays", boss)
    personal_data.erase(other.email)
    assert not StateChange.objects.filter(customer=other).exclude(note="", facts={}).exists()

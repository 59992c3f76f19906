"""One box finds everything, by whatever somebody has in their hand; what is not ours is asked of Stripe on a press."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from checkout.models import Checkout, Customer, Paper, SavedCard, StateChange, StripeCustomer
from checkout.office import everywhere, people
from checkout.services import bank_news, by_hand, checkouts
from stripe_emulator import Emulator, faults
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db
SEARCH = "/checkout/staff/search/"


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


def found(office: Client, text: str) -> dict[str, list[str]]:
    answer = office.get(reverse("checkout.search"), {"q": text})
    assert answer.status_code == 200
    return {group.name: [hit.text for hit in group.hits] for group in answer.context["groups"]}


def charge_of(emulator: Emulator, checkout: Checkout) -> str:
    rows = emulator.world.tables["charge"].values()
    return next(str(row["id"]) for row in rows if row["payment_intent"] == checkout.payment_intent_id)


def test_a_payer_is_found_by_name_address_and_the_last_digits_of_the_card(office: Client, books: Books) -> None:
    for text in ("ann smith", "ANN@example.com", "ann@exam", "4242"):
        assert found(office, text)["customers"] == ["Ann Smith"], text
    assert f"Plan {books.plan.pk}" in found(office, "smith")["plans"]
    assert f"Checkout {books.paid.pk}" in found(office, "bob@example.com")["checkouts"]


def test_a_name_with_letters_beyond_ascii_is_found_however_it_is_written(office: Client, books: Books) -> None:
    Customer.objects.filter(pk=books.plan.customer_id).update(name="Özlem Müller-Łąka")
    for typed in ("Özlem Müller", "özlem", "MÜLLER", "łąka", "Łąka"):
        assert found(office, typed)["customers"] == ["Özlem Müller-Łąka"], typed
    assert "customers" not in found(office, "Ömer")


def test_our_numbers_find_what_bears_them(office: Client, books: Books) -> None:
    paper = Paper.objects.get(checkout=books.paid)
    assert found(office, paper.label) == {"checkouts": [f"Checkout {books.paid.pk}"]}
    assert found(office, paper.label.lower())["checkouts"] == [f"Checkout {books.paid.pk}"]
    assert f"Plan {books.plan.pk}" in found(office, str(books.plan.pk))["plans"]
    assert f"Checkout {books.open.pk}" in found(office, str(books.open.pk))["checkouts"]
    for row, kind in ((books.plan, "plans"), (books.paid, "checkouts"), (books.request, "requests")):
        assert list(found(office, str(row.uuid))) == [kind]


def test_an_amount_is_found_however_it_is_written(office: Client, books: Books) -> None:
    for typed in ("£25.00", "25.00", "GBP 25"):
        assert found(office, typed)["requests"] == ["Books"], typed
    with translation.override("de"):
        assert everywhere.Asked("1.025,50 EUR").amount == Decimal("1025.50")
        assert everywhere.Asked("1025.50").amount == Decimal("1025.50")


def test_an_amount_finds_lines_refunds_and_what_came_in_part(office: Client, books: Books, boss: Any) -> None:
    line = books.failed_line
    assert f"Instalment 1 of plan {books.plan.pk}" in found(office, str(line.amount.normalize()))["lines"]
    assert len(found(office, "£10")["refunds"]) == 1
    by_hand.part_paid(line, Decimal("3.21"), boss, "BACS 778")
    [part] = Checkout.objects.filter(allocated=True)
    assert found(office, "3.21") == {"checkouts": [f"Checkout {part.pk}"]}


def test_what_staff_wrote_is_found_again(office: Client, books: Books, boss: Any) -> None:
    checkouts.manual(books.request, boss, "Bank transfer REF-2026/771")
    people.note(books.plan.customer, "Calls back on Tuesday.", boss)
    assert "Bank transfer REF-2026/771" in found(office, "REF-2026/771")["notes"]
    assert found(office, "tuesday")["notes"] == ["Calls back on Tuesday."]
    assert found(office, "books")["requests"] == ["Books"]


def test_stripes_ids_find_what_is_kept_of_them(office: Client, books: Books, emulator: Emulator) -> None:
    paid, card = books.paid, SavedCard.objects.get()
    bank_news.look()
    customer = StripeCustomer.objects.get(customer=books.plan.customer).stripe_customer_id
    for text, kind in (
        (paid.payment_intent_id, "checkouts"),
        (books.dispute.dispute_id, "disputes"),
        (books.dispute.charge_id, "disputes"),
        (card.payment_method_id, "customers"),
        (customer, "customers"),
        ("evt_1", "events"),
    ):
        assert kind in found(office, text), text
    assert "checkouts" in found(office, books.dispute.charge_id)


def test_looking_asks_stripe_nothing_and_changes_nothing(office: Client, books: Books, emulator: Emulator) -> None:
    before = (len(emulator.requests), StateChange.objects.count())
    assert found(office, charge_of(emulator, books.paid)) == {}
    assert (len(emulator.requests), StateChange.objects.count()) == before


def test_an_id_that_is_not_kept_is_asked_of_stripe_once_on_a_press(
    office: Client, books: Books, emulator: Emulator
) -> None:
    charge, before = charge_of(emulator, books.paid), len(emulator.requests)
    answer = office.post(SEARCH, {"q": charge})
    assert len(emulator.requests) == before + 1
    text = answer.content.decode()
    assert (charge in text, "£100.00" in text, books.paid.get_absolute_url() in text) == (True, True, True)
    unknown = office.post(SEARCH, {"q": "ch_unknown"}).content.decode()
    assert "Stripe has no such thing in our account." in unknown
    emulator.weather.add(faults.LostBefore(), path=r"GET /v1/charges")
    assert "Stripe gave no answer" in office.post(SEARCH, {"q": charge}).content.decode()
    asked = len(emulator.requests)
    assert "no id that Stripe can be asked about" in office.post(SEARCH, {"q": "ann"}).content.decode()
    assert len(emulator.requests) == asked


def test_every_kind_of_thing_can_be_asked_for(office: Client, books: Books, emulator: Emulator) -> None:
    for kind in (
        "payment_intent",
        "setup_intent",
        "customer",
        "payment_method",
        "dispute",
        "balance_transaction",
        "event",
    ):
        thing = next(iter(emulator.world.tables[kind].values()))["id"]
        answer = office.post(SEARCH, {"q": thing})
        assert (answer.status_code, answer.context["trouble"]) == (200, ""), thing
        assert thing in answer.content.decode()


def test_only_what_the_login_may_see_is_found(client: Client, books: Books, staff_with: Any) -> None:
    client.force_login(staff_with("checkout.view_checkout"))
    assert set(found(client, "ann smith")) == {"checkouts"}
    assert set(found(client, "£25")) == set()


def test_odd_words_find_nothing_and_break_nothing(office: Client, books: Books) -> None:
    for text in ("", " ", "\x00", "%", "'", "€", "ch_", "12345678901234567890", "-", "1e9", "<>"):
        assert found(office, text) == {}, text


def test_the_number_of_queries_does_not_grow(office: Client, books: Books, count_queries: Callable[..., int]) -> None:
    def look(text: str) -> None:
        assert office.get(SEARCH, {"q": text}).status_code == 200

    look("x")
    texts = ("smith", "4242", "£100", "pi_x", "R-2026-00001")
    few = [count_queries(partial(look, text)) for text in texts]
    for number in range(15):
        customer = Customer.objects.create(name="Cy Smith", email=f"cy{number}@example.com")
        SavedCard.objects.create(
            customer=customer, payment_method_id=f"pm_x{number}", stripe_customer_id=f"cus_x{number}", last4="4242",
            set_up_at=books.plan.created_at,
        )  # fmt: skip
        Checkout.objects.create(
            action_id="charge", state_id="fail", content_type=books.paid.content_type, object_id=f"x{number}",
            total=100, payer=f"Cy Smith <cy{number}@example.com>", customer=customer,
        )  # fmt: skip
    assert [count_queries(partial(look, text)) for text in texts] == few
    assert max(few) < 45


def test_more_than_are_shown_are_told_of(office: Client, books: Books) -> None:
    Customer.objects.bulk_create(Customer(name="Cy Smith", email=f"cy{number}@example.com") for number in range(15))
    answer = office.get(SEARCH, {"q": "cy smith"})
    [group] = [group for group in answer.context["groups"] if group.name == "customers"]
    assert (len(group.hits), group.more) == (everywhere.SHOWN, True)
    assert "The newest 10 are shown" in answer.content.decode()

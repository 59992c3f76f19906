"""Two customers who are one person become one: nothing is lost, and both can still be read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from checkout import clock
from checkout.errors import CheckoutError
from checkout.models import Checkout, Customer, CustomerPayment, ObjectPaymentPlan, SavedCard, StateChange
from checkout.office import accounts, people, selectors
from checkout.services import at_stripe, cards, personal_data, requests
from stripe_emulator import Emulator, faults
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(site: None, save_plan: Any, emulator: Emulator) -> tuple[Customer, Customer]:  # noqa: F811
    """Ann at work, with a plan and a request; and Ann at home, with a plan."""
    first, second = (save_plan(email=f"ann@{place}.example", name=f"Ann {place}") for place in ("work", "home"))
    requests.create(email="ann@work.example", name="Ann", description="Books", total=Decimal(25))
    return first.customer, second.customer


def everything(customer: Customer) -> int:
    """How many rows point at a customer."""
    return sum(
        relation.related_model._base_manager.filter(**{relation.field.name: customer}).count()
        for relation in Customer._meta.related_objects
        if relation.related_model is not Customer
    )


def test_everything_of_the_one_is_the_others_and_adds_up(two: tuple[Customer, Customer], boss: Any) -> None:
    first, second = two
    before = [accounts.account(each).totals["GBP"] for each in two]
    rows = everything(first) + everything(second)
    people.merge(first, second, boss, "same person")
    paid, back, left = (sum(parts) for parts in zip(*before, strict=True))
    assert accounts.account(second).totals == {"GBP": (paid, back, left)}
    for model in (ObjectPaymentPlan, CustomerPayment, SavedCard, Checkout):
        assert not model._base_manager.filter(customer=first).exists()
    # One row more: that it was merged.
    assert everything(first) + everything(second) == rows + 1
    [note] = StateChange.objects.filter(code="customer_merged")
    assert (note.customer, note.reason_text, note.note) == (
        second, "Ann work <ann@work.example> was merged into this one: same person", "same person",
    )  # fmt: skip


def test_cards_of_both_are_charged_as_before_and_stripe_knows_one_name(
    two: tuple[Customer, Customer], boss: Any, emulator: Emulator
) -> None:
    first, second = two
    plan = ObjectPaymentPlan.objects.get(customer=first)
    assert people.merge(first, second, boss, "same person")
    known = {(row["name"], row["email"]) for row in emulator.world.tables["customer"].values()}
    assert known == {("Ann home", "ann@home.example")}
    plan.refresh_from_db()
    line = plan.payments.get(count=2)
    assert Checkout.objects.charge(line, boss).succeeded
    assert not at_stripe.tell_outdated()


def test_what_stripe_could_not_be_told_it_is_told_later(
    two: tuple[Customer, Customer], boss: Any, emulator: Emulator
) -> None:
    first, second = two
    emulator.weather.add(faults.LostBefore(), path=r"POST /v1/customers/")
    assert not people.merge(first, second, boss, "same person")
    assert at_stripe.tell_outdated() >= 1
    assert {row["email"] for row in emulator.world.tables["customer"].values()} == {"ann@home.example"}


def test_the_old_address_leads_to_the_one_that_stays(two: tuple[Customer, Customer], boss: Any) -> None:
    first, second = two
    people.merge(first, second, boss, "same person")
    assert Customer.objects.with_email("ANN@work.example") == second
    assert cards.ensure_customer("ann@work.example", "Ann") == second
    made = requests.create(email="ann@work.example", name="Ann", description="More", total=Decimal(5))
    assert made.customer == second
    third = Customer.objects.create(name="Ann C", email="ann@c.example")
    people.merge(second, third, boss, "her, too")
    first.refresh_from_db()
    assert (first.merged_into, Customer.objects.with_email("ann@work.example")) == (third, third)
    with pytest.raises(CheckoutError, match="has this address already"):
        people.correct(third, "Ann", "ann@work.example", boss, "back")


def test_neither_in_a_circle_nor_twice(two: tuple[Customer, Customer], boss: Any) -> None:
    first, second = two
    people.merge(first, second, boss, "same person")
    for source, target in ((first, second), (second, first), (second, second)):
        with pytest.raises(CheckoutError):
            people.merge(source, target, boss, "again")
    second.refresh_from_db()
    assert second.merged_into is None
    with pytest.raises(IntegrityError), transaction.atomic():
        Customer.objects.filter(pk=second.pk).update(merged_into=second, merged_at=clock.now())


def test_staff_look_at_both_before_they_merge_and_can_read_the_old_one_afterwards(
    client: Client, two: tuple[Customer, Customer], boss: Any
) -> None:
    first, second = two
    client.force_login(boss)
    url = reverse("checkout.customer.merge", args=[first.pk])
    assert "Look at both" in client.get(url).content.decode()
    assert "There is no customer with this address." in client.get(url, {"into": "x@y.example"}).content.decode()
    assert "This is the same customer." in client.get(url, {"into": first.email}).content.decode()
    shown = client.get(url, {"into": second.email})
    text = " ".join(shown.content.decode().split())
    assert ("Ann work" in text, "Ann home" in text, "£20.00 paid net" in text) == (True, True, True)
    said = {"seen": shown.context["seen"], "into": second.email, "reason": "same person"}
    done = client.post(f"{url}?into={second.email}", said, follow=True)
    assert ("Merged." in done.content.decode(), done.context["customer"]) == (True, second)
    old = client.get(reverse("checkout.customer.detail", args=[first.pk]))
    assert ("Merged into" in old.content.decode(), old.context["actions"]) == (True, [])
    assert list(selectors.customers()) == [second]


def test_what_is_erased_is_erased_under_every_address(two: tuple[Customer, Customer], boss: Any) -> None:
    first, second = two
    people.merge(first, second, boss, "same person")
    assert len(personal_data.export("ann@work.example")["payment_plans"]) == 2
    ObjectPaymentPlan.objects.update(deleted=True)
    CustomerPayment.objects.update(withdrawn_at=clock.now())
    personal_data.erase("ann@home.example", boss)
    assert not Customer.objects.exclude(email__endswith="@erased.invalid").exists()
    assert not Checkout.objects.filter(payer__icontains="ann@").exists()
    assert "Ann" not in str(StateChange.objects.filter(customer=second).values_list("facts", "note"))

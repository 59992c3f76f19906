"""What a fixture has made and is put there again is what was made, and only for a test that begins where it began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import transaction

from checkout import clock, signals
from checkout.models import Customer, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import runs
from stripe_emulator import Clock, Emulator, faults
from tests import kept
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due, payment_plan, save_plan  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db

Another = Callable[[], Emulator]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: Any) -> None:
    monkeypatch.setattr(kept, "_made", {})


@pytest.fixture
def another(emulator: Emulator, settings: Any) -> Another:
    def make() -> Emulator:
        made = Emulator(seed=1, clock=Clock())
        settings.CHECKOUT_STRIPE_HTTP_CLIENT = made.transport
        return made

    return make


@contextmanager
def undone() -> Iterator[None]:
    """As the rows of a test are at its end. (The services refuse to work inside another `atomic`.)"""
    point = transaction.savepoint()
    yield
    transaction.savepoint_rollback(point)


def test_the_second_has_the_rows_the_stripe_and_the_answer_of_the_first(
    emulator: Emulator,
    save_plan: SavePlan,  # noqa: F811
) -> None:
    def make() -> ObjectPaymentPlan:
        return save_plan(email="payer@example.com")

    with undone():
        first = kept.kept("a plan", make, emulator)
        rows, stripe, asked = kept._everything(), emulator.snapshot(), list(emulator.requests)
    assert not ObjectPaymentPlan.objects.exists()
    emulator.reset()
    second = kept.kept("a plan", make, emulator)
    assert second == first
    assert second is not first
    assert kept._everything() == rows, "to the second in which it was made"
    assert emulator.snapshot() == stripe
    assert list(emulator.requests) == asked
    # And it goes on from there.
    make_due(second)
    assert runs.counts(runs.process_payments(workers=1)) == {"charged": 1}
    assert emulator.ledger.taken_minor() == 2000 + 2666


@pytest.mark.parametrize(
    "what",
    ["nothing", "a row", "a key", "a setting", "a listener", "a minute later", "bad weather", "asked before", "anew"],
)
def test_whoever_begins_elsewhere_has_it_made(another: Another, settings: Any, what: str) -> None:
    made = []

    def listen(**news: Any) -> None: ...

    def make() -> int:
        made.append(1)
        return Customer.objects.create(email=f"{len(made)}@example.com").pk

    with undone():
        Membership.objects.create(pk=UUID(int=1))
        kept.kept("a customer", make, another())
    later = timedelta(seconds=kept.SECONDS + 1 if what == "a minute later" else 1)
    with undone(), time_machine.travel(clock.now() + later):
        stripe = another()
        Membership.objects.create(pk=UUID(int=2 if what == "a key" else 1))
        if what == "a listener":
            signals.checkout_succeeded.connect(listen)
        if what == "a row":
            Customer.objects.create(email="before@example.com")
        if what == "a setting":
            settings.CHECKOUT_CURRENCY = "EUR"
        if what == "bad weather":
            stripe.weather.add(faults.Status(500))
        if what == "asked before":
            stripe.handle("GET", "/v1/customers", {"Authorization": "Bearer sk_test_emulator"})
        with kept.anew() if what == "anew" else nullcontext():
            kept.kept("a customer", make, stripe)
        signals.checkout_succeeded.disconnect(listen)
        assert Customer.objects.filter(email=f"{len(made)}@example.com").exists()
    assert len(made) == (1 if what == "nothing" else 2)


def test_a_row_that_changed_or_went_does_so_again() -> None:
    Customer.objects.create(email="changed@example.com", name="Before")
    Customer.objects.create(email="gone@example.com")

    def make() -> None:
        Customer.objects.filter(email="changed@example.com").update(name="After")
        Customer.objects.filter(email="gone@example.com").delete()

    for _time in range(2):
        with undone():
            kept.kept("a change", make)
            assert list(Customer.objects.values_list("email", "name")) == [("changed@example.com", "After")]
    assert not ObjectPaymentPlanInstalment.objects.exists()

"""What is kept costs little, and what nobody fetches does not grow without end."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from stripe_emulator import Clock, Emulator
from stripe_emulator.core import world
from stripe_emulator.webhooks import outbox

from .helpers import START, Bench, bench

HEADERS = {"Authorization": "Bearer sk_test_x"}
PAID = b"amount=2000&currency=gbp&payment_method=pm_card_visa&confirm=true&allowed_payment_method_types[0]=card"


@pytest.mark.parametrize(("form", "most"), [(b"amount=2000&currency=gbp", 4), (PAID, 11)])
def test_an_intent_takes_few_kibibytes_with_its_charge_and_its_events(form: bytes, most: float) -> None:
    emulator = Emulator(seed=1, clock=Clock(START, frozen=True))
    emulator.requests.clear()

    def make(count: int) -> None:
        for _ in range(count):
            assert emulator.handle("POST", "/v1/payment_intents", HEADERS, form).status == 200
        emulator.clock.advance(seconds=5)
        emulator.tick()
        emulator.requests.clear()

    make(50)
    gc.collect()
    tracemalloc.start()
    try:
        make(400)
        gc.collect()
        kibibytes = tracemalloc.get_traced_memory()[0] / 1024
    finally:
        tracemalloc.stop()
    assert kibibytes / 400 < most


def test_equal_parts_of_two_payments_are_one_and_a_change_of_one_is_not_one_of_the_other() -> None:
    shop = bench()
    first, second = (shop.saved() for _ in range(2))
    rows = shop.emulator.world.tables["payment_method"].rows
    assert rows[first[1]]["card"] is rows[second[1]]["card"]
    shop.v1.payment_methods.update(first[1], {"card": {"exp_year": 2040}, "metadata": {"mine": "1"}})
    other = shop.v1.payment_methods.retrieve(second[1])
    assert (other.card.exp_year == 2040, other.metadata.to_dict()) == (False, {})


def test_an_event_is_told_as_it_was_recorded() -> None:
    shop: Bench = bench()
    for name in ("Ada", "Bea \u20ac \U0001f600", "C" * 200):
        shop.customer(name=name)
    told = [event.data.object.name for event in shop.v1.events.list().data]
    assert told == ["C" * 200, "Bea \u20ac \U0001f600", "Ada"]
    shop.emulator.restore(shop.emulator.snapshot())
    assert [event.data.object.name for event in shop.v1.events.list().data] == told


def test_of_very_many_events_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "MOST_EVENTS", 50)
    shop = bench()
    for number in range(120):
        shop.customer(name=str(number))
    kept: list[Any] = list(shop.v1.events.list({"limit": 100}).auto_paging_iter())
    assert 45 <= len(kept) <= 50
    assert [event.data.object.name for event in kept[:2]] == ["119", "118"]
    assert len(list(shop.v1.events.list({"limit": 100, "type": "customer.created"}).auto_paging_iter())) == len(kept)


def test_what_waits_for_a_dead_endpoint_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 20)
    shop = bench()
    shop.emulator.webhooks.add("http://127.0.0.1:9/", "whsec_x")
    for number in range(60):
        shop.customer(name=str(number))
    due = shop.emulator.webhooks.due()
    assert len(due) == 20
    assert b'"name":"59"' in due[-1].body

"""Snapshots: everything comes back, and the future is the same."""

from __future__ import annotations

import json

import pytest

from stripe_emulator import Clock, Emulator

from .helpers import Bench, bench


@pytest.fixture
def shop() -> Bench:
    return bench()


def test_restoring_brings_back_objects_keys_clock_and_what_was_due(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_createIssuerFraudRecord")
    paid = shop.charge(customer, method, key="attempt-1")
    shop.emulator.webhooks.add("http://127.0.0.1:1/", "whsec_x")
    saved = json.loads(json.dumps(shop.emulator.snapshot()))
    other = Emulator(clock=Clock(frozen=True))
    other.restore(saved)
    there = Bench(other, shop.client.__class__("sk_test_x", http_client=other.transport()))
    assert other.clock.now() == shop.emulator.clock.now()
    assert there.charge(customer, method, key="attempt-1").id == paid.id
    assert other.ledger.taken_minor() == 2000
    other.clock.advance(seconds=2)
    assert len(there.v1.radar.early_fraud_warnings.list().data) == 1
    assert [d.event_type for d in other.webhooks.due()] == ["charge.updated", "radar.early_fraud_warning.created"]


def test_the_future_after_a_restore_is_the_same(shop: Bench) -> None:
    saved = shop.emulator.snapshot()
    first = shop.customer()
    shop.emulator.restore(saved)
    assert shop.v1.customers.list().data == []
    assert shop.customer() == first
    assert shop.emulator.snapshot() != saved


def test_a_snapshot_survives_its_own_round_trip(shop: Bench) -> None:
    customer, method = shop.saved()
    shop.charge(customer, method)
    shop.v1.customers.delete(customer)
    before = shop.emulator.snapshot()
    shop.emulator.restore(before)
    assert shop.emulator.snapshot() == before


def test_ids_differ_by_default_and_repeat_with_a_seed() -> None:
    def first_id(emulator: Emulator) -> str:
        headers = {"Authorization": "Bearer sk_test_x"}
        return str(emulator.handle("POST", "/v1/customers", headers).json()["id"])

    one, other = Emulator(), Emulator()
    known = {first_id(one), first_id(other)}
    one.reset()
    known.add(first_id(one))
    assert len(known) == 3
    repeated = Emulator(seed=one.seed)
    assert first_id(repeated) in known
    repeated.reset()
    assert first_id(repeated) in known


def test_a_seed_repeats_the_chances_too_after_a_reset(shop: Bench) -> None:
    def told() -> list[int]:
        webhooks = shop.emulator.webhooks
        webhooks.add("http://127.0.0.1:1/", "whsec_x")
        webhooks.weather.duplicate = 0.5
        for _ in range(20):
            shop.customer()
        return [delivery.attempt for delivery in webhooks.due()]

    before = told()
    shop.emulator.reset()
    assert told() == before


def test_reset_forgets_everything_but_keeps_its_parts(shop: Bench) -> None:
    webhooks, weather = shop.emulator.webhooks, shop.emulator.weather
    customer, method = shop.saved()
    shop.charge(customer, method)
    shop.emulator.reset()
    assert shop.emulator.ledger.taken_minor() == 0
    assert shop.v1.customers.list().data == []
    assert (shop.emulator.webhooks, shop.emulator.weather) == (webhooks, weather)


@pytest.mark.parametrize("place", ["world", "keys", "webhooks", "clock"])
def test_what_is_no_snapshot_changes_nothing(shop: Bench, place: str) -> None:
    shop.charge(*shop.saved())
    before = shop.emulator.snapshot()
    shop.emulator.clock.advance(days=1)
    shop.emulator.webhooks.add("http://127.0.0.1:1/", "whsec_x")
    shop.customer()
    broken = json.loads(json.dumps(before))
    if place == "clock":
        broken["world"]["clock"] = []
    else:
        broken[place] = {"rows": 5}
    later = shop.emulator.snapshot()
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        shop.emulator.restore(broken)
    assert shop.emulator.snapshot() == later

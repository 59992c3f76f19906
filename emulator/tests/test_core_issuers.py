"""Banks over time: funds that come on a day, moods, and a card that was tried too often."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .helpers import Bench, bench


@pytest.fixture
def shop() -> Bench:
    return bench()


def tried(shop: Bench, customer: str, method: str, **params: Any) -> Any:
    """The charge of a try, failed or not."""
    try:
        intent = shop.charge(customer, method, **params)
    except stripe.CardError as error:
        assert error.error is not None
        return shop.v1.charges.retrieve(str(error.error.charge))
    return shop.v1.charges.retrieve(intent.latest_charge)


def test_funds_are_there_on_payday(shop: Bench) -> None:
    customer, method = shop.saved()
    shop.emulator.bank.decline_for_days(method, 5)
    for _ in range(2):
        assert tried(shop, customer, method).outcome.reason == "insufficient_funds"
        shop.emulator.clock.advance(days=2)
    shop.emulator.clock.advance(days=1)
    assert tried(shop, customer, method).status == "succeeded"


def test_stripe_blocks_a_card_that_was_declined_fifteen_times(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_chargeCustomerFail")
    for _ in range(15):
        assert tried(shop, customer, method).outcome.type == "issuer_declined"
        shop.emulator.clock.advance(hours=24)
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(customer, method)
    error = caught.value.error
    assert error is not None
    assert (error.code, error.decline_code, error.message) == (
        "card_declined",
        "generic_decline",
        "Your card was declined.",
    )
    outcome = shop.v1.charges.retrieve(str(error.charge)).outcome
    assert (outcome.type, outcome.network_status) == ("blocked", "not_sent_to_network")
    assert (outcome.reason, outcome.risk_level) == ("previously_declined_do_not_retry", "normal")
    assert shop.events()[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    assert tried(shop, customer, method, amount=1999).outcome.type == "issuer_declined", "another amount"
    shop.emulator.clock.advance(days=16)
    assert tried(shop, customer, method).outcome.type == "issuer_declined", "thirty days after the first"


def test_the_block_comes_when_it_is_told_to_and_an_approval_ends_the_count(shop: Bench) -> None:
    customer, method = shop.saved()
    bank = shop.emulator.bank
    bank.block_after(2, days=7)
    bank.decline_next(method)
    assert tried(shop, customer, method).status == "failed"
    assert tried(shop, customer, method).status == "succeeded"
    bank.decline_next(method, times=2)
    for reason in ("insufficient_funds", "insufficient_funds", "previously_declined_do_not_retry"):
        assert tried(shop, customer, method).outcome.reason == reason
    shop.emulator.clock.advance(days=7)
    assert tried(shop, customer, method).status == "succeeded"
    bank.block_after(None)
    bank.decline_next(method, times=30)
    assert {tried(shop, customer, method).outcome.reason for _ in range(30)} == {"insufficient_funds"}


def test_another_card_of_the_same_payer_is_not_blocked(shop: Bench) -> None:
    shop.emulator.bank.block_after(1)
    customer, method = shop.saved("pm_card_chargeCustomerFail")
    for reason in ("generic_decline", "previously_declined_do_not_retry"):
        assert tried(shop, customer, method).outcome.reason == reason
    other = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    assert tried(shop, customer, other).status == "succeeded"


def moods(seed: int) -> list[str]:
    shop = bench(seed)
    shop.emulator.bank.moods(0.3, ["do_not_honor", "issuer_not_available"])
    customer, method = shop.saved()
    found = []
    for _ in range(60):
        found.append(tried(shop, customer, method).outcome.reason or "paid")
        shop.emulator.clock.advance(days=1)
    return found


def test_the_moods_of_banks_hang_on_the_seed_alone() -> None:
    first = moods(1)
    assert set(first) == {"paid", "do_not_honor", "issuer_not_available"}
    assert 5 <= 60 - first.count("paid") <= 35
    assert moods(1) == first
    assert moods(2) != first
    with pytest.raises(ValueError, match="rate from 0 to 1"):
        bench().emulator.bank.moods(7)


def test_what_banks_do_comes_back_with_a_snapshot(shop: Bench) -> None:
    customer, method = shop.saved()
    shop.emulator.bank.block_after(1)
    shop.emulator.bank.decline_for_days(method, 3)
    assert tried(shop, customer, method).outcome.reason == "insufficient_funds"
    shop.emulator.restore(shop.emulator.snapshot())
    assert tried(shop, customer, method).outcome.reason == "previously_declined_do_not_retry"

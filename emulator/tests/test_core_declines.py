"""Every decline code: a card for it, what its error tells, and what the network advises."""

from __future__ import annotations

import re
from typing import Any

import pytest
import stripe

from stripe_emulator.resources.cards import BY_NAME, CARDS, ISSUED, luhn
from stripe_emulator.resources.declines import CODES, decline_for

from .helpers import Bench, bench

ADVICE = {None, "try_again_later", "do_not_try_again", "confirm_card_data"}


@pytest.fixture
def shop() -> Bench:
    return bench()


def declined(shop: Bench, customer: str, method: str) -> tuple[Any, Any, Any]:
    """The error of an off-session charge, the intent and the charge that it tells of."""
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(customer, method)
    error = caught.value.error
    return error, shop.v1.payment_intents.retrieve(error.payment_intent.id), shop.v1.charges.retrieve(error.charge)


def told(row: Any) -> tuple[str | None, ...]:
    return tuple(getattr(row, name, None) for name in ("advice_code", "network_decline_code", "network_advice_code"))


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_saved_card_may_be_declined_by_any_code(shop: Bench, code: str) -> None:
    customer, visa = shop.saved(f"pm_card_emulator_declines_{code}")
    error, intent, charge = declined(shop, customer, visa)
    advice, network = CODES[code]
    assert (error.decline_code, error.message) == (code, decline_for(code).message)
    assert told(error) == told(intent.last_payment_error) == told(charge.outcome) == (advice, network, None)
    assert advice in ADVICE
    assert network is None or re.fullmatch("[0-9A-Z]{2,4}", network)
    assert (charge.outcome.reason, charge.outcome.type) == (code, "issuer_declined")
    mastercard = shop.v1.payment_methods.attach(
        f"pm_card_emulator_mastercard_declines_{code}", {"customer": customer}
    )  # fmt: skip
    assert mastercard.card.brand == "mastercard"
    error, intent, charge = declined(shop, customer, mastercard.id)
    assert told(error) == told(intent.last_payment_error) == told(charge.outcome)
    found = told(error)[2]
    assert (found is not None) == (network is not None and advice is not None)
    assert found is None or re.fullmatch("[0-9]{2}", found)


@pytest.mark.parametrize("card", [card for card in CARDS if card.decline], ids=lambda card: card.number)
def test_each_declining_test_card_tells_its_codes(shop: Bench, card: Any) -> None:
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    shop.emulator.pay(intent.client_secret, card.number)
    intent = shop.v1.payment_intents.retrieve(intent.id)
    charge = shop.v1.charges.retrieve(intent.latest_charge)
    known = (None, None) if card.decline.blocked else CODES[card.decline.decline_code]
    assert told(charge.outcome) == told(intent.last_payment_error) == (*known, None)


def test_cards_of_one_code_each_can_be_typed_and_are_no_numbers_of_stripes() -> None:
    numbers = {card.number for card in ISSUED}
    assert len(numbers) == len(ISSUED) == 2 * len(CODES) == 100
    assert all(luhn(number) for number in numbers)
    assert numbers.isdisjoint(card.number for card in CARDS)
    assert {BY_NAME[name].number for card in ISSUED for name in card.names} == numbers


def test_a_network_may_be_made_to_advise_anything(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_mastercard")
    shop.emulator.bank.decline_next(method, "insufficient_funds")
    assert told(declined(shop, customer, method)[0]) == ("try_again_later", "51", "26")
    shop.emulator.bank.decline_next(method, "insufficient_funds", network_advice_code="24")
    assert told(declined(shop, customer, method)[0]) == ("try_again_later", "51", "24")
    shop.emulator.bank.decline_next(method, "a_word_of_next_year")
    assert told(declined(shop, customer, method)[0]) == ("try_again_later", None, None)


def test_what_no_bank_saw_has_neither_advice_nor_a_networks_code(shop: Bench) -> None:
    for name in ("pm_card_threeDSecure2Required", "pm_card_radarBlock"):
        customer, method = shop.saved(name)
        with pytest.raises(stripe.CardError) as caught:
            shop.charge(customer, method)
        assert told(caught.value.error) == (None, None, None)


def test_saving_such_a_card_is_no_decline(shop: Bench) -> None:
    card = BY_NAME["pm_card_emulator_declines_stolen_card"]
    customer, method = shop.set_up(card.number)
    assert shop.v1.payment_methods.retrieve(method).customer == customer

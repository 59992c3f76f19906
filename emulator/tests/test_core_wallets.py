"""Domains for wallets, and the cards that a wallet hands over."""

from __future__ import annotations

import pytest
import stripe

from .helpers import Bench, bench


@pytest.fixture
def it() -> Bench:
    return bench()


def test_a_domain_is_registered_once_and_can_be_switched_off(it: Bench) -> None:
    domains = it.v1.payment_method_domains
    made = domains.create({"domain_name": "Shop.example"})
    assert (made.domain_name, made.enabled, made.apple_pay.status) == ("shop.example", True, "active")
    assert domains.create({"domain_name": "shop.example"}).id == made.id
    other = domains.create({"domain_name": "www.shop.example"})
    assert domains.validate(made.id).google_pay.status == "active"
    assert domains.update(made.id, {"enabled": False}).enabled is False
    assert [one.id for one in domains.list({"enabled": True}).data] == [other.id]
    assert [one.id for one in domains.list({"domain_name": "shop.example"}).data] == [made.id]
    assert domains.retrieve(other.id).id == other.id
    with pytest.raises(stripe.InvalidRequestError) as caught:
        domains.create({"domain_name": "https://shop.example/"})
    assert caught.value.param == "domain_name"
    assert it.events() == [], "Stripe has no event for domains"


def test_two_payments_with_one_wallet_are_one_device(it: Bench) -> None:
    def approve(wallet: str) -> dict[str, object]:
        answer = it.emulator.handle(
            "POST",
            "/v1/emulator/wallet_cards",
            {"Authorization": "Bearer pk_test_emulator"},
            f"wallet={wallet}&number=4242424242424242".encode(),
        )
        assert answer.status == 200
        found: dict[str, object] = answer.json()["card"]
        return found

    first, second, google = approve("apple_pay"), approve("apple_pay"), approve("google_pay")
    plastic = it.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}}).card
    assert first["wallet"] == second["wallet"]
    assert first["fingerprint"] == second["fingerprint"] != plastic.fingerprint
    assert google["fingerprint"] == plastic.fingerprint


@pytest.mark.parametrize(("number", "code"), [(":", "invalid_number"), ("4242424242424241", "incorrect_number")])
def test_a_wallet_holds_no_card_that_there_cannot_be(it: Bench, number: str, code: str) -> None:
    headers, form = {"Authorization": "Bearer pk_test_emulator"}, f"wallet=apple_pay&number={number}".encode()
    answer = it.emulator.handle("POST", "/v1/emulator/wallet_cards", headers, form)
    assert (answer.status, answer.json()["error"]["code"]) == (402, code)

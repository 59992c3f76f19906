"""What Stripe asks for, and does not ask for, when an intent is made, changed or confirmed."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .helpers import ONLY_CARDS, Bench, bench


@pytest.fixture
def shop() -> Bench:
    return bench()


def refusal(do: Any, *args: Any) -> Any:
    with pytest.raises((stripe.InvalidRequestError, stripe.CardError)) as caught:
        do(*args)
    return caught.value


PAYMENT = {"amount": 2000, "currency": "gbp", "payment_method": "pm_card_visa"}


def test_where_only_cards_are_taken_nobody_is_asked_where_to_return_to(shop: Bench) -> None:
    form = {**PAYMENT, "confirm": True, "allowed_payment_method_types": ["card"]}
    assert shop.v1.payment_intents.create(form).status == "succeeded"
    form = {"payment_method": "pm_card_visa", "confirm": True, "allowed_payment_method_types": ["card"]}
    assert shop.v1.setup_intents.create(form).status == "succeeded"
    assert refusal(shop.v1.payment_intents.create, {**PAYMENT, "confirm": True}).param == "return_url"


def test_to_say_that_the_payer_is_there_needs_no_confirmation(shop: Bench) -> None:
    assert shop.v1.payment_intents.create({**PAYMENT, "off_session": False}).status == "requires_confirmation"
    assert refusal(shop.v1.payment_intents.create, {**PAYMENT, "off_session": True}).param == "off_session"


def test_a_bank_that_asks_for_the_payer_itself_leaves_a_failed_charge(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_emulator_bankRequiresAuthentication")
    error = refusal(shop.charge, customer, method).error
    assert (error.code, error.decline_code) == ("authentication_required", "authentication_required")
    charge = shop.v1.charges.retrieve(error.charge)
    assert (charge.status, charge.failure_code) == ("failed", "authentication_required")
    assert (charge.outcome.type, charge.outcome.network_status) == ("issuer_declined", "declined_by_network")
    intent = shop.v1.payment_intents.retrieve(error.payment_intent.id)
    assert (intent.status, intent.latest_charge) == ("requires_payment_method", charge.id)


def test_a_deleted_customer_still_marks_a_place_in_the_list(shop: Bench) -> None:
    first, second, third = (shop.customer() for _ in range(3))
    shop.v1.customers.delete(second)

    def listed(**cursor: str) -> list[str]:
        return [row.id for row in shop.v1.customers.list(cursor).data]

    for _ in range(2):
        assert listed(starting_after=second) == [first]
        assert listed(ending_before=second) == [third]
        shop.emulator.restore(shop.emulator.snapshot())
    assert refusal(shop.v1.customers.list, {"starting_after": "cus_none"}).code == "resource_missing"


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_cvcCheckFail"])
def test_the_security_code_is_checked_when_a_bank_sees_it(shop: Bench, card: str) -> None:
    expected = "fail" if "Fail" in card else "pass"
    fresh = shop.v1.payment_methods.retrieve(card)
    assert fresh.card.checks.cvc_check == "unchecked"
    attached = shop.v1.payment_methods.attach(fresh.id, {"customer": shop.customer()})
    assert attached.card.checks.cvc_check == expected
    form = {"payment_method": card, "customer": shop.customer(), "confirm": True, **ONLY_CARDS}
    set_up = shop.v1.setup_intents.create({**form, "expand": ["payment_method"]})
    assert set_up.payment_method.card.checks.cvc_check == expected


def test_a_check_of_what_was_never_given_does_not_fail(shop: Bench) -> None:
    form = {"payment_method": "pm_card_avsFail", "confirm": True, "expand": ["payment_method"], **ONLY_CARDS}
    assert shop.v1.setup_intents.create(form).payment_method.card.checks.address_postal_code_check is None


def test_an_update_that_is_refused_shows_the_intent(shop: Bench) -> None:
    _, strangers = shop.saved()
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp", "customer": shop.customer()})
    for wrong in ({"amount": 1}, {"payment_method": strangers}, {"payment_method": "pm_none"}):
        found = refusal(shop.v1.payment_intents.update, intent.id, wrong)
        assert found.error.payment_intent.id == intent.id
        assert found.param == next(iter(wrong))
    setup = shop.v1.setup_intents.create({"customer": shop.customer()})
    found = refusal(shop.v1.setup_intents.update, setup.id, {"payment_method": strangers})
    assert (found.error.setup_intent.id, found.param) == (setup.id, "payment_method")


def test_a_card_that_cannot_be_attached_is_shown_by_the_error(shop: Bench) -> None:
    method = shop.v1.payment_methods.retrieve("pm_card_visa_chargeDeclined")
    found = refusal(shop.v1.payment_methods.attach, method.id, {"customer": shop.customer()})
    assert found.error.payment_method.id == method.id

"""What a refused payment or set-up leaves behind: the error's body, the intent, the charge and the events."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from stripe_emulator.resources.declines import decline_for

from .helpers import ONLY_CARDS, Bench, bench

AUTHENTICATION = "Your card was declined. This transaction requires authentication."
# What every error of a refused card tells; what a bank adds comes beside it.
PLAIN = {"code", "decline_code", "doc_url", "message", "payment_method", "type"}
SENT = PLAIN | {"payment_intent", "request_log_url"}
FROM_THE_BANK = {"advice_code", "charge", "network_decline_code"}


@pytest.fixture
def shop() -> Bench:
    return bench()


def refused(do: Any, *args: Any, **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The error of a call that the card refuses, and the intent on it."""
    with pytest.raises(stripe.CardError) as caught:
        do(*args, **params)
    assert caught.value.http_status == 402
    assert isinstance(caught.value.json_body, dict)
    error = caught.value.json_body["error"]
    assert error["type"] == "card_error"
    return error, error.get("payment_intent") or error["setup_intent"]


def test_a_decline(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_chargeCustomerFail")
    error, intent = refused(shop.charge, customer, method)
    assert set(error) == SENT | FROM_THE_BANK
    assert (error["code"], error["decline_code"]) == ("card_declined", "generic_decline")
    assert (error["advice_code"], error["network_decline_code"]) == ("try_again_later", "01")
    assert (error["payment_method"]["id"], error["payment_method"]["object"]) == (method, "payment_method")
    assert (intent["status"], intent["payment_method"]) == ("requires_payment_method", None)
    last = intent["last_payment_error"]
    assert set(last) == PLAIN | FROM_THE_BANK | {"payment_method_type"}
    assert {last[name] == error[name] for name in PLAIN | FROM_THE_BANK} == {True}
    charge = shop.v1.charges.retrieve(error["charge"])
    assert intent["latest_charge"] == charge.id
    assert (charge.status, charge.paid, charge.captured) == ("failed", False, False)
    assert (charge.failure_code, charge.failure_message) == ("card_declined", "Your card was declined.")
    outcome = charge.outcome
    assert (outcome.type, outcome.network_status) == ("issuer_declined", "declined_by_network")
    assert (outcome.reason, outcome.advice_code) == ("generic_decline", "try_again_later")
    assert shop.events()[-3:] == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    assert shop.v1.payment_intents.retrieve(intent["id"]).to_dict() == intent


def test_authentication_that_is_wanted_before_any_bank_is_asked(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_threeDSecure2Required")
    error, intent = refused(shop.charge, customer, method)
    assert set(error) == SENT
    assert error["code"] == error["decline_code"] == "authentication_required"
    assert error["message"] == AUTHENTICATION
    assert (intent["status"], intent["payment_method"], intent["next_action"]) == (
        "requires_payment_method",
        None,
        None,
    )
    assert (intent["latest_charge"], intent["last_payment_error"]["payment_method"]["id"]) == (None, method)
    assert shop.v1.charges.list().data == []
    assert shop.events()[-2:] == ["payment_intent.created", "payment_intent.payment_failed"]


@pytest.mark.parametrize(
    ("decline_code", "code", "told"),
    [
        ("authentication_required", None, "authentication_required"),
        ("authentication_required", "card_declined", "card_declined"),
        ("authentication_not_handled", None, "card_declined"),
    ],
)
def test_authentication_that_the_bank_asks_for(shop: Bench, decline_code: str, code: str | None, told: str) -> None:
    customer, method = shop.saved()
    shop.emulator.bank.decline_next(method, decline_code, code=code)
    error, intent = refused(shop.charge, customer, method)
    assert (error["code"], error["decline_code"]) == (told, decline_code)
    charge = shop.v1.charges.retrieve(error["charge"])
    assert (charge.failure_code, charge.outcome.type) == (told, "issuer_declined")
    assert intent["latest_charge"] == charge.id
    assert shop.events()[-2:] == ["charge.failed", "payment_intent.payment_failed"]


def test_a_challenge_is_refused_when_the_server_asked_for_that(shop: Bench) -> None:
    form = {"amount": 900, "currency": "gbp", "payment_method": "pm_card_threeDSecure2Required", **ONLY_CARDS}
    error, intent = refused(shop.v1.payment_intents.create, {**form, "confirm": True, "error_on_requires_action": True})
    assert (error["code"], intent["status"]) == ("authentication_required", "requires_payment_method")
    assert shop.v1.payment_intents.create({**form, "confirm": True}).status == "requires_action"


def test_radar_blocks_without_asking_the_bank(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_radarBlock")
    error, intent = refused(shop.charge, customer, method)
    assert set(error) == SENT | {"charge"}
    assert (error["code"], error["decline_code"]) == ("card_declined", "fraudulent")
    outcome = shop.v1.charges.retrieve(intent["latest_charge"]).outcome
    assert (outcome.type, outcome.network_status, outcome.risk_level) == ("blocked", "not_sent_to_network", "highest")


@pytest.mark.parametrize(
    ("card", "code", "decline_code", "param"),
    [
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card", "exp_month"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline", None),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds", None),
    ],
)
def test_a_card_that_cannot_be_set_up(shop: Bench, card: str, code: str, decline_code: str, param: str | None) -> None:
    form = {"customer": shop.customer(), "payment_method": card, "confirm": True, **ONLY_CARDS}
    error, intent = refused(shop.v1.setup_intents.create, form)
    extra = {"param"} if param else set()
    assert set(error) == PLAIN | {"setup_intent", "request_log_url"} | extra
    assert (error["code"], error["decline_code"], error.get("param")) == (code, decline_code, param)
    assert (intent["status"], intent["payment_method"]) == ("requires_payment_method", None)
    # Recorded at Stripe: no advice, no network's code, and no payment_method_type, as a payment's error has.
    assert set(intent["last_setup_error"]) == PLAIN | extra
    (attempt,) = shop.v1.setup_attempts.list({"setup_intent": intent["id"]}).data
    assert (attempt.id, attempt.status, attempt.setup_error.code) == (intent["latest_attempt"], "failed", code)
    assert shop.events()[-2:] == ["setup_intent.created", "setup_intent.setup_failed"]


def test_a_request_that_makes_no_sense_leaves_no_trace(shop: Bench) -> None:
    customer = shop.customer()
    _, strangers = shop.saved()
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp", "customer": customer})
    events = shop.events()
    for wrong in ({}, {"payment_method": strangers}, {"payment_method": "pm_none"}, {"payment_method": "pm_card_visa"}):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.v1.payment_intents.confirm(intent.id, wrong)
        assert caught.value.error is not None
        assert caught.value.error.payment_intent.to_dict() == intent.to_dict()
    assert shop.v1.payment_intents.retrieve(intent.id).to_dict() == intent.to_dict()
    assert shop.events() == events


def test_codes_of_their_own() -> None:
    for word in ("expired_card", "incorrect_zip", "processing_error", "card_decline_rate_limit_exceeded"):
        assert decline_for(word).code == word
    for word in ("do_not_honor", "lost_card", "a_word_of_next_year"):
        assert (decline_for(word).code, decline_for(word).decline_code) == ("card_declined", word)

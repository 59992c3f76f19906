"""What this app asks of Stripe, and how it reads the answers. `make stripe` compares the same with Stripe itself."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
import stripe

from checkout.errors import GatewayRefused, NotFoundAtStripe
from checkout.gateway import API_VERSION, gateway
from stripe_emulator import Emulator
from tests.stripe_test_mode.flows import Here


@pytest.fixture
def here(emulator: Emulator) -> Here:
    """Our gateway, and the SDK for what a browser or staff would do, at one emulator."""
    client = stripe.StripeClient("sk_test_emulator", http_client=emulator.transport(), stripe_version=API_VERSION)
    return Here(gateway(), client)


def test_a_saved_card_is_charged_off_session(here: Here) -> None:
    whose = here.payer()
    intent = here.charge(whose)
    assert intent.succeeded
    assert (intent.amount_minor, intent.amount_received_minor, intent.currency) == (1234, 1234, "GBP")
    assert (intent.customer_id, intent.payment_method_id) == (whose["customer_id"], whose["payment_method_id"])
    assert here.gateway.retrieve_payment_intent(intent.id).succeeded
    card = here.gateway.retrieve_payment_method(whose["payment_method_id"]).card
    assert card is not None
    assert (card.brand, card.last4) == ("visa", "4242")


def test_the_same_key_is_the_same_charge(here: Here) -> None:
    whose, key = here.payer(), str(uuid.uuid4())
    assert here.charge(whose, key).id == here.charge(whose, key).id


@pytest.mark.parametrize(
    ("card", "wants_payer", "code"),
    [
        ("pm_card_chargeCustomerFail", False, "card_declined"),
        ("pm_card_authenticationRequired", True, "authentication_required"),
    ],
)
def test_a_refusal_is_an_answer(here: Here, card: str, wants_payer: bool, code: str) -> None:
    intent = here.charge(here.payer(card))
    assert (intent.status, intent.amount_received_minor) == ("requires_payment_method", 0)
    assert intent.decline is not None
    assert (intent.decline.code, intent.wants_payer) == (code, wants_payer)
    assert intent.payment_method_id == "", "the card has to be sent again"
    assert here.gateway.retrieve_payment_intent(intent.id).decline == intent.decline


def test_an_intent_is_found_by_our_mark(here: Here) -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    whose, key = here.payer(), str(uuid.uuid4())
    intent = here.charge(whose, key)
    listed = here.gateway.list_payment_intents(since=since, customer_id=whose["customer_id"])
    assert [found.id for found in listed if found.metadata.get("checkout") == key] == [intent.id]


def test_what_is_paid_cannot_be_cancelled_and_says_so(here: Here) -> None:
    paid = here.charge(here.payer())
    assert here.gateway.cancel_payment_intent(paid.id).succeeded
    key = str(uuid.uuid4())
    begun = here.gateway.create_payment_intent(
        amount_minor=1234, currency="GBP", description="A test", metadata={"checkout": key}, idempotency_key=key
    )
    assert begun.client_secret
    assert here.gateway.cancel_payment_intent(begun.id).canceled
    assert here.gateway.cancel_payment_intent(begun.id).canceled, "twice is no error"


def test_a_card_is_set_up_for_instalments(here: Here) -> None:
    whose, key = here.payer(), str(uuid.uuid4())
    begun = here.gateway.create_setup_intent(
        customer_id=whose["customer_id"], description="A test", metadata={"checkout": key}, idempotency_key=key
    )
    here.v1.setup_intents.confirm(
        begun.id, {"payment_method": "pm_card_mastercard", "return_url": "https://example.com/return"}
    )
    saved = here.gateway.retrieve_setup_intent(begun.id)
    assert saved.succeeded
    assert saved.card is not None
    assert saved.card.brand == "mastercard"
    assert here.charge(whose | {"payment_method_id": saved.payment_method_id}).succeeded


def test_a_part_is_refunded_and_never_more_than_was_taken(here: Here) -> None:
    paid = here.charge(here.payer())

    part = here.refund(paid.id, 234)
    assert (part.status, part.amount_minor) == ("succeeded", 234)
    with pytest.raises(GatewayRefused):
        here.refund(paid.id, 1001)
    assert [row.id for row in here.gateway.list_refunds(payment_intent_id=paid.id)] == [part.id]


def test_what_does_not_exist_is_told_apart(here: Here) -> None:
    with pytest.raises(NotFoundAtStripe):
        here.gateway.retrieve_payment_intent("pi_doesnotexist")
    whose = here.payer()
    here.gateway.detach_payment_method(whose["payment_method_id"])
    with pytest.raises(GatewayRefused):
        here.charge(whose)


def test_a_wrong_amount_is_refused_before_anything_happens(here: Here) -> None:
    with pytest.raises(GatewayRefused):
        here.charge(here.payer(), amount_minor=1)

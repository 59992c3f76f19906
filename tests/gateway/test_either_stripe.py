"""What this app asks of Stripe, and how it reads the answers: by default on the emulator, and on Stripe's own test mode
when STRIPE_TEST_SECRET_KEY is set. The same lines pass on both, so the emulator speaks Stripe's language.

    STRIPE_TEST_SECRET_KEY=sk_test_… .venv/bin/python -m pytest tests/gateway

Everything is made afresh, in test mode, under a description that says so. A live key is refused.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from checkout.conf import is_live_key
from checkout.errors import GatewayRefused, NotFoundAtStripe
from checkout.gateway import API_VERSION, Gateway, PaymentIntent, gateway
from stripe_emulator import Emulator

KEY = os.environ.get("STRIPE_TEST_SECRET_KEY", "")


@pytest.fixture
def client(emulator: Emulator, settings: Any) -> stripe.StripeClient:
    """The SDK itself, for what a browser or staff would do; `gateway()` talks to the same Stripe."""
    if not KEY:
        transport = emulator.transport()
        return stripe.StripeClient("sk_test_emulator", http_client=transport, stripe_version=API_VERSION)
    assert not is_live_key(KEY), "STRIPE_TEST_SECRET_KEY is a live key: these tests charge cards"
    settings.STRIPE_SECRET_KEY = KEY
    settings.CHECKOUT_STRIPE_HTTP_CLIENT = ""
    return stripe.StripeClient(KEY, stripe_version=API_VERSION)


@pytest.fixture
def here(client: stripe.StripeClient) -> Gateway:
    return gateway()


def payer(here: Gateway, client: stripe.StripeClient, card: str = "pm_card_visa") -> dict[str, str]:
    """A new customer with that saved card, as `charge_off_session` wants them."""
    key = str(uuid.uuid4())
    customer = here.create_customer(email="test@example.com", name="", metadata={"test": key}, idempotency_key=key)
    method = client.v1.payment_methods.attach(card, {"customer": customer})
    return {"customer_id": customer, "payment_method_id": method.id}


def charge(here: Gateway, payer: dict[str, str], key: str = "", **changes: Any) -> PaymentIntent:
    key = key or str(uuid.uuid4())
    request: dict[str, Any] = {
        "amount_minor": 1234,
        "currency": "GBP",
        "description": "A test of checkout",
        "metadata": {"checkout": key},
        "idempotency_key": key,
    }
    return here.charge_off_session(**request | payer | changes)


def test_a_saved_card_is_charged_off_session(here: Gateway, client: stripe.StripeClient) -> None:
    whose = payer(here, client)
    intent = charge(here, whose)
    assert intent.succeeded
    assert (intent.amount_minor, intent.amount_received_minor, intent.currency) == (1234, 1234, "GBP")
    assert (intent.customer_id, intent.payment_method_id) == (whose["customer_id"], whose["payment_method_id"])
    assert here.retrieve_payment_intent(intent.id).succeeded
    card = here.retrieve_payment_method(whose["payment_method_id"]).card
    assert card is not None
    assert (card.brand, card.last4) == ("visa", "4242")


def test_the_same_key_is_the_same_charge(here: Gateway, client: stripe.StripeClient) -> None:
    whose, key = payer(here, client), str(uuid.uuid4())
    assert charge(here, whose, key).id == charge(here, whose, key).id


@pytest.mark.parametrize(
    ("card", "wants_payer", "code"),
    [
        ("pm_card_chargeCustomerFail", False, "card_declined"),
        ("pm_card_authenticationRequired", True, "authentication_required"),
    ],
)
def test_a_refusal_is_an_answer(
    here: Gateway, client: stripe.StripeClient, card: str, wants_payer: bool, code: str
) -> None:
    intent = charge(here, payer(here, client, card))
    assert (intent.status, intent.amount_received_minor) == ("requires_payment_method", 0)
    assert intent.decline is not None
    assert (intent.decline.code, intent.wants_payer) == (code, wants_payer)
    assert intent.payment_method_id == "", "the card has to be sent again"
    assert here.retrieve_payment_intent(intent.id).decline == intent.decline


def test_an_intent_is_found_by_our_mark(here: Gateway, client: stripe.StripeClient) -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    whose, key = payer(here, client), str(uuid.uuid4())
    intent = charge(here, whose, key)
    listed = here.list_payment_intents(since=since, customer_id=whose["customer_id"])
    assert [found.id for found in listed if found.metadata.get("checkout") == key] == [intent.id]


def test_what_is_paid_cannot_be_cancelled_and_says_so(here: Gateway, client: stripe.StripeClient) -> None:
    paid = charge(here, payer(here, client))
    assert here.cancel_payment_intent(paid.id).succeeded
    key = str(uuid.uuid4())
    begun = here.create_payment_intent(
        amount_minor=1234, currency="GBP", description="A test", metadata={"checkout": key}, idempotency_key=key
    )
    assert begun.client_secret
    assert here.cancel_payment_intent(begun.id).canceled
    assert here.cancel_payment_intent(begun.id).canceled, "twice is no error"


def test_a_card_is_set_up_for_instalments(here: Gateway, client: stripe.StripeClient) -> None:
    whose, key = payer(here, client), str(uuid.uuid4())
    begun = here.create_setup_intent(
        customer_id=whose["customer_id"], description="A test", metadata={"checkout": key}, idempotency_key=key
    )
    client.v1.setup_intents.confirm(
        begun.id, {"payment_method": "pm_card_mastercard", "return_url": "https://example.com/return"}
    )
    saved = here.retrieve_setup_intent(begun.id)
    assert saved.succeeded
    assert saved.card is not None
    assert saved.card.brand == "mastercard"
    assert charge(here, whose | {"payment_method_id": saved.payment_method_id}).succeeded


def test_a_part_is_refunded_and_never_more_than_was_taken(here: Gateway, client: stripe.StripeClient) -> None:
    paid = charge(here, payer(here, client))

    def refund(amount_minor: int) -> Any:
        return here.create_refund(
            payment_intent_id=paid.id,
            amount_minor=amount_minor,
            reason="requested_by_customer",
            metadata={"refund": str(uuid.uuid4())},
            idempotency_key=str(uuid.uuid4()),
        )

    part = refund(234)
    assert (part.status, part.amount_minor) == ("succeeded", 234)
    with pytest.raises(GatewayRefused):
        refund(1001)
    assert [row.id for row in here.list_refunds(payment_intent_id=paid.id)] == [part.id]


def test_what_does_not_exist_is_told_apart(here: Gateway, client: stripe.StripeClient) -> None:
    with pytest.raises(NotFoundAtStripe):
        here.retrieve_payment_intent("pi_doesnotexist")
    whose = payer(here, client)
    here.detach_payment_method(whose["payment_method_id"])
    with pytest.raises(GatewayRefused):
        charge(here, whose)


def test_a_wrong_amount_is_refused_before_anything_happens(here: Gateway, client: stripe.StripeClient) -> None:
    with pytest.raises(GatewayRefused):
        charge(here, payer(here, client), amount_minor=1)

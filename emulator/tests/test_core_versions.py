"""Several versions of the API: each request is answered as its own, each endpoint told as its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stripe

from stripe_emulator import API_VERSION, Clock, Emulator
from stripe_emulator.core.errors import ApiError
from stripe_emulator.core.versions import ATTRIBUTES_SINCE, PARAMETERS_SINCE, PARAMETERS_UNTIL

from .helpers import START

DAHLIA, ENDIVE = "2026-08-26.dahlia", "2026-09-30.endive"
CARDS = {"payment_method_types": ["card"]}


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(seed=1, clock=Clock(START, frozen=True))


def speaking(emulator: Emulator, version: str) -> Any:
    client = stripe.StripeClient(
        "sk_test_x", http_client=emulator.transport(), max_network_retries=0, stripe_version=version
    )
    return client.v1


def refusal(do: Any, *args: Any) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        do(*args)
    return caught.value


@pytest.mark.parametrize("version", ["2025-09-30.clover", "2026-03-25.dahlia", DAHLIA, ENDIVE, API_VERSION])
def test_a_payment_is_made_saved_and_given_back_in_each_version(emulator: Emulator, version: str) -> None:
    v1 = speaking(emulator, version)
    customer = v1.customers.create({"email": "ada@example.com"})
    only_cards = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    setup = v1.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True, **only_cards}
    )
    form = {"amount": 2000, "currency": "gbp", "customer": customer.id, "payment_method": setup.payment_method}
    paid = v1.payment_intents.create({**form, "off_session": True, "confirm": True, **only_cards})
    assert (paid.status, paid.last_response.headers["Stripe-Version"]) == ("succeeded", version)
    assert v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"
    declined = {"amount": 2000, "currency": "gbp", "payment_method": "pm_card_visa_chargeDeclined", "confirm": True}
    with pytest.raises(stripe.CardError):
        v1.payment_intents.create({**declined, **only_cards})


def test_until_endive_a_server_names_the_types_itself(emulator: Emulator) -> None:
    v1 = speaking(emulator, DAHLIA)
    made = v1.payment_intents.create({"amount": 2000, "currency": "gbp", **CARDS})
    assert (made.payment_method_types, made.automatic_payment_methods) == (["card"], None)
    # Cards only, so nobody needs to return from anywhere.
    assert v1.payment_intents.confirm(made.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    assert v1.setup_intents.create(CARDS).automatic_payment_methods is None
    other = v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    assert v1.payment_intents.update(other.id, CARDS).automatic_payment_methods is None
    both = {**CARDS, "automatic_payment_methods": {"enabled": True}, "amount": 2000, "currency": "gbp"}
    assert refusal(v1.payment_intents.create, both).param == "payment_method_types"
    found = refusal(v1.setup_intents.create, {"payment_method_types": ["card", "bacs_debit"]})
    assert "bacs_debit is invalid" in str(found)


@pytest.mark.parametrize("version", [ENDIVE, API_VERSION])
def test_from_endive_on_nobody_does(emulator: Emulator, version: str) -> None:
    v1 = speaking(emulator, version)
    intent = v1.payment_intents.create({"amount": 2000, "currency": "gbp"}).id
    setup = v1.setup_intents.create().id
    for do, args in (
        (v1.payment_intents.create, [{"amount": 2000, "currency": "gbp", **CARDS}]),
        (v1.payment_intents.update, [intent, CARDS]),
        (v1.payment_intents.confirm, [intent, CARDS]),
        (v1.setup_intents.create, [CARDS]),
        (v1.setup_intents.update, [setup, CARDS]),
        (v1.setup_intents.confirm, [setup, CARDS]),
        (v1.checkout.sessions.create, [{"mode": "setup", "success_url": "https://example.com", **CARDS}]),
    ):
        assert refusal(do, *args).code == "payment_method_types_no_longer_supported"


def test_what_came_later_is_unknown_to_an_older_version(emulator: Emulator) -> None:
    form = {"amount": 2000, "currency": "gbp"}
    usage = {"payment_method_options": {"card": {"stored_credential_usage": "installment"}}}
    allowed = {"allowed_payment_method_types": ["card"]}
    newest, first_endive, first_dahlia = (
        speaking(emulator, version) for version in (API_VERSION, ENDIVE, "2026-03-25.dahlia")
    )
    assert newest.payment_intents.create({**form, **usage, **allowed}).status == "requires_payment_method"
    found = refusal(first_endive.payment_intents.create, {**form, **usage})
    assert (found.code, found.param) == (
        "parameter_unknown",
        "payment_method_options[card][stored_credential_usage]",
    )
    assert first_endive.payment_intents.create({**form, **allowed}).allowed_payment_method_types == ["card"]
    assert refusal(first_dahlia.payment_intents.create, {**form, **allowed}).code == "parameter_unknown"


def test_an_older_answer_lacks_what_came_later_wherever_it_stands(emulator: Emulator) -> None:
    old, new = speaking(emulator, "2026-03-25.dahlia"), speaking(emulator, API_VERSION)
    intent = new.payment_intents.create({"amount": 2000, "currency": "gbp"}).id
    name = "allowed_payment_method_types"
    assert name in new.payment_intents.retrieve(intent)
    assert name not in old.payment_intents.retrieve(intent)
    assert name not in old.payment_intents.list().data[0]
    assert name in new.payment_intents.list().data[0]
    assert name not in refusal(old.payment_intents.confirm, intent).error.payment_intent
    assert new.payment_intents.retrieve(intent).id == intent


def test_an_endpoint_is_told_in_its_own_version(emulator: Emulator) -> None:
    old, new = speaking(emulator, "2026-03-25.dahlia"), speaking(emulator, API_VERSION)
    form = {"url": "http://127.0.0.1:9/", "enabled_events": ["payment_intent.created"]}
    new.webhook_endpoints.create(form)
    assert new.webhook_endpoints.create({**form, "api_version": "2026-03-25.dahlia"}).api_version == "2026-03-25.dahlia"
    old.payment_intents.create({"amount": 2000, "currency": "gbp"})
    told = [json.loads(delivery.body) for delivery in emulator.webhooks.due()]
    shown = [(event["api_version"], "allowed_payment_method_types" in event["data"]["object"]) for event in told]
    assert sorted(shown) == [("2026-03-25.dahlia", False), (API_VERSION, True)]
    (event,) = old.events.list({"type": "payment_intent.created"}).data
    assert event.api_version == API_VERSION, "an event is recorded in the account's version, and stays so"
    assert refusal(new.webhook_endpoints.create, {**form, "api_version": "2020-08-27"}).param == "api_version"


def test_the_account_has_a_version_of_its_own() -> None:
    emulator = Emulator(api_version=DAHLIA)
    headers = {"Authorization": "Bearer sk_test_x"}
    body = b"amount=2000&currency=gbp&payment_method_types[]=card"
    answer = emulator.handle("POST", "/v1/payment_intents", headers, body)
    assert (answer.status, answer.headers["Stripe-Version"]) == (200, DAHLIA)
    assert emulator.handle("GET", "/v1/events", headers).json()["data"][0]["api_version"] == DAHLIA


@pytest.mark.parametrize(
    "version", ["2024-06-20", "2026-10-28.dahlia", "2026-03-25.endive", "2027-01-01.endive", "2026-01-01.wat", "wat"]
)
def test_what_is_no_version_is_refused(emulator: Emulator, version: str) -> None:
    found = refusal(speaking(emulator, version).customers.list)
    assert str(found).partition(": ")[2].startswith(f"Invalid Stripe API version: {version}.")
    with pytest.raises(ApiError):
        Emulator(api_version=version)


def test_the_table_is_of_days_on_which_a_version_came() -> None:
    days = {*PARAMETERS_SINCE.values(), *PARAMETERS_UNTIL.values(), *ATTRIBUTES_SINCE.values()}
    assert days == {"2026-07-29", "2026-09-30", "2026-10-28"}

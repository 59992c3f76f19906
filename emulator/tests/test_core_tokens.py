"""Confirmation tokens, and the Elements that an intent is confirmed with: what the payer saw is what happens."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from .helpers import Bench, bench

CARD = {
    "payment_method_data[type]": "card",
    "payment_method_data[card][number]": "4242424242424242",
    "payment_method_data[card][exp_month]": "12",
    "payment_method_data[card][exp_year]": "2034",
    "payment_method_data[card][cvc]": "123",
}
SHOWN = {"mode": "payment", "amount": "2000", "currency": "gbp"}


@pytest.fixture
def shop() -> Bench:
    return bench()


def browser(shop: Bench, path: str, context: dict[str, str] | None = None, **form: str) -> dict[str, Any]:
    """What Stripe.js posts, and the answer."""
    sent = {**CARD, **form, **{f"client_context[{name}]": text for name, text in (context or {}).items()}}
    headers = {"Authorization": "Bearer pk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"}
    answer: dict[str, Any] = json.loads(
        shop.emulator.handle("POST", f"/v1/{path}", headers, urlencode(sent).encode()).body
    )
    return answer


def token(shop: Bench, context: dict[str, str] | None = None, **form: str) -> str:
    return str(browser(shop, "confirmation_tokens", context or SHOWN, **form)["id"])


def intent(shop: Bench, **params: Any) -> Any:
    return shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp", **params})


def refusal(do: Any, *args: Any) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        do(*args)
    return caught.value


@pytest.mark.parametrize(
    ("changed", "made", "told"),
    [
        ({"amount": "1999"}, {}, "The provided amount (2000) does not match the expected amount (1999)."),
        ({"currency": "eur"}, {}, "The provided currency (gbp) does not match the expected currency (eur)."),
        ({"mode": "setup"}, {}, "The provided mode (payment) does not match the expected mode (setup)."),
        (
            {"setup_future_usage": "off_session"},
            {},
            "The provided setup_future_usage (null) does not match the expected setup_future_usage (off_session).",
        ),
        (
            {},
            {"setup_future_usage": "off_session"},
            "The provided setup_future_usage (off_session) does not match the expected setup_future_usage (null).",
        ),
        (
            {},
            {"capture_method": "manual"},
            "The provided capture_method (manual) does not match the expected capture_method (automatic).",
        ),
    ],
)
def test_an_intent_that_does_other_than_the_page_showed_is_refused(
    shop: Bench, changed: dict[str, str], made: dict[str, str], told: str
) -> None:
    made_intent = intent(shop, **made)
    answer = browser(
        shop,
        f"payment_intents/{made_intent.id}/confirm",
        {**SHOWN, **changed},
        client_secret=made_intent.client_secret,
        return_url="https://shop.example/",
    )
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"].startswith(told)
    assert answer["error"]["payment_intent"]["status"] == "requires_payment_method"
    assert shop.emulator.ledger.taken_minor() == 0


def test_an_intent_that_does_what_the_page_showed_is_paid(shop: Bench) -> None:
    made = intent(shop)
    form = {"client_secret": made.client_secret, "return_url": "https://shop.example/"}
    assert browser(shop, f"payment_intents/{made.id}/confirm", SHOWN, **form)["status"] == "succeeded"


def test_a_set_up_is_compared_by_its_mode(shop: Bench) -> None:
    made = shop.v1.setup_intents.create({"customer": shop.customer()})
    form = {"client_secret": made.client_secret, "return_url": "https://shop.example/"}
    refused = browser(shop, f"setup_intents/{made.id}/confirm", SHOWN, **form)["error"]
    assert "The provided mode (setup) does not match the expected mode (payment)." in refused["message"]
    assert browser(shop, f"setup_intents/{made.id}/confirm", {"mode": "setup"}, **form)["status"] == "succeeded"


def test_only_a_browser_tells_what_it_showed(shop: Bench) -> None:
    made = intent(shop, payment_method="pm_card_visa")
    found = refusal(shop.v1.payment_intents.confirm, made.id, {"client_context": SHOWN})
    assert (found.code, found.param) == ("parameter_unknown", "client_context")


def test_a_token_brings_its_use_its_address_and_where_to_return_to(shop: Bench) -> None:
    customer = shop.customer()
    made = intent(shop, customer=customer)
    name = token(
        shop,
        {**SHOWN, "setup_future_usage": "off_session"},
        setup_future_usage="off_session",
        return_url="https://shop.example/back",
        **{"shipping[name]": "Ada", "shipping[address][line1]": "1 High Street"},
    )
    done = shop.v1.payment_intents.confirm(made.id, {"confirmation_token": name})
    assert (done.status, done.setup_future_usage, done.shipping.name) == ("succeeded", "off_session", "Ada")
    saved = shop.v1.customers.payment_methods.list(customer).data
    assert [method.id for method in saved] == [done.payment_method]
    assert shop.v1.confirmation_tokens.retrieve(name).payment_intent == made.id


def test_what_the_request_says_itself_comes_before_the_token(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_mastercard")
    form = {"confirmation_token": token(shop, return_url="https://shop.example/"), "payment_method": method}
    assert shop.v1.payment_intents.confirm(intent(shop, customer=customer).id, form).payment_method == method


def test_a_token_is_compared_with_what_the_server_made_of_it(shop: Bench) -> None:
    form = {"confirm": True, "return_url": "https://shop.example/"}
    create = shop.v1.payment_intents.create
    name = token(shop)
    found = refusal(create, {"amount": 1, "currency": "eur", **form, "confirmation_token": name})
    assert found.param == "amount"
    found = refusal(create, {"amount": 2500, "currency": "gbp", **form, "confirmation_token": name})
    assert "The provided amount (2500) does not match the expected amount (2000)." in str(found)
    done = create({"amount": 2000, "currency": "gbp", **form, "confirmation_token": name})
    assert (done.status, done.payment_method is not None) == ("succeeded", True)


@pytest.mark.parametrize("card", ["4242424242424242", "4000000000000002"])
def test_a_token_confirms_once(shop: Bench, card: str) -> None:
    name = token(shop, return_url="https://shop.example/", **{"payment_method_data[card][number]": card})
    first = intent(shop)
    try:
        shop.v1.payment_intents.confirm(first.id, {"confirmation_token": name})
    except stripe.CardError:
        assert card.endswith("0002")
    second = intent(shop)
    found = refusal(shop.v1.payment_intents.confirm, second.id, {"confirmation_token": name})
    assert (found.param, found.error.payment_intent.id) == ("confirmation_token", second.id)
    assert f"was already used to confirm {first.id}" in str(found)
    assert refusal(shop.v1.setup_intents.create, {"confirm": True, "confirmation_token": name}).param == (
        "confirmation_token"
    )


def test_a_token_lapses_after_twelve_hours(shop: Bench) -> None:
    name = token(shop, return_url="https://shop.example/")
    shop.emulator.clock.advance(hours=12)
    found = refusal(shop.v1.payment_intents.confirm, intent(shop).id, {"confirmation_token": name})
    assert "has expired" in str(found)


def test_a_challenge_of_a_token_is_left_to_stripe_js(shop: Bench) -> None:
    card = {"payment_method_data[card][number]": "4000002760003184"}
    form = {"confirmation_token": token(shop, return_url="https://shop.example/", **card)}
    waiting = shop.v1.payment_intents.confirm(intent(shop).id, form)
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "use_stripe_sdk")


def test_a_test_without_a_browser_makes_a_token_too(shop: Bench) -> None:
    made = shop.v1.test_helpers.confirmation_tokens.create(
        {"payment_method": "pm_card_visa", "setup_future_usage": "off_session", "return_url": "https://shop.example/"}
    )
    assert made.payment_method_preview.card.last4 == "4242"
    done = shop.v1.payment_intents.confirm(intent(shop).id, {"confirmation_token": made.id})
    assert (done.status, done.setup_future_usage) == ("succeeded", "off_session")

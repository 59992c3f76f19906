"""Faults: what they do to the client, and what was really done."""

from __future__ import annotations

import pytest
import stripe

from stripe_emulator import faults

from .helpers import Bench, bench


@pytest.fixture
def shop() -> Bench:
    return bench()


@pytest.mark.parametrize(
    ("fault", "error", "taken"),
    [
        (faults.LostBefore(), stripe.APIConnectionError, 0),
        (faults.LostAfter(), stripe.APIConnectionError, 2000),
        (faults.Status(500), stripe.APIError, 0),
        (faults.Status(500, after=True), stripe.APIError, 2000),
        (faults.Status(503), stripe.APIError, 0),
        (faults.Status(429), stripe.RateLimitError, 0),
        (faults.LockTimeout(), stripe.RateLimitError, 0),
        (faults.KeyInUse(), stripe.APIError, 0),
        (faults.CutBody(), stripe.APIConnectionError, 2000),
        (faults.HtmlBody(), stripe.APIError, 0),
        (faults.HtmlBody(after=True), stripe.APIError, 2000),
        (faults.Slow(0.0), None, 2000),
        (faults.Duplicate(), None, 2000),
    ],
    ids=repr,
)
def test_what_the_client_sees_and_what_was_taken(
    shop: Bench, fault: faults.Fault, error: type[stripe.StripeError] | None, taken: int
) -> None:
    customer, method = shop.saved()
    shop.emulator.fail(call=1, fault=fault)
    if error is None:
        assert shop.charge(customer, method, key="attempt-1").status == "succeeded"
    else:
        with pytest.raises(error) as caught:
            shop.charge(customer, method, key="attempt-1")
        assert type(caught.value) is error
    assert shop.emulator.ledger.taken_minor() == taken


@pytest.mark.parametrize(
    "fault",
    [
        faults.LostBefore(),
        faults.LostAfter(),
        faults.Status(500),
        faults.Status(429),
        faults.LockTimeout(),
        faults.KeyInUse(),
        faults.CutBody(),
        faults.HtmlBody(),
        faults.HtmlBody(after=True),
    ],
    ids=repr,
)
def test_the_same_key_afterwards_takes_the_money_exactly_once(shop: Bench, fault: faults.Fault) -> None:
    customer, method = shop.saved()
    shop.emulator.fail(call=1, fault=fault)
    with pytest.raises(stripe.StripeError):
        shop.charge(customer, method, key="attempt-1")
    assert shop.charge(customer, method, key="attempt-1").status == "succeeded"
    assert shop.emulator.ledger.taken_minor() == 2000


def test_a_500_after_the_work_is_replayed_for_a_day(shop: Bench) -> None:
    """Stripe keeps the answer of any request that had begun: only looking it up tells what became of the money."""
    customer, method = shop.saved()
    shop.emulator.fail(call=1, fault=faults.Status(500, after=True))
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            shop.charge(customer, method, key="attempt-1", metadata={"checkout": "7"})
    found = shop.v1.payment_intents.list({"customer": customer}).data
    assert [(intent.status, intent.metadata.checkout) for intent in found] == [("succeeded", "7")]


def test_the_sdk_retries_and_charges_once(shop: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)
    customer, method = shop.saved()
    client = stripe.StripeClient("sk_test_x", http_client=shop.emulator.transport(), max_network_retries=2)
    shop.emulator.fail(call=1, fault=faults.LostAfter())
    shop.emulator.fail(call=2, fault=faults.LostBefore())
    intent = client.v1.payment_intents.create(
        {
            "amount": 700,
            "currency": "gbp",
            "customer": customer,
            "payment_method": method,
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    assert intent.status == "succeeded"
    assert shop.emulator.ledger.taken_minor() == 700


def test_weather_by_call_by_path_and_how_often(shop: Bench) -> None:
    shop.emulator.weather.add(faults.Status(500), path=r"POST /v1/customers$", times=2)
    shop.emulator.weather.add(faults.Status(503), call=4)
    seen = []
    for method, path in [("GET", "customers"), ("POST", "customers"), ("POST", "customers"), ("POST", "customers")]:
        seen.append(shop.emulator.handle(method, f"/v1/{path}", {"Authorization": "Bearer sk_test_x"}).status)
    assert seen == [200, 500, 500, 503]
    assert shop.emulator.weather.fair


def test_weather_by_chance_is_the_same_for_the_same_seed() -> None:
    def statuses(seed: int) -> list[int]:
        emulator = bench(seed).emulator
        emulator.weather.add(faults.Status(500), probability=0.5, times=None)
        return [
            emulator.handle("GET", "/v1/customers", {"Authorization": "Bearer sk_test_x"}).status for _ in range(40)
        ]

    assert statuses(1) == statuses(1) != statuses(2)
    assert 5 < statuses(1).count(500) < 35


def test_the_rate_limit_names_its_reason(shop: Bench) -> None:
    shop.emulator.rate_limit = 3
    headers = {"Authorization": "Bearer sk_test_x"}
    answers = [shop.emulator.handle("GET", "/v1/customers", headers) for _ in range(12)]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    assert refused[0].json()["error"]["code"] == "rate_limit"


def test_the_browser_is_struck_too_but_not_the_bank(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp"})
    shop.emulator.pay(intent.client_secret, "4000000000003220", authenticate=None)
    shop.emulator.weather.add(faults.Status(500), times=None)
    assert shop.emulator.complete_challenge(intent.id)["status"] == "succeeded"
    assert "error" in shop.emulator.pay(intent.client_secret)


@pytest.mark.parametrize(
    "fault", [faults.LostBefore(), faults.LostAfter(), faults.CutBody(), faults.HtmlBody()], ids=repr
)
def test_a_payer_whose_network_fails_is_told_so(shop: Bench, fault: faults.Fault) -> None:
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp"})
    shop.emulator.fail(call=1, fault=fault)
    assert shop.emulator.pay(intent.client_secret)["error"]["type"] == "api_connection_error"

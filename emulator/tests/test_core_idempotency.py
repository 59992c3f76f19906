"""Idempotency keys, as docs.stripe.com/api/idempotent_requests has them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from stripe_emulator import faults

from .helpers import ONLY_CARDS, Bench, bench

HEADERS = {"Authorization": "Bearer sk_test_x"}


@pytest.fixture
def shop() -> Bench:
    return bench()


def post(shop: Bench, path: str, body: bytes, key: str) -> tuple[int, bytes, dict[str, str]]:
    answer = shop.emulator.handle("POST", path, {**HEADERS, "Idempotency-Key": key}, body)
    return answer.status, answer.body, answer.headers


def test_a_replay_is_the_first_answer_byte_for_byte(shop: Bench) -> None:
    first = post(shop, "/v1/customers", b"email=a@example.com", "k")
    again = post(shop, "/v1/customers", b"email=a@example.com", "k")
    assert again[:2] == first[:2]
    assert "Idempotent-Replayed" not in first[2]
    assert again[2]["Idempotent-Replayed"] == "true"
    assert again[2]["Original-Request"] == first[2]["Request-Id"] != again[2]["Request-Id"]


def test_the_same_key_charges_once_within_a_day_and_again_after_it(shop: Bench) -> None:
    customer, method = shop.saved()
    first = shop.charge(customer, method, key="attempt-1")
    shop.emulator.clock.advance(hours=23, minutes=59)
    assert shop.charge(customer, method, key="attempt-1").id == first.id
    assert shop.emulator.ledger.taken_minor() == 2000
    shop.emulator.clock.advance(minutes=1)
    assert shop.charge(customer, method, key="attempt-1").id != first.id
    assert shop.emulator.ledger.taken_minor() == 4000


def test_a_decline_is_replayed(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_chargeCustomerFail")
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            shop.charge(customer, method, key="attempt-1")
    assert len(shop.emulator.ledger.charges()) == 1


@pytest.mark.parametrize("body", [b"currency=gbp", b"amount=5&currency=gbp", b"amount=500&currency=gbp&customer=cus_0"])
def test_what_failed_validation_is_not_remembered(shop: Bench, body: bytes) -> None:
    assert post(shop, "/v1/payment_intents", body, "k")[0] == 400
    assert post(shop, "/v1/payment_intents", b"amount=500&currency=gbp", "k")[0] == 200


def test_other_parameters_or_another_endpoint_are_refused(shop: Bench) -> None:
    post(shop, "/v1/customers", b"name=a", "k")
    for path, body in (("/v1/customers", b"name=b"), ("/v1/setup_intents", b"")):
        status, answer, _ = post(shop, path, body, "k")
        assert status == 400
        assert b'"type":"idempotency_error"' in answer
        assert b'"code"' not in answer


def test_a_cancelled_intent_comes_back_with_its_old_key(shop: Bench) -> None:
    form = {"amount": 500, "currency": "gbp"}
    first = shop.v1.payment_intents.create(form, {"idempotency_key": "k"})
    shop.v1.payment_intents.cancel(first.id)
    again = shop.v1.payment_intents.create(form, {"idempotency_key": "k"})
    assert again.id == first.id


def test_a_key_in_flight_is_a_conflict(shop: Bench) -> None:
    entered, leave = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        entered.set()
        leave.wait(5)

    shop.emulator.sleep = sleep
    shop.emulator.fail(call=1, fault=faults.Slow(9))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(post, shop, "/v1/customers", b"name=a", "k")
        assert entered.wait(5)
        status, body, _ = post(shop, "/v1/customers", b"name=a", "k")
        assert (status, b"idempotency_key_in_use" in body) == (409, True)
        assert shop.customer() != ""  # others are not held up
        leave.set()
        assert slow.result()[0] == 200
    assert post(shop, "/v1/customers", b"name=a", "k")[2]["Idempotent-Replayed"] == "true"


def test_an_object_that_a_slow_request_works_on_is_locked(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 500, "currency": "gbp", **ONLY_CARDS})
    caught: list[stripe.RateLimitError] = []

    def sleep(seconds: float) -> None:
        try:
            shop.v1.payment_intents.cancel(intent.id)
        except stripe.RateLimitError as error:
            caught.append(error)

    shop.emulator.sleep = sleep
    shop.emulator.fail(call=1, fault=faults.Slow(1))
    assert shop.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    assert caught[0].error is not None
    assert caught[0].error.code == "lock_timeout"


@pytest.mark.parametrize("meanwhile", ["a day passes", "reset", "restore"])
def test_a_slow_request_is_answered_whatever_happens_meanwhile(shop: Bench, meanwhile: str) -> None:
    saved = shop.emulator.snapshot()
    in_flight: list[int] = []

    def sleep(seconds: float) -> None:
        if meanwhile == "a day passes":
            shop.emulator.clock.advance(days=2)
            in_flight.append(post(shop, "/v1/customers", b"name=a", "k")[0])
        elif meanwhile == "reset":
            shop.emulator.reset()
        else:
            shop.emulator.restore(saved)

    shop.emulator.sleep = sleep
    shop.emulator.fail(call=1, fault=faults.Slow(1))
    assert post(shop, "/v1/customers", b"name=a", "k")[0] == 200
    assert in_flight in ([], [409])
    assert len(shop.v1.customers.list().data) == 1


def test_many_threads_with_one_key_make_one_object(shop: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(shop, "/v1/customers", b"email=a@example.com", "k"), range(40)))
    assert len({body for _, body, _ in answers}) == 1
    assert len(shop.v1.customers.list().data) == 1


def test_keys_are_ignored_on_get_and_too_long_ones_refused(shop: Bench) -> None:
    headers = {**HEADERS, "Idempotency-Key": "k"}
    assert shop.emulator.handle("GET", "/v1/customers", headers).status == 200
    assert shop.emulator.handle("GET", "/v1/charges", headers).status == 200
    assert post(shop, "/v1/customers", b"", "k" * 256)[0] == 400

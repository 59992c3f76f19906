"""Webhooks: signed as Stripe signs them, retried, and as unreliable as one likes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import stripe

from stripe_emulator import Delivery

from .helpers import Bench, bench

SECRET = "whsec_test"
URL = "http://127.0.0.1:1/hook"


class Inbox:
    """Takes deliveries, verifies them with the SDK, and answers with `status`."""

    def __init__(self, client: stripe.StripeClient, secret: str = SECRET, status: int | None = 200) -> None:
        self.client, self.secret, self.status = client, secret, status
        self.events: list[Any] = []
        self.refused = 0

    def __call__(self, delivery: Delivery) -> int | None:
        header = delivery.headers["Stripe-Signature"]
        try:
            # The emulator's clock stands at a past moment, so the age is judged by hand below.
            event = self.client.construct_event(delivery.body, header, self.secret, tolerance=None)  # type: ignore[arg-type]
        except stripe.SignatureVerificationError:
            self.refused += 1
            return 400
        self.events.append(event)
        return self.status

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


@pytest.fixture
def shop() -> Bench:
    shop = bench()
    shop.emulator.webhooks.add(URL, SECRET)
    return shop


@pytest.fixture
def inbox(shop: Bench) -> Inbox:
    return Inbox(shop.client)


def deliver(shop: Bench, inbox: Inbox) -> int:
    return shop.emulator.webhooks.deliver(inbox)


def test_every_event_is_delivered_once_in_order_and_as_the_api_shows_it(shop: Bench, inbox: Inbox) -> None:
    customer, method = shop.saved()
    shop.charge(customer, method)
    shop.emulator.clock.advance(seconds=2)
    assert deliver(shop, inbox) == len(inbox.events)
    assert inbox.types == shop.events()
    assert deliver(shop, inbox) == 0
    shown = shop.v1.events.retrieve(inbox.events[-1].id).to_dict()
    assert {**inbox.events[-1].to_dict(), "pending_webhooks": 0} == shown
    assert shown["pending_webhooks"] == 0


def test_an_event_names_the_request_that_caused_it(shop: Bench, inbox: Inbox) -> None:
    shop.v1.customers.create({}, {"idempotency_key": "k"})
    deliver(shop, inbox)
    assert inbox.events[0].request.idempotency_key == "k"
    assert inbox.events[0].request.id.startswith("req_")


def test_the_signature_is_the_sdks_own(shop: Bench) -> None:
    shop.customer()
    delivery = shop.emulator.webhooks.due()[0]
    header = delivery.headers["Stripe-Signature"]
    stamp = int(header.partition(",")[0].removeprefix("t="))
    assert stamp == int(shop.emulator.clock.now())
    made = stripe.WebhookSignature.generate_signature_header(delivery.body.decode(), SECRET, timestamp=stamp)
    assert header == made


def test_only_the_events_that_were_asked_for(shop: Bench) -> None:
    seen: list[str] = []
    shop.v1.webhook_endpoints.create({"url": f"{URL}2", "enabled_events": ["charge.succeeded"]})
    customer, method = shop.saved()
    shop.charge(customer, method)

    def send(delivery: Delivery) -> int:
        if delivery.url.endswith("2"):
            seen.append(json.loads(delivery.body)["type"])
        return 200

    shop.emulator.webhooks.deliver(send)
    assert seen == ["charge.succeeded"]


def test_a_refused_delivery_is_tried_again_with_growing_gaps_for_about_three_days(shop: Bench, inbox: Inbox) -> None:
    inbox.status = 500
    shop.customer()
    deliver(shop, inbox)
    moments = [shop.emulator.clock.now()]
    while (due := shop.emulator.webhooks.next_due()) is not None:
        shop.emulator.clock.advance(seconds=due - shop.emulator.clock.now())
        deliver(shop, inbox)
        moments.append(due)
    gaps = [later - sooner for sooner, later in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert 2.5 < sum(gaps) / 86_400 < 3.5
    assert len({event.id for event in inbox.events}) == 1
    assert shop.v1.events.list({"delivery_success": False}).data[0].id == inbox.events[0].id
    assert shop.v1.events.list({"delivery_success": True}).data == []


def test_a_retry_is_signed_anew(shop: Bench, inbox: Inbox) -> None:
    inbox.status = None
    shop.customer()
    first = shop.emulator.webhooks.due()[0]
    shop.emulator.webhooks.record(first, None)
    shop.emulator.clock.advance(minutes=1)
    second = shop.emulator.webhooks.due()[0]
    assert (second.event_id, second.attempt) == (first.event_id, 2)
    assert second.headers["Stripe-Signature"] != first.headers["Stripe-Signature"]


def test_a_rolled_secret_signs_beside_the_new_one_for_a_day(shop: Bench) -> None:
    endpoint = shop.emulator.webhooks.endpoints[0]["id"]
    shop.emulator.webhooks.roll(endpoint, "whsec_new")
    old, new = Inbox(shop.client, SECRET), Inbox(shop.client, "whsec_new")
    shop.customer()
    delivery = shop.emulator.webhooks.due()[0]
    assert delivery.headers["Stripe-Signature"].count("v1=") == 2
    assert (old(delivery), new(delivery)) == (200, 200)
    shop.emulator.clock.advance(hours=25)
    shop.customer()
    delivery = shop.emulator.webhooks.due()[0]
    assert (old(delivery), new(delivery)) == (400, 200)


def test_a_disabled_or_deleted_endpoint_is_left_alone(shop: Bench, inbox: Inbox) -> None:
    endpoint = shop.emulator.webhooks.endpoints[0]["id"]
    shop.customer()
    shop.v1.webhook_endpoints.update(endpoint, {"disabled": True})
    assert deliver(shop, inbox) == 0
    shop.v1.webhook_endpoints.delete(endpoint)
    shop.customer()
    assert deliver(shop, inbox) == 0


def test_doubled_with_the_same_id(shop: Bench, inbox: Inbox) -> None:
    shop.emulator.webhooks.weather.duplicate = 1.0
    shop.customer()
    assert deliver(shop, inbox) == 2
    assert inbox.events[0].id == inbox.events[1].id
    assert shop.v1.events.list().data[0].pending_webhooks == 0


def test_doubled_with_two_ids_for_one_change(shop: Bench, inbox: Inbox) -> None:
    shop.emulator.webhooks.weather.double_event = 1.0
    customer = shop.customer()
    assert deliver(shop, inbox) == 2
    assert inbox.events[0].id != inbox.events[1].id
    assert {event.data.object.id for event in inbox.events} == {customer}
    assert len(shop.v1.events.list().data) == 2


def test_late(shop: Bench, inbox: Inbox) -> None:
    shop.emulator.webhooks.weather.delay = 3600
    shop.customer()
    assert deliver(shop, inbox) == 0
    shop.emulator.clock.advance(hours=1)
    assert deliver(shop, inbox) == 1


def test_swapped(shop: Bench, inbox: Inbox) -> None:
    shop.emulator.webhooks.weather.swap = 1.0
    first = shop.customer()
    shop.emulator.webhooks.weather.swap = 0.0
    second = shop.customer()
    deliver(shop, inbox)
    assert [event.data.object.id for event in inbox.events] == [second, first]


def test_never(shop: Bench, inbox: Inbox) -> None:
    shop.emulator.webhooks.weather.drop = 1.0
    customer = shop.customer()
    shop.emulator.clock.advance(days=4)
    assert deliver(shop, inbox) == 0
    missed = shop.v1.events.list({"delivery_success": False}).data
    assert [event.data.object.id for event in missed] == [customer]


def test_with_an_old_signature_or_the_wrong_secret(shop: Bench, inbox: Inbox) -> None:
    shop.emulator.webhooks.weather.old_signature = True
    shop.customer()
    header = shop.emulator.webhooks.due()[0].headers["Stripe-Signature"]
    stamp = int(header.partition(",")[0].removeprefix("t="))
    assert shop.emulator.clock.now() - stamp > 300
    shop.emulator.webhooks.weather.wrong_secret = True
    shop.customer()
    deliver(shop, inbox)
    assert (inbox.refused, inbox.events) == (1, [])


def test_events_are_kept_for_thirty_days(shop: Bench) -> None:
    shop.customer()
    shop.emulator.clock.advance(days=29)
    assert shop.events() == ["customer.created"]
    shop.emulator.clock.advance(days=1, minutes=11)
    assert shop.events() == []

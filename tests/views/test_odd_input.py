"""Odd input gets a clear answer, on both databases, and a signed event is stored or refused and never dropped."""

from __future__ import annotations

import json
import re
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.urls import reverse

from checkout.gateway.webhooks import sign
from checkout.ids import ip_address_or_none
from checkout.models import Agreement, CustomerPayment, StripeEvent
from example_checkout.models import Contact, Product
from stripe_emulator import Emulator

pytestmark = pytest.mark.django_db

SECRET = "whsec_test"
LONG_ADDRESS = "a" * 60 + "@" + ".".join(["b" * 60] * 4) + ".example"


# -- who is visiting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::1"),
        ("1.2.3.4, 5.6.7.8", "1.2.3.4"),
        ("unix:", None),
        ("", None),
        ("garbage", None),
        ("1.2.3.4\x00", None),
        ("9" * 300, None),
    ],
)
def test_an_agreement_is_made_whatever_a_proxy_calls_the_visitor(
    emulator: Emulator, payment_plan: Any, written: str, read: str | None
) -> None:
    Product.objects.create(slug="pottery", name="Pottery", price=Decimal(100), on_plan=True)
    client = Client()
    order = client.post("/courses/pottery/buy/", {"name": "N", "email": "n@example.com", "quantity": 1})["Location"]
    page = client.get(f"{order}how-to-pay/?payment_plan=standard").content.decode()
    shown = re.findall(r'name="shown" value="([0-9a-f]+)"', page)[0]
    form = {"action": "payment_plan", "payment_plan": "standard", "agree": "on", "shown": shown}
    answer = client.post(f"{order}how-to-pay/", form, REMOTE_ADDR=written, HTTP_USER_AGENT="a\x00b" + "é" * 600)
    assert answer.status_code == 302
    agreement = Agreement.objects.get()
    assert agreement.ip_address == read
    assert ip_address_or_none(written) == read
    assert agreement.user_agent.startswith("abé")


# -- forms and lists -------------------------------------------------------------------------------------------


def test_an_address_that_is_too_long_is_refused_in_the_shop(client: Client) -> None:
    Product.objects.create(slug="pottery", name="Pottery", price=Decimal(100))
    answer = client.post("/courses/pottery/buy/", {"name": "N", "email": LONG_ADDRESS, "quantity": 1})
    assert answer.status_code == 422
    assert not Contact.objects.exists()


def test_an_address_that_is_too_long_is_refused_in_the_office(client: Client, boss: Any) -> None:
    client.force_login(boss)
    form = {"key": uuid.uuid4(), "email": LONG_ADDRESS, "name": "Z", "description": "D", "amount": "5", "how": "link"}
    assert client.post(reverse("checkout.customer.payment.create"), form).status_code == 422
    assert not CustomerPayment.objects.exists()


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "10000-01-01", "2026-02-30", "٢٠٢٦-٠١-٠١", "\x00"])
def test_no_day_is_too_far_for_a_list(client: Client, boss: Any, day: str) -> None:
    client.force_login(boss)
    for name in ("since", "until"):
        assert client.get(reverse("checkout.list"), {name: day}).status_code == 200


# -- events ----------------------------------------------------------------------------------------------------


def an_event(**changes: Any) -> dict[str, Any]:
    about = {"id": "pi_x", "object": "payment_intent", "metadata": {}}
    event = {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": int(time.time()),
        "api_version": "x",
        "data": {"object": about | changes.pop("about", {})},
    }
    return event | changes


def send(body: bytes, settings: Any, **how: Any) -> Any:
    settings.CHECKOUT_WEBHOOK_SECRET = SECRET
    settings.CHECKOUT_BACKGROUND = "sweep"
    headers = {"Stripe-Signature": sign(body, SECRET)}
    return Client().post("/checkout/webhook/", body, content_type="application/json", headers=headers, **how)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps(an_event(about={"amount": float("nan"), "x": float("inf")})), 200),
        (json.dumps(an_event(about={"text": "\ud800"})), 200),
        (json.dumps(an_event(about={"a\x00b": 1, "\ud800": 2})), 200),
        (json.dumps(an_event(about={"id": "pi_\x00x"})), 200),
        (json.dumps(an_event(about={"id": "pi_\ud800"})), 200),
        (json.dumps(an_event(about={"number": 10**400})), 200),
        (json.dumps(an_event(about={"number": 10**4000})), 200),
        (json.dumps(an_event(api_version="\x00" * 300)), 200),
        (json.dumps(an_event(account="acct_\x00")), 200),
        (json.dumps(an_event(id="evt_\x00")), 400),
        (json.dumps(an_event(id="evt_\ud800")), 400),
        (json.dumps(an_event(type="a\x00b")), 400),
        (json.dumps(an_event(created=float("nan"))), 400),
        (json.dumps(an_event(created=10**30)), 400),
        (json.dumps(an_event(created=-(10**11))), 400),
        (json.dumps(an_event(about={"number": 0})).replace(": 0}", ": " + "9" * 5000 + "}"), 400),
    ],
)
def test_a_signed_event_is_stored_or_refused_and_never_dropped(body: str, status: int, settings: Any) -> None:
    assert send(body.encode(), settings).status_code == status
    assert StripeEvent.objects.count() == (status == 200)


def test_an_event_that_the_database_refuses_is_sent_again(settings: Any) -> None:
    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT"):
            raise DatabaseError("disk full")
        return execute(sql, *rest)

    body = json.dumps(an_event()).encode()
    with connection.execute_wrapper(refuse):
        assert send(body, settings).status_code == 503
    assert send(body, settings).status_code == 200
    assert send(body, settings).status_code == 200
    assert StripeEvent.objects.count() == 1


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "abc", "١٢", "1" * 30])
def test_no_declared_length_breaks_the_webhook(length: str, settings: Any) -> None:
    answer = send(json.dumps(an_event()).encode(), settings, CONTENT_LENGTH=length)
    assert answer.status_code in (400, 413)

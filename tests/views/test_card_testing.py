"""Whoever tries out cards is refused after some tries, and is told when to go on; everybody else pays as before."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client
from post_office.models import Email

from checkout import clock, links, mail
from checkout.gateway import gateway
from checkout.ids import network_of
from checkout.models import Checkout, ObjectPaymentPlanInstalment, Problem, StripeEvent
from checkout.services import inbox
from checkout.services.letters import writing
from example_checkout.models import Product, SalesLedger
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due
from tests.staff.conftest import ADDRESS

pytestmark = pytest.mark.django_db

DECLINED = "4000000000000002"


@pytest.fixture(autouse=True)
def course(db: None) -> None:
    Product.objects.create(slug="pottery", name="Pottery", price=Decimal(85))


def begin(client: Client, **how: Any) -> Any:
    """Order and press "Pay": the answer."""
    client.post("/courses/pottery/buy/", {"name": "N", "email": "n@example.com", "quantity": 1}, **how)
    return client.post(f"/orders/{SalesLedger.objects.latest('pk').pk}/pay/", **how)


def made_at_stripe(emulator: Emulator) -> int:
    return sum(each.method == "POST" and each.path.endswith("_intents") for each in emulator.requests)


def test_one_browser_begins_so_many_attempts_and_no_more(client: Client, emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_MAX_ATTEMPTS = 4
    answers = [begin(client) for _order in range(8)]
    assert [answer.status_code for answer in answers] == [302] * 4 + [429] * 4
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert "Too many attempts" in answers[-1].content.decode()
    assert "Please try again after" in answers[-1].content.decode()
    assert Problem.objects.get().kind == Problem.Kind.CARD_TESTING
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        assert begin(client).status_code == 302


def test_what_a_refused_visitor_began_opens_no_page(client: Client, emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_MAX_ATTEMPTS = 1
    begin(client)
    begin(client)
    refused = Checkout.objects.latest("pk")
    assert client.get(f"/pay/{refused.uuid}/").status_code == 404


def test_one_address_begins_so_many_attempts_in_whatever_browsers(emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_MAX_ATTEMPTS_PER_ADDRESS = 3
    network = ["2001:db8::1", "[2001:db8::2]:443", "2001:db8::3", "2001:db8::ffff"]
    assert [begin(Client(), REMOTE_ADDR=address).status_code for address in network] == [302] * 3 + [429]
    assert begin(Client(), REMOTE_ADDR="198.51.100.7").status_code == 302


@pytest.fixture
def line(save_plan: SavePlan) -> ObjectPaymentPlanInstalment:
    (line,) = make_due(save_plan(email="payer@example.com"))
    return line


def test_one_debt_takes_so_many_attempts_from_whomever(line: Any, emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_MAX_ATTEMPTS = 3
    before = made_at_stripe(emulator)
    address = f"/checkout/pay/{links.make_token(line)}/"
    codes = [Client().post(address, REMOTE_ADDR=f"198.51.100.{number}").status_code for number in range(6)]
    assert codes == [302] * 3 + [429] * 3
    assert made_at_stripe(emulator) - before <= 3
    # Looking at what is owed stays open.
    assert Client().get(address).status_code == 200


def test_a_payer_who_comes_back_to_the_same_page_is_not_counted_again(
    client: Client, emulator: Emulator, settings: Any
) -> None:
    settings.CHECKOUT_MAX_ATTEMPTS = 2
    page = begin(client).headers["Location"]
    for _look in range(9):
        assert client.get(page).status_code == 200


def decline(emulator: Emulator, checkout: Checkout, number: int) -> None:
    """The browser tries a card that is declined, and Stripe tells of it."""
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret, number=DECLINED)
    event = StripeEvent.objects.create(
        event_id=f"evt_{number}",
        event_type="payment_intent.payment_failed",
        object_id=checkout.payment_intent_id,
        livemode=False,
        created_at=clock.now(),
    )
    assert inbox.handle(event.pk)


def test_after_so_many_declines_the_page_takes_no_more_cards(client: Client, emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_MAX_DECLINES = 3
    page = begin(client).headers["Location"]
    checkout = Checkout.objects.get()
    for number in range(3):
        assert gateway().retrieve_payment_intent(checkout.payment_intent_id).canceled is False
        decline(emulator, checkout, number)
    assert gateway().retrieve_payment_intent(checkout.payment_intent_id).canceled
    checkout.refresh_from_db()
    assert checkout.failed
    assert Problem.objects.get().kind == Problem.Kind.CARD_TESTING
    assert client.get(page).status_code == 302
    # Nor does a new attempt at the same order, from wherever.
    sale = SalesLedger.objects.get()
    assert client.post(f"/orders/{sale.pk}/pay/", REMOTE_ADDR="198.51.100.9").status_code == 429


def test_a_card_that_works_after_some_declines_pays(client: Client, emulator: Emulator) -> None:
    begin(client)
    checkout = Checkout.objects.get()
    for number in range(3):
        decline(emulator, checkout, number)
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    client.get(f"/checkout/{checkout.uuid}/return/")
    checkout.refresh_from_db()
    assert checkout.succeeded
    assert not Problem.objects.exists()


def test_the_invoice_form_is_no_way_to_mail_everybody(client: Client, db: None, settings: Any) -> None:
    settings.CHECKOUT_MAX_ATTEMPTS = 2
    mail.install()
    codes = [
        client.post(links.invoice_form(Membership.objects.create()), ADDRESS | {"email": f"x{number}@example.com"})
        for number in range(4)
    ]
    assert [answer.status_code for answer in codes] == [302, 302, 429, 429]
    writing.write_waiting()
    assert Email.objects.filter(to__startswith="x").count() == 2


@pytest.mark.parametrize(("answer", "status"), [(True, 302), (False, 429), (None, 429), ("/are-you-a-person/", 302)])
def test_the_sites_captcha_decides_at_the_limit(
    client: Client, emulator: Emulator, settings: Any, answer: object, status: int
) -> None:
    asked = []

    def is_person(request: Any, row: Any) -> object:
        asked.append(row)
        return answer

    settings.CHECKOUT_MAX_ATTEMPTS = 1
    settings.CHECKOUT_CAPTCHA = is_person
    begin(client)
    assert asked == []
    shown = begin(client)
    assert shown.status_code == status
    assert asked
    if isinstance(answer, str):
        assert shown.headers["Location"] == answer


def test_a_cache_that_does_not_answer_stops_nobody(client: Client, emulator: Emulator, monkeypatch: Any) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("no cache")

    for name in ("get", "add", "incr", "set", "delete"):
        monkeypatch.setattr(LocMemCache, name, broken)
    assert begin(client).status_code == 302


def test_a_network_is_read_from_whatever_a_proxy_writes() -> None:
    assert network_of("1.2.3.4:5678") == network_of("1.2.3.4, 5.6.7.8") == "1.2.3.4"
    assert network_of("2001:db8::1") == network_of("[2001:db8::2]:443")
    assert network_of("") == network_of("garbage") == "unknown"

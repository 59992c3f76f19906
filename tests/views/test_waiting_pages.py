"""Pages whose answer may still come: they say so, offer no second payment, and look again by themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from checkout import links, states
from checkout.gateway import gateway
from checkout.models import Checkout, CustomerPayment, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.services import charging, plans, requests, settling
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.saved import agreed
from tests.services.conftest import SavePlan, letters_installed, make_due

pytestmark = pytest.mark.django_db

EMAIL = "payer@example.com"


@pytest.fixture
def plan(save_plan: SavePlan, payer: Any) -> ObjectPaymentPlan:
    letters_installed()
    made = save_plan(email=EMAIL)
    ObjectPaymentPlan.objects.update(user=payer)
    return made


@pytest.fixture
def line(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    return make_due(plan)[0]


@pytest.fixture
def payment(plan: ObjectPaymentPlan) -> CustomerPayment:
    """Staff ask the same customer, whose card is saved and may be charged for such amounts, for one."""
    agreed(plan.card)
    return requests.create(email=EMAIL, name="Pat Payer", description="Exam fee", total=Decimal(25))


#: Each page: what is being paid there, and its address.
PAGES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "link": ("line", lambda line: urlsplit(links.payment_link(line)).path),
    "login": ("line", lambda line: reverse("checkout.pay.on.session", args=[line.uuid])),
    "plan": ("line", lambda line: reverse("checkout.plan.progress", args=[line.object_payment_plan.uuid])),
    "request": ("payment", requests.payer_path),
}


def looks_again(page: str) -> bool:
    """The page has what status.js reads, and status.js."""
    return "?format=json" in page and "checkout/status.js" in page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opened_while_a_charge_is_unanswered(
    client: Client, payer: Any, request: pytest.FixtureRequest, name: str
) -> None:
    fixture, address = PAGES[name]
    debt = request.getfixturevalue(fixture)
    client.force_login(payer)
    path = address(debt)
    assert client.get(path, {"format": "json"}).json() == {"processing": False}
    assert not looks_again(client.get(path).content.decode())

    claimed = charging.claim(debt)
    assert client.get(path, {"format": "json"}).json() == {"processing": True}
    page = client.get(path).content.decode()
    assert looks_again(page)
    assert f'href="{path}">Look again' in page
    assert re.search("at this moment", page)
    assert "Continue to payment" not in page

    charging.settle(claimed, charging.ask(charging.request_for(claimed)))
    assert client.get(path, {"format": "json"}).json() == {"processing": False}
    page = client.get(path).content.decode()
    assert not looks_again(page)
    assert "Paid" in page or "paid" in page


# -- the deposit -----------------------------------------------------------------------------------------


@pytest.fixture
def saved(client: Client, payer: Any, payment_plan: PaymentPlan, emulator: Emulator) -> Checkout:
    """The card of a plan was saved, and nobody has asked for the deposit yet."""
    row = Membership.objects.create(email=EMAIL)
    setup = Checkout.objects.create_checkout("payment_plan", row, payer, payment_plan=payment_plan)
    emulator.pay(gateway().retrieve_setup_intent(setup.setup_intent_id).client_secret)
    settled = settling.settle(setup.pk, gateway().retrieve_setup_intent(setup.setup_intent_id))
    client.force_login(payer)
    return settled


def deposit_page(checkout: Checkout) -> str:
    return reverse("checkout.deposit", args=[checkout.uuid])


def test_the_deposit_page_waits_for_whoever_is_taking_it(client: Client, saved: Checkout) -> None:
    claimed = charging.claim(plans.deposit_of(ObjectPaymentPlan.objects.get()))
    page = client.get(deposit_page(saved)).content.decode()
    assert "Your card is saved" in page
    assert looks_again(page)
    assert client.get(deposit_page(saved), {"format": "json"}).json() == {"processing": True}
    charging.settle(claimed, charging.ask(charging.request_for(claimed)))
    assert client.get(deposit_page(saved), {"format": "json"}).json() == {"processing": False}
    thanks = client.get(deposit_page(saved), follow=True).redirect_chain[-1][0]
    assert thanks == f"/members/{saved.object_id}/thanks/"


def test_a_deposit_that_stripe_had_no_time_for_is_taken_at_the_button_and_by_no_look(
    client: Client, saved: Checkout, emulator: Emulator
) -> None:
    emulator.weather.add(faults.Status(429), path="POST /v1/payment_intents")
    page = client.get(deposit_page(saved)).content.decode()
    assert looks_again(page)
    assert "Take the deposit now" in page
    look = {"format": "json"}
    client.post(deposit_page(saved))
    for _time in range(2):
        assert client.get(deposit_page(saved), look).json() == {"processing": True}
    assert emulator.ledger.taken_minor() == 0
    client.post(deposit_page(saved))
    assert client.get(deposit_page(saved), look).json() == {"processing": False}
    assert plans.deposit_of(ObjectPaymentPlan.objects.get()).state_id == states.SUCCESS
    assert emulator.ledger.taken_minor() == 2000


def test_a_strangers_script_learns_nothing(saved: Checkout, line: ObjectPaymentPlanInstalment) -> None:
    stranger = Client()
    assert stranger.get(deposit_page(saved), {"format": "json"}).status_code == 404
    for name in ("login", "plan"):
        answer = stranger.get(PAGES[name][1](line), {"format": "json"})
        assert answer.status_code == 302
        assert "log-in" in answer["Location"]

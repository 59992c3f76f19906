"""What the payment page and the return page say, keep to themselves, and do when something is wrong."""

from __future__ import annotations

import json
import logging
import re
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from checkout import declines
from checkout.journal import Code, Why
from checkout.models import Checkout
from checkout.services import intents
from example_checkout.models import SalesLedger
from stripe_emulator import Emulator, faults
from tests.views.shop import logged_in, order, pay_page, return_page

pytestmark = pytest.mark.django_db

DECLINED = "4000000000000002"
RETURN_QUERY = "?payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status=succeeded"


@pytest.fixture
def sale(payer: Any) -> SalesLedger:
    return order(payer)


@pytest.fixture
def payers_client(payer: Any) -> Client:
    return logged_in(payer)


@pytest.fixture
def payment_page(emulator: Emulator, payers_client: Client, sale: SalesLedger) -> str:
    """The address of an open payment page."""
    return pay_page(payers_client, sale)


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def config(response: Any) -> dict[str, Any]:
    found = re.search(r'id="checkout-elements-config"[^>]*>(.*?)</script>', response.content.decode(), re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


# -- the payment page ----------------------------------------------------------------------------------


def test_the_page_says_what_and_how_much(payers_client: Client, payment_page: str) -> None:
    response = payers_client.get(payment_page)
    said = text(response)
    assert "Pay £85.00 to Green Lane College Pottery" in said
    assert "Pay £85.00 now" in said
    assert "telephone 01632 960 123" in said
    found = config(response)
    assert found["clientSecret"] == response.context["client_secret"]
    assert found["successUrl"] == f"http://testserver{return_page(Checkout.objects.get())}"
    assert (found["intent"], found["savedPaymentMethod"], found["publishableKey"]) == (
        "payment",
        "",
        "pk_test_emulator",
    )


def test_scripts_carry_the_nonce_of_the_page_and_nothing_is_inline(payers_client: Client, payment_page: str) -> None:
    html = payers_client.get(payment_page).content.decode()
    assert " nonce=" not in html
    for tag in re.findall(r"<script\b[^>]*>", html):
        assert "src=" in tag or 'type="application/json"' in tag
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)


def test_the_page_speaks_the_readers_language(payers_client: Client, payment_page: str) -> None:
    response = payers_client.get(payment_page, headers={"accept-language": "de"})
    assert '<html lang="de"' in response.content.decode()
    assert "85,00\N{NO-BREAK SPACE}£" in response.content.decode()
    assert config(response)["locale"] == "de"


@pytest.mark.parametrize("address", ["page", "return", "problem"])
def test_nothing_is_cached_and_no_address_is_passed_on(payers_client: Client, payment_page: str, address: str) -> None:
    addresses = {"page": payment_page, "return": return_page(Checkout.objects.get()), "problem": f"/pay/{UUID(int=7)}/"}
    response = payers_client.get(addresses[address])
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "same-origin"


def test_the_policy_lets_the_page_do_what_it_needs_and_no_more(
    payers_client: Client, payment_page: str, settings: Any
) -> None:
    settings.CHECKOUT_STRIPE_JS_URL = "http://127.0.0.1:12111/stripe.js"
    policy = payers_client.get(payment_page)["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src 'self' http://127.0.0.1:12111;" in policy
    assert "unsafe" not in policy
    settings.CHECKOUT_STRIPE_JS_URL = "https://js.stripe.com/endive/stripe.js"
    assert "script-src 'self' https://js.stripe.com" in payers_client.get(payment_page)["Content-Security-Policy"]


def test_a_page_whose_intent_is_paid_leads_to_the_result(
    payers_client: Client, payment_page: str, emulator: Emulator
) -> None:
    emulator.pay(config(payers_client.get(payment_page))["clientSecret"])
    assert payers_client.get(payment_page)["Location"] == return_page(Checkout.objects.get())
    thanks = payers_client.get(payment_page, follow=True)
    assert thanks.redirect_chain[-1][0].endswith("/thank-you/")


def test_a_paid_order_is_not_paid_again(
    payers_client: Client, payment_page: str, emulator: Emulator, sale: Any
) -> None:
    emulator.pay(config(payers_client.get(payment_page))["clientSecret"])
    payers_client.get(return_page(Checkout.objects.get()))
    response = payers_client.post(f"/orders/{sale.pk}/pay/")
    assert response.status_code == 409
    assert "There is nothing to pay here at the moment." in text(response)
    assert Checkout.objects.count() == 1


# -- what must not get out -----------------------------------------------------------------------------


def test_the_return_address_loses_the_client_secret(
    payers_client: Client, payment_page: str, emulator: Emulator
) -> None:
    address = return_page(Checkout.objects.get())
    before = len(emulator.requests)
    response = payers_client.get(address + RETURN_QUERY)
    assert (response.status_code, response["Location"]) == (302, address)
    assert len(emulator.requests) == before
    assert "no-store" in response["Cache-Control"]


def test_what_the_return_address_claims_is_not_believed(payers_client: Client, payment_page: str) -> None:
    response = payers_client.get(return_page(Checkout.objects.get()) + RETURN_QUERY, follow=True)
    assert "Not paid" in text(response)
    assert Checkout.objects.get().state_id == "pending"


def test_the_client_secret_is_in_its_payers_page_only(
    payers_client: Client, payment_page: str, emulator: Emulator, caplog: pytest.LogCaptureFixture, sale: SalesLedger
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="stripe")
    response = payers_client.get(payment_page)
    secret = config(response)["clientSecret"]
    # Once for the form's script; nowhere else on the page.
    assert response.content.decode().count(secret) == 1
    emulator.pay(secret, number=DECLINED)
    seen = [payers_client.get(return_page(Checkout.objects.get())).content.decode()]
    emulator.pay(secret)
    seen += [payers_client.get(return_page(Checkout.objects.get()), follow=True).content.decode()]
    seen += [record.getMessage() for record in caplog.records]
    seen += [str(row) for row in Checkout.objects.values()]
    assert [text for text in seen if secret in text or "_secret_" in text] == []


# -- the return page -----------------------------------------------------------------------------------


def test_the_truth_is_shown_as_json_for_the_page_that_waits(
    payers_client: Client, payment_page: str, emulator: Emulator
) -> None:
    address = f"{return_page(Checkout.objects.get())}?format=json"
    assert payers_client.get(address).json() == {"state": "pending", "processing": False}
    intent = emulator.world.tables["payment_intent"].rows[Checkout.objects.get().payment_intent_id]
    intent["status"] = "processing"
    assert payers_client.get(address).json() == {"state": "request", "processing": True}
    emulator.weather.add(faults.LostBefore(), path="GET /v1/payment_intents", times=1)
    assert payers_client.get(address).json() == {"state": "request", "processing": True}
    intent["status"] = "requires_payment_method"
    emulator.pay(intent["client_secret"])
    assert payers_client.get(address).json() == {"state": "success", "processing": False}


def test_no_answer_is_never_told_as_not_paid(payers_client: Client, payment_page: str, emulator: Emulator) -> None:
    emulator.weather.add(faults.Status(500), path="GET /v1/payment_intents", times=None)
    said = text(payers_client.get(return_page(Checkout.objects.get())))
    assert "We are checking your payment" in said
    assert "do not pay again" in said
    assert "Nothing was taken" not in said


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("4000000000009995", "There was not enough money available on the card."),
        ("4000000000000069", "The card has expired."),
        ("4000000000000127", "The security code was not right."),
        ("4000000000000119", "The bank could not work on the payment at that moment."),
        ("4000000000006975", "The card has reached the limit that your bank sets."),
        (DECLINED, "Your bank declined the card. It does not tell us why."),
        # Whoever holds such a card must not learn that the bank knows.
        ("4000000000009987", "Your bank declined the card. It does not tell us why."),
        ("4000000000009979", "Your bank declined the card. It does not tell us why."),
        ("4100000000000019", "Your bank declined the card. It does not tell us why."),
    ],
)
def test_a_decline_in_a_sentence(
    payers_client: Client, payment_page: str, emulator: Emulator, number: str, reason: str
) -> None:
    emulator.pay(config(payers_client.get(payment_page))["clientSecret"], number=number)
    response = payers_client.get(return_page(Checkout.objects.get()))
    assert f"Not paid {reason} Nothing was taken." in text(response)
    assert f'href="{payment_page}">Try again' in response.content.decode()
    assert not re.search("lost|stolen|fraud|pickup", text(response), re.IGNORECASE)


def test_a_failed_authentication_in_a_sentence(payers_client: Client, payment_page: str, emulator: Emulator) -> None:
    secret = config(payers_client.get(payment_page))["clientSecret"]
    emulator.pay(secret, number="4000000000003220", authenticate=False)
    assert "Your bank could not confirm that it was you." in text(
        payers_client.get(return_page(Checkout.objects.get()))
    )


def test_an_abandoned_payment_in_a_sentence(payers_client: Client, payment_page: str) -> None:
    said = text(payers_client.get(return_page(Checkout.objects.get())))
    assert "The payment was not finished. Nothing was taken." in said


def test_a_cancelled_attempt_leads_back_to_the_order(
    payers_client: Client, payment_page: str, sale: SalesLedger
) -> None:
    intents.close(Checkout.objects.get(), why=Why(Code.PAGE_LEFT))
    response = payers_client.get(return_page(Checkout.objects.get()))
    assert f'href="/orders/{sale.pk}/">Try again' in response.content.decode()
    # The page itself has nothing to offer any more.
    assert payers_client.get(payment_page)["Location"] == return_page(Checkout.objects.get())


def test_unknown_reasons_read_like_every_other() -> None:
    assert declines.sentence("card_declined", "a_reason_of_next_year") == declines.sentence("card_declined", "")


# -- bad input and faults ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [faults.LostAfter(), faults.LostBefore(), faults.Status(500), faults.CutBody()])
def test_a_lost_answer_is_finished_by_the_next_visit(
    emulator: Emulator, payers_client: Client, sale: SalesLedger, fault: faults.Fault
) -> None:
    emulator.weather.add(fault, path="POST /v1/payment_intents$")
    came_from = f"http://testserver/orders/{sale.pk}/"
    response = payers_client.post(f"/orders/{sale.pk}/pay/", headers={"referer": came_from})
    assert response.status_code == 503
    assert "We could not reach the payment service" in text(response)
    assert f'href="{came_from}">Go back' in response.content.decode()
    payers_client.get(pay_page(payers_client, sale))
    assert Checkout.objects.count() == 1
    assert len(emulator.world.tables["payment_intent"]) == 1


def test_the_way_back_stays_on_this_site(payers_client: Client, payment_page: str) -> None:
    response = payers_client.post(payment_page, headers={"referer": "https://elsewhere.example/"})
    assert response.status_code == 405
    assert "elsewhere" not in response.content.decode()


def test_stripe_down_while_the_page_is_opened(payers_client: Client, payment_page: str, emulator: Emulator) -> None:
    emulator.weather.add(faults.HtmlBody(502), path="GET /v1/payment_intents")
    response = payers_client.get(payment_page)
    assert response.status_code == 503
    assert f'href="{payment_page}">Try again' in response.content.decode()
    assert payers_client.get(payment_page).status_code == 200


def test_an_amount_under_stripes_minimum(emulator: Emulator, payer: Any, payers_client: Client) -> None:
    cheap = order(payer, price="0.20")
    response = payers_client.post(f"/orders/{cheap.pk}/pay/")
    assert response.status_code == 409
    assert "the least is 0.30 GBP" in text(response)
    assert not Checkout.objects.exists()


def test_an_unknown_currency(emulator: Emulator, payers_client: Client, sale: SalesLedger, settings: Any) -> None:
    settings.CHECKOUT_CURRENCY = "XXX"
    response = payers_client.post(f"/orders/{sale.pk}/pay/")
    assert response.status_code == 409
    assert "is not a currency that Stripe takes" in text(response)
    assert not Checkout.objects.exists()


@pytest.mark.parametrize("missing", ["STRIPE_SECRET_KEY", "STRIPE_PUBLISH_KEY"])
def test_a_missing_key(payers_client: Client, payment_page: str, settings: Any, missing: str) -> None:
    setattr(settings, missing, "")
    response = payers_client.get(payment_page)
    assert response.status_code == 500
    assert "Something is wrong on our side" in text(response)
    assert missing not in text(response)


def test_an_intent_that_is_not_ours_is_not_shown(payers_client: Client, payment_page: str, emulator: Emulator) -> None:
    intent = emulator.world.tables["payment_intent"].rows[Checkout.objects.get().payment_intent_id]
    intent["metadata"]["checkout"] = "somebody else's"
    response = payers_client.get(payment_page)
    assert response.status_code == 500
    assert "do not pay a second time" in text(response)
    assert "_secret_" not in response.content.decode()


def test_a_session_remembers_a_bounded_number_of_pages(emulator: Emulator, payer: Any, payers_client: Client) -> None:
    sale = order(payer)
    pages = {f"page-{number}": "" for number in range(50)}
    session = payers_client.session
    session["checkout_pages"] = pages
    session.save()
    newest = pay_page(payers_client, sale)
    assert len(payers_client.session["checkout_pages"]) == 20
    assert payers_client.get(newest).status_code == 200

"""The pages that Stripe hosts: of a payment link, of a Checkout Session, and of a receipt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from stripe_emulator import Emulator

pytestmark = pytest.mark.browser
Api = Callable[..., dict[str, Any]]


@pytest.fixture
def link(served: str, api: Api) -> Callable[..., dict[str, Any]]:
    def make(**form: Any) -> dict[str, Any]:
        price = api("POST", "/v1/prices", currency="gbp", unit_amount=1250, **{"product_data[name]": "Course"})
        items = {"line_items[0][price]": price["id"], "line_items[0][quantity]": 2}
        return api("POST", "/v1/payment_links", **items, **form)

    return make


def pay(page: Page, number: str = "4242424242424242") -> None:
    if page.get_by_label("Email").count():
        page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Card number").fill(number)
    page.get_by_role("button", name="Pay £25.00 GBP").click()


def types(api: Api) -> list[str]:
    return [event["type"] for event in api("GET", "/v1/events?limit=100")["data"]]


def test_anybody_pays_at_a_payment_link_again_and_again(
    page: Page, api: Api, emulator: Emulator, link: Callable[..., dict[str, Any]]
) -> None:
    made = link(**{"metadata[campaign]": "spring", "payment_intent_data[description]": "Two courses"})
    for _ in range(2):
        page.goto(made["url"])
        expect(page.get_by_role("cell", name="Course")).to_be_visible()
        pay(page)
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert emulator.ledger.taken_minor(currency="gbp") == 5000
    sessions = api("GET", f"/v1/checkout/sessions?payment_link={made['id']}")["data"]
    assert len(sessions) == 2
    newest = sessions[0]
    assert (newest["status"], newest["payment_status"], newest["url"]) == ("complete", "paid", None)
    assert (newest["customer_details"]["email"], newest["metadata"]) == ("ada@example.com", {"campaign": "spring"})
    intent = api("GET", f"/v1/payment_intents/{newest['payment_intent']}")
    assert (intent["amount_received"], intent["description"]) == (2500, "Two courses")
    assert types(api).count("checkout.session.completed") == 2


def test_a_link_ends_when_it_is_switched_off_or_used_up(
    page: Page, api: Api, link: Callable[..., dict[str, Any]]
) -> None:
    made = link(**{"restrictions[completed_sessions][limit]": 1, "inactive_message": "The course is full."})
    page.goto(made["url"])
    pay(page)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    page.goto(made["url"])
    expect(page.get_by_text("The course is full.")).to_be_visible()
    other = link()
    api("POST", f"/v1/payment_links/{other['id']}", active="false")
    page.goto(other["url"])
    expect(page.get_by_text("no longer active")).to_be_visible()


def test_a_declined_card_and_a_challenge_on_the_page_of_a_session(page: Page, served: str, api: Api) -> None:
    line = {"line_items[0][price_data][currency]": "gbp", "line_items[0][price_data][unit_amount]": 2500,
            "line_items[0][price_data][product_data][name]": "Course"}  # fmt: skip
    success = f"{served}/emulator/health?session={{CHECKOUT_SESSION_ID}}"
    customer = api("POST", "/v1/customers", email="ada@example.com")["id"]
    session = api("POST", "/v1/checkout/sessions", mode="payment", success_url=success, customer=customer, **line)
    page.goto(session["url"])
    assert page.get_by_label("Email").count() == 0
    pay(page, "4000000000000002")
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    pay(page, "4000002760003184")
    page.get_by_role("button", name="Fail authentication").click()
    expect(page.get_by_role("button", name="Pay £25.00 GBP")).to_be_visible()
    pay(page, "4000002760003184")
    expect(page.get_by_role("button", name="Complete authentication")).to_be_visible()
    page.go_back()
    pay(page, "4000002760003184")
    page.get_by_role("button", name="Complete authentication").click()
    page.wait_for_url("**/emulator/health?session=cs_test_*")
    done = api("GET", f"/v1/checkout/sessions/{session['id']}?expand[]=payment_intent")
    assert (done["status"], done["payment_intent"]["customer"]) == ("complete", customer)
    assert done["customer_details"]["email"] == "ada@example.com"


def test_a_session_saves_a_card(page: Page, served: str, api: Api) -> None:
    customer = api("POST", "/v1/customers")["id"]
    form = {"mode": "setup", "success_url": f"{served}/emulator/health", "customer": customer, "currency": "gbp"}
    session = api("POST", "/v1/checkout/sessions", **form)
    page.goto(session["url"])
    page.get_by_role("button", name="Save the card").click()
    page.wait_for_url("**/emulator/health")
    assert api("GET", f"/v1/checkout/sessions/{session['id']}")["status"] == "complete"
    assert len(api("GET", f"/v1/customers/{customer}/payment_methods")["data"]) == 1


def test_a_session_that_expired_takes_nothing(page: Page, api: Api, link: Callable[..., dict[str, Any]]) -> None:
    page.goto(link()["url"])
    session = api("GET", "/v1/checkout/sessions")["data"][0]
    api("POST", f"/v1/checkout/sessions/{session['id']}/expire")
    pay(page)
    expect(page.get_by_text("This page has expired.")).to_be_visible()


def test_a_receipt_shows_what_was_given_back_until_its_address_ends(
    page: Page, served: str, api: Api, emulator: Emulator
) -> None:
    intent = api("POST", "/v1/payment_intents", amount=1250, currency="gbp", description="A course")
    emulator.pay(intent["client_secret"])
    charge = api("GET", "/v1/charges")["data"][0]
    page.goto(charge["receipt_url"])
    for text in ("A course", "£12.50 GBP", "Visa ending in 4242"):
        expect(page.get_by_text(text)).to_be_visible()
    assert page.get_by_text("Refunded").count() == 0
    api("POST", "/v1/refunds", charge=charge["id"], amount=250)
    page.reload()
    expect(page.get_by_text("£2.50 GBP", exact=True)).to_be_visible()
    emulator.clock.advance(days=31)
    page.reload()
    expect(page.get_by_role("heading", name="This link has expired")).to_be_visible()
    assert (page.goto(charge["receipt_url"] + "x") or pytest.fail("no answer")).status == 404


def test_axe_finds_nothing_on_a_phone(page: Page, link: Callable[..., dict[str, Any]]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(link()["url"])
    pay(page, "4000000000000002")
    expect(page.get_by_role("alert")).to_be_visible()
    page.screenshot(path="/tmp/stripe-hosted.png")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

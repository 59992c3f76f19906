"""A payer pays once, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from checkout.journal import Code, Why
from checkout.services import attempt_rows, cards, intents
from example_checkout.models import SalesLedger
from tests.browser.conftest import CHALLENGED, DECLINED, NO_MONEY, PHONE, VISA, Payer
from tests.saved import saved_card

pytestmark = pytest.mark.browser

#: Chromium reports an answer of 402 like a missing picture.
REFUSED_CARD = "status of 402"


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE], ids=["desktop", "phone"])
def test_a_payer_pays_by_card(visitor: Payer, size: Any) -> None:
    visitor.page.set_viewport_size(size)
    sale = visitor.order()
    visitor.page.get_by_role("button", name="Pay now").click()
    expect(visitor.page.get_by_role("heading", name="Pay £85.00")).to_be_visible()
    expect(visitor.page.get_by_text("Pottery for beginners")).to_be_visible()
    visitor.pay(VISA)
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)
    wide = visitor.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size["width"]


def test_a_declined_card_and_then_another_on_the_same_page(visitor: Payer) -> None:
    visitor.expected.append(REFUSED_CARD)
    sale = visitor.begin()
    visitor.pay(DECLINED)
    expect(visitor.alert).to_contain_text("Your card was declined.")
    expect(visitor.alert).to_contain_text("Nothing was taken.")
    expect(visitor.alert).to_be_focused()
    assert visitor.checkout.state_id == "pending"
    visitor.pay(VISA)
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)
    assert (visitor.intents(), visitor.confirms()) == (1, 2)


def test_a_mistake_in_the_form_is_shown_beside_the_field(visitor: Payer) -> None:
    visitor.begin()
    visitor.button.click()
    field = visitor.page.frame_locator("iframe[title='Secure payment input frame']").get_by_label("Card number")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(visitor.alert).to_be_empty()
    expect(visitor.button).not_to_have_attribute("aria-disabled", "true")
    assert visitor.confirms() == 0


def test_the_form_turns_dark_with_the_page_and_has_letters_of_its_size(visitor: Payer) -> None:
    visitor.page.emulate_media(color_scheme="light")
    visitor.begin()
    frame = visitor.page.frame_locator("iframe[title='Secure payment input frame']")
    label, field = frame.get_by_text("Card number"), frame.get_by_label("Card number")
    field.fill("4242")
    for scheme in ("dark", "light"):
        visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        ink = visitor.page.evaluate("getComputedStyle(document.getElementById('checkout-form')).color")
        expect(label).to_have_css("color", ink)
    # What was typed is not lost by it.
    expect(field).to_have_value(re.compile("4242"))
    visitor.page.add_init_script(
        "document.addEventListener('readystatechange', () => { document.documentElement.style.fontSize = '24px' })"
    )
    visitor.page.reload()
    expect(field).to_have_css("font-size", "24px")


def test_the_bank_asks_and_the_payer_passes(visitor: Payer) -> None:
    sale = visitor.begin()
    visitor.pay(CHALLENGED)
    visitor.at_the_bank("Complete authentication")
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_the_payer_fails_at_the_bank_and_tries_again(visitor: Payer) -> None:
    visitor.expected.append(REFUSED_CARD)
    sale = visitor.begin()
    visitor.pay(CHALLENGED)
    visitor.at_the_bank("Fail authentication")
    expect(visitor.alert).to_contain_text("Your bank could not confirm that it was you. Nothing was taken.")
    expect(visitor.alert).to_be_focused()
    assert visitor.emulator.ledger.taken_minor() == 0
    visitor.button.click()
    visitor.at_the_bank("Complete authentication")
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)
    assert visitor.intents() == 1


def test_the_return_page_says_why_and_leads_back_to_the_form(visitor: Payer) -> None:
    visitor.expected.append(REFUSED_CARD)
    sale = visitor.begin()
    visitor.pay(NO_MONEY)
    expect(visitor.alert).to_contain_text("insufficient funds")
    visitor.visit(f"/checkout/{visitor.checkout.uuid}/return/")
    visitor.expect_heading("Not paid")
    expect(visitor.page.get_by_text("There was not enough money available on the card.")).to_be_visible()
    visitor.page.get_by_role("link", name="Try again").click()
    visitor.pay(VISA)
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_a_page_opened_twice_uses_one_intent(visitor: Payer) -> None:
    sale = visitor.begin()
    first = visitor.page.url
    visitor.go_to_payment(sale)
    assert visitor.page.url == first
    visitor.page.reload()
    expect(visitor.button).to_be_visible()
    assert visitor.intents() == 1
    visitor.pay()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_two_tabs_pay_once(visitor: Payer) -> None:
    # The second confirmation is refused, since the intent has succeeded.
    visitor.expected.append("status of 400")
    sale = visitor.begin()
    second = visitor.another_tab()
    second.go_to_payment(sale)
    second.fill()
    visitor.pay()
    visitor.expect_thanks()
    second.button.click()
    second.expect_thanks()
    visitor.expect_paid_once(sale)
    assert visitor.intents() == 1


def test_a_double_click_confirms_once(visitor: Payer) -> None:
    sale = visitor.begin()
    visitor.fill()
    visitor.button.dblclick()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)
    assert visitor.confirms() == 1


def test_back_after_paying_leads_to_the_result(visitor: Payer) -> None:
    sale = visitor.begin()
    visitor.pay()
    visitor.expect_thanks()
    visitor.page.go_back()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_a_page_that_the_browser_kept_alive_is_asked_for_again(visitor: Payer) -> None:
    sale = visitor.begin()
    visitor.emulator.pay(secret_on(visitor))
    visitor.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_without_javascript_the_page_says_what_to_do(visitor: Payer, browser: Any, shop: str) -> None:
    visitor.begin()
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(visitor.page.context.cookies())
    page = context.new_page()
    page.goto(visitor.page.url)
    # Playwright does not look for text inside <noscript>.
    said = page.locator("noscript p")
    expect(said).to_be_visible()
    assert "Entering a card needs JavaScript" in said.inner_text()
    assert "telephone 01632 960 123" in said.inner_text()
    expect(page.locator("#checkout-slow")).to_be_hidden()
    expect(page.get_by_role("button", name=re.compile("^Pay £"))).to_have_count(0)
    context.close()


def test_stripe_js_that_does_not_load_is_told(visitor: Payer) -> None:
    visitor.expected.append("ERR_FAILED")
    sale = visitor.has_ordered()
    visitor.page.route("**/stripe.js", lambda route: route.abort())
    visitor.visit(f"/orders/{sale.pk}/")
    visitor.page.get_by_role("button", name="Pay now").click()
    expect(visitor.alert).to_contain_text("The card form could not be loaded, so nothing was taken.")
    expect(visitor.button).to_have_count(0)
    visitor.expect_accessible()


def test_a_form_that_does_not_load_is_told(visitor: Payer) -> None:
    visitor.expected.append("ERR_FAILED")
    sale = visitor.has_ordered()
    visitor.page.route("**/v1/**", lambda route: route.abort())
    visitor.visit(f"/orders/{sale.pk}/")
    visitor.page.get_by_role("button", name="Pay now").click()
    expect(visitor.alert).to_contain_text("The card form could not be loaded")
    expect(visitor.button).to_have_count(0)


def test_an_answer_that_is_lost_is_looked_up(visitor: Payer) -> None:
    """Stripe takes the money, the browser never hears of it: nobody may read "not charged"."""
    visitor.expected.append("ERR_FAILED")
    sale = visitor.begin()

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    visitor.page.route("**/confirm", lose)
    visitor.pay()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_a_payer_without_a_connection_may_press_again(visitor: Payer) -> None:
    visitor.expected.append("ERR_FAILED")
    sale = visitor.begin()
    visitor.page.route("**/v1/payment_intents/**", lambda route: route.abort())
    visitor.pay()
    expect(visitor.alert).to_contain_text("you cannot be charged twice")
    visitor.page.unroute("**/v1/payment_intents/**")
    visitor.button.click()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_a_lost_session_gets_a_clear_page(visitor: Payer) -> None:
    visitor.expected.append("status of 404")
    visitor.begin()
    visitor.page.context.clear_cookies()
    visitor.page.reload()
    visitor.expect_heading("This page is not open to you")
    visitor.expect_accessible()


def test_a_payment_that_is_processing(visitor: Payer) -> None:
    sale = visitor.begin()
    intent = visitor.emulator.world.tables["payment_intent"].rows[visitor.checkout.payment_intent_id]
    intent["status"] = "processing"
    visitor.page.reload()
    visitor.expect_heading("Your payment is being processed")
    expect(visitor.page.get_by_text("no need to pay again")).to_be_visible()
    visitor.expect_accessible()
    assert visitor.checkout.state_id == "request"
    visitor.page.get_by_role("link", name="Look again").click()
    visitor.expect_heading("Your payment is being processed")
    # The page finds the result by itself.
    intent["status"] = "requires_payment_method"
    visitor.emulator.pay(intent["client_secret"])
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_a_page_with_its_own_success_action(visitor: Payer, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.browser.urls"
    sale = visitor.begin()
    visitor.visit(f"/own/{visitor.checkout.uuid}/")
    visitor.pay()
    back = f"/checkout/{visitor.checkout.uuid}/return/"
    expect(visitor.page.locator("#own-result")).to_have_text(f"Ours went well, and leads to {visitor.base}{back}")
    visitor.visit(back)
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def begin_with_saved_card(visitor: Payer, name: str) -> SalesLedger:
    """Stand before a page that knows a card. Only the page's side: who gets there comes with payment plans."""
    sale = visitor.has_ordered()
    customer = cards.ensure_customer(sale.checkout_email, sale.checkout_name)
    at_stripe = cards.ensure_stripe_customer(customer)
    saved = visitor.as_server(f"/v1/payment_methods/{name}/attach", customer=at_stripe)["id"]
    saved_card(customer, payment_method_id=saved, stripe_customer_id=at_stripe, brand="visa", last4="4242")
    about = {"customer": customer, "stripe_customer_id": at_stripe}
    checkout = intents.ensure_intent(attempt_rows.insert(sale, "payment", None, payment_method_id=saved, **about))
    visitor.remember("checkout_pages", {str(checkout.uuid): ""})
    visitor.visit(f"/pay/{checkout.uuid}/")
    expect(visitor.page.get_by_text("Pay with your saved card")).to_be_visible()
    return sale


def test_the_saved_card_is_offered_first(visitor: Payer) -> None:
    sale = begin_with_saved_card(visitor, "pm_card_visa")
    expect(visitor.page.get_by_text("Visa ending in 4242")).to_be_visible()
    expect(visitor.page.locator("iframe")).to_have_count(0)
    visitor.expect_accessible()
    visitor.button.click()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_the_bank_asks_about_the_saved_card(visitor: Payer) -> None:
    sale = begin_with_saved_card(visitor, "pm_card_authenticationRequired")
    visitor.button.click()
    visitor.at_the_bank("Complete authentication")
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_another_card_than_the_saved_one(visitor: Payer) -> None:
    visitor.expected.append(REFUSED_CARD)
    sale = begin_with_saved_card(visitor, "pm_card_chargeCustomerFail")
    visitor.button.click()
    expect(visitor.alert).to_contain_text("declined")
    visitor.page.get_by_role("button", name="Use another card").click()
    expect(visitor.page.get_by_text("Pay with your saved card")).to_have_count(0)
    visitor.pay()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def test_with_the_keyboard_alone(visitor: Payer) -> None:
    sale = visitor.begin()
    page = visitor.page
    press_until(page, lambda: page.evaluate("document.activeElement.tagName") == "IFRAME")
    for text in [VISA, "1234", "123"]:
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("SW1A 1AA")
    press_until(page, lambda: page.evaluate("document.activeElement.id") == "checkout-submit")
    page.keyboard.press("Enter")
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)


def press_until(page: Page, reached: Any) -> None:
    for _ in range(30):
        if reached():
            return
        page.keyboard.press("Tab")
    raise AssertionError("The Tab key never gets there.")


def secret_on(visitor: Payer) -> str:
    secret: str = visitor.page.evaluate(
        "JSON.parse(document.getElementById('checkout-elements-config').textContent).clientSecret"
    )
    return secret


def test_a_payment_that_another_attempt_replaced(visitor: Payer) -> None:
    visitor.expected.append("status of 400")
    sale = visitor.begin()
    visitor.fill()
    intents.close(visitor.checkout, why=Why(Code.REPLACED), superseded=True)
    visitor.button.click()
    visitor.expect_heading("This page is out of date")
    visitor.expect_accessible()
    visitor.page.get_by_role("link", name="Go back").click()
    visitor.page.wait_for_url(f"**/orders/{sale.pk}/")
    assert SalesLedger.objects.get().status == SalesLedger.Status.OPEN

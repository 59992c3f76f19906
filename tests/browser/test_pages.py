"""Every page, as it looks to axe and on narrow screens. The browser must not complain on any of them either."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.urls import reverse
from playwright.sync_api import expect

from checkout import links
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlan, PaymentPlan
from checkout.services import charging, ending, fulfillment, intents, requests
from example_checkout.models import Contact, Product, SalesLedger
from stripe_emulator import faults
from tests.browser.conftest import DECLINED, Payer

pytestmark = pytest.mark.browser

Prepare = Callable[[Payer], None]
PAYER_PAGES: dict[str, Prepare] = {}
SHOP_PAGES: dict[str, Prepare] = {}


def page_of(pages: dict[str, Prepare]) -> Callable[[Prepare], Prepare]:
    def register(prepare: Prepare) -> Prepare:
        pages[prepare.__name__] = prepare
        return prepare

    return register


# -- the app's pages -----------------------------------------------------------------------------------


def result(visitor: Payer, heading: str) -> None:
    visitor.visit(f"/checkout/{visitor.checkout.uuid}/return/")
    visitor.expect_heading(heading)


@page_of(PAYER_PAGES)
def pay(visitor: Payer) -> None:
    visitor.begin()


@page_of(PAYER_PAGES)
def pay_declined(visitor: Payer) -> None:
    visitor.begin()
    visitor.pay(DECLINED)
    expect(visitor.alert).not_to_be_empty()


@page_of(PAYER_PAGES)
def return_unpaid(visitor: Payer) -> None:
    visitor.begin()
    result(visitor, "Not paid")


@page_of(PAYER_PAGES)
def return_failed(visitor: Payer) -> None:
    visitor.begin()
    intents.close(visitor.checkout, why=Why(Code.PAGE_LEFT))
    result(visitor, "Not paid")


@page_of(PAYER_PAGES)
def return_superseded(visitor: Payer) -> None:
    visitor.begin()
    intents.close(visitor.checkout, why=Why(Code.REPLACED), superseded=True)
    result(visitor, "This page is out of date")


@page_of(PAYER_PAGES)
def return_processing(visitor: Payer) -> None:
    visitor.begin()
    visitor.emulator.world.tables["payment_intent"].rows[visitor.checkout.payment_intent_id]["status"] = "processing"
    result(visitor, "Your payment is being processed")


@page_of(PAYER_PAGES)
def return_checking(visitor: Payer) -> None:
    visitor.begin()
    visitor.emulator.weather.add(faults.LostBefore(), path="GET /v1/payment_intents", times=None)
    result(visitor, "We are checking your payment")


@page_of(PAYER_PAGES)
def problem_not_open(visitor: Payer) -> None:
    visitor.visit("/pay/00000000-0000-0000-0000-000000000000/")
    visitor.expect_heading("This page is not open to you")


@page_of(PAYER_PAGES)
def problem_no_answer(visitor: Payer) -> None:
    sale = visitor.has_ordered()
    visitor.emulator.weather.add(faults.LostAfter(), path="POST /v1/payment_intents", times=1)
    visitor.visit(f"/orders/{sale.pk}/")
    visitor.page.get_by_role("button", name="Pay now").click()
    visitor.expect_heading("We could not reach the payment service")


@page_of(PAYER_PAGES)
def save_card(visitor: Payer) -> None:
    sale = visitor.has_ordered()
    sale.product.on_plan = True
    sale.product.save()
    checkout = Checkout.objects.create_checkout("payment_plan", sale)
    visitor.remember("checkout_pages", {str(checkout.uuid): ""})
    visitor.visit(f"/pay/{checkout.uuid}/")
    expect(visitor.page.get_by_role("button", name="Save card")).to_be_visible()


# -- the shop's pages ----------------------------------------------------------------------------------


@page_of(SHOP_PAGES)
def home(visitor: Payer) -> None:
    visitor.visit("/")


@page_of(SHOP_PAGES)
def product(visitor: Payer) -> None:
    visitor.visit("/courses/pottery/")


@page_of(SHOP_PAGES)
def product_with_a_mistake(visitor: Payer) -> None:
    visitor.visit("/courses/pottery/")
    visitor.page.get_by_label("Name").fill("Alex")
    visitor.page.get_by_label("E-mail").fill("alex@nowhere")
    visitor.page.get_by_role("button", name="Order").click()
    expect(visitor.page.get_by_text("Enter a valid email address.")).to_be_visible()


@page_of(SHOP_PAGES)
def order(visitor: Payer) -> None:
    visitor.visit(f"/orders/{visitor.has_ordered().pk}/")


@page_of(SHOP_PAGES)
def order_paid(visitor: Payer) -> None:
    sale = visitor.has_ordered()
    SalesLedger.objects.update(status=SalesLedger.Status.PAID)
    visitor.visit(f"/orders/{sale.pk}/")


@page_of(SHOP_PAGES)
def thank_you(visitor: Payer) -> None:
    sale = visitor.has_ordered()
    SalesLedger.objects.update(status=SalesLedger.Status.PAID)
    visitor.visit(f"/orders/{sale.pk}/thank-you/")


@page_of(SHOP_PAGES)
def log_in(visitor: Payer) -> None:
    visitor.visit("/log-in/?next=/orders/")


@page_of(SHOP_PAGES)
def log_in_refused(visitor: Payer) -> None:
    visitor.visit("/log-in/")
    visitor.page.get_by_label("Username").fill("nobody")
    visitor.page.get_by_label("Password").fill("nothing")
    visitor.page.get_by_role("button", name="Log in").click()
    expect(visitor.page.get_by_text("Please enter a correct username")).to_be_visible()


@page_of(SHOP_PAGES)
def mails(visitor: Payer) -> None:
    visitor.begin()
    visitor.pay()
    visitor.expect_thanks()
    visitor.visit("/mails/")
    expect(visitor.page.get_by_role("heading", name="Paid: £85.00")).to_be_visible()


@page_of(SHOP_PAGES)
def not_found(visitor: Payer) -> None:
    visitor.visit("/courses/alchemy/")


def look_at(visitor: Payer) -> None:
    visitor.expect_accessible()
    # Nothing to scroll sideways: on the narrowest phone, with letters twice as large, and on a desk.
    for width, letters in ((320, "100%"), (390, "200%"), (1280, "100%")):
        visitor.page.set_viewport_size({"width": width, "height": 800})
        visitor.page.evaluate("size => document.documentElement.style.setProperty('font-size', size)", letters)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width, (width, letters)
    visitor.page.emulate_media(color_scheme="dark")
    visitor.expect_accessible()


#: What these pages' own answers are; Chromium calls each an error.
ANSWERS = ["status of 402", "status of 404", "status of 409", "status of 422", "status of 503"]


#: On the app's own plain page every variant is looked at; inside the shop, one of each kind.
PLACES = [(name, "checkout/base.html") for name in PAYER_PAGES]
PLACES += [(name, "example/base.html") for name in ("pay", "return_unpaid", "problem_not_open")]


@pytest.mark.parametrize(("name", "base"), PLACES)
def test_payer_page(visitor: Payer, settings: Any, name: str, base: str) -> None:
    settings.CHECKOUT_BASE_TEMPLATE = base
    visitor.expected += ANSWERS
    PAYER_PAGES[name](visitor)
    look_at(visitor)
    assert small_targets(visitor) == []


def small_targets(visitor: Payer) -> list[str]:
    """What is hard to hit with a thumb."""
    found: list[str] = visitor.page.evaluate(
        "[...document.querySelectorAll('.checkout a, .checkout button:not([hidden])')]"
        ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 44).map(e => e.textContent)"
    )
    return found


@pytest.mark.parametrize("name", SHOP_PAGES)
def test_shop_page(visitor: Payer, settings: Any, name: str) -> None:
    # Errors have pages of their own without DEBUG only, mails can be read by everybody with it only.
    settings.DEBUG = name in {"home", "log_in", "mails"}
    visitor.expected += ANSWERS
    SHOP_PAGES[name](visitor)
    look_at(visitor)


def test_my_orders(visitor: Payer, payer: Any) -> None:
    Contact.objects.create(name="Pat Payer", email=payer.email, user=payer)
    visitor.visit("/orders/")
    visitor.page.get_by_role("main").get_by_role("link", name="Log in").click()
    visitor.page.get_by_label("Username").fill("payer")
    visitor.page.get_by_label("Password").fill("payer")
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.expect_heading("My orders")
    look_at(visitor)
    sale = visitor.order()
    visitor.visit("/orders/")
    expect(visitor.page.get_by_text("To pay")).to_be_visible()
    look_at(visitor)
    visitor.visit(f"/orders/{sale.pk}/")
    visitor.page.get_by_role("button", name="Pay now").click()
    visitor.pay()
    visitor.expect_thanks()
    visitor.expect_paid_once(sale)
    assert visitor.checkout.user == payer


def test_our_javascript_is_small() -> None:
    names = ["checkout/elements.js", "checkout/status.js"]
    scripts = b"".join(Path(str(finders.find(name))).read_bytes() for name in names)
    assert len(gzip.compress(scripts)) < 5_000


def test_pages_of_a_plan(visitor: Payer, payer: Any, settings: Any) -> None:
    """From choosing to a card that has expired: every page, seen by its payer, in one visit."""
    settings.CHECKOUT_BASE_TEMPLATE = "checkout/base.html"
    visitor.expected += ANSWERS
    plan, unpaid = _a_plan_in_trouble(visitor, payer)
    choose = f"/orders/{unpaid.pk}/how-to-pay/"
    failed, asked = plan.payments.filter(state="fail").get(), plan.payments.filter(state="request").get()
    request = requests.create(email=payer.email, name="Pat Payer", description="Exam fee", total=Decimal(25))
    card_page = reverse("checkout.card.refresh.plan", args=[plan.uuid])
    addresses = {
        choose: "How do you want to pay?",
        f"{choose}?payment_plan=half": "Pay in instalments: Half now",
        reverse("checkout.pay.on.session", args=[failed.uuid]): "Pay £10.62",
        reverse("checkout.pay.on.session", args=[asked.uuid]): "Pay £10.62",
        reverse("checkout.plan.progress", args=[plan.uuid]): "Your payments",
        reverse("checkout.plan.list"): "Your payment plans",
        card_page: "Your new card",
        reverse("checkout.card.refresh"): "Which payment plan?",
        requests.payer_path(request): "Pay £25.00",
        links.invoice_form(unpaid): "Pay by invoice",
        reverse("checkout.pay.link", args=["cut-off"]): "This link does not work",
    }
    for address, heading in addresses.items():
        visitor.page.emulate_media(color_scheme="light")
        visitor.visit(address)
        visitor.expect_heading(heading)
        if address == card_page:
            look_at(visitor)
            visitor.page.get_by_role("button", name="Enter the new card").click()
            expect(visitor.page.get_by_role("button", name="Save card")).to_be_visible()
        look_at(visitor)
        assert small_targets(visitor) == []


def _a_plan_in_trouble(visitor: Payer, payer: Any) -> tuple[ObjectPaymentPlan, SalesLedger]:
    """The payer is logged in; one line was declined, Stripe has not answered about another. And a second plan, and an
    order that is not paid yet."""
    template = PaymentPlan.objects.create_payment_plan("half", "Half now", 50, 4, 1)
    Product.objects.update(on_plan=True)
    contact = Contact.objects.create(name="Pat Payer", email=payer.email, user=payer)
    sales = [SalesLedger.objects.create(contact=contact, product=Product.objects.get(slug="pottery")) for _ in range(3)]
    for sale in sales[:2]:
        setup = Checkout.objects.create_checkout("payment_plan", sale, payer, payment_plan=template)
        visitor.emulator.pay(gateway().retrieve_setup_intent(setup.setup_intent_id).client_secret)
        fulfillment.fulfill(setup)
    plan = ObjectPaymentPlan.objects.for_content_object(sales[0])
    line, next_line = plan.payments.filter(state="pending")[:2]
    ending.fail(charging.claim(line), why=Why(Code.CARD_DECLINED), error_code="insufficient_funds")
    charging.claim(next_line)
    visitor.visit("/log-in/")
    visitor.page.get_by_label("Username").fill("payer")
    visitor.page.get_by_label("Password").fill("payer")
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.page.wait_for_url(f"{visitor.base}/")
    return plan, sales[2]

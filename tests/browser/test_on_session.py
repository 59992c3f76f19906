"""The bank requires the payer: from the mail to the payment, in a real browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Page, expect
from post_office.models import Email

from checkout import clock, mail, states
from checkout.gateway import gateway
from checkout.models import Checkout, Customer, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.services import fulfillment, intents, plans, runs
from example_checkout.models import Contact, Product, SalesLedger
from stripe_emulator import Emulator
from tests.browser.conftest import BANK, PHONE, VISA, Payer

pytestmark = pytest.mark.browser

#: Can be saved with the bank's check, and wants it again for every charge.
ALWAYS_ASKS = "4000002760003184"
MASTERCARD = "5555555555554444"
#: Chromium reports an answer of 402 like a missing picture.
REFUSED_CARD = "status of 402"


@dataclass
class Debt:
    """A plan with its deposit paid, and the instalment that a run has just tried."""

    plan: ObjectPaymentPlan
    line: ObjectPaymentPlanInstalment

    def state(self) -> str:
        self.line.refresh_from_db()
        return self.line.state_id or ""

    def taken(self, emulator: Emulator) -> list[int]:
        """What Stripe really took for this instalment, charge by charge."""
        ids = Checkout.objects.for_content_object(self.line).exclude(payment_intent_id="")
        intents = set(ids.values_list("payment_intent_id", flat=True))
        return [c["amount"] for c in emulator.ledger.charges(succeeded=True) if c["payment_intent"] in intents]


def owe(emulator: Emulator, number: str = ALWAYS_ASKS, user: Any = None, *, declined: str = "") -> Debt:
    """A course on a plan; the run has tried the first instalment."""
    mail.install()
    product = Product.objects.get(slug="pottery")
    Product.objects.filter(pk=product.pk).update(on_plan=True)
    contact = Contact.objects.create(name="Alex Example", email="alex@example.com", user=user)
    sale = SalesLedger.objects.create(contact=contact, product=product)
    sale.refresh_from_db()
    template = PaymentPlan.objects.create_payment_plan("half", "Half now", 50, 2, 1)
    setup = Checkout.objects.create_checkout("payment_plan", sale, user, payment_plan=template)
    emulator.pay(gateway().retrieve_setup_intent(setup.setup_intent_id).client_secret, number=number)
    fulfillment.fulfill(setup)
    plan = ObjectPaymentPlan.objects.get()
    deposit = plans.deposit_of(plan)
    if deposit.state_id == states.PAY_ON_SESSION:
        attempt = Checkout.objects.create_checkout_pay_on_session(deposit)
        page = intents.page(attempt)
        emulator.pay(page.client_secret, number=page.payment_method_id)
        fulfillment.fulfill(attempt)
    if declined:
        emulator.bank.decline_next(ObjectPaymentPlan.objects.get().card.payment_method_id, declined)
    line = plans.testing_set_pending_instalment_due(plan)
    runs.process_payments(workers=1)
    line.refresh_from_db()
    return Debt(plan, line)


def path_in_mail() -> str:
    """Send what is to be sent; the path of the link in the one mail."""
    assert ObjectPaymentPlanInstalment.objects.send_on_session_payment_emails() == 1
    assert ObjectPaymentPlanInstalment.objects.send_on_session_payment_emails() == 0
    message = Email.objects.filter(template__name__contains="on_session").get().message
    found = re.search(r"https?://\S+/checkout/\S+", message)
    assert found is not None, message
    return urlsplit(found.group()).path


def press(visitor: Payer) -> None:
    """The one button between the mail and the bank."""
    visitor.page.get_by_role("button", name="Pay £21.25 now with Visa ending in 3184").click()


def expect_progress(visitor: Payer) -> None:
    visitor.page.wait_for_url("**/checkout/plans/**")
    visitor.expect_heading("Your payments")
    expect(visitor.page.get_by_text("Your bank requires you to confirm it")).to_have_count(0)


def test_by_link_on_a_phone_with_the_banks_check(visitor: Payer, emulator: Emulator) -> None:
    visitor.page.set_viewport_size(PHONE)
    debt = owe(emulator)
    assert debt.state() == states.PAY_ON_SESSION
    visitor.visit(path_in_mail())
    visitor.expect_heading("Pay £21.25")
    expect(visitor.page.get_by_text("Pottery for beginners")).to_be_visible()
    visitor.expect_accessible()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    press(visitor)
    visitor.at_the_bank("Complete authentication")
    expect_progress(visitor)
    visitor.expect_accessible()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert debt.state() == states.SUCCESS
    assert debt.taken(emulator) == [2125]


def test_with_a_login(visitor: Payer, emulator: Emulator) -> None:
    user = get_user_model().objects.create_user("alex", "alex@example.com", "alex", last_login=clock.now())
    debt = owe(emulator, user=user)
    visitor.visit(path_in_mail())
    visitor.page.get_by_label("Username").fill("alex")
    visitor.page.get_by_label("Password").fill("alex")
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.expect_heading("Pay £21.25")
    press(visitor)
    visitor.at_the_bank("Complete authentication")
    expect_progress(visitor)
    assert debt.state() == states.SUCCESS
    assert debt.taken(emulator) == [2125]


def test_the_check_fails_and_passes_the_second_time(visitor: Payer, emulator: Emulator) -> None:
    visitor.expected.append(REFUSED_CARD)
    debt = owe(emulator)
    intents = visitor.intents()
    visitor.visit(path_in_mail())
    press(visitor)
    visitor.at_the_bank("Fail authentication")
    expect(visitor.alert).to_contain_text("Your bank could not confirm that it was you. Nothing was taken.")
    assert (debt.state(), debt.taken(emulator)) == (states.PAY_ON_SESSION, [])
    visitor.button.click()
    visitor.at_the_bank("Complete authentication")
    expect_progress(visitor)
    assert debt.taken(emulator) == [2125]
    assert visitor.intents() == intents


def test_another_card(visitor: Payer, emulator: Emulator) -> None:
    debt = owe(emulator)
    visitor.visit(path_in_mail())
    visitor.page.get_by_role("button", name="Use another card").click()
    visitor.pay(MASTERCARD)
    expect_progress(visitor)
    assert debt.taken(emulator) == [2125]
    assert ObjectPaymentPlan.objects.get().card.last4 == "4444"


def test_the_link_is_used_twice(visitor: Payer, emulator: Emulator) -> None:
    debt = owe(emulator)
    path = path_in_mail()
    second = visitor.another_tab()
    visitor.visit(path)
    press(visitor)
    visitor.page.wait_for_url("**/pay/")
    second.page.goto(visitor.page.url)
    expect(second.button).to_be_visible()
    visitor.at_the_bank("Complete authentication")
    expect_progress(visitor)
    second.expected.append("status of 400")
    second.button.click()
    expect_progress(second)
    second.visit(path)
    second.expect_heading("This has been paid already")
    assert debt.taken(emulator) == [2125]


def test_the_page_is_left_at_the_bank_and_opened_again(visitor: Payer, emulator: Emulator) -> None:
    debt = owe(emulator)
    path = path_in_mail()
    visitor.visit(path)
    press(visitor)
    expect(visitor.page.frame_locator(BANK).get_by_role("button").first).to_be_visible()
    visitor.visit(path)
    press(visitor)
    visitor.at_the_bank("Complete authentication")
    expect_progress(visitor)
    assert debt.taken(emulator) == [2125]


def test_another_card_when_the_bank_has_refused(visitor: Payer, emulator: Emulator) -> None:
    visitor.expected.append(REFUSED_CARD)
    debt = owe(emulator)
    visitor.visit(path_in_mail())
    press(visitor)
    visitor.at_the_bank("Fail authentication")
    visitor.page.get_by_role("button", name="Use another card").click()
    visitor.pay(MASTERCARD)
    expect_progress(visitor)
    assert debt.taken(emulator) == [2125]


def log_in(page: Page, base: str) -> None:
    page.goto(f"{base}/log-in/")
    page.get_by_label("Username").fill("alex")
    page.get_by_label("Password").fill("alex")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{base}/")


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE], ids=["desktop", "phone"])
def test_a_new_card_and_the_instalment_that_had_failed(visitor: Payer, emulator: Emulator, size: Any) -> None:
    visitor.page.set_viewport_size(size)
    user = get_user_model().objects.create_user("alex", "alex@example.com", "alex")
    debt = owe(emulator, VISA, user, declined="expired_card")
    assert debt.state() == states.FAIL
    log_in(visitor.page, visitor.base)
    visitor.visit(f"/checkout/plans/{debt.plan.uuid}/")
    expect(visitor.page.get_by_text("Could not be taken")).to_be_visible()
    visitor.expect_accessible()
    visitor.page.get_by_role("link", name="Enter a new card").click()
    visitor.page.get_by_role("button", name="Enter the new card").click()
    visitor.fill(MASTERCARD)
    visitor.expect_accessible()
    visitor.page.get_by_role("button", name="Save card and pay £21.25").click()
    visitor.page.wait_for_url("**/checkout/plans/**")
    expect(visitor.page.get_by_text("Mastercard ending in 4444")).to_be_visible()
    expect(visitor.page.get_by_text("your new card is saved, and £21.25 was taken from it.")).to_be_visible()
    visitor.expect_accessible()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert debt.state() == states.SUCCESS
    assert debt.taken(emulator) == [2125]
    assert not Customer.objects.get().refresh

"""The payer's own page, by the link of a letter and without a login, on a phone."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from playwright.sync_api import expect
from post_office.models import Email

from checkout import clock, links, mail, states
from checkout.models import ObjectPaymentPlan
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.browser.conftest import PHONE, VISA, Payer
from tests.browser.test_on_session import MASTERCARD, Debt, owe

pytestmark = pytest.mark.browser


@pytest.fixture
def phone(visitor: Payer) -> Payer:
    visitor.page.set_viewport_size(PHONE)
    return visitor


def open_plan(phone: Payer, plan: ObjectPaymentPlan) -> None:
    phone.visit(urlsplit(links.plan_page(plan)).path)
    phone.expect_heading("Your payments")
    fits(phone)


def fits(phone: Payer) -> None:
    phone.expect_accessible()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def told(phone: Payer, text: str) -> None:
    phone.page.wait_for_url("**/checkout/plans/**")
    expect(phone.page.get_by_text(text)).to_be_visible()


def taken(emulator: Emulator) -> int:
    return sum(charge["amount"] for charge in emulator.ledger.charges(succeeded=True))


def test_the_next_payment(phone: Payer, emulator: Emulator) -> None:
    debt = owe(emulator, VISA)
    assert debt.state() == states.SUCCESS
    before = taken(emulator)
    open_plan(phone, debt.plan)
    expect(phone.page.get_by_text("Next: £21.25")).to_be_visible()
    phone.page.get_by_role("link", name="Pay it now").click()
    fits(phone)
    phone.page.get_by_role("button", name="Pay £21.25 now with Visa ending in 4242").click()
    told(phone, "Thank you, £21.25 was paid.")
    assert taken(emulator) == before + 2125


def test_a_part_and_then_all_that_is_left(phone: Payer, emulator: Emulator) -> None:
    debt = owe(emulator, VISA, declined="insufficient_funds")
    before = taken(emulator)
    open_plan(phone, debt.plan)
    phone.page.get_by_role("link", name="Pay all that is left, or a part of it").click()
    phone.expect_heading("Pay £42.50 now")
    phone.page.get_by_label("Another amount, up to £42.50").fill("30")
    phone.page.get_by_role("button", name="Show what it pays").click()
    phone.expect_heading("Pay £30.00 now")
    fits(phone)
    phone.page.get_by_role("button", name="Pay £30.00 now with Visa ending in 4242").click()
    told(phone, "Thank you, £30.00 was paid.")
    phone.page.get_by_role("link", name="Pay all that is left, or a part of it").click()
    phone.expect_heading("Pay £12.50 now")
    phone.page.get_by_role("button", name="Use another card").click()
    phone.pay(MASTERCARD)
    told(phone, "Everything is paid")
    fits(phone)
    assert taken(emulator) == before + 4250
    assert {line.state_id for line in debt.plan.payments} == {states.SUCCESS}


def test_a_declined_card_is_replaced_and_the_payment_made_with_the_new_one(phone: Payer, emulator: Emulator) -> None:
    debt = owe(emulator, VISA, declined="insufficient_funds")
    open_plan(phone, debt.plan)
    expect(phone.page.get_by_text("There was not enough money available on the card.")).to_be_visible()
    phone.page.get_by_role("link", name="Enter a new card").click()
    fits(phone)
    phone.page.get_by_role("button", name="Enter the new card").click()
    phone.fill(MASTERCARD)
    phone.page.get_by_role("button", name="Save card and pay £21.25").click()
    told(phone, "Thank you, your new card is saved, and £21.25 was taken from it.")
    assert_paid(debt, emulator)


def test_a_declined_card_is_not_offered_first(phone: Payer, emulator: Emulator) -> None:
    debt = owe(emulator, VISA, declined="insufficient_funds")
    open_plan(phone, debt.plan)
    phone.page.get_by_role("link", name="Pay £21.25").click()
    expect(phone.page.get_by_text("This could not be taken from Visa ending in 4242. There was not")).to_be_visible()
    fits(phone)
    phone.page.get_by_role("button", name="Pay with another card").click()
    phone.pay(MASTERCARD)
    told(phone, "Thank you, £21.25 was paid.")
    assert_paid(debt, emulator)


def test_a_link_that_has_expired_is_asked_for_anew_and_the_one_in_the_mail_opens_the_plan(
    phone: Payer, emulator: Emulator
) -> None:
    mail.install()
    debt = owe(emulator, VISA)
    with time_machine.travel(clock.now() - timedelta(days=15)):
        old = urlsplit(links.plan_page(debt.plan)).path
    phone.expected.append("status of 410")
    phone.visit(old)
    phone.expect_heading("This link has expired")
    fits(phone)
    phone.page.get_by_role("button", name="Send me a new link").click()
    phone.expect_heading("A new link is on its way")
    fits(phone)
    writing.write_waiting()
    letter = Email.objects.get(template__name="plan_link")
    assert letter.to == [debt.plan.customer.email]
    phone.visit(re.findall(r"https?://[^/\s]+(/checkout/plan/\S+)", letter.message)[0])
    phone.expect_heading("Your payments")
    expect(phone.page.get_by_role("link", name="Enter a new card")).to_be_visible()


def assert_paid(debt: Debt, emulator: Emulator) -> None:
    assert debt.state() == states.SUCCESS
    assert debt.taken(emulator) == [2125]
    assert ObjectPaymentPlan.objects.get().card.last4 == "4444"

"""A payer picks instalments, agrees, saves a card with the bank's check; the deposit and the next part are taken."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import expect

from checkout.gateway import gateway
from checkout.models import Agreement, Checkout, ObjectPaymentPlan, PaymentPlan
from checkout.services import charging, plans, settling
from example_checkout import views as shop_views
from example_checkout.models import Contact, Product, SalesLedger
from tests.browser.conftest import PHONE, VISA, Payer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ASKS_AT_SET_UP = "4000002500003155"
DECLINED = "4000000000000002"
REFUSED_CARD = "status of 402"
SAVES_THEN_DECLINES = "4000008260003178"
ALWAYS_ASKS = "4000002760003184"


@pytest.fixture
def sale(visitor: Payer) -> SalesLedger:
    """Something that may be paid in parts, ordered in the visitor's browser."""
    PaymentPlan.objects.create_payment_plan("four", "Deposit and four instalments", 20, 4, 1)
    product = Product.objects.create(slug="diploma", name="Diploma", price=Decimal(1050), on_plan=True, when="Soon")
    made = SalesLedger.objects.create(
        contact=Contact.objects.create(name="Alex Example", email="alex@example.com"), product=product
    )
    visitor.remember(shop_views.SESSION_KEY, [made.pk])
    return made


@pytest.fixture
def card_first(settings: Any) -> None:
    """The site saves the card before it charges the deposit."""
    settings.CHECKOUT_DEPOSIT_WITH_CARD = False


def agree(visitor: Payer, sale: SalesLedger) -> None:
    """From the order to the card form."""
    page = visitor.page
    visitor.visit(f"/orders/{sale.pk}/")
    page.get_by_role("link", name="Choose how to pay").click()
    visitor.expect_heading("How do you want to pay?")
    expect(page.get_by_role("table", name="Every payment").get_by_role("row")).to_have_count(7)
    visitor.expect_accessible()
    page.get_by_role("link", name="Choose Deposit and four instalments").click()
    visitor.expect_heading("Pay in instalments: Deposit and four instalments")
    visitor.expect_accessible()
    page.get_by_label("I have read this and I agree").check()
    page.get_by_role("button", name="Agree and go on to your card").click()
    expect(save_button(visitor)).to_be_visible()


def save_button(visitor: Payer):  # type: ignore[no-untyped-def]
    return visitor.page.get_by_role("button", name=re.compile("(Save card and pay £210.00|Pay £210.00 now)"))


def save(visitor: Payer, number: str) -> None:
    visitor.fill(number)
    save_button(visitor).click()


def taken(visitor: Payer) -> int:
    return visitor.emulator.ledger.taken_minor(currency="gbp")


@pytest.mark.parametrize("size", [None, PHONE])
def test_from_the_dates_to_the_next_instalment(visitor: Payer, sale: SalesLedger, size: dict[str, int] | None) -> None:
    if size:
        visitor.page.set_viewport_size(size)
    agree(visitor, sale)
    visitor.expect_accessible()
    save(visitor, ASKS_AT_SET_UP)
    visitor.at_the_bank("Complete authentication")
    visitor.expect_thanks()
    assert taken(visitor) == 21000
    # The bank was met once, and nothing is asked for twice.
    assert len(visitor.emulator.world.tables["payment_intent"]) == 1
    assert not visitor.emulator.world.tables["setup_intent"]
    plan = ObjectPaymentPlan.objects.get()
    assert [str(line.amount.normalize()) for line in plan.payments] == ["2.1E+2"] * 5
    call_command("testing_set_pending_instalment_due", plan.pk)
    call_command("process_payments")
    assert taken(visitor) == 42000
    assert [line.state_id for line in plan.payments] == ["success", "success", "pending", "pending", "pending"]
    agreement = Agreement.objects.get()
    assert re.search(r"£1,050\.00 in all", agreement.text)
    sale.refresh_from_db()
    assert sale.status == SalesLedger.Status.ON_PLAN


def test_the_box_has_to_be_ticked(visitor: Payer, sale: SalesLedger) -> None:
    visitor.visit(f"/orders/{sale.pk}/how-to-pay/?payment_plan=four")
    button = visitor.page.get_by_role("button", name="Agree and go on to your card")
    button.click()
    # The browser itself asks for the tick; nothing was sent.
    expect(button).to_be_visible()
    assert not Checkout.objects.exists()


def test_a_refused_check_can_be_tried_again(visitor: Payer, sale: SalesLedger) -> None:
    agree(visitor, sale)
    save(visitor, ASKS_AT_SET_UP)
    visitor.at_the_bank("Fail authentication")
    expect(visitor.alert).to_contain_text("Your bank could not confirm that it was you.")
    assert not ObjectPaymentPlan.objects.exists()
    save(visitor, VISA)
    visitor.expect_thanks()
    assert taken(visitor) == 21000


def test_a_declined_deposit_begins_nothing_and_is_paid_on_the_same_page(visitor: Payer, sale: SalesLedger) -> None:
    visitor.expected.append(REFUSED_CARD)
    agree(visitor, sale)
    expect(visitor.page.get_by_text("Your card is saved with it for the instalments")).to_be_visible()
    save(visitor, DECLINED)
    expect(visitor.alert).to_contain_text("declined")
    assert not ObjectPaymentPlan.objects.exists()
    save(visitor, ALWAYS_ASKS)
    visitor.at_the_bank("Complete authentication")
    visitor.expect_thanks()
    assert taken(visitor) == 21000
    assert ObjectPaymentPlan.objects.get().payment_count == 5


@pytest.mark.usefixtures("card_first")
def test_a_declined_deposit_is_paid_with_another_card_in_the_same_visit(visitor: Payer, sale: SalesLedger) -> None:
    agree(visitor, sale)
    save(visitor, SAVES_THEN_DECLINES)
    visitor.at_the_bank("Complete authentication")
    visitor.expect_heading("The deposit was not taken")
    visitor.expect_accessible()
    visitor.page.get_by_role("button", name="Pay £210.00 with another card").click()
    expect(visitor.button).to_be_visible()
    visitor.pay(VISA)
    visitor.page.wait_for_url("**/checkout/plans/**")
    assert taken(visitor) == 21000
    plan = ObjectPaymentPlan.objects.get()
    assert plan.payment_count == 5
    assert plan.customer is not None
    assert plan.card.last4 == "4242"


@pytest.mark.usefixtures("card_first")
def test_a_bank_that_requires_the_payer_for_the_deposit_is_met_on_the_same_visit(
    visitor: Payer, sale: SalesLedger
) -> None:
    agree(visitor, sale)
    save(visitor, ALWAYS_ASKS)
    visitor.at_the_bank("Complete authentication")
    expect(visitor.button).to_be_visible()
    visitor.button.click()
    visitor.at_the_bank("Complete authentication")
    visitor.page.wait_for_url("**/checkout/plans/**")
    assert taken(visitor) == 21000
    assert ObjectPaymentPlan.objects.get().payment_count == 5


@dataclass
class Ending:
    """How the bank answers about the deposit, and what the payer who waits then sees."""

    card: str
    expect: Callable[[Payer], None]
    taken: int


def expect_declined(visitor: Payer) -> None:
    visitor.expect_heading("The deposit was not taken")
    expect(visitor.page.get_by_role("button", name="Pay £210.00 with another card")).to_be_visible()


def expect_to_confirm(visitor: Payer) -> None:
    expect(visitor.page.get_by_text("Your bank requires you to confirm this payment yourself")).to_be_visible()
    visitor.button.click()
    visitor.at_the_bank("Complete authentication")
    visitor.page.wait_for_url("**/checkout/plans/**")


@pytest.mark.parametrize(
    "ending",
    [
        Ending(VISA, Payer.expect_thanks, 21000),
        Ending(SAVES_THEN_DECLINES, expect_declined, 0),
        Ending(ALWAYS_ASKS, expect_to_confirm, 21000),
    ],
    ids=["success", "fail", "pay_on_session"],
)
def test_the_page_waits_while_the_webhook_takes_the_deposit_and_then_goes_on(
    visitor: Payer, sale: SalesLedger, ending: Ending
) -> None:
    """The webhook was a moment faster than the payer's return: it has claimed the deposit, and asks Stripe."""
    setup = Checkout.objects.create_checkout("payment_plan", sale, payment_plan=PaymentPlan.objects.get())
    secret = gateway().retrieve_setup_intent(setup.setup_intent_id).client_secret
    visitor.emulator.pay(secret, number=ending.card)
    settling.settle(setup.pk, gateway().retrieve_setup_intent(setup.setup_intent_id))
    claimed = charging.claim(plans.deposit_of(ObjectPaymentPlan.objects.get()))
    visitor.remember("checkout_pages", {str(setup.uuid): ""})
    visitor.visit(f"/checkout/{setup.uuid}/return/")
    visitor.expect_heading("Your card is saved")
    expect(visitor.page.get_by_role("status")).to_have_text("This page looks again by itself.")
    visitor.expect_accessible()
    charging.settle(claimed, charging.ask(charging.request_for(claimed)))
    ending.expect(visitor)
    assert taken(visitor) == ending.taken

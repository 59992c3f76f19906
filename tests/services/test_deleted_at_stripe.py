"""A payer who was deleted at Stripe without our hearing of it, and one whose making there was not answered."""

from __future__ import annotations

from typing import Any

import pytest

from checkout import errors, states
from checkout.models import Checkout, Customer, ObjectPaymentPlan, SavedCard, StripeCustomer
from checkout.services import checkouts, fulfillment, runs
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(emulator: Emulator, save_plan: SavePlan) -> ObjectPaymentPlan:
    """The plan of a payer whom somebody has deleted in Stripe's dashboard since."""
    made: ObjectPaymentPlan = save_plan()
    headers = {"Authorization": "Bearer sk_test_emulator"}
    assert emulator.handle("DELETE", f"/v1/customers/{made.card.stripe_customer_id}", headers).status == 200
    return made


def test_their_next_plan_begins_at_the_first_try(
    emulator: Emulator, plan: ObjectPaymentPlan, payment_plan: Any
) -> None:
    other = Membership.objects.create()
    checkout = Checkout.objects.create_checkout("payment_plan", other, None, payment_plan=payment_plan)
    assert checkout.stripe_customer_id != plan.card.stripe_customer_id
    enter_card(emulator, checkout, "4242424242424242")
    assert fulfillment.fulfill(checkout).succeeded
    other.refresh_from_db()
    assert other.failures == 0, "the host is told nothing of the first try"
    assert SavedCard.objects.get(pk=plan.card.pk).gone, "and its card is charged no more"


def test_their_page_for_a_line_opens_at_once(
    emulator: Emulator, plan: ObjectPaymentPlan, membership: Membership
) -> None:
    [line] = make_due(plan)
    page = Checkout.objects.create_checkout_pay_on_session(line)
    assert page.payment_method_id == "", "their old card cannot be offered"
    line.refresh_from_db()
    membership.refresh_from_db()
    assert (line.state_id, membership.failures) == (states.PENDING, 0)
    enter_card(emulator, page, "4242424242424242")
    assert fulfillment.fulfill(page).succeeded
    # The card that they gave there is the plan's from now on.
    make_due(ObjectPaymentPlan.objects.get())
    assert runs.counts(runs.process_payments(workers=1)) == {"charged": 1}


def test_a_refused_charge_teaches_us(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    make_due(plan, 1)
    assert runs.counts(runs.process_payments(workers=1)) == {"declined": 1}
    card = SavedCard.objects.get()
    assert (card.gone, card.refresh) == (True, True)
    assert StripeCustomer.objects.get().gone


def test_a_name_that_is_corrected_after_a_lost_answer_keeps_nobody_out(
    emulator: Emulator, membership: Membership, payment_plan: Any
) -> None:
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/customers$")
    with pytest.raises(errors.OutcomeUnknown):
        Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    Customer.objects.update(name="Corrected Name")
    assert Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan).intent_id


def test_a_name_longer_than_stripe_takes_keeps_nobody_out(
    emulator: Emulator, membership: Membership, payment_plan: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Membership, "checkout_name", "N" * 300)
    assert Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan).intent_id


# -- proxies ---------------------------------------------------------------------------------------------


class Renewal(Membership):
    """With a hook of its own."""

    class Meta:
        proxy = True
        app_label = "host"

    def checkout_success(self, checkout: Any) -> None:
        raise AssertionError("nobody asks a proxy")


class Sorted(Membership):
    """Only in another order."""

    class Meta:
        proxy = True
        app_label = "host"
        ordering = ("name",)


def test_a_proxy_whose_hook_would_not_run_is_refused(emulator: Emulator, db: None) -> None:
    with pytest.raises(errors.CheckoutError, match="checkout_success"):
        Checkout.objects.create_checkout("payment", Renewal.objects.create())
    assert not Checkout.objects.exists()


def test_a_proxy_that_changes_nothing_of_the_contract_is_as_good_as_its_model(emulator: Emulator, db: None) -> None:
    row = Sorted.objects.create()
    checkout = Checkout.objects.create_checkout("payment", row)
    enter_card(emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    row.refresh_from_db()
    assert row.successes == 1


# -- two tabs --------------------------------------------------------------------------------------------


def test_a_faster_tab_in_another_currency_is_not_taken_over(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    """100 of one currency is not 100 of another, although the number is the same."""
    real, tabs = checkouts._open_or_insert, []

    def somebody_is_faster(row: Any, *args: Any, **fields: Any) -> Checkout:
        tabs.append(row)
        if len(tabs) == 1:
            euros = Membership.objects.get(pk=row.pk)
            euros.currency = "EUR"
            Checkout.objects.create_checkout("payment", euros)
        return real(row, *args, **fields)

    monkeypatch.setattr(checkouts, "_open_or_insert", somebody_is_faster)
    with pytest.raises(errors.AttemptInProgress):
        Checkout.objects.create_checkout("payment", membership)
    assert (len(tabs), Checkout.objects.get().currency) == (2, "EUR")

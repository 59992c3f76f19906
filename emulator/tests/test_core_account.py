"""What belongs to the account rather than to a payer: endpoints, payouts, the texts of its balance, sessions."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .helpers import Bench, bench


@pytest.fixture
def shop() -> Bench:
    return bench()


def refusal(do: Any, *args: Any) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        do(*args)
    return caught.value


def paid(shop: Bench, description: str = "Order 7") -> Any:
    """A charge of 20 pounds whose money is there at once."""
    customer, method = shop.saved("pm_card_bypassPending")
    intent = shop.charge(customer, method, description=description)
    shop.emulator.clock.advance(minutes=1)
    return shop.v1.charges.retrieve(intent.latest_charge)


def test_an_account_has_sixteen_webhook_endpoints_at_most(shop: Bench) -> None:
    form = {"url": "http://127.0.0.1:8000/", "enabled_events": ["*"]}
    made = [shop.v1.webhook_endpoints.create(form) for _ in range(16)]
    assert "maximum of 16 test webhook endpoints" in str(refusal(shop.v1.webhook_endpoints.create, form))
    shop.v1.webhook_endpoints.delete(made[0].id)
    assert shop.v1.webhook_endpoints.create(form).status == "enabled"


def test_the_transactions_of_a_payout_are_never_all_transactions(shop: Bench) -> None:
    paid(shop)
    listed = shop.v1.balance_transactions.list
    unknown = refusal(listed, {"payout": "po_none"})
    assert (unknown.code, unknown.param) == ("resource_missing", "payout")
    payout = shop.v1.payouts.create({"amount": 100, "currency": "gbp"})
    assert "only be filtered on automatic transfers" in str(refusal(listed, {"payout": payout.id}))


def test_payouts_are_found_by_status_and_by_arrival(shop: Bench) -> None:
    paid(shop)
    payout = shop.v1.payouts.create({"amount": 100, "currency": "gbp"})
    listed = shop.v1.payouts.list
    assert [row.id for row in listed({"status": "pending"}).data] == [payout.id]
    assert listed({"status": "failed"}).data == []
    assert refusal(listed, {"status": "on its way"}).param == "status"
    assert [row.id for row in listed({"arrival_date": {"gte": payout.arrival_date}}).data] == [payout.id]
    assert listed({"arrival_date": {"gt": payout.arrival_date}}).data == []
    assert listed({"destination": "ba_none"}).data == []


def test_a_movement_of_the_balance_names_the_payment_it_is_about(shop: Bench) -> None:
    charge = paid(shop)
    refund = shop.v1.refunds.create({"charge": charge.id})
    row = shop.v1.balance_transactions.retrieve(refund.balance_transaction)
    assert (row.description, row.amount) == ("REFUND FOR CHARGE (Order 7)", -2000)


def test_a_session_that_saves_a_card_has_its_intent_from_the_start(shop: Bench) -> None:
    customer = shop.customer()
    session = shop.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "currency": "gbp",
            "customer": customer,
            "success_url": "https://example.com/",
            "setup_intent_data": {"metadata": {"order": "7"}},
            "expand": ["setup_intent"],
        }
    )
    intent = session.setup_intent
    assert (intent.status, intent.customer, intent.metadata.order) == ("requires_payment_method", customer, "7")
    shop.v1.checkout.sessions.expire(session.id)
    assert shop.v1.setup_intents.retrieve(intent.id).status == "canceled"

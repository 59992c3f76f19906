"""Disputes, inquiries and early fraud warnings: their order, their verdicts, and what they do to the money."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .helpers import ONLY_CARDS, Bench, bench

DISPUTE = "pm_card_createDispute"
INQUIRY = "pm_card_createDisputeInquiry"
WARNING = "pm_card_createIssuerFraudRecord"


@pytest.fixture
def shop() -> Bench:
    return bench()


def pay(shop: Bench, card: str, **params: Any) -> Any:
    form = {"amount": 2000, "currency": "gbp", "confirm": True, "payment_method": card, **ONLY_CARDS, **params}
    return shop.v1.payment_intents.create(form)


def the_dispute(shop: Bench) -> Any:
    (found,) = shop.v1.disputes.list({"expand": ["data.charge"]}).data
    return found


def test_the_test_card_is_disputed_before_its_payment_is_told(shop: Bench) -> None:
    paid = pay(shop, DISPUTE)
    assert paid.status == "succeeded"
    assert shop.events() == [
        "payment_intent.created",
        "charge.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]
    asked = {event.type: event.request.id for event in shop.v1.events.list().data}
    assert asked["payment_intent.succeeded"] is not None
    assert asked["charge.dispute.created"] is None
    dispute = the_dispute(shop)
    assert (dispute.status, dispute.reason, dispute.payment_intent) == ("needs_response", "fraudulent", paid.id)
    assert (dispute.charge.disputed, dispute.is_charge_refundable) == (True, False)
    assert shop.emulator.ledger.disputed_minor() == 2000


def test_a_captured_hold_is_disputed_like_any_payment(shop: Bench) -> None:
    held = pay(shop, DISPUTE, capture_method="manual")
    assert shop.v1.disputes.list().data == []
    shop.v1.payment_intents.capture(held.id)
    assert shop.events()[-4:] == [
        "charge.captured",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]


def test_a_dispute_that_is_won_brings_the_money_back_but_not_the_fee(shop: Bench) -> None:
    pay(shop, DISPUTE)
    dispute = the_dispute(shop)
    shop.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert the_dispute(shop).status == "under_review"
    shop.emulator.clock.advance(seconds=5)
    won = the_dispute(shop)
    assert won.status == "won"
    assert sum(movement.net for movement in won.balance_transactions) < 0
    assert shop.emulator.ledger.disputed_minor() == 0
    assert won.charge.disputed is True
    assert shop.events()[-2:] == ["charge.dispute.funds_reinstated", "charge.dispute.closed"]


def test_a_dispute_that_is_lost_stays_taken(shop: Bench) -> None:
    pay(shop, DISPUTE)
    shop.v1.disputes.update(the_dispute(shop).id, {"evidence": {"uncategorized_text": "losing_evidence"}})
    shop.emulator.clock.advance(seconds=5)
    assert the_dispute(shop).status == "lost"
    assert shop.emulator.ledger.disputed_minor() == 2000
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.refunds.create({"charge": the_dispute(shop).charge.id})
    assert caught.value.code == "charge_disputed"


def test_an_inquiry_moves_no_money_and_the_charge_can_be_refunded(shop: Bench) -> None:
    pay(shop, INQUIRY)
    dispute = the_dispute(shop)
    assert (dispute.status, dispute.balance_transactions) == ("warning_needs_response", [])
    assert dispute.payment_method_details.card.case_type == "inquiry"
    assert "charge.dispute.funds_withdrawn" not in shop.events()
    assert shop.v1.refunds.create({"charge": dispute.charge.id}).status == "succeeded"
    assert shop.emulator.ledger.disputed_minor() == 0


def test_an_answered_inquiry_is_closed(shop: Bench) -> None:
    pay(shop, INQUIRY)
    shop.v1.disputes.update(the_dispute(shop).id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert the_dispute(shop).status == "warning_under_review"
    shop.emulator.clock.advance(seconds=5)
    assert the_dispute(shop).status == "warning_closed"
    assert shop.emulator.ledger.disputed_minor() == 0


def test_an_inquiry_becomes_a_chargeback(shop: Bench) -> None:
    pay(shop, INQUIRY)
    shop.v1.disputes.update(the_dispute(shop).id, {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}})
    shop.emulator.clock.advance(seconds=5)
    dispute = the_dispute(shop)
    assert (dispute.status, dispute.is_charge_refundable) == ("needs_response", False)
    assert dispute.payment_method_details.card.case_type == "chargeback"
    assert shop.events()[-2:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    assert shop.emulator.ledger.disputed_minor() == 2000
    shop.emulator.bank.decide_dispute(dispute.id, "won")
    assert shop.emulator.ledger.disputed_minor() == 0


def test_the_bank_may_decide_before_its_own_verdict_is_due(shop: Bench) -> None:
    pay(shop, INQUIRY)
    dispute = the_dispute(shop)
    shop.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    shop.emulator.bank.decide_dispute(dispute.id, "needs_response")
    shop.emulator.clock.advance(minutes=1)
    assert the_dispute(shop).status == "needs_response"


def test_the_bank_does_nothing_that_no_bank_does(shop: Bench) -> None:
    paid = pay(shop, "pm_card_visa")
    bank = shop.emulator.bank
    dispute = bank.dispute(paid.id)
    with pytest.raises(ValueError, match="already"):
        bank.dispute(paid.id)
    with pytest.raises(ValueError, match="won or lost"):
        bank.decide_dispute(dispute["id"], "warning_closed")
    bank.decide_dispute(dispute["id"], "won")
    with pytest.raises(ValueError, match="is over"):
        bank.decide_dispute(dispute["id"], "won")
    refunded = pay(shop, "pm_card_visa")
    shop.v1.refunds.create({"payment_intent": refunded.id})
    with pytest.raises(ValueError, match="given back"):
        bank.dispute(refunded.id)
    with pytest.raises(ValueError, match="no payment"):
        bank.dispute(shop.v1.payment_intents.create({"amount": 500, "currency": "gbp"}).id)


def test_a_fraud_warning_can_be_acted_on_until_the_money_is_back(shop: Bench) -> None:
    paid = pay(shop, WARNING)
    shop.emulator.clock.advance(seconds=2)
    warnings = shop.v1.radar.early_fraud_warnings
    (warning,) = warnings.list({"payment_intent": paid.id, "expand": ["data.charge"]}).data
    assert (warning.id[:6], warning.actionable, warning.charge.payment_intent) == ("issfr_", True, paid.id)
    assert warnings.list({"charge": pay(shop, "pm_card_visa").latest_charge}).data == []
    shop.v1.refunds.create({"payment_intent": paid.id, "amount": 500})
    assert warnings.retrieve(warning.id).actionable is True
    shop.v1.refunds.create({"payment_intent": paid.id})
    assert warnings.retrieve(warning.id).actionable is False
    event = shop.v1.events.list({"type": "radar.early_fraud_warning.updated"}).data[0]
    assert event.data.previous_attributes.to_dict() == {"actionable": True}


def test_a_dispute_that_was_won_leaves_a_charge_that_can_be_refunded(shop: Bench) -> None:
    paid = pay(shop, DISPUTE)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.refunds.create({"payment_intent": paid.id})
    assert caught.value.code == "charge_disputed"
    shop.emulator.bank.decide_dispute(the_dispute(shop).id, "won")
    assert the_dispute(shop).is_charge_refundable is True
    assert shop.v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"
    assert shop.emulator.ledger.net_minor() == 0


@pytest.mark.parametrize(("refunded", "withdrawn"), [(2000, 0), (500, 1500)])
def test_an_inquiry_that_becomes_a_chargeback_takes_only_what_was_not_given_back(
    shop: Bench, refunded: int, withdrawn: int
) -> None:
    pay(shop, INQUIRY)
    dispute = the_dispute(shop)
    shop.v1.refunds.create({"charge": dispute.charge.id, "amount": refunded})
    shop.emulator.bank.decide_dispute(dispute.id, "needs_response")
    assert shop.emulator.ledger.disputed_minor() == withdrawn
    assert ("charge.dispute.funds_withdrawn" in shop.events()) == bool(withdrawn)
    shop.emulator.bank.decide_dispute(dispute.id, "won")
    assert shop.emulator.ledger.disputed_minor() == 0
    assert ("charge.dispute.funds_reinstated" in shop.events()) == bool(withdrawn)


def test_a_dispute_is_found_by_its_charge(shop: Bench) -> None:
    charge = pay(shop, DISPUTE).latest_charge
    dispute = the_dispute(shop)
    assert shop.v1.charges.retrieve(charge, {"expand": ["dispute"]}).dispute.id == dispute.id
    assert "dispute" not in shop.v1.charges.retrieve(charge)

    def ask(method: str, path: str = "", body: bytes = b"") -> Any:
        headers = {"Authorization": "Bearer sk_test_x"}
        return shop.emulator.handle(method, f"/v1/charges/{charge}/dispute{path}", headers, body).json()

    assert ask("GET")["id"] == dispute.id
    assert ask("POST", body=b"metadata[case]=7")["metadata"] == {"case": "7"}
    assert ask("POST", "/close")["status"] == "lost"
    charge = pay(shop, "pm_card_visa").latest_charge
    assert ask("GET")["error"]["message"] == f"No dispute for charge: {charge}"

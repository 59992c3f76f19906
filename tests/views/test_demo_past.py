"""What the demo's office finds on the first morning: something of each kind, and books that agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checkout import mail, money, states
from checkout.models import Checkout, Dispute, ObjectPaymentPlanInstalment, PaymentRun, Refund, StripeEvent
from checkout.services import audit, runs
from example_checkout import demo_data, demo_past
from stripe_emulator import Emulator

pytestmark = pytest.mark.django_db


def test_the_past_is_told_once_and_the_books_agree(tmp_path: Path, settings: Any) -> None:
    mail.install()
    demo_data.load()
    state = tmp_path / "emulator.json"
    demo_past.tell(state)
    emulator = Emulator()
    emulator.restore(json.loads(state.read_text()))
    taken = [row for row in Checkout.objects.success().taking_money() if row.payment_intent_id]
    assert emulator.ledger.taken_minor() == sum(money.to_minor(row.total, row.currency) for row in taken if row.total)
    settings.CHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport
    assert audit.audit_failed_checkouts(days=200).wrong == 0

    lines = ObjectPaymentPlanInstalment.objects.all()
    assert {line.state_id for line in lines} == {states.SUCCESS, states.PENDING, states.FAIL, states.PAY_ON_SESSION}
    assert not runs.due_instalments().exists(), "what was due has been asked for"
    assert PaymentRun.objects.count() == demo_past.MONTHS
    assert Refund.objects.filter(state=Refund.SUCCEEDED).exists()
    assert Dispute.objects.filter(is_open=True).exists()
    assert Checkout.objects.filter(action="invoice").exists()

    assert set(StripeEvent.objects.values_list("outcome", flat=True)) <= {"done", "ignored"}
    assert StripeEvent.objects.filter(outcome="done").exists()

    before = Checkout.objects.count()
    demo_past.tell(state)
    assert Checkout.objects.count() == before

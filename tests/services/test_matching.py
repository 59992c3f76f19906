"""An intent settles an attempt only when it is the one that was agreed: whose, how much, in what, in which mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from checkout import errors
from checkout.gateway import gateway
from checkout.models import Checkout, ObjectPaymentPlan, Posting
from checkout.services import charging, settling
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"amount_minor": 9999}, "amount is 9999"),
        ({"amount_received_minor": 9999}, "amount received is 9999"),
        ({"currency": "EUR"}, "currency is 'EUR'"),
        ({"customer_id": "cus_other"}, "customer is 'cus_other'"),
        ({"livemode": True}, "live mode is True"),
        ({"metadata": {"checkout": "another"}}, "metadata is 'another'"),
        ({"id": "pi_other"}, "intent is 'pi_other'"),
    ],
)
def test_a_payment_that_is_not_the_agreed_one_settles_nothing(
    emulator: Emulator, membership: Membership, wrong: dict[str, Any], named: str
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    with pytest.raises(errors.IntentMismatch, match=named):
        settling.settle(checkout.pk, replace(intent, **wrong))
    checkout.refresh_from_db()
    assert checkout.is_open
    assert not Posting.objects.filter(kind="taken").exists()
    assert settling.settle(checkout.pk, intent).succeeded


def test_a_charge_of_somebody_else_settles_nothing(emulator: Emulator, save_plan: SavePlan) -> None:
    (line,) = make_due(save_plan())
    claimed = charging.claim(line)
    answer: Any = charging.ask(charging.request_for(claimed))
    with pytest.raises(errors.IntentMismatch, match="customer"):
        settling.settle(claimed.pk, replace(answer, customer_id="cus_other"))
    assert settling.settle(claimed.pk, answer).succeeded


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"customer_id": "cus_other"}, "customer is 'cus_other'"),
        ({"livemode": True}, "live mode is True"),
        ({"metadata": {}}, "metadata is None"),
    ],
)
def test_a_card_that_was_saved_by_somebody_else_begins_no_plan(
    emulator: Emulator, membership: Membership, payment_plan: Any, wrong: dict[str, Any], named: str
) -> None:
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    intent = gateway().retrieve_setup_intent(checkout.setup_intent_id)
    with pytest.raises(errors.IntentMismatch, match=named):
        settling.settle(checkout.pk, replace(intent, **wrong))
    assert not ObjectPaymentPlan.objects.exists()
    assert settling.settle(checkout.pk, intent).succeeded

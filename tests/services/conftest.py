"""A payer with a plan, at each stage of its life."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from checkout import mail
from checkout.gateway import gateway
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.services import fulfillment
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.kept import kept

SavePlan = Callable[..., ObjectPaymentPlan]


@pytest.fixture
def payment_plan(db: None) -> PaymentPlan:
    """20 % now, the rest in three monthly instalments."""
    return PaymentPlan.objects.create_payment_plan("standard", "Standard", 20, 3, 1)


def letters_installed() -> None:
    """Our letters are in the database, in every language of the site."""
    kept("letters", mail.install)


def enter_card(emulator: Emulator, checkout: Checkout, number: str, authenticate: bool = True) -> dict[str, Any]:
    """What the payer does on the page of an attempt: type a card number, and pass or fail the bank's check."""
    if checkout.by_setup_intent:
        secret = gateway().retrieve_setup_intent(checkout.setup_intent_id).client_secret
    else:
        secret = gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret
    answer: dict[str, Any] = emulator.pay(secret, number=number, authenticate=authenticate)
    return answer


@pytest.fixture
def save_plan(emulator: Emulator, membership: Membership, payment_plan: PaymentPlan) -> SavePlan:
    """`save_plan(number)`: agree to the plan, save a card; the deposit is charged by the door."""

    def save(number: str = "4242424242424242", **changes: Any) -> ObjectPaymentPlan:
        def by_the_door() -> ObjectPaymentPlan:
            row = Membership.objects.create(**changes) if changes else membership
            checkout = Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=payment_plan)
            enter_card(emulator, checkout, number)
            fulfillment.fulfill(checkout)
            return ObjectPaymentPlan.objects.for_content_object(row)

        return kept(("save_plan", number, changes, payment_plan.pk, membership.pk), by_the_door, emulator)

    return save


def lines(plan: ObjectPaymentPlan) -> list[tuple[int, Decimal, str]]:
    """(count, amount, state) of every line."""
    return [(line.count, line.amount, line.state_id or "") for line in plan.payments]


def make_due(plan: ObjectPaymentPlan, count: int = 1) -> list[ObjectPaymentPlanInstalment]:
    """Make the next `count` pending instalments due."""
    from checkout.services import plans

    return [plans.testing_set_pending_instalment_due(plan) for _ in range(count)]

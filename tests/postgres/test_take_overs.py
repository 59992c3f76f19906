"""Another payer takes over a plan while a run comes, staff withdraw it, or it is settled twice: one of them wins."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from checkout import states
from checkout.gateway import gateway
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PlanChange, SavedCard
from checkout.services import booking, fulfillment, plan_changes, runs, take_overs
from stripe_emulator import Emulator
from tests.postgres.conftest import FillDue
from tests.postgres.test_plan_changes import at_once, fresh

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def asked(line: ObjectPaymentPlanInstalment) -> PlanChange:
    number = line.object_payment_plan_id
    return plan_changes.propose(
        line.object_payment_plan, "payer", "she pays", name="A Grandmother", email=f"grandmother{number}@example.com"
    )


def card_given(emulator: Emulator, change: PlanChange) -> Checkout:
    """Saved at Stripe, and not settled here."""
    begun = take_overs.begin(change)
    secret = gateway().retrieve_setup_intent(begun.setup_intent_id).client_secret
    emulator.pay(secret, number="5555555555554444")
    return begun


def settle(begun: Checkout) -> Callable[[], Checkout]:
    return lambda: fulfillment.fulfill(begun)


def test_a_run_that_comes_meanwhile_takes_each_line_once_and_from_the_card_of_its_agreement(
    emulator: Emulator, fill_due: FillDue
) -> None:
    lines = [fresh(line) for line in fill_due(8)]
    old = dict(ObjectPaymentPlan.objects.values_list("pk", "agreement__saved_card__payment_method_id"))
    begun = [card_given(emulator, asked(line)) for line in lines]
    at_once(lambda: runs.process_payments(workers=2), *[settle(each) for each in begun])
    runs.process_payments(workers=1)
    for line in map(fresh, lines):
        plan = line.object_payment_plan
        assert line.state_id == states.SUCCESS
        [charge] = Checkout.objects.for_content_object(line).success()
        assert plan.taken_over_at is not None
        assert plan.card is not None
        assert charge.claimed_at is not None
        if charge.payment_method_id == old[plan.pk]:
            assert charge.claimed_at <= plan.taken_over_at, "the old card is asked by no later claim"
        else:
            assert charge.payment_method_id == plan.card.payment_method_id
    assert emulator.ledger.taken_minor() == 8 * 1000
    assert not booking.wrong_counters()


def test_what_is_withdrawn_at_the_same_moment_is_taken_over_or_not_and_never_half(
    emulator: Emulator, fill_due: FillDue
) -> None:
    changes = [asked(fresh(line)) for line in fill_due(6)]
    begun = [card_given(emulator, change) for change in changes]
    at_once(*[settle(each) for each in begun], *[change.withdraw for change in changes])
    for change, attempt in zip(changes, begun, strict=True):
        attempt.refresh_from_db()
        change.refresh_from_db()
        plan = ObjectPaymentPlan.objects.get(pk=change.plan_id)
        over = change.is_in_force
        assert over or change.state == PlanChange.State.WITHDRAWN
        assert (attempt.succeeded, plan.customer_id == change.new_payer_id, plan.taken_over_at is not None) == (
            (over,) * 3
        )
        assert (plan.agreement == change.agreement) == over
        card = SavedCard.objects.filter(customer=change.new_payer).first()
        assert card is None or card.replaced != over


def test_two_cards_of_the_new_payer_at_once_take_it_over_once(emulator: Emulator, fill_due: FillDue) -> None:
    change = asked(fresh(fill_due(1)[0]))
    begun = card_given(emulator, change)
    brought: list[Any] = at_once(*[settle(begun)] * 4)
    assert all(isinstance(each, Checkout) for each in brought)
    plan = ObjectPaymentPlan.objects.get(pk=change.plan_id)
    assert plan.version == change.plan.version + 1
    assert Checkout.objects.filter(action="card_refresh", state=states.SUCCESS).count() == 1


def test_a_discount_waits_for_the_take_over_and_the_other_way_round(emulator: Emulator, fill_due: FillDue) -> None:
    line = fresh(fill_due(1)[0])

    def discount() -> PlanChange:
        plan = fresh(line).object_payment_plan
        return plan_changes.propose(plan, "discount", "friends", amount=Decimal(1))

    brought = at_once(*[lambda: asked(fresh(line))] * 3, *[discount] * 3)
    waiting = PlanChange.objects.filter(state=PlanChange.State.WAITING)
    assert waiting.count() <= 1
    assert any(isinstance(each, PlanChange) for each in brought)
    assert not booking.wrong_counters()

"""With a key of another Stripe account, or a test key for real money, nothing is concluded."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe
import time_machine
from django.core.management import CommandError, call_command
from django.db.models import F

from checkout import clock, errors, states
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.services import audit, card_expiry, doctor, fulfillment, intents, plans, reconcile, refunds, runs, stale
from stripe_emulator import Clock, Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, letters_installed, make_due
from tests.services.test_one_off import begin, pay
from tests.services.test_reconcile import lose
from tests.services.test_refunds import paid

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_account(settings: Any) -> Any:
    """`other_account()`: from now on the key is one of an account that has none of our objects."""

    def switch() -> Emulator:
        other = Emulator(seed=2, clock=Clock())
        settings.CHECKOUT_STRIPE_HTTP_CLIENT = other.transport
        return other

    return switch


def real_money() -> None:
    """The emulator takes test keys only, so what was begun is called live afterwards."""
    Checkout.objects.update(livemode=True)


def test_an_open_attempt_is_kept_until_the_right_key_is_back(
    emulator: Emulator, membership: Membership, other_account: Any, settings: Any
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    real_money()
    other_account()
    Checkout.objects.update(seen_at=clock.now() - timedelta(hours=2))
    checkout.refresh_from_db()
    with pytest.raises(errors.OtherAccount, match="another Stripe account"):
        intents.close(checkout, why=Why(Code.CANCELLED_BY_STAFF))
    with pytest.raises(errors.OtherAccount):
        Checkout.objects.manual(membership)
    assert stale.tidy() == stale.Tidied(errors=1)
    checkout.refresh_from_db()
    membership.refresh_from_db()
    assert (checkout.state_id, membership.failures) == (states.PENDING, 0)
    settings.CHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport
    Checkout.objects.update(livemode=False)
    assert stale.tidy().paid == 1


def test_test_data_that_was_wiped_is_let_go(emulator: Emulator, membership: Membership, other_account: Any) -> None:
    checkout = begin(membership)
    other_account()
    assert intents.close(checkout, why=Why(Code.CANCELLED_BY_STAFF)).failed


@pytest.mark.parametrize("hours", [1, 25])
def test_a_charge_without_an_answer_is_neither_failed_nor_taken_again(
    emulator: Emulator, save_plan: SavePlan, other_account: Any, settings: Any, hours: int
) -> None:
    """Within the life of the key, and after it, when it would be looked for among the customer's intents."""
    [due] = make_due(save_plan())
    checkout = lose(emulator, faults.LostAfter())
    real_money()
    other = other_account()
    with time_machine.travel(clock.now() + timedelta(hours=hours)):
        assert reconcile.reconcile() == reconcile.Reconciled(errors=1)
        checkout.refresh_from_db()
        due.refresh_from_db()
        assert (checkout.state_id, due.state_id) == (states.REQUEST, states.REQUEST)
        assert other.ledger.taken_minor() == 0
        settings.CHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport
        Checkout.objects.update(livemode=False, lease_until=F("created_at"))
        reconcile.reconcile()
    due.refresh_from_db()
    assert due.state_id == states.SUCCESS


def test_a_deleted_customer_is_not_another_account(emulator: Emulator, save_plan: SavePlan, other_account: Any) -> None:
    """Stripe keeps telling of a customer that was deleted; of one that it never had it knows nothing."""
    plan = save_plan()
    make_due(plan)
    checkout = lose(emulator, faults.LostBefore())
    assert plan.customer is not None
    headers = {"Authorization": "Bearer sk_test_emulator"}
    emulator.handle("DELETE", f"/v1/customers/{plan.card.stripe_customer_id}", headers)
    real_money()
    checkout.refresh_from_db()
    assert reconcile.find_intent(checkout) is None
    other_account()
    with pytest.raises(errors.OtherAccount):
        reconcile.find_intent(checkout)


def test_the_audit_does_not_call_it_well(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, other_account: Any
) -> None:
    save_plan(email="plan@example.com")
    checkout = begin(membership)
    intents.close(checkout, why=Why(Code.CANCELLED_BY_STAFF))
    assert audit.audit_failed_checkouts().unread == 0
    real_money()
    other_account()
    assert audit.audit_failed_checkouts().unread == 2, "the deposit that was paid, and what was cancelled"
    with pytest.raises(CommandError):
        call_command("audit_failed_checkout")


def test_the_audit_reads_what_was_asked_of_a_customer_who_was_deleted(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    make_due(plan)
    checkout = lose(emulator, faults.LostAfter())
    Checkout.objects.filter(pk=checkout.pk).update(state=states.FAIL)
    assert plan.customer is not None
    headers = {"Authorization": "Bearer sk_test_emulator"}
    emulator.handle("DELETE", f"/v1/customers/{plan.card.stripe_customer_id}", headers)
    audited = audit.audit_failed_checkouts()
    assert (audited.wrong, audited.unread) == (1, 0)


def test_the_doctor_says_which_key_is_wanted(
    emulator: Emulator, membership: Membership, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    begin(membership)
    assert not [finding for finding in doctor.examine() if "live key" in finding.message]
    real_money()
    [finding] = [finding for finding in doctor.examine() if "live key" in finding.message]
    assert finding.level == doctor.Level.ERROR
    assert not ObjectPaymentPlan.objects.exists()


def test_the_doctor_tells_of_cards_that_the_key_cannot_charge_before_a_run_does(
    emulator: Emulator, save_plan: SavePlan, other_account: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    save_plan()
    save_plan(email="b@example.com")
    assert not [finding for finding in doctor.examine() if "another mode or account" in finding.message]
    other_account()
    [finding] = [finding for finding in doctor.examine() if "another mode or account" in finding.message]
    assert finding.message.startswith("The cards of 2 payment plans")
    for plan in ObjectPaymentPlan.objects.all():
        plans.stop(plan)
    assert not [finding for finding in doctor.examine() if "another mode or account" in finding.message]


@pytest.mark.parametrize("hours", [1, 25])
def test_a_refund_without_an_answer_keeps_its_money_reserved(
    emulator: Emulator, membership: Membership, other_account: Any, hours: int
) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/refunds$")
    row = refunds.refund(checkout, Decimal(60))
    real_money()
    other_account()
    with time_machine.travel(clock.now() + timedelta(hours=hours)):
        assert refunds.resolve_all() == refunds.Resolved(errors=1)
    row.refresh_from_db()
    assert row.pending
    with pytest.raises(errors.RefundError):
        refunds.refund(Checkout.objects.get(), Decimal(60))


def test_a_run_leaves_cards_of_another_account_alone_and_every_line_stays_due(
    emulator: Emulator, save_plan: SavePlan, membership: Membership, other_account: Any
) -> None:
    due = [make_due(plan)[0] for plan in (save_plan(), save_plan(email="b@example.com"))]
    other = other_account()
    run = runs.process_payments(workers=1)
    assert runs.counts(run) == {"error": 2}
    assert "right one" in run.note, "all of them: the key may well be the wrong one"
    lines = ObjectPaymentPlanInstalment.objects.filter(pk__in=[line.pk for line in due])
    assert {line.state_id for line in lines} == {states.PENDING}
    membership.refresh_from_db()
    assert membership.failures == 0, "the host is told nothing"
    assert other.ledger.taken_minor() == 0


def test_nobody_is_asked_for_a_new_card_because_another_account_does_not_know_theirs(
    emulator: Emulator, save_plan: SavePlan, other_account: Any, settings: Any
) -> None:
    """A charge with the wrong key may have learnt that the card is gone, which is true of that key alone."""
    letters_installed()
    card = save_plan().card
    type(card).objects.update(gone=True, read_at=clock.now())
    other_account()
    assert card_expiry.refresh_card_expiry_dates().mailed == 0
    settings.CHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport
    assert card_expiry.refresh_card_expiry_dates().mailed == 1


def test_a_customer_that_was_deleted_fails_its_own_line_only(emulator: Emulator, save_plan: SavePlan) -> None:
    gone, good = save_plan(), save_plan(email="b@example.com")
    for plan in (gone, good):
        make_due(plan)
    assert gone.customer is not None
    stripe.StripeClient("sk_test_emulator", http_client=emulator.transport()).v1.customers.delete(
        gone.card.stripe_customer_id
    )
    assert runs.counts(runs.process_payments()) == {"charged": 1, "declined": 1}


def test_a_deposit_waits_until_the_key_is_right(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, other_account: Any, settings: Any
) -> None:
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    saved = gateway().retrieve_setup_intent(checkout.setup_intent_id)
    other_account()
    assert fulfillment.bring(checkout, saved).succeeded, "the card is saved all the same"
    deposit = ObjectPaymentPlan.objects.for_content_object(membership).instalments.get()
    assert deposit.state_id == states.PENDING
    settings.CHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport
    assert stale.tidy().deposits == 1

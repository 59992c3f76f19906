"""What nobody finished is cancelled at Stripe before it fails here, and what was paid meanwhile is settled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command

from checkout import clock, states, tasks
from checkout.errors import AttemptInProgress
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlan
from checkout.services import cards, charging, ending, fulfillment, intents, plans, reconcile, stale
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


def age(minutes: int = 61) -> None:
    then = clock.now() - timedelta(minutes=minutes)
    Checkout.objects.update(created_at=then, seen_at=then)


def later(minutes: int) -> Any:
    return time_machine.travel(clock.now() + timedelta(minutes=minutes))


def test_an_abandoned_payment_is_cancelled_at_stripe_and_then_fails(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    assert stale.tidy() == stale.Tidied(), "not yet"
    age()
    assert stale.tidy().closed == 1
    checkout.refresh_from_db()
    membership.refresh_from_db()
    assert (checkout.state_id, membership.failures) == (states.FAIL, 1)
    assert gateway().retrieve_payment_intent(checkout.payment_intent_id).canceled
    assert begin(membership).pk != checkout.pk, "the payer may begin again"


def test_what_was_paid_meanwhile_is_settled(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    age()
    assert (stale.tidy().paid, stale.tidy().closed) == (1, 0)
    checkout.refresh_from_db()
    membership.refresh_from_db()
    assert (checkout.state_id, membership.successes, membership.failures) == (states.SUCCESS, 1, 0)


@pytest.mark.parametrize("fault", [faults.LostBefore(), faults.LostAfter(), faults.Status(500, after=True)])
def test_a_lost_answer_to_the_cancel_fails_nothing_and_the_next_sweep_finishes(
    emulator: Emulator, membership: Membership, fault: Any
) -> None:
    checkout = begin(membership)
    age()
    emulator.fail(call=1, fault=fault)
    assert stale.tidy() == stale.Tidied(errors=1)
    checkout.refresh_from_db()
    assert checkout.is_open
    assert stale.tidy().closed == 1


def test_the_payer_who_pays_while_it_is_being_closed_wins_or_loses_whole(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    age()
    stale.tidy()
    answer = pay(emulator, checkout)
    assert answer["error"]["code"] == "payment_intent_unexpected_state"
    assert emulator.ledger.taken_minor() == 0
    assert fulfillment.fulfill(checkout).failed


def test_a_page_that_its_payer_came_back_to_is_left_open(emulator: Emulator, membership: Membership) -> None:
    """An hour counts from when the payer was last seen, not from when the attempt was begun."""
    checkout = begin(membership)
    with later(59):
        assert begin(membership).pk == checkout.pk
    with later(61):
        assert stale.tidy() == stale.Tidied()
        assert pay(emulator, checkout)["status"] == "succeeded"
        assert fulfillment.fulfill(checkout).succeeded


def test_a_page_that_was_reloaded_is_left_open(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    with later(59):
        assert not intents.page(checkout).finished
    with later(61):
        assert stale.tidy() == stale.Tidied()
    with later(120):
        assert stale.tidy().closed == 1


def test_a_payer_who_was_just_declined_is_still_there(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    with later(59):
        pay(emulator, checkout, "4000000000009995")
        fulfillment.fulfill(checkout)
    with later(61):
        assert stale.tidy() == stale.Tidied()


def test_a_page_whose_attempt_was_given_up_meanwhile_shows_no_form(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    """A second tab has begun another attempt while this one waited for Stripe: only one of them may take money."""
    emulator.fail(call=1, fault=faults.LostAfter())
    with pytest.raises(Exception, match="no answer"):
        begin(membership)
    slow = Checkout.objects.get()
    read = intents.read_intent

    def given_up_meanwhile(checkout: Checkout) -> Any:
        intent = read(checkout)
        ending.fail(Checkout.objects.get(pk=slow.pk), why=Why(Code.STRIPE_NEVER_ANSWERED), superseded=True)
        begin(membership)
        return intent

    monkeypatch.setattr(intents, "read_intent", given_up_meanwhile)
    shown = intents.page(slow)
    assert (shown.finished, shown.client_secret) == (True, "")


def test_a_request_that_never_reached_stripe_is_closed_without_asking(
    emulator: Emulator, membership: Membership
) -> None:
    emulator.fail(call=1, fault=faults.LostBefore())
    with pytest.raises(Exception, match="no answer"):
        begin(membership)
    age(60 * 24 * 2)
    Checkout.objects.update(claimed_at=clock.now() - timedelta(days=2))
    before = len(emulator.requests)
    assert stale.tidy().closed == 1
    assert len(emulator.requests) == before


def test_a_lost_answer_is_looked_for_before_the_attempt_fails(emulator: Emulator, membership: Membership) -> None:
    emulator.fail(call=1, fault=faults.LostAfter())
    with pytest.raises(Exception, match="no answer"):
        begin(membership)
    age()
    assert stale.tidy().closed == 1
    checkout = Checkout.objects.get()
    assert gateway().retrieve_payment_intent(checkout.payment_intent_id).canceled


def test_a_card_that_was_never_entered(emulator: Emulator, membership: Membership, payment_plan: Any) -> None:
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    age()
    assert stale.tidy().closed == 1
    assert gateway().retrieve_setup_intent(checkout.setup_intent_id).canceled


def test_an_invoice_and_what_waits_for_its_payer_are_never_stale(
    emulator: Emulator, membership: Membership, save_plan: SavePlan
) -> None:
    save_plan("4000002760003184", email="waits@example.com")
    Checkout.objects.create_checkout("invoice", membership, None)
    age(60 * 24 * 30)
    before = dict(Checkout.objects.values_list("pk", "state"))
    assert states.PAY_ON_SESSION in before.values()
    assert stale.tidy() == stale.Tidied()
    assert dict(Checkout.objects.values_list("pk", "state")) == before


def test_a_page_left_by_the_payer_of_an_instalment_changes_nothing_about_the_instalment(
    emulator: Emulator, membership: Membership, save_plan: SavePlan
) -> None:
    plan = save_plan()
    [instalment] = make_due(plan)
    checkout = Checkout.objects.create_checkout_pay_on_session(instalment)
    assert checkout.state_id == states.PENDING
    age()
    assert stale.tidy().closed == 1
    instalment.refresh_from_db()
    membership.refresh_from_db()
    assert (instalment.state_id, membership.failures) == (states.PENDING, 0)


# -- actions of two steps, killed after the first -----------------------------------------------------------


@pytest.fixture
def half_stopped(emulator: Emulator, save_plan: SavePlan, staff: Any, monkeypatch: Any) -> Checkout:
    """The open page at a line of a plan whose stopping was killed before it ended what was open."""
    plan = save_plan()
    [line] = make_due(plan)
    page: Checkout = Checkout.objects.create_checkout_pay_on_session(line)

    def killed(*args: Any, **kwargs: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(charging, "close_attempts", killed)
        with pytest.raises(SystemExit):
            plans.stop(plan, staff)
    assert ObjectPaymentPlan.objects.get().deleted
    return page


def test_the_sweep_finishes_stopping_a_plan(emulator: Emulator, half_stopped: Checkout) -> None:
    secret = gateway().retrieve_payment_intent(half_stopped.payment_intent_id).client_secret
    assert stale.tidy().closed == 1, "although its payer was there a moment ago"
    assert "error" in emulator.pay(secret, number="4242424242424242")
    half_stopped.refresh_from_db()
    assert half_stopped.failed
    assert emulator.ledger.taken_minor() == 2000


@pytest.mark.parametrize("page", [1, 2, 3])
def test_the_sweep_looks_at_open_attempts_page_by_page(
    emulator: Emulator, half_stopped: Checkout, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    others = [Checkout.objects.create_checkout("payment", Membership.objects.create()) for _ in range(2)]
    Checkout.objects.filter(pk=others[0].pk).update(
        content_type=half_stopped.content_type, object_id=half_stopped.object_id, state=states.FAIL
    )
    monkeypatch.setattr(plans, "PAGE", page)
    assert list(plans.open_at_stopped_plans()) == [half_stopped]


def test_stopping_again_finishes_it_too(emulator: Emulator, half_stopped: Checkout, staff: Any) -> None:
    plan = ObjectPaymentPlan.objects.get()
    assert plans.is_half_stopped(plan)
    plans.stop(plan, staff)
    half_stopped.refresh_from_db()
    assert half_stopped.failed
    assert not plans.is_half_stopped(plan)


def test_what_the_payer_of_a_stopped_plan_paid_meanwhile_is_settled(emulator: Emulator, half_stopped: Checkout) -> None:
    enter_card(emulator, half_stopped, "4242424242424242")
    assert stale.tidy().paid == 1
    half_stopped.refresh_from_db()
    assert half_stopped.succeeded


def test_a_charge_without_an_answer_is_left_to_reconcile(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    [line] = make_due(plan)
    charging.claim(line)
    ObjectPaymentPlan.objects.update(deleted=True)
    assert stale.tidy() == stale.Tidied(left=1)
    with later(11):
        reconcile.reconcile()
        assert stale.tidy() == stale.Tidied()
    assert emulator.ledger.taken_minor() == 2000


def test_a_stop_that_is_refused_after_another_plan_began_stays(
    emulator: Emulator, save_plan: SavePlan, membership: Membership, payment_plan: Any, monkeypatch: Any, staff: Any
) -> None:
    plan = save_plan()
    [line] = make_due(plan)
    charging.claim(line)
    close = charging.close_attempts

    def meanwhile(instalment: Any, **options: Any) -> None:
        if not ObjectPaymentPlan.objects.filter(deleted=False).exists():
            ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, membership.total)
        close(instalment, **options)

    monkeypatch.setattr(charging, "close_attempts", meanwhile)
    with pytest.raises(AttemptInProgress):
        plans.stop(plan, staff)
    plan.refresh_from_db()
    assert plan.deleted, "two plans cannot be live for one row"


def test_the_sweep_detaches_what_was_replaced(emulator: Emulator, save_plan: SavePlan, monkeypatch: Any) -> None:
    plan = save_plan()
    old = plan.card
    refresh = Checkout.objects.create_checkout("card_refresh", plan, None)
    enter_card(emulator, refresh, "5555555555554444")
    with monkeypatch.context() as patched:
        patched.setattr(cards, "detach_replaced", lambda customer: 0)  # killed, or Stripe did not answer
        fulfillment.fulfill(refresh)
    assert stale.tidy().detached == 1
    assert gateway().retrieve_payment_method(old.payment_method_id).customer_id == ""
    assert stale.tidy() == stale.Tidied()


# -- each job ends what is left of its own kind ------------------------------------------------------------


@pytest.mark.parametrize("door", ["command", "task"])
def test_a_site_with_the_old_timetable_alone_leaves_nothing_open(
    emulator: Emulator, membership: Membership, payment_plan: Any, door: str
) -> None:
    payment = begin(membership)
    row = Membership.objects.create()
    setup = Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=payment_plan)
    age()

    def run(name: str) -> None:
        if door == "command":
            call_command(name)
        else:
            getattr(tasks, name)()

    run("payment_intent_fulfillment")
    assert states_of(payment, setup) == [states.FAIL, states.PENDING]
    run("setup_intent_fulfillment")
    assert states_of(payment, setup) == [states.FAIL, states.FAIL]
    assert gateway().retrieve_payment_intent(payment.payment_intent_id).canceled
    assert gateway().retrieve_setup_intent(setup.setup_intent_id).canceled


def states_of(*checkouts: Checkout) -> list[str]:
    return [Checkout.objects.get(pk=checkout.pk).state_id or "" for checkout in checkouts]


def test_the_old_timetable_takes_a_deposit_that_was_left(emulator: Emulator, died: ObjectPaymentPlan) -> None:
    call_command("setup_intent_fulfillment")
    assert emulator.ledger.taken_minor() == 2000


# -- deposits --------------------------------------------------------------------------------------------


@pytest.fixture
def died(emulator: Emulator, membership: Membership, payment_plan: Any, monkeypatch: Any) -> ObjectPaymentPlan:
    """A plan whose card was saved, and then the process died before the deposit was asked for."""
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    with monkeypatch.context() as patched:
        patched.setattr(plans, "take_waiting_deposit", lambda checkout: None)
        fulfillment.fulfill(checkout)
    assert emulator.ledger.taken_minor() == 0
    return ObjectPaymentPlan.objects.for_content_object(membership)


def test_a_deposit_that_was_never_asked_for_is_taken_once(
    emulator: Emulator, died: ObjectPaymentPlan, capsys: Any
) -> None:
    call_command("stripe_intent_fulfillment")
    assert "deposits taken 1" in capsys.readouterr().out
    assert stale.tidy().deposits == 0
    assert emulator.ledger.taken_minor() == 2000
    assert died.payment_count == 4


def test_a_stopped_plan_and_a_plan_without_a_payers_word_are_left(
    emulator: Emulator, died: ObjectPaymentPlan, payment_plan: Any
) -> None:
    died.delete_plan()
    by_hand = Membership.objects.create()
    ObjectPaymentPlan.objects.create_object_payment_plan(by_hand, payment_plan, by_hand.total)
    assert stale.tidy().deposits == 0
    assert emulator.ledger.taken_minor() == 0

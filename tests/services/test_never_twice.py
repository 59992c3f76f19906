"""Two tabs, two people, a page and a run: however they meet, one debt is taken once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.db.models import Q

from checkout import clock, errors, states
from checkout.gateway import Gateway, PaymentIntent, gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan, StateChange
from checkout.services import cards, charging, checkouts, debts, fulfillment, intents, moves, plans, reconcile, runs
from checkout.services.update_each import LostRace
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.saved import agreed
from tests.services.conftest import SavePlan, enter_card, make_due

pytestmark = pytest.mark.django_db


def secret(checkout: Checkout) -> str:
    """What an open tab of this attempt holds."""
    return gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret


# -- paying at once, and by a plan, in two tabs ------------------------------------------------------------


def test_agreeing_a_plan_ends_the_payment_that_is_open_in_another_tab(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    at_once = Checkout.objects.create_checkout("payment", membership, None)
    tab = secret(at_once)
    in_parts = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, in_parts, "4242424242424242")
    fulfillment.fulfill(in_parts)
    assert emulator.pay(tab, number="4242424242424242")["error"]["code"] == "payment_intent_unexpected_state"
    assert emulator.ledger.taken_minor() == 2000
    at_once.refresh_from_db()
    assert (at_once.state_id, at_once.superseded) == (states.FAIL, True)


def test_paying_at_once_ends_the_plan_that_is_being_agreed_in_another_tab(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    in_parts = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    at_once = Checkout.objects.create_checkout("payment", membership, None)
    assert gateway().retrieve_setup_intent(in_parts.setup_intent_id).canceled
    enter_card(emulator, at_once, "4242424242424242")
    assert fulfillment.fulfill(at_once).succeeded
    assert fulfillment.fulfill(in_parts).failed
    assert not ObjectPaymentPlan.objects.exists()


def test_what_is_paid_in_parts_cannot_be_paid_at_once_as_well(
    emulator: Emulator, membership: Membership, save_plan: SavePlan
) -> None:
    """Even when the host's row goes on saying that it may be charged, for it is not paid yet."""
    save_plan()
    Membership.objects.update(can_charge=True)
    membership.refresh_from_db()
    with pytest.raises(errors.CannotPay, match="plan"):
        Checkout.objects.create_checkout("payment", membership, None)


def test_marking_as_paid_ends_the_plan_that_is_being_agreed(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, staff: Any
) -> None:
    in_parts = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    Checkout.objects.manual(membership, staff)
    assert gateway().retrieve_setup_intent(in_parts.setup_intent_id).canceled
    in_parts.refresh_from_db()
    assert in_parts.failed


def test_two_tabs_that_agree_at_the_same_moment_leave_one_card_form(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, monkeypatch: Any
) -> None:
    """The second one looks for open attempts before the first has written its own."""
    ensured = cards.ensure_stripe_customer
    others: list[Checkout] = []

    def meanwhile(customer: Any) -> str:
        if not others:
            others.append(Checkout())
            others[0] = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
        return ensured(customer)

    monkeypatch.setattr(cards, "ensure_stripe_customer", meanwhile)
    with pytest.raises(errors.AttemptInProgress):
        Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    assert [checkout.pk for checkout in Checkout.objects.open()] == [others[0].pk]


# -- an instalment on the page -----------------------------------------------------------------------------


def test_a_page_that_is_opened_while_a_run_takes_the_instalment(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    [line] = make_due(save_plan())
    ensured = cards.ensure_stripe_customer

    def meanwhile(customer: Any) -> str:
        charging.charge(type(line).objects.get(pk=line.pk))
        return ensured(customer)

    monkeypatch.setattr(cards, "ensure_stripe_customer", meanwhile)
    with pytest.raises(errors.AlreadyPaid):
        Checkout.objects.create_checkout_pay_on_session(line)
    assert not Checkout.objects.open().exists()


def test_a_page_that_is_opened_while_the_plan_is_stopped(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    plan = save_plan()
    [line] = make_due(plan)
    ensured = cards.ensure_stripe_customer

    def meanwhile(customer: Any) -> str:
        plans.stop(plan)
        return ensured(customer)

    monkeypatch.setattr(cards, "ensure_stripe_customer", meanwhile)
    with pytest.raises(errors.CannotPay, match="stopped"):
        Checkout.objects.create_checkout_pay_on_session(line)
    assert not Checkout.objects.open().exists()


@pytest.mark.parametrize("card", ["4242424242424242", "4000002760003184"])
def test_a_bank_that_takes_its_time_and_then_says_no_leaves_one_payable_intent(
    emulator: Emulator, save_plan: SavePlan, card: str
) -> None:
    """`processing` and then declined: the intent in the payer's tab can still be paid, so the attempt stays open."""
    plan = save_plan(card)
    line = plan.payments[0] if card.endswith("3184") else make_due(plan)[0]
    checkout = Checkout.objects.create_checkout_pay_on_session(line)
    before = checkout.state_id
    tab = secret(checkout)
    intent = emulator.world.tables["payment_intent"].get(checkout.payment_intent_id)
    assert intent is not None
    status = intent["status"]
    emulator.world.change(intent, status="processing")
    assert fulfillment.fulfill(checkout).state_id == states.REQUEST
    emulator.world.change(intent, status=status)
    assert fulfillment.fulfill(checkout).state_id == before
    line.refresh_from_db()
    again = charging.charge(line)
    assert emulator.pay(tab, number="4242424242424242")["error"]["code"] == "payment_intent_unexpected_state"
    assert again.state_id in (states.SUCCESS, states.PAY_ON_SESSION)


# -- what one does between another's two steps -------------------------------------------------------------


def test_a_charge_that_staff_have_just_begun_is_not_asked_for_by_the_payers_page(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, monkeypatch: Any
) -> None:
    agreed(save_plan().card)
    row = Membership.objects.create(email=membership.email)
    begun = checkouts._open_or_insert

    def meanwhile(content_object: Any, slug: str, user: Any, **fields: Any) -> Checkout:
        charging.claim(Membership.objects.get(pk=row.pk))
        return begun(content_object, slug, user, **fields)

    monkeypatch.setattr(checkouts, "_open_or_insert", meanwhile)
    asked = len(emulator.requests)
    with pytest.raises(errors.AttemptInProgress):
        Checkout.objects.create_checkout("payment", row, None)
    assert len(emulator.requests) == asked


def test_an_attempt_that_is_asked_for_while_it_is_being_closed(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    """Staff read it before Stripe was asked, and close it when the payer has the page."""
    with monkeypatch.context() as patched:
        patched.setattr(intents, "ensure_intent", lambda checkout: checkout)
        Checkout.objects.create_checkout("payment", membership, None)
    read_by_staff = Checkout.objects.get()
    shown = intents.page(Checkout.objects.get())
    intents.close(read_by_staff, why=Why(Code.CANCELLED_BY_STAFF), superseded=True)
    answer = emulator.pay(shown.client_secret, number="4242424242424242")
    assert answer["error"]["code"] == "payment_intent_unexpected_state"


def test_an_attempt_that_was_closed_is_not_asked_for_any_more(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(intents, "ensure_intent", lambda checkout: checkout)
        Checkout.objects.create_checkout("payment", membership, None)
    read_by_the_page = Checkout.objects.get()
    intents.close(Checkout.objects.get(), why=Why(Code.CANCELLED_BY_STAFF), superseded=True)
    assert intents.page(read_by_the_page).finished
    assert not emulator.world.tables["payment_intent"]


def test_two_people_who_stop_a_plan_at_once_leave_it_stopped(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan("4000002760003184")
    theirs = ObjectPaymentPlan.objects.get(pk=plan.pk)
    ObjectPaymentPlan.objects.filter(pk=plan.pk).update(deleted=True)  # the first one got so far
    emulator.fail(call=1, fault=faults.LockTimeout())
    with pytest.raises(errors.GatewayError):
        plans.stop(theirs)
    plan.refresh_from_db()
    assert plan.deleted


# -- what was agreed ---------------------------------------------------------------------------------------


def test_an_agreement_outlives_its_template(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    """The payer had the page open when the office stopped offering these terms, and the host changed its currency."""
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    plans.new_version(payment_plan, count=6)
    Membership.objects.update(currency="EUR")
    enter_card(emulator, checkout, "4242424242424242")
    assert fulfillment.fulfill(checkout).succeeded
    plan = ObjectPaymentPlan.objects.get()
    assert (plan.currency, plan.payment_count, emulator.ledger.taken_minor(currency="gbp")) == ("GBP", 4, 2000)


def test_the_customer_that_is_charged_is_the_one_of_the_attempt(emulator: Emulator, save_plan: SavePlan) -> None:
    """The first request is lost; before the payer comes again, the customer is deleted at Stripe and made anew."""
    plan = save_plan()
    [line] = make_due(plan)
    emulator.fail(call=1, fault=faults.LostBefore())
    with pytest.raises(errors.OutcomeUnknown):
        Checkout.objects.create_checkout_pay_on_session(line)
    emulator.weather.clear()
    customer = plan.customer
    assert customer is not None
    cards.mark_gone(customer.at_stripe.get().stripe_customer_id)
    customer.refresh_from_db()
    made_anew = cards.ensure_stripe_customer(customer)
    checkout = Checkout.objects.create_checkout_pay_on_session(line)
    intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    assert intent.customer_id == checkout.stripe_customer_id
    assert intent.customer_id != made_anew


def test_a_claimant_that_lost_its_lease_frees_nothing(emulator: Emulator, save_plan: SavePlan) -> None:
    """It got 429, slept past its lease, and wakes up when somebody else has asked with the same key."""
    (line,) = make_due(save_plan())
    held = charging.claim(line, if_due=True)
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        (other,) = reconcile.overdue()
        assert reconcile._renew_lease(other)
        charging.ask(charging.request_for(other))
        taken = emulator.ledger.taken_minor()
        charging.settle(held, errors.TooManyRequests("429 before the process was suspended"))
        line.refresh_from_db()
        assert line.state_id == states.REQUEST
    assert emulator.ledger.taken_minor() == taken == 2000 + 2666


def test_an_answer_that_is_still_processing_keeps_its_intent(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    (line,) = make_due(save_plan())
    charge = Gateway.charge_off_session

    def processing(self: Gateway, **asked: Any) -> PaymentIntent:
        return replace(charge(self, **asked), status="processing", amount_received_minor=0)

    monkeypatch.setattr(Gateway, "charge_off_session", processing)
    runs.process_payments(workers=1)
    attempt = Checkout.objects.for_content_object(line).get()
    assert (attempt.state_id, attempt.payment_intent_id[:3]) == (states.REQUEST, "pi_")


def test_a_page_that_staff_cancel_leaves_its_line_owed(
    emulator: Emulator, save_plan: SavePlan, membership: Membership, staff: Any
) -> None:
    (line,) = make_due(save_plan())
    page = Checkout.objects.create_checkout_pay_on_session(line)
    intents.close(page, why=Why(Code.CANCELLED_BY_STAFF), user=staff)
    line.refresh_from_db()
    membership.refresh_from_db()
    assert (line.state_id, membership.failures) == (states.PENDING, 0)
    assert list(ObjectPaymentPlanInstalment.objects.due) == [line]


def test_a_row_in_hand_that_is_old_claims_nothing(emulator: Emulator, save_plan: SavePlan) -> None:
    """Two processes hold the same line as it was: the one UPDATE decides."""
    (line,) = make_due(save_plan())
    other = ObjectPaymentPlanInstalment.objects.get(pk=line.pk)
    assert moves.move(line, to=states.REQUEST)
    assert not moves.move(other, to=states.REQUEST)
    assert other.state_id == states.REQUEST
    assert StateChange.objects.filter(instalment=line, to_state=states.REQUEST).count() == 1


def test_rows_in_hand_that_are_old_are_not_claimed_together(emulator: Emulator, save_plan: SavePlan) -> None:
    lines = make_due(save_plan(), 2)
    among = ObjectPaymentPlanInstalment.objects.all()
    about: dict[str, Any] = {"from_state": states.PENDING, "to": states.REQUEST}
    with transaction.atomic():
        assert moves.move_many(lines, among=among, **about) == lines
    for line in lines:
        line.state_id = states.PENDING
    with transaction.atomic():
        assert moves.move_many(lines, among=among, **about) == []


@pytest.mark.parametrize("change", ["stopped", "paused", "postponed"])
def test_what_staff_change_while_a_run_looks_holds(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    plan = save_plan()
    (line,) = make_due(plan)
    opened = debts.open_lines

    def meanwhile(lines: Any) -> None:
        # Between the run's look and its claim.
        opened(lines)
        if change == "postponed":
            later = clock.today() + timedelta(days=30)
            ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(due=later)
        else:
            ObjectPaymentPlan.objects.filter(pk=plan.pk).update(**{{"stopped": "deleted"}.get(change, change): True})

    monkeypatch.setattr(debts, "open_lines", meanwhile)
    before = emulator.ledger.taken_minor()
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == before
    line.refresh_from_db()
    assert line.state_id == states.PENDING


def test_a_set_up_that_is_asked_for_again_is_the_same_one(
    emulator: Emulator, membership: Membership, payment_plan: Any
) -> None:
    emulator.weather.add(faults.LostAfter(), path="POST /v1/setup_intents", times=1)
    with pytest.raises(errors.OutcomeUnknown):
        Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    begun = intents.ensure_intent(Checkout.objects.get())
    assert begun.setup_intent_id
    assert len(emulator.world.tables["setup_intent"]) == 1


def test_a_batch_that_somebody_was_in_the_middle_of_is_claimed_by_nobody(
    emulator: Emulator, save_plan: SavePlan
) -> None:
    """Between looking and writing, where locks do not exist: the UPDATE counts whom it moved."""
    lines = make_due(save_plan(), 2)

    def meanwhile(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith("UPDATE") and not meddled:
            meddled.append(sql)
            ObjectPaymentPlanInstalment.objects.filter(pk=lines[0].pk).update(state=states.SUCCESS)
        return execute(sql, *more)

    meddled: list[str] = []
    among = ObjectPaymentPlanInstalment.objects.all()
    with transaction.atomic(), connection.execute_wrapper(meanwhile), pytest.raises(LostRace):
        moves.move_many(lines, among=among, from_state=states.PENDING, to=states.REQUEST)
    assert meddled


@pytest.mark.parametrize("only_if", [None, Q(amount__gt=0)])
def test_what_was_paid_since_it_was_read_is_not_claimed(emulator: Emulator, save_plan: SavePlan, only_if: Any) -> None:
    line = make_due(save_plan(), 1)[0]
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(state=states.SUCCESS)
    assert not moves.move(line, to=states.REQUEST, only_if=only_if)
    assert line.state_id == ObjectPaymentPlanInstalment.objects.get(pk=line.pk).state_id == states.SUCCESS


def test_news_of_a_cancel_that_comes_before_its_end_is_written_tells_the_host_nothing(
    emulator: Emulator, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    cancel = Gateway.cancel_payment_intent

    def meanwhile(self: Gateway, intent_id: str) -> PaymentIntent:
        answer = cancel(self, intent_id)
        # A worker reads Stripe's event about it.
        fulfillment.fulfill_payment_intent(intent_id)
        return answer

    monkeypatch.setattr(Gateway, "cancel_payment_intent", meanwhile)
    closed = intents.close(checkout, why=Why(Code.REPLACED), superseded=True)
    membership.refresh_from_db()
    assert (closed.failed, closed.superseded, membership.failures) == (True, True, 0)

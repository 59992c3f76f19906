"""Money goes back once, never more than was taken, and the books and Stripe's ledger agree."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import IntegrityError, transaction
from post_office.models import Email

from checkout import clock, errors, signals, states, tasks
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    Debt,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentRun,
    PaymentRunItem,
    Posting,
    Problem,
    Refund,
    ScheduledJob,
    StateChange,
)
from checkout.services import booking, charging, fulfillment, plans, reconcile, refund_settling, refunds
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, lines, make_due

pytestmark = pytest.mark.django_db

REFUNDS = r"POST /v1/refunds$"


def paid(emulator: Emulator, membership: Membership, number: str = "4242424242424242") -> Checkout:
    checkout = Checkout.objects.create_checkout("payment", membership)
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret, number=number)
    return fulfillment.fulfill(checkout)


def books_agree(emulator: Emulator, checkout: Checkout) -> bool:
    """What our rows say was given back is what Stripe gave back, and what is reserved is the sum of both kinds."""
    checkout.refresh_from_db()
    ours = sum((row.amount for row in checkout.refunds.exclude(state=Refund.FAILED)), Decimal(0))
    factor = 1 if checkout.currency == "JPY" else 100
    theirs = emulator.ledger.refunded_minor(metadata={"checkout": str(checkout.uuid)})
    return checkout.refunded == ours and int(ours * factor) == theirs


def test_partial_refunds_add_up_and_never_exceed(emulator: Emulator, membership: Membership, staff: Any) -> None:
    checkout = paid(emulator, membership)
    first = refunds.refund(checkout, Decimal(30), user=staff, note="moved house")
    assert (first.state, first.requested_by) == (Refund.SUCCEEDED, staff)
    second = refunds.refund(checkout, Decimal(70), user=staff)
    assert second.state == Refund.SUCCEEDED
    with pytest.raises(errors.RefundError):
        refunds.refund(checkout, Decimal("0.01"), user=staff)
    assert books_agree(emulator, checkout)
    trail = StateChange.objects.filter(refund=first).values_list("from_state", "to_state", "user", "code", "note")
    assert list(trail) == [
        ("", "pending", staff.pk, "", "moved house"),
        ("pending", "succeeded", None, "refunded", ""),
    ]


@pytest.mark.parametrize(
    ("total", "parts"),
    [
        ("99.99", ["49.99", "50.00"]),
        ("99.99", ["33.33", "33.33", "33.33"]),
        ("26.67", ["13.33", "13.34"]),
        ("1.10", ["0.10", "0.20", "0.80"]),
        ("4.35", ["4.10", "0.25"]),
    ],
)
def test_parts_of_an_odd_amount_can_all_be_refunded(
    emulator: Emulator, membership: Membership, staff: Any, total: str, parts: list[str]
) -> None:
    """In binary, 49.99 + 50.00 is more than 99.99, and SQLite reckons in binary."""
    Membership.objects.update(total=Decimal(total))
    membership.refresh_from_db()
    checkout = paid(emulator, membership)
    for part in parts:
        assert refunds.refund(checkout, Decimal(part), user=staff).state == Refund.SUCCEEDED
    with pytest.raises(errors.RefundError):
        refunds.refund(checkout, Decimal("0.01"), user=staff)
    assert books_agree(emulator, checkout)


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "100.01"])
def test_an_amount_that_cannot_be_refunded_reserves_nothing(
    emulator: Emulator, membership: Membership, amount: str
) -> None:
    checkout = paid(emulator, membership)
    with pytest.raises(errors.CheckoutError):
        refunds.refund(checkout, Decimal(amount))
    assert books_agree(emulator, checkout)
    assert not Refund.objects.exists()


def test_what_was_not_paid_by_card_is_not_refunded_here(emulator: Emulator, membership: Membership, staff: Any) -> None:
    checkout = Checkout.objects.manual(membership, staff)
    with pytest.raises(errors.RefundError, match="other means"):
        refunds.refund(checkout, Decimal(1))


def test_the_same_key_twice_is_one_refund(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    key = uuid.uuid4()
    assert refunds.refund(checkout, Decimal(10), key=key) == refunds.refund(checkout, Decimal(10), key=key)
    assert books_agree(emulator, checkout)
    assert checkout.refunded == 10


def test_the_database_refuses_more_than_the_total_whoever_writes(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    with pytest.raises(IntegrityError), transaction.atomic():
        Checkout.objects.filter(pk=checkout.pk).update(refunded=Decimal("100.01"))


def test_two_at_once_for_the_same_money(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    stale = Checkout.objects.get(pk=checkout.pk)
    key = uuid.uuid4()
    claimed = refunds.claim(checkout, Decimal(60), user=None, reason="", note="", plan_effect="keep", key=key)
    with pytest.raises(errors.RefundError, match="£40"):
        refunds.refund(stale, Decimal(60))
    assert refunds.resolve(claimed).succeeded
    assert books_agree(emulator, checkout)


@pytest.mark.parametrize("fault", [faults.LostBefore(), faults.LostAfter(), faults.Status(500), faults.CutBody()])
def test_a_lost_answer_is_found_out_with_the_same_key(
    emulator: Emulator, membership: Membership, fault: faults.Fault
) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(fault, path=REFUNDS)
    row = refunds.refund(checkout, Decimal(40))
    assert row.pending
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        assert refunds.resolve_all().settled == 1
    row.refresh_from_db()
    assert row.succeeded
    assert books_agree(emulator, checkout)


@pytest.mark.parametrize("job", [tasks.settle_refunds, partial(call_command, "settle_refunds", verbosity=0)])
def test_the_job_settles_what_was_left(emulator: Emulator, membership: Membership, job: Callable[[], Any]) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.LostAfter(), path=REFUNDS)
    refunds.refund(checkout, Decimal(40))
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        job()
        job()
    assert Refund.objects.get().succeeded
    assert books_agree(emulator, checkout)
    assert ScheduledJob.objects.get(name="settle_refunds").last_succeeded_at is not None


@pytest.mark.parametrize("fault", [faults.LostBefore(), faults.LostAfter()])
def test_after_the_life_of_the_key_it_is_looked_up(
    emulator: Emulator, membership: Membership, fault: faults.Fault
) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(fault, path=REFUNDS)
    row = refunds.refund(checkout, Decimal(40))
    with time_machine.travel(clock.now() + timedelta(hours=30)):
        refunds.resolve_all()
    row.refresh_from_db()
    assert row.state == (Refund.FAILED if isinstance(fault, faults.LostBefore) else Refund.SUCCEEDED)
    assert books_agree(emulator, checkout)


def test_a_500_that_stripe_remembers_is_looked_up(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.Status(500, after=True), path=REFUNDS)
    row = refunds.refund(checkout, Decimal(40))
    assert row.pending
    refunds.import_refunds(checkout)
    row.refresh_from_db()
    assert row.succeeded
    assert books_agree(emulator, checkout)


def test_a_refused_key_gives_nothing_back_and_says_so(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.Status(401), path=REFUNDS)
    with pytest.raises(errors.KeyRefused):
        refunds.refund(checkout, Decimal(40))
    assert books_agree(emulator, checkout)
    assert Refund.objects.get().failed


@pytest.mark.parametrize("before", [7000, None], ids=["most of it", "all of it"])
def test_from_the_dashboard_first_and_ours_after(
    emulator: Emulator, membership: Membership, before: int | None
) -> None:
    """Stripe refuses what is more than is left by a sentence, and anything once all was given back by a code."""
    checkout = paid(emulator, membership)
    made = emulator.bank.dashboard_refund(checkout.payment_intent_id, before)
    row = refunds.refund(checkout, Decimal(40))
    assert row.failed
    assert row.failure == str(Why(Code.REFUNDED_BEFORE))
    assert checkout.refunds.filter(from_dashboard=True, refund_id=made["id"]).count() == 1
    for _ in range(2):
        imported = refunds.refund_updated_at_stripe(made["id"])
        assert imported is not None
        assert imported.succeeded
    assert Refund.objects.count() == 2
    assert books_agree(emulator, checkout)


@pytest.mark.parametrize("hours", [0, 25], ids=["asked again", "looked up"])
def test_from_the_dashboard_while_the_same_money_is_reserved_for_a_refund_that_never_arrived(
    emulator: Emulator, membership: Membership, hours: int
) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.LostBefore(), path=REFUNDS)
    ours = refunds.refund(checkout, Decimal(60))
    assert ours.pending
    made = emulator.bank.dashboard_refund(checkout.payment_intent_id)
    with time_machine.travel(clock.now() + timedelta(hours=hours)):
        theirs = refunds.refund_updated_at_stripe(made["id"])
    assert theirs is not None
    assert (theirs.from_dashboard, theirs.succeeded, theirs.amount) == (True, True, Decimal(100))
    ours.refresh_from_db()
    assert ours.failed
    assert books_agree(emulator, checkout)


def test_what_a_bank_took_back_before_we_heard_of_it_is_not_refunded_as_well(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = paid(emulator, membership)
    emulator.bank.dispute(checkout.payment_intent_id)
    row = refunds.refund(checkout, Decimal(40))
    assert row.failed
    assert row.failure == str(Why(Code.REFUND_DISPUTED))
    assert books_agree(emulator, checkout)


def test_who_gives_money_back_at_stripe_is_told_that_the_plan_goes_on(
    emulator: Emulator, save_plan: SavePlan, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    plan = save_plan()
    deposit = Checkout.objects.for_content_object(plans.deposit_of(plan)).success().get()
    made = emulator.bank.dashboard_refund(deposit.payment_intent_id)
    for _ in range(2):
        refunds.refund_updated_at_stripe(made["id"])
    mail = Email.objects.get(to=["office@example.com"], subject__contains="given back")
    assert mail.subject.startswith("£20.00 was given back at Stripe: ")
    assert "The payment plan goes on" in mail.message
    assert f"/plans/{plan.uuid}/" in mail.message


def test_nobody_is_told_that_a_plan_goes_on_which_does_not(
    emulator: Emulator, save_plan: SavePlan, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    plan = save_plan()
    deposit = Checkout.objects.for_content_object(plans.deposit_of(plan)).success().get()
    plans.stop(plan)
    made = emulator.bank.dashboard_refund(deposit.payment_intent_id)
    refunds.refund_updated_at_stripe(made["id"])
    assert not Email.objects.filter(to=["office@example.com"], subject__contains="given back").exists()


def test_news_of_our_own_refund_before_its_answer_is_no_second_refund(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.LostAfter(), path=REFUNDS)
    row = refunds.refund(checkout, Decimal(40))
    theirs = next(gateway().list_refunds(payment_intent_id=checkout.payment_intent_id))
    assert refunds.refund_updated_at_stripe(theirs.id) == row
    assert Refund.objects.get().succeeded
    assert books_agree(emulator, checkout)


def test_news_of_a_refund_that_comes_before_that_of_its_payment_settles_both(
    emulator: Emulator, membership: Membership
) -> None:
    """Whoever paid closed the tab, and the webhook of the payment is late."""
    checkout = Checkout.objects.create_checkout("payment", membership)
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    made = emulator.bank.dashboard_refund(checkout.payment_intent_id, 4000)
    row = refunds.refund_updated_at_stripe(made["id"])
    checkout.refresh_from_db()
    assert row is not None
    assert (row.succeeded, checkout.succeeded, checkout.debt.paid) == (True, True, 60)
    assert books_agree(emulator, checkout)


def test_a_refund_of_a_stranger_is_left_alone(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    made = emulator.bank.dashboard_refund(checkout.payment_intent_id)
    Checkout.objects.filter(pk=checkout.pk).update(payment_intent_id="pi_other")
    assert refunds.refund_updated_at_stripe(made["id"]) is None


def test_a_refund_that_fails_days_later_is_shown_mailed_once_and_can_be_made_again(
    emulator: Emulator, membership: Membership, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    checkout = paid(emulator, membership, "4000000000005126")
    Email.objects.all().delete()
    row = refunds.refund(checkout, Decimal(100))
    assert row.succeeded
    emulator.clock.advance(days=3)
    emulator.tick()
    for _ in range(2):
        refunds.refund_updated_at_stripe(row.refund_id)
    row.refresh_from_db()
    assert row.failed
    assert "came back to us" in row.failure
    [mail] = Email.objects.filter(subject__startswith="A refund")
    assert "£100.00" in mail.subject
    assert books_agree(emulator, checkout)
    assert refunds.left(checkout) == 100


def test_a_refund_on_its_way_is_settled_later(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership, "4000000000007726")
    row = refunds.refund(checkout, Decimal(100))
    assert row.pending
    assert row.refund_id
    emulator.clock.advance(days=3)
    emulator.tick()
    assert refunds.resolve(row).succeeded
    assert books_agree(emulator, checkout)


def test_yen_have_no_pennies(emulator: Emulator) -> None:
    checkout = paid(emulator, Membership.objects.create(currency="JPY", total=Decimal(5000)))
    with pytest.raises(errors.MoneyError):
        refunds.refund(checkout, Decimal("0.5"))
    assert refunds.refund(checkout, Decimal(1200)).succeeded
    assert books_agree(emulator, checkout)
    assert emulator.ledger.refunded_minor(currency="jpy") == 1200


@pytest.mark.django_db(transaction=True)
def test_the_hosts_hook_and_the_signal_hear_of_it_once(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    heard: list[Any] = []
    told: list[Any] = []

    def listen(refund: Refund, **kwargs: Any) -> None:
        told.append(refund.pk)

    monkeypatch.setattr(Membership, "checkout_refunded", lambda self, row: heard.append(row.pk), raising=False)
    signals.checkout_refunded.connect(listen)
    row = refunds.refund(paid(emulator, membership), Decimal(10))
    refunds.refund_updated_at_stripe(row.refund_id)
    signals.checkout_refunded.disconnect(listen)
    assert heard == [row.pk] == told


# -- what it does to the plan ----------------------------------------------------------------------------


def deposit_of(plan: ObjectPaymentPlan) -> Checkout:
    return Checkout.objects.for_content_object(plans.deposit_of(plan)).success().get()


def test_keep_leaves_the_plan_alone(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    before = lines(plan)
    refunds.refund(deposit_of(plan), Decimal(5))
    assert lines(plan) == before


def test_stop_stops_the_plan_in_the_same_step(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    row = refunds.refund(deposit_of(plan), Decimal(20), user=staff, plan_effect="stop")
    plan.refresh_from_db()
    assert (plan.deleted, plan.deleted_by, row.plan_effect_done) == (True, staff, True)
    assert row.succeeded


def test_a_refund_on_its_way_is_looked_at_again_after_it_has_stopped_its_plan(
    emulator: Emulator, save_plan: SavePlan
) -> None:
    plan = save_plan("4000000000007726")
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="stop")
    plan.refresh_from_db()
    assert (row.pending, plan.deleted) == (True, True)
    emulator.clock.advance(days=3)
    emulator.tick()
    with time_machine.travel(clock.now() + timedelta(days=3)):
        assert refunds.resolve_all() == refunds.Resolved(settled=1)
    row.refresh_from_db()
    assert row.succeeded


def test_a_plan_that_could_not_be_stopped_at_once_is_stopped_by_the_next_sweep(
    emulator: Emulator, save_plan: SavePlan
) -> None:
    plan = save_plan()
    make_due(plan)
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
    ObjectPaymentPlanInstalment.objects.process_payments()
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="stop")
    plan.refresh_from_db()
    assert (row.succeeded, row.plan_effect_done, plan.deleted) == (True, False, False)
    # The charge is not settled yet, so the plan cannot be stopped either.
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        assert refunds.resolve_all() == refunds.Resolved(waiting=1)
    with time_machine.travel(clock.now() + timedelta(minutes=22)):
        reconcile.reconcile()
        assert refunds.resolve_all() == refunds.Resolved(settled=1)
    row.refresh_from_db()
    plan.refresh_from_db()
    assert (row.plan_effect_done, plan.deleted) == (True, True)


def test_give_back_makes_the_amount_owed_again_once(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    last = plan.payments.last()
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="give_back")
    refunds.refund_updated_at_stripe(row.refund_id)
    assert lines(plan)[0] == (1, Decimal(20), states.SUCCESS)
    assert lines(plan)[4:] == [(5, Decimal(20), states.PENDING)]
    added = plan.payments.last()
    assert added is not None
    assert last is not None
    assert added.due > last.due
    assert added.replaces == plan.payments.first()
    with pytest.raises(errors.RefundError):
        refunds.refund(deposit_of(plan), Decimal(1), plan_effect="give_back")


def test_a_line_that_is_too_small_to_charge_is_not_given_back(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    with pytest.raises(errors.MoneyError):
        refunds.refund(deposit_of(plan), Decimal("0.10"), plan_effect="give_back")
    assert not Refund.objects.exists()


def test_when_the_refund_fails_later_the_added_line_is_taken_off(
    emulator: Emulator, save_plan: SavePlan, settings: Any
) -> None:
    plan = save_plan("4000000000005126")
    before = lines(plan)
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="give_back")
    assert len(lines(plan)) == 5
    emulator.clock.advance(days=3)
    emulator.tick()
    refunds.refund_updated_at_stripe(row.refund_id)
    assert lines(plan) == before


@pytest.mark.parametrize("number", ["4000000000007726", "4000000000005126"])
def test_what_a_new_line_owes_is_at_no_time_told_as_paid_too_much(
    emulator: Emulator, save_plan: SavePlan, number: str
) -> None:
    """Neither while the refund is on its way, nor when it comes back to us days later."""
    plan = save_plan(number)
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="give_back")
    emulator.clock.advance(days=3)
    emulator.tick()
    settled = refunds.refund_updated_at_stripe(row.refund_id)
    assert settled is not None
    assert (settled.succeeded, settled.failed) == (row.pending, row.succeeded)
    assert not Problem.objects.exists()
    assert not booking.wrong_counters().exists()


@pytest.mark.parametrize("number", ["4000000000007726", "4000000000005126"])
def test_what_a_new_line_owes_of_a_refund_that_came_back_is_too_much_once_it_was_charged(
    emulator: Emulator, save_plan: SavePlan, number: str
) -> None:
    plan = save_plan(number)
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="give_back")
    for _line in range(4):
        make_due(plan)
    ObjectPaymentPlanInstalment.objects.process_payments()
    assert not Problem.objects.exists()
    refund_settling.fail(row, Why(note="The account is closed."))
    assert [(each.kind, each.amount) for each in Problem.objects.all()] == [(Problem.Kind.PAID_TOO_MUCH, Decimal(20))]


def test_a_refund_that_never_went_closes_no_problem_that_was_opened_since_its_debt_was_read(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = paid(emulator, membership, "4000000000007726")
    assert checkout.debt is not None
    row = refunds.refund(checkout, Decimal(30))
    row.checkout.debt = Debt.objects.get()
    with transaction.atomic():
        booking.post(Debt.objects.get(), Posting.Kind.OTHER_MEANS, Decimal(100), cause="cash")
    assert Problem.objects.get().kind == Problem.Kind.PAID_TOO_MUCH
    refund_settling.fail(row, Why(note="The account is closed."))
    assert Problem.objects.get().is_open


@pytest.mark.parametrize("happened", ["its payer was told of it", "its page was left", "it was declined"])
def test_an_added_line_that_something_happened_to_is_over_when_the_refund_fails(
    emulator: Emulator, save_plan: SavePlan, happened: str
) -> None:
    plan = save_plan("4000000000005126")
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="give_back")
    added = plan.instalments.get(replaces__isnull=False)
    if happened == "its payer was told of it":
        Notice.objects.create(cause="due", template="payment_due", instalment=added)
    elif happened == "its page was left":
        Checkout.objects.create_checkout_pay_on_session(added, None)
        charging.close_attempts(added, why=Why(Code.PAGE_LEFT))
    else:
        emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds", 1)
        assert charging.charge(added).failed
    emulator.clock.advance(days=3)
    emulator.tick()
    assert refunds.refund_updated_at_stripe(row.refund_id).failed
    added.refresh_from_db()
    assert (added.state_id, added.ended, added.left, added.replaces) == (states.SUCCESS, "taken_off", 0, None)
    assert sum(line.debt.owed for line in plan.payments.select_related("debt")) == plan.total
    assert not booking.wrong_counters().exists()
    assert not Problem.objects.exists()


def test_an_added_line_that_owes_less_by_now_is_left_to_staff_when_the_refund_fails(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    """Its news would not be settled otherwise, and the payer never hear of it."""
    plan = save_plan("4000000000005126")
    row = refunds.refund(deposit_of(plan), Decimal(20), plan_effect="give_back")
    plan.refresh_from_db()
    plan.propose_change("discount", "a bursary", staff, amount=Decimal(5))
    assert plan.instalments.get(replaces__isnull=False).left == 15
    emulator.clock.advance(days=3)
    emulator.tick()
    assert refunds.refund_updated_at_stripe(row.refund_id).failed
    assert plan.instalments.get(replaces__isnull=False).state_id == states.PENDING
    assert [(each.kind, each.amount) for each in Problem.objects.all()] == [(Problem.Kind.PAID_TOO_MUCH, Decimal(20))]


# -- a refusal that proves nothing -------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [faults.Status(429), faults.Status(401), faults.Status(403), faults.LockTimeout()])
def test_a_refusal_after_a_lost_answer_does_not_free_the_money(
    emulator: Emulator, membership: Membership, refusal: Any
) -> None:
    """The first request was taken; that the second one was turned away says nothing about it."""
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.LostAfter(), path=REFUNDS)
    row = refunds.refund(checkout, Decimal(60))
    emulator.weather.add(refusal, path=REFUNDS)
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        refunds.resolve_all()
    row.refresh_from_db()
    assert row.pending
    with pytest.raises(errors.RefundError):
        refunds.refund(checkout, Decimal(60))
    emulator.weather.clear()
    with time_machine.travel(clock.now() + timedelta(minutes=30)):
        refunds.resolve_all()
    row.refresh_from_db()
    assert row.succeeded
    assert books_agree(emulator, checkout)


@pytest.mark.parametrize("refusal", [faults.Status(429), faults.Status(401)])
def test_a_refused_retry_of_the_same_refund_proves_nothing(
    emulator: Emulator, membership: Membership, settings: Any, monkeypatch: Any, refusal: Any
) -> None:
    """Between two answers of Stripe the same holds: lost, sent again, turned away."""
    checkout = paid(emulator, membership)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    settings.CHECKOUT_STRIPE_MAX_RETRIES = 2
    emulator.weather.add(faults.LostAfter(), path=REFUNDS)
    emulator.weather.add(refusal, path=REFUNDS, times=None)
    row = refunds.refund(checkout, Decimal(60))
    assert row.pending
    emulator.weather.clear()
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        refunds.resolve_all()
    row.refresh_from_db()
    assert row.succeeded
    assert books_agree(emulator, checkout)


def test_dinars_end_in_zero(emulator: Emulator) -> None:
    checkout = paid(emulator, Membership.objects.create(currency="KWD", total=Decimal("12.340")))
    with pytest.raises(errors.MoneyError):
        refunds.refund(checkout, Decimal("1.234"))
    assert refunds.refund(checkout, Decimal("1.230")).succeeded
    assert emulator.ledger.refunded_minor(metadata={"checkout": str(checkout.uuid)}) == 1230


def test_a_row_that_raises_does_not_stop_the_others(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    checkout = paid(emulator, membership)
    emulator.weather.add(faults.LostAfter(), path=REFUNDS, times=2)
    first, second = (refunds.refund(checkout, Decimal(10)) for _ in range(2))
    resolve = refunds.resolve

    def broken(row: Refund) -> Refund:
        if row.pk == first.pk:
            raise RuntimeError("something nobody thought of")
        return resolve(row)

    monkeypatch.setattr(refunds, "resolve", broken)
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        assert refunds.resolve_all() == refunds.Resolved(settled=1, errors=1)
    second.refresh_from_db()
    assert second.succeeded


# -- a line that is owed again -----------------------------------------------------------------------------


def owed(plan: ObjectPaymentPlan) -> Decimal:
    """What the plan's lines come to: a line that stands for another adds nothing."""
    return sum((line.amount for line in plan.payments if line.replaces_id is None), Decimal(0))


def test_lines_that_are_owed_again_add_nothing_to_the_total(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    deposit = deposit_of(plan)
    refunds.refund(deposit, Decimal(5), plan_effect=Refund.PlanEffect.GIVE_BACK)
    assert owed(plan) == plan.total
    unpaid = sum((line.amount for line in plan.payments.exclude(state=states.SUCCESS)), Decimal(0))
    deposit.refresh_from_db()
    assert unpaid + deposit.total - deposit.refunded == plan.total


def test_two_people_who_give_the_same_line_back_in_part(emulator: Emulator, save_plan: SavePlan) -> None:
    """The first is still on its way when the second is asked for."""
    plan = save_plan()
    deposit = deposit_of(plan)
    emulator.weather.add(faults.LostAfter(), path=REFUNDS)
    refunds.refund(deposit, Decimal(5), plan_effect=Refund.PlanEffect.GIVE_BACK)
    with pytest.raises(errors.RefundError, match="given back"):
        refunds.refund(deposit, Decimal(6), plan_effect=Refund.PlanEffect.GIVE_BACK)
    assert refunds.refund(deposit, Decimal(6)).succeeded
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        assert refunds.resolve_all() == refunds.Resolved(settled=1)
    assert books_agree(emulator, deposit)
    assert owed(plan) == plan.total
    assert plan.payment_count == 5


def test_a_refund_that_fails_after_a_run_looked_at_the_added_line(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    plan = save_plan()
    deposit = deposit_of(plan)
    row = refunds.refund(deposit, Decimal(5), plan_effect=Refund.PlanEffect.GIVE_BACK)
    added = plan.payments.last()
    assert added is not None
    run = PaymentRun.objects.create()
    PaymentRunItem.objects.create(payment_run=run, instalment=added, outcome=PaymentRunItem.Outcome.ERROR)
    assert refund_settling.fail(row, Why(note="The bank sent it back."))
    row.refresh_from_db()
    deposit.refresh_from_db()
    assert (row.state, deposit.refunded) == (Refund.FAILED, 0)


@pytest.mark.parametrize(
    "wrong", [{"amount_minor": 1}, {"currency": "EUR"}, {"payment_intent_id": "pi_other"}, {"id": "re_other"}]
)
def test_a_refund_that_is_not_the_one_asked_for_settles_nothing(
    emulator: Emulator, membership: Membership, wrong: dict[str, Any]
) -> None:
    row = refunds.refund(paid(emulator, membership), Decimal(10))
    answer = gateway().retrieve_refund(row.refund_id)
    Refund.objects.filter(pk=row.pk).update(state=Refund.PENDING)
    row.refresh_from_db()
    with pytest.raises(errors.IntentMismatch, match="does not match refund"):
        refund_settling.settle(row, replace(answer, **wrong))
    row.refresh_from_db()
    assert row.pending

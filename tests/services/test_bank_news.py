"""Refunds, disputes and warnings that no event told of are found by listing, and nothing is asked per row."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from checkout import clock, errors
from checkout.gateway import gateway
from checkout.models import Checkout, Debt, Dispute, LookBack, Problem, Refund, StateChange
from checkout.services import bank_news, disputes, fulfillment, look_back, problems, refund_settling, refunds
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db

DISPUTED, WARNED = "4000000000000259", "4000000000005423"


def paid(emulator: Emulator, number: str = "4242424242424242") -> Checkout:
    checkout = begin(Membership.objects.create())
    pay(emulator, checkout, number)
    return fulfillment.fulfill(checkout)


def test_a_refund_of_the_dashboard_is_found_once(emulator: Emulator) -> None:
    checkout = paid(emulator)
    emulator.bank.dashboard_refund(checkout.payment_intent_id)
    assert bank_news.look() == bank_news.News(compared=1, found=1)
    assert [(row.amount, row.from_dashboard) for row in Refund.objects.all()] == [(100, True)]
    assert Debt.objects.get().paid == 0
    assert bank_news.look().found == 0


def test_the_first_look_goes_back_to_the_first_payment(emulator: Emulator) -> None:
    """No event came, and no job had ever run until then."""
    checkout = paid(emulator)
    emulator.bank.dashboard_refund(checkout.payment_intent_id)
    with time_machine.travel(clock.now() + timedelta(days=75)):
        assert bank_news.look().found == 1
    assert Debt.objects.get().paid == 0


def test_a_refund_that_fails_days_later_is_found_within_a_day(emulator: Emulator) -> None:
    # https://docs.stripe.com/testing#refunds
    checkout = paid(emulator, "4000000000005126")
    row = refunds.refund(checkout, Decimal(100))
    assert row.succeeded
    bank_news.look()
    emulator.clock.advance(days=8)
    emulator.tick()
    with time_machine.travel(clock.now() + timedelta(days=8)):
        assert bank_news.look().found == 1
    row.refresh_from_db()
    assert (row.failed, Debt.objects.get().paid) == (True, 100)


def test_a_dispute_that_was_known_before_its_payment_was_found_again_is_booked(emulator: Emulator) -> None:
    """A restored database has lost the payment, and the event of its dispute comes before the look."""
    paid(emulator)
    lost = begin(Membership.objects.create())
    intent_id = lost.payment_intent_id
    pay(emulator, lost, DISPUTED)
    StateChange.objects.filter(checkout=lost).delete()
    Checkout.objects.filter(pk=lost.pk).delete()
    Debt.objects.filter(pk=lost.debt_id).update(asked=0, attempts=0)
    [theirs] = gateway().list_disputes(since=clock.now() - timedelta(hours=1))
    assert disputes.dispute_updated_at_stripe(theirs.id).checkout is None
    assert look_back.look_back().adopted == 1
    bank_news.look()
    dispute = Dispute.objects.get()
    assert dispute.checkout is not None
    assert (dispute.checkout.payment_intent_id, Debt.objects.get(pk=lost.debt_id).paid) == (intent_id, 0)


def test_a_dispute_is_found_and_so_is_its_end_months_later(emulator: Emulator) -> None:
    checkout = paid(emulator, DISPUTED)
    emulator.tick()
    bank_news.look()
    dispute = Dispute.objects.get()
    assert (dispute.checkout, dispute.is_open, Debt.objects.get().paid) == (checkout, True, 0)
    emulator.clock.advance(days=60)
    emulator.bank.decide_dispute(dispute.dispute_id, "won")
    with time_machine.travel(clock.now() + timedelta(days=60)):
        assert bank_news.look().found == 1
    dispute.refresh_from_db()
    assert (dispute.status, Debt.objects.get().paid) == ("won", 100)


def test_an_old_dispute_that_cannot_be_read_is_counted_and_holds_up_no_other(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        paid(emulator, DISPUTED)
    emulator.tick()
    bank_news.look()
    with time_machine.travel(clock.now() + timedelta(days=50)):
        bank_news.look()
    unread, other = Dispute.objects.order_by("opened_at", "pk")
    emulator.clock.advance(days=60)
    emulator.bank.decide_dispute(other.dispute_id, "won")
    read = disputes.dispute_updated_at_stripe

    def broken(dispute_id: str) -> Dispute:
        if dispute_id == unread.dispute_id:
            raise ZeroDivisionError
        return read(dispute_id)

    monkeypatch.setattr(disputes, "dispute_updated_at_stripe", broken)
    with time_machine.travel(clock.now() + timedelta(days=60)):
        done = bank_news.look()
    assert (done.found, done.errors) == (1, 1)
    other.refresh_from_db()
    assert other.status == "won"


def test_a_warning_of_fraud_is_found(emulator: Emulator) -> None:
    paid(emulator, WARNED)
    emulator.clock.advance(days=1)
    emulator.tick()
    bank_news.look()
    assert [row.kind for row in Dispute.objects.all()] == [Dispute.Kind.FRAUD_WARNING]


def test_a_warning_about_a_payment_that_nobody_here_knows_is_kept_without_its_amount(emulator: Emulator) -> None:
    paid(emulator, WARNED)
    emulator.clock.advance(days=1)
    emulator.tick()
    Checkout.objects.update(payment_intent_id="pi_other")
    [told] = gateway().list_fraud_warnings(since=clock.now() - timedelta(days=1))
    warning = disputes.take_warning(told, clock.now())
    assert (warning.checkout, warning.amount, warning.currency) == (None, None, "GBP")


def test_what_was_read_earlier_never_takes_the_place_of_what_was_read_later(emulator: Emulator) -> None:
    paid(emulator, DISPUTED)
    emulator.tick()
    earlier = clock.now()
    (old,) = gateway().list_disputes(since=earlier - timedelta(days=1))
    newest = disputes.dispute_updated_at_stripe(old.id)
    Dispute.objects.filter(pk=newest.pk).update(status="under_review")
    disputes.take_dispute(old, earlier)
    newest.refresh_from_db()
    assert newest.status == "under_review"


def test_payments_of_other_sites_are_left_alone(emulator: Emulator) -> None:
    mine = paid(emulator)
    other = paid(emulator)
    emulator.bank.dashboard_refund(other.payment_intent_id)
    Checkout.objects.filter(pk=other.pk).update(payment_intent_id="pi_of_another_site")
    assert bank_news.look() == bank_news.News(compared=1)
    assert not Refund.objects.exists()
    assert mine.succeeded


def test_what_is_known_costs_no_call_and_a_hundred_cost_one(emulator: Emulator) -> None:
    checkout = paid(emulator)
    for _each in range(3):
        refunds.refund(checkout, Decimal(1))
    bank_news.look()
    before = len(emulator.requests)
    bank_news.look()
    asked = [f"{request.method} {request.path.partition('?')[0]}" for request in list(emulator.requests)[before:]]
    assert asked == ["GET /v1/refunds", "GET /v1/disputes", "GET /v1/radar/early_fraud_warnings"]


def test_what_could_not_be_taken_in_is_looked_at_again(emulator: Emulator, monkeypatch: Any) -> None:
    checkout = paid(emulator)
    emulator.bank.dashboard_refund(checkout.payment_intent_id)
    with monkeypatch.context() as patch:
        patch.setattr(refund_settling, "settle", lambda *args: 1 / 0)
        with pytest.raises(CommandError):
            call_command("settle_refunds")
    assert not LookBack.objects.filter(what="money_back").exists()
    call_command("settle_refunds")
    assert Refund.objects.get().succeeded


def test_no_answer_moves_no_cursor(emulator: Emulator) -> None:
    paid(emulator)
    emulator.weather.add(faults.LostBefore(), path="GET /v1/refunds", times=None)
    with pytest.raises(errors.OutcomeUnknown):
        bank_news.look()
    assert not LookBack.objects.exists()


def test_an_unknown_payment_is_no_problem_any_more_once_it_went_back(emulator: Emulator) -> None:
    checkout = paid(emulator)
    problems.open_problem(Problem.Kind.UNKNOWN_PAYMENT, checkout.payment_intent_id, amount=Decimal(100), currency="GBP")
    intent = checkout.payment_intent_id
    Checkout.objects.filter(pk=checkout.pk).update(payment_intent_id="pi_lost")
    bank_news.look()
    assert Problem.objects.get().is_open
    emulator.bank.dashboard_refund(intent)
    bank_news.look()
    assert not Problem.objects.get().is_open


def test_an_unknown_payment_of_another_key_stays_open_and_holds_up_nothing(emulator: Emulator) -> None:
    """It was found with the test key, and the site has gone live since."""
    checkout = paid(emulator)
    problems.open_problem(Problem.Kind.UNKNOWN_PAYMENT, "pi_of_test_mode", amount=Decimal(100), currency="GBP")
    problems.open_problem(Problem.Kind.UNKNOWN_PAYMENT, checkout.payment_intent_id, amount=Decimal(100), currency="GBP")
    bank_news.look()
    assert LookBack.objects.filter(what=LookBack.What.MONEY_BACK).exists()
    assert [problem.subject for problem in Problem.objects.filter(closed_at=None)] == ["pi_of_test_mode"]


def test_a_closed_dispute_stays_closed_even_by_what_was_read_later(emulator: Emulator) -> None:
    """Stripe never opens one again, so an answer that says so was kept somewhere on its way."""
    paid(emulator, DISPUTED)
    emulator.tick()
    (opened,) = gateway().list_disputes(since=clock.now() - timedelta(days=1))
    emulator.bank.decide_dispute(opened.id, "lost")
    closed = disputes.dispute_updated_at_stripe(opened.id)
    assert disputes.take_dispute(opened, clock.now() + timedelta(minutes=1)).status == "lost"
    closed.refresh_from_db()
    assert (closed.status, closed.is_open) == ("lost", False)

"""Paying of a plan before its day: a part, or all that is left. Nothing is taken twice, by whomever."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from checkout import clock, errors, states
from checkout.models import (
    Checkout,
    Debt,
    Dispute,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    Posting,
    Refund,
)
from checkout.services import bank_news, booking, early, fulfillment, intents, on_session, refunds, runs, stale
from stripe_emulator import Emulator, faults
from tests.services.conftest import SavePlan, enter_card, lines, make_due

pytestmark = pytest.mark.django_db

LAST = PaymentPlan.PaidEarly.LAST


@pytest.fixture
def plan(save_plan: SavePlan) -> ObjectPaymentPlan:
    """£20.00 paid; £26.66, £26.67 and £26.67 to come."""
    return save_plan()


def shrinks_the_last(plan: ObjectPaymentPlan) -> ObjectPaymentPlan:
    PaymentPlan.objects.filter(pk=plan.payment_plan_id).update(paid_early=LAST)
    return ObjectPaymentPlan.objects.get(pk=plan.pk)


def shown(plan: ObjectPaymentPlan, amount: str) -> list[tuple[int, Decimal, Decimal]]:
    return [(part.line.count, part.amount, part.left) for part in early.parts_of(plan, Decimal(amount))]


def pay(emulator: Emulator, checkout: Checkout, number: str = "") -> Checkout:
    page = intents.page(checkout)
    emulator.pay(page.client_secret, number=number or page.payment_method_id)
    return fulfillment.fulfill(checkout)


def left(plan: ObjectPaymentPlan) -> list[Decimal]:
    return [line.left for line in plan.payments.select_related("debt")]


def books_agree(emulator: Emulator) -> None:
    """What our postings say came is what the emulator's ledger holds, and no counter is off."""
    came = sum(Posting.objects.exclude(kind__in=Posting.OWES).values_list("amount", flat=True))
    assert came * 100 == emulator.ledger.net_minor()
    assert not booking.wrong_counters().exists()
    assert not Debt.objects.exclude(asked=0).exists()


# -- what an amount pays ----------------------------------------------------------------------------------


def test_a_part_makes_the_next_ones_smaller(plan: ObjectPaymentPlan) -> None:
    assert shown(plan, "30") == [(2, Decimal("26.66"), 0), (3, Decimal("3.34"), Decimal("23.33"))]


def test_or_the_last_ones_by_the_rule_of_the_template(plan: ObjectPaymentPlan) -> None:
    plan = shrinks_the_last(plan)
    assert shown(plan, "30") == [(4, Decimal("26.67"), 0), (3, Decimal("3.33"), Decimal("23.34"))]


def test_what_is_overdue_is_paid_first_by_either_rule(plan: ObjectPaymentPlan) -> None:
    plan = shrinks_the_last(plan)
    ObjectPaymentPlanInstalment.objects.filter(count=3).update(state=states.FAIL)
    assert [count for count, _amount, _left in shown(plan, "60")] == [3, 4, 2]


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        ("80.01", r"Only £80\.00 is left"),
        ("26.50", r"leave £0\.16 of one payment.*less than £0\.30\. Pay £26\.36 or £26\.66"),
        ("0.20", "the least is 0.30 GBP"),
        ("10.001", "not a multiple of 0.01"),
        ("-5", "the least is 0.30 GBP"),
    ],
)
def test_an_amount_that_does_not_work_says_what_would(plan: ObjectPaymentPlan, amount: str, says: str) -> None:
    with pytest.raises((errors.CannotPay, errors.MoneyError), match=says):
        early.parts_of(plan, Decimal(amount))
    assert Checkout.objects.count() == 2


def test_the_deposit_comes_first(save_plan: SavePlan) -> None:
    plan = save_plan("4000000000000341")
    with pytest.raises(errors.CannotPay, match="deposit first"):
        early.parts_of(plan, Decimal(30))


# -- the attempt ------------------------------------------------------------------------------------------


def test_all_that_is_left_is_one_payment(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    begun = early.create_checkout_early(plan, Decimal(80))
    assert (begun.total, begun.debt, begun.description_lines[-1]) == (
        80,
        plan.payments.get(count=2).debt,
        "Instalments 1, 2, 3",
    )
    assert pay(emulator, begun).succeeded
    assert {state for _count, _amount, state in lines(plan)} == {states.SUCCESS}
    assert left(plan) == [0, 0, 0, 0]
    assert not ObjectPaymentPlan.objects.outstanding_payment_plans.exists()
    books_agree(emulator)


def test_a_part_leaves_the_rest_to_its_day(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    pay(emulator, early.create_checkout_early(plan, Decimal(30)))
    assert [state for _count, _amount, state in lines(plan)] == [
        states.SUCCESS,
        states.SUCCESS,
        states.PENDING,
        states.PENDING,
    ]
    assert left(plan) == [0, 0, Decimal("23.33"), Decimal("26.67")]
    books_agree(emulator)
    make_due(plan, 2)
    run = runs.process_payments()
    assert run.items.count() == 2
    assert emulator.ledger.taken_minor() == 10000
    assert left(plan) == [0, 0, 0, 0]
    books_agree(emulator)


def test_settled_twice_it_is_posted_once(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    begun = pay(emulator, early.create_checkout_early(plan, Decimal(30)))
    fulfillment.fulfill(begun)
    books_agree(emulator)


def test_two_tabs_share_one_attempt(plan: ObjectPaymentPlan) -> None:
    first, second = (early.create_checkout_early(plan, Decimal(30)) for _tab in range(2))
    assert first == second
    third = early.create_checkout_early(plan, Decimal(40))
    first.refresh_from_db()
    assert (third == first, first.superseded) == (False, True)


def test_a_run_takes_nothing_of_what_its_payer_is_paying(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    make_due(plan, 3)
    begun = early.create_checkout_early(plan, Decimal(60))
    runs.process_payments()
    assert emulator.ledger.taken_minor() == 2000
    assert pay(emulator, begun).succeeded
    runs.process_payments()
    assert emulator.ledger.taken_minor() == 10000
    books_agree(emulator)


@pytest.mark.parametrize("count", [2, 3])
def test_another_way_to_pay_a_line_of_it_closes_the_page(
    plan: ObjectPaymentPlan, emulator: Emulator, staff: Any, count: int
) -> None:
    begun = early.create_checkout_early(plan, Decimal(80))
    line = plan.payments.get(count=count)
    single = on_session.create_checkout_pay_on_session(line)
    begun.refresh_from_db()
    assert (begun.failed, begun.superseded, single.total) == (True, True, line.amount)
    again = early.create_checkout_early(plan, Decimal(80))
    single.refresh_from_db()
    assert single.failed
    Checkout.objects.manual(line, staff)
    again.refresh_from_db()
    assert again.failed
    assert emulator.ledger.taken_minor() == 2000
    assert left(plan).count(0) == 2
    assert not Debt.objects.exclude(asked=0).exists()


def test_paid_while_another_way_is_chosen_it_is_settled_instead(
    plan: ObjectPaymentPlan, emulator: Emulator, staff: Any
) -> None:
    begun = early.create_checkout_early(plan, Decimal(80))
    emulator.pay(intents.page(begun).client_secret, number="4242424242424242")
    with pytest.raises(errors.AlreadyPaid):
        Checkout.objects.manual(plan.payments.get(count=4), staff)
    assert left(plan) == [0, 0, 0, 0]
    books_agree(emulator)


def test_stopping_the_plan_closes_it(plan: ObjectPaymentPlan, staff: Any) -> None:
    begun = early.create_checkout_early(plan, Decimal(80))
    plan.delete_plan(staff)
    begun.refresh_from_db()
    assert begun.failed
    with pytest.raises(errors.CannotPay, match="stopped"):
        early.create_checkout_early(plan, Decimal(80))


def test_a_page_that_was_left_frees_the_lines(plan: ObjectPaymentPlan) -> None:
    early.create_checkout_early(plan, Decimal(80))
    with time_machine.travel(clock.now() + datetime.timedelta(minutes=70)):
        stale.tidy()
    assert not Debt.objects.exclude(asked=0).exists()
    assert [state for _count, _amount, state in lines(plan)][1:] == [states.PENDING] * 3


def test_a_declined_card_takes_nothing_and_the_page_goes_on(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    begun = early.create_checkout_early(plan, Decimal(80))
    enter_card(emulator, begun, "4000000000000002")
    assert fulfillment.fulfill(begun).is_open
    enter_card(emulator, begun, "5555555555554444")
    assert fulfillment.fulfill(begun).succeeded
    assert emulator.ledger.taken_minor() == 10000


def test_another_card_used_for_a_part_is_the_plans_card_from_then_on(
    plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    pay(emulator, early.create_checkout_early(plan, Decimal(30)), "5555555555554444")
    plan.refresh_from_db()
    assert plan.card is not None
    assert plan.card.last4 == "4444"


def test_a_lost_answer_is_one_intent(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostAfter(), path="/v1/payment_intents", times=3)
    with pytest.raises(errors.OutcomeUnknown):
        early.create_checkout_early(plan, Decimal(30))
    emulator.weather.clear()
    pay(emulator, early.create_checkout_early(plan, Decimal(30)))
    assert emulator.ledger.taken_minor() == 5000
    books_agree(emulator)


def test_something_paid_between_the_look_and_the_press_is_seen(
    plan: ObjectPaymentPlan, emulator: Emulator, staff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = early._begin

    def meanwhile(*args: Any, **options: Any) -> Checkout:
        monkeypatch.setattr(early, "_begin", real)
        Checkout.objects.manual(plan.payments.get(count=4), staff)
        return real(*args, **options)

    monkeypatch.setattr(early, "_begin", meanwhile)
    with pytest.raises(errors.CannotPay, match=r"Only £53\.33 is left"):
        early.create_checkout_early(plan, Decimal(80))
    assert emulator.ledger.taken_minor() == 2000


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (lambda plan: on_session.create_checkout_pay_on_session(plan.payments.get(count=3)), "under way"),
        (lambda plan: plan.delete_plan(), "stopped"),
    ],
    ids=["another page", "stopped"],
)
def test_what_begins_or_ends_between_the_look_and_the_press_is_seen(
    plan: ObjectPaymentPlan, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, what: Any, says: str
) -> None:
    real = early._begin

    def meanwhile(*args: Any, **options: Any) -> Checkout:
        monkeypatch.setattr(early, "_begin", real)
        what(ObjectPaymentPlan.objects.get(pk=plan.pk))
        return real(*args, **options)

    monkeypatch.setattr(early, "_begin", meanwhile)
    with pytest.raises(errors.CheckoutError, match=says):
        early.create_checkout_early(plan, Decimal(80))
    assert not Checkout.objects.filter(allocated=True).exists()


def test_the_office_says_what_each_line_gets(plan: ObjectPaymentPlan, emulator: Emulator, admin_client: Any) -> None:
    paid = pay(emulator, early.create_checkout_early(plan, Decimal(30)))
    page = admin_client.get(reverse("checkout.detail", args=[paid.uuid])).content.decode()
    assert "For instalment 1" in page
    assert "£3.34" in page
    line = plan.payments.get(count=3)
    shown = admin_client.get(line.get_absolute_url()).content.decode()
    assert reverse("checkout.detail", args=[paid.uuid]) in shown


# -- what becomes of the money ----------------------------------------------------------------------------


def test_a_refund_goes_back_from_the_last_line_first(plan: ObjectPaymentPlan, emulator: Emulator, staff: Any) -> None:
    paid = pay(emulator, early.create_checkout_early(plan, Decimal(80)))
    refunds.refund(paid, Decimal(30), user=staff, reason="requested_by_customer")
    assert left(plan) == [0, 0, Decimal("3.33"), Decimal("26.67")]
    books_agree(emulator)
    refunds.refund(paid, Decimal(50), user=staff, reason="requested_by_customer")
    assert left(plan) == [0, Decimal("26.66"), Decimal("26.67"), Decimal("26.67")]
    books_agree(emulator)


def test_a_refund_that_fails_later_puts_it_back_where_it_was(
    plan: ObjectPaymentPlan, emulator: Emulator, staff: Any
) -> None:
    paid = pay(emulator, early.create_checkout_early(plan, Decimal(80)), "4000000000005126")
    refund = refunds.refund(paid, Decimal(30), user=staff, reason="requested_by_customer")
    assert left(plan) == [0, 0, Decimal("3.33"), Decimal("26.67")]
    emulator.clock.advance(days=3)
    emulator.tick()
    refunds.refund_updated_at_stripe(refund.refund_id)
    refund.refresh_from_db()
    assert refund.state == Refund.FAILED
    assert left(plan) == [0, 0, 0, 0]
    books_agree(emulator)


def test_it_cannot_be_owed_again_in_place_of_one_line(plan: ObjectPaymentPlan, emulator: Emulator, staff: Any) -> None:
    paid = pay(emulator, early.create_checkout_early(plan, Decimal(80)))
    with pytest.raises(errors.RefundError, match="several lines"):
        refunds.refund(paid, Decimal(30), user=staff, reason="", plan_effect=Refund.PlanEffect.GIVE_BACK)


def test_a_dispute_takes_it_back_from_every_line_and_brings_it_again_when_it_is_won(
    plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    pay(emulator, early.create_checkout_early(plan, Decimal(80)), "4000000000000259")
    emulator.tick()
    bank_news.look()
    assert left(plan)[1:] == [Decimal("26.66"), Decimal("26.67"), Decimal("26.67")]
    for _again in range(2):
        bank_news.look()
    assert not booking.wrong_counters().exists()
    emulator.clock.advance(days=60)
    emulator.bank.decide_dispute(Dispute.objects.get().dispute_id, "won")
    with time_machine.travel(clock.now() + datetime.timedelta(days=60)):
        bank_news.look()
    assert left(plan)[1:] == [0, 0, 0]
    assert not booking.wrong_counters().exists()

"""Changing a plan: what favours the payer holds at once, anything else once they agree; what is paid stands."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from dateutil.relativedelta import relativedelta
from django.db import IntegrityError, transaction
from django.db.models import Sum

from checkout import clock, errors, states
from checkout.models import Agreement, Checkout, Letter, Notice, ObjectPaymentPlan, PlanChange, Posting
from checkout.services import (
    booking,
    by_hand,
    by_staff,
    checkouts,
    dry_runs,
    fulfillment,
    on_session,
    plan_changes,
    plan_previews,
    plans,
    refunds,
    runs,
)
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due

pytestmark = pytest.mark.django_db

State = PlanChange.State


def to_come(plan: ObjectPaymentPlan) -> list[tuple[datetime.date, Decimal]]:
    rows = plan.payments.select_related("debt").exclude(state=states.SUCCESS)
    return [(row.due, row.left) for row in sorted(rows, key=lambda row: row.due)]


def books_hold(plan: ObjectPaymentPlan) -> bool:
    """Counters are the sums of postings, and what is owed is what was agreed, less what was written off; an agreement
    that came of a change lists just what is still to come."""
    plan.refresh_from_db()
    of_plan = Posting.objects.filter(debt__instalment__object_payment_plan=plan)
    written_off = of_plan.filter(kind="written_off").aggregate(sum=Sum("amount"))["sum"] or 0
    owed = sum(row.debt.owed for row in plan.payments.select_related("debt") if row.debt)
    return not booking.wrong_counters() and owed - written_off == plan.total


def agreed(plan: ObjectPaymentPlan) -> list[tuple[datetime.date, Decimal]]:
    """What the agreement that is in use says is still to come."""
    plan.refresh_from_db()
    assert plan.agreement is not None
    lines = [(datetime.date.fromisoformat(each["due"]), Decimal(each["amount"])) for each in plan.agreement.lines]
    return sorted(lines)


def later(day: datetime.date, months: int) -> datetime.date:
    return day + relativedelta(months=months)


def test_a_pause_holds_at_once_and_the_payer_is_told(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    before = to_come(plan)
    change = plan.propose_change("pause", "in hospital", staff, months=2)
    assert (change.state, change.number, change.user) == (State.IN_FORCE, 1, staff)
    assert to_come(plan) == [(later(due, 2), left) for due, left in before]
    assert agreed(plan) == to_come(plan)
    assert plan.agreement is not None
    assert (plan.agreement.kind, plan.agreement.saved_card) == (Agreement.Kind.CHANGED, plan.card)
    assert Letter.objects.filter(kind="plan_changed", plan=plan, ended_at=None).count() == 1
    assert books_hold(plan)


def test_a_fee_waits_until_the_payer_agrees_and_is_then_charged(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan()
    before = to_come(plan)
    change = plan.propose_change("fee", "sent twice", staff, amount=Decimal(5))
    assert change.state == State.WAITING
    assert to_come(plan) == before
    plan_changes.agree(change, text="Yes.", ip_address="192.0.2.1", user_agent="phone")
    assert [left for _due, left in to_come(plan)] == [left for _due, left in before[:-1]] + [before[-1][1] + 5]
    assert agreed(plan) == to_come(plan)
    assert (plan.total, plan.agreement.kind, plan.agreement.ip_address) == (105, "payer", "192.0.2.1")  # type: ignore[union-attr]
    make_due(plan, 3)
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 10500
    assert books_hold(plan)


def test_what_the_payer_refuses_or_staff_withdraw_changes_nothing(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    before = to_come(plan)
    first = plan.propose_change("fee", "late", staff, amount=Decimal(5))
    with pytest.raises(errors.AttemptInProgress, match="Withdraw it first"):
        plan.propose_change("pause", "and a pause", staff, months=1)
    plan_changes.refuse(first)
    second = plan.propose_change("fee", "late", staff, amount=Decimal(3))
    second.withdraw(staff, "a mistake")
    for change in (first, second):
        with pytest.raises(errors.AlreadyPaid):
            plan_changes.agree(change)
    assert [change.state for change in plan.changes.all()] == [State.REFUSED, State.WITHDRAWN]
    assert to_come(plan) == before
    assert books_hold(plan)


def test_a_discount_is_a_posting_and_lines_fall_away(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    plan.propose_change("discount", "a bursary", staff, amount=Decimal(40))
    assert [left for _due, left in to_come(plan)] == [Decimal("26.66"), Decimal("13.34")]
    assert (plan.total, plan.payments.last().ended) == (60, "taken_off")  # type: ignore[union-attr]
    assert sum(row.amount for row in Posting.objects.filter(kind="discount")) == -40
    make_due(plan, 2)
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 6000
    assert books_hold(plan)


def test_more_payments_than_before_are_charged_as_agreed(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    first = to_come(plan)[0][0]
    assert plan.payments[1].checkout_description[-1] == "Instalment 1 of 3"
    change = plan.propose_change("split", "smaller amounts", staff, count=8, first=first)
    assert change.state == State.IN_FORCE
    assert plan.payments[1].checkout_description[-1] == "Instalment 1"
    assert [left for _due, left in to_come(plan)] == [10] * 8
    assert agreed(plan) == to_come(plan)
    make_due(plan, 8)
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 10000
    assert books_hold(plan)


def test_a_payment_moves_to_the_day_of_one_that_is_taken_off(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    days = [day for day, _left in to_come(plan)]
    assert len(days) == 3
    change = plan.propose_change("split", "all at once", staff, count=1, first=days[-1], on_paper=True)
    assert change.state == State.IN_FORCE
    assert to_come(plan) == [(days[-1], Decimal(80))]
    assert books_hold(plan)


def test_the_rest_is_written_off_and_nothing_says_that_it_was_paid(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    plan.propose_change("write_off", "moved abroad", staff)
    rows = list(plan.payments.select_related("debt"))
    assert [(row.ended, row.net_paid, row.left, row.written_off) for row in rows] == [
        ("", 20, 0, 0),
        *(("written_off", 0, 0, row.amount) for row in rows[1:]),
    ]
    assert (plan.total, sum(row.net_paid for row in rows)) == (100, 20)
    with pytest.raises(errors.PlanError):
        make_due(plan)
    assert not list(dry_runs.dry_run())
    assert books_hold(plan)


def test_other_amounts_and_dates_are_written_line_by_line(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    rows = list(plan.payments.exclude(state=states.SUCCESS))
    wanted = [
        (rows[0].pk, rows[1].due, Decimal(10)),
        (rows[1].pk, rows[0].due, Decimal(20)),
        (None, later(rows[2].due, 1), Decimal(50)),
    ]
    change = plan.propose_change("lines", "as she asked", staff, on_paper=True, wanted=wanted)
    assert (change.state, change.favours_payer) == (State.IN_FORCE, False)
    assert change.agreement is not None
    assert (change.agreement.kind, change.agreement.note) == ("paper", "as she asked")
    assert to_come(plan) == [(rows[0].due, 20), (rows[1].due, 10), (later(rows[2].due, 1), 50)]
    assert books_hold(plan)


def test_a_refunded_line_is_owed_again_once_the_payer_agrees(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan()
    deposit = plan.payments.get(deposit=True)
    paid = Checkout.objects.for_content_object(deposit).taking_money().success().get()
    refunds.refund(paid, Decimal(20), user=staff, reason="requested_by_customer")
    due = later(to_come(plan)[-1][0], 1)
    change = plan.propose_change("owed_again", "paid it back by mistake", staff, pk=deposit.pk, due=due)
    assert change.state == State.WAITING
    plan_changes.agree(change)
    assert to_come(plan)[-1] == (due, 20)
    assert plan.payments.last().replaces == deposit  # type: ignore[union-attr]
    make_due(plan, 4)
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() - emulator.ledger.refunded_minor() == 10000
    assert books_hold(plan)


def test_a_stopped_plan_goes_on_once_its_payer_agrees(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    plans.stop(plan, staff)
    with pytest.raises(errors.PlanError, match="was stopped"):
        plan.propose_change("pause", "no", staff, months=1)
    change = plan.propose_change("reopen", "she comes back", staff)
    assert change.state == State.WAITING
    plan_changes.agree(change)
    plan.refresh_from_db()
    assert not plan.deleted
    assert agreed(plan) == to_come(plan)
    assert books_hold(plan)


def test_a_plan_goes_on_only_while_no_other_has_begun(save_plan: SavePlan, payment_plan: Any, staff: Any) -> None:
    plan = save_plan()
    plans.stop(plan, staff)
    change = plan.propose_change("reopen", "she comes back", staff)
    ObjectPaymentPlan.objects.create_object_payment_plan(plan.content_object, payment_plan, Decimal(100))
    with pytest.raises(errors.PlanError, match="another payment plan"):
        plan_changes.agree(change)
    change.refresh_from_db()
    assert change.waits


def test_a_declined_line_gets_another_day_and_is_tried_then(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan()
    (line,) = make_due(plan)
    line.state_id = states.FAIL
    line.save()
    plan.propose_change("pause", "out of work", staff, months=1)
    line.refresh_from_db()
    assert (line.state_id, line.due) == (states.PENDING, later(clock.today(), 1))
    assert books_hold(plan)


def test_a_page_that_is_open_is_ended_and_the_next_asks_for_what_is_owed_now(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    (line,) = make_due(plan)
    page = on_session.create_checkout_pay_on_session(line)
    found = plan_previews.preview(plan, "discount", amount=Decimal(70))
    assert [attempt.pk for attempt in found.open_attempts] == [page.pk]
    plan.propose_change("discount", "a bursary", staff, seen=found.seen, amount=Decimal(70))
    page.refresh_from_db()
    assert page.failed
    line.refresh_from_db()
    assert on_session.create_checkout_pay_on_session(line).total == 10


def test_a_payment_that_is_being_taken_keeps_its_plan_from_changing(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    (line,) = make_due(plan)
    line.state_id = states.REQUEST
    line.save()
    with pytest.raises(errors.PlanError, match="at this moment"):
        plan.propose_change("pause", "too late", staff, months=1)
    assert not plan.changes.exists()


def test_what_was_looked_at_is_what_is_done_or_nothing(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    found = plan_previews.preview(plan, "pause", months=1)
    make_due(plan)
    with pytest.raises(errors.AttemptInProgress, match="look again"):
        plan.propose_change("pause", "a month off", staff, seen=found.seen, months=1)
    now = plan_previews.preview(plan, "pause", months=1)
    plan.propose_change("pause", "a month off", staff, seen=now.seen, months=1)
    with pytest.raises(errors.AttemptInProgress, match="look again"):
        plan.propose_change("pause", "a month off", staff, seen=now.seen, months=1)
    assert plan.changes.count() == 1


def test_a_change_is_overtaken_when_what_it_changes_was_paid_meanwhile(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan()
    make_due(plan, 3)
    change = plan.propose_change("fee", "late", staff, amount=Decimal(5))
    runs.process_payments(workers=1)
    with pytest.raises(errors.PlanError, match="has changed since"):
        plan_changes.agree(change)
    change.refresh_from_db()
    assert (change.state, change.agreement) == (State.OVERTAKEN, None)
    assert emulator.ledger.taken_minor() == 10000
    assert books_hold(plan)


def test_what_it_does_not_change_may_be_paid_meanwhile(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    make_due(plan)
    change = plan.propose_change("fee", "late", staff, amount=Decimal(5))
    runs.process_payments(workers=1)
    plan_changes.agree(change)
    assert agreed(plan) == to_come(plan)
    assert books_hold(plan)


def test_the_database_refuses_a_change_against_the_payer_without_their_agreement(
    save_plan: SavePlan, staff: Any
) -> None:
    change = save_plan().propose_change("fee", "late", staff, amount=Decimal(5))
    with pytest.raises(IntegrityError), transaction.atomic():
        PlanChange.objects.filter(pk=change.pk).update(state=State.IN_FORCE)


@pytest.mark.parametrize(("kind", "terms"), [("pause", {"months": 1}), ("fee", {"amount": Decimal(5)})])
def test_nothing_is_changed_without_a_reason(save_plan: SavePlan, staff: Any, kind: str, terms: Any) -> None:
    with pytest.raises(errors.PlanError, match="Say why"):
        save_plan().propose_change(kind, " ", staff, **terms)


def test_before_the_deposit_there_is_nothing_to_change(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan("4000000000000341")
    with pytest.raises(errors.PlanError, match="deposit"):
        plan.propose_change("pause", "soon", staff, months=1)


def test_a_card_that_was_given_while_a_change_came_into_force_is_charged_what_was_changed(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan()
    page = Checkout.objects.create_checkout("card_refresh", plan, None)
    plan.propose_change("fee", "late", staff, amount=Decimal(5), on_paper=True)
    changed_to = to_come(plan)
    enter_card(emulator, page, "5555555555554444")
    fulfillment.fulfill(page)
    assert agreed(plan) == changed_to
    assert plan.card is not None
    assert plan.card.last4 == "4444"
    former = Agreement.objects.get(checkout=page)
    assert former.saved_card == plan.card, "what the payer saw on that page is kept"
    assert sum(Decimal(each["amount"]) for each in former.lines) == 80


def test_what_is_undone_after_a_change_is_named_by_an_agreement_again(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    line = plan.payments.get(count=2)
    checkouts.manual(line, staff, "cash")
    plan.propose_change("pause", "in hospital", staff, months=1)
    assert (line.due, line.amount) not in agreed(plan)
    by_hand.undo(by_hand.standing_for(line.debt_id)[0], staff, "the wrong student")
    assert agreed(plan) == to_come(plan)
    assert books_hold(plan)


def test_a_change_is_overtaken_when_a_part_of_what_it_changes_came_meanwhile(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    change = plan.propose_change("fee", "late", staff, amount=Decimal(5))
    by_hand.part_paid(plan.payments.get(count=4), Decimal("6.67"), staff, "cash")
    with pytest.raises(errors.PlanError, match="has changed since"):
        plan_changes.agree(change)
    change.refresh_from_db()
    assert change.state == State.OVERTAKEN
    assert plan.payments.get(count=4).left == 20
    assert books_hold(plan)


def stopped(plan: ObjectPaymentPlan, staff: Any) -> Membership:
    """The plan was stopped, and the site asks for what is left at once instead."""
    plans.stop(plan, staff)
    Membership.objects.update(can_charge=True, total=80)
    return Membership.objects.get()


def test_a_plan_does_not_go_on_once_its_row_was_paid_in_another_way(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan()
    row = stopped(plan, staff)
    change = plan.propose_change("reopen", "she comes back", staff)
    begun = Checkout.objects.create_checkout("payment", row, None)
    enter_card(emulator, begun, "4242424242424242")
    assert fulfillment.fulfill(begun).succeeded
    with pytest.raises(errors.PlanError, match="paid in another way"):
        plan_changes.agree(change, text="Yes.")
    change.refresh_from_db()
    plan.refresh_from_db()
    assert (change.state, plan.deleted) == (State.OVERTAKEN, True)
    with pytest.raises(errors.PlanError, match="paid in another way"):
        plan.propose_change("reopen", "she comes back", staff, on_paper=True)
    assert emulator.ledger.taken_minor() == 10000


def test_a_page_that_was_paid_keeps_a_plan_from_going_on(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    row = stopped(plan, staff)
    change = plan.propose_change("reopen", "she comes back", staff)
    begun = Checkout.objects.create_checkout("payment", row, None)
    enter_card(emulator, begun, "4242424242424242")
    with pytest.raises(errors.AlreadyPaid):
        plan_changes.agree(change, text="Yes.")
    plan.refresh_from_db()
    assert plan.deleted


def test_an_open_page_is_ended_before_a_plan_goes_on(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    row = stopped(plan, staff)
    change = plan.propose_change("reopen", "she comes back", staff)
    begun = Checkout.objects.create_checkout("payment", row, None)
    plan_changes.agree(change, text="Yes.")
    begun.refresh_from_db()
    assert (begun.state_id, change.state) == (states.FAIL, State.IN_FORCE)
    assert "error" in enter_card(emulator, begun, "4242424242424242")
    make_due(plan, 3)
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 10000


def test_what_was_paid_and_given_back_keeps_no_plan_from_going_on(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    row = stopped(plan, staff)
    paid = checkouts.manual(row, staff, "cash")
    by_hand.undo(Posting.objects.get(checkout=paid), staff, "the wrong row")
    plan.propose_change("reopen", "she comes back", staff, on_paper=True)
    plan.refresh_from_db()
    assert not plan.deleted


def test_nobody_agrees_to_a_change_of_a_plan_that_was_stopped_since(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    change = plan.propose_change("fee", "late", staff, amount=Decimal(5))
    plans.stop(plan, staff)
    with pytest.raises(errors.PlanError, match="was stopped"):
        plan_changes.agree(change, text="Yes.")
    change.refresh_from_db()
    plan.refresh_from_db()
    assert (change.state, plan.total, plan.deleted) == (State.OVERTAKEN, 100, True)


def test_a_change_is_overtaken_when_staff_have_given_its_day_to_another_payment(
    save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan()
    first, second, third = plan.payments.filter(deposit=False)
    day = second.due + datetime.timedelta(days=10)
    wanted = [
        (first.pk, first.due, Decimal(20)),
        (second.pk, day, first.amount + second.amount - 20),
        (third.pk, third.due, third.amount),
    ]
    change = plan.propose_change("lines", "she asked", staff, wanted=wanted)
    by_staff.change_due(third, day, staff, "she asked")
    with pytest.raises(errors.PlanError, match="has changed since"):
        plan_changes.agree(change, text="Yes.")
    change.refresh_from_db()
    assert change.state == State.OVERTAKEN
    assert books_hold(plan)


def test_what_was_paid_since_is_not_agreed_to_once_more(save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    change = plan.propose_change("fee", "late", staff, amount=Decimal(5))
    make_due(plan)
    runs.process_payments(workers=1)
    assert plan_changes.wording(change).count("£") == 2


def test_days_that_have_gone_by_are_not_agreed_to(save_plan: SavePlan, staff: Any, settings: Any) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    plan = save_plan()
    first, second, third = plan.payments.filter(deposit=False)
    sooner = clock.today() + datetime.timedelta(days=3)
    wanted = [(first.pk, sooner, first.amount), (second.pk, second.due, second.amount)]
    change = plan.propose_change("lines", "sooner", staff, wanted=[*wanted, (third.pk, third.due, third.amount)])
    with time_machine.travel(clock.now() + datetime.timedelta(days=10)), pytest.raises(errors.PlanError, match="since"):
        plan_changes.agree(change, text="Yes.")
    change.refresh_from_db()
    assert change.state == State.OVERTAKEN
    # The payer is promised another proposal, so whoever has to make it hears of it.
    assert Notice.objects.filter(cause=f"change-overtaken-{change.pk}").count() == 1


def test_a_plan_that_goes_on_late_takes_no_heap(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    plans.stop(plan, staff)
    change = plan.propose_change("reopen", "she comes back", staff)
    last = max(day for day, _left in to_come(plan))
    with time_machine.travel(datetime.datetime.combine(last, datetime.time(9), datetime.UTC)):
        with pytest.raises(errors.PlanError, match="since"):
            plan_changes.agree(change, text="Yes.")
        runs.process_payments(workers=1)
        assert emulator.ledger.taken_minor() == 2000
        # What is proposed then has days of its own.
        plan_changes.agree(plan.propose_change("reopen", "she comes back", staff), text="Yes.")
        assert min(day for day, _left in to_come(plan)) >= clock.today()

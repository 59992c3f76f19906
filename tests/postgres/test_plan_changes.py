"""Two people change a plan at once, a run comes meanwhile, something is undone meanwhile: nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db.models import Sum

from checkout import errors, states
from checkout.models import Checkout, Debt, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PlanChange, Posting
from checkout.services import booking, by_hand, plan_changes, plan_previews, plans, runs
from stripe_emulator import Emulator
from tests.postgres.conftest import FillDue, in_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def at_once(*whats: Callable[[], Any]) -> list[Any]:
    """What each brought, or the CheckoutError with which it was refused."""
    start = Barrier(len(whats))

    def do(what: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return what()
        except errors.CheckoutError as refused:
            return refused

    with ThreadPoolExecutor(len(whats)) as pool:
        waiting = [pool.submit(in_thread(lambda what=what: do(what))) for what in whats]
        return [each.result() for each in waiting]


def by_posting(kind: str, debt: Debt | None) -> Decimal:
    return Posting.objects.filter(debt=debt, kind=kind).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def fresh(line: ObjectPaymentPlanInstalment) -> ObjectPaymentPlanInstalment:
    return ObjectPaymentPlanInstalment.objects.select_related("debt", "object_payment_plan").get(pk=line.pk)


def test_people_who_change_one_plan_at_once_change_it_one_after_the_other_or_not(
    emulator: Emulator, fill_due: FillDue
) -> None:
    line = fresh(fill_due(1)[0])

    def change() -> PlanChange:
        plan = fresh(line).object_payment_plan
        return plan_changes.propose(plan, "discount", "friends", amount=Decimal(1))

    brought = at_once(*[change] * 6)
    made = [each for each in brought if isinstance(each, PlanChange)]
    assert made
    assert sorted(each.number for each in made) == list(range(1, len(made) + 1))
    line = fresh(line)
    assert line.debt is not None
    assert line.debt.owed == 10 - len(made)
    assert by_posting("discount", line.debt) == -len(made)
    assert line.object_payment_plan.total == 20 - len(made)
    assert not booking.wrong_counters()


def test_a_double_click_changes_it_once(emulator: Emulator, fill_due: FillDue) -> None:
    line = fresh(fill_due(1)[0])
    seen = plan_previews.preview(line.object_payment_plan, "discount", amount=Decimal(1)).seen

    def press() -> PlanChange:
        plan = fresh(line).object_payment_plan
        return plan_changes.propose(plan, "discount", "friends", seen=seen, amount=Decimal(1))

    brought = at_once(*[press] * 4)
    assert sum(isinstance(each, PlanChange) for each in brought) == 1
    assert PlanChange.objects.count() == 1
    assert fresh(line).left == 9


def test_a_run_that_comes_meanwhile_takes_what_was_owed_or_what_is(
    emulator: Emulator, fill_due: FillDue, settings: Any
) -> None:
    lines = [fresh(line) for line in fill_due(8)]

    def change(line: ObjectPaymentPlanInstalment) -> Callable[[], PlanChange]:
        return lambda: plan_changes.propose(line.object_payment_plan, "discount", "friends", amount=Decimal(1))

    at_once(lambda: runs.process_payments(workers=2), *[change(line) for line in lines])
    runs.process_payments(workers=1)
    for line in map(fresh, lines):
        assert line.debt is not None
        changed = line.object_payment_plan.changes.filter(state="in_force").exists()
        assert (line.state_id, line.debt.owed, line.debt.paid) == (states.SUCCESS, *[Decimal(9 if changed else 10)] * 2)
        [charge] = Checkout.objects.for_content_object(line).success()
        assert charge.total == line.debt.paid
    assert not booking.wrong_counters()
    assert emulator.ledger.taken_minor() == sum(int(fresh(line).net_paid * 100) for line in lines)


def test_what_is_undone_by_many_at_once_is_undone_once(emulator: Emulator, fill_due: FillDue) -> None:
    line = fresh(fill_due(1)[0])
    by_hand.part_paid(line, Decimal(4), None, "cash")
    [posting] = by_hand.standing_for(fresh(line).debt_id)
    brought = at_once(*[lambda: by_hand.undo(posting, None, "a slip")] * 6)
    assert sum(isinstance(each, Posting) for each in brought) == 1
    line = fresh(line)
    assert by_posting("undone", line.debt) == -4
    assert line.left == 10
    assert not booking.wrong_counters()


def test_what_is_undone_while_a_run_takes_the_rest_is_owed_again(emulator: Emulator, fill_due: FillDue) -> None:
    lines = [fresh(line) for line in fill_due(6)]
    for line in lines:
        by_hand.part_paid(line, Decimal(4), None, "cash")
    postings = [by_hand.standing_for(fresh(line).debt_id)[0] for line in lines]

    def undo(posting: Posting) -> Callable[[], Posting]:
        return lambda: by_hand.undo(posting, None, "a slip")

    brought = at_once(lambda: runs.process_payments(workers=2), *[undo(posting) for posting in postings])[1:]
    for line, posting, result in zip(map(fresh, lines), postings, brought, strict=True):
        assert line.debt is not None
        undone = isinstance(result, Posting)
        assert undone == by_hand.is_undone(posting)
        taken = by_posting("taken", line.debt)
        assert line.debt.paid == taken + (0 if undone else 4)
        assert line.debt.paid <= line.debt.owed == 10, "nothing is taken that was not owed"
        assert (line.state_id == states.SUCCESS) == (line.left == 0), "what is left is owed, and what is owed is open"
        assert taken in (0, 6, 10)
    assert not booking.wrong_counters()


def test_a_plan_goes_on_or_its_row_is_paid_at_once_and_never_both(emulator: Emulator, fill_due: FillDue) -> None:
    both: list[Callable[[], Any]] = []
    for line in fill_due(6):
        plan = line.object_payment_plan
        plans.stop(plan)
        change = plan.propose_change("reopen", "she comes back")
        row = plan.content_object
        both += [
            partial(plan_changes.agree, change, text="Yes."),
            partial(Checkout.objects.create_checkout, "payment", row),
        ]
    at_once(*both)
    for plan in ObjectPaymentPlan.objects.all():
        page_is_open = Checkout.objects.for_content_object(plan.content_object).open().exists()
        assert plan.deleted or not page_is_open
    assert ObjectPaymentPlan.objects.filter(deleted=False).exists() or Checkout.objects.open().exists()

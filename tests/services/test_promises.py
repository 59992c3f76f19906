"""What a payer promised holds whatever asks by itself, and what staff have done leaves the list of what is to do."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db.models import Q
from post_office.models import Email

from checkout import states
from checkout.errors import AlreadyPaid, CannotPay
from checkout.journal import Why
from checkout.models import (
    Checkout,
    FollowUp,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    RecoveryStep,
    StateChange,
)
from checkout.office import selectors
from checkout.office import services as office
from checkout.services import by_staff, charging, due_dates, fulfillment, on_session, promises, recovery, runs
from checkout.services.letters import due, writing
from stripe_emulator import Emulator, faults
from tests.services.conftest import enter_card
from tests.services.test_recovery import DECEMBER, decline, first, live, on, plan, tried  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db

PROMISED = datetime.date(2026, 12, 15)


def promise(line: ObjectPaymentPlanInstalment, emulator: Emulator, day: datetime.date | None = PROMISED) -> None:
    with on(DECEMBER, emulator):
        promises.promise(line, day, None, "by phone")


def test_a_promise_holds_the_retry_until_its_day(plan: ObjectPaymentPlan, emulator: Emulator) -> None:  # noqa: F811
    decline(plan, emulator, "insufficient_funds")
    promise(first(plan), emulator)
    with on(DECEMBER, emulator):
        assert recovery.next_tries_of(plan) == {first(plan).pk: PROMISED}
    live(plan, emulator, 13)
    assert tried(plan) == [DECEMBER]
    live(plan, emulator, 1, DECEMBER + datetime.timedelta(13))
    assert tried(plan) == [DECEMBER, PROMISED]
    assert first(plan).state_id == states.SUCCESS


def test_without_its_promise_the_retry_goes_on(plan: ObjectPaymentPlan, emulator: Emulator) -> None:  # noqa: F811
    decline(plan, emulator, "insufficient_funds")
    promise(first(plan), emulator)
    promise(first(plan), emulator, None)
    live(plan, emulator, 3)
    assert tried(plan) == [DECEMBER, DECEMBER + datetime.timedelta(3)]


def test_a_promise_holds_reminders_until_its_day(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
    settings: Any,
) -> None:
    settings.CHECKOUT_ON_SESSION_REMINDER_DAYS = 3
    decline(plan, emulator, "authentication_required")

    def letters() -> int:
        return Email.objects.filter(to=plan.checkout_email, subject__icontains="confirm").count()

    before = letters()
    with on(DECEMBER, emulator):
        on_session.send_on_session_payment_emails()
        assert letters() == before + 1
    promise(first(plan), emulator)
    for number in range(14):
        with on(DECEMBER + datetime.timedelta(number), emulator):
            on_session.send_on_session_payment_emails()
    assert letters() == before + 1
    with on(PROMISED, emulator):
        on_session.send_on_session_payment_emails()
    assert letters() == before + 2


def test_no_letter_about_a_decline_is_written_after_a_promise(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    decline(plan, emulator, "insufficient_funds")
    promise(first(plan), emulator)
    with on(DECEMBER + datetime.timedelta(1), emulator):
        assert writing.write_waiting().untrue >= 1
    assert not Notice.objects.filter(instalment=first(plan)).exists()


def test_nobody_is_reminded_of_a_decline_before_the_day_that_they_promised(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
    settings: Any,
) -> None:
    settings.CHECKOUT_REMINDER_DAYS = 3
    decline(plan, emulator, "lost_card")
    with on(DECEMBER + datetime.timedelta(1), emulator):
        writing.write_waiting()
    with on(DECEMBER + datetime.timedelta(5), emulator):
        assert due.ask_for_reminders() == 1
        Letter.objects.filter(kind="payment_reminder").delete()
        promises.promise(first(plan), DECEMBER + datetime.timedelta(6), None)
        assert due.ask_for_reminders() == 0
    with on(DECEMBER + datetime.timedelta(6), emulator):
        assert due.ask_for_reminders() == 1


def test_a_promise_made_while_the_run_begins_is_seen(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    decline(plan, emulator, "insufficient_funds")
    with on(DECEMBER + datetime.timedelta(3), emulator):
        [step] = recovery.due_steps(DECEMBER + datetime.timedelta(3))
        promises.promise(first(plan), PROMISED, None)
        held = promises.held_on(DECEMBER + datetime.timedelta(3))
        assert not recovery.release(step.instalment, RecoveryStep.Ended.TRIED, only_if=~held)
    assert first(plan).state_id == states.FAIL


def test_a_line_that_is_being_asked_for_is_not_made_due_again(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    """Staff press the button when the run has found its day come, and Stripe's answer is lost."""
    decline(plan, emulator, "insufficient_funds")
    with on(DECEMBER + datetime.timedelta(3), emulator):
        [step] = recovery.due_steps(DECEMBER + datetime.timedelta(3))
        emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
        charging.charge(first(plan))
        assert first(plan).state_id == states.REQUEST
        assert not recovery.release(step.instalment, RecoveryStep.Ended.TRIED)
    assert first(plan).state_id == states.REQUEST


def test_a_new_card_is_asked_at_once_whatever_was_promised(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    """The page where it is entered says so, and its payer presses the button."""
    decline(plan, emulator, "lost_card")
    promise(first(plan), emulator)
    with on(DECEMBER + datetime.timedelta(1), emulator):
        refresh = Checkout.objects.create_checkout("card_refresh", plan)
        enter_card(emulator, refresh, "5555555555554444")
        fulfillment.fulfill(refresh)
    assert first(plan).state_id == states.SUCCESS


def test_what_is_done_or_put_off_leaves_the_list_until_there_is_something_to_do(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    decline(plan, emulator, "insufficient_funds", times=2)
    line = first(plan)

    def listed(show: str) -> bool:
        return selectors.to_do(show).filter(pk=line.pk).exists()

    with on(DECEMBER + datetime.timedelta(1), emulator):
        assert listed("open")
        promises.done(line, None)
        assert not listed("open")
        assert listed("done")
    live(plan, emulator, 3)
    with on(DECEMBER + datetime.timedelta(3), emulator):
        assert tried(plan) == [DECEMBER, DECEMBER + datetime.timedelta(3)]
        assert listed("open")
        promises.put_off(line, DECEMBER + datetime.timedelta(5), None)
        assert (listed("open"), listed("put_off")) == (False, True)
    with on(DECEMBER + datetime.timedelta(5), emulator):
        assert listed("open")
        promises.promise(line, PROMISED, None)
        assert (listed("open"), listed("promised")) == (False, True)
    with on(PROMISED, emulator):
        assert listed("open")
        Checkout.objects.manual(line)
        assert not listed("all")


def test_nothing_is_promised_of_what_is_paid_stopped_or_has_a_day_of_its_own(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    with pytest.raises(CannotPay, match="due date"):
        promises.promise(first(plan), PROMISED, None)
    decline(plan, emulator, "insufficient_funds")
    ObjectPaymentPlan.objects.update(deleted=True)
    with pytest.raises(CannotPay, match="stopped"):
        promises.promise(first(plan), PROMISED, None)
    ObjectPaymentPlan.objects.update(deleted=False)
    with on(DECEMBER, emulator):
        Checkout.objects.manual(first(plan))
    for act in (promises.promise, promises.put_off):
        with pytest.raises(AlreadyPaid):
            act(first(plan), PROMISED, None)
    with pytest.raises(AlreadyPaid):
        promises.done(first(plan), None)
    assert not FollowUp.objects.exists()


# -- another day --------------------------------------------------------------------------------------------


def test_a_declined_line_that_is_moved_is_taken_on_its_new_day(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    decline(plan, emulator, "insufficient_funds")
    promise(first(plan), emulator)
    moved = DECEMBER + datetime.timedelta(9)
    with on(DECEMBER, emulator):
        by_staff.change_due(first(plan), moved, None, "asked by phone")
    assert (first(plan).state_id, first(plan).due) == (states.PENDING, moved)
    assert not FollowUp.objects.exists()
    live(plan, emulator, 10)
    assert tried(plan) == [DECEMBER, moved]
    assert RecoveryStep.objects.get().ended == RecoveryStep.Ended.MOVED


def test_a_card_that_said_no_is_not_asked_on_another_day_either(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    decline(plan, emulator, "lost_card")
    with on(DECEMBER, emulator), pytest.raises(CannotPay, match="another card"):
        by_staff.change_due(first(plan), DECEMBER + datetime.timedelta(9), None, "asked by phone")
    assert not ObjectPaymentPlanInstalment.objects.filter(Q(state=states.PENDING), due__lt=PROMISED).exists()
    with on(DECEMBER + datetime.timedelta(20), emulator):
        runs.process_payments(workers=1)
    assert tried(plan) == [DECEMBER]


def test_the_history_says_where_a_line_stands_and_not_where_it_was_when_somebody_read_it(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
) -> None:
    decline(plan, emulator, "insufficient_funds")
    read_then = first(plan)
    assert recovery.release(first(plan), RecoveryStep.Ended.TRIED)
    due_dates.move(read_then, PROMISED, None, Why(note="as they asked"))
    office.note_instalment(read_then, None, "they called")
    assert recovery.release(first(plan), RecoveryStep.Ended.TRIED) is False
    changes = StateChange.objects.filter(instalment=read_then).order_by("pk")
    moved = [(before, after) for before, after in changes.values_list("from_state", "to_state") if before]
    assert moved[-3:] == [("fail", "pending"), ("pending", "pending"), ("pending", "pending")]


@pytest.mark.parametrize(("so_that", "day"), [({}, "15 Dec 2026"), ({"paused": True}, ""), ({"agreement": None}, "")])
def test_who_is_asked_reads_of_a_retry_when_it_comes_and_only_if(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
    staff: Any,
    so_that: dict[str, Any],
    day: str,
) -> None:
    decline(plan, emulator, "insufficient_funds")
    promise(first(plan), emulator)
    ObjectPaymentPlan.objects.filter(pk=plan.pk).update(**so_that)
    line = first(ObjectPaymentPlan.objects.get())
    with on(DECEMBER, emulator):
        assert on_session.asked(line, "", "en-gb", reminder=False)["retry_on"] == day
        assert bool(recovery.next_tries_of(line.object_payment_plan)) == bool(day)

"""A payment is settled at first as if nobody else were there and no hook ever raised; when that is not so, again with
care. Either way it is in the books once, and nothing of the first time is left."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, transaction

from checkout import clock, errors, states
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    Debt,
    Letter,
    ObjectPaymentPlanInstalment,
    Paper,
    PaymentPlan,
    Posting,
    Problem,
    StateChange,
)
from checkout.services import booking, charging, debts, ending, settling
from checkout.services.pile import pile
from checkout.services.update_each import LostRace
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due
from tests.services.test_one_off import begin, pay
from tests.services.test_plan_deposits import agree

pytestmark = pytest.mark.django_db


def as_read(checkout: Checkout) -> Checkout:
    return Checkout.objects.select_related("debt").get(pk=checkout.pk)


def settle(emulator: Emulator, read: Checkout) -> Checkout:
    """As an event does: the row was read before Stripe was asked."""
    return settling.settle(read.pk, gateway().retrieve_payment_intent(read.payment_intent_id), read=read)


def paid(emulator: Emulator, membership: Membership) -> Checkout:
    checkout = begin(membership)
    pay(emulator, checkout)
    return settle(emulator, as_read(checkout))


def written(checkout: Checkout) -> tuple[int, int, int, int]:
    """Successes in the history, postings of money, letters and papers."""
    history = StateChange.objects.filter(checkout=checkout, to_state=states.SUCCESS)
    money = Posting.objects.filter(checkout=checkout, kind=Posting.Kind.TAKEN)
    return (
        history.count(),
        money.count(),
        Letter.objects.filter(checkout=checkout).count(),
        Paper.objects.filter(checkout=checkout).count(),
    )


def test_what_a_hook_did_before_it_raised_is_undone_both_times(
    emulator: Emulator, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def raise_after_writing(self: Membership, checkout: Checkout) -> None:
        calls.append(checkout.pk)
        Membership.objects.filter(pk=self.pk).update(name="half done")
        raise RuntimeError("the hook is broken")

    monkeypatch.setattr(Membership, "checkout_success", raise_after_writing)
    settled = paid(emulator, membership)
    membership.refresh_from_db()
    assert (settled.succeeded, settled.unapplied, membership.name) == (True, True, "A Member")
    assert len(calls) == 2
    assert written(settled) == (1, 1, 0, 1)
    assert Problem.objects.get().kind == Problem.Kind.HOOK_FAILED


def test_a_hook_that_raised_the_first_time_only_has_been_told(
    emulator: Emulator, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Membership.checkout_success
    calls: list[int] = []

    def raise_once(self: Membership, checkout: Checkout) -> None:
        calls.append(checkout.pk)
        told(self, checkout)
        if len(calls) == 1:
            raise RuntimeError("a shop that is busy")

    monkeypatch.setattr(Membership, "checkout_success", raise_once)
    settled = paid(emulator, membership)
    membership.refresh_from_db()
    assert (settled.succeeded, settled.unapplied, membership.successes) == (True, False, 1)
    assert written(settled) == (1, 1, 1, 1)
    assert not Problem.objects.exists()


def test_a_line_that_the_database_refused_the_first_time_only_is_paid(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadlock, or a lock that was waited for too long: no hook is to blame."""
    [line] = make_due(save_plan())
    told = ObjectPaymentPlanInstalment.checkout_success
    calls: list[int] = []

    def refused_once(self: ObjectPaymentPlanInstalment, checkout: Checkout) -> None:
        calls.append(checkout.pk)
        if len(calls) == 1:
            raise OperationalError("deadlock detected")
        told(self, checkout)

    monkeypatch.setattr(ObjectPaymentPlanInstalment, "checkout_success", refused_once)
    settled = charging.charge(line)
    line.refresh_from_db()
    assert (settled.succeeded, line.state_id, len(calls)) == (True, states.SUCCESS, 2)
    assert written(settled) == (1, 1, 1, 1)
    assert not Problem.objects.exists()


def test_a_hook_that_hides_an_error_of_the_database_is_found_out(
    emulator: Emulator, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hide(self: Membership, checkout: Checkout) -> None:
        with transaction.atomic():
            Membership.objects.filter(pk=self.pk).update(name="half done")
            transaction.set_rollback(True)
        transaction.set_rollback(True)

    monkeypatch.setattr(Membership, "checkout_success", hide)
    settled = paid(emulator, membership)
    assert (settled.succeeded, settled.unapplied) == (True, True)
    assert written(settled) == (1, 1, 0, 1)
    assert "hid an error" in Problem.objects.get().detail


def test_an_attempt_that_ended_since_it_was_read_frees_nothing_of_the_next_one(
    emulator: Emulator, membership: Membership
) -> None:
    """The counters of the debt are the same again, so they cannot tell."""
    first = begin(membership)
    read = as_read(first)
    ending.fail(as_read(first), why=Why(Code.REPLACED), superseded=True)
    second = begin(membership)
    assert second.pk != first.pk
    assert Debt.objects.get().asked == read.debt.asked == Decimal(100)
    pay(emulator, first)
    assert settle(emulator, read).succeeded
    debt = Debt.objects.get()
    assert (debt.owed, debt.paid, debt.asked) == (100, 100, 100), "the second attempt is still open"
    assert written(first) == (1, 1, 1, 1)


def test_a_debt_that_moved_since_it_was_read_is_added_up_anew(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    read = as_read(checkout)
    with transaction.atomic():
        booking.post(as_read(checkout).debt, Posting.Kind.OTHER_MEANS, Decimal(30), cause="cash")
    pay(emulator, checkout)
    assert settle(emulator, read).succeeded
    debt = Debt.objects.get()
    assert (debt.paid, debt.asked) == (130, 0)
    assert not booking.wrong_counters().exists()
    assert Problem.objects.get().kind == Problem.Kind.PAID_TOO_MUCH
    assert written(checkout) == (1, 1, 1, 1)


def test_what_came_since_it_was_read_is_not_missing_at_another_price(
    emulator: Emulator, membership: Membership
) -> None:
    """The price is read at the last moment, and what was paid of it has to be as well."""
    checkout = begin(membership)
    read = as_read(checkout)
    with transaction.atomic():
        booking.post(as_read(checkout).debt, Posting.Kind.OTHER_MEANS, Decimal(30), cause="cash")
    Membership.objects.update(total=Decimal(130))
    pay(emulator, checkout)
    settled = settle(emulator, read)
    membership.refresh_from_db()
    assert (settled.succeeded, settled.unapplied, membership.successes) == (True, False, 1)
    assert not Problem.objects.exists()


@pytest.mark.parametrize("with_deposit", [False, True])
def test_a_problem_that_another_worker_has_opened_since_it_was_read_is_closed(
    emulator: Emulator,
    membership: Membership,
    payment_plan: PaymentPlan,
    monkeypatch: pytest.MonkeyPatch,
    with_deposit: bool,
) -> None:
    checkout = agree(membership, payment_plan) if with_deposit else begin(membership)
    read = as_read(checkout)
    pay(emulator, checkout)

    def no_room(*args: Any, **how: Any) -> None:
        raise OperationalError("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(Membership, "checkout_total", property(no_room))
        with pytest.raises(errors.NotWrittenDown):
            settle(emulator, as_read(checkout))
    assert Problem.objects.get(closed_at=None).kind == Problem.Kind.NOT_WRITTEN_DOWN
    assert settle(emulator, read).succeeded
    assert not Problem.objects.filter(closed_at=None).exists()


@pytest.mark.parametrize("refuses", [True, False])
def test_no_letter_tells_of_what_a_hook_did_before_it_refused(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    former = save_plan()

    def change_over(self: Membership, checkout: Checkout) -> None:
        former.delete_plan()
        if refuses:
            raise errors.NotWanted("The club is full.")

    monkeypatch.setattr(Membership, "checkout_success", change_over)
    settled = paid(emulator, Membership.objects.create(name="Somebody Else"))
    former.refresh_from_db()
    assert (settled.unapplied, former.deleted) == (refuses, not refuses)
    assert Letter.objects.filter(kind="plan_stopped").exists() is not refuses


def test_no_letter_tells_of_a_plan_that_a_hook_could_not_stop(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = save_plan()
    make_due(former)
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
    ObjectPaymentPlanInstalment.objects.process_payments()

    def change_over(self: Membership, checkout: Checkout) -> None:
        with pytest.raises(errors.AttemptInProgress):
            former.delete_plan()

    monkeypatch.setattr(Membership, "checkout_success", change_over)
    settled = paid(emulator, Membership.objects.create(name="Somebody Else"))
    former.refresh_from_db()
    assert (settled.unapplied, former.deleted) == (False, False)
    assert not Letter.objects.filter(kind="plan_stopped").exists()


def test_who_was_settled_by_somebody_else_meanwhile_is_settled_once(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    read = as_read(checkout)
    pay(emulator, checkout)
    settle(emulator, as_read(checkout))
    assert settle(emulator, read).succeeded
    membership.refresh_from_db()
    assert membership.successes == 1
    assert written(checkout) == (1, 1, 1, 1)


def test_an_attempt_that_was_replaced_since_it_was_read_tells_the_host_nothing(
    emulator: Emulator, membership: Membership
) -> None:
    """What fails is read again: that another takes its place was written after the event was read."""
    checkout = begin(membership)
    read = as_read(checkout)
    Checkout.objects.filter(pk=checkout.pk).update(superseded=True)
    gateway().cancel_payment_intent(checkout.payment_intent_id)
    settled = settle(emulator, read)
    membership.refresh_from_db()
    assert (settled.failed, settled.superseded, membership.failures) == (True, True, 0)


def test_a_row_that_is_gone_is_not_settled(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    with pytest.raises(Checkout.DoesNotExist):
        settling.settle(checkout.pk + 1, intent)


@pytest.mark.parametrize("only_if", [None, {"paid": Decimal(1)}])
def test_a_pile_that_lost_a_race_is_not_written(membership: Membership, only_if: Any) -> None:
    """A row that is gone, and one that is not as it was."""
    debt = debts.of(membership, Decimal(100), "GBP")
    key = debt.pk if only_if else debt.pk + 1

    def write() -> None:
        with transaction.atomic(), pile() as to_write:
            to_write.add([Letter(cause="a", kind="plan_link", write_after=clock.now())])
            to_write.change(Debt, {key: {"paid": Decimal(7)}}, only_if={key: only_if} if only_if else None)

    with pytest.raises(LostRace):
        write()
    assert not Letter.objects.exists()
    debt.refresh_from_db()
    assert debt.paid == 0


def test_a_pile_changes_rows_of_several_tables(emulator: Emulator, membership: Membership) -> None:
    debt = debts.of(membership, Decimal(100), "GBP")
    checkout = begin(membership)
    with transaction.atomic(), pile() as to_write:
        to_write.change(Checkout, {checkout.pk: {"description": "new"}}, only_if={checkout.pk: {"state": "pending"}})
        to_write.change(Debt, {})
        to_write.change(Debt, {debt.pk: {"attempts": 5}})
    assert (Checkout.objects.get().description, Debt.objects.get().attempts) == ("new", 5)

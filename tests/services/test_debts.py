"""What is owed and what came: the counters follow the postings, and nobody asks for what is not left."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import transaction

from checkout import errors, states
from checkout.gateway import gateway
from checkout.models import Checkout, Debt, ObjectPaymentPlanInstalment, Posting, Problem
from checkout.services import (
    attempt_debts,
    attempt_rows,
    booking,
    by_hand,
    debts,
    disputes,
    fulfillment,
    intents,
    problems,
    refunds,
    runs,
)
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due

pytestmark = pytest.mark.django_db


def debt_of(row: Any) -> Debt:
    return Debt.objects.get(content_type=ContentType.objects.get_for_model(row), object_id=str(row.pk))


def kinds(debt: Debt) -> list[tuple[str, Decimal]]:
    return list(debt.postings.values_list("kind", "amount"))


def test_a_payment_is_one_posting_and_frees_what_was_reserved(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    debt = debt_of(membership)
    assert (debt.owed, debt.paid, debt.asked, debt.attempts) == (100, 0, 100, 1)
    enter_card(emulator, checkout, "4242424242424242")
    for _ in range(2):
        fulfillment.fulfill(checkout)
    debt.refresh_from_db()
    assert (debt.owed, debt.paid, debt.asked) == (100, 100, 0)
    assert kinds(debt) == [("owed", 100), ("taken", 100)]
    assert not booking.wrong_counters()


def test_an_attempt_that_ends_frees_what_it_had_reserved(emulator: Emulator, membership: Membership) -> None:
    first = Checkout.objects.create_checkout("payment", membership, None)
    Membership.objects.update(total=Decimal(40))
    membership.refresh_from_db()
    second = Checkout.objects.create_checkout("payment", membership, None)
    first.refresh_from_db()
    assert (first.state_id, second.total) == (states.FAIL, 40)
    assert (debt_of(membership).owed, debt_of(membership).asked) == (40, 40)


def test_the_uuid_of_an_attempt_is_made_from_its_debt_and_number(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    assert checkout.uuid == debt_of(membership).attempt_uuid(1)
    metadata = gateway().retrieve_payment_intent(checkout.payment_intent_id).metadata
    assert metadata == {
        "site": attempt_rows.site(),
        "debt": str(debt_of(membership).uuid),
        "attempt": "1",
        "checkout": str(checkout.uuid),
        "for": f"host.membership:{membership.pk}",
    }


def test_what_another_attempt_has_reserved_is_not_asked_for_again(emulator: Emulator, membership: Membership) -> None:
    """The counters decide, whatever the row in hand says."""
    Checkout.objects.create_checkout("payment", membership, None)
    old = debt_of(membership)
    old.asked = Decimal(0)
    rival = Checkout(debt=old, total=Decimal(1), action_id="payment")
    with pytest.raises(attempt_debts.NothingLeft):
        attempt_debts.reserve([rival])


def test_a_refused_reservation_leaves_the_rows_in_hand_as_they_are_in_the_books(
    emulator: Emulator, membership: Membership
) -> None:
    """A run goes on with them, one by one: what it reserves then carries the next number, and no other."""
    for _ in range(3):
        Checkout.objects.create_checkout("payment", membership, None)
        intents.close_open_attempts(membership)
    standing = debt_of(membership)
    moved = debts.of(Membership.objects.create(), Decimal(100), "GBP")
    Debt.objects.filter(pk=moved.pk).update(asked=100)
    begun = [Checkout(debt=debt, total=Decimal(100), action_id="payment") for debt in (standing, moved)]
    with pytest.raises(attempt_debts.NothingLeft), transaction.atomic():
        attempt_debts.reserve(begun)
    assert (standing.asked, standing.attempts, moved.asked, moved.attempts) == (0, 3, 0, 0)
    with transaction.atomic():
        attempt_debts.reserve(begun[:1])
    assert begun[0].number == 4


@pytest.mark.parametrize("currency", ["EUR", "USD"])
def test_a_row_that_is_sold_in_another_currency_now_is_owed_in_it(
    emulator: Emulator, membership: Membership, currency: str
) -> None:
    Checkout.objects.create_checkout("payment", membership, None)
    Membership.objects.update(currency=currency)
    membership.refresh_from_db()
    dearer = Checkout.objects.create_checkout("payment", membership, None)
    debt = debt_of(membership)
    assert (dearer.currency, debt.currency, debt.owed, debt.asked) == (currency, currency, 100, 100)


def test_what_is_missing_of_a_row_that_became_dearer_while_it_was_paid_is_still_owed(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    Membership.objects.update(total=Decimal(150))
    fulfillment.fulfill(checkout)
    assert (debt_of(membership).owed, debt_of(membership).paid) == (150, 100)


def test_money_given_back_is_not_paid_any_more(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    refunds.refund(fulfillment.fulfill(checkout), Decimal(30))
    assert debt_of(membership).paid == 70
    assert not booking.wrong_counters()


def test_a_refund_that_fails_later_is_paid_again(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4000000000005126")
    row = refunds.refund(fulfillment.fulfill(checkout), Decimal(30))
    emulator.clock.advance(days=4)
    refunds.refund_updated_at_stripe(row.refund_id)
    assert debt_of(membership).paid == 100
    assert [kind for kind, _ in kinds(debt_of(membership))] == ["owed", "taken", "given_back", "give_back_failed"]


@pytest.mark.parametrize(("end", "paid"), [("won", 100), ("lost", 0)])
def test_a_dispute_takes_the_money_back_until_it_is_won(
    emulator: Emulator, membership: Membership, end: str, paid: int
) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    number = emulator.bank.dispute(checkout.payment_intent_id)["id"]
    for _ in range(2):
        disputes.dispute_updated_at_stripe(number)
    assert debt_of(membership).paid == 0
    emulator.bank.decide_dispute(number, end)
    for _ in range(2):
        disputes.dispute_updated_at_stripe(number)
    assert debt_of(membership).paid == paid


def test_old_news_never_opens_a_closed_dispute(emulator: Emulator, membership: Membership, monkeypatch: Any) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    number = emulator.bank.dispute(checkout.payment_intent_id)["id"]
    keep = disputes._keep

    def meanwhile(*about: Any) -> Any:
        monkeypatch.setattr(disputes, "_keep", keep)
        emulator.bank.decide_dispute(number, "won")
        disputes.dispute_updated_at_stripe(number)
        return keep(*about)

    monkeypatch.setattr(disputes, "_keep", meanwhile)
    assert disputes.dispute_updated_at_stripe(number).status == "won"


def test_two_tabs_share_one_attempt_at_what_is_left(emulator: Emulator, membership: Membership) -> None:
    first = Checkout.objects.create_checkout("payment", membership, None)
    assert first.debt is not None
    intents.close_open_attempts(membership)
    booking.post(debt_of(membership), booking.Kind.OTHER_MEANS, Decimal(40), cause="cash at the door")
    begun = [Checkout.objects.create_checkout("payment", membership, None) for _tab in range(2)]
    assert [(each.pk, each.total) for each in begun] == [(begun[0].pk, 60)] * 2
    Membership.objects.update(total=Decimal(150))
    membership.refresh_from_db()
    dearer = Checkout.objects.create_checkout("payment", membership, None)
    assert (dearer.pk != begun[0].pk, dearer.total) == (True, 110)


def test_what_is_undone_after_it_was_picked_is_not_left_out_of_what_is_asked(
    emulator: Emulator, save_plan: SavePlan
) -> None:
    """A run worked out that £20 are left; then the £6.66 in cash were a mistake. Charging £20 would close the line."""
    (line,) = make_due(save_plan())
    by_hand.part_paid(line, Decimal("6.66"), None, "cash")
    line.refresh_from_db()
    picked = attempt_rows.build(line, "charge", None, on_session=False)
    assert picked.total == 20
    by_hand.undo(by_hand.standing_for(line.debt_id)[0], None, "the wrong student")
    with pytest.raises(attempt_debts.NothingLeft), transaction.atomic():
        attempt_rows.insert_many([picked], None)
    assert debt_of(line).asked == 0
    runs.process_payments(workers=1)
    line.refresh_from_db()
    assert (line.state_id, line.net_paid) == (states.SUCCESS, line.amount)


def test_a_run_takes_what_is_left_of_a_line(emulator: Emulator, save_plan: SavePlan) -> None:
    (line,) = make_due(save_plan())
    debt = debt_of(line)
    booking.post(debt, booking.Kind.OTHER_MEANS, Decimal("6.66"), cause="cash at the door")
    runs.process_payments(workers=1)
    assert Checkout.objects.for_content_object(line).get().total == Decimal("20.00")
    assert debt_of(line).left == 0


def test_a_line_whose_debt_is_paid_is_not_taken(emulator: Emulator, save_plan: SavePlan) -> None:
    (line,) = make_due(save_plan())
    taken = emulator.ledger.taken_minor()
    booking.post(debt_of(line), booking.Kind.OTHER_MEANS, line.amount, cause="cash at the door")
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == taken
    assert not ObjectPaymentPlanInstalment.objects.may_be_taken(line.due).exists()


def test_what_is_paid_too_much_is_a_problem_until_it_is_given_back(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    checkout = fulfillment.fulfill(checkout)
    booking.post(debt_of(membership), booking.Kind.OTHER_MEANS, Decimal(100), cause="the same, by bank transfer")
    problem = Problem.objects.get()
    assert (problem.kind, problem.amount, problem.is_open) == (Problem.Kind.PAID_TOO_MUCH, 100, True)
    refunds.refund(checkout, Decimal(100))
    problem.refresh_from_db()
    assert not problem.is_open


def test_a_problem_is_opened_once_while_it_lasts(db: None) -> None:
    about: dict[str, Any] = {"amount": Decimal(5), "currency": "GBP"}
    first = problems.open_problem(Problem.Kind.NO_ROW, "x", **about)
    assert problems.open_problem(Problem.Kind.NO_ROW, "x", **about) == first
    assert problems.close(Problem.Kind.NO_ROW, "x") == 1
    assert problems.open_problem(Problem.Kind.NO_ROW, "x", **about) != first


def test_money_for_a_row_that_is_gone_is_a_problem(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    Membership.objects.all().delete()
    assert fulfillment.fulfill(checkout).succeeded
    assert Problem.objects.get().kind == Problem.Kind.NO_ROW


def test_a_posting_is_never_changed(emulator: Emulator, membership: Membership) -> None:
    Checkout.objects.create_checkout("payment", membership, None)
    with pytest.raises(ValidationError):
        Posting.objects.update(amount=1)
    with pytest.raises(ValidationError):
        Posting.objects.all().delete()


def test_a_user_who_is_deleted_is_forgotten_by_postings_and_nothing_else_changes(
    emulator: Emulator, membership: Membership, staff: Any
) -> None:
    Checkout.objects.manual(membership, staff)
    posting = Posting.objects.get(user=staff)
    staff.delete()
    posting.refresh_from_db()
    assert (posting.user, posting.amount) == (None, membership.total)


def test_what_was_paid_is_not_begun_again(emulator: Emulator, save_plan: SavePlan) -> None:
    (line,) = make_due(save_plan())
    booking.post(debt_of(line), booking.Kind.OTHER_MEANS, line.amount, cause="cash at the door")
    with pytest.raises(errors.AlreadyPaid):
        Checkout.objects.charge(line)


def test_a_row_that_is_to_be_paid_again_owes_its_price_once_more(emulator: Emulator, membership: Membership) -> None:
    for _ in range(2):
        Membership.objects.update(can_charge=True)
        membership.refresh_from_db()
        checkout = Checkout.objects.create_checkout("payment", membership, None)
        enter_card(emulator, checkout, "4242424242424242")
        assert fulfillment.fulfill(checkout).succeeded
    assert (debt_of(membership).owed, debt_of(membership).paid) == (200, 200)
    assert not Problem.objects.exists()


def test_two_who_hold_the_same_old_row_lose_no_posting(membership: Membership) -> None:
    debts.of(membership, Decimal(100), "GBP")
    first, second = debt_of(membership), debt_of(membership)
    booking.post(first, booking.Kind.OTHER_MEANS, Decimal(10), cause="first")
    booking.post(second, booking.Kind.OTHER_MEANS, Decimal(5), cause="second")
    assert (debt_of(membership).paid, second.paid) == (15, 15)
    assert not booking.wrong_counters()

"""A part of a line that came by other means: an attempt of its own, with a receipt, once for each form that is sent."""

from __future__ import annotations

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import formats, translation
from post_office.models import Email

from checkout import clock, errors, states
from checkout.models import Checkout, Customer, Paper, Posting
from checkout.services import attempt_debts, booking, by_hand, debts, papers, plans, runs
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan, letters_installed, make_due

pytestmark = pytest.mark.django_db


def test_a_part_has_a_receipt_of_the_day_on_which_it_came(save_plan: SavePlan) -> None:
    letters_installed()
    line = save_plan().payments.get(count=3)
    day = clock.today() - timedelta(days=3)
    part = by_hand.part_paid(
        line, Decimal("6.66"), None, "an envelope", means=attempt_debts.Means(day, Posting.Method.CASH, "12 May")
    )
    said = formats.date_format(day, "DATE_FORMAT")
    sheet = papers.receipt(part)
    assert sheet.number == Paper.objects.get(checkout=part).label
    facts = dict(sheet.facts)
    assert (facts["Paid on"], facts["Paid with"]) == (said, "Cash")
    assert facts["What for"].endswith("Instalment 2, in part")
    assert sheet.amount == ("Received", "£6.66")
    assert sheet.tables[0].rows == (("Instalment 2", "£6.66"),)
    writing.write_waiting()
    letter = Email.objects.filter(to="member@example.com").latest("pk").message
    assert sheet.number in letter
    for words in ("£6.66", said, "Instalment 2, in part"):
        assert words in letter
    line.refresh_from_db()
    assert (line.state_id, line.left) == (states.PENDING, line.amount - Decimal("6.66"))


def test_its_receipt_speaks_the_language_of_the_payer_and_not_of_the_office(save_plan: SavePlan) -> None:
    plan = save_plan()
    Customer.objects.filter(pk=plan.customer_id).update(language="de")
    with translation.override("en-gb"):
        part = by_hand.part_paid(plan.payments.get(count=2), Decimal(5), None, "cash")
    assert part.description_lines[-1] == "Rate 1, teilweise"


def test_a_form_that_is_sent_twice_is_one_part(save_plan: SavePlan) -> None:
    line, key = save_plan().payments.get(count=2), uuid.uuid4()
    first = by_hand.part_paid(line, Decimal(5), None, "cash", key=key)
    assert by_hand.part_paid(line, Decimal(5), None, "cash", key=key) == first
    other = by_hand.part_paid(line, Decimal(5), None, "cash", key=uuid.uuid4())
    assert other != first
    assert Posting.objects.filter(kind=Posting.Kind.OTHER_MEANS, debt=line.debt_id).count() == 2


def test_a_part_takes_no_number_so_that_a_lost_charge_stays_the_next_one(save_plan: SavePlan) -> None:
    line = save_plan().payments.get(count=2)
    before = debts.of_line(line).attempts
    part = by_hand.part_paid(line, Decimal(5), None, "cash")
    assert (part.number, booking.locked(debts.of_line(line)).attempts) == (None, before)


def test_a_run_takes_the_rest_and_both_are_on_the_receipts(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    [line] = make_due(plan)
    part = by_hand.part_paid(line, Decimal("6.66"), None, "cash")
    runs.process_payments(workers=1)
    line.refresh_from_db()
    assert (line.state_id, line.net_paid) == (states.SUCCESS, line.amount)
    assert [each.total for each in papers.receipts_of(plan)][-2:] == [part.total, line.amount - Decimal("6.66")]
    assert not booking.wrong_counters()


@pytest.mark.parametrize(
    ("amount", "error"),
    [("26.66", errors.AlreadyPaid), ("30", errors.AlreadyPaid), ("26.50", errors.MoneyError)],
)
def test_what_is_no_part_is_refused_and_nothing_is_written(
    save_plan: SavePlan, amount: str, error: type[Exception]
) -> None:
    line = save_plan().payments.get(count=2)
    before = Checkout.objects.count()
    with pytest.raises(error):
        by_hand.part_paid(line, Decimal(amount), None, "cash")
    assert Checkout.objects.count() == before
    assert line.left == line.amount


def test_nothing_comes_for_a_plan_that_was_stopped(save_plan: SavePlan) -> None:
    plan = save_plan()
    plans.stop(plan)
    plan.refresh_from_db()
    with pytest.raises(errors.CannotPay):
        by_hand.part_paid(plan.payments.get(count=2), Decimal(5), None, "cash")


def test_what_is_undone_withdraws_its_receipt(save_plan: SavePlan) -> None:
    line = save_plan().payments.get(count=2)
    part = by_hand.part_paid(line, Decimal(5), None, "cash")
    by_hand.undo(by_hand.standing_for(line.debt_id)[0], None, "the wrong student")
    part.refresh_from_db()
    assert part.undone_at is not None
    assert papers.receipt(part).title == "Receipt, withdrawn"
    line.refresh_from_db()
    assert (line.left, isinstance(line.due, datetime.date)) == (line.amount, True)

"""A rehearsal tells what would happen, day by day, and touches nothing of the site's."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from post_office.models import Email

from checkout.models import Checkout, Debt, Letter, ObjectPaymentPlan, PaymentPlan, RecoveryPolicy, StateChange

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def template(db: None) -> PaymentPlan:
    return PaymentPlan.objects.create_payment_plan("monthly", "Monthly", 20, 3, 1)


@pytest.fixture
def short(template: PaymentPlan) -> PaymentPlan:
    """A deposit and one payment more: each day of a rehearsal costs time."""
    return PaymentPlan.objects.create_payment_plan("short", "Short", 20, 1, 1)


def told(*arguments: str, plan: str = "monthly", **options: Any) -> list[str]:
    out = io.StringIO()
    call_command("checkout_rehearse", f"--plan={plan}", "--total=600", "--start=2027-01-04", *arguments, stdout=out)
    return out.getvalue().replace("\xa0", " ").splitlines()


def test_a_plan_that_goes_well_is_told_to_its_last_payment_and_nothing_here_is_touched(
    emulator: Any, short: PaymentPlan
) -> None:
    story = told(plan="short")
    assert story[0].startswith("Mon 04 Jan 2027  The payer agrees to “Short”: £600.00, 20 % now and 1 more")
    for day, words in (
        ("Mon 04 Jan 2027", "Deposit: £120.00 is paid."),
        ("Mon 01 Feb 2027", "Instalment 1: £480.00 is paid."),
    ):
        at = next(number for number, line in enumerate(story) if line.endswith(words))
        assert next(line for line in story[at::-1] if line[0] != " ").startswith(day)
    assert story[-1] == "The plan is paid: £600.00 paid, £0.00 left; Stripe has taken £600.00."
    assert not emulator.requests
    for model in (Checkout, Debt, Email, Letter, ObjectPaymentPlan, StateChange):
        assert not model.objects.exists()


def test_declines_are_tried_again_by_the_template_s_own_policy_and_the_payer_comes(template: PaymentPlan) -> None:
    template.recovery = RecoveryPolicy.objects.create(name="Gentle", days=[5], pay_day=False)
    template.save()
    declines = ("2=insufficient_funds", "3=lost_card", "4=authentication_required")
    story = told(*(f"--decline={each}" for each in declines), "--payer-comes-after=10")
    text = "\n".join(story)
    assert "Instalment 1: £160.00 is declined" in text
    paid = next(number for number, line in enumerate(story) if line.endswith("Instalment 1: £160.00 is paid."))
    assert next(line for line in story[paid::-1] if line[0] != " ").startswith("Mon 08 Feb 2027")
    assert "Thu 11 Mar 2027  The payer comes by the link, and pays Instalment 2 with another card" in text
    assert "the bank requires the payer for £160.00" in text
    assert "Sun 11 Apr 2027  The payer comes by the link, and confirms Instalment 3 at the bank." in text
    assert story[-1].startswith("The plan is paid: £600.00 paid")


def test_a_payer_who_never_comes_leaves_it_open_and_the_office_sees_it(short: PaymentPlan) -> None:
    story = told("--decline=2=lost_card", "--payer-comes-after=-1", plan="short")
    assert story[-1].startswith("The plan is not paid to its end")
    assert any("Mail to the office" in line for line in story)


def test_a_deposit_that_is_declined_is_paid_with_another_card_on_the_same_page(short: PaymentPlan) -> None:
    story = told("--decline=1=insufficient_funds", plan="short")
    refused = next(number for number, line in enumerate(story) if "Stripe refuses the card on the page" in line)
    assert story[refused + 1].strip() == "The payer enters another card, 5555555555554444, on the same page."
    assert story[refused + 2].strip() == "Deposit: £120.00 is paid."
    assert story[-1].startswith("The plan is paid: £600.00 paid")


def test_a_payer_whose_bank_asks_meets_it_on_the_page_as_they_agree(short: PaymentPlan, settings: Any) -> None:
    always_asks = "--card=4000002760003184"
    story = told(always_asks, plan="short")
    assert story[1].strip() == "Deposit: £120.00 is paid."
    settings.CHECKOUT_DEPOSIT_WITH_CARD = False
    story = told(always_asks, plan="short")
    asked = next(number for number, line in enumerate(story) if "the bank requires the payer for £120.00" in line)
    assert story[asked + 1].strip() == "The payer confirms Deposit at the bank, on the same visit."
    assert story[asked + 2].strip() == "Deposit: £120.00 is paid."
    # Who leaves there owes all of it, and not the deposit alone.
    story = told(always_asks, "--payer-comes-after=-1", plan="short")
    assert story[-1] == "The plan is not paid to its end: £0.00 paid, £600.00 left; Stripe has taken £0.00."


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--plan=weekly"], "There is no template 'weekly'. There are: monthly."),
        (["--total=lots"], "lots"),
        (["--total=0.10"], "0.10"),
        (["--decline=insufficient_funds"], "is not like 3=insufficient_funds"),
        (["--decline=2=insufficent_funds"], "is not a decline code of Stripe's such as insufficient_funds"),
        (["--decline=5=lost_card"], "The plan has 4 payments, 1 is the deposit, so none of them is number 5."),
        (["--decline=0=lost_card"], "none of them is number 0"),
        (["--payer-comes-after=-2"], "is not a number of days, or -1 for never"),
        (["--start=tomorrow"], "is not a date such as 2026-11-23"),
    ],
)
def test_what_cannot_be_played_is_refused_with_a_sentence(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        told(*arguments)

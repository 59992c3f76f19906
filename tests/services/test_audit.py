"""What failed here must have failed at Stripe: differences are found, told and repaired."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from checkout import clock, states
from checkout.journal import Why
from checkout.models import Checkout, ObjectPaymentPlan, ScheduledJob
from checkout.services import audit, charging, ending, fulfillment, intents, runs
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


@pytest.fixture
def wrong(emulator: Emulator, membership: Membership) -> Checkout:
    """An attempt that failed here although it was paid."""
    checkout = begin(membership)
    pay(emulator, checkout)
    ending.fail(checkout, why=Why(note="test: given up without asking Stripe"))
    return checkout


def test_a_difference_is_found_and_told(wrong: Checkout, capsys: Any) -> None:
    with pytest.raises(CommandError, match="1 failed here and not at Stripe"):
        call_command("audit_failed_checkout")
    out = capsys.readouterr().out
    assert wrong.payment_intent_id in out
    assert "100 GBP" in out.replace("100.00", "100")
    assert "Stripe took the money" in out
    assert "compared 1, found 1, left 1" in out
    wrong.refresh_from_db()
    assert wrong.failed, "it only looked"


def test_what_stripe_is_still_taking_is_told_with_what_was_asked_for(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    ending.fail(checkout, why=Why(note="test: given up without asking Stripe"))
    emulator.world.change(emulator.world.get("payment_intent", checkout.payment_intent_id), status="processing")
    [found] = audit.audit_failed_checkouts().findings
    assert found.problem == "Stripe is still taking the money"
    assert Decimal(found.amount.removesuffix(" GBP")) == Decimal(100)


def test_repair_brings_it_to_the_door(wrong: Checkout, membership: Membership, capsys: Any) -> None:
    call_command("audit_failed_checkout", "--repair")
    assert "found 1, left 0" in capsys.readouterr().out
    wrong.refresh_from_db()
    membership.refresh_from_db()
    assert (wrong.state_id, membership.successes) == (states.SUCCESS, 1)
    call_command("audit_failed_checkout")
    assert "compared 1, found 0, left 0" in capsys.readouterr().out
    assert ScheduledJob.objects.get(name="audit_failed_checkout").last_succeeded_at is not None


def test_what_is_called_paid_and_is_not_at_stripe_is_told_and_left_to_a_person(
    emulator: Emulator, membership: Membership, capsys: Any
) -> None:
    checkout = begin(membership)
    # No code of ours does this: somebody has edited rows.
    Checkout.objects.filter(pk=checkout.pk).update(state=states.SUCCESS, settled_at=clock.now())
    for options in ([], ["--repair"]):
        with pytest.raises(CommandError, match="1 paid here and not at Stripe"):
            call_command("audit_failed_checkout", *options)
        out = capsys.readouterr().out
        assert checkout.payment_intent_id in out
        assert "Stripe has not taken the money" in out
    assert emulator.ledger.taken_minor() == 0


@pytest.fixture
def saved_in_vain(emulator: Emulator, membership: Membership, payment_plan: Any) -> Checkout:
    """An attempt at saving a card that failed here although the payer gave the card: they believe that they agreed."""
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    ending.fail(checkout, why=Why(note="test: given up without asking Stripe"))
    return checkout


def test_a_card_that_was_saved_behind_a_fail_is_found(saved_in_vain: Checkout, capsys: Any) -> None:
    with pytest.raises(CommandError, match="1 failed here and not at Stripe"):
        call_command("audit_failed_checkout")
    out = capsys.readouterr().out
    assert saved_in_vain.setup_intent_id in out
    assert "Stripe saved the card" in out
    saved_in_vain.refresh_from_db()
    assert saved_in_vain.failed, "it only looked"


def test_repair_agrees_the_plan_and_takes_its_deposit(
    emulator: Emulator, saved_in_vain: Checkout, membership: Membership
) -> None:
    call_command("audit_failed_checkout", "--repair")
    assert ObjectPaymentPlan.objects.for_content_object(membership).card is not None
    assert emulator.ledger.taken_minor() == 2000
    call_command("audit_failed_checkout")


def test_a_card_for_what_was_settled_otherwise_since_is_nobodys_business(
    emulator: Emulator, saved_in_vain: Checkout, membership: Membership
) -> None:
    """Repairing it would agree a plan for what is paid."""
    paid = begin(membership)
    pay(emulator, paid)
    fulfillment.fulfill(paid)
    call_command("audit_failed_checkout", "--repair")
    saved_in_vain.refresh_from_db()
    assert saved_in_vain.failed
    assert not ObjectPaymentPlan.objects.exists()


def test_a_new_card_for_a_plan_is_found_and_taken(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    refresh = Checkout.objects.create_checkout("card_refresh", plan, None)
    enter_card(emulator, refresh, "4000056655665556")
    ending.fail(refresh, why=Why(note="test: given up without asking Stripe"))
    assert audit.audit_failed_checkouts(repair=True).wrong == 0
    plan.refresh_from_db()
    assert plan.card.last4 == "5556"


def test_csv(wrong: Checkout, capsys: Any) -> None:
    with pytest.raises(CommandError):
        call_command("audit_failed_checkout", "--csv")
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["checkout"], row["intent"], row["repaired"]) == (str(wrong.pk), wrong.payment_intent_id, "no")


def test_what_cannot_be_repaired_is_left_and_told(wrong: Checkout, capsys: Any) -> None:
    Checkout.objects.update(total=7)  # not what Stripe took
    with pytest.raises(CommandError, match="1 failed here"):
        call_command("audit_failed_checkout", "--repair")
    assert "not repaired" in capsys.readouterr().out


def test_failures_that_are_true_are_no_differences(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, capsys: Any
) -> None:
    plan = save_plan("4000000000000341", email="declined@example.com")
    declined = Checkout.objects.get(object_id=plan.instalments.get(deposit=True).pk, action="charge")
    assert declined.failed
    given_up = begin(membership)

    intents.close(given_up, why=Why(note="test"))
    call_command("audit_failed_checkout")
    assert "compared 2, found 0, left 0" in capsys.readouterr().out


def test_days(wrong: Checkout, capsys: Any) -> None:
    old = clock.now() - timedelta(days=10)
    Checkout.objects.update(created_at=old, settled_at=old)
    call_command("audit_failed_checkout", "--days", "9")
    with pytest.raises(CommandError):
        call_command("audit_failed_checkout", "--days", "11")


def test_a_charge_whose_intent_we_never_learnt_is_found_by_our_mark(emulator: Emulator, save_plan: SavePlan) -> None:
    make_due(save_plan())
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
    runs.process_payments(workers=1)
    checkout = Checkout.objects.latest("pk")
    assert checkout.payment_intent_id == ""
    charging.release(checkout, why=Why(note="test: freed without asking Stripe"))
    audited = audit.audit_failed_checkouts()
    assert [finding.checkout.pk for finding in audited.findings] == [checkout.pk]
    assert audit.audit_failed_checkouts(repair=True).wrong == 0
    checkout.refresh_from_db()
    assert checkout.succeeded


def test_what_cannot_be_read_is_no_clean_bill(emulator: Emulator, wrong: Checkout) -> None:
    emulator.fail(call=1, fault=faults.LostBefore())
    with pytest.raises(CommandError, match="1 could not be compared"):
        call_command("audit_failed_checkout")


def test_many_are_compared_a_hundred_per_call(emulator: Emulator, db: None) -> None:
    from tests.services.test_polling import make_open

    rows = make_open(250, minutes_apart=0)
    Checkout.objects.update(state="fail", settled_at=clock.now())
    pay(emulator, rows[77])
    before = len(emulator.requests)
    audited = audit.audit_failed_checkouts()
    assert (audited.looked_at, len(audited.findings)) == (250, 1)
    assert len(emulator.requests) - before == 3

"""One visit to the bank: the deposit is paid while the card is saved, and the plan begins if and only if it came."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client

from checkout import clock, errors, signals, states
from checkout.gateway import gateway
from checkout.models import Agreement, Checkout, ObjectPaymentPlan, Paper, PaymentPlan, Posting, Problem, SavedCard
from checkout.services import (
    agreements,
    applying,
    audit,
    booking,
    cards,
    disputes,
    fulfillment,
    intents,
    look_back,
    polling,
    reconcile,
    refunds,
    runs,
    stale,
)
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import enter_card, lines

pytestmark = pytest.mark.django_db

Kind = Problem.Kind
GOOD, BANK_ASKS, DECLINED = "4242424242424242", "4000002500003155", "4000000000000002"


def agree(row: Membership, payment_plan: PaymentPlan) -> Checkout:
    """What the payer's page does once the box is ticked."""
    text = agreements.wording(payment_plan, row)
    terms = agreements.agreement_terms(payment_plan, row, text=text)
    return Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=payment_plan, agreement=terms)


@pytest.fixture
def begun(emulator: Emulator, membership: Membership, payment_plan: PaymentPlan) -> Checkout:
    return agree(membership, payment_plan)


def plan_of(row: Membership) -> ObjectPaymentPlan:
    return ObjectPaymentPlan.objects.for_content_object(row)


def deposit_of(begun: Checkout) -> Checkout:
    return Checkout.objects.get(begun_by=begun)


def booked() -> list[tuple[str, Decimal]]:
    return list(Posting.objects.order_by("pk").values_list("kind", "amount"))


def open_kinds() -> list[str]:
    return list(Problem.objects.filter(closed_at=None).values_list("kind", flat=True))


# -- it comes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [GOOD, BANK_ASKS])
def test_the_payer_meets_the_bank_once_and_the_plan_begins(
    emulator: Emulator, begun: Checkout, membership: Membership, number: str
) -> None:
    assert begun.payment_intent_id.startswith("pi_")
    enter_card(emulator, begun, number)
    settled = fulfillment.fulfill(begun)
    assert (settled.state_id, settled.intent_id) == (states.SUCCESS, "")
    plan = plan_of(membership)
    assert lines(plan)[0] == (1, Decimal(20), "success")
    assert [amount for _count, amount, state in lines(plan)[1:] if state == "pending"] == [
        Decimal("26.66"),
        Decimal("26.67"),
        Decimal("26.67"),
    ]
    assert emulator.ledger.net_minor(currency="gbp") == 2000
    [intent] = gateway().list_payment_intents(since=clock.now() - datetime.timedelta(days=1))
    assert intent.id == deposit_of(begun).payment_intent_id
    assert list(gateway().list_setup_intents(since=clock.now() - datetime.timedelta(days=1))) == []
    assert Membership.objects.get().successes == 1


def test_the_card_is_the_agreements_and_the_instalments_are_taken_from_it(
    emulator: Emulator, begun: Checkout, membership: Membership
) -> None:
    enter_card(emulator, begun, BANK_ASKS)
    fulfillment.fulfill(begun)
    plan = plan_of(membership)
    card = SavedCard.objects.get()
    assert plan.agreement == Agreement.objects.get(checkout=begun)
    assert (plan.card, card.last4) == (card, "3155")
    later = plan.instalments.get(count=2)
    with time_machine.travel(datetime.datetime.combine(later.due, datetime.time(6), datetime.UTC)):
        emulator.clock.advance(seconds=max(0, clock.now().timestamp() - emulator.clock.now()))
        run = runs.process_payments(workers=1)
    # The bank was asked once, with the payer there: from then on this card needs nobody.
    assert run.items.get().checkout.state_id == states.SUCCESS


def test_the_deposit_is_an_attempt_of_its_own_at_its_line(
    emulator: Emulator, begun: Checkout, membership: Membership
) -> None:
    enter_card(emulator, begun, GOOD)
    fulfillment.fulfill(begun)
    deposit, line = deposit_of(begun), plan_of(membership).instalments.get(deposit=True)
    assert (deposit.content_object, deposit.debt, deposit.total, deposit.number) == (line, line.debt, 20, 1)
    assert (deposit.action_id, deposit.state_id, deposit.mark) == ("payment", "success", str(begun.uuid))
    owed = [("owed", Decimal(20))]
    assert [(kind, amount) for kind, amount in booked() if kind == "taken"] == [("taken", Decimal(20))]
    assert booked()[:1] == owed
    assert (line.debt.paid, line.debt.asked) == (20, 0)
    assert not booking.wrong_counters().exists()
    paper = Paper.objects.get()
    assert (paper.checkout, paper.card_last4) == (deposit, "4242")


def test_every_door_may_bring_it_again(emulator: Emulator, begun: Checkout, membership: Membership) -> None:
    enter_card(emulator, begun, GOOD)
    intent_id = begun.payment_intent_id
    for _again in range(2):
        fulfillment.fulfill_payment_intent(intent_id)
        fulfillment.fulfill(Checkout.objects.get(pk=begun.pk))
        look_back.look_back()
        polling.fulfill_open_intents()
        reconcile.reconcile()
        stale.tidy()
    assert audit.audit_failed_checkouts().findings == []
    assert Membership.objects.get().successes == 1
    assert Checkout.objects.count() == 2
    assert emulator.ledger.net_minor(currency="gbp") == 2000
    assert open_kinds() == []
    assert not booking.wrong_counters().exists()


def test_a_sweep_finds_it_when_the_tab_was_closed(emulator: Emulator, begun: Checkout, membership: Membership) -> None:
    enter_card(emulator, begun, GOOD)
    assert polling.fulfill_payment_intents().changed == 1
    assert plan_of(membership).instalments.count() == 4


def test_the_page_that_was_left_is_not_closed_over_money_that_came(
    emulator: Emulator, begun: Checkout, membership: Membership
) -> None:
    enter_card(emulator, begun, GOOD)
    with time_machine.travel(clock.now() + datetime.timedelta(hours=2)):
        stale.end_setups()
    assert plan_of(membership).instalments.filter(state="success").count() == 1


def test_it_is_refunded_and_disputed_like_every_payment(
    emulator: Emulator, begun: Checkout, membership: Membership
) -> None:
    enter_card(emulator, begun, GOOD)
    fulfillment.fulfill(begun)
    assert refunds.why_not(begun) != ""
    refunds.refund(deposit_of(begun), Decimal(5))
    assert plan_of(membership).instalments.get(deposit=True).net_paid == 15
    theirs = emulator.bank.dispute(deposit_of(begun).payment_intent_id)
    disputes.dispute_updated_at_stripe(theirs["id"])
    assert deposit_of(begun).disputes.count() == 1


def test_signals_tell_of_the_plan_and_of_its_deposit(
    emulator: Emulator, begun: Checkout, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[str] = []

    def listener(**about: Any) -> None:
        told.append(about["checkout"].action_id)

    signals.checkout_succeeded.connect(listener)
    try:
        enter_card(emulator, begun, GOOD)
        with django_capture_on_commit_callbacks(execute=True):
            fulfillment.fulfill(begun)
    finally:
        signals.checkout_succeeded.disconnect(listener)
    assert told == ["payment", "payment_plan"]


# -- it does not come ----------------------------------------------------------------------------------------


def test_no_plan_begins_without_its_deposit(emulator: Emulator, begun: Checkout, membership: Membership) -> None:
    enter_card(emulator, begun, DECLINED)
    declined = fulfillment.fulfill(begun)
    assert (declined.state_id, declined.error_code) == (states.PENDING, "card_declined")
    assert not ObjectPaymentPlan.objects.exists()
    enter_card(emulator, begun, GOOD)
    fulfillment.fulfill(begun)
    assert plan_of(membership).instalments.get(deposit=True).state_id == states.SUCCESS
    assert emulator.ledger.net_minor(currency="gbp") == 2000


def test_another_way_to_pay_cancels_it_first(emulator: Emulator, begun: Checkout, membership: Membership) -> None:
    at_once = Checkout.objects.create_checkout("payment", membership)
    assert gateway().retrieve_payment_intent(begun.payment_intent_id).canceled
    begun.refresh_from_db()
    assert (begun.state_id, begun.superseded, at_once.total) == (states.FAIL, True, 100)


def test_who_has_paid_the_deposit_is_told_so_instead_of_paying_again(
    emulator: Emulator, begun: Checkout, membership: Membership
) -> None:
    enter_card(emulator, begun, GOOD)
    with pytest.raises(errors.AlreadyPaid, match="deposit"):
        Checkout.objects.create_checkout("payment", membership)
    assert plan_of(membership).instalments.get(deposit=True).state_id == states.SUCCESS


def test_an_intent_of_another_amount_settles_nothing(emulator: Emulator, begun: Checkout) -> None:
    enter_card(emulator, begun, GOOD)
    Checkout.objects.filter(pk=begun.pk).update(deposit=Decimal(30))
    with pytest.raises(errors.IntentMismatch, match="amount"):
        fulfillment.fulfill(Checkout.objects.get(pk=begun.pk))
    assert not ObjectPaymentPlan.objects.exists()


def test_a_deposit_is_of_a_plan_and_less_than_its_total(begun: Checkout) -> None:
    for wrong in ({"deposit": 0}, {"deposit": 100}, {"action": "card_refresh"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Checkout.objects.filter(pk=begun.pk).update(**wrong)


# -- it comes, and the plan cannot begin ---------------------------------------------------------------------


@pytest.fixture
def refused(emulator: Emulator, begun: Checkout) -> Checkout:
    Membership.objects.update(hook_refuses=True)
    enter_card(emulator, begun, GOOD)
    fulfillment.fulfill(begun)
    return deposit_of(begun)


def test_a_deposit_that_the_site_refuses_is_in_the_books_and_no_plan_takes_anything(
    emulator: Emulator, begun: Checkout, refused: Checkout
) -> None:
    for _again in range(2):
        fulfillment.fulfill_payment_intent(refused.payment_intent_id)
        reconcile.reconcile()
    begun.refresh_from_db()
    assert (begun.unapplied, refused.unapplied, refused.total) == (True, True, 20)
    assert ("taken", Decimal(20)) in booked()
    assert open_kinds() == [Kind.NOT_WANTED]
    assert Problem.objects.get().amount == 20
    plan = ObjectPaymentPlan.objects.get()
    assert plan.deleted
    assert lines(plan) == [(1, Decimal(20), "pending")]
    assert Membership.objects.get().successes == 0


def test_it_is_given_back_and_its_card_is_taken_off(emulator: Emulator, refused: Checkout) -> None:
    assert cards.detach_replaced() == 0
    refunds.refund(refused, Decimal(20))
    assert open_kinds() == []
    assert emulator.ledger.net_minor(currency="gbp") == 0
    assert cards.detach_replaced() == 1


def test_the_plan_begins_after_all(
    emulator: Emulator, begun: Checkout, refused: Checkout, membership: Membership
) -> None:
    with pytest.raises(errors.NotWanted):
        applying.apply(refused)
    assert ObjectPaymentPlan.objects.get().deleted
    Membership.objects.update(hook_refuses=False)
    applying.apply(refused)
    begun.refresh_from_db()
    refused.refresh_from_db()
    assert (begun.unapplied, refused.unapplied, open_kinds()) == (False, False, [])
    assert [state for _count, _amount, state in lines(plan_of(membership))] == ["success", *["pending"] * 3]
    assert Membership.objects.get().successes == 1
    with pytest.raises(errors.AlreadyPaid):
        applying.apply(refused)


def test_a_hook_that_is_broken_is_tried_again(emulator: Emulator, begun: Checkout, membership: Membership) -> None:
    Membership.objects.update(hook_raises=True)
    enter_card(emulator, begun, GOOD)
    fulfillment.fulfill(begun)
    assert open_kinds() == [Kind.HOOK_FAILED]
    Membership.objects.update(hook_raises=False)
    assert applying.apply_all().applied == 1
    assert plan_of(membership).instalments.count() == 4


@pytest.mark.parametrize("kind", [Kind.NO_ROW, Kind.NOT_PAYABLE])
def test_a_row_that_is_gone_or_paid_otherwise_keeps_the_money_in_sight(
    emulator: Emulator, begun: Checkout, membership: Membership, kind: str
) -> None:
    enter_card(emulator, begun, GOOD)
    if kind == Kind.NO_ROW:
        Membership.objects.all().delete()
    else:
        Membership.objects.update(can_charge=False)
    fulfillment.fulfill(begun)
    assert open_kinds() == [kind]
    assert ("taken", Decimal(20)) in booked()
    refunds.refund(deposit_of(begun), Decimal(20))
    assert open_kinds() == []


def test_late_truth_beside_another_plan_begins_no_second_one(
    emulator: Emulator, begun: Checkout, membership: Membership, payment_plan: PaymentPlan
) -> None:
    enter_card(emulator, begun, GOOD)
    # As a database that was restored would have it: ended here, and paid at Stripe.
    Checkout.objects.filter(pk=begun.pk).update(state="fail", superseded=True)
    other = agree(membership, payment_plan)
    enter_card(emulator, other, GOOD)
    fulfillment.fulfill(other)
    look_back.look_back()
    begun.refresh_from_db()
    assert (begun.state_id, begun.unapplied, open_kinds()) == (states.SUCCESS, True, [Kind.NOT_PAYABLE])
    assert ObjectPaymentPlan.objects.filter(deleted=False).count() == 1
    with pytest.raises(errors.CheckoutError):
        applying.apply(deposit_of(begun))
    refunds.refund(deposit_of(begun), Decimal(20))
    assert emulator.ledger.net_minor(currency="gbp") == 2000
    # The same card pays for the other plan.
    assert plan_of(membership).card is not None


def test_late_truth_does_not_pay_the_deposit_of_another_plan(
    emulator: Emulator, begun: Checkout, membership: Membership, payment_plan: PaymentPlan
) -> None:
    enter_card(emulator, begun, GOOD)
    other = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, membership.total)
    fulfillment.fulfill(begun)
    assert open_kinds() == [Kind.NOT_PAYABLE]
    assert deposit_of(begun).unapplied
    assert lines(other) == [(1, Decimal(20), "pending")]
    assert membership.successes == 0


# -- when it is not done so ----------------------------------------------------------------------------------


def test_a_site_that_asks_on_its_own_page_saves_the_card_first(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    begun = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    assert (begun.deposit, begun.by_setup_intent, begun.setup_intent_id[:5]) == (None, True, "seti_")


def test_a_site_may_save_the_card_first(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, settings: Any
) -> None:
    settings.CHECKOUT_DEPOSIT_WITH_CARD = False
    begun = agree(membership, payment_plan)
    enter_card(emulator, begun, GOOD)
    fulfillment.fulfill(begun)
    assert (begun.deposit, plan_of(membership).instalments.count()) == (None, 4)
    assert Checkout.objects.filter(action="charge").count() == 1


def test_a_deposit_that_is_due_later_is_not_taken_before_its_day(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    terms = agreements.agreement_terms(payment_plan, membership, text="As agreed.")
    later = (clock.today() + datetime.timedelta(days=3)).isoformat()
    terms.lines[0]["due"] = later
    begun = Checkout.objects.create_checkout(
        "payment_plan", membership, None, payment_plan=payment_plan, agreement=terms
    )
    assert (begun.deposit, begun.by_setup_intent) == (None, True)


def test_the_page_asks_for_the_deposit(emulator: Emulator, begun: Checkout) -> None:
    page = intents.page(begun)
    assert page.client_secret.startswith(begun.payment_intent_id)
    assert gateway().retrieve_payment_intent(begun.payment_intent_id).amount_minor == 2000


def test_each_of_the_two_attempts_leads_staff_to_the_other(
    emulator: Emulator, begun: Checkout, staff: Any, client: Client
) -> None:
    enter_card(emulator, begun, GOOD)
    fulfillment.fulfill(begun)
    deposit = deposit_of(begun)
    client.force_login(staff)
    staff.user_permissions.add(Permission.objects.get(codename="view_checkout"))
    for here, there in ((begun, deposit), (deposit, begun)):
        assert f'href="{there.get_absolute_url()}"' in client.get(here.get_absolute_url()).content.decode()

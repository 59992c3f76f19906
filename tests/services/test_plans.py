"""Agreeing a plan, saving the card, taking the deposit, making the instalments, stopping."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from post_office.models import Email

from checkout import clock, errors, states
from checkout.gateway import gateway
from checkout.models import (
    Agreement,
    Checkout,
    Customer,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    SavedCard,
)
from checkout.services import agreements, by_staff, cards, checkouts, fulfillment, intents, plans
from checkout.services.letters import writing
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, lines, make_due

pytestmark = pytest.mark.django_db


def test_the_card_is_saved_the_deposit_taken_and_the_lines_made(
    emulator: Emulator, save_plan: SavePlan, membership: Membership
) -> None:
    plan = save_plan()
    assert lines(plan) == [
        (1, Decimal(20), states.SUCCESS),
        (2, Decimal("26.66"), states.PENDING),
        (3, Decimal("26.67"), states.PENDING),
        (4, Decimal("26.67"), states.PENDING),
    ]
    customer = plan.customer
    assert customer is not None
    assert (customer.newest_card.brand, customer.newest_card.last4) == ("visa", "4242")
    assert customer.newest_card.fingerprint
    card = customer.newest_card
    assert card.expiry_date == SavedCard.last_good_day(card.exp_month or 0, card.exp_year or 0)
    assert emulator.ledger.taken_minor(customer=customer.newest_card.stripe_customer_id) == 2000
    membership.refresh_from_db()
    assert membership.successes == 1


def test_the_payer_gets_the_plan_by_mail_once(emulator: Emulator, save_plan: SavePlan) -> None:
    call_command("init_app_checkout")
    save_plan()
    writing.write_waiting()
    letter = Email.objects.get()
    assert letter.to == ["member@example.com"]
    assert letter.subject == "Your payment plan: £100.00 for Membership, One year"
    for words in ("£20.00 (deposit, paid)", "£26.66 (instalment 1)", "£26.67 (instalment 3)", "Visa ending in 4242"):
        assert words in letter.message
    assert "£26.66" in letter.html_message
    assert writing.write_waiting() == writing.Written()
    assert Email.objects.count() == 1


def test_a_missing_mail_template_does_not_undo_a_deposit(
    emulator: Emulator, save_plan: SavePlan, caplog: pytest.LogCaptureFixture
) -> None:
    plan = save_plan()
    assert lines(plan)[0][2] == states.SUCCESS
    assert writing.write_waiting().errors == 2
    assert "init_app_checkout" in caplog.text
    assert not Notice.objects.exists()


def test_setup_and_charge_say_that_they_are_for_instalments(emulator: Emulator, save_plan: SavePlan) -> None:
    save_plan()
    forms = [entry.form.replace("%5B", "[").replace("%5D", "]") for entry in emulator.requests]
    assert any("[card][setup_credential_usage]=installment" in form and "usage=off_session" in form for form in forms)
    assert any("[card][stored_credential_usage]=installment" in form and "off_session=true" in form for form in forms)


def test_a_card_that_wants_the_payer_at_set_up_is_charged_off_session_afterwards(
    emulator: Emulator, save_plan: SavePlan
) -> None:
    plan = save_plan("4000002500003155")
    assert lines(plan)[0][2] == states.SUCCESS


def test_one_customer_per_address_compared_without_case(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    for email in ("Member@Example.com", "member@example.com"):
        row = Membership.objects.create(email=email)
        Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=payment_plan)
    assert Customer.objects.count() == 1
    made = [entry for entry in emulator.requests if entry.method == "POST" and entry.path == "/v1/customers"]
    assert len(made) == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        Customer.objects.create(email="MEMBER@example.com")


def test_a_lost_reply_while_making_the_customer_makes_one(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/customers$")
    with pytest.raises(errors.OutcomeUnknown):
        Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    emulator.weather.clear()
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    assert checkout.customer is not None
    found = [entry for entry in emulator.requests if entry.path == "/v1/customers" and entry.method == "POST"]
    assert len(found) == 2
    assert gateway().customer_exists(checkout.stripe_customer_id)


def test_each_visit_has_an_intent_of_its_own_and_the_older_is_cancelled(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    first = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    second = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    assert first.setup_intent_id != second.setup_intent_id
    assert gateway().retrieve_setup_intent(first.setup_intent_id).canceled
    first.refresh_from_db()
    assert first.superseded


def test_a_failed_check_at_set_up_leaves_the_page_open(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4000002500003155", authenticate=False)
    assert fulfillment.fulfill(checkout).state_id == states.PENDING
    assert not ObjectPaymentPlan.objects.exists()
    enter_card(emulator, checkout, "4242424242424242")
    assert fulfillment.fulfill(checkout).succeeded


def test_a_declined_deposit_waits_as_failed_and_can_be_paid_with_another_card_there_and_then(
    emulator: Emulator, save_plan: SavePlan, membership: Membership
) -> None:
    plan = save_plan("4000008260003178")
    deposit = plans.deposit_of(plan)
    assert deposit.state_id == states.FAIL
    failed = Checkout.objects.for_content_object(deposit).get()
    assert failed.decline_code == "insufficient_funds"
    assert failed.failure
    membership.refresh_from_db()
    assert membership.failed_due == deposit.due
    again = Checkout.objects.create_checkout_pay_on_session(deposit, None)
    enter_card(emulator, again, "4242424242424242")
    assert fulfillment.fulfill(again).succeeded
    plan.refresh_from_db()
    assert plan.payment_count == 4
    assert plan.customer is not None
    assert plan.card.last4 == "4242"
    assert emulator.ledger.taken_minor(customer=plan.card.stripe_customer_id) == 2000


def test_a_deposit_that_the_bank_wants_the_payer_for_goes_on_with_the_same_intent(
    emulator: Emulator, save_plan: SavePlan, membership: Membership
) -> None:
    plan = save_plan("4000002760003184")
    deposit = plans.deposit_of(plan)
    assert deposit.state_id == states.PAY_ON_SESSION
    waiting = Checkout.objects.for_content_object(deposit).get()
    membership.refresh_from_db()
    assert membership.waits == 1
    again = Checkout.objects.create_checkout_pay_on_session(deposit, None)
    assert (again.pk, again.payment_intent_id) == (waiting.pk, waiting.payment_intent_id)
    enter_card(emulator, again, "4000002760003184")
    assert fulfillment.fulfill(again).succeeded
    assert plan.payment_count == 4


def test_a_lost_reply_to_the_deposit_is_taken_once(emulator: Emulator, save_plan: SavePlan) -> None:
    emulator.weather.add(faults.LostAfter(), path="POST /v1/payment_intents")
    plan = save_plan()
    deposit = plans.deposit_of(plan)
    assert deposit.state_id == states.REQUEST
    with pytest.raises(errors.AttemptInProgress):
        plan.charge_deposit()
    from checkout.services import reconcile

    with time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=11)):
        assert reconcile.reconcile().settled == 1
    deposit.refresh_from_db()
    assert deposit.state_id == states.SUCCESS
    assert plan.customer is not None
    assert emulator.ledger.taken_minor(customer=plan.card.stripe_customer_id) == 2000


def test_the_dates_that_were_agreed_hold_past_midnight(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    with time_machine.travel("2026-01-15T23:55:00Z"):
        agreed = agreements.agreement_terms(payment_plan, membership, text="I agree")
        checkout = Checkout.objects.create_checkout(
            "payment_plan", membership, None, payment_plan=payment_plan, agreement=agreed
        )
        enter_card(emulator, checkout, "4242424242424242")
    with time_machine.travel("2026-01-16T00:05:00Z"):
        fulfillment.fulfill(checkout)
    plan = ObjectPaymentPlan.objects.get()
    assert [line.due.isoformat() for line in plan.payments] == ["2026-01-15", "2026-02-01", "2026-03-01", "2026-04-01"]
    agreement = Agreement.objects.get(checkout=checkout)
    assert [line["due"] for line in agreement.lines] == [line.due.isoformat() for line in plan.payments]
    assert [Decimal(line["amount"]) for line in agreement.lines] == [line.amount for line in plan.payments]


def test_the_days_that_were_agreed_hold_when_staff_move_the_deposit(save_plan: SavePlan) -> None:
    plan = save_plan("4000000000000341")
    by_staff.change_due(plans.deposit_of(plan), clock.today() + datetime.timedelta(days=70), None, "abroad")
    checkouts.manual(plans.deposit_of(plan), None, "Cash")
    assert plan.agreement is not None
    agreed = [(line["count"], line["due"], Decimal(line["amount"])) for line in plan.agreement.lines]
    made = [(line.count, line.due.isoformat(), line.amount) for line in plan.payments]
    assert len(made) == 4
    assert made[1:] == agreed[1:]


def test_an_agreement_is_never_changed(emulator: Emulator, membership: Membership, payment_plan: PaymentPlan) -> None:
    Checkout.objects.create_checkout(
        "payment_plan",
        membership,
        None,
        payment_plan=payment_plan,
        agreement=agreements.agreement_terms(payment_plan, membership, text="I agree"),
    )
    agreement = Agreement.objects.get()
    agreement.text = "I agree to anything"
    with pytest.raises(ValidationError):
        agreement.save()
    with pytest.raises(ValidationError):
        Agreement.objects.update(text="I agree to anything")
    with pytest.raises(ValidationError):
        agreement.delete()


def test_a_second_live_plan_is_refused(
    emulator: Emulator, save_plan: SavePlan, membership: Membership, payment_plan: PaymentPlan
) -> None:
    plan = save_plan()
    with pytest.raises(errors.PlanError, match="payment plan for this already"):
        ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    plan.delete_plan()
    assert ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))


def test_a_plan_that_begins_while_another_visit_does_is_the_only_one(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the row and the lock on it Stripe is asked for the payer, which takes a moment."""
    ensure = cards.ensure_stripe_customer

    def meanwhile(customer: Customer) -> str:
        ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
        return ensure(customer)

    monkeypatch.setattr(cards, "ensure_stripe_customer", meanwhile)
    with pytest.raises(errors.PlanError, match="a payment plan for this already"):
        Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    assert not Checkout.objects.exists()


def test_a_total_that_cannot_be_split_is_refused_before_stripe_hears_of_it(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    Membership.objects.update(total=Decimal("1.00"))
    membership.refresh_from_db()
    with pytest.raises(errors.PlanError, match=r"It works from 1\.48 GBP"):
        Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    assert len(emulator.requests) == 0
    assert not Checkout.objects.exists()


def test_instalments_are_made_once(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    with pytest.raises(errors.PlanError, match="made already"):
        plan.create_instalments()
    assert plan.payment_count == 4


def test_instalments_need_the_deposit_line(membership: Membership, payment_plan: PaymentPlan) -> None:
    plan = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    plan.instalments.all().delete()
    with pytest.raises(errors.PlanError, match="no deposit line"):
        plan.create_instalments()


def test_a_customer_without_a_card_is_refused_by_name(membership: Membership, payment_plan: PaymentPlan) -> None:
    plan = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    with pytest.raises(errors.NoSavedCard, match="A Member has no saved card"):
        plan.charge_deposit()


def test_a_card_deleted_at_stripe_fails_with_what_to_do(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    assert plan.customer is not None
    gateway().detach_payment_method(plan.card.payment_method_id)
    (due,) = make_due(plan)
    checkout = Checkout.objects.charge(due)
    assert checkout.failed
    assert "new card" in checkout.failure or "not be used again" in checkout.failure
    due.refresh_from_db()
    assert due.state_id == states.FAIL


def test_a_customer_deleted_at_stripe_fails_with_what_to_do(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    assert plan.customer is not None
    headers = {"Authorization": "Bearer sk_test_emulator"}
    assert emulator.handle("DELETE", f"/v1/customers/{plan.card.stripe_customer_id}", headers, b"").status == 200
    (due,) = make_due(plan)
    checkout = Checkout.objects.charge(due)
    assert checkout.failed
    assert "ask the payer for a new card" in checkout.failure


def test_stopping_cancels_what_is_open_and_takes_nothing_more(
    emulator: Emulator, save_plan: SavePlan, staff: Any
) -> None:
    plan = save_plan("4000002760003184")
    waiting = Checkout.objects.get(action="charge")
    plan.delete_plan(staff)
    assert (plan.deleted, plan.deleted_by) == (True, staff)
    assert gateway().retrieve_payment_intent(waiting.payment_intent_id).canceled
    waiting.refresh_from_db()
    assert waiting.failed
    with pytest.raises(errors.CannotPay, match="stopped"):
        Checkout.objects.create_checkout_pay_on_session(plans.deposit_of(plan), None)
    with pytest.raises(errors.CannotPay):
        plan.charge_deposit()
    assert not ObjectPaymentPlanInstalment.objects.due.exists()


def test_stopping_waits_for_an_answer_that_is_out(emulator: Emulator, save_plan: SavePlan) -> None:
    emulator.weather.add(faults.LostBefore(), path="POST /v1/payment_intents")
    plan = save_plan()
    with pytest.raises(errors.AttemptInProgress):
        plan.delete_plan()
    plan.refresh_from_db()
    assert not plan.deleted


def test_stopping_a_plan_whose_open_attempt_was_paid_settles_it(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan("4000002760003184")
    waiting = Checkout.objects.get(action="charge")
    enter_card(emulator, waiting, "4242424242424242")
    plan.delete_plan()
    assert plans.deposit_of(plan).state_id == states.SUCCESS


def test_a_template_in_use_is_frozen_and_a_new_version_can_be_made(
    emulator: Emulator, save_plan: SavePlan, payment_plan: PaymentPlan
) -> None:
    save_plan()
    payment_plan.count = 4
    with pytest.raises(errors.PlanError, match="is in use, so its count cannot change"):
        payment_plan.save()
    payment_plan.refresh_from_db()
    payment_plan.name = "Standard (old)"
    payment_plan.save()
    newer = plans.new_version(payment_plan, count=4)
    payment_plan.refresh_from_db()
    assert (newer.slug, newer.count, payment_plan.deleted) == ("standard-v2", 4, True)
    assert plans.new_version(newer, count=5).slug == "standard-v3"


def test_what_the_template_promises(payment_plan: PaymentPlan) -> None:
    day = datetime.date(2026, 1, 10)
    assert payment_plan.deposit_amount(Decimal(100)) == Decimal(20)
    assert payment_plan.instalments(day, Decimal(100)) == [
        (datetime.date(2026, 2, 1), Decimal("26.66")),
        (datetime.date(2026, 3, 1), Decimal("26.67")),
        (datetime.date(2026, 4, 1), Decimal("26.67")),
    ]
    assert payment_plan.example(day, Decimal(100))[0] == (day, Decimal(20))
    assert list(PaymentPlan.objects.current()) == [payment_plan]


@pytest.mark.parametrize(
    ("total", "currency", "deposit"), [("5000", "JPY", 1000), ("100", "KWD", 20000), ("5000", "HUF", 100000)]
)
def test_other_currencies(emulator: Emulator, save_plan: SavePlan, total: str, currency: str, deposit: int) -> None:
    plan = save_plan(total=Decimal(total), currency=currency)
    assert plan.customer is not None
    assert emulator.ledger.taken_minor(customer=plan.card.stripe_customer_id) == deposit
    assert sum(line.amount for line in plan.payments) == Decimal(total)


@pytest.mark.parametrize("count", [1, 60])
def test_short_and_long_plans(emulator: Emulator, membership: Membership, count: int) -> None:
    template = PaymentPlan.objects.create_payment_plan("other", "Other", 10, count, 1)
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=template)
    enter_card(emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    assert ObjectPaymentPlan.objects.get().payment_count == count + 1


def test_setting_an_instalment_due_for_testing(
    emulator: Emulator, save_plan: SavePlan, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = save_plan()
    call_command("testing_set_pending_instalment_due", plan.pk)
    said = capsys.readouterr().out
    # Today is the deposit's.
    assert ObjectPaymentPlanInstalment.objects.due.get().due == clock.today() - datetime.timedelta(days=1)
    assert "is due today" not in said
    assert "now: `process_payments` will take it." in said
    with pytest.raises(CommandError, match="no agreed payment plan 999"):
        call_command("testing_set_pending_instalment_due", 999)
    settings.STRIPE_SECRET_KEY = "sk_live_x"
    with pytest.raises(CommandError, match="live key"):
        call_command("testing_set_pending_instalment_due", plan.pk)


def test_the_setup_command_finishes_what_the_payer_left_behind(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    call_command("setup_intent_fulfillment")
    assert capsys.readouterr().out.startswith("looked at 1, changed 1, errors 0")
    assert lines(ObjectPaymentPlan.objects.get())[0][2] == states.SUCCESS


def test_the_old_card_is_taken_off_at_stripe_or_kept(emulator: Emulator, save_plan: SavePlan, settings: Any) -> None:
    plan = save_plan()
    customer = plan.customer
    assert customer is not None
    for detach in (True, False):
        settings.CHECKOUT_DETACH_OLD_CARDS = detach
        old = ObjectPaymentPlan.objects.get().card.payment_method_id
        checkout = Checkout.objects.create_checkout("card_refresh", plan, None)
        enter_card(emulator, checkout, "5555555555554444")
        fulfillment.fulfill(checkout)
        assert ObjectPaymentPlan.objects.get().card.payment_method_id != old
        assert bool(gateway().retrieve_payment_method(old).customer_id) is not detach
    assert intents.page(checkout).finished


@pytest.fixture
def declined(emulator: Emulator, membership: Membership, payment_plan: PaymentPlan) -> ObjectPaymentPlan:
    """A plan whose card was saved, and declined for the deposit."""
    checkout = Checkout.objects.create_checkout("payment_plan", membership, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4000000000000341")
    fulfillment.fulfill(checkout)
    Membership.objects.update(can_charge=True)
    membership.refresh_from_db()
    plan = ObjectPaymentPlan.objects.get()
    assert lines(plan) == [(1, Decimal(20), states.FAIL)]
    return plan


@pytest.mark.parametrize("action", ["payment", "payment_plan"])
def test_whose_deposit_is_declined_may_pay_in_another_way(
    declined: ObjectPaymentPlan, emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, action: str
) -> None:
    options = {"payment_plan": payment_plan} if action == "payment_plan" else {}
    begun = Checkout.objects.create_checkout(action, membership, **options)
    enter_card(emulator, begun, "4242424242424242")
    assert fulfillment.fulfill(begun).succeeded
    declined.refresh_from_db()
    assert declined.deleted
    assert emulator.ledger.taken_minor() == (10000 if action == "payment" else 2000)


def test_a_plan_that_has_begun_is_not_ended_by_another_way_to_pay(
    save_plan: SavePlan, membership: Membership, emulator: Emulator
) -> None:
    plan = save_plan()
    Membership.objects.update(can_charge=True)
    membership.refresh_from_db()
    ObjectPaymentPlanInstalment.objects.filter(deposit=True).update(state=states.FAIL)
    with pytest.raises(errors.CannotPay, match="paid for by a payment plan"):
        Checkout.objects.create_checkout("payment", membership)
    plan.refresh_from_db()
    assert not plan.deleted


def test_a_deposit_that_is_paid_while_another_way_is_chosen_keeps_its_plan(
    declined: ObjectPaymentPlan, emulator: Emulator, membership: Membership
) -> None:
    page = Checkout.objects.create_checkout_pay_on_session(declined.payments.get())
    emulator.pay(intents.page(page).client_secret, number="4242424242424242")
    with pytest.raises(errors.AlreadyPaid, match="deposit of the payment plan has been paid"):
        Checkout.objects.create_checkout("payment", membership)
    declined.refresh_from_db()
    assert not declined.deleted
    assert (emulator.ledger.taken_minor(), lines(declined)[0][2]) == (2000, states.SUCCESS)


def test_lines_are_read_in_their_order_without_their_plans_table(save_plan: SavePlan) -> None:
    plan = save_plan()
    lines = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan=plan)
    assert "JOIN" not in str(lines.query)
    assert [line.count for line in lines] == sorted(line.count for line in plan.payments)

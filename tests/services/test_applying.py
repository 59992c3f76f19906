"""Truth first, then the host: what came is in the books whatever the row makes of it, and staff are told what to do."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from post_office.models import Email

from checkout import advice, errors, signals, states
from checkout.gateway import gateway
from checkout.models import Checkout, Debt, ObjectPaymentPlan, PaymentPlan, Posting, Problem, Refund, SavedCard
from checkout.services import applying, booking, cards, disputes, doctor, fulfillment, reconcile, refunds
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import enter_card
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db

Kind = Problem.Kind


def refuse(self: Membership, checkout: Checkout) -> None:
    raise errors.NotWanted("The course is full.")


def pay_for(emulator: Emulator, row: Membership) -> Checkout:
    checkout = begin(row)
    pay(emulator, checkout)
    return fulfillment.fulfill(checkout)


@pytest.fixture
def refused(emulator: Emulator, membership: Membership, monkeypatch: Any, settings: Any) -> Checkout:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    monkeypatch.setattr(Membership, "checkout_success", refuse)
    return pay_for(emulator, membership)


@pytest.fixture
def broken(emulator: Emulator, membership: Membership) -> Checkout:
    Membership.objects.update(hook_raises=True)
    return pay_for(emulator, membership)


def booked() -> list[tuple[str, Decimal]]:
    return list(Posting.objects.order_by("pk").values_list("kind", "amount"))


def open_kinds() -> list[str]:
    return list(Problem.objects.filter(closed_at=None).values_list("kind", flat=True))


# -- what the site refuses ---------------------------------------------------------------------------------


def test_money_that_the_site_refuses_is_booked_and_told_to_staff_once(emulator: Emulator, refused: Checkout) -> None:
    for _again in range(2):
        fulfillment.fulfill(refused)
        reconcile.reconcile()
    refused.refresh_from_db()
    assert (refused.state_id, refused.unapplied, refused.error_code) == (states.SUCCESS, True, "")
    assert booked() == [("owed", 100), ("taken", 100)]
    problem = Problem.objects.get()
    assert (problem.kind, problem.checkout, problem.amount, problem.detail) == (
        Kind.NOT_WANTED,
        refused,
        100,
        "The course is full.",
    )
    told = Email.objects.get()
    assert "refused by the site" in told.subject
    assert "The course is full." in told.message
    assert "The course is full." in str(advice.advise(refused).why)


def test_no_listener_hears_of_a_success_that_the_site_refused(
    emulator: Emulator, membership: Membership, monkeypatch: Any, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[Any] = []

    def listener(**about: Any) -> None:
        told.append(about["checkout"].pk)

    signals.checkout_succeeded.connect(listener)
    try:
        with monkeypatch.context() as refusing, django_capture_on_commit_callbacks(execute=True):
            refusing.setattr(Membership, "checkout_success", refuse)
            checkout = pay_for(emulator, membership)
            with pytest.raises(errors.NotWanted):
                applying.apply(checkout)
        assert not told
        with django_capture_on_commit_callbacks(execute=True):
            applying.apply(checkout)
        assert told == [checkout.pk]
    finally:
        signals.checkout_succeeded.disconnect(listener)


def test_it_is_given_back_like_any_payment_and_the_problem_is_over(emulator: Emulator, refused: Checkout) -> None:
    assert refunds.why_not(refused) == ""
    refunds.refund(refused, Decimal(40))
    assert open_kinds() == [Kind.NOT_WANTED]
    refunds.refund(refused, Decimal(60))
    assert open_kinds() == []
    assert sum(amount for kind, amount in booked() if kind != "owed") == 0
    assert emulator.ledger.net_minor(currency="gbp") == 0


def test_what_the_bank_sends_back_to_us_is_a_problem_again(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Membership, "checkout_success", refuse)
    checkout = begin(membership)
    # The refund of this card succeeds, and fails some days later (https://docs.stripe.com/testing#refunds).
    pay(emulator, checkout, "4000000000005126")
    row = refunds.refund(fulfillment.fulfill(checkout), Decimal(100))
    assert open_kinds() == []
    emulator.clock.advance(days=10)
    emulator.tick()
    assert refunds.refund_updated_at_stripe(row.refund_id).failed
    assert open_kinds() == [Kind.NOT_WANTED]


def test_a_site_may_have_it_given_back_without_a_person(emulator: Emulator, refused: Checkout, settings: Any) -> None:
    call_command("settle_refunds")
    assert not Refund.objects.exists()
    settings.CHECKOUT_GIVE_BACK_REFUSED = True
    for _again in range(2):
        call_command("settle_refunds")
    assert [(row.amount, row.note) for row in Refund.objects.all()] == [(100, "The course is full.")]
    assert emulator.ledger.net_minor(currency="gbp") == 0
    assert open_kinds() == []


def test_the_host_hears_nothing_of_money_that_it_was_never_told_of(refused: Checkout, monkeypatch: Any) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(
        Membership, "checkout_refunded", lambda self, refund: heard.append(refund.amount), raising=False
    )
    refunds.refund(refused, Decimal(100))
    assert heard == []


def test_the_payer_reads_that_it_was_paid_and_then_that_it_is_given_back(refused: Checkout, client: Client) -> None:
    session = client.session
    session["checkout_pages"] = {str(refused.uuid): ""}
    session.save()
    page = client.get(f"/checkout/{refused.uuid}/return/").content.decode()
    assert "please do not pay again" in page
    assert "Try again" not in page
    refunds.refund(refused, Decimal(100))
    assert "on its way back to your card" in client.get(f"/checkout/{refused.uuid}/return/").content.decode()


def test_a_plan_that_the_site_refuses_does_not_begin_and_its_card_is_let_go(
    emulator: Emulator, membership: Membership, payment_plan: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Membership, "checkout_success", refuse)
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    settled = fulfillment.fulfill(checkout)
    assert (settled.state_id, settled.failure) == (states.FAIL, "The course is full.")
    assert not ObjectPaymentPlan.objects.exists()
    membership.refresh_from_db()
    assert membership.failures == 1
    assert cards.detach_replaced() == 1
    assert gateway().retrieve_payment_method(SavedCard.objects.get().payment_method_id).customer_id == ""
    assert [change.to_state for change in checkout.state_changes.all()] == [states.PENDING, states.FAIL]


# -- a hook that raises ------------------------------------------------------------------------------------


def test_money_is_booked_although_the_hook_raises_and_the_row_is_told_once_it_is_well(
    emulator: Emulator, broken: Checkout, membership: Membership
) -> None:
    assert (broken.state_id, broken.unapplied) == (states.SUCCESS, True)
    assert booked() == [("owed", 100), ("taken", 100)]
    assert "the hook is broken" in Problem.objects.get(kind=Kind.HOOK_FAILED).detail
    with pytest.raises(CommandError):
        call_command("reconcile")
    Membership.objects.update(hook_raises=False)
    for _again in range(2):
        call_command("reconcile")
    broken.refresh_from_db()
    membership.refresh_from_db()
    assert (broken.unapplied, membership.successes, open_kinds()) == (False, 1, [])


@pytest.mark.parametrize("number", ["4000000000007726", "4000000000000259"])
def test_a_row_is_not_told_of_money_that_is_on_its_way_back_or_that_a_bank_took_back(
    emulator: Emulator, membership: Membership, number: str
) -> None:
    Membership.objects.update(hook_raises=True)
    checkout = begin(membership)
    pay(emulator, checkout, number)
    broken = fulfillment.fulfill(checkout)
    disputed = number == "4000000000000259"
    if disputed:
        [dispute] = gateway().list_disputes(since=broken.created_at - timedelta(hours=1))
        disputes.dispute_updated_at_stripe(dispute.id)
    else:
        assert refunds.refund(broken, Decimal(100)).pending
    Membership.objects.update(hook_raises=False)
    assert reconcile.reconcile() == reconcile.Reconciled()
    with pytest.raises(errors.CannotPay):
        applying.apply(broken)
    membership.refresh_from_db()
    assert (membership.successes, open_kinds()) == (0, [Kind.HOOK_FAILED])
    emulator.clock.advance(days=3)
    emulator.tick()
    if disputed:
        emulator.bank.decide_dispute(dispute.id, "won")
        disputes.dispute_updated_at_stripe(dispute.id)
    else:
        refunds.resolve(Refund.objects.get())
    reconcile.reconcile()
    membership.refresh_from_db()
    assert (membership.successes, open_kinds()) == (int(disputed), [])


def test_what_a_hook_did_before_it_raised_is_undone(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    def half(self: Membership, checkout: Checkout) -> None:
        Membership.objects.update(successes=7)
        raise RuntimeError("and then the disk was full")

    monkeypatch.setattr(Membership, "checkout_success", half)
    pay_for(emulator, membership)
    membership.refresh_from_db()
    assert membership.successes == 0


def test_a_hook_that_hides_an_error_of_the_database_did_not_run(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    def hide(self: Membership, checkout: Checkout) -> None:
        Membership.objects.filter(pk=self.pk).update(successes=1)
        try:
            with transaction.atomic(savepoint=False):
                raise IntegrityError("duplicate key")
        except IntegrityError:
            pass

    monkeypatch.setattr(Membership, "checkout_success", hide)
    assert pay_for(emulator, membership).unapplied
    assert open_kinds() == [Kind.HOOK_FAILED]


def test_a_hook_for_a_refund_that_raises_hides_no_refund(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    def raising(self: Any, row: Any) -> None:
        raise RuntimeError("no")

    checkout = pay_for(emulator, membership)
    monkeypatch.setattr(Membership, "checkout_refunded", raising, raising=False)
    assert refunds.refund(checkout, Decimal(10)).succeeded
    assert booked()[-1] == ("given_back", -10)
    assert open_kinds() == [Kind.REFUND_HOOK_FAILED]
    assert refunds.resolve_all().errors == 1
    heard: list[Any] = []
    monkeypatch.setattr(Membership, "checkout_refunded", lambda self, row: heard.append(row.amount))
    for _again in range(2):
        assert refunds.resolve_all().errors == 0
    assert (heard, open_kinds()) == ([10], [])


# -- what the row says now ---------------------------------------------------------------------------------


def test_an_old_page_does_not_pay_a_new_price_in_full(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    Membership.objects.update(total=Decimal(150))
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    membership.refresh_from_db()
    assert (membership.successes, open_kinds()) == (0, [Kind.PRICE_CHANGED])
    debt = Debt.objects.get()
    assert (debt.owed, debt.paid, debt.left) == (150, 100, 50)
    assert not booking.wrong_counters()


def test_what_is_missing_at_the_new_price_may_be_paid_and_then_all_is_well(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    Membership.objects.update(total=Decimal(150))
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    membership.refresh_from_db()
    rest = pay_for(emulator, membership)
    membership.refresh_from_db()
    checkout.refresh_from_db()
    assert (rest.total, rest.unapplied, membership.successes) == (50, False, 1)
    assert (checkout.unapplied, open_kinds()) == (False, [])
    assert emulator.ledger.taken_minor(currency="gbp") == 15000


def test_what_is_on_its_way_back_does_not_pay_with_the_rest(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    Membership.objects.update(total=Decimal(150))
    pay(emulator, checkout, "4000000000007726")
    former = refunds.refund(fulfillment.fulfill(checkout), Decimal(100))
    assert former.pending
    rest = pay_for(emulator, membership)
    membership.refresh_from_db()
    assert (rest.total, rest.unapplied, membership.successes) == (50, True, 0)
    emulator.clock.advance(days=3)
    emulator.tick()
    assert refunds.resolve(former).succeeded
    assert (pay_for(emulator, membership).total, open_kinds()) == (100, [])
    membership.refresh_from_db()
    assert membership.successes == 1


def test_who_paid_more_than_it_costs_now_has_paid_and_staff_hear_of_the_rest(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    Membership.objects.update(total=Decimal(60))
    pay(emulator, checkout)
    checkout = fulfillment.fulfill(checkout)
    membership.refresh_from_db()
    problem = Problem.objects.get()
    assert (membership.successes, problem.kind, problem.amount, problem.checkout) == (
        1,
        Kind.PAID_TOO_MUCH,
        40,
        checkout,
    )
    refunds.refund(checkout, Decimal(40))
    assert open_kinds() == []


def test_a_row_that_was_settled_elsewhere_is_not_told_again(
    emulator: Emulator, membership: Membership, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    checkout = begin(membership)
    Membership.objects.update(can_charge=False, successes=1)
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    membership.refresh_from_db()
    assert (membership.successes, open_kinds()) == (1, [Kind.NOT_PAYABLE])
    [mail] = Email.objects.all()
    assert "it was paid already" in mail.subject
    applying.apply(checkout)
    membership.refresh_from_db()
    assert (membership.successes, open_kinds()) == (2, [])
    with pytest.raises(errors.AlreadyPaid):
        applying.apply(checkout)


def test_what_is_paid_at_once_for_a_row_that_has_a_plan_by_now_is_a_problem(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    checkout = begin(membership)
    ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    pay(emulator, checkout)
    settled = fulfillment.fulfill(checkout)
    assert (settled.state_id, settled.unapplied, open_kinds()) == (states.SUCCESS, True, [Kind.NOT_PAYABLE])
    assert Membership.objects.get().successes == 0
    assert booked()[-1] == ("taken", 100)


def test_a_page_of_a_row_that_has_a_plan_by_now_is_not_gone_on_with(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    checkout = begin(membership)
    ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    with pytest.raises(errors.CannotPay, match="paid for by a payment plan"):
        begin(membership)
    checkout.refresh_from_db()
    assert checkout.failed


def test_money_for_a_row_that_is_gone_can_be_given_back_and_not_applied(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    membership.delete()
    pay(emulator, checkout)
    settled = fulfillment.fulfill(checkout)
    assert (settled.unapplied, open_kinds()) == (True, [Kind.NO_ROW])
    with pytest.raises(errors.CannotPay):
        applying.apply(settled)
    refunds.refund(settled, Decimal(100))
    assert open_kinds() == []


def test_what_does_not_match_is_a_problem_until_it_does(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    Checkout.objects.update(total=Decimal(99))
    with pytest.raises(errors.IntentMismatch):
        fulfillment.fulfill(checkout)
    assert open_kinds() == [Kind.NOT_WRITTEN_DOWN]
    Checkout.objects.update(total=Decimal(100))
    fulfillment.fulfill(checkout)
    assert open_kinds() == []


def test_the_doctor_names_open_problems(refused: Checkout) -> None:
    assert [finding for finding in doctor.examine(ask=False) if "refused by the site" in finding.message]
    refunds.refund(refused, Decimal(100))
    assert not [finding for finding in doctor.examine(ask=False) if "refused by the site" in finding.message]

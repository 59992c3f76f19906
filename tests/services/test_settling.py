"""What Stripe took is written down, whatever is wrong with mails, settings and listeners; and when the host's own hook
keeps it from being written, everybody can see that."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.urls import NoReverseMatch
from post_office.models import EmailTemplate

from checkout import advice, errors, letters, mail, signals, states
from checkout.models import Checkout, CustomerPayment, Notice, ObjectPaymentPlan
from checkout.services import (
    attempt_debts,
    disputes,
    doctor,
    fulfillment,
    on_session,
    plan_lines,
    requests,
    staff_notices,
    stale,
)
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.saved import agreed
from tests.services.conftest import SavePlan, enter_card
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


# -- mails, settings, listeners ----------------------------------------------------------------------------


def _no_staff_pages(settings: Any, monkeypatch: Any) -> None:
    def reverse(*args: Any, **kwargs: Any) -> str:
        raise NoReverseMatch("staff pages are not included in this site")

    monkeypatch.setattr(staff_notices, "reverse", reverse)


def _bad_address(settings: Any, monkeypatch: Any) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["the office"]


def _broken_words(settings: Any, monkeypatch: Any) -> None:
    def advise(checkout: Any) -> Any:
        raise KeyError("something nobody thought of")

    monkeypatch.setattr(advice, "advise", advise)


@pytest.mark.parametrize("trouble", [_no_staff_pages, _bad_address, _broken_words])
def test_a_mail_to_staff_that_cannot_be_written_stops_no_payment(
    emulator: Emulator, membership: Membership, settings: Any, monkeypatch: Any, trouble: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    trouble(settings, monkeypatch)
    checkout = begin(membership)
    pay(emulator, checkout)
    assert fulfillment.fulfill(checkout).succeeded
    membership.refresh_from_db()
    assert membership.successes == 1
    assert not Notice.objects.filter(template="staff").exists() or trouble is _no_staff_pages


def test_a_dispute_pauses_its_plan_even_if_staff_cannot_be_told(
    emulator: Emulator, save_plan: SavePlan, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["the office"]
    plan = save_plan()
    paid = Checkout.objects.get(action="charge")
    disputes.dispute_updated_at_stripe(emulator.bank.dispute(paid.payment_intent_id)["id"])
    plan.refresh_from_db()
    assert plan.paused


@pytest.mark.parametrize("words", ["{% if %}", "{{ name|nosuchfilter }}"])
def test_a_letter_that_staff_reworded_wrongly_stops_no_deposit(
    emulator: Emulator, save_plan: SavePlan, words: str
) -> None:
    mail.install()
    EmailTemplate.objects.filter(name=letters.PLAN_AGREED).update(content=words)
    plan = save_plan()
    assert [line.state_id for line in plan.payments] == [states.SUCCESS] + [states.PENDING] * 3
    assert emulator.ledger.taken_minor() == 2000
    assert writing.write_waiting().errors == 1
    assert {notice.template for notice in Notice.objects.all()} == {"instalment_paid"}, "the receipt goes all the same"


def test_a_row_that_cannot_describe_itself_stops_no_deposit(
    emulator: Emulator, membership: Membership, payment_plan: Any, monkeypatch: Any
) -> None:
    mail.install()
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    monkeypatch.setattr(Membership, "checkout_language", property(lambda self: 1 // 0), raising=False)
    fulfillment.fulfill(checkout)
    assert ObjectPaymentPlan.objects.get().payment_count == 4


@pytest.mark.parametrize("base_url", ["", "https://shop.example"])
def test_a_link_that_cannot_be_mailed_does_not_hide_that_the_bank_wants_the_payer(
    emulator: Emulator, save_plan: SavePlan, settings: Any, base_url: str
) -> None:
    """Without the site's address, and without the mail's template."""
    settings.CHECKOUT_BASE_URL = base_url
    plan = save_plan("4000002760003184")
    assert plan.customer is not None
    agreed(plan.card)
    asked = requests.create(email=plan.customer.email, name="A", description="Extra", total=Decimal(5))
    checkout = requests.charge(asked)
    asked.refresh_from_db()
    assert (checkout.state_id, asked.state_id) == (states.PAY_ON_SESSION, states.PAY_ON_SESSION)


def test_a_listener_that_raises_hides_nothing(emulator: Emulator, membership: Membership) -> None:
    def listener(**kwargs: Any) -> None:
        raise RuntimeError("a listener of the site")

    signals.checkout_succeeded.connect(listener)
    try:
        checkout = begin(membership)
        pay(emulator, checkout)
        assert fulfillment.fulfill(checkout).succeeded
    finally:
        signals.checkout_succeeded.disconnect(listener)


# -- what cannot be written down ---------------------------------------------------------------------------


def refuse_to_post(*args: Any, **about: Any) -> None:
    raise DatabaseError("deadlock detected")


@pytest.fixture
def taken(emulator: Emulator, membership: Membership) -> Checkout:
    """Paid at Stripe, while the database does not take the posting."""
    checkout = begin(membership)
    pay(emulator, checkout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt_debts, "came", refuse_to_post)
        with pytest.raises(errors.NotWrittenDown):
            fulfillment.fulfill(checkout)
    checkout.refresh_from_db()
    return checkout


def test_staff_see_that_the_money_was_taken_and_why_it_is_not_written_down(taken: Checkout) -> None:
    assert taken.is_open
    assert "deadlock detected" in taken.failure
    told = advice.advise(taken)
    assert "took the money" in str(told.why)
    assert taken in Checkout.objects.audit()
    [finding] = [finding for finding in doctor.examine() if "took the money" in finding.message]
    assert (finding.level, str(taken.pk) in finding.message) == (doctor.Level.ERROR, True)


def test_it_is_tried_again_and_settled_once(
    taken: Checkout, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(attempt_debts, "came", refuse_to_post)
        with pytest.raises(CommandError):
            call_command("payment_intent_fulfillment")
    call_command("payment_intent_fulfillment")
    call_command("payment_intent_fulfillment")
    taken.refresh_from_db()
    membership.refresh_from_db()
    assert (taken.succeeded, taken.error_code, taken.failure, membership.successes) == (True, "", "", 1)
    assert not [finding for finding in doctor.examine() if "took the money" in finding.message]


def test_it_is_never_closed_and_no_second_attempt_begins(
    taken: Checkout, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    monkeypatch.setattr(attempt_debts, "came", refuse_to_post)
    Checkout.objects.update(
        created_at=taken.created_at - timedelta(days=1), seen_at=taken.created_at - timedelta(days=1)
    )
    assert stale.tidy() == stale.Tidied(errors=1)
    with pytest.raises(errors.CheckoutError):
        Checkout.objects.manual(membership)
    assert Checkout.objects.get().is_open


def test_a_payer_who_paid_is_not_reminded(emulator: Emulator, save_plan: SavePlan, monkeypatch: Any) -> None:
    plan = save_plan("4000002760003184")
    line = plan.payments[0]
    checkout = Checkout.objects.create_checkout_pay_on_session(line)
    pay(emulator, checkout)

    def broken(*args: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(plan_lines, "instalment_paid", broken)
    monkeypatch.setattr(on_session, "DEPOSIT_GRACE", -on_session.DEPOSIT_GRACE)
    assert on_session.waiting_for_mail().exists()
    with pytest.raises(errors.HookFailed):
        fulfillment.fulfill(checkout)
    assert not on_session.waiting_for_mail().exists()


def test_what_does_not_match_is_seen_as_well(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    Checkout.objects.update(total=Decimal(99))
    with pytest.raises(errors.IntentMismatch):
        fulfillment.fulfill(checkout)
    checkout.refresh_from_db()
    assert "does not match" in checkout.failure
    assert [finding for finding in doctor.examine() if "took the money" in finding.message]


@pytest.mark.parametrize("problem", [DatabaseError("deadlock detected"), AttributeError("checkout_success")])
def test_no_error_of_the_row_reaches_the_payer_as_a_traceback(
    emulator: Emulator, membership: Membership, monkeypatch: Any, problem: Exception
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)

    def refuse(self: Any) -> Any:
        raise problem

    monkeypatch.setattr(Membership, "checkout_success", property(refuse))
    settled = fulfillment.fulfill(checkout)
    assert (settled.succeeded, settled.unapplied) == (True, True)


def test_a_request_that_is_paid_twice_is_never_quiet(
    emulator: Emulator, save_plan: SavePlan, caplog: pytest.LogCaptureFixture
) -> None:
    plan = save_plan()
    assert plan.customer is not None
    agreed(plan.card)
    asked = requests.create(email=plan.customer.email, name="A", description="Extra", total=Decimal(5))
    first = begin_request(asked)
    pay(emulator, first)
    CustomerPayment.objects.update(state=states.SUCCESS)
    assert fulfillment.fulfill(first).succeeded
    assert "should be refunded" in caplog.text


def begin_request(asked: CustomerPayment) -> Checkout:
    return requests.begin(asked)

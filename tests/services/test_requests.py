"""Staff ask a customer for an amount: by link or from the saved card."""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client
from post_office.models import Email

from checkout import clock, errors, links, states
from checkout.models import Checkout, Customer, CustomerPayment, Notice, ObjectPaymentPlan, Problem, SavedCard
from checkout.services import charging, fulfillment, refunds, requests
from stripe_emulator import Emulator, faults
from tests.kept import kept
from tests.saved import agreed
from tests.services.conftest import SavePlan, enter_card

pytestmark = pytest.mark.django_db

ALWAYS_ASKS = "4000002760003184"


@pytest.fixture(autouse=True)
def site(settings: Any, db: None) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    kept("init_app_checkout", lambda: call_command("init_app_checkout", verbosity=0))


def ask(email: str = "cleo@example.com", total: str = "25", **more: Any) -> CustomerPayment:
    return requests.create(email=email, name="Cleo", description="Books", total=Decimal(total), **more)


def with_card(save_plan: SavePlan, number: str = "4242424242424242") -> tuple[CustomerPayment, Customer]:
    plan: ObjectPaymentPlan = save_plan(number)
    assert plan.customer is not None
    # The payer has also agreed to amounts outside the plan.
    agreed(plan.card)
    return ask(plan.customer.email), plan.customer


def test_the_saved_card_is_charged_once(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    payment, customer = with_card(save_plan)
    before = emulator.ledger.taken_minor(customer=customer.newest_card.stripe_customer_id)
    assert requests.charge(payment, staff).succeeded
    with pytest.raises(errors.AlreadyPaid):
        requests.charge(payment, staff)
    assert emulator.ledger.taken_minor(customer=customer.newest_card.stripe_customer_id) == before + 2500
    payment.refresh_from_db()
    assert payment.state_id == states.SUCCESS


def test_a_declined_card_says_why_and_can_be_tried_again(emulator: Emulator, save_plan: SavePlan) -> None:
    payment, customer = with_card(save_plan)
    emulator.bank.decline_next(customer.newest_card.payment_method_id, "insufficient_funds")
    assert requests.charge(payment).decline_code == "insufficient_funds"
    payment.refresh_from_db()
    assert payment.state_id == states.FAIL
    assert requests.charge(payment).succeeded


def test_a_lost_answer_blocks_a_second_charge(emulator: Emulator, save_plan: SavePlan) -> None:
    payment, _customer = with_card(save_plan)
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
    assert requests.charge(payment).state_id == states.REQUEST
    with pytest.raises(errors.AttemptInProgress):
        requests.charge(payment)
    with pytest.raises(errors.CannotPay):
        requests.begin(payment)


def test_when_the_bank_wants_the_payer_the_link_is_mailed_and_the_same_payment_goes_on(
    emulator: Emulator, save_plan: SavePlan
) -> None:
    plan = save_plan()
    assert plan.customer is not None
    agreed(plan.card)
    payment = ask(plan.customer.email)
    fresh = emulator.bank.add_legacy_card(plan.card.stripe_customer_id, ALWAYS_ASKS)
    SavedCard.objects.update(payment_method_id=fresh)
    checkout = requests.charge(payment)
    assert checkout.state_id == states.PAY_ON_SESSION
    payment.refresh_from_db()
    assert payment.state_id == states.PAY_ON_SESSION
    [mail] = Email.objects.filter(subject__startswith="Please pay")
    assert "https://shop.example/checkout/request/" in mail.message
    begun = requests.begin(payment)
    assert begun == checkout
    enter_card(emulator, begun, "4242424242424242")
    assert fulfillment.fulfill(begun).succeeded
    payment.refresh_from_db()
    assert payment.state_id == states.SUCCESS


def test_a_card_is_charged_for_what_its_owner_agreed_to_only(emulator: Emulator, save_plan: SavePlan) -> None:
    """“The card is used for these payments only”, the payer read: so staff send a link."""
    plan = save_plan()
    taken = emulator.ledger.taken_minor()
    with pytest.raises(errors.NoSavedCard, match="link"):
        requests.charge(ask(plan.customer.email))
    assert emulator.ledger.taken_minor() == taken


def test_an_amount_outside_a_plan_is_not_called_an_instalment(emulator: Emulator, save_plan: SavePlan) -> None:
    payment, _customer = with_card(save_plan)
    requests.charge(payment)
    assert "stored_credential_usage]=unscheduled" in str(emulator.requests[-1].form)


def test_without_a_card_it_says_so(emulator: Emulator) -> None:
    with pytest.raises(errors.NoSavedCard):
        requests.charge(ask())


def test_the_link_shows_on_get_begins_on_post_and_is_paid_once(emulator: Emulator, client: Client) -> None:
    payment = ask()
    path = requests.payer_path(payment)
    asked = len(emulator.requests)
    assert "£25.00" in client.get(path).content.decode()
    assert (len(emulator.requests), Checkout.objects.count()) == (asked, 0)
    assert client.post(path).status_code == 302
    assert client.post(path).status_code == 302
    checkout = Checkout.objects.get()
    enter_card(emulator, checkout, "4242424242424242")
    back = client.get(f"/checkout/{checkout.uuid}/return/")
    shown = client.get(back.headers["Location"])
    assert "this is paid" in shown.content.decode()
    assert client.post(path).status_code == 302
    assert Checkout.objects.count() == 1
    assert refunds.refund(Checkout.objects.get(), Decimal(5)).succeeded


def test_a_link_is_mailed_once_and_again_only_when_asked(emulator: Emulator, staff: Any) -> None:
    payment = ask()
    assert requests.send_link(payment)
    assert not requests.send_link(payment)
    assert requests.send_link(payment, staff, again=True)
    assert Email.objects.count() == 2
    assert payment.state_changes.filter(user=staff, code="link_sent_again").exists()


def reminders() -> int:
    return Notice.objects.filter(cause__endswith="-reminder").count()


def test_what_is_still_to_pay_is_reminded_of_once(emulator: Emulator, settings: Any) -> None:
    payment = ask()
    requests.send_link(payment)
    with time_machine.travel(clock.now() + timedelta(days=6)):
        assert requests.remind() == (0, 0), "not before its day"
    with time_machine.travel(clock.now() + timedelta(days=8)):
        settings.CHECKOUT_REMINDER_DAYS = 0
        assert requests.remind() == (0, 0), "none is wanted"
        settings.CHECKOUT_REMINDER_DAYS = 7
        assert [requests.remind(), requests.remind()] == [(1, 0), (0, 0)]
    last = Email.objects.filter(to=payment.customer.email).latest("pk")
    assert last.subject.startswith("Reminder: please pay £25.00")
    assert "This is a reminder: please pay £25.00 for: Books" in last.message
    assert requests.payer_path(payment).rsplit("/", 2)[0] in last.message
    assert Notice.objects.count() == 2


@pytest.mark.parametrize("what", ["paid", "withdrawn", "written to again", "never mailed", "long ago", "being charged"])
def test_nobody_is_reminded_of_what(emulator: Emulator, save_plan: SavePlan, staff: Any, what: str) -> None:
    if what == "being charged":
        payment, _customer = with_card(save_plan)
        requests.send_link(payment)
        emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
        with contextlib.suppress(errors.OutcomeUnknown):
            requests.charge(payment, staff)
        assert requests.is_being_charged(payment)
    else:
        payment = ask()
        if what != "never mailed":
            requests.send_link(payment)
    if what == "paid":
        requests.paid_by_hand(payment, staff, "cash")
    elif what == "withdrawn":
        requests.withdraw(payment, staff, "a slip")
    elif what == "written to again":
        requests.send_link(payment, staff, again=True)
    with time_machine.travel(clock.now() + timedelta(days=60 if what == "long ago" else 8)):
        assert requests.remind() == (0, 0)
    assert reminders() == 0


def test_many_are_looked_through_in_two_queries(emulator: Emulator, django_assert_num_queries: Any) -> None:
    for number in range(3):
        requests.send_link(ask(f"cleo{number}@example.com"))
    with time_machine.travel(clock.now() + timedelta(days=8)):
        assert requests.remind() == (3, 0)
        with django_assert_num_queries(2):
            requests.remind()


def test_a_reminder_that_cannot_be_written_is_a_problem_and_stops_no_other(emulator: Emulator) -> None:
    bad, good = ask("not an address"), ask("cleo2@example.com")
    for payment in (bad, good):
        Notice.objects.create(
            cause=f"customer-payment-{payment.pk}-0",
            template="customer_payment_request",
            recipient=payment.customer.email,
        )
    with time_machine.travel(clock.now() + timedelta(days=8)):
        assert requests.remind() == (1, 1)
        with pytest.raises(CommandError, match="1 could not be written"):
            call_command("send_letters")
    assert Problem.objects.get(kind=Problem.Kind.LETTER).subject == f"customer-payment-{bad.pk}-reminder"


def test_links_expire_and_cannot_be_made_up(emulator: Emulator, client: Client, save_plan: SavePlan) -> None:
    payment = ask()
    path = requests.payer_path(payment)
    with time_machine.travel(clock.now() + timedelta(days=15)):
        assert client.get(path).status_code == 410
        assert client.post(path).status_code == 410
    assert client.get(path[:-3] + "xx/").status_code == 404
    # A link to an instalment opens no request.
    line = save_plan().payments.first()
    assert line is not None
    assert client.get(f"/checkout/request/{links.make_token(line)}/").status_code == 404


def test_the_same_form_twice_is_one_request(emulator: Emulator) -> None:
    key = uuid.uuid4()
    assert ask(key=key) == ask(key=key)
    assert CustomerPayment.objects.count() == 1


def test_paid_by_hand_closes_the_open_page(emulator: Emulator, staff: Any) -> None:
    payment = ask()
    opened = requests.begin(payment)
    assert requests.paid_by_hand(payment, staff, "cash").is_manual
    opened.refresh_from_db()
    assert (opened.state_id, opened.superseded) == (states.FAIL, True)
    payment.refresh_from_db()
    assert payment.state_id == states.SUCCESS
    with pytest.raises(errors.AlreadyPaid):
        requests.begin(payment)


def test_an_amount_that_stripe_would_not_take_is_refused_before_anything_is_written(emulator: Emulator) -> None:
    with pytest.raises(errors.MoneyError):
        ask(total="0.10")
    assert not CustomerPayment.objects.exists()


def test_claim_by_two_takes_it_once(emulator: Emulator, save_plan: SavePlan) -> None:
    payment, _customer = with_card(save_plan)
    charging.claim(payment)
    with pytest.raises(errors.AttemptInProgress):
        charging.claim(CustomerPayment.objects.get(pk=payment.pk))

"""A request for money is withdrawn: nothing is owed for it, nobody can pay it, and what was paid meanwhile stands."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from post_office.models import Email, EmailTemplate

from checkout import clock, errors, states
from checkout.gateway import gateway
from checkout.models import Checkout, CustomerPayment, Debt, Problem, StateChange
from checkout.services import attempt_rows, debts, requests
from stripe_emulator import Emulator, faults
from tests.services.conftest import SavePlan, enter_card
from tests.services.test_requests import ask, with_card

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings: Any, db: None) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    call_command("init_app_checkout", verbosity=0)


def test_nothing_is_owed_and_nobody_can_pay(emulator: Emulator, client: Client, staff: Any) -> None:
    payment = ask()
    page = requests.begin(payment)
    assert requests.withdraw(payment, staff, "typed wrongly")
    assert (payment.is_withdrawn, payment.withdrawn_by, payment.withdrawn_why) == (True, staff, "typed wrongly")
    page.refresh_from_db()
    assert (page.state_id, gateway().retrieve_payment_intent(page.payment_intent_id).canceled) == (states.FAIL, True)
    debt = Debt.objects.get()
    assert (debt.owed, debt.left, debt.asked) == (0, 0, 0)
    for door in (requests.begin, requests.charge, requests.send_link):
        with pytest.raises(errors.CannotPay, match="withdrawn"):
            door(payment)
    with pytest.raises(errors.CannotPay):
        requests.paid_by_hand(payment, staff, "12")
    with pytest.raises(errors.CannotPay):
        Checkout.objects.create_checkout("payment", payment, None)
    assert emulator.ledger.taken_minor() == 0
    told = StateChange.objects.filter(customer_payment=payment).latest("pk")
    assert (told.user, told.note) == (staff, "typed wrongly")
    with pytest.raises(errors.CannotPay, match="withdrawn"):
        requests.withdraw(payment, staff, "again")


def test_its_link_says_so_and_takes_nothing(emulator: Emulator, client: Client, staff: Any) -> None:
    payment = ask()
    requests.send_link(payment)
    link = requests.payer_path(payment)
    requests.withdraw(payment, staff, "typed wrongly")
    shown = client.get(link).content.decode()
    assert "This request was withdrawn" in shown
    assert "typed wrongly" not in shown, "the reason is for colleagues"
    assert "<form" not in shown
    assert client.post(link).status_code == 302
    assert not Checkout.objects.exists()


def test_who_was_asked_by_mail_is_told_once_and_nobody_else(emulator: Emulator, staff: Any) -> None:
    requests.withdraw(ask("one@example.com"), staff, "typed wrongly")
    assert not Email.objects.exists()
    payment = ask("two@example.com")
    requests.send_link(payment)
    requests.withdraw(payment, staff, "typed wrongly")
    told = Email.objects.latest("pk")
    assert told.to == ["two@example.com"]
    assert "do not need to pay £25.00" in told.subject
    assert Email.objects.count() == 2


def test_a_letter_without_words_keeps_nothing_from_being_withdrawn(emulator: Emulator, staff: Any) -> None:
    payment = ask()
    requests.send_link(payment)
    EmailTemplate.objects.filter(name="customer_payment_withdrawn").update(content="{% nonsense %}")
    assert requests.withdraw(payment, staff, "typed wrongly")
    assert Problem.objects.filter(kind="letter").exists()


def test_what_its_payer_has_paid_at_this_moment_stands(emulator: Emulator, staff: Any) -> None:
    payment = ask()
    enter_card(emulator, requests.begin(payment), "4242424242424242")
    assert not requests.withdraw(payment, staff, "typed wrongly")
    payment.refresh_from_db()
    assert (payment.state_id, payment.is_withdrawn) == (states.SUCCESS, False)
    assert Debt.objects.get().paid == 25
    assert not Problem.objects.exists()


def test_what_was_paid_is_not_withdrawn(emulator: Emulator, staff: Any) -> None:
    payment = ask()
    requests.paid_by_hand(payment, staff, "12")
    with pytest.raises(errors.AlreadyPaid):
        requests.withdraw(payment, staff, "typed wrongly")
    with pytest.raises(IntegrityError), transaction.atomic():
        CustomerPayment.objects.update(withdrawn_at=clock.now())


def test_while_a_charge_has_no_answer_nothing_is_withdrawn(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    payment, _customer = with_card(save_plan)
    emulator.weather.add(faults.LostAfter(), path="POST /v1/payment_intents")
    requests.charge(payment, staff)
    with pytest.raises(errors.AttemptInProgress):
        requests.withdraw(payment, staff, "typed wrongly")
    payment.refresh_from_db()
    assert not payment.is_withdrawn


def test_whoever_begins_to_pay_at_that_moment_is_seen(emulator: Emulator, staff: Any, monkeypatch: Any) -> None:
    """Between the look at Stripe and the commit."""
    payment = ask()
    real = requests.intents.close_open_attempts

    def meanwhile(*given: Any) -> None:
        real(*given)
        requests.begin(ask_again)

    ask_again = CustomerPayment.objects.get(pk=payment.pk)
    monkeypatch.setattr(requests.intents, "close_open_attempts", meanwhile)
    with pytest.raises(errors.AttemptInProgress):
        requests.withdraw(payment, staff, "typed wrongly")
    payment.refresh_from_db()
    assert not payment.is_withdrawn
    assert Checkout.objects.open().count() == 1


def test_an_attempt_that_reads_the_row_after_the_withdrawal_is_refused(emulator: Emulator, staff: Any) -> None:
    payment = ask()
    old = CustomerPayment.objects.get(pk=payment.pk)
    requests.withdraw(payment, staff, "typed wrongly")
    with transaction.atomic():
        assert not attempt_rows.still_payable(old)
    with pytest.raises(errors.CannotPay):
        Checkout.objects.create_checkout("payment", old, None)
    assert emulator.ledger.taken_minor() == 0


def test_nothing_is_taken_back_while_an_attempt_holds_it(emulator: Emulator) -> None:
    payment = ask()
    requests.begin(payment)
    with pytest.raises(IntegrityError), transaction.atomic():
        debts.not_owed_any_more(payment)


def test_staff_withdraw_it_on_its_page_and_it_leaves_the_list_of_what_is_to_pay(
    emulator: Emulator, client: Client, django_user_model: Any
) -> None:
    client.force_login(django_user_model.objects.create_superuser("boss", "boss@example.com", "boss"))
    payment = ask()
    url = reverse("checkout.customer.payment.withdraw", args=[payment.uuid])
    seen = client.get(url).context["seen"]
    shown = client.post(url, {"seen": seen, "reason": "typed wrongly"}, follow=True).content.decode()
    assert "Withdrawn. Nothing is owed for it any more." in shown
    assert "typed wrongly" in shown
    assert "Withdraw it" not in shown
    rows = client.get(reverse("checkout.customer.payment.list"), {"show": "open"}).context["rows"]
    assert rows == []
    assert "Withdrawn" in client.get(reverse("checkout.customer.payment.list")).content.decode()
    account = client.get(reverse("checkout.customer.detail", args=[payment.customer_id])).content.decode()
    assert "£0.00" in account


def test_a_card_is_charged_after_a_page_that_asks(
    emulator: Emulator, save_plan: SavePlan, client: Client, django_user_model: Any
) -> None:
    client.force_login(django_user_model.objects.create_superuser("boss", "boss@example.com", "boss"))
    _other, customer = with_card(save_plan)
    before = emulator.ledger.taken_minor()
    key = "6b9a7c1e-5a0f-4c8e-9f0d-000000000001"
    form = {"key": key, "email": customer.email, "name": "A", "description": "Exam", "amount": "15", "how": "card"}
    answer = client.post(reverse("checkout.customer.payment.create"), form)
    payment = CustomerPayment.objects.get(uuid=key)
    url = reverse("checkout.customer.payment.charge", args=[payment.uuid])
    assert (answer.status_code, answer["Location"]) == (302, url)
    assert emulator.ledger.taken_minor() == before
    page = client.get(url)
    assert "£15.00" in page.content.decode()
    assert client.post(url, {"seen": page.context["seen"], "reason": ""}).status_code == 422
    client.post(url, {"seen": page.context["seen"], "reason": "by phone"})
    client.post(url, {"seen": page.context["seen"], "reason": "by phone"})
    assert emulator.ledger.taken_minor() == before + 1500
    assert StateChange.objects.filter(customer_payment=payment, note="by phone").count() == 1
    assert Decimal(15) == payment.total

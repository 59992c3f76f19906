"""When the bank requires the payer: one mail, one link, one intent."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from post_office.models import Email, EmailTemplate

from checkout import clock, errors, links, logins, states, tasks
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    Customer,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    StateChange,
)
from checkout.services import charging, fulfillment, intents, moves, notices, on_session, plans, polling, runs
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.kept import kept
from tests.services.conftest import SavePlan, enter_card, letters_installed, make_due

pytestmark = pytest.mark.django_db

#: Can be saved with the bank's check, and wants it again for every charge.
ALWAYS_ASKS = "4000002760003184"
ANON = ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON
AUTH = ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH


def letters() -> Any:
    """The mails that this is about; the confirmation of the plan is another."""
    return Email.objects.filter(template__name__in=[ANON, AUTH])


def notes() -> Any:
    return Notice.objects.filter(template__in=[ANON, AUTH])


@pytest.fixture(autouse=True)
def mail_templates(db: None) -> None:
    letters_installed()


def active_plan(save_plan: SavePlan, emulator: Emulator, **changes: Any) -> ObjectPaymentPlan:
    """A plan whose deposit was paid on the page, because the bank always asks."""
    plan = save_plan(ALWAYS_ASKS, **changes)
    deposit = plans.deposit_of(plan)
    assert deposit.state_id == states.PAY_ON_SESSION
    pay(emulator, Checkout.objects.create_checkout_pay_on_session(deposit))
    deposit.refresh_from_db()
    assert deposit.state_id == states.SUCCESS
    return plan


@pytest.fixture
def waiting(save_plan: SavePlan, emulator: Emulator) -> ObjectPaymentPlanInstalment:
    """An instalment that a run was not allowed to take without its payer."""
    return kept("waiting", lambda: let_run(active_plan(save_plan, emulator)), emulator)


def let_run(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    (line,) = make_due(plan)
    runs.process_payments(workers=1)
    line.refresh_from_db()
    assert line.state_id == states.PAY_ON_SESSION
    return line


def pay(emulator: Emulator, checkout: Checkout, number: str = "", *, authenticate: bool | None = True) -> Checkout:
    """The payer confirms on the page: with the saved card sent again, or with another number."""
    page = intents.page(checkout)
    emulator.pay(page.client_secret, number=number or page.payment_method_id, authenticate=authenticate)
    return fulfillment.fulfill(checkout)


def refused(line: ObjectPaymentPlanInstalment) -> Checkout:
    return Checkout.objects.for_content_object(line).latest("pk")


def send(**options: Any) -> int:
    return ObjectPaymentPlanInstalment.objects.send_on_session_payment_emails(**options)


# -- waiting --------------------------------------------------------------------------------------------


def test_a_refused_charge_waits_with_its_intent_and_tells_the_host(
    waiting: ObjectPaymentPlanInstalment, membership: Membership
) -> None:
    checkout = refused(waiting)
    assert checkout.state_id == states.PAY_ON_SESSION
    assert checkout.payment_intent_id
    assert "authentication_required" in (checkout.error_code, checkout.decline_code)
    membership.refresh_from_db()
    assert (membership.waits, membership.failures) == (2, 0)  # the deposit waited too
    assert StateChange.objects.filter(instalment=waiting, to_state=states.PAY_ON_SESSION).count() == 1


def test_nobody_charges_a_line_that_waits(waiting: ObjectPaymentPlanInstalment, emulator: Emulator) -> None:
    before = emulator.ledger.taken_minor()
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == before
    assert Checkout.objects.for_content_object(waiting).count() == 1


def test_the_same_card_with_the_banks_check_pays_on_the_same_intent(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator
) -> None:
    asked = refused(waiting)
    checkout = Checkout.objects.create_checkout_pay_on_session(waiting)
    assert (checkout.pk, checkout.payment_intent_id) == (asked.pk, asked.payment_intent_id)
    page = intents.page(checkout)
    assert page.payment_method_id == asked.payment_method_id
    assert pay(emulator, checkout).succeeded
    waiting.refresh_from_db()
    assert waiting.state_id == states.SUCCESS
    assert emulator.ledger.taken_minor(metadata={"checkout": str(checkout.uuid)}) == 2666


@pytest.mark.parametrize("authenticate", [False, None])
def test_a_failed_or_abandoned_check_leaves_it_waiting(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator, authenticate: bool | None
) -> None:
    checkout = Checkout.objects.create_checkout_pay_on_session(waiting)
    settled = pay(emulator, checkout, authenticate=authenticate)
    assert settled.state_id == states.PAY_ON_SESSION
    again = Checkout.objects.create_checkout_pay_on_session(waiting)
    assert again.payment_intent_id == checkout.payment_intent_id
    assert pay(emulator, again).succeeded


def test_another_card_is_saved_and_used_from_then_on(waiting: ObjectPaymentPlanInstalment, emulator: Emulator) -> None:
    asked = refused(waiting)
    checkout = on_session.create_checkout_pay_on_session(waiting, another_card=True)
    assert checkout.payment_intent_id != asked.payment_intent_id
    asked.refresh_from_db()
    assert (asked.state_id, asked.superseded) == (states.FAIL, True)
    assert gateway().retrieve_payment_intent(asked.payment_intent_id).canceled
    waiting.refresh_from_db()
    assert waiting.state_id == states.PAY_ON_SESSION
    assert intents.page(checkout).payment_method_id == ""
    assert pay(emulator, checkout, "5555555555554444").succeeded
    customer = Customer.objects.get()
    assert (customer.newest_card.brand, customer.newest_card.last4) == ("mastercard", "4444")
    (following,) = make_due(waiting.object_payment_plan)
    runs.process_payments(workers=1)
    following.refresh_from_db()
    assert following.state_id == states.SUCCESS


def test_asking_for_another_card_twice_is_one_intent(waiting: ObjectPaymentPlanInstalment, emulator: Emulator) -> None:
    first = on_session.create_checkout_pay_on_session(waiting, another_card=True)
    second = on_session.create_checkout_pay_on_session(waiting, another_card=True)
    third = on_session.create_checkout_pay_on_session(waiting)
    assert first.payment_intent_id == second.payment_intent_id == third.payment_intent_id


def test_two_pages_take_it_once(waiting: ObjectPaymentPlanInstalment, emulator: Emulator) -> None:
    first = Checkout.objects.create_checkout_pay_on_session(waiting)
    second = Checkout.objects.create_checkout_pay_on_session(waiting)
    assert pay(emulator, first).succeeded
    assert intents.page(Checkout.objects.get(pk=second.pk)).finished
    with pytest.raises(errors.AlreadyPaid):
        Checkout.objects.create_checkout_pay_on_session(waiting)
    assert emulator.ledger.taken_minor(metadata={"checkout": str(first.uuid)}) == 2666


def test_marked_as_paid_by_staff_while_the_page_was_open(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator, staff: Any
) -> None:
    checkout = Checkout.objects.create_checkout_pay_on_session(waiting)
    before = emulator.ledger.taken_minor()
    secret = intents.page(checkout).client_secret
    Checkout.objects.manual(waiting, staff)
    answer = emulator.pay(secret, number="4242424242424242")
    assert "error" in answer
    assert emulator.ledger.taken_minor() == before
    assert intents.page(Checkout.objects.get(pk=checkout.pk)).finished


def test_the_page_says_wait_while_a_charge_is_unanswered(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator, staff: Any
) -> None:
    emulator.fail(call=2, fault=faults.LostAfter())  # the first one cancels what waited
    charged = charging.charge(waiting, staff)
    assert charged.state_id == states.REQUEST
    asked = len(emulator.requests)
    with pytest.raises(errors.AttemptInProgress):
        Checkout.objects.create_checkout_pay_on_session(waiting)
    assert intents.page(charged).finished
    assert len(emulator.requests) == asked


def test_a_stopped_plan_has_nothing_to_pay(waiting: ObjectPaymentPlanInstalment) -> None:
    plans.stop(waiting.object_payment_plan)
    line = ObjectPaymentPlanInstalment.objects.get(pk=waiting.pk)
    with pytest.raises(errors.CannotPay, match="stopped"):
        Checkout.objects.create_checkout_pay_on_session(line)


def test_after_a_card_refresh_the_page_offers_the_new_card(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator
) -> None:
    refresh = Checkout.objects.create_checkout("card_refresh", waiting.object_payment_plan)
    enter_card(emulator, refresh, "4242424242424242")
    fulfillment.fulfill(refresh)
    checkout = Checkout.objects.create_checkout_pay_on_session(waiting)
    assert intents.page(checkout).payment_method_id == ObjectPaymentPlan.objects.get().card.payment_method_id
    assert pay(emulator, checkout).succeeded


def test_a_customer_deleted_at_stripe_pays_with_a_card_of_a_new_one(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator
) -> None:
    from checkout.services import cards

    customer = Customer.objects.get()
    ask(emulator, "DELETE", f"/v1/customers/{customer.newest_card.stripe_customer_id}")
    cards.mark_gone(customer.newest_card.stripe_customer_id)
    line = ObjectPaymentPlanInstalment.objects.get(pk=waiting.pk)
    checkout = Checkout.objects.create_checkout_pay_on_session(line)
    assert pay(emulator, checkout, "4242424242424242").succeeded
    customer.refresh_from_db()
    assert customer.has_card


def ask(emulator: Emulator, method: str, path: str, body: bytes = b"") -> Any:
    headers = {"Authorization": "Bearer sk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"}
    answer = emulator.handle(method, path, headers, body)
    assert answer.status == 200, answer.body
    return answer


def test_the_command_settles_what_waits_for_its_payer(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    page = intents.page(Checkout.objects.create_checkout_pay_on_session(waiting))
    emulator.pay(page.client_secret, number=page.payment_method_id)
    one_off = Checkout.objects.create_checkout("payment", Membership.objects.create(email="x@example.com"))
    call_command("payment_intent_on_session_fulfillment")
    assert capsys.readouterr().out.strip() == "looked at 1, changed 1, errors 0"
    waiting.refresh_from_db()
    assert waiting.state_id == states.SUCCESS
    one_off.refresh_from_db()
    assert one_off.state_id == states.PENDING


def test_polling_settles_it_too(waiting: ObjectPaymentPlanInstalment, emulator: Emulator) -> None:
    page = intents.page(Checkout.objects.create_checkout_pay_on_session(waiting))
    emulator.pay(page.client_secret, number=page.payment_method_id)
    assert polling.fulfill_payment_intents().changed == 1


# -- the mail -------------------------------------------------------------------------------------------


def test_one_mail_for_a_refusal_however_often_it_runs(waiting: ObjectPaymentPlanInstalment) -> None:
    assert list(ObjectPaymentPlanInstalment.objects.pay_on_session_for_email()) == [waiting]
    assert [send(), send(), send()] == [1, 0, 0]
    letter = letters().get()
    assert letter.to == ["member@example.com"]
    assert letter.template.name == ANON
    assert notes().get().instalment == waiting
    assert not ObjectPaymentPlanInstalment.objects.pay_on_session_for_email().exists()


def test_a_second_refusal_is_a_second_reason(waiting: ObjectPaymentPlanInstalment, staff: Any) -> None:
    assert send() == 1
    assert charging.charge(waiting, staff).state_id == states.PAY_ON_SESSION
    assert [send(), send()] == [1, 0]


def test_trying_another_card_is_no_reason_for_a_second_mail(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator
) -> None:
    assert send() == 1
    checkout = on_session.create_checkout_pay_on_session(waiting, another_card=True)
    assert send() == 0
    intents.close(checkout, why=Why(Code.PAGE_LEFT))
    assert send() == 0
    with time_machine.travel(clock.now() + datetime.timedelta(days=4)):
        assert [send(), send()] == [1, 0]


def test_only_a_charge_that_the_bank_refused_is_a_reason(save_plan: SavePlan, emulator: Emulator, staff: Any) -> None:
    """Staff may ask a payer to come for other reasons, with a mail of their own."""
    plan = save_plan()
    assert plan.customer is not None
    emulator.bank.decline_next(plan.card.payment_method_id)
    (line,) = make_due(plan)
    runs.process_payments(workers=1)
    line.refresh_from_db()
    moves.move(line, to=states.PENDING)
    moves.move(line, to=states.PAY_ON_SESSION, user=staff, why=Why(Code.ASKED_BY_LINK))
    assert send() == 0


def test_a_reminder_comes_once_and_the_link_in_it_works(waiting: ObjectPaymentPlanInstalment, settings: Any) -> None:
    assert send() == 1
    with time_machine.travel(clock.now() + datetime.timedelta(days=2)):
        assert send() == 0
    with time_machine.travel(clock.now() + datetime.timedelta(days=3, minutes=1)):
        assert [send(), send()] == [1, 0]
    assert letters().latest("pk").subject == "Reminder: please confirm your payment of £26.66"
    with time_machine.travel(clock.now() + datetime.timedelta(days=30)):
        assert send() == 0


def test_no_reminder_where_the_site_wants_none(waiting: ObjectPaymentPlanInstalment, settings: Any) -> None:
    settings.CHECKOUT_ON_SESSION_REMINDER_DAYS = 0
    assert send() == 1
    with time_machine.travel(clock.now() + datetime.timedelta(days=30)):
        assert send() == 0


@pytest.mark.parametrize("end", ["paid", "stopped", "manual"])
def test_no_mail_about_what_is_settled(
    waiting: ObjectPaymentPlanInstalment, emulator: Emulator, staff: Any, end: str
) -> None:
    if end == "paid":
        pay(emulator, Checkout.objects.create_checkout_pay_on_session(waiting))
    elif end == "stopped":
        plans.stop(waiting.object_payment_plan)
    else:
        Checkout.objects.manual(waiting, staff)
    assert send() == 0


def test_the_payer_of_a_deposit_is_still_on_the_page(save_plan: SavePlan) -> None:
    plan = save_plan(ALWAYS_ASKS)
    assert plans.deposit_of(plan).state_id == states.PAY_ON_SESSION
    assert send() == 0
    with time_machine.travel(clock.now() + datetime.timedelta(minutes=31)):
        assert send() == 1


def test_who_can_log_in_gets_the_login_mail_the_others_a_signed_link(
    waiting: ObjectPaymentPlanInstalment, settings: Any
) -> None:
    member_logs_in()
    assert send() == 1
    letter = letters().get()
    assert letter.template.name == AUTH
    assert f"{settings.CHECKOUT_BASE_URL}/checkout/pay-on-session/{waiting.uuid}/" in letter.message
    assert "/checkout/pay/" not in letter.message


def member_logs_in(username: str = "member", **fields: Any) -> Any:
    user = get_user_model().objects.create_user(username, "Member@example.com", "secret")
    get_user_model().objects.filter(pk=user.pk).update(**({"last_login": clock.now()} | fields))
    user.refresh_from_db()
    return user


@pytest.mark.parametrize(
    "fields",
    [
        {"is_active": False},
        {"last_login": None},
        {"last_login": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
        {"password": "!"},
        {"email": "elsewhere@example.com"},
    ],
    ids=["deactivated", "never", "long ago", "no password", "another address"],
)
def test_who_cannot_log_in_gets_the_signed_link(waiting: ObjectPaymentPlanInstalment, fields: Any) -> None:
    member_logs_in(**fields)
    assert not logins.user_has_active_account(waiting.checkout_contact)
    assert send() == 1
    assert letters().get().template.name == ANON


def test_nobody_without_an_account_is_sent_to_a_login_page_whatever_the_site_says(
    waiting: ObjectPaymentPlanInstalment,
) -> None:
    asked: list[Any] = []

    def can_login_and_pay(contact: Any) -> bool:
        asked.append(contact)
        return True

    assert send(can_login_and_pay=can_login_and_pay) == 1
    assert letters().get().template.name == ANON
    assert asked == []


@pytest.mark.parametrize(
    ("fields", "says", "active"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"is_active": False}, True, False),
        ({"email": "elsewhere@example.com"}, True, False),
    ],
)
def test_an_active_account_is_an_active_user_for_whom_the_function_says_yes(
    waiting: ObjectPaymentPlanInstalment, fields: Any, says: bool, active: bool
) -> None:
    member_logs_in(**fields)
    can_login_and_pay = {True: lambda contact: True, False: lambda contact: False}[says]
    found = ObjectPaymentPlanInstalment.objects._user_has_active_account(waiting.checkout_contact, can_login_and_pay)
    assert found is active


def test_two_users_with_one_address_get_the_signed_link(waiting: ObjectPaymentPlanInstalment) -> None:
    member_logs_in("one")
    member_logs_in("two")
    assert send(can_login_and_pay=lambda contact: True) == 1
    assert letters().get().template.name == ANON


def test_a_payer_who_was_deactivated_gets_the_signed_link_even_if_the_site_says_otherwise(
    waiting: ObjectPaymentPlanInstalment,
) -> None:
    ObjectPaymentPlan.objects.update(user=member_logs_in(is_active=False))
    assert send(can_login_and_pay=lambda contact: True) == 1
    assert letters().get().template.name == ANON


def test_the_function_is_asked_about_the_contact(waiting: ObjectPaymentPlanInstalment, membership: Membership) -> None:
    member_logs_in()
    asked: list[Any] = []
    send(can_login_and_pay=asked.append)
    assert asked == [membership]


def two(contact: Any, more: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (two, "exactly one parameter, the contact; two takes 2: contact, more"),
        (lambda: True, "takes 0"),
        (lambda contact, more=1: True, "takes 2"),
        ("a.dotted.path", "must be a function"),
    ],
)
def test_a_function_with_other_parameters_is_refused_before_anything_is_sent(
    waiting: ObjectPaymentPlanInstalment, function: Any, message: str
) -> None:
    with pytest.raises(errors.CheckoutError, match=message):
        send(can_login_and_pay=function)
    assert not letters().exists()
    assert not notes().exists()


def test_a_partial_with_one_parameter_left_will_do(waiting: ObjectPaymentPlanInstalment) -> None:
    assert send(can_login_and_pay=functools.partial(two, Membership())) == 1


@pytest.mark.parametrize("missing", ["template", "address"])
def test_what_is_missing_is_named_and_nothing_is_half_done(
    waiting: ObjectPaymentPlanInstalment, settings: Any, missing: str
) -> None:
    if missing == "template":
        EmailTemplate.objects.filter(name=ANON).delete()
    else:
        settings.CHECKOUT_BASE_URL = ""
    with pytest.raises(CommandError, match="init_app_checkout" if missing == "template" else "CHECKOUT_BASE_URL"):
        call_command("send_on_session_payment_emails")
    assert not notes().exists()
    assert not letters().exists()


def test_one_bad_row_is_skipped_and_makes_the_command_fail(
    waiting: ObjectPaymentPlanInstalment,
    save_plan: SavePlan,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    let_run(active_plan(save_plan, emulator, email="good@example.com"))
    Customer.objects.filter(email="member@example.com").update(email="no address")
    with pytest.raises(CommandError, match="1 could not be mailed"):
        call_command("send_on_session_payment_emails")
    assert capsys.readouterr().out.strip() == "mailed 1, errors 1"
    assert letters().get().to == ["good@example.com"]
    assert f"no mail about instalment {waiting.pk}" in caplog.text
    assert not notes().filter(instalment=waiting).exists()


def test_a_function_that_raises_skips_its_row(waiting: ObjectPaymentPlanInstalment) -> None:
    def broken(contact: Any) -> bool:
        raise RuntimeError("the site's own trouble")

    member_logs_in()
    assert on_session.send_on_session_payment_emails(broken) == on_session.Sent(mailed=0, errors=1)
    assert send() == 1


def test_what_it_was_agreed_for_is_gone(waiting: ObjectPaymentPlanInstalment, membership: Membership) -> None:
    Membership.objects.all().delete()
    assert on_session.send_on_session_payment_emails() == on_session.Sent(mailed=0, errors=1)


def test_the_command_and_the_task(
    waiting: ObjectPaymentPlanInstalment, capsys: pytest.CaptureFixture[str], settings: Any
) -> None:
    settings.CHECKOUT_CAN_LOGIN_AND_PAY = "tests.services.test_on_session.nobody"
    call_command("send_on_session_payment_emails")
    assert capsys.readouterr().out.strip() == "mailed 1, errors 0"
    assert tasks.send_on_session_payment_emails.delay().get() == 0


def nobody(contact: Any) -> bool:
    return False


def test_the_mail_goes_when_it_cannot_be_delivered_nothing_is_lost(
    waiting: ObjectPaymentPlanInstalment, settings: Any
) -> None:
    """post_office keeps a mail that the server refuses and tries again; our rows do not depend on it."""
    settings.POST_OFFICE = settings.POST_OFFICE | {"BACKENDS": {"default": "tests.services.test_on_session.DeadServer"}}
    assert send() == 1
    from post_office.mail import send_queued

    send_queued()
    waiting.refresh_from_db()
    assert waiting.state_id == states.PAY_ON_SESSION
    assert letters().count() == 1


def test_queries_do_not_grow_with_what_was_mailed(
    waiting: ObjectPaymentPlanInstalment, count_queries: Any, django_assert_max_num_queries: Any
) -> None:
    send()
    with django_assert_max_num_queries(5):
        send()


def test_the_link_names_one_debt_and_nothing_else(waiting: ObjectPaymentPlanInstalment) -> None:
    token = links.make_token(waiting)
    assert links.read_token(token, type(waiting)) == waiting.uuid
    checkout = refused(waiting)
    assert checkout.payment_intent_id not in token
    assert str(checkout.uuid) not in token


class DeadServer:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def open(self) -> None:
        raise OSError("no mail server")

    def close(self) -> None: ...

    def send_messages(self, messages: Any) -> int:
        raise OSError("no mail server")


def test_a_payer_who_pays_while_the_mail_is_written_gets_none(
    waiting: ObjectPaymentPlanInstalment, monkeypatch: pytest.MonkeyPatch
) -> None:
    language_of = notices.language_of

    def meanwhile(*about: Any, **more: Any) -> str:
        # After the list was made, before the mail is queued.
        ObjectPaymentPlanInstalment.objects.filter(pk=waiting.pk).update(state=states.SUCCESS)
        return language_of(*about, **more)

    monkeypatch.setattr(notices, "language_of", meanwhile)
    assert send() == 0
    assert not letters().exists()

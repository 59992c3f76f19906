"""One letter for one cause, and every claim of it true."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import formats, translation
from post_office.models import Email, EmailTemplate

from checkout import checks, clock, declines, errors, letters, money, states
from checkout.gateway import gateway
from checkout.journal import Why
from checkout.models import (
    Checkout,
    CheckoutAdditional,
    CheckoutSettings,
    CustomerPayment,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    Posting,
    Problem,
    RecoveryPolicy,
    RecoveryStep,
)
from checkout.office import services as office
from checkout.office.example_letters import example
from checkout.services import (
    by_hand,
    by_staff,
    card_expiry,
    charging,
    checkouts,
    fulfillment,
    invoices,
    notices,
    on_session,
    papers,
    pile,
    plan_changes,
    plans,
    refund_settling,
    refunds,
    requests,
    runs,
    take_overs,
)
from checkout.services.letters import about_declines, asking, due, writing
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, letters_installed, make_due

pytestmark = pytest.mark.django_db

LANGUAGES = ["en-gb", "de"]
DECLINED = "4000000000000341"


@pytest.fixture(autouse=True)
def templates(db: None) -> Iterator[None]:
    """Installed, and what a letter asks for and is not given is seen."""
    with override_settings(LANGUAGES=[("en-gb", "English"), ("de", "Deutsch")]):
        letters_installed()
        yield


#: Statements that one more receipt costs.
MOST_OF_A_RECEIPT = 9
#: When a request for money is reminded of, at the latest.
SOON = datetime.timedelta(days=8)


@dataclass
class Site:
    """A payer with a plan, whose bank and office do what a test wants."""

    emulator: Emulator
    save_plan: SavePlan
    membership: Membership

    def plan(self, number: str = "4242424242424242") -> ObjectPaymentPlan:
        """Agreed, and confirmed by its letter."""
        plan = self.save_plan(number)
        writing.write_waiting()
        return plan

    def run(self) -> None:
        runs.process_payments()

    def take_next(self, plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
        [line] = make_due(plan)
        self.run()
        line.refresh_from_db()
        return line

    def new_card(self, plan: ObjectPaymentPlan, number: str) -> None:
        checkout = Checkout.objects.create_checkout("card_refresh", plan, None)
        enter_card(self.emulator, checkout, number)
        fulfillment.fulfill(checkout)


@pytest.fixture
def site(emulator: Emulator, save_plan: SavePlan, membership: Membership) -> Site:
    return Site(emulator, save_plan, membership)


#: What a letter claims: texts that have to be in it. A Decimal is said as money, a day as a date, a str as it is.
Claims = list[Decimal | datetime.date | str]


def _paid_at_once(site: Site) -> Claims:
    checkout = Checkout.objects.create_checkout("payment", site.membership, None)
    enter_card(site.emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    return [site.membership.total, clock.today(), "One year"]


def _agreed(site: Site) -> Claims:
    plan = site.plan()
    return [plan.total, *(line.amount for line in plan.payments), *(line.due for line in plan.payments), "4242"]


def _instalment(site: Site) -> Claims:
    plan = site.plan()
    line = site.take_next(plan)
    coming = plan.payments.filter(state_id=states.PENDING).first()
    left = sum((each.amount for each in plan.payments if each.state_id == states.PENDING), Decimal(0))
    return [line.amount, clock.today(), coming.amount, coming.due, left, "4242"]


def _last(site: Site) -> Claims:
    plan = site.plan()
    lines = [site.take_next(plan) for _ in range(3)]
    # The others have their receipts as well; only the last one is looked at here.
    Letter.objects.exclude(instalment=lines[-1]).delete()
    return [plan.total, clock.today()]


def test_of_several_last_payments_one_receipt_says_that_it_was_the_last(site: Site) -> None:
    plan = site.plan()
    for _ in range(3):
        site.take_next(plan)
    writing.write_waiting()
    sent = list(Notice.objects.filter(cause__startswith="paid").order_by("pk").values_list("template", flat=True))
    assert sorted(sent) == ["payment_received", "payment_received", "plan_finished"]
    last = Email.objects.get(subject__startswith="Everything is paid")
    assert "Instalment 3 of 3" in last.message


def test_what_was_written_off_makes_no_payment_the_last_of_a_plan_that_is_paid(site: Site, staff: Any) -> None:
    plan = site.plan()
    site.take_next(plan)
    plan.propose_change("write_off", "moved abroad", staff)
    writing.write_waiting()
    receipt = Email.objects.get(subject__startswith="Receipt")
    assert "Everything is paid" not in receipt.message + receipt.subject
    assert "your payment plan is complete" not in receipt.message
    with time_machine.travel(clock.now() + datetime.timedelta(hours=1)):
        writing.write_waiting()
    changed = Email.objects.get(subject="Your payment plan was changed")
    assert "is not collected any more" in changed.message
    # Nothing is left, so no list of it, and no payment that comes next.
    for said in (changed.message, changed.html_message):
        assert "What is still to pay" not in said
        assert "the next payment" not in said


def _declined(site: Site) -> Claims:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds")
    line = site.take_next(plan)
    assert line.state_id == states.FAIL
    return [line.amount, line.due, "4242", declines.sentence("", "insufficient_funds"), RecoveryStep.objects.get().day]


def _deposit_declined(site: Site) -> Claims:
    site.plan(DECLINED)
    line = ObjectPaymentPlanInstalment.objects.get()
    assert line.state_id == states.FAIL
    return [line.amount, line.due, "0341"]


def _wanted(site: Site) -> Claims:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "authentication_required")
    line = site.take_next(plan)
    assert line.state_id == states.PAY_ON_SESSION
    on_session.send_on_session_payment_emails()
    return [line.amount, line.due, "4242"]


def _asked(site: Site) -> Claims:
    line = site.plan().payments.get(count=3)
    by_staff.ask_payer(line, None)
    return [line.amount, line.due]


def _asked_after_a_decline(site: Site) -> Claims:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "expired_card")
    line = site.take_next(plan)
    Letter.objects.all().delete()
    by_staff.ask_payer(line, None)
    return [line.amount, line.due, declines.sentence("", "expired_card")]


def _asked_before_the_next_try(site: Site) -> Claims:
    claims = _declined(site)
    Letter.objects.filter(ended_at=None).delete()
    by_staff.ask_payer(ObjectPaymentPlanInstalment.objects.get(state_id=states.FAIL), None)
    return [*claims[:2], *claims[3:]]


def _due(site: Site) -> Claims:
    line = site.plan().payments.get(count=2)
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(due=clock.today() + datetime.timedelta(days=3))
    due.ask_for_notices()
    return [line.amount, clock.today() + datetime.timedelta(days=3), "4242"]


def _runs_out(site: Site) -> Claims:
    plan = site.plan()
    type(plan.card).objects.update(expiry_date=clock.today(), read_at=clock.now())
    card_expiry.refresh_card_expiry_dates()
    coming = plan.payments.get(count=2)
    return ["4242", coming.amount, coming.due]


def _card_asked_for(site: Site) -> Claims:
    plan = site.plan()
    card_expiry.send_card_refresh_mail(plan.customer)
    coming = plan.payments.get(count=2)
    return ["4242", coming.amount, coming.due]


def _card_changed(site: Site) -> Claims:
    plan = site.plan()
    with time_machine.travel(clock.now() + datetime.timedelta(days=1)):
        site.emulator.clock.advance(days=1)
        site.new_card(plan, "5555555555554444")
    left = sum((line.amount for line in plan.payments if line.state_id == states.PENDING), Decimal(0))
    return ["4444", left]


def _stopped(site: Site) -> Claims:
    plan = site.plan()
    plans.stop(plan)
    return [plan.payments.get(count=1).amount, clock.today()]


def _link_asked(site: Site) -> Claims:
    plan = site.plan()
    asking.link_asked(plan)
    asking.link_asked(plan)
    return [clock.today() + datetime.timedelta(days=14), "One year"]


def _statement(site: Site) -> Claims:
    plan = site.plan()
    checkout = Checkout.objects.get(action_id="charge")
    refunds.refund(checkout, Decimal("5.00"))
    by_hand.part_paid(plan.payments.get(count=2), Decimal(10), None, "cash")
    Letter.objects.filter(ended_at=None).delete()
    assert papers.send_statement(plan)
    assert not papers.send_statement(plan), "once a day"
    left = sum((line.left for line in plan.payments.exclude(state_id=states.SUCCESS)), Decimal(0))
    return [plan.total, Decimal(10), Decimal("5.00"), left, clock.today(), plan.payments.get(count=2).due, "4242"]


def _refunded(site: Site) -> Claims:
    plan = site.plan()
    checkout = Checkout.objects.get(action_id="charge")
    refunds.refund(checkout, Decimal("5.00"))
    assert plan.payments.get(count=1).amount > 5
    return [Decimal("5.00"), clock.today(), "4242"]


def _refund_failed(site: Site) -> Claims:
    site.plan()
    refund = refunds.refund(Checkout.objects.get(action_id="charge"), Decimal("5.00"))
    writing.write_waiting()
    with transaction.atomic():
        refund_settling.fail(refund, Why(note="The account is closed."))
    return [Decimal("5.00"), "4242"]


def _one_more_try() -> None:
    """The site's policy: a declined card is asked once more, three days later."""
    rules = CheckoutSettings.objects.settings
    rules.recovery = RecoveryPolicy.objects.create(name="Once", days=[3], pay_day=False, weekdays=[1, 2, 3, 4, 5, 6, 7])
    rules.save()


def _tried_again(site: Site) -> Claims:
    _one_more_try()
    claims = _declined(site)
    plan = ObjectPaymentPlan.objects.get()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "card_velocity_exceeded")
    with time_machine.travel(clock.now() + datetime.timedelta(days=3)):
        site.emulator.clock.advance(days=3)
        site.run()
    assert not RecoveryStep.objects.filter(ended="").exists()
    return [*claims[:3], declines.sentence("", "card_velocity_exceeded")]


def _declined_together(site: Site) -> Claims:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds", times=2)
    lines = make_due(plan, 2)
    site.run()
    days = {step.day for step in RecoveryStep.objects.filter(ended="")}
    amounts = [line.amount for line in lines]
    return [*amounts, sum(amounts, Decimal(0)), *(line.due for line in lines), *days, "4242"]


def _still_open(site: Site) -> Claims:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "expired_card")
    line = site.take_next(plan)
    writing.write_waiting()
    assert due.ask_for_reminders() == 0
    with time_machine.travel(clock.now() + datetime.timedelta(days=7, minutes=1)):
        assert due.ask_for_reminders() == 1
        assert due.ask_for_reminders() == 0
    return [line.amount, line.due, "4242"]


def _date_moved(site: Site) -> Claims:
    plan = site.plan()
    line, other = plan.payments.get(count=2), plan.payments.get(count=3)
    before, later = line.due, line.due + datetime.timedelta(days=9)
    by_staff.change_due(line, later, None, "asked by phone")
    by_staff.change_due(other, other.due + datetime.timedelta(days=9), None, "asked by phone")
    left = sum((each.amount for each in plan.payments if each.state_id == states.PENDING), Decimal(0))
    return [line.amount, before, later, other.due, left]


def _part_came(site: Site) -> Claims:
    line = site.plan().payments.get(count=2)
    by_hand.part_paid(line, Decimal(5), None, "cash")
    return [Decimal(5), line.amount - 5, line.due, clock.today()]


def _change_proposed(site: Site) -> Claims:
    plan = site.plan()
    last = plan.payments.get(count=4)
    plan.propose_change("fee", "a late fee", amount=Decimal(5))
    return [Decimal(5), last.amount + 5, last.due]


def _payer_proposed(site: Site) -> Claims:
    """The payer of the tests is the one who is asked."""
    plan = _of_somebody_else(site)
    plan.propose_change("payer", "as agreed", name="A Member", email="member@example.com")
    left = list(plan.payments.filter(state=states.PENDING))
    return [*(line.amount for line in left), left[0].due, sum((line.amount for line in left), Decimal(0)), "Somebody"]


def _payer_changed(site: Site) -> Claims:
    plan = _of_somebody_else(site)
    _takes_over(site, plan.propose_change("payer", "as agreed", name="A Member", email="member@example.com"))
    # What the other payer is told is another cause.
    Letter.objects.filter(kind="payer_released").delete()
    left = list(plan.payments.filter(state=states.PENDING))
    return [*(line.amount for line in left), left[0].due, sum((line.amount for line in left), Decimal(0)), "4444"]


def _payer_released(site: Site) -> Claims:
    plan = site.plan()
    _takes_over(site, plan.propose_change("payer", "as agreed", name="Somebody", email="somebody@example.com"))
    Letter.objects.filter(kind="payer_changed").delete()
    return [clock.today(), "One year"]


def _of_somebody_else(site: Site) -> ObjectPaymentPlan:
    """Its letters are of no matter here."""
    plan = site.save_plan(email="somebody@example.com", name="Somebody", total=Decimal(100))
    Letter.objects.all().delete()
    return plan


def _takes_over(site: Site, change: PlanChange) -> None:
    Letter.objects.filter(kind="payer_proposed").delete()
    begun = take_overs.begin(change)
    enter_card(site.emulator, begun, "5555555555554444")
    assert fulfillment.fulfill(begun).succeeded


def _by_hand(site: Site) -> Claims:
    line = site.plan().payments.get(count=2)
    checkouts.manual(line, None, "Cash")
    return [line.amount, clock.today()]


def _undone(site: Site) -> Claims:
    line = site.plan().payments.get(count=2)
    checkouts.manual(line, None, "Cash")
    writing.write_waiting()
    by_hand.undo(Posting.objects.filter(kind="other_means").get(), None, "The wrong member")
    line.refresh_from_db()
    return [line.amount, clock.today(), line.due]


def _invoice(site: Site) -> Claims:
    address = CheckoutAdditional(
        contact_name="A Member", address_1="1 High Street", town="Bath", email="member@example.com"
    )
    invoices.request_invoice(site.membership, address)
    return [site.membership.total, "1 High Street", "Bath"]


def _money_asked_for(site: Site) -> Claims:
    row = requests.create(email="member@example.com", name="A Member", description="Books", total=Decimal("12.50"))
    requests.send_link(row)
    return [Decimal("12.50"), "Books"]


def _money_still_to_pay(site: Site) -> Claims:
    claims = _money_asked_for(site)
    with time_machine.travel(clock.now() + SOON):
        call_command("send_letters")
    return claims


def _request_withdrawn(site: Site) -> Claims:
    claims = _money_asked_for(site)
    requests.withdraw(CustomerPayment.objects.get(), None, "§ 4")
    return claims


@dataclass(frozen=True)
class Cause:
    """What happens, and the one letter that follows."""

    happens: Callable[[Site], Claims]
    template: str
    #: What is told only later.
    after: datetime.timedelta = datetime.timedelta(0)
    #: The letter holds a link.
    link: bool = True
    #: Those that came before.
    first: tuple[str, ...] = (letters.PLAN_AGREED,)
    #: It tells everything that staff see when they look at the letter beforehand.
    usual: bool = True


ANON = ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON
AUTH = ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH
CAUSES = {
    "paid at once": Cause(_paid_at_once, "payment_received", first=()),
    "plan agreed": Cause(_agreed, letters.PLAN_AGREED, first=()),
    "instalment paid": Cause(_instalment, "instalment_paid"),
    "finished": Cause(_last, "plan_finished"),
    "declined": Cause(_declined, "instalment_declined"),
    "deposit declined": Cause(_deposit_declined, "instalment_declined", after=asking.DEPOSIT_GRACE, first=()),
    "bank requires the payer": Cause(_wanted, ANON),
    "asked by staff": Cause(_asked, "payment_asked"),
    "asked by staff after a decline": Cause(_asked_after_a_decline, "payment_asked"),
    "asked by staff before the next try": Cause(_asked_before_the_next_try, "payment_asked"),
    "due": Cause(_due, "payment_due"),
    "card runs out": Cause(_runs_out, "customer_card_expiry"),
    "card asked for": Cause(_card_asked_for, "customer_card_refresh_request"),
    "card changed": Cause(_card_changed, "card_changed", after=datetime.timedelta(days=1)),
    "link asked for": Cause(_link_asked, "plan_link"),
    "statement": Cause(_statement, "plan_statement"),
    "stopped": Cause(_stopped, "plan_stopped"),
    "refunded": Cause(_refunded, "payment_refunded", link=False),
    "refund failed": Cause(
        _refund_failed, "refund_failed", link=False, first=(letters.PLAN_AGREED, "payment_refunded")
    ),
    "declined again": Cause(_tried_again, letters.RETRIES_ENDED, after=datetime.timedelta(days=4)),
    "several declined": Cause(_declined_together, letters.DECLINED, usual=False),
    "still open": Cause(
        _still_open,
        "payment_reminder",
        after=datetime.timedelta(days=8),
        first=(letters.PLAN_AGREED, letters.DECLINED),
    ),
    "dates moved": Cause(_date_moved, "plan_changed", after=asking.CHANGE_GRACE),
    "a part came": Cause(_part_came, "instalment_paid"),
    "change proposed": Cause(_change_proposed, "change_proposed"),
    "payer proposed": Cause(_payer_proposed, "payer_proposed", first=()),
    "payer changed": Cause(_payer_changed, "payer_changed", first=()),
    "payer released": Cause(_payer_released, "payer_released", link=False),
    "paid by other means": Cause(_by_hand, "instalment_paid"),
    "undone": Cause(_undone, "payment_undone", first=(letters.PLAN_AGREED, "instalment_paid")),
    "invoice asked for": Cause(_invoice, "invoice_requested", link=False, first=()),
    "money asked for": Cause(_money_asked_for, "customer_payment_request", first=()),
    "money still to pay": Cause(
        _money_still_to_pay, "customer_payment_request", after=SOON, first=("customer_payment_request",)
    ),
    "request withdrawn": Cause(
        _request_withdrawn, "customer_payment_withdrawn", link=False, first=("customer_payment_request",)
    ),
}


def said(claim: Decimal | datetime.date | str, language: str) -> str:
    with translation.override(language):
        if isinstance(claim, Decimal):
            return money.format_money(claim, "GBP", language)
        return formats.date_format(claim, "DATE_FORMAT") if isinstance(claim, datetime.date) else claim


def everybody(contact: Any) -> bool:
    """Not a lambda, which would be another for each test: tests/kept.py looks at the settings."""
    return True


@pytest.mark.parametrize("has_login", [False, True], ids=["no login", "login"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CAUSES)
def test_every_cause_has_one_letter_whose_every_claim_holds(
    site: Site, settings: Any, name: str, language: str, has_login: bool
) -> None:
    cause = CAUSES[name]
    settings.CHECKOUT_CAN_LOGIN_AND_PAY = everybody
    if has_login:
        get_user_model().objects.create_user("member", "member@example.com", "secret")
    with translation.override(language):
        claims = cause.happens(site)
        claims = [str(claim) if not isinstance(claim, Decimal | datetime.date) else claim for claim in claims]
    with time_machine.travel(clock.now() + cause.after + datetime.timedelta(seconds=1)):
        writing.write_waiting()
        assert writing.write_waiting() == writing.Written(), "a second sweep finds nothing"
    template = AUTH if has_login and cause.template == ANON else cause.template
    told = list(Notice.objects.exclude(template="staff").values_list("template", flat=True))
    assert told == [*cause.first, template]
    letter = Email.objects.latest("pk")
    assert letter.to == ["member@example.com"]
    for text in (letter.message, letter.html_message.replace("\xa0", " ").replace("&nbsp;", " ")):
        flat = " ".join(text.replace("\xa0", " ").replace("&#x27;", "'").split())
        for claim in claims:
            assert said(claim, language).replace("\xa0", " ") in flat, claim
    assert ("Guten Tag A Member" if language == "de" else "Hello A Member") in letter.message
    assert "None" not in letter.message
    with translation.override(language):
        # What staff see of it before it is ever sent tells the same.
        shown = [fact["label"] for fact in example(template)["facts"]]
    assert not cause.usual or [f"{label}:" for label in shown if f"{label}:" not in letter.message] == []
    links = re.findall(r"https?://[^\s\"<]+", letter.message)
    assert bool(links) == cause.link
    for link in links:
        answer = Client().get(link.removeprefix(settings.CHECKOUT_BASE_URL), follow=template != AUTH)
        assert answer.status_code == (302 if template == AUTH else 200)
    assert not Problem.objects.exists()


def test_every_letter_of_the_register_has_a_cause_here() -> None:
    assert set(letters.REGISTER) == {cause.template for cause in CAUSES.values()} | {AUTH}
    assert set(writing.WRITERS) <= set(letters.REGISTER)


def test_no_letter_about_what_was_rolled_back(site: Site) -> None:
    plan = site.plan()
    Letter.objects.all().delete()
    with transaction.atomic():
        asking.plan_stopped(plan, clock.now())
        transaction.set_rollback(True)
    assert not Letter.objects.exists()


def test_a_cause_asks_once_within_a_batch_too(site: Site) -> None:
    """What comes twice must not undo what is written in the same transaction."""
    plan, now = site.plan(), clock.now()
    for _ in range(2):
        with transaction.atomic(), pile.pile() as laid, asking.together(laid):
            asking.plan_stopped(plan, now)
    assert Letter.objects.filter(kind="plan_stopped").count() == 1


def test_a_decline_that_was_paid_meanwhile_is_not_told(site: Site) -> None:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds")
    line = site.take_next(plan)
    checkouts.manual(line, None, "Cash")
    Email.objects.all().delete()
    done = writing.write_waiting()
    assert (done.mailed, done.errors) == (1, 0)
    assert Letter.objects.get(kind="instalment_declined").outcome == Letter.Outcome.NOT_TRUE
    assert Notice.objects.filter(template="instalment_paid").exists()


def test_the_receipt_of_a_plan_that_was_stopped_meanwhile_promises_nothing_more(site: Site) -> None:
    """Its payer was on the page when it was stopped, and had paid."""
    plan = site.plan()
    checkout = Checkout.objects.create_checkout_pay_on_session(plan.payments[1], None)
    enter_card(site.emulator, checkout, "4242424242424242")
    plans.stop(plan)
    Email.objects.all().delete()
    writing.write_waiting()
    stopped, receipt = Email.objects.order_by("pk")
    assert "stopped" in stopped.subject
    assert "26.66" in receipt.message
    assert "next payment" not in receipt.message
    assert "53.34" not in receipt.message


def test_no_letter_tells_of_a_stop_while_the_plan_may_still_go_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The letters are written while Stripe is asked to end what is open."""
    plan = site.plan()
    make_due(plan)
    site.emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
    site.run()
    close = charging.close_attempts

    def meanwhile(*args: Any, **how: Any) -> None:
        writing.write_waiting()
        close(*args, **how)

    monkeypatch.setattr(charging, "close_attempts", meanwhile)
    with pytest.raises(errors.AttemptInProgress):
        plans.stop(plan)
    assert not Notice.objects.filter(template="plan_stopped").exists()
    assert not Letter.objects.filter(kind="plan_stopped").exists()


def test_a_stop_whose_process_died_is_told_once_it_is_sure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = site.plan()

    def die(*args: Any, **how: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(charging, "close_attempts", die)
    with pytest.raises(SystemExit):
        plans.stop(plan)
    assert writing.write_waiting() == writing.Written()
    with time_machine.travel(clock.now() + asking.STOP_GRACE):
        assert writing.write_waiting().mailed == 1


def test_each_time_that_a_plan_is_stopped_is_told(site: Site, staff: Any) -> None:
    plan = site.plan()
    for number in (1, 2):
        plans.stop(plan)
        writing.write_waiting()
        assert Notice.objects.filter(template="plan_stopped").count() == number
        plan_changes.agree(plan.propose_change("reopen", "she comes back", staff))
        plan.refresh_from_db()


def test_nobody_is_asked_for_a_line_that_a_run_has_claimed_since_it_was_looked_at(site: Site) -> None:
    [line] = make_due(site.plan())
    claimed: list[str] = []

    def meanwhile(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith("UPDATE") and not claimed:
            claimed.append(sql)
            ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(state=states.REQUEST)
        return execute(sql, *more)

    with connection.execute_wrapper(meanwhile), pytest.raises(errors.AttemptInProgress):
        by_staff.ask_payer(line, None)
    assert claimed
    assert not Notice.objects.filter(template=line.MAIL_TEMPLATE_ASKED).exists()


def test_a_notice_of_what_was_paid_meanwhile_is_not_written(site: Site) -> None:
    _due(site)
    checkouts.manual(ObjectPaymentPlanInstalment.objects.get(count=2), None, "Cash")
    writing.write_waiting()
    assert Letter.objects.get(kind="payment_due").outcome == Letter.Outcome.NOT_TRUE
    assert not Notice.objects.filter(template="payment_due").exists()


def test_a_decline_whose_attempt_took_the_money_after_all_is_not_told(site: Site) -> None:
    """Not even when its line is owed again, and open for another reason."""
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds")
    line = site.take_next(plan)
    attempt = Checkout.objects.get(state=states.FAIL)
    intent = gateway().retrieve_payment_intent(attempt.payment_intent_id)
    site.emulator.pay(intent.client_secret, number="4242424242424242")
    fulfillment.fulfill(attempt)
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(state=states.FAIL)
    done = writing.write_waiting()
    assert (done.mailed, done.untrue, done.errors) == (1, 1, 0)
    assert not Notice.objects.filter(template=letters.DECLINED).exists()


def test_a_template_that_cannot_be_rendered_silences_nobody_else_and_is_tried_again(site: Site) -> None:
    plan = site.plan()
    line = site.take_next(plan)
    plans.stop(plan)
    template = EmailTemplate.objects.get(name="payment_received", default_template=None)
    words = template.content
    EmailTemplate.objects.filter(pk=template.pk).update(content="{% if %}")
    done = writing.write_waiting()
    assert (done.mailed, done.errors) == (1, 1)
    problem = Problem.objects.get(kind=Problem.Kind.LETTER)
    assert problem.subject == f"paid:{Letter.objects.get(instalment=line).checkout_id}"
    EmailTemplate.objects.filter(pk=template.pk).update(content=words)
    assert writing.write_waiting() == writing.Written(), "not before its time"
    with time_machine.travel(clock.now() + writing.AGAIN_AFTER + datetime.timedelta(seconds=1)):
        assert writing.write_waiting().mailed == 1
    problem.refresh_from_db()
    assert problem.closed_at is not None


def test_every_letter_can_be_switched_off_but_those_that_somebody_waits_for(settings: Any) -> None:
    settings.CHECKOUT_LETTERS = dict.fromkeys(letters.REGISTER, False)
    sent = {name for name in letters.REGISTER if notices.send_once(name, name, "member@example.com", {})}
    assert sent == {name for name, entry in letters.REGISTER.items() if entry.always}
    buttons = {"payment_asked", "customer_payment_request", "customer_card_refresh_request", "plan_statement"}
    buttons |= {"payer_proposed"}
    assert sent == buttons | {"plan_link"}
    assert {found.id for found in checks.check_letters()} == {"checkout.E036"}
    assert len(checks.check_letters()) == len(sent)


@pytest.mark.parametrize("name", ["bank requires the payer", "card runs out", "finished", "still open", "dates moved"])
def test_nothing_goes_wrong_when_a_letter_is_switched_off(site: Site, settings: Any, name: str) -> None:
    settings.CHECKOUT_LETTERS = dict.fromkeys(letters.REGISTER, False)
    settings.CHECKOUT_LETTERS[letters.DECLINED] = True
    with contextlib.suppress(AssertionError):  # of a cause that counts what it asks for
        CAUSES[name].happens(site)
    with time_machine.travel(clock.now() + CAUSES[name].after + datetime.timedelta(seconds=1)):
        writing.write_waiting()
    assert {notice.template for notice in Notice.objects.all()} <= {letters.DECLINED}
    assert not Problem.objects.exists()


def test_a_switch_that_is_no_letters_is_found(settings: Any) -> None:
    settings.CHECKOUT_LETTERS = {"payment_recieved": False}
    [found] = checks.check_letters()
    assert (found.id, found.hint) == ("checkout.E035", "Did you mean payment_received?")


def test_a_receipt_reads_the_plan_of_its_line_once(
    site: Site, count_queries: Callable[[Callable[[], Any]], int]
) -> None:
    plan = site.plan()
    writing.write_waiting()
    site.take_next(plan)
    one = count_queries(writing.write_waiting)
    site.take_next(plan)
    site.take_next(plan)
    # The last of them says thank you, and reads no line that is to come; each asks which was the last, and one more
    # template is read.
    assert count_queries(writing.write_waiting) <= one + MOST_OF_A_RECEIPT + 3


def test_letters_that_go_together_read_their_template_once(site: Site) -> None:
    plan = site.plan()
    site.take_next(plan)
    site.take_next(plan)
    with CaptureQueriesContext(connection) as asked:
        assert writing.write_waiting().mailed == 2
    assert sum('FROM "post_office_emailtemplate"' in query["sql"] for query in asked) == 1
    # What is reworded between two sweeps counts.
    EmailTemplate.objects.filter(name="plan_finished").update(subject="Thank you, {{ name }}")
    site.take_next(plan)
    writing.write_waiting()
    assert Email.objects.latest("pk").subject == f"Thank you, {plan.checkout_name}"


def test_the_receipt_of_a_deposit_goes_when_no_plan_is_confirmed(site: Site, settings: Any) -> None:
    settings.CHECKOUT_LETTERS = {letters.PLAN_AGREED: False}
    site.plan()
    writing.write_waiting()
    assert Notice.objects.get().template == "instalment_paid"


def test_declines_of_one_plan_are_told_once_a_day(site: Site) -> None:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds", times=2)
    site.take_next(plan)
    assert writing.write_waiting().mailed == 1
    late = site.take_next(plan)
    assert writing.write_waiting() == writing.Written(), "the next one waits"
    with time_machine.travel(datetime.datetime.combine(clock.today(), datetime.time(23, 59))):
        assert writing.write_waiting() == writing.Written()
    with time_machine.travel(datetime.datetime.combine(clock.today() + datetime.timedelta(days=1), writing.MORNING)):
        assert writing.write_waiting().mailed == 1
    assert Notice.objects.filter(template=letters.DECLINED, instalment=late).exists()


@pytest.mark.parametrize(
    ("error_code", "decline_code", "reason"),
    [
        ("card_declined", "insufficient_funds", declines.sentence("", "insufficient_funds")),
        ("card_declined", "", declines.sentence("card_declined", "")),
        ("", "", declines.sentence("", "")),
        ("expired_card", "", declines.sentence("expired_card", "")),
        ("something_new", "do_not_honor", declines.sentence("", "do_not_honor")),
        ("parameter_invalid_integer", "", ""),
    ],
)
def test_a_letter_names_the_bank_for_what_a_bank_refused(
    site: Site, error_code: str, decline_code: str, reason: str
) -> None:
    _declined(site)
    Checkout.objects.filter(state=states.FAIL).update(error_code=error_code, decline_code=decline_code)
    with translation.override("en-gb"):
        words = about_declines.instalment_declined(Letter.objects.get(kind=letters.DECLINED))
    assert words is not None
    assert words.context["reason"] == reason


def test_the_letter_before_the_last_try_says_that_it_is_the_last(site: Site) -> None:
    plan = site.plan()
    site.emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds")
    site.take_next(plan)
    step = RecoveryStep.objects.get()
    for last in (False, True):
        RecoveryStep.objects.update(number=step.most - (not last))
        with override_settings(LANGUAGE_CODE="en-gb"), translation.override("en-gb"):
            said = about_declines.instalment_declined(Letter.objects.get(kind=letters.DECLINED))
        assert said is not None
        assert said.context["last_try"] is last


def test_a_change_that_was_taken_back_is_not_told(site: Site) -> None:
    line = site.plan().payments.get(count=2)
    before = line.due
    by_staff.change_due(line, before + datetime.timedelta(days=3), None, "")
    by_staff.change_due(line, before, None, "mistyped")
    with time_machine.travel(clock.now() + asking.CHANGE_GRACE + datetime.timedelta(seconds=1)):
        writing.write_waiting()
    assert not Notice.objects.filter(template="plan_changed").exists()


def test_of_two_cards_that_were_given_one_after_the_other_the_last_is_told(site: Site) -> None:
    plan = site.plan()
    now = clock.now()
    for days, number in enumerate(("5555555555554444", "4000002760003184"), start=1):
        with time_machine.travel(now + datetime.timedelta(days=days)):
            site.emulator.clock.advance(days=1)
            site.new_card(plan, number)
            plan.refresh_from_db()
    with time_machine.travel(now + datetime.timedelta(days=2, hours=1)):
        writing.write_waiting()
    [mail] = Email.objects.filter(subject__contains="card")
    assert "3184" in mail.message
    outcomes = Letter.objects.filter(kind="card_changed").order_by("pk").values_list("outcome", flat=True)
    assert [*outcomes] == [Letter.Outcome.NOT_TRUE, Letter.Outcome.WRITTEN]


def test_an_amount_that_is_owed_again_after_a_refund_is_told(site: Site) -> None:
    plan = site.plan()
    deposit = Checkout.objects.get(action_id="charge")
    refunds.refund(deposit, deposit.total, plan_effect="give_back")
    with time_machine.travel(clock.now() + asking.CHANGE_GRACE + datetime.timedelta(seconds=1)):
        writing.write_waiting()
    new = plan.payments.get(count=5)
    assert f"that we gave back to you is owed again, and due on {said(new.due, 'en-gb')}" in Email.objects.get(
        subject="Your payment plan was changed"
    ).message.replace("\n", " ")


@pytest.mark.parametrize("told", [True, False])
def test_whoever_was_told_of_it_hears_that_it_is_not_owed_again_after_all(site: Site, told: bool) -> None:
    site.plan()
    deposit = Checkout.objects.get(action_id="charge")
    refund = refunds.refund(deposit, deposit.total, plan_effect="give_back")
    grace = asking.CHANGE_GRACE + datetime.timedelta(seconds=1)
    with time_machine.travel(clock.now() + grace) as now:
        if told:
            writing.write_waiting()
        refund_settling.fail(refund, Why(note="The account is closed."))
        now.shift(grace)
        writing.write_waiting()
    mails = [mail.message for mail in Email.objects.filter(subject="Your payment plan was changed").order_by("pk")]
    assert len(mails) == 2 * told
    assert all("£20.00 is not owed again after all" in mail.replace("\n", " ") for mail in mails[1:])


@pytest.mark.parametrize(("days", "asked"), [(0, 0), (3, 1)])
def test_notices_come_so_many_days_before_and_once_for_each_day(
    site: Site, settings: Any, days: int, asked: int
) -> None:
    settings.CHECKOUT_NOTICE_DAYS = days
    line = site.plan().payments.get(count=2)
    with time_machine.travel(datetime.datetime.combine(line.due, datetime.time(9)) - datetime.timedelta(days=3)):
        assert due.ask_for_notices() == asked
        assert due.ask_for_notices() == 0
    with time_machine.travel(datetime.datetime.combine(line.due, datetime.time(9)) - datetime.timedelta(days=2)):
        assert due.ask_for_notices() == 0


@pytest.mark.parametrize(("state", "nothing_to_do"), [("success", True), ("pay_on_session", False), ("fail", False)])
def test_a_notice_says_that_there_is_nothing_to_do_only_if_nothing_waits(
    site: Site, state: str, nothing_to_do: bool
) -> None:
    plan = site.plan()
    first, second = plan.payments.get(count=2), plan.payments.get(count=3)
    ObjectPaymentPlanInstalment.objects.filter(pk=first.pk).update(state=state)
    ObjectPaymentPlanInstalment.objects.filter(pk=second.pk).update(due=clock.today() + datetime.timedelta(days=3))
    due.ask_for_notices()
    writing.write_waiting()
    letter = Email.objects.get(subject__startswith="We take")
    for text in (letter.message, letter.html_message):
        assert ("There is nothing to do." in text) is nothing_to_do
        assert ("Another payment is still waiting for you" in " ".join(text.split())) is not nothing_to_do


def test_a_notice_whose_day_was_moved_is_not_sent(site: Site) -> None:
    line = site.plan().payments.get(count=2)
    rows = ObjectPaymentPlanInstalment.objects.filter(pk=line.pk)
    rows.update(due=clock.today() + datetime.timedelta(days=2))
    due.ask_for_notices()
    rows.update(due=clock.today() + datetime.timedelta(days=9))
    assert writing.write_waiting() == writing.Written(untrue=1)


def test_staff_ask_once_a_day_and_the_next_day_it_is_a_reminder(site: Site) -> None:
    line = site.plan().payments.get(count=3)
    assert by_staff.ask_payer(line, None)
    assert not by_staff.ask_payer(line, None)
    with time_machine.travel(clock.now() + datetime.timedelta(days=1)):
        assert by_staff.ask_payer(line, None)
    assert Email.objects.latest("pk").subject.startswith("Reminder")


def test_a_refund_that_comes_back_is_told_to_whom_the_first_letter_went(site: Site) -> None:
    site.plan()
    refund = refunds.refund(Checkout.objects.get(action_id="charge"), Decimal("5.00"))
    writing.write_waiting()
    with transaction.atomic():
        refund_settling.fail(refund, Why(note="The account is closed."))
    writing.write_waiting()
    assert Notice.objects.filter(template="refund_failed").count() == 1
    assert "£5.00" in Email.objects.latest("pk").subject


def test_a_refund_that_fails_before_anybody_was_told_is_not_told(site: Site) -> None:
    site.plan()
    refund = refunds.refund(Checkout.objects.get(action_id="charge"), Decimal("5.00"))
    refund_settling.fail(refund, Why(note="The account is closed."))
    writing.write_waiting()
    told = Letter.objects.filter(refund=refund)
    assert {letter.outcome for letter in told} == {Letter.Outcome.NOT_TRUE}
    assert [letter.kind for letter in told] == ["payment_refunded", "refund_failed"]


def test_nothing_is_sent_again_about_a_line_that_was_paid(site: Site) -> None:
    line = site.plan().payments.get(count=3)
    by_staff.ask_payer(line, None)
    checkouts.manual(line, None, "Cash")
    with pytest.raises(office.AlreadyPaid):
        office.send_again(Notice.objects.get(template="payment_asked"), None)


def test_the_command_and_the_task_write_and_leave_a_sign_of_life(site: Site, capsys: Any) -> None:
    from checkout import tasks
    from checkout.models import ScheduledJob

    site.take_next(site.plan())
    call_command("send_letters")
    assert "mailed 1, no longer true 0, errors 0" in capsys.readouterr().out
    assert tasks.send_letters() == 0
    assert ScheduledJob.objects.get(name="send_letters").last_succeeded_at is not None

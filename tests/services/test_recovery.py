"""A declined instalment is asked for again by itself: on the right day, within every limit, and never after a no."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.urls import reverse
from post_office.models import Email

from checkout import clock, errors, retries, signals, states
from checkout.models import (
    Checkout,
    CheckoutSettings,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    RecoveryPolicy,
    RecoveryStep,
)
from checkout.services import by_hand, charging, dry_runs, fulfillment, recovery, runs
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, letters_installed

pytestmark = pytest.mark.django_db

#: A Tuesday; the first instalment falls due on 1 December, a Tuesday too.
AGREED = datetime.datetime(2026, 11, 10, 9, tzinfo=datetime.UTC)
DECEMBER = datetime.date(2026, 12, 1)


@contextmanager
def on(day: datetime.date, emulator: Emulator) -> Iterator[None]:
    """A morning: both clocks stand at nine."""
    moment = datetime.datetime(day.year, day.month, day.day, 9, tzinfo=datetime.UTC)
    with time_machine.travel(moment):
        emulator.clock.advance(seconds=max(0, moment.timestamp() - emulator.clock.now()))
        yield


@pytest.fixture
def plan(emulator: Emulator, save_plan: SavePlan) -> ObjectPaymentPlan:
    letters_installed()
    with time_machine.travel(AGREED):
        return save_plan()


def first(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    return plan.payments.get(count=2)


def decline(plan: ObjectPaymentPlan, emulator: Emulator, code: str, *, times: int = 1, day: Any = DECEMBER) -> None:
    """The run of that day is declined."""
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, code, times)
    with on(day, emulator):
        runs.process_payments(workers=1)


def tried(plan: ObjectPaymentPlan) -> list[datetime.date]:
    attempts = Checkout.objects.for_content_object(first(plan)).order_by("pk")
    return [clock.on_the_wall(attempt.created_at) for attempt in attempts]


def live(plan: ObjectPaymentPlan, emulator: Emulator, days: int, start: datetime.date = DECEMBER) -> None:
    """A run every morning."""
    for number in range(1, days + 1):
        with on(start + datetime.timedelta(number), emulator):
            runs.process_payments(workers=1)


# -- the day ------------------------------------------------------------------------------------------------


def test_without_money_it_is_asked_three_days_later_and_taken(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    decline(plan, emulator, "insufficient_funds")
    step = RecoveryStep.objects.get()
    assert (step.day, step.number, step.most, step.policy) == (DECEMBER + datetime.timedelta(3), 2, 4, "default")
    live(plan, emulator, 5)
    assert tried(plan) == [DECEMBER, DECEMBER + datetime.timedelta(3)]
    assert first(plan).state_id == states.SUCCESS
    assert emulator.ledger.taken_minor() == 4666
    step.refresh_from_db()
    assert step.ended == RecoveryStep.Ended.TRIED


def test_funds_that_come_on_the_28th_are_found_without_a_person(
    plan: ObjectPaymentPlan, emulator: Emulator, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    assert plan.card is not None
    with on(DECEMBER, emulator):
        emulator.bank.decline_for_days(plan.card.payment_method_id, 27)
        runs.process_payments(workers=1)
    live(plan, emulator, 31)
    assert tried(plan) == [
        DECEMBER,
        DECEMBER + datetime.timedelta(3),
        DECEMBER + datetime.timedelta(7),
        datetime.date(2027, 1, 1),
    ]
    assert first(plan).state_id == states.SUCCESS
    assert not Notice.objects.filter(cause__startswith="fell-off").exists()


def test_a_lost_card_is_not_asked_again_and_its_payer_is_asked_for_another_the_same_day(
    plan: ObjectPaymentPlan, emulator: Emulator, client: Any
) -> None:
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, "lost_card")
    with on(DECEMBER, emulator):
        runs.process_payments(workers=1)
        writing.write_waiting()
    letter = Email.objects.filter(to=plan.checkout_email).latest("pk")
    assert clock.on_the_wall(letter.created) == DECEMBER
    assert "another card" in letter.message
    assert "lost" not in letter.message.lower()
    with on(DECEMBER + datetime.timedelta(1), emulator):
        [link] = re.findall(r"http\S+", letter.message)
        page = client.get(urlsplit(link)._replace(scheme="", netloc="").geturl(), follow=True)
        assert reverse("checkout.plan.card", args=[plan.uuid]) in page.content.decode()
    live(plan, emulator, 30)
    assert tried(plan) == [DECEMBER]
    with on(DECEMBER + datetime.timedelta(30), emulator):
        refresh = Checkout.objects.create_checkout("card_refresh", plan)
        enter_card(emulator, refresh, "5555555555554444")
        fulfillment.fulfill(refresh)
    assert first(plan).state_id == states.SUCCESS


@pytest.mark.django_db(transaction=True)
def test_after_the_last_try_nothing_more_is_asked_and_staff_are_told_once(
    plan: ObjectPaymentPlan, emulator: Emulator, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    overdue: list[Checkout] = []

    def listen(checkout: Checkout, **kwargs: Any) -> None:
        overdue.append(checkout)

    signals.payment_overdue.connect(listen)
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds", 50)
    with on(DECEMBER, emulator):
        runs.process_payments(workers=1)
    live(plan, emulator, 60)
    assert len(tried(plan)) == 4
    assert not recovery.open_steps().filter(instalment=first(plan)).exists()
    told = Email.objects.filter(subject__startswith="Nothing more is tried by itself")
    assert told.count() == len(overdue) >= 1
    assert "There was not enough money" in told.order_by("pk")[0].message
    signals.payment_overdue.disconnect(listen)


@pytest.mark.parametrize(
    ("day", "days"),
    [(DECEMBER + datetime.timedelta(4), 4), (DECEMBER - datetime.timedelta(4), 0)],
    ids=["late", "early"],
)
def test_the_sites_row_hears_how_long_a_payment_is_overdue_that_nobody_tries_again(
    plan: ObjectPaymentPlan, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, day: datetime.date, days: int
) -> None:
    """A line that staff charged before its day is not overdue, and never by less than nothing."""
    heard: list[tuple[ObjectPaymentPlanInstalment, int]] = []

    def hook(row: Membership, line: ObjectPaymentPlanInstalment, late: int) -> None:
        heard.append((line, late))

    monkeypatch.setattr(Membership, "checkout_payment_overdue", hook, raising=False)
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, "lost_card")
    with on(day, emulator):
        assert charging.charge(first(plan)).failed
    assert heard == [(first(plan), days)]


@pytest.mark.parametrize(
    "code", ["lost_card", "stolen_card", "expired_card", "fraudulent", "do_not_try_again", "incorrect_cvc"]
)
def test_a_card_that_will_not_work_is_not_asked_again(plan: ObjectPaymentPlan, emulator: Emulator, code: str) -> None:
    decline(plan, emulator, code)
    assert not RecoveryStep.objects.exists()
    live(plan, emulator, 20)
    assert tried(plan) == [DECEMBER]


def test_a_bank_that_advises_to_wait_is_obeyed(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    """Banks say try_again_later with most declines: three days, whatever a policy says."""
    PaymentPlan.objects.update(recovery=RecoveryPolicy.objects.create(name="Eager", days=[1, 2], pay_day=False))
    decline(ObjectPaymentPlan.objects.get(), emulator, "do_not_honor", times=5)
    assert Checkout.objects.for_content_object(first(plan)).get().advice_code == "try_again_later"
    live(plan, emulator, 20)
    assert tried(plan) == [DECEMBER, DECEMBER + datetime.timedelta(3), DECEMBER + datetime.timedelta(6)]


def test_a_bank_that_wants_the_payer_is_not_asked_without_them(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    decline(plan, emulator, "authentication_required")
    assert first(plan).state_id == states.PAY_ON_SESSION
    assert not RecoveryStep.objects.exists()
    live(plan, emulator, 10)
    assert tried(plan) == [DECEMBER]


# -- what ends it -------------------------------------------------------------------------------------------


def paid_by_hand(plan: ObjectPaymentPlan) -> None:
    Checkout.objects.manual(first(plan))


def stopped(plan: ObjectPaymentPlan) -> None:
    plan.delete_plan()


@pytest.mark.parametrize("what", [paid_by_hand, stopped])
def test_what_is_settled_in_another_way_is_not_tried_again(
    plan: ObjectPaymentPlan, emulator: Emulator, what: Any
) -> None:
    decline(plan, emulator, "insufficient_funds")
    with on(DECEMBER, emulator):
        what(plan)
    live(plan, emulator, 10)
    assert emulator.ledger.taken_minor() == 2000
    assert RecoveryStep.objects.get().ended == RecoveryStep.Ended.OVERTAKEN


def test_a_paused_plan_waits(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    decline(plan, emulator, "insufficient_funds")
    ObjectPaymentPlan.objects.update(paused=True)
    live(plan, emulator, 10)
    assert tried(plan) == [DECEMBER]
    ObjectPaymentPlan.objects.update(paused=False)
    live(plan, emulator, 1, DECEMBER + datetime.timedelta(10))
    assert first(plan).state_id == states.SUCCESS


def test_a_new_card_is_asked_at_once_for_what_was_declined(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    decline(plan, emulator, "lost_card")
    with on(DECEMBER + datetime.timedelta(1), emulator):
        refresh = Checkout.objects.create_checkout("card_refresh", plan)
        enter_card(emulator, refresh, "5555555555554444")
        for _webhook_and_page in range(2):
            fulfillment.fulfill(refresh)
    assert first(plan).state_id == states.SUCCESS
    assert emulator.ledger.taken_minor() == 4666


def test_a_new_card_whose_finder_died_is_asked_by_the_next_run(
    plan: ObjectPaymentPlan, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    decline(plan, emulator, "lost_card")
    with on(DECEMBER + datetime.timedelta(1), emulator), monkeypatch.context() as patch:
        patch.setattr(recovery, "declined_lines", lambda plan: [])
        refresh = Checkout.objects.create_checkout("card_refresh", plan)
        enter_card(emulator, refresh, "5555555555554444")
        fulfillment.fulfill(refresh)
    assert first(plan).state_id == states.FAIL
    live(plan, emulator, 1, DECEMBER + datetime.timedelta(1))
    assert first(plan).state_id == states.SUCCESS


def test_a_card_that_was_declined_everywhere_is_not_asked_for_this_either(
    plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    """Other debts of the same amount count: networks count by card and amount."""
    assert plan.card is not None
    with on(DECEMBER, emulator):
        for number in range(8):
            Checkout.objects.create(
                action_id="charge",
                state_id=states.FAIL,
                content_object=Membership.objects.create(email=f"{number}@example.com"),
                total=Decimal("26.66"),
                currency="GBP",
                customer=plan.card.customer,
                payment_method_id=plan.card.payment_method_id,
                error_code="card_declined",
            )
    decline(plan, emulator, "insufficient_funds")
    assert not RecoveryStep.objects.exists()


def test_a_card_that_its_bank_refused_for_good_is_not_asked_again_by_hand_either(
    plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    decline(plan, emulator, "lost_card")
    before = Checkout.objects.count()
    with on(DECEMBER, emulator), pytest.raises(errors.CannotPay, match="refused this card for good"):
        Checkout.objects.charge(first(plan), None)
    assert Checkout.objects.count() == before


@pytest.mark.parametrize("came", [0, 10])
def test_staff_press_no_more_often_than_stripe_lets_through(
    plan: ObjectPaymentPlan, emulator: Emulator, staff: Any, came: int
) -> None:
    if came:
        by_hand.part_paid(first(plan), Decimal(came), staff, "cash")
    decline(plan, emulator, "insufficient_funds")
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds", times=30)
    with on(DECEMBER, emulator):
        for _ in range(retries.MOST_BY_HAND_IN_30_DAYS - 1):
            assert Checkout.objects.charge(first(plan), None).failed
        with pytest.raises(errors.CannotPay, match="too often within 30 days"):
            Checkout.objects.charge(first(plan), None)


# -- policies -----------------------------------------------------------------------------------------------


def test_the_templates_policy_comes_before_the_sites(plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    site = RecoveryPolicy.objects.create(name="Soon", days=[2], pay_day=False)
    CheckoutSettings.objects.update_or_create(pk=1, defaults={"recovery": site})
    assert recovery.policy_of(plan)[0] == "Soon"
    own = RecoveryPolicy.objects.create(name="Never", days=[], pay_day=False)
    PaymentPlan.objects.update(recovery=own)
    decline(ObjectPaymentPlan.objects.get(), emulator, "insufficient_funds")
    assert not RecoveryStep.objects.exists()


@pytest.mark.parametrize("days", [[7, 3], [0], [61], ["3"], [3, 3], list(range(1, 12)), 3])
def test_days_that_make_no_policy_are_refused(days: Any) -> None:
    with pytest.raises(ValidationError):
        RecoveryPolicy(name="x", days=days).full_clean()


# -- saying -------------------------------------------------------------------------------------------------


def test_the_command_lists_what_is_planned_and_changes_nothing_in_a_dry_run(
    plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    decline(plan, emulator, "insufficient_funds")
    with on(DECEMBER + datetime.timedelta(4), emulator):
        said = StringIO()
        call_command("checkout_recovery", "--dry-run", stdout=said)
        line = f"2026-12-04  £26.66  instalment {first(plan).pk} of plan {plan.pk}, try 2 of 4 (default): There was not"
        assert line in said.getvalue()
        assert "planned 1, due by today 1" in said.getvalue()
        assert first(plan).state_id == states.FAIL
        assert [each.instalment for each in dry_runs.dry_run()] == [first(plan)]
        call_command("checkout_recovery", stdout=said)
        assert "due again 1" in said.getvalue()
        assert first(plan).state_id == states.PENDING


def test_a_dry_run_takes_what_is_tried_again_for_one_of_the_lines_of_the_run(
    plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    """It counts towards the limit, and belongs to its template and currency, as in the run."""
    decline(plan, emulator, "insufficient_funds")
    with on(datetime.date(2027, 1, 2), emulator):
        tried_again, due = plan.payments.filter(count__in=(2, 3))
        assert [each.instalment for each in dry_runs.dry_run()] == [tried_again, due]
        assert [each.instalment for each in dry_runs.dry_run(limit=1)] == [tried_again]
        assert [each.instalment for each in dry_runs.dry_run(max_total=tried_again.left)] == [tried_again]
        assert [each.instalment for each in dry_runs.dry_run(currency="GBP")] == [tried_again, due]
        assert [each.instalment for each in dry_runs.dry_run(currency="EUR")] == []
        run = runs.process_payments(limit=1)
        assert [item.instalment for item in run.items.all()] == [tried_again]


def test_the_office_and_the_payer_read_when_it_is_tried_again(
    plan: ObjectPaymentPlan, emulator: Emulator, admin_client: Any, client: Any
) -> None:
    decline(plan, emulator, "insufficient_funds")
    with on(DECEMBER, emulator):
        page = admin_client.get(first(plan).get_absolute_url()).content.decode()
        assert "Tried again" in page
        assert "4 Dec 2026" in page

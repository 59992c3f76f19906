"""What a policy says besides days: the hour, pay day, and what becomes of what nobody pays."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from checkout import states
from checkout.models import (
    Checkout,
    CheckoutSettings,
    Letter,
    Notice,
    ObjectPaymentPlan,
    Problem,
    RecoveryPolicy,
    RecoveryStep,
    StateChange,
)
from checkout.services import promises, runs
from stripe_emulator import Emulator
from tests.services.test_recovery import DECEMBER, decline, first, live, on, plan, tried  # noqa: F401 - a fixture
from tests.staff.conftest import boss  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


def of_the_site(**columns: Any) -> RecoveryPolicy:
    made = RecoveryPolicy.objects.create(name="Ours", **({"days": [3], "pay_day": False} | columns))
    CheckoutSettings.objects.update_or_create(pk=1, defaults={"recovery": made})
    return made


def test_nothing_is_tried_before_the_hour_of_its_day(plan: ObjectPaymentPlan, emulator: Emulator) -> None:  # noqa: F811
    of_the_site(hour=15)
    decline(plan, emulator, "insufficient_funds")
    # Runs at nine o'clock.
    live(plan, emulator, 3)
    assert tried(plan) == [DECEMBER]
    with time_machine.travel(datetime.datetime(2026, 12, 4, 15, 5, tzinfo=datetime.UTC)):
        runs.process_payments(workers=1)
    assert tried(plan) == [DECEMBER, DECEMBER + datetime.timedelta(3)]


def test_a_payers_own_pay_day_is_tried(plan: ObjectPaymentPlan, emulator: Emulator) -> None:  # noqa: F811
    of_the_site(days=[], pay_day=True, pay_day_is="last")
    ObjectPaymentPlan.objects.update(pay_day=16)
    decline(ObjectPaymentPlan.objects.get(), emulator, "insufficient_funds")
    assert RecoveryStep.objects.get().day == datetime.date(2026, 12, 16)


def test_what_nobody_pays_stays_open_by_default(plan: ObjectPaymentPlan, emulator: Emulator) -> None:  # noqa: F811
    of_the_site(end_after=10)
    decline(plan, emulator, "lost_card")
    live(plan, emulator, 14)
    plan.refresh_from_db()
    assert (plan.deleted, first(plan).state_id) == (False, states.FAIL)
    assert not Problem.objects.exists()


def stops_told(plan: ObjectPaymentPlan) -> int:  # noqa: F811
    return Notice.objects.filter(cause__startswith=f"stopped-unpaid-{plan.pk}").count()


def test_a_plan_is_stopped_once_it_was_not_paid_for_so_many_days(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
    settings: Any,
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    of_the_site(end="stop", end_after=10)
    decline(plan, emulator, "insufficient_funds", times=9)
    with on(DECEMBER + datetime.timedelta(8), emulator):
        runs.process_payments(workers=1)
        # Its payer is given until Friday.
        promises.promise(first(plan), DECEMBER + datetime.timedelta(12), None)
    live(plan, emulator, 1, DECEMBER + datetime.timedelta(10))
    plan.refresh_from_db()
    assert not plan.deleted
    live(plan, emulator, 3, DECEMBER + datetime.timedelta(11))
    plan.refresh_from_db()
    assert plan.deleted
    assert Letter.objects.filter(kind="plan_stopped").count() == 1
    assert stops_told(plan) == 1
    assert StateChange.objects.get(object_payment_plan=plan).code == "stopped_unpaid"
    asked = tried(plan)
    live(plan, emulator, 10, DECEMBER + datetime.timedelta(14))
    assert tried(plan) == asked
    # Its payer is given another chance, and staff hear of it when that is missed, too.
    with on(DECEMBER + datetime.timedelta(25), emulator):
        plan.propose_change("reopen", "another chance", on_paper=True)
    live(plan, emulator, 60, DECEMBER + datetime.timedelta(26))
    plan.refresh_from_db()
    assert (plan.deleted, stops_told(plan)) == (True, 2)


def test_staff_are_asked_once_and_no_more_when_it_is_paid(plan: ObjectPaymentPlan, emulator: Emulator) -> None:  # noqa: F811
    of_the_site(end="staff", end_after=10)
    decline(plan, emulator, "lost_card")
    live(plan, emulator, 2, DECEMBER + datetime.timedelta(9))
    problem = Problem.objects.get()
    assert (problem.kind, problem.amount, problem.is_open) == ("not_paid", first(plan).left, True)
    with on(DECEMBER + datetime.timedelta(12), emulator):
        Checkout.objects.manual(first(plan))
    live(plan, emulator, 1, DECEMBER + datetime.timedelta(12))
    problem.refresh_from_db()
    assert not problem.is_open
    assert Problem.objects.count() == 1


def test_the_page_of_a_plan_says_what_is_tried_when_and_why(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
    client: Client,
    boss: Any,  # noqa: F811
) -> None:
    of_the_site(days=[3, 7], pay_day=True, hour=8, end="stop", end_after=45)
    decline(plan, emulator, "insufficient_funds")
    client.force_login(boss)
    with on(DECEMBER, emulator):
        page = client.get(plan.get_absolute_url()).content.decode()
        assert "Tried again on 4 Dec 2026, try 2 of 4. There was not enough money on the card." in page
        for words in (
            "Ours: again after 3, 7 days; once more on the first working day of a month; not before 8:00;",
            "after 45 days without payment: its plan is stopped",
        ):
            assert words in page
        RecoveryPolicy.objects.update(days=[1], end_after=1)
        page = client.get(plan.get_absolute_url()).content.decode()
        assert "again after 1 day;" in page
        assert "after 1 day without payment: its plan is stopped" in page
        RecoveryPolicy.objects.update(days=[3, 7], end_after=45)
        url = reverse("checkout.object.payment.plan.payday", args=[plan.uuid])
        seen = client.get(url).context["seen"]
        assert client.post(url, {"seen": seen, "pay_day": "32"}).status_code == 422
        client.post(url, {"seen": seen, "pay_day": "25", "reason": "by phone"})
        page = client.get(plan.get_absolute_url()).content.decode()
        assert "once more on day 25 of a month, when its payer is paid" in page
        assert "Its payer is paid on day 25 of a month: by phone" in page


def test_a_policy_is_made_in_the_admin(client: Client, boss: Any) -> None:  # noqa: F811
    client.force_login(boss)
    data = {
        "name": "Tuesdays", "days": "[4]", "pay_day_is": "last", "weekdays": ["2", "4"], "hour": "9", "end": "staff",
        "end_after": "30",
    }  # fmt: skip
    url = reverse("admin:checkout_recoverypolicy_add")
    assert client.post(url, data).status_code == 302
    made = RecoveryPolicy.objects.get()
    assert (made.rules.days, made.rules.weekdays, made.rules.hour, made.end) == ((4,), (2, 4), 9, "staff")
    assert client.post(url, data | {"name": "None", "weekdays": []}).status_code == 200
    assert RecoveryPolicy.objects.count() == 1

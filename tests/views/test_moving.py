"""A payer moves a coming payment: once, a few days, and never past the next one."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import formats

from checkout import clock, states
from checkout.models import Checkout, Letter, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import by_staff, on_session, plan_cards, runs
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan
from tests.views.test_plan_link import link, page_of, text

pytestmark = pytest.mark.django_db

WEEK = datetime.timedelta(days=7)


@pytest.fixture
def plan(save_plan: SavePlan, settings: Any) -> ObjectPaymentPlan:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    settings.CHECKOUT_PAYER_MAY_MOVE_DAYS = 7
    return save_plan(email="payer@example.com")


@pytest.fixture
def payers(client: Client, plan: ObjectPaymentPlan) -> Client:
    client.get(link(plan))
    return client


def first_of(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    return plan.payments.get(count=2)


def press(client: Client, line: ObjectPaymentPlanInstalment, due: Any) -> str:
    form = {"instalment": line.uuid, "due": due}
    return text(client.post(page_of(line.object_payment_plan), form, follow=True))


def test_it_is_moved_once_told_and_taken_on_the_new_day(
    payers: Client, plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    line = first_of(plan)
    before, new = line.due, line.due + datetime.timedelta(days=5)
    shown = payers.get(page_of(plan)).content.decode()
    assert f'max="{before + WEEK:%Y-%m-%d}"' in shown
    said = press(payers, line, new)
    assert f"Instalment 1 is taken on {formats.date_format(new)} now." in said
    assert f"Planned; you moved it from {formats.date_format(before)}" in said
    line.refresh_from_db()
    assert line.due == new
    [change] = line.state_changes.filter(code="due_moved_by_payer")
    assert change.reason_text.startswith("The payer moved it")
    assert Letter.objects.filter(kind="plan_changed", plan=plan).count() == 1
    assert plan_cards.what_is_left(plan)[0]["due"] == new.isoformat()
    assert "cannot be moved any more" in press(payers, line, new + datetime.timedelta(days=1))
    with time_machine.travel(datetime.datetime.combine(new - datetime.timedelta(days=1), datetime.time(12))):
        runs.process_payments()
        assert emulator.ledger.taken_minor() == 2000
    with time_machine.travel(datetime.datetime.combine(new, datetime.time(12))):
        runs.process_payments()
        assert emulator.ledger.taken_minor() == 4666


@pytest.mark.parametrize("days", [-1, 0, 8, 400])
def test_no_other_day_than_the_site_allows(payers: Client, plan: ObjectPaymentPlan, days: int) -> None:
    line = first_of(plan)
    assert "Choose a day from" in press(payers, line, line.due + datetime.timedelta(days=days))
    line.refresh_from_db()
    assert line.due == first_of(plan).due
    assert not line.state_changes.filter(code="due_moved_by_payer").exists()


@pytest.mark.parametrize("typed", ["", "soon", "2026-02-31"])
def test_what_is_no_day_moves_nothing(payers: Client, plan: ObjectPaymentPlan, typed: str) -> None:
    line = first_of(plan)
    press(payers, line, typed)
    assert first_of(plan).due == line.due


def test_not_past_the_next_payment_and_counted_from_the_day_that_was_agreed(
    payers: Client, plan: ObjectPaymentPlan, settings: Any
) -> None:
    settings.CHECKOUT_PAYER_MAY_MOVE_DAYS = 90
    line, following = first_of(plan), plan.payments.get(count=3)
    assert "Choose a day from" in press(payers, line, following.due)
    settings.CHECKOUT_PAYER_MAY_MOVE_DAYS = 7
    agreed = line.due
    by_staff.change_due(line, agreed + datetime.timedelta(days=6), None, "asked by phone")
    assert "Choose a day from" in press(payers, line, agreed + datetime.timedelta(days=8))
    assert "is taken on" in press(payers, line, agreed + WEEK)


def _switched_off(line: ObjectPaymentPlanInstalment, settings: Any) -> None:
    settings.CHECKOUT_PAYER_MAY_MOVE_DAYS = 0


def _being_taken(line: ObjectPaymentPlanInstalment, settings: Any) -> None:
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(state=states.REQUEST)


def _its_page_is_open(line: ObjectPaymentPlanInstalment, settings: Any) -> None:
    on_session.create_checkout_pay_on_session(line, None)
    assert Checkout.objects.open().exists()


def _paused(line: ObjectPaymentPlanInstalment, settings: Any) -> None:
    ObjectPaymentPlan.objects.update(paused=True)


def _stopped(line: ObjectPaymentPlanInstalment, settings: Any) -> None:
    line.object_payment_plan.delete_plan()


def _overdue(line: ObjectPaymentPlanInstalment, settings: Any) -> None:
    yesterday = clock.today() - datetime.timedelta(days=1)
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(due=yesterday)


@pytest.mark.parametrize("what", [_switched_off, _being_taken, _its_page_is_open, _paused, _stopped, _overdue])
def test_what_may_not_be_moved_is_neither_offered_nor_moved(
    payers: Client, plan: ObjectPaymentPlan, settings: Any, what: Callable[..., None]
) -> None:
    line = first_of(plan)
    what(line, settings)
    before = first_of(plan).due
    assert f'id="move-{line.count}"' not in payers.get(page_of(plan)).content.decode()
    assert "cannot be moved any more" in press(payers, line, line.due + datetime.timedelta(days=2))
    assert first_of(plan).due == before


def test_only_its_payer_moves_it(plan: ObjectPaymentPlan, other_payer: Any) -> None:
    line = first_of(plan)
    form = {"instalment": line.uuid, "due": line.due + WEEK}
    client = Client()
    assert client.post(page_of(plan), form).headers["Location"].startswith("/log-in/")
    client.force_login(other_payer)
    assert client.post(page_of(plan), form).status_code == 404
    assert first_of(plan).due == line.due


def test_wherever_a_plan_is_read_its_payments_stand_as_they_fall_due(
    payers: Client, plan: ObjectPaymentPlan, admin_client: Client
) -> None:
    line = first_of(plan)
    by_staff.change_due(line, plan.payments.get(count=3).due + WEEK, None, "on holiday")
    office = reverse("checkout.object.payment.plan.detail", args=[plan.uuid])
    for page in (
        text(payers.get(page_of(plan))),
        text(payers.get(reverse("checkout.statement", args=[plan.uuid]))),
        text(admin_client.get(office)),
    ):
        # The day of the second, which no other line has now, and then that of the first.
        days = [plan.payments.get(count=3).due, plan.payments.get(count=2).due, plan.payments.get(count=4).due]
        places = [page.rindex(formats.date_format(day)) for day in days]
        assert places == sorted(places), page

"""The list of what is overdue: why, what happens next, and what staff do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from checkout import clock, states
from checkout.models import FollowUp, ObjectPaymentPlan, ObjectPaymentPlanInstalment, RecoveryStep, StateChange
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db

PLAN = "checkout.object.payment.plan"


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


@pytest.fixture
def late(books: Books) -> ObjectPaymentPlanInstalment:
    """Declined, and tried again in some days."""
    line = books.failed_line
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(due=clock.today() - timedelta(days=12))
    line.refresh_from_db()
    return line


def listed(office: Client, query: str = "") -> str:
    page: str = office.get(reverse("checkout.overdue.list") + query).content.decode()
    return page


def press(office: Client, name: str, line: ObjectPaymentPlanInstalment, **data: Any) -> Any:
    url = reverse(f"{PLAN}.instalment.{name}", args=[line.pk])
    seen = office.get(url).context["seen"]
    return office.post(url, {"seen": seen, **data}, follow=True)


def test_each_debt_says_why_how_late_and_what_happens_next(office: Client, late: ObjectPaymentPlanInstalment) -> None:
    step = RecoveryStep.objects.get(instalment=late)
    page = listed(office)
    for words in (
        "Ann Smith",
        "Instalment 1 of plan",
        "12 days late",
        "£26.66",
        "There was not enough money on the card.",
        f"The card is tried again on {step.day:%-d %b %Y}",
    ):
        assert words in page, words
    # Paid, not yet due, or of a stopped plan: not there.
    assert page.count("days late") == 1
    ObjectPaymentPlan.objects.update(deleted=True)
    assert "Ann Smith" not in listed(office, "?show=all")


def test_a_line_whose_payer_was_asked_by_link_says_so(office: Client, books: Books) -> None:
    rows = ObjectPaymentPlanInstalment.objects.filter(pk=books.waiting_line.pk)
    rows.update(due=clock.today() - timedelta(days=2))
    page = listed(office)
    assert "The payer was asked to pay by link." in page
    assert "Wait for the payer, or speak to them" in page


def test_a_promise_is_written_down_shown_and_taken_back(office: Client, late: ObjectPaymentPlanInstalment) -> None:
    day = clock.today() + timedelta(days=9)
    page = press(office, "promise", late, day=day.isoformat(), reason="She is paid then").content.decode()
    assert f"Written down: promised for {day:%-d %b %Y}." in page
    assert "Ann Smith" not in listed(office)
    shown = listed(office, "?show=promised")
    assert f"Promised for {day:%-d %b %Y}" in shown
    assert "She is paid then" in shown
    page = office.get(late.get_absolute_url()).content.decode()
    # The try waits for it, and the story says who wrote it down and why.
    assert page.count(f"{day:%-d %b %Y}") >= 2
    assert f"Promised for {day.isoformat()}: She is paid then" in page
    change = StateChange.objects.filter(instalment=late).latest("pk")
    assert (change.code, change.user.username) == ("promised", "boss")  # type: ignore[union-attr]
    press(office, "promise", late, day="", reason="")
    assert FollowUp.objects.get().promised_for is None
    assert "Ann Smith" in listed(office)


@pytest.mark.parametrize("days", [-1, 0, 400])
def test_no_day_is_promised_that_is_past_or_far_away(
    office: Client, late: ObjectPaymentPlanInstalment, days: int
) -> None:
    day = clock.today() + timedelta(days=days)
    assert press(office, "promise", late, day=day.isoformat()).status_code == 422
    assert not FollowUp.objects.exists()


def test_put_off_and_done_leave_the_list(office: Client, late: ObjectPaymentPlanInstalment) -> None:
    day = clock.today() + timedelta(days=3)
    press(office, "snooze", late, day=day.isoformat())
    assert "Ann Smith" not in listed(office)
    assert "Ann Smith" in listed(office, "?show=put_off")
    FollowUp.objects.update(snoozed_until=clock.today())
    assert "Ann Smith" in listed(office)
    press(office, "done", late, reason="Paid by cheque, on its way")
    assert "Ann Smith" not in listed(office)
    assert "Paid by cheque" in listed(office, "?show=done")


def test_what_is_not_overdue_is_neither_promised_nor_done(office: Client, books: Books) -> None:
    line = books.plan.payments.get(count=4)
    for name in ("promise", "snooze", "done"):
        press(office, name, line, day=(clock.today() + timedelta(days=3)).isoformat())
    assert not FollowUp.objects.exists()


def test_a_declined_line_is_moved(office: Client, late: ObjectPaymentPlanInstalment) -> None:
    day = clock.today() + timedelta(days=5)
    press(office, "due", late, due=day.isoformat(), reason="asked by phone")
    late.refresh_from_db()
    assert (late.state_id, late.due) == (states.PENDING, day)


def test_the_list_is_searched_and_narrowed(office: Client, late: ObjectPaymentPlanInstalment) -> None:
    for query in ("?q=ann", f"?q={late.object_payment_plan_id}", "?late=7", "?state=fail"):
        assert "Ann Smith" in listed(office, query), query
    for query in ("?q=nobody", "?q=999999", "?late=30", "?state=pay_on_session"):
        assert "Ann Smith" not in listed(office, query), query


def test_the_csv_has_the_words_and_no_buttons(office: Client, late: ObjectPaymentPlanInstalment) -> None:
    answer = office.get(reverse("checkout.overdue.list") + "?format=csv")
    head, row = b"".join(answer).decode().strip().splitlines()  # type: ignore[arg-type]
    assert head.endswith("Currency")
    assert "26.66" in row
    assert "There was not enough money" in row


def test_whoever_may_only_look_has_no_buttons(
    client: Client, staff_with: Any, late: ObjectPaymentPlanInstalment
) -> None:
    client.force_login(staff_with("checkout.view_objectpaymentplaninstalment"))
    page = listed(client)
    assert "Ann Smith" in page
    assert "/promise/" not in page

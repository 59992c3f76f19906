"""What may be a slip of the hand is asked about once more, and done when it is right."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from checkout import clock
from checkout.models import CustomerPayment
from checkout.office.bulk_forms import BulkForm, BulkMoveForm
from checkout.office.money_forms import RefundForm
from tests.services.conftest import SavePlan
from tests.staff.conftest import boss, site  # noqa: F401 - fixtures
from tests.views.test_plan_link import text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def office(boss: Any) -> Client:  # noqa: F811
    client = Client()
    client.force_login(boss)
    return client


def ask(office: Client, amount: str, **more: str) -> Any:
    form = {"key": uuid.uuid4(), "email": "ann@example.com", "description": "Books", "amount": amount, "how": "link"}
    return office.post(reverse("checkout.customer.payment.create"), form | more)


def test_a_request_for_an_odd_amount_is_asked_about_once_more(office: Client) -> None:
    slip = ask(office, "999999.99")
    assert slip.status_code == 422
    assert "£999,999.99 is a large amount." in text(slip)
    assert "Yes, this is right" in text(slip)
    assert "Yes, this is right (optional)" not in text(slip)
    assert CustomerPayment.objects.count() == 0
    assert ask(office, "20").status_code == 302
    assert "£201.00 is more than ten times the largest payment so far." in text(ask(office, "201"))
    assert ask(office, "200").status_code == 302
    assert ask(office, "999999.99", sure="on").status_code == 302
    assert CustomerPayment.objects.count() == 3


def test_a_large_refund_is_asked_about_once_more() -> None:
    form = {"key": uuid.uuid4(), "amount": "10001", "reason": "duplicate", "note": "twice"}
    about: Any = {"left": Decimal(20_000), "currency": "GBP", "of_plan": False}
    slip = RefundForm(form, **about)
    assert not slip.is_valid()
    assert slip.non_field_errors() == ["£10,001.00 is a large amount.", "Tick the box if this is right."]
    assert RefundForm(form | {"sure": "on"}, **about).is_valid()
    assert RefundForm(form | {"amount": "10000"}, **about).is_valid()


def test_an_action_for_very_many_is_asked_about_once_more() -> None:
    form = {"key": uuid.uuid4(), "reason": "the hall burnt down"}
    slip = BulkForm(form, number=101)
    assert not slip.is_valid()
    assert slip.non_field_errors() == ["It is done to 101 at once.", "Tick the box if this is right."]
    assert BulkForm(form | {"sure": "on"}, number=101).is_valid()
    assert BulkForm(form, number=100).is_valid()


def test_many_moved_to_a_day_that_is_years_away_are_asked_about_once_more() -> None:
    day = clock.today() + datetime.timedelta(days=800)
    form = {"key": uuid.uuid4(), "reason": "the hall burnt down", "due": day.isoformat()}
    slip = BulkMoveForm(form, number=3)
    assert not slip.is_valid()
    assert "is more than two years from now." in slip.non_field_errors()[0]
    sure = BulkMoveForm(form | {"sure": "on"}, number=3)
    assert sure.is_valid()
    assert sure.terms == {"day": day.isoformat()}


def test_a_day_that_is_years_away_is_asked_about_once_more(office: Client, save_plan: SavePlan) -> None:
    line = save_plan().payments.get(count=2)
    url = reverse("checkout.object.payment.plan.instalment.due", args=[line.pk])
    day = clock.today() + datetime.timedelta(days=800)
    form = {"seen": office.get(url).context["seen"], "due": day.isoformat(), "reason": "by phone"}
    assert "is more than two years from now." in text(office.post(url, form))
    assert office.post(url, form | {"sure": "on"}).status_code == 302
    line.refresh_from_db()
    assert line.due == day
    url = reverse("checkout.object.payment.plan.instalment.paid", args=[line.pk])
    long_ago = (clock.today() - datetime.timedelta(days=800)).isoformat()
    form = {"seen": office.get(url).context["seen"], "key": str(uuid.uuid4()), "day": long_ago, "reason": "cash"}
    assert "is more than two years ago." in text(office.post(url, form))
    assert office.post(url, form | {"sure": "on"}).status_code == 302

"""The page that asks before something is done says whether it can be undone; and stopping a plan tells its site."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import resolve, reverse

from checkout import signals
from checkout.models import ObjectPaymentPlan
from checkout.office.views.staff_actions import StaffActionView
from tests.host.models import Membership
from tests.staff.conftest import Books
from tests.staff.test_access import STAFF, TABLE, Staff
from tests.views.test_plan_link import text

pytestmark = pytest.mark.django_db


def test_every_page_that_asks_shows_it(books: Books, boss: Any) -> None:
    client = Client()
    client.force_login(boss)
    seen = 0
    for name in STAFF:
        staff = TABLE[name]
        assert isinstance(staff, Staff)
        url = reverse(name, args=list(staff.args(books)))
        view = getattr(resolve(url).func, "view_class", None)
        if view is None or not issubclass(view, StaffActionView) or view.template_name != "checkout/staff/confirm.html":
            continue
        page = client.get(url)
        if page.status_code == 200:
            assert str(view.way_back) in text(page), name
            seen += 1
    assert seen > 25


def test_stopping_a_plan_says_what_becomes_of_its_row_and_its_site_hears_of_it_once(books: Books, boss: Any) -> None:
    client = Client()
    client.force_login(boss)
    heard: list[ObjectPaymentPlan] = []

    def listen(plan: ObjectPaymentPlan, **_more: Any) -> None:
        heard.append(plan)

    signals.checkout_plan_stopped.connect(listen)
    try:
        url = reverse("checkout.object.payment.plan.delete", args=[books.plan.uuid])
        page = client.get(url)
        assert "cannot be paid for again unless your site allows it" in text(page)
        Membership.objects.filter(pk=books.plan.object_id).update(can_charge=True)
        page = client.get(url)
        assert "can be paid for in another way" in text(page)
        client.post(url, {"seen": page.context["seen"], "reason": "moved away"})
        books.plan.refresh_from_db()
        books.plan.delete_plan()
    finally:
        signals.checkout_plan_stopped.disconnect(listen)
    assert heard == [books.plan]

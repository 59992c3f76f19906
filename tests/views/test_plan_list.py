"""All plans of a login on one page: the payer's own, each as it stands, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from checkout.models import ObjectPaymentPlan
from checkout.services import refunds, runs
from checkout.services.papers import receipts_of
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan, make_due
from tests.views.shop import logged_in
from tests.views.test_plan_link import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def address() -> str:
    return reverse("checkout.plan.list")


@pytest.fixture
def ann(db: None) -> Any:
    return get_user_model().objects.create_user("ann", "ann@example.com", "pw")


def test_each_plan_says_what_it_still_wants_and_leads_to_its_page(
    emulator: Emulator, save_plan: SavePlan, ann: Any, address: str
) -> None:
    declined, runs_on, stopped, paid = (save_plan(email="Ann@example.com") for _ in range(4))
    stopped.delete_plan()
    make_due(paid, 3)
    runs.process_payments(workers=1)
    make_due(declined)
    emulator.bank.decline_next(declined.card.payment_method_id, "insufficient_funds")
    runs.process_payments(workers=1)
    page = logged_in(ann).get(address)
    found = [row.plan for row in page.context["plans"]]
    assert found == [declined, runs_on, paid, stopped]
    assert [(row.paid, row.still_to_pay, row.waiting) for row in page.context["plans"]] == [
        ("£20.00", "£80.00", 1), ("£20.00", "£80.00", 0), ("£100.00", "", 0), ("£20.00", "", 0),
    ]  # fmt: skip
    shown = text(page)
    for words in ("One payment is waiting for you.", "Next: £26.66 on", "Everything is paid.", "Nothing more is taken"):
        assert words in shown
    for plan in found:
        theirs = reverse("checkout.plan.progress", args=[plan.uuid])
        assert f'href="{theirs}"' in page.content.decode()
    back = logged_in(ann).get(reverse("checkout.plan.progress", args=[runs_on.uuid]))
    assert f'href="{address}"' in back.content.decode()


def test_what_was_given_back_is_not_paid(emulator: Emulator, save_plan: SavePlan, ann: Any, address: str) -> None:
    plan = save_plan(email="ann@example.com")
    refunds.refund(receipts_of(plan)[0], Decimal(5))
    [row] = logged_in(ann).get(address).context["plans"]
    assert (row.paid, row.still_to_pay) == ("£15.00", "£80.00")


def test_what_was_written_off_is_not_paid(save_plan: SavePlan, ann: Any, address: str) -> None:
    save_plan(email="ann@example.com").propose_change("write_off", "moved abroad")
    shown = text(logged_in(ann).get(address))
    assert "Nothing is left to pay." in shown
    assert "Everything is paid" not in shown


def test_a_deposit_that_did_not_come_leaves_all_that_was_agreed(save_plan: SavePlan, ann: Any, address: str) -> None:
    save_plan("4000000000000341", email="ann@example.com")
    [row] = logged_in(ann).get(address).context["plans"]
    assert (row.paid, row.still_to_pay, row.waiting) == ("", "£100.00", 1)


def test_nobody_else_sees_a_plan_there(
    client: Client, save_plan: SavePlan, ann: Any, address: str, payer: Any, staff: Any
) -> None:
    plan = save_plan(email="ann@example.com")
    assert client.get(address).headers["Location"].startswith("/log-in/")
    assert client.post(address).headers["Location"].startswith("/log-in/")
    for who in (payer, staff):
        page = logged_in(who).get(address)
        assert "You have no payment plan with this login." in text(page)
        assert str(plan.uuid) not in page.content.decode()
        assert logged_in(who).post(address).status_code == 405
    # An address that two users share tells neither of them about the other.
    get_user_model().objects.create_user("twin", "ann@example.com", "pw")
    assert logged_in(ann).get(address).context["plans"] == []


def test_the_page_asks_as_often_for_many_plans(
    save_plan: SavePlan, ann: Any, address: str, count_queries: Callable[..., int]
) -> None:
    save_plan(email="ann@example.com")
    ObjectPaymentPlan.objects.update(user=ann)
    browser = logged_in(ann)
    browser.get(address)
    few = count_queries(lambda: browser.get(address))
    for _ in range(3):
        save_plan(email="ann@example.com")
    ObjectPaymentPlan.objects.update(user=ann)
    assert count_queries(lambda: browser.get(address)) == few

"""A part of a line comes by other means: it is written down once, and runs, pages and mails ask for the rest."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from checkout.models import Checkout, Posting
from checkout.services import booking, dry_runs, on_session, runs
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan, make_due

pytestmark = pytest.mark.django_db

PAID = "checkout.object.payment.plan.instalment.paid"


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


def part(office: Client, line: Any, amount: str, key: uuid.UUID | None = None) -> Any:
    url = reverse(PAID, args=[line.pk])
    page = office.get(url)
    data = {"seen": page.context["seen"], "key": key or uuid.uuid4(), "amount": amount, "reason": "cash"}
    return office.post(url, data, follow=True)


def test_a_run_takes_the_rest(office: Client, emulator: Emulator, save_plan: SavePlan) -> None:
    (line,) = make_due(save_plan())
    answer = part(office, line, "6.66").content.decode()
    assert "£20.00 is left" in answer
    assert "6.66 GBP came by other means: cash" in answer
    assert [row.instalment.left for row in dry_runs.dry_run()] == [20]
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 2000 + 2000
    line.refresh_from_db()
    assert (line.state_id, line.net_paid) == ("success", Decimal("26.66"))
    assert not booking.wrong_counters()


def test_the_same_form_twice_is_one_part(office: Client, save_plan: SavePlan) -> None:
    (line,) = make_due(save_plan())
    key = uuid.uuid4()
    part(office, line, "6.66", key)
    part(office, line, "6.66", key)
    assert Posting.objects.filter(kind="other_means").count() == 1


def test_an_open_page_is_closed_and_the_next_asks_for_the_rest(
    office: Client,
    emulator: Emulator,
    save_plan: SavePlan,
) -> None:
    (line,) = make_due(save_plan())
    page = on_session.create_checkout_pay_on_session(line)
    part(office, line, "6.66")
    page.refresh_from_db()
    assert page.failed
    line.refresh_from_db()
    assert on_session.create_checkout_pay_on_session(line).total == 20


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("30", "more than is left"),
        ("26.50", "0.30"),
        ("1.005", "smallest amount"),
        ("-5", "not an"),
        ("x", "not an"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    office: Client,
    save_plan: SavePlan,
    amount: str,
    said: str,
) -> None:
    (line,) = make_due(save_plan())
    answer = part(office, line, amount)
    assert said in answer.content.decode()
    assert answer.status_code in (409, 422)
    assert not Posting.objects.filter(kind="other_means").exists()


def test_all_of_it_settles_the_line(office: Client, save_plan: SavePlan) -> None:
    (line,) = make_due(save_plan())
    part(office, line, "6.66")
    line.refresh_from_db()
    part(office, line, "")
    line.refresh_from_db()
    assert (line.state_id, line.net_paid) == ("success", Decimal("26.66"))
    totals = Checkout.objects.filter(action="manual").order_by("pk").values_list("total", flat=True)
    assert list(totals) == [Decimal("6.66"), 20]


def test_the_payers_page_says_what_is_left(client: Client, payer: Any, save_plan: SavePlan, boss: Any) -> None:
    plan = save_plan()
    (line,) = make_due(plan)
    client.force_login(boss)
    part(client, line, "6.66")
    plan.user = payer
    plan.save()
    client.force_login(payer)
    page = client.get(reverse("checkout.plan.progress", args=[plan.uuid])).content.decode()
    assert "£20.00" in page
    assert "£6.66 is paid already" in page

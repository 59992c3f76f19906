"""What staff need at hand: dates of banks, cards that will not last, a way out, and commands that may be cut short."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.test import Client
from django.urls import reverse

from checkout import clock
from checkout.management.base import BaseCommand
from checkout.models import Dispute, ObjectPaymentPlanInstalment, ScheduledJob
from checkout.office import accounts
from checkout.services import doctor, refunds
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db

PLAN = "checkout.object.payment.plan"


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


def dispute(days: int | None, **more: Any) -> Dispute:
    due_by = None if days is None else clock.now() + timedelta(days=days)
    return Dispute.objects.create(
        kind="dispute", dispute_id=f"du_{uuid.uuid4()}", status="needs_response", amount=50, opened_at=clock.now(),
        due_by=due_by, **more,
    )  # fmt: skip


def test_disputes_stand_by_the_date_until_which_a_bank_waits(office: Client) -> None:
    late, no_date, soon, passed = dispute(9), dispute(None), dispute(2), dispute(-1)
    sent = dispute(1, evidence_sent=True)
    page = office.get(reverse("checkout.dispute.list"))
    shown = [row[0].plain for row in page.context["rows"]]
    assert shown == [each.dispute_id for each in (passed, soon, late, no_date, sent)]
    assert "the date has passed" in page.content.decode()
    cache.clear()
    overview = office.get(reverse("checkout.dashboard")).content.decode()
    assert "date passed: 1" in overview
    assert "the next to answer by" in overview
    said = [finding.message for finding in doctor.examine(ask=False) if finding.check == "books"]
    assert "1 dispute was not answered in time." in said
    assert any("£50.00 has to be answered by" in message for message in said)
    Dispute.objects.exclude(pk=late.pk).delete()
    assert not [each for each in doctor.examine(ask=False) if "answered" in each.message], "nine days are no hurry"


def test_a_card_that_runs_out_before_the_last_payment_is_not_called_good(office: Client, books: Books) -> None:
    card = books.plan.card
    assert card is not None
    last = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan=books.plan).latest("due")
    far = clock.today() + timedelta(days=200)
    ObjectPaymentPlanInstalment.objects.filter(pk=last.pk).update(due=far, state="pending")
    url = reverse(f"{PLAN}.card.expiry.list")
    for day, words in ((far - timedelta(days=1), "Runs out before the plan ends"), (far, "Good")):
        card.expiry_date, card.refresh = day, False
        card.save()
        assert words in office.get(url).content.decode()


def test_a_payment_that_a_bank_has_taken_back_is_not_offered_for_a_refund(office: Client, books: Books) -> None:
    paid = books.dispute.checkout
    assert paid is not None
    assert "taken the money back" in refunds.why_not(paid)
    Dispute.objects.filter(pk=books.dispute.pk).update(status="won", is_open=False)
    assert refunds.why_not(paid) == ""


def test_staff_stay_in_the_office_when_a_page_is_not_for_them(
    client: Client, staff_with: Callable[..., Any], payer: Any
) -> None:
    client.force_login(staff_with("checkout.view_customer"))
    answer = client.get(reverse("checkout.dispute.list"))
    shown = answer.content.decode()
    assert answer.status_code == 403
    assert "Your login may not open this page" in shown
    assert reverse("checkout.customer.list") in shown
    assert client.post(reverse("checkout.refund.list")).status_code == 403
    client.force_login(payer)
    stranger = client.get(reverse("checkout.dispute.list"))
    assert stranger.status_code == 403
    assert "office-menu" not in stranger.content.decode()


def test_the_newest_of_many_are_shown_and_said_to_be(office: Client, books: Books, monkeypatch: Any) -> None:
    url = reverse("checkout.customer.detail", args=[books.request.customer_id])
    assert "Only the newest" not in office.get(url).content.decode()
    monkeypatch.setattr(accounts, "AT_MOST", 1)
    shown = office.get(url).content.decode()
    assert "Only the newest 1 are shown" in shown
    assert f"{reverse('checkout.customer.payment.list')}?q=cleo%40example.com" in shown


def test_to_stop_a_plan_is_never_the_button_that_stands_out(client: Client, staff_with: Any, books: Books) -> None:
    client.force_login(staff_with("checkout.view_objectpaymentplan", "checkout.delete_objectpaymentplan"))
    actions = client.get(reverse(f"{PLAN}.detail", args=[books.plan.uuid])).context["actions"]
    assert [each["quiet"] for each in actions if "Stop" in str(each["text"])] == [True]


def test_a_slip_at_the_command_is_no_failure_of_the_job() -> None:
    for options in ({"currency": "POUNDS"}, {"currency": "XYZ", "max_total": 5}):
        with pytest.raises(CommandError):
            call_command("process_payments", **options)
    assert not ScheduledJob.objects.filter(name="process_payments").exists()


def test_every_command_goes_on_when_nobody_reads_it_any_more() -> None:
    ours = [name for name, app in get_commands().items() if app == "checkout"]
    assert len(ours) > 20
    for name in ours:
        assert isinstance(load_command_class("checkout", name), BaseCommand), name


def test_a_reader_that_goes_away_changes_no_exit_code() -> None:
    code = (
        "from checkout.management.base import BaseCommand\n"
        "class Command(BaseCommand):\n"
        "    def handle(self, *args, **options):\n"
        "        for number in range(20000):\n"
        "            self.stdout.write(f'line {number}')\n"
        "        self.stderr.write('done')\n"
        "import sys\n"
        "Command().run_from_argv(['manage.py', 'x', '--skip-checks'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "done\n")

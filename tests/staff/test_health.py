"""The health page, and the overview: a job that does not run is the loudest line, and looking costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from checkout import clock, deployment, mail, timetable
from checkout.models import ScheduledJob, StripeEvent
from checkout.services import doctor, jobs
from checkout.services.doctor import answers
from stripe_emulator import Emulator, faults
from tests.services.conftest import SavePlan, payment_plan, save_plan  # noqa: F401 - fixtures
from tests.unit.test_checks import RIGHT

pytestmark = pytest.mark.django_db

URL = "/checkout/staff/health/"
SILENT = "payment_intent_fulfillment"


@pytest.fixture
def well(save_plan: SavePlan, settings: Any, emulator: Emulator, monkeypatch: Any) -> None:  # noqa: F811
    """A site on which every job has run and everybody answers."""
    settings.CHECKOUT_WEBHOOK_SECRET = "whsec_test"
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    for name, value in RIGHT.items():
        setattr(settings, name, value)
    # SQLite, on which these tests run, is complained about by itself.
    looked_at = [each for each in deployment.CHECKS if each is not deployment.check_sqlite]
    monkeypatch.setattr(deployment, "CHECKS", looked_at)
    emulator.webhooks.add("https://shop.example/checkout/webhook/", "whsec_test")
    mail.install()
    save_plan()
    for job in timetable.JOBS:
        with jobs.recorded(job.name):
            pass
    monkeypatch.setattr(answers, "post", lambda url, body, headers: 200)


@pytest.fixture
def office(client: Client, boss: Any, well: None) -> Client:
    client.force_login(boss)
    return client


def test_the_box_that_finds_anything_is_empty_on_other_pages(office: Client) -> None:
    for answer in (office.get(URL), office.post(URL)):
        assert 'id="office-find" name="q" maxlength="200" value=""' in answer.content.decode()
    found = office.get(reverse("checkout.search"), {"q": "ann"}).content.decode()
    assert 'id="office-find" name="q" maxlength="200" value="ann"' in found


def silence(name: str = SILENT) -> None:
    ScheduledJob.objects.filter(name=name).update(last_succeeded_at=clock.now() - timedelta(days=3))


def test_a_site_that_is_well_says_so(office: Client) -> None:
    text = office.post(URL).content.decode()
    assert "Nothing is wrong." in text
    assert "do not run" not in text
    assert all(job.name in text for job in timetable.JOBS if job.silent_for and not job.for_digest)


def test_a_silent_job_stands_above_everything_else(office: Client) -> None:
    StripeEvent.objects.create(
        event_id="evt_1", event_type="x", livemode=False, created_at=clock.now(), next_attempt_at=None
    )
    silence()
    for text in (office.get(URL).content.decode(), office.get(reverse("checkout.dashboard")).content.decode()):
        assert "1 scheduled job does not run" in text
        assert text.index(f"{SILENT} has not run since") == min(
            text.index(word) for word in (SILENT, "1 webhook events failed", "Expected and taken") if word in text
        )
    assert "Each holds its error" in office.get(URL).content.decode(), "what is wrong besides says what to do"


def test_a_job_that_never_ran_is_as_loud(office: Client) -> None:
    ScheduledJob.objects.filter(name="process_payments").delete()
    text = office.get(reverse("checkout.dashboard")).content.decode()
    assert "process_payments has never run, so instalments that are due are not taken." in text
    assert URL in text


def test_the_overview_is_quiet_while_all_jobs_run(office: Client) -> None:
    assert "office-alarm" not in office.get(reverse("checkout.dashboard")).content.decode()


def test_whoever_may_not_open_the_health_page_is_told_all_the_same(client: Client, well: None, staff_with: Any) -> None:
    silence()
    client.force_login(staff_with("checkout.view_dashboard"))
    text = client.get(reverse("checkout.dashboard")).content.decode()
    assert "1 scheduled job does not run" in text
    assert URL not in text


def test_looking_asks_nobody(office: Client, emulator: Emulator, monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "post", lambda *args: pytest.fail("the webhook address was asked"))
    before = len(emulator.requests)
    assert office.get(URL).status_code == 200
    assert len(emulator.requests) == before


def test_it_opens_and_examines_while_stripe_does_not_answer(office: Client, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostBefore(), times=None)
    assert "Stripe does not answer" not in office.get(URL).content.decode()
    answer = office.post(URL)
    assert answer.status_code == 200
    assert "Stripe does not answer" in answer.content.decode()


def test_stripe_is_not_asked_inside_a_transaction(office: Client, emulator: Emulator, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    before = len(emulator.requests)
    assert "Nothing is wrong." in office.post(URL).content.decode()
    assert len(emulator.requests) > before


def test_nobody_waits_for_one_silence_after_another(office: Client, emulator: Emulator, monkeypatch: Any) -> None:
    moments = iter(range(0, 1000, 6))
    monkeypatch.setattr(doctor.time, "monotonic", lambda: next(moments))
    before = len(emulator.requests)
    text = office.post(URL).content.decode()
    assert "Not looked at: the checks before it waited 12 seconds" in text
    assert len(emulator.requests) == before, "the broker and the webhook address took the time"


def test_the_number_of_queries_does_not_grow(office: Client, count_queries: Callable[..., int]) -> None:
    def look() -> None:
        assert office.get(URL).status_code == 200

    look()
    few = count_queries(look)
    for number in range(5):
        StripeEvent.objects.create(
            event_id=f"evt_{number}", event_type="x", livemode=False, created_at=clock.now(), next_attempt_at=None
        )
        ScheduledJob.objects.create(name=f"another-{number}")
    assert count_queries(look) == few

"""What monitoring is told, to whom, and that a job gives a sign of life to somebody outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.test import Client

from checkout import clock
from checkout.models import Problem, ScheduledJob, StripeEvent
from checkout.services import doctor, jobs, metrics, problems
from stripe_emulator import Emulator, faults
from tests.services.conftest import SavePlan, make_due

pytestmark = pytest.mark.django_db

TOKEN = "a-long-token"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
ADDRESSES = ["/checkout/health/full/", "/checkout/health/metrics/"]


@pytest.fixture(autouse=True)
def token(settings: Any) -> None:
    settings.CHECKOUT_HEALTH_TOKEN = TOKEN


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}]
)
def test_nothing_is_told_without_the_token(client: Client, address: str, headers: dict[str, str]) -> None:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 401
    assert b"checkout_" not in answer.content
    assert b"findings" not in answer.content


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_the_setting_no_token_opens_it(client: Client, settings: Any, address: str) -> None:
    settings.CHECKOUT_HEALTH_TOKEN = ""
    for headers in ({}, WITH_TOKEN, {"Authorization": "Bearer "}):
        assert client.get(address, headers=headers).status_code == 401


def test_the_verdict_is_json_and_an_error_is_503(client: Client) -> None:
    answer = client.get("/checkout/health/full/", headers=WITH_TOKEN)
    told = answer.json()
    assert answer.status_code == 503
    assert told["ok"] is False
    assert {"jobs", "deployment"} <= {finding["check"] for finding in told["findings"]}
    assert {finding["level"] for finding in told["findings"]} <= {"ok", "warning", "error", "skipped"}


def figures(client: Client, query: str = "") -> dict[str, float]:
    text = client.get(f"/checkout/health/metrics/{query}", headers=WITH_TOKEN).content.decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _space, value in (line.rpartition(" ") for line in lines)}


def test_the_figures_are_those_of_the_books(client: Client, emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    before = figures(client)
    assert before['checkout_attempts_recent{state="success"}'] == 1
    assert before['checkout_problems_open{kind="unknown_payment"}'] == 0
    assert before["checkout_events_oldest_seconds"] == 0
    emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds")
    (line,) = make_due(plan)
    type(line).objects.process_payments(workers=1)
    type(line).objects.filter(pk=line.pk).update(due=clock.today().replace(year=2020))
    problems.open_problem(Problem.Kind.UNKNOWN_PAYMENT, "pi_1", amount=None, currency="GBP")
    hour_ago = clock.now() - timedelta(hours=1)
    StripeEvent.objects.create(
        event_id="evt_1", event_type="x", livemode=False, created_at=hour_ago, received_at=hour_ago
    )
    StripeEvent.objects.create(
        event_id="evt_2", event_type="x", livemode=False, created_at=clock.now(), next_attempt_at=None
    )
    after = figures(client)
    assert after['checkout_attempts_recent{state="fail"}'] == 1
    assert after['checkout_instalments_late{state="fail"}'] == 1
    assert after['checkout_problems_open{kind="unknown_payment"}'] == 1
    assert (after["checkout_events_waiting"], after["checkout_events_given_up"]) == (1, 1)
    assert 3600 <= after["checkout_events_oldest_seconds"] < 3660


def test_a_job_that_does_not_run_is_seen_in_the_figures(client: Client) -> None:
    with jobs.recorded("payment_intent_fulfillment"):
        pass
    found = figures(client)
    assert found['checkout_job_silent{job="payment_intent_fulfillment"}'] == 0
    assert 0 <= found['checkout_job_age_seconds{job="payment_intent_fulfillment"}'] < 60
    assert found['checkout_job_silent{job="settle_refunds"}'] == 1
    assert 'checkout_job_age_seconds{job="settle_refunds"}' not in found


def test_stripe_is_asked_only_when_that_is_wanted(client: Client, emulator: Emulator) -> None:
    assert "checkout_stripe_up" not in figures(client)
    assert not emulator.requests
    found = figures(client, "?ask=1")
    assert found["checkout_stripe_up"] == 1
    assert 0 < found["checkout_stripe_seconds"] < 60
    emulator.weather.add(faults.LostBefore(), times=9)
    assert figures(client, "?ask=1")["checkout_stripe_up"] == 0


def test_the_findings_of_the_doctor_are_counted_by_their_level(client: Client) -> None:
    found = figures(client)
    levels = [finding.level for finding in doctor.examine(ask=False)]
    assert doctor.Level.ERROR in levels
    for level in doctor.Level:
        assert found[f'checkout_doctor_findings{{level="{level}"}}'] == levels.count(level)


def test_the_text_is_prometheus(client: Client) -> None:
    answer = client.get("/checkout/health/metrics/", headers=WITH_TOKEN)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.content.decode().splitlines()
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(named) == len(set(named)) > 7
    assert metrics.Gauge("x", "", 1, {"a": 'b"c\\d\ne'}).line == 'x{a="b\\"c\\\\d\\ne"} 1'


# -- signs of life ---------------------------------------------------------------------------------------------


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    """Somebody who listens: an address, and what was fetched there."""
    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()


def test_each_job_gives_a_sign_of_life(outside: tuple[str, list[str]], settings: Any) -> None:
    base, heard = outside
    settings.CHECKOUT_HEARTBEAT_URL = base + "/{job}/{state}"
    with jobs.recorded("process_payments"):
        pass
    with pytest.raises(ZeroDivisionError), jobs.recorded("reconcile"):
        raise ZeroDivisionError
    assert heard == ["/process_payments/success", "/reconcile/fail"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/{job}", "file:///etc/passwd", "nonsense", "http://[::1/"])
def test_nobody_outside_stops_a_job(settings: Any, url: str) -> None:
    settings.CHECKOUT_HEARTBEAT_URL = url
    with jobs.recorded("process_payments"):
        pass
    assert ScheduledJob.objects.get().last_succeeded_at is not None

"""The doctor finds each fault that is planted, says what to do, and is quiet on a site that is well."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F
from django.db.utils import OperationalError
from django.test import Client
from django.urls import reverse
from post_office.models import STATUS, Email, EmailTemplate

from checkout import clock, deployment, timetable
from checkout.gateway import API_VERSION
from checkout.gateway.stripe import Gateway
from checkout.gateway.values import Probe
from checkout.models import Checkout, Debt, PaymentRun, PaymentRunItem, Refund, ScheduledJob, StripeEvent
from checkout.services import doctor, fulfillment, inbox, jobs
from checkout.services.doctor import answers
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, letters_installed, make_due
from tests.services.test_one_off import begin, pay
from tests.unit.test_checks import RIGHT

pytestmark = pytest.mark.django_db

Plant = Callable[..., None]
LONG_AGO = timedelta(days=3)


@pytest.fixture
def well(emulator: Emulator, save_plan: SavePlan, settings: Any, monkeypatch: Any) -> SavePlan:
    """A site that is well: plans are running, every job has run, webhooks come."""
    settings.CHECKOUT_WEBHOOK_SECRET = "whsec_test"
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    for name in RIGHT.keys() - {"CACHES"}:
        setattr(settings, name, RIGHT[name])
    # SQLite, on which these tests run, is complained about by itself.
    looked_at = [each for each in deployment.CHECKS if each is not deployment.check_sqlite]
    monkeypatch.setattr(deployment, "CHECKS", looked_at)
    emulator.webhooks.add("https://shop.example/checkout/webhook/", "whsec_test")
    letters_installed()
    save_plan()
    # Only now, because what a cache of files holds is not put there again (tests/kept.py).
    settings.CACHES = RIGHT["CACHES"]
    for job in timetable.JOBS:
        with jobs.recorded(job.name):
            pass
    an_event()
    monkeypatch.setattr(answers, "post", lambda url, body, headers: 200)
    return save_plan


def an_event(**changes: Any) -> StripeEvent:
    moment = changes.pop("at", clock.now())
    columns = {
        "event_id": f"evt_{StripeEvent.objects.count()}",
        "event_type": "payment_intent.succeeded",
        "livemode": False,
        "api_version": API_VERSION,
        "created_at": moment,
        "received_at": moment,
        "handled_at": moment,
        "next_attempt_at": None,
    }
    return StripeEvent.objects.create(**(columns | changes))


def troubles() -> list[doctor.Finding]:
    return [each for each in doctor.examine() if each.level not in {doctor.Level.OK, doctor.Level.SKIPPED}]


def test_a_site_that_is_well_is_left_in_peace(well: SavePlan, capsys: Any) -> None:
    assert troubles() == []
    call_command("checkout_doctor")
    assert "ERROR" not in capsys.readouterr().out


# Each plants one fault: (name, plant, the check that must find it, words it must say).
def _job_never_ran(settings: Any) -> None:
    ScheduledJob.objects.filter(name="process_payments").delete()


def _job_stopped(settings: Any) -> None:
    ScheduledJob.objects.filter(name="payment_intent_fulfillment").update(last_succeeded_at=clock.now() - LONG_AGO)


def _job_fails(settings: Any) -> None:
    with pytest.raises(RuntimeError), jobs.recorded("reconcile"):
        raise RuntimeError("the disk is full")


def _modes_mixed(settings: Any) -> None:
    settings.STRIPE_PUBLISH_KEY = "pk_live_pretend"


def _no_secret(settings: Any) -> None:
    settings.CHECKOUT_WEBHOOK_SECRET = ""


def _not_subscribed(settings: Any, emulator: Emulator) -> None:
    for endpoint in emulator.world.tables["webhook_endpoint"].values():
        endpoint["enabled_events"] = ["payment_intent.succeeded"]


def _endpoint_disabled(settings: Any, emulator: Emulator) -> None:
    for endpoint in emulator.world.tables["webhook_endpoint"].values():
        endpoint["status"] = "disabled"


def _endpoint_of_another_version(settings: Any, emulator: Emulator) -> None:
    for endpoint in emulator.world.tables["webhook_endpoint"].values():
        endpoint["api_version"] = "2020-08-27"


def _endpoints_kept_secret(settings: Any, emulator: Emulator) -> None:
    emulator.weather.add(faults.Status(403), path=r"GET /v1/webhook_endpoints", times=None)


def _no_endpoint(settings: Any) -> None:
    settings.CHECKOUT_BASE_URL = "https://another.example"


def _stripe_down(settings: Any, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostBefore(), times=None)


def _key_refused(settings: Any, emulator: Emulator) -> None:
    emulator.weather.add(faults.Status(401), times=None)


def _clock_wrong(settings: Any, monkeypatch: Any) -> None:
    late = clock.now() - timedelta(minutes=4)
    monkeypatch.setattr(Gateway, "probe", lambda self: Probe(API_VERSION, late))


def _old_version(settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Gateway, "probe", lambda self: Probe("2020-08-27", clock.now()))


def _unreachable(settings: Any, monkeypatch: Any) -> None:
    def refuse(*args: Any) -> int:
        raise OSError("connection refused")

    monkeypatch.setattr(answers, "post", refuse)


def _behind_a_login(settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "post", lambda *args: 302)


def _event_given_up(settings: Any) -> None:
    an_event(handled_at=None, error="IntentMismatch: the amount differs")


def _event_waits(settings: Any) -> None:
    an_event(handled_at=None, next_attempt_at=clock.now(), at=clock.now() - LONG_AGO, error="OutcomeUnknown: no answer")
    an_event()


def _no_events_although_paid(settings: Any) -> None:
    StripeEvent.objects.all().delete()
    Checkout.objects.filter(state="success").update(settled_at=clock.now() - timedelta(hours=5))


def _event_in_another_version(settings: Any) -> None:
    an_event(api_version="2020-08-27")


def _attempt_left_open(settings: Any) -> None:
    begin(Membership.objects.create(email="left@example.com"))
    Checkout.objects.filter(state="pending").update(seen_at=clock.now() - LONG_AGO)


def _charge_unknown(settings: Any, emulator: Emulator, well: SavePlan) -> None:
    make_due(well(email="unknown@example.com"))
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
    from checkout.services import runs

    runs.process_payments(workers=1)
    Checkout.objects.filter(state="request").update(
        lease_until=clock.now() - LONG_AGO, claimed_at=clock.now() - LONG_AGO
    )


def _run_cut_short(settings: Any) -> None:
    PaymentRun.objects.create(started_at=clock.now() - LONG_AGO)


def _run_stopped(settings: Any) -> None:
    PaymentRun.objects.create(finished_at=clock.now(), note="Stripe refused our key.")


def _run_had_errors(settings: Any, well: SavePlan) -> None:
    [due] = make_due(well(email="error@example.com"))
    run = PaymentRun.objects.create(finished_at=clock.now())
    PaymentRunItem.objects.create(payment_run=run, instalment=due, outcome="error", note="There is no saved card.")


def _mail_waits(settings: Any) -> None:
    Email.objects.create(from_email="a@example.com", to="b@example.com", status=STATUS.queued)
    Email.objects.update(created=clock.now() - LONG_AGO)


def _mail_failed(settings: Any) -> None:
    Email.objects.create(from_email="a@example.com", to="b@example.com", status=STATUS.failed)


def _no_mail_templates(settings: Any) -> None:
    EmailTemplate.objects.all().delete()


def _not_migrated(settings: Any) -> None:
    [newest] = MigrationLoader(connection).graph.leaf_nodes("checkout")
    MigrationRecorder(connection).record_unapplied(*newest)


def _broker_down(settings: Any, monkeypatch: Any) -> None:
    from example_checkout.celery import app

    settings.CHECKOUT_BACKGROUND = "celery"
    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")


def _old_refund(emulator: Emulator, **columns: Any) -> None:
    checkout = begin(Membership.objects.create())
    pay(emulator, checkout)
    paid = fulfillment.fulfill(checkout)
    Refund.objects.create(
        checkout=paid, amount=paid.total, currency="GBP", created_at=clock.now() - LONG_AGO, **columns
    )


def _refund_unknown(emulator: Emulator) -> None:
    _old_refund(emulator)


def _refund_whose_plan_goes_on(emulator: Emulator) -> None:
    _old_refund(emulator, state="succeeded", refund_id="re_1", plan_effect="stop", plan_effect_done=False)


PLANTED: list[tuple[Any, str, str]] = [
    (_job_never_ran, "jobs", "process_payments HAS NEVER SUCCEEDED, so instalments that are due are not taken"),
    (_job_stopped, "jobs", "payment_intent_fulfillment HAS NOT RUN SINCE"),
    (_job_fails, "jobs", "the disk is full"),
    (_modes_mixed, "settings", "One Stripe key is a live key"),
    (_no_secret, "settings", "CHECKOUT_WEBHOOK_SECRET is not set"),
    (_not_subscribed, "endpoint", "not subscribed to charge.dispute.closed"),
    (_endpoint_disabled, "endpoint", "is disabled"),
    (_endpoint_of_another_version, "endpoint", "sends version 2020-08-27, this app reads"),
    (_endpoints_kept_secret, "endpoint", "Stripe does not tell us its webhook endpoints"),
    (_no_endpoint, "endpoint", "has no webhook endpoint https://another.example/checkout/webhook/"),
    (_stripe_down, "stripe", "Stripe does not answer"),
    (_key_refused, "stripe", "Stripe refused our key"),
    (_clock_wrong, "stripe", "clock and Stripe's differ by"),
    (_old_version, "stripe", "answered in version 2020-08-27"),
    (_unreachable, "webhook", "cannot be reached from here: connection refused"),
    (_behind_a_login, "webhook", "answered 302 to a correctly signed event"),
    (_event_given_up, "events", "1 webhook event failed to the end"),
    (_event_waits, "events", "The oldest unprocessed webhook event came 3 days ago"),
    (_no_events_although_paid, "events", "No webhook ever came"),
    (_event_in_another_version, "events", "Webhooks come in version 2020-08-27"),
    (_attempt_left_open, "attempts", "still open"),
    (_charge_unknown, "attempts", "was asked for 3 days ago"),
    (_refund_unknown, "attempts", "was asked for 3 days ago, and what became of it is unknown"),
    (_refund_whose_plan_goes_on, "attempts", "was to change its plan 3 days ago, and the plan goes on as before"),
    (_run_cut_short, "run", "has not finished"),
    (_run_stopped, "run", "stopped early: Stripe refused our key"),
    (_run_had_errors, "run", "could not ask for 1 instalment."),
    (_mail_waits, "mail", "mails have waited for more than two hours"),
    (_mail_failed, "mail", "1 mail of the last week could not be sent"),
    (_no_mail_templates, "mail", "plan_agreed"),
    (_not_migrated, "database", "1 migration is not applied: checkout.0"),
    (_broker_down, "broker", "broker does not answer"),
]


@pytest.mark.parametrize(("plant", "check", "words"), PLANTED, ids=[plant.__name__[1:] for plant, _, _ in PLANTED])
def test_each_planted_fault_is_found(
    well: SavePlan, request: pytest.FixtureRequest, plant: Plant, check: str, words: str, capsys: Any
) -> None:
    import inspect

    plant(**{name: request.getfixturevalue(name) for name in inspect.signature(plant).parameters})
    found = [finding for finding in troubles() if finding.check == check]
    [finding] = [finding for finding in found if words in finding.message]
    assert finding.do, "it says what to do"
    if finding.level == doctor.Level.ERROR:
        with pytest.raises(CommandError, match="errors"):
            call_command("checkout_doctor", "--json")
    else:
        call_command("checkout_doctor", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (finding.level != doctor.Level.ERROR)
    assert words in json.dumps(told, ensure_ascii=False)


def test_a_job_that_does_not_run_is_the_loudest_line(well: SavePlan, settings: Any, capsys: Any) -> None:
    _event_given_up(settings)
    _job_stopped(settings)
    with pytest.raises(CommandError):
        call_command("checkout_doctor")
    first = capsys.readouterr().out.splitlines()[0]
    assert "!!! ERROR" in first
    assert "payment_intent_fulfillment HAS NOT RUN SINCE" in first


def test_a_check_that_breaks_does_not_hide_the_others(well: SavePlan, settings: Any, monkeypatch: Any) -> None:
    def broken() -> Any:
        raise RuntimeError("something nobody thought of")
        yield

    monkeypatch.setitem(doctor.CHECKS, "mail", broken)
    _job_stopped(settings)
    assert {finding.check for finding in troubles()} == {"jobs", "mail"}


def test_a_site_without_plans_or_webhooks_is_not_asked_for_their_jobs(db: None, settings: Any) -> None:
    settings.CHECKOUT_WEBHOOK_SECRET = ""
    asked = {finding.message.split()[0] for finding in doctor.CHECKS["jobs"]()}
    assert asked == {
        "payment_intent_fulfillment", "reconcile", "settle_refunds", "send_letters", "checkout_books",
        "audit_failed_checkout",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("how", "addresses", "missed"),
    [("digest", ["a@b.example"], True), ("digest", [], False), ("immediate", ["a@b.example"], False)],
)
def test_the_digest_is_missed_where_somebody_waits_for_it(
    well: SavePlan, settings: Any, how: str, addresses: list[str], missed: bool
) -> None:
    settings.CHECKOUT_NOTIFY, settings.CHECKOUT_NOTIFY_EMAILS = how, addresses
    ScheduledJob.objects.filter(name="send_staff_digest").delete()
    assert any("send_staff_digest HAS NEVER SUCCEEDED" in finding.message for finding in troubles()) == missed


def test_the_self_test_is_taken_by_the_real_address(well: SavePlan, client: Client, monkeypatch: Any) -> None:
    def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        kind = headers.pop("Content-Type")
        return client.post(
            url.removeprefix("https://shop.example"), body, content_type=kind, headers=headers
        ).status_code

    monkeypatch.setattr(answers, "post", post)
    assert troubles() == []
    assert troubles() == []
    assert StripeEvent.objects.get(event_type="checkout.doctor").outcome == "ignored"


def test_the_self_test_over_a_real_socket(live_server: Any, well: SavePlan, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.undo()
    settings.CHECKOUT_WEBHOOK_SECRET = "whsec_test"
    settings.CHECKOUT_BASE_URL = live_server.url
    assert list(answers.check_webhook()) == []
    settings.CHECKOUT_BASE_URL = "http://127.0.0.1:9"
    assert [finding.level for finding in answers.check_webhook()] == ["error"]


def test_a_killed_job_has_begun_and_not_succeeded(db: None) -> None:
    with pytest.raises(SystemExit), jobs.recorded("reconcile"):
        raise SystemExit(137)
    job = ScheduledJob.objects.get()
    assert job.last_started_at is not None
    assert job.last_succeeded_at is None
    with jobs.recorded("reconcile"):
        pass
    job.refresh_from_db()
    assert (job.last_succeeded_at is not None, job.last_error) == (True, "")


# -- for load balancers ----------------------------------------------------------------------------------


def test_health_tells_nothing_private(db: None, client: Client) -> None:
    answer = client.get(reverse("checkout.health"))
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer.headers["Cache-Control"]
    assert client.post(reverse("checkout.health")).status_code == 405


def test_health_is_503_without_a_database(client: Client, monkeypatch: Any, db: None) -> None:
    def down(*args: Any) -> Any:
        raise OperationalError('connection to server at "10.0.0.5" failed: password for "shop"')

    monkeypatch.setattr(connection, "cursor", down)
    answer = client.get(reverse("checkout.health"))
    assert (answer.status_code, answer.content) == (503, b"unavailable\n")


def test_the_dates_of_answers_are_read() -> None:
    from checkout.gateway.translate import http_date

    assert http_date("Mon, 23 Nov 2026 18:00:00 GMT") == datetime.datetime(2026, 11, 23, 18, tzinfo=datetime.UTC)
    assert http_date(None) is http_date("yesterday") is None


def test_a_settled_payment_and_a_webhook_are_enough_to_be_well(well: SavePlan, emulator: Emulator) -> None:
    checkout = begin(Membership.objects.create(email="paid@example.com"))
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    assert inbox.work().given_up == 0
    assert troubles() == []


# -- what was not looked at, and who hears of a warning -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"CHECKOUT_WEBHOOK_SECRET": ""}, "webhook"),
        ({"CHECKOUT_WEBHOOK_SECRET": ""}, "endpoint"),
        ({"CHECKOUT_WEBHOOK_SECRET": ""}, "events"),
        ({"CHECKOUT_BACKGROUND": "inline"}, "broker"),
        ({"DEBUG": True}, "deployment"),
        ({}, "run"),
    ],
)
def test_what_was_not_looked_at_says_so_and_never_that_it_is_well(
    well: SavePlan, settings: Any, changes: dict[str, Any], check: str
) -> None:
    PaymentRunItem.objects.all().delete()
    PaymentRun.objects.all().delete()
    for name, value in changes.items():
        setattr(settings, name, value)
    [finding] = [each for each in doctor.examine() if each.check == check]
    assert finding.level == doctor.Level.SKIPPED
    assert finding.message.startswith("Not looked at: ")


def test_without_asking_nobody_that_is_said_of_each(well: SavePlan) -> None:
    findings = {each.check: each for each in doctor.examine(ask=False)}
    assert findings.keys() == doctor.CHECKS.keys(), "what is left out keeps nothing else from being looked at"
    for name in doctor.ASKING:
        assert findings[name].level == doctor.Level.SKIPPED


def test_once_answers_took_too_long_each_check_that_wants_one_says_so(
    well: SavePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", -1)
    findings = {each.check: each for each in doctor.examine()}
    assert findings.keys() == doctor.CHECKS.keys()
    late = {name for name, each in findings.items() if "the checks before it waited" in each.message}
    assert late == doctor.ASKING
    assert {findings[name].level for name in late} == {doctor.Level.WARNING}


def test_whole_tables_are_read_for_whoever_waits_for_it(well: SavePlan, count_queries: Any) -> None:
    assert [each.level for each in doctor.examine(ask=False) if each.check == "sums"] == [doctor.Level.SKIPPED]
    assert [each.level for each in doctor.examine() if each.check == "sums"] == [doctor.Level.OK]
    quick = count_queries(lambda: doctor.examine(ask=False))
    assert count_queries(lambda: doctor.examine(ask=False, read_all=True)) == quick + 1
    Debt.objects.update(paid=F("paid") + 1)
    [found] = [each for each in doctor.examine() if each.check == "sums"]
    assert (found.level, "are not the sums of its postings" in found.message) == (doctor.Level.ERROR, True)
    assert any("are not the sums" in line for line in doctor.warnings())


#: A fault of the settings each, and the number by which it is named.
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("checkout.E030", {"STRIPE_SECRET_KEY": "rk_live_1", "CHECKOUT_STRIPE_JS_URL": "https://evil.example/stripe.js"}),
    ("checkout.W030", {"CHECKOUT_CSP": "off"}),
    ("checkout.W032", {"CHECKOUT_BASE_URL": "http://shop.example"}),
    ("checkout.W031", {"STRIPE_SECRET_KEY": "sk_live_1"}),
    ("checkout.W033", {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}}),
    ("checkout.E031", {"CHECKOUT_NOTIFY_EMAILS": ["not an address"]}),
    ("checkout.W034", {"CHECKOUT_NOTIFY_EMAILS": []}),
    ("checkout.W035", {"POST_OFFICE": {"BACKENDS": {"default": "django.core.mail.backends.dummy.EmailBackend"}}}),
    ("checkout.W036", {"EMAIL_BACKEND": "post_office.EmailBackend"}),
    ("checkout.E034", {"LOGIN_URL": "/nowhere/"}),
    ("checkout.E032", {"DEFAULT_FROM_EMAIL": "nobody"}),
]


@pytest.mark.parametrize(("number", "changes"), FAULTS, ids=[number for number, _changes in FAULTS])
def test_a_fault_of_the_settings_is_named_by_the_doctor_with_what_to_do(
    well: SavePlan, settings: Any, number: str, changes: dict[str, Any]
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    [finding] = [each for each in doctor.examine(ask=False) if number in each.message]
    assert finding.check == "deployment"
    assert finding.do


def test_a_warning_ends_the_command_where_that_is_asked_for(well: SavePlan, settings: Any, capsys: Any) -> None:
    settings.CHECKOUT_CSP = "off"
    call_command("checkout_doctor")
    with pytest.raises(CommandError, match="warnings"):
        call_command("checkout_doctor", "--fail-level", "WARNING")
    assert "WARNING deployment:" in capsys.readouterr().out


def test_a_warning_stands_in_the_digest(well: SavePlan, settings: Any) -> None:
    settings.CHECKOUT_NOTIFY = "digest"
    settings.CHECKOUT_CSP = "off"
    call_command("send_staff_digest")
    letter = Email.objects.latest("pk")
    assert letter.to == ["office@example.org"]
    assert "What the doctor says of the site:" in letter.message
    assert "checkout.W030" in letter.message

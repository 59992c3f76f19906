"""What is wrong with this installation, and what to do: for `checkout_doctor`, the staff page and monitoring.

Every check looks and changes nothing, and one that cannot be made says so instead of hiding the others. Some read our
own database only; the others ask somebody (Stripe, our own webhook address, the broker), which takes its time.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.core import checks as system_checks
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q
from django.urls import NoReverseMatch, reverse

from checkout import checks, clock, schedules, states
from checkout.conf import conf, is_live_key, webhook_secrets
from checkout.errors import CheckoutError, GatewayError
from checkout.gateway import API_VERSION, gateway
from checkout.gateway.webhooks import sign
from checkout.mail import LETTERS
from checkout.models import (
    Checkout,
    CheckoutAction,
    CheckoutState,
    ObjectPaymentPlan,
    PaymentRun,
    PaymentRunItem,
    ScheduledJob,
    StripeEvent,
)
from checkout.services import fulfillment, inbox, reconcile, staff_notices, stale

logger = logging.getLogger("checkout.doctor")

#: Stripe refuses signatures older than five minutes, and keys and leases are counted by the clock.
SKEW: Final = timedelta(seconds=30)
#: Whatever has waited this long should have been looked at by a job by now.
LONG: Final = timedelta(hours=2)
#: Seconds. Once so many were spent on waiting for answers, nobody else is asked: somebody may be waiting for the page.
PATIENCE: Final = 8


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do when it is not well."""

    check: str
    level: Level
    message: str
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


Check = Callable[[], Iterator[Finding]]


def examine(*, ask: bool = True) -> list[Finding]:
    """Every finding: jobs that do not run first, then errors, warnings, and what is well.

    Without `ask` only what our own database and settings tell, which costs nobody anything. With it Stripe is called,
    so no transaction may be open.
    """
    findings: list[Finding] = []
    waited = 0.0
    for name, check in CHECKS.items():
        if name in ASKING and not ask:
            continue
        if name in ASKING and waited > PATIENCE:
            message = f"Not looked at: the checks before it waited {waited:.0f} seconds for answers."
            findings.append(Finding(name, Level.WARNING, message, "Put right what does not answer, and examine again."))
            continue
        started = time.monotonic()
        try:
            found = list(check())
        except Exception as problem:
            logger.exception("the doctor could not check %s", name)
            found = [Finding(name, Level.ERROR, f"This could not be checked: {problem}", "See the log for the reason.")]
        waited += time.monotonic() - started if name in ASKING else 0
        findings += found or [Finding(name, Level.OK, "well")]
    order = {Level.ERROR: 0, Level.WARNING: 1, Level.OK: 2}
    return sorted(findings, key=lambda finding: (order[finding.level], finding.check != "jobs"))


def is_well(findings: list[Finding]) -> bool:
    """False when there is an error. Warnings are for a person's eyes and do not wake anybody."""
    return all(finding.level != Level.ERROR for finding in findings)


# -- jobs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobState:
    """A job that this site has to run, and how it went. Times are aware; None: never."""

    job: schedules.Job
    started_at: datetime | None = None
    succeeded_at: datetime | None = None
    #: The first line of what went wrong the last time, if it did.
    error: str = ""

    @property
    def is_silent(self) -> bool:
        """It has not succeeded when it should have."""
        return self.succeeded_at is None or self.succeeded_at < clock.now() - self.job.silent_for


def job_states() -> list[JobState]:
    """Every job that this site needs: those for plans, webhooks and the digest only where there are any."""
    known = {row.name: row for row in ScheduledJob.objects.all()}
    needed = {
        "for_plans": ObjectPaymentPlan.objects.exists(),
        "for_webhooks": bool(webhook_secrets()),
        "for_digest": conf.CHECKOUT_NOTIFY == staff_notices.DIGEST and bool(conf.CHECKOUT_NOTIFY_EMAILS),
    }
    found = []
    for job in schedules.JOBS:
        if any(getattr(job, condition) and not holds for condition, holds in needed.items()):
            continue
        row = known.get(job.name)
        if row is None:
            found.append(JobState(job))
        else:
            error = row.last_error.splitlines()[0] if row.last_error else ""
            found.append(JobState(job, row.last_started_at, row.last_succeeded_at, error))
    return found


def _jobs() -> Iterator[Finding]:
    now = clock.now()
    for state in job_states():
        job, last = state.job, state.succeeded_at
        do = f"Is cron or Celery's beat running? Run `{job.name}` by hand and read docs/operations.md."
        failed = f" The last time it failed: {state.error}" if state.error else ""
        if last is None:
            yield Finding("jobs", Level.ERROR, f"{job.name} HAS NEVER SUCCEEDED, so {job.what_is_lost}.{failed}", do)
        elif state.is_silent:
            message = (
                f"{job.name} HAS NOT RUN SINCE {_moment(last)} ({_age(now - last)}), so {job.what_is_lost}.{failed}"
            )
            yield Finding("jobs", Level.ERROR, message, do)
        elif failed:
            yield Finding("jobs", Level.WARNING, f"{job.name} last succeeded {_moment(last)}.{failed}", do)


# -- settings, Stripe, webhooks --------------------------------------------------------------------------


def _settings() -> Iterator[Finding]:
    for check in (
        checks.check_keys,
        checks.check_emulator,
        checks.check_currency,
        checks.check_can_login_and_pay,
        checks.check_webhook_secret,
        checks.check_background,
        checks.check_numbers,
    ):
        for message in check():
            level = Level.ERROR if message.level >= system_checks.ERROR else Level.WARNING
            yield Finding("settings", level, f"{message.msg} ({message.id})", message.hint or "")


def _stripe() -> Iterator[Finding]:
    before = clock.now()
    try:
        probe = gateway().probe()
    except GatewayError as problem:
        yield Finding("stripe", Level.ERROR, f"Stripe does not answer: {problem}", "Check the key and the network.")
        return
    if probe.api_version and probe.api_version != API_VERSION:
        yield Finding(
            "stripe",
            Level.ERROR,
            f"Stripe answered in version {probe.api_version}, this app speaks {API_VERSION}.",
            "Install the version of `stripe` that pyproject.toml names.",
        )
    if probe.clock is not None:
        # The header counts whole seconds, and the answer took a moment.
        now = clock.now()
        skew = max(before - probe.clock - timedelta(seconds=1), probe.clock - now, timedelta())
        if skew > SKEW:
            yield Finding(
                "stripe",
                Level.ERROR,
                f"This machine's clock and Stripe's differ by {int(skew.total_seconds())} seconds.",
                "Let the machine keep its time by NTP; webhooks are refused when the clocks differ by five minutes.",
            )


def _endpoint() -> Iterator[Finding]:
    """What Stripe knows about our address."""
    if not conf.CHECKOUT_BASE_URL or not webhook_secrets():
        return
    url = conf.CHECKOUT_BASE_URL.rstrip("/") + _path("checkout.webhook")
    try:
        endpoints = gateway().webhook_endpoints()
    except GatewayError as problem:
        yield Finding(
            "endpoint",
            Level.WARNING,
            f"Stripe does not tell us its webhook endpoints: {problem}",
            "Let the restricted key read webhook endpoints, or look at the dashboard.",
        )
        return
    ours = next((endpoint for endpoint in endpoints if endpoint.url == url), None)
    where = "Stripe dashboard > Developers > Webhooks."
    if ours is None:
        yield Finding("endpoint", Level.ERROR, f"Stripe has no webhook endpoint {url}", f"Add it: {where}")
        return
    if not ours.enabled:
        yield Finding("endpoint", Level.ERROR, f"The webhook endpoint {url} is disabled.", f"Enable it: {where}")
    missing = sorted(set(inbox.HANDLERS) - ours.events) if "*" not in ours.events else []
    if missing:
        message = f"The webhook endpoint is not subscribed to {', '.join(missing)}."
        yield Finding("endpoint", Level.WARNING, message, f"Subscribe it to them: {where}")
    if ours.api_version and ours.api_version != API_VERSION:
        message = f"The webhook endpoint sends version {ours.api_version}, this app reads {API_VERSION}."
        yield Finding("endpoint", Level.WARNING, message, f"Make a new endpoint with that version: {where}")


def _webhook() -> Iterator[Finding]:
    """Send our own address a signed event, as Stripe would. It is stored once and changes nothing."""
    secrets = webhook_secrets()
    if not conf.CHECKOUT_BASE_URL or not secrets:
        return
    url = conf.CHECKOUT_BASE_URL.rstrip("/") + _path("checkout.webhook")
    event = {
        "id": "evt_checkout_doctor",
        "object": "event",
        "type": "checkout.doctor",
        "api_version": API_VERSION,
        "created": int(time.time()),
        "livemode": is_live_key(conf.STRIPE_SECRET_KEY),
        "data": {"object": {"id": "", "object": "doctor"}},
    }
    body = json.dumps(event).encode()
    headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body, secrets[0])}
    try:
        status = _post(url, body, headers)
    except OSError as problem:
        do = "Look at CHECKOUT_BASE_URL, the web server and the firewall: Stripe has to reach this address."
        if isinstance(problem, TimeoutError):
            do += " A site with a single worker cannot answer itself while it shows a page: run `checkout_doctor`."
        yield Finding("webhook", Level.ERROR, f"{url} cannot be reached from here: {problem}", do)
        return
    if status != 200:
        do = (
            "A login, a redirect or a proxy may stand in front of it; the log (checkout.webhook) says what was refused."
        )
        yield Finding("webhook", Level.ERROR, f"{url} answered {status} to a rightly signed event.", do)


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status; a redirect counts as what it is, since Stripe does not follow one."""

    class _Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    if not url.startswith(("https://", "http://")):
        raise OSError("CHECKOUT_BASE_URL is no web address")
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the scheme was looked at
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        return problem.code


def _events() -> Iterator[Finding]:
    if not webhook_secrets():
        return
    now = clock.now()
    given_up = inbox.given_up().count()
    if given_up:
        do = "Each holds its error (Staff > Events). Put the cause right and try them again."
        yield Finding("events", Level.ERROR, f"{given_up} webhook events failed to the end.", do)
    waiting = StripeEvent.objects.filter(handled_at=None, next_attempt_at__isnull=False)
    oldest = waiting.order_by("pk").first()
    if oldest is not None and oldest.received_at < now - LONG:
        message = f"The oldest webhook event not worked on came {_age(now - oldest.received_at)} ago: {oldest}."
        do = f"It says: {oldest.error.splitlines()[0]}" if oldest.error else "Does `process_events` run?"
        yield Finding("events", Level.ERROR, message, do)
    newest = StripeEvent.objects.exclude(event_type="checkout.doctor").order_by("-pk").first()
    paid = Checkout.objects.filter(Q(state=states.SUCCESS), settled_at__lt=now - LONG).exclude(payment_intent_id="")
    last_paid = paid.order_by("-settled_at").values_list("settled_at", flat=True).first()
    if last_paid is not None and (newest is None or newest.received_at < last_paid - LONG):
        since = f"since {_moment(newest.received_at)}" if newest else "ever"
        do = "Look at the endpoint in Stripe's dashboard: it lists every delivery and our answer."
        yield Finding("events", Level.ERROR, f"No webhook came {since}, although payments were made.", do)
    if newest is not None and newest.api_version and newest.api_version != API_VERSION:
        message = f"Webhooks come in version {newest.api_version}, this app reads {API_VERSION}."
        yield Finding("events", Level.WARNING, message, "Make a new endpoint at Stripe with that version.")


# -- what waits, and the rest ----------------------------------------------------------------------------


def _attempts() -> Iterator[Finding]:
    now = clock.now()
    asked = reconcile.overdue().filter(lease_until__lt=now - LONG).first()
    if asked is not None:
        age = _age(now - (asked.claimed_at or asked.created_at))
        message = f"Checkout {asked.pk} was asked for {age} ago, and what became of it is unknown."
        yield Finding("attempts", Level.ERROR, message, "Run `reconcile` and read what it logs.")
    left = stale.stale_attempts().filter(created_at__lt=now - timedelta(minutes=conf.CHECKOUT_STALE_MINUTES) - LONG)
    oldest = left.first()
    if oldest is not None:
        message = f"Checkout {oldest.pk} was begun {_age(now - oldest.created_at)} ago and is still open."
        yield Finding("attempts", Level.ERROR, message, "Run `stripe_intent_fulfillment` and read what it logs.")
    taken = Checkout.objects.open().filter(error_code=fulfillment.NOT_WRITTEN_DOWN).order_by("pk").first()
    if taken is not None:
        message = f"Stripe took the money of checkout {taken.pk}, and it cannot be written down: {taken.failure}"
        yield Finding(
            "attempts", Level.ERROR, message, "Put the cause right; then `stripe_intent_fulfillment` settles it."
        )
    if not is_live_key(conf.STRIPE_SECRET_KEY):
        live = Checkout.objects.open().filter(livemode=True).order_by("pk").first()
        if live is not None:
            message = f"Checkout {live.pk} was begun with a live key and is open, and STRIPE_SECRET_KEY is a test key."
            do = "Set the live key: until then what becomes of real money is not seen. Is this a copy of the live data?"
            yield Finding("attempts", Level.ERROR, message, do)
    deposit = stale.waiting_deposits().filter(object_payment_plan__created_at__lt=now - LONG).first()
    if deposit is not None:
        message = f"The deposit of plan {deposit.object_payment_plan_id} is due and was never asked for."
        yield Finding(
            "attempts", Level.WARNING, message, "Charge it on the plan's page, or run `stripe_intent_fulfillment`."
        )


def _run() -> Iterator[Finding]:
    run = PaymentRun.objects.first()
    if run is None:
        return
    now = clock.now()
    if run.finished_at is None and run.started_at < now - LONG:
        message = f"Payment run {run.pk} of {_moment(run.started_at)} has not finished."
        yield Finding("run", Level.ERROR, message, "Run `reconcile`, then `process_payments`: nothing is taken twice.")
    if run.note:
        yield Finding("run", Level.WARNING, f"Payment run {run.pk} stopped early: {run.note}", "Run it again.")
    errors = PaymentRunItem.objects.filter(payment_run=run, outcome=PaymentRunItem.Outcome.ERROR).count()
    if errors:
        message = f"Payment run {run.pk} could not ask for {errors} instalments."
        yield Finding("run", Level.WARNING, message, "Each says why in the run's list.")


def _mail() -> Iterator[Finding]:
    from post_office.models import STATUS, Email, EmailTemplate

    there = EmailTemplate.objects.filter(default_template=None).values_list("name", flat=True)
    if missing := sorted(set(LETTERS) - set(there)):
        message = f"Mail templates are not in the database: {', '.join(missing)}. These mails are not sent."
        yield Finding("mail", Level.ERROR, message, "Run `init_app_checkout`; it keeps what you have reworded.")
    old = Email.objects.filter(status=STATUS.queued, created__lt=clock.now() - LONG, scheduled_time=None)
    if waiting := old.count():
        do = "Run `send_queued_mail` every few minutes, by cron or by post_office's own task."
        yield Finding("mail", Level.ERROR, f"{waiting} mails have waited for more than two hours.", do)
    if failed := Email.objects.filter(status=STATUS.failed, created__gte=clock.now() - timedelta(days=7)).count():
        do = "The log of post_office (admin > Post Office > Logs) says why; correct it and queue them again."
        yield Finding("mail", Level.WARNING, f"{failed} mails of the last week could not be sent.", do)


def _database() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _backwards in plan[:5])
        yield Finding("database", Level.ERROR, f"{len(plan)} migrations are not applied: {names}.", "Run `migrate`.")
        return
    lost = {*states.STATES} - {*CheckoutState.objects.values_list("slug", flat=True)}
    if lost or not CheckoutAction.objects.exists():
        do = "Run `migrate`, which puts them back."
        yield Finding("database", Level.ERROR, "Rows of the lookup tables are missing.", do)


def _broker() -> Iterator[Finding]:
    """With Celery, a broker that does not answer means that nothing is worked on in the background."""
    if conf.CHECKOUT_BACKGROUND != "celery":
        return
    from celery import current_app
    from kombu.exceptions import OperationalError

    try:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=3)
    except (OSError, OperationalError) as problem:
        do = "Start the broker. Meanwhile `process_events` by cron works on webhooks."
        yield Finding("broker", Level.ERROR, f"Celery's broker does not answer: {problem}", do)


#: By the name that each finding carries.
CHECKS: Final[dict[str, Check]] = {
    "jobs": _jobs,
    "database": _database,
    "settings": _settings,
    "events": _events,
    "attempts": _attempts,
    "run": _run,
    "mail": _mail,
    "broker": _broker,
    "webhook": _webhook,
    "stripe": _stripe,
    "endpoint": _endpoint,
}
#: Those that wait for somebody's answer.
ASKING: Final = frozenset({"broker", "webhook", "stripe", "endpoint"})


def _path(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch as error:
        raise CheckoutError(
            "checkout.urls is not included in the site's urls, so there is no webhook address."
        ) from error


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"


def _age(value: timedelta) -> str:
    hours = int(value.total_seconds() // 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours" if hours else "less than an hour"

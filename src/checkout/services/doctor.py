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
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext
from post_office.models import STATUS, Email, EmailTemplate

from checkout import checks, clock, states, timetable
from checkout.conf import conf, is_live_key, webhook_secrets
from checkout.errors import CheckoutError, GatewayError
from checkout.gateway import API_VERSION, gateway
from checkout.gateway.webhooks import sign
from checkout.mail import LETTERS
from checkout.models import (
    Checkout,
    CheckoutAction,
    CheckoutState,
    LookBack,
    ObjectPaymentPlan,
    PaymentRun,
    PaymentRunItem,
    Problem,
    ScheduledJob,
    StripeEvent,
)
from checkout.services import debts, inbox, plans, reconcile, settling, staff_notices, stale

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
    """One line: what was checked, the result, and what to do when there is a problem."""

    check: str
    level: Level
    message: str
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


Check = Callable[[], Iterator[Finding]]


def examine(*, ask: bool = True) -> list[Finding]:
    """Every finding: jobs that do not run first, then errors, warnings, and checks without a problem.

    Without `ask` only what our own database and settings tell, which costs nobody anything. With it Stripe is called,
    so no transaction may be open.
    """
    findings: list[Finding] = []
    waited = 0.0
    for name, check in CHECKS.items():
        if name in ASKING and not ask:
            continue
        if name in ASKING and waited > PATIENCE:
            message = _("Not looked at: the checks before it waited %(seconds)d seconds for answers.")
            message %= {"seconds": round(waited)}
            do = _("Fix what does not answer, and examine again.")
            findings.append(Finding(name, Level.WARNING, message, do))
            continue
        started = time.monotonic()
        try:
            found = list(check())
        except Exception as problem:
            logger.exception("the doctor could not check %s", name)
            message = _("This could not be checked: %(problem)s") % {"problem": problem}
            found = [Finding(name, Level.ERROR, message, _("See the log for the reason."))]
        waited += time.monotonic() - started if name in ASKING else 0
        findings += found or [Finding(name, Level.OK, _("no problems found"))]
    order = {Level.ERROR: 0, Level.WARNING: 1, Level.OK: 2}
    return sorted(findings, key=lambda finding: (order[finding.level], finding.check != "jobs"))


def is_healthy(findings: list[Finding]) -> bool:
    """False when there is an error. Warnings are for a person's eyes and do not wake anybody."""
    return all(finding.level != Level.ERROR for finding in findings)


# -- jobs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobState:
    """A job that this site has to run, and how it went. Times are aware; None: never."""

    job: timetable.Job
    started_at: datetime | None = None
    succeeded_at: datetime | None = None
    #: The first line of what went wrong the last time, if it did.
    error: str = ""

    @property
    def is_silent(self) -> bool:
        """It has not succeeded when it should have."""
        if self.job.silent_for is None:
            return False
        return self.succeeded_at is None or self.succeeded_at < clock.now() - self.job.silent_for


def job_states() -> list[JobState]:
    """Every watched job that this site needs: those for plans, webhooks and the digest only where there are any."""
    known = {row.name: row for row in ScheduledJob.objects.all()}
    needed = {
        "for_plans": ObjectPaymentPlan.objects.exists(),
        "for_webhooks": bool(webhook_secrets()),
        "for_digest": conf.CHECKOUT_NOTIFY == staff_notices.DIGEST and bool(conf.CHECKOUT_NOTIFY_EMAILS),
    }
    found = []
    for job in timetable.JOBS:
        if job.silent_for is None or any(getattr(job, condition) and not holds for condition, holds in needed.items()):
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
        do = _("Is cron or Celery's beat running? Run `%(job)s` by hand and read docs/operations.md.")
        do %= {"job": job.name}
        failed = _("The last time it failed: %(error)s") % {"error": state.error} if state.error else ""
        if last is None:
            level, message = Level.ERROR, _("%(job)s HAS NEVER SUCCEEDED, so %(lost)s.")
        elif state.is_silent:
            level, message = Level.ERROR, _("%(job)s HAS NOT RUN SINCE %(when)s (%(age)s), so %(lost)s.")
        elif failed:
            level, message = Level.WARNING, _("%(job)s last succeeded %(when)s.")
        else:
            continue
        message %= {
            "job": job.name,
            "lost": _(job.what_is_lost),
            "when": _moment(last) if last else "",
            "age": _age(now - last) if last else "",
        }
        yield Finding("jobs", level, f"{message} {failed}".rstrip(), do)


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
        checks.check_databases,
    ):
        for message in check():
            level = Level.ERROR if message.level >= system_checks.ERROR else Level.WARNING
            yield Finding("settings", level, f"{message.msg} ({message.id})", message.hint or "")


def _stripe() -> Iterator[Finding]:
    before = clock.now()
    try:
        probe = gateway().probe()
    except GatewayError as problem:
        yield Finding(
            "stripe",
            Level.ERROR,
            _("Stripe does not answer: %(problem)s") % {"problem": problem},
            _("Check the key and the network."),
        )
        return
    if probe.api_version and probe.api_version != API_VERSION:
        yield Finding(
            "stripe",
            Level.ERROR,
            _("Stripe answered in version %(theirs)s, this app speaks %(ours)s.")
            % {"theirs": probe.api_version, "ours": API_VERSION},
            _("Install the version of `stripe` that pyproject.toml names."),
        )
    if probe.clock is not None:
        # The header counts whole seconds, and the answer took a moment.
        now = clock.now()
        skew = max(before - probe.clock - timedelta(seconds=1), probe.clock - now, timedelta())
        if skew > SKEW:
            yield Finding(
                "stripe",
                Level.ERROR,
                _("This machine's clock and Stripe's differ by %(seconds)d seconds.")
                % {"seconds": int(skew.total_seconds())},
                _("Let the machine keep its time by NTP; webhooks are refused when the clocks differ by five minutes."),
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
            _("Stripe does not tell us its webhook endpoints: %(problem)s") % {"problem": problem},
            _("Let the restricted key read webhook endpoints, or look at the dashboard."),
        )
        return
    ours = next((endpoint for endpoint in endpoints if endpoint.url == url), None)
    if ours is None:
        message = _("Stripe has no webhook endpoint %(url)s") % {"url": url}
        yield Finding("endpoint", Level.ERROR, message, _("Add it: Stripe dashboard > Developers > Webhooks."))
        return
    if not ours.enabled:
        message = _("The webhook endpoint %(url)s is disabled.") % {"url": url}
        yield Finding("endpoint", Level.ERROR, message, _("Enable it: Stripe dashboard > Developers > Webhooks."))
    missing = sorted(set(inbox.HANDLERS) - ours.events) if "*" not in ours.events else []
    if missing:
        message = _("The webhook endpoint is not subscribed to %(events)s.") % {"events": ", ".join(missing)}
        do = _("Subscribe it to them: Stripe dashboard > Developers > Webhooks.")
        yield Finding("endpoint", Level.WARNING, message, do)
    if ours.api_version and ours.api_version != API_VERSION:
        message = _("The webhook endpoint sends version %(theirs)s, this app reads %(ours)s.")
        message %= {"theirs": ours.api_version, "ours": API_VERSION}
        do = _("Make a new endpoint with that version: Stripe dashboard > Developers > Webhooks.")
        yield Finding("endpoint", Level.WARNING, message, do)


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
        do = _("Look at CHECKOUT_BASE_URL, the web server and the firewall: Stripe has to reach this address.")
        if isinstance(problem, TimeoutError):
            alone = _("A site with a single worker cannot answer itself while it shows a page: run `checkout_doctor`.")
            do = f"{do} {alone}"
        message = _("%(url)s cannot be reached from here: %(problem)s") % {"url": url, "problem": problem}
        yield Finding("webhook", Level.ERROR, message, do)
        return
    if status != 200:
        do = _(
            "A login, a redirect or a proxy may stand in front of it; the log (checkout.webhook) says what was refused."
        )
        message = _("%(url)s answered %(status)d to a correctly signed event.") % {"url": url, "status": status}
        yield Finding("webhook", Level.ERROR, message, do)


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status; a redirect counts as what it is, since Stripe does not follow one."""

    class _Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    if not url.startswith(("https://", "http://")):
        raise OSError("CHECKOUT_BASE_URL is not a web address")
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
        do = _("Each holds its error (Staff > Events). Fix the cause and try them again.")
        message = ngettext(
            "%(number)d webhook event failed to the end.", "%(number)d webhook events failed to the end.", given_up
        ) % {"number": given_up}
        yield Finding("events", Level.ERROR, message, do)
    waiting = StripeEvent.objects.filter(handled_at=None, next_attempt_at__isnull=False)
    oldest = waiting.order_by("pk").first()
    if oldest is not None and oldest.received_at < now - LONG:
        message = _("The oldest unprocessed webhook event came %(age)s ago: %(event)s.")
        message %= {"age": _age(now - oldest.received_at), "event": oldest}
        do = _("Does `process_events` run?")
        if oldest.error:
            do = _("It says: %(error)s") % {"error": oldest.error.splitlines()[0]}
        yield Finding("events", Level.ERROR, message, do)
    newest = StripeEvent.objects.exclude(event_type="checkout.doctor").order_by("-pk").first()
    paid = Checkout.objects.filter(Q(state=states.SUCCESS), settled_at__lt=now - LONG).exclude(payment_intent_id="")
    last_paid = paid.order_by("-settled_at").values_list("settled_at", flat=True).first()
    if last_paid is not None and (newest is None or newest.received_at < last_paid - LONG):
        message = _("No webhook ever came, although payments were made.")
        if newest is not None:
            message = _("No webhook came since %(when)s, although payments were made.")
            message %= {"when": _moment(newest.received_at)}
        do = _("Look at the endpoint in Stripe's dashboard: it lists every delivery and our answer.")
        yield Finding("events", Level.ERROR, message, do)
    if newest is not None and newest.api_version and newest.api_version != API_VERSION:
        message = _("Webhooks come in version %(theirs)s, this app reads %(ours)s.")
        message %= {"theirs": newest.api_version, "ours": API_VERSION}
        yield Finding("events", Level.WARNING, message, _("Make a new endpoint at Stripe with that version."))


# -- what waits, and the rest ----------------------------------------------------------------------------


def _attempts() -> Iterator[Finding]:
    now = clock.now()
    asked = reconcile.overdue().filter(lease_until__lt=now - LONG).first()
    if asked is not None:
        age = _age(now - (asked.claimed_at or asked.created_at))
        message = _("Checkout %(number)s was asked for %(age)s ago, and what became of it is unknown.")
        message %= {"number": asked.pk, "age": age}
        yield Finding("attempts", Level.ERROR, message, _("Run `reconcile` and read what it logs."))
    left = stale.stale_attempts().filter(seen_at__lt=now - timedelta(minutes=conf.CHECKOUT_STALE_MINUTES) - LONG)
    oldest = left.first()
    if oldest is not None:
        message = _("Checkout %(number)s was begun %(age)s ago and is still open.")
        message %= {"number": oldest.pk, "age": _age(now - oldest.created_at)}
        yield Finding("attempts", Level.ERROR, message, _("Run `stripe_intent_fulfillment` and read what it logs."))
    taken = Checkout.objects.open().filter(error_code=settling.NOT_WRITTEN_DOWN).order_by("pk").first()
    if taken is not None:
        message = _("Stripe took the money of checkout %(number)s, and it cannot be written down: %(why)s")
        message %= {"number": taken.pk, "why": taken.failure}
        do = _("Fix the cause; then `stripe_intent_fulfillment` settles it.")
        yield Finding("attempts", Level.ERROR, message, do)
    if not is_live_key(conf.STRIPE_SECRET_KEY):
        live = Checkout.objects.open().filter(livemode=True).order_by("pk").first()
        if live is not None:
            message = _(
                "Checkout %(number)s was begun with a live key and is open, and STRIPE_SECRET_KEY is a test key."
            )
            message %= {"number": live.pk}
            do = _(
                "Set the live key: until then what becomes of real money is not seen. Is this a copy of the live data?"
            )
            yield Finding("attempts", Level.ERROR, message, do)
    deposit = plans.waiting_deposits().filter(object_payment_plan__created_at__lt=now - LONG).first()
    if deposit is not None:
        message = _("The deposit of plan %(number)s is due and was never asked for.")
        message %= {"number": deposit.object_payment_plan_id}
        do = _("Charge it on the plan's page, or run `stripe_intent_fulfillment`.")
        yield Finding("attempts", Level.WARNING, message, do)


def _books() -> Iterator[Finding]:
    """Do the counters of debts equal the sums behind them, and has Stripe's side been compared?"""
    waiting = Problem.objects.filter(closed_at=None).order_by("pk").first()
    if waiting is not None:
        message = _("There are open problems, the oldest for %(age)s: %(problem)s")
        message %= {"age": _age(clock.now() - waiting.opened_at), "problem": waiting}
        yield Finding("books", Level.WARNING, message, _("See the page Problems of the office."))
    wrong = debts.wrong_counters()[:1]
    for debt in wrong:
        message = _("The counters of debt %(debt)s are not the sums of its postings.") % {"debt": debt.uuid}
        yield Finding("books", Level.ERROR, message, _("Somebody has changed rows by SQL. Tell a developer."))
    for what, message, do in (
        (
            LookBack.What.PAYMENTS,
            _("Since %(since)s nothing was compared with Stripe's list of payments."),
            _("Run `process_payments` or `reconcile` and read what they log."),
        ),
        (
            LookBack.What.MONEY_BACK,
            _("Since %(since)s nothing was compared with Stripe's lists of refunds and disputes."),
            _("Run `settle_refunds` and read what it logs."),
        ),
    ):
        looked = LookBack.objects.filter(what=what).order_by("-until").first()
        if looked is not None and looked.until < clock.now() - timedelta(days=2):
            yield Finding("books", Level.WARNING, message % {"since": _moment(looked.until)}, do)


def _run() -> Iterator[Finding]:
    run = PaymentRun.objects.first()
    if run is None:
        return
    now = clock.now()
    if run.finished_at is None and run.started_at < now - LONG:
        message = _("Payment run %(number)s of %(when)s has not finished.")
        message %= {"number": run.pk, "when": _moment(run.started_at)}
        do = _("Run `reconcile`, then `process_payments`: nothing is taken twice.")
        yield Finding("run", Level.ERROR, message, do)
    if run.note:
        message = _("Payment run %(number)s stopped early: %(why)s") % {"number": run.pk, "why": run.note}
        yield Finding("run", Level.WARNING, message, _("Run it again."))
    errors = PaymentRunItem.objects.filter(payment_run=run, outcome=PaymentRunItem.Outcome.ERROR).count()
    if errors:
        message = ngettext(
            "Payment run %(number)s could not ask for %(errors)d instalment.",
            "Payment run %(number)s could not ask for %(errors)d instalments.",
            errors,
        ) % {"number": run.pk, "errors": errors}
        yield Finding("run", Level.WARNING, message, _("Each says why in the run's list."))


def _mail() -> Iterator[Finding]:
    there = EmailTemplate.objects.filter(default_template=None).values_list("name", flat=True)
    if missing := sorted(set(LETTERS) - set(there)):
        message = _("Mail templates are not in the database: %(names)s. These mails are not sent.")
        message %= {"names": ", ".join(missing)}
        yield Finding("mail", Level.ERROR, message, _("Run `init_app_checkout`; it keeps what you have reworded."))
    old = Email.objects.filter(status=STATUS.queued, created__lt=clock.now() - LONG, scheduled_time=None)
    if waiting := old.count():
        do = _("Does `send_queued_mail` run?")
        message = ngettext(
            "%(number)d mail has waited for more than two hours.",
            "%(number)d mails have waited for more than two hours.",
            waiting,
        ) % {"number": waiting}
        yield Finding("mail", Level.ERROR, message, do)
    if failed := Email.objects.filter(status=STATUS.failed, created__gte=clock.now() - timedelta(days=7)).count():
        do = _("The log of post_office (admin > Post Office > Logs) says why; fix the cause and queue them again.")
        message = ngettext(
            "%(number)d mail of the last week could not be sent.",
            "%(number)d mails of the last week could not be sent.",
            failed,
        ) % {"number": failed}
        yield Finding("mail", Level.WARNING, message, do)


def _database() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _back in plan[:5])
        message = ngettext(
            "%(number)d migration is not applied: %(names)s.",
            "%(number)d migrations are not applied: %(names)s.",
            len(plan),
        ) % {"number": len(plan), "names": names}
        yield Finding("database", Level.ERROR, message, _("Run `migrate`."))
        return
    lost = {*states.STATES} - {*CheckoutState.objects.values_list("slug", flat=True)}
    if lost or not CheckoutAction.objects.exists():
        do = _("Run `migrate`, which puts them back.")
        yield Finding("database", Level.ERROR, _("Rows of the lookup tables are missing."), do)
    for wrong in checks.check_isolation(databases=[DEFAULT_DB_ALIAS]):
        yield Finding("database", Level.ERROR, f"{wrong.msg} ({wrong.id})", wrong.hint or "")


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
        do = _("Start the broker. Meanwhile `process_events` by cron works on webhooks.")
        message = _("Celery's broker does not answer: %(problem)s") % {"problem": problem}
        yield Finding("broker", Level.ERROR, message, do)


#: By the name that each finding carries; pages translate it.
CHECKS: Final[dict[str, Check]] = {
    gettext_noop("jobs"): _jobs,
    gettext_noop("database"): _database,
    gettext_noop("settings"): _settings,
    gettext_noop("events"): _events,
    gettext_noop("attempts"): _attempts,
    gettext_noop("books"): _books,
    gettext_noop("run"): _run,
    gettext_noop("mail"): _mail,
    gettext_noop("broker"): _broker,
    gettext_noop("webhook"): _webhook,
    gettext_noop("stripe"): _stripe,
    gettext_noop("endpoint"): _endpoint,
}
#: Those that wait for somebody's answer.
ASKING: Final = frozenset({"broker", "webhook", "stripe", "endpoint"})


def _path(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch as error:
        raise CheckoutError(
            _("checkout.urls is not included in the site's urls, so there is no webhook address.")
        ) from error


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"


def _age(value: timedelta) -> str:
    hours = int(value.total_seconds() // 3600)
    if hours >= 48:
        days = hours // 24
        return ngettext("%(number)d day", "%(number)d days", days) % {"number": days}
    if hours:
        return ngettext("%(number)d hour", "%(number)d hours", hours) % {"number": hours}
    return _("less than an hour")

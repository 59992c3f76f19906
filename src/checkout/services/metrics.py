"""The state of the site in numbers, read from our own database when they are asked for.

Not counters of this process: several processes and machines serve one site, and a figure that each keeps for itself
would be a different one at each scrape.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Count, Q

from checkout import clock, states
from checkout.errors import GatewayError
from checkout.gateway import gateway
from checkout.models import Checkout, ObjectPaymentPlanInstalment, Problem, StripeEvent
from checkout.services import doctor, inbox, reconcile

#: Attempts are counted over this time.
RECENTLY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure: Prometheus' name, what it says, and its labels. Times are in seconds."""

    name: str
    help: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}} {self.value:g}" if labels else f"{self.name} {self.value:g}"


def gauges(*, ask: bool = False) -> list[Gauge]:
    """All figures; with `ask` how long Stripe took to answer as well, so no transaction may be open then."""
    return [*_debts(), *_problems(), *_jobs(), *_events(), *_attempts(), *_doctor(), *(_stripe() if ask else [])]


def as_text(found: list[Gauge]) -> str:
    """Prometheus' text format, version 0.0.4."""
    lines: list[str] = []
    told: set[str] = set()
    for gauge in found:
        if gauge.name not in told:
            told.add(gauge.name)
            lines += [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} gauge"]
        lines.append(gauge.line)
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _debts() -> Iterator[Gauge]:
    late = ObjectPaymentPlanInstalment.objects.filter(due__lt=clock.today(), object_payment_plan__deleted=False)
    counted = dict(late.exclude(Q(state=states.SUCCESS)).values_list("state").annotate(Count("pk")).order_by("state"))
    for state in (states.PENDING, states.REQUEST, states.PAY_ON_SESSION, states.FAIL):
        text = "Instalments of live plans that are past their day and not paid, by state."
        yield Gauge("checkout_instalments_late", text, counted.get(state, 0), {"state": state})


def _problems() -> Iterator[Gauge]:
    counted = dict(Problem.objects.filter(closed_at=None).values_list("kind").annotate(Count("pk")).order_by("kind"))
    for kind in Problem.Kind.values:
        yield Gauge("checkout_problems_open", "Open problems, by kind.", counted.get(kind, 0), {"kind": kind})


def _jobs() -> Iterator[Gauge]:
    now = clock.now()
    for state in doctor.job_states():
        labels = {"job": state.job.name}
        text = "1 when the job has not succeeded when it should have."
        yield Gauge("checkout_job_silent", text, state.is_silent, labels)
        if state.succeeded_at is not None:
            age = (now - state.succeeded_at).total_seconds()
            yield Gauge("checkout_job_age_seconds", "Since the job last succeeded.", age, labels)


def _events() -> Iterator[Gauge]:
    waiting = StripeEvent.objects.filter(handled_at=None, next_attempt_at__isnull=False)
    yield Gauge("checkout_events_waiting", "Webhook events that are still to be worked on.", waiting.count())
    yield Gauge("checkout_events_given_up", "Webhook events that failed to the end.", inbox.given_up().count())
    oldest = waiting.order_by("received_at").values_list("received_at", flat=True).first()
    age = (clock.now() - oldest).total_seconds() if oldest is not None else 0
    yield Gauge("checkout_events_oldest_seconds", "Age of the oldest event that waits; 0 when none does.", age)


def _attempts() -> Iterator[Gauge]:
    text = "Charges that were asked for, and whose answer is overdue."
    yield Gauge("checkout_attempts_unanswered", text, reconcile.overdue().count())
    recent = Checkout.objects.taking_money().filter(created_at__gte=clock.now() - RECENTLY, superseded=False)
    counted = dict(recent.values_list("state").annotate(Count("pk")).order_by("state"))
    for state in states.STATES:
        text = (
            "Attempts to take money of the last 24 hours, by state: success is taken, fail declined, request unknown."
        )
        yield Gauge("checkout_attempts_recent", text, counted.get(state, 0), {"state": state})


def _doctor() -> Iterator[Gauge]:
    found = doctor.examine(ask=False)
    for level in doctor.Level:
        count = sum(finding.level == level for finding in found)
        yield Gauge("checkout_doctor_findings", "What the doctor finds, by level.", count, {"level": str(level)})


def _stripe() -> Iterator[Gauge]:
    started = time.monotonic()
    try:
        gateway().probe()
    except GatewayError:
        yield Gauge("checkout_stripe_up", "1 when Stripe answers.", 0)
        return
    yield Gauge("checkout_stripe_up", "1 when Stripe answers.", 1)
    yield Gauge("checkout_stripe_seconds", "How long Stripe took to answer.", time.monotonic() - started)

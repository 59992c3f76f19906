"""Spans for runs, attempts and events, with OpenTelemetry's own exporter: nothing personal in them, no need of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from checkout import tracing
from checkout.models import Checkout, ObjectPaymentPlanInstalment, StripeEvent
from checkout.services import charging, fulfillment, inbox, runs
from stripe_emulator import Emulator
from tests import kept
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def made_anew() -> Iterator[None]:
    """Spans are written when something happens, not when its rows are put there again."""
    with kept.anew():
        yield


@pytest.fixture
def exporter(monkeypatch: Any) -> Iterator[InMemorySpanExporter]:
    """What a site's own tracer provider would be sent."""
    written = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(written))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield written
    provider.shutdown()


def spans(exporter: InMemorySpanExporter, name: str) -> list[Any]:
    return [each for each in exporter.get_finished_spans() if each.name == name]


def test_a_run_has_a_span_and_each_of_its_attempts_one_below_it(
    exporter: InMemorySpanExporter, save_plan: SavePlan, emulator: Emulator
) -> None:
    good, bad = (save_plan(email=f"{each}@example.com", name="Jo Secret") for each in ("a", "b"))
    emulator.bank.decline_next(bad.card.payment_method_id, "insufficient_funds")
    exporter.clear()
    for plan in (good, bad):
        make_due(plan)
    run = runs.process_payments(workers=2)
    [of_run] = spans(exporter, "checkout.run")
    assert dict(of_run.attributes) == {
        "checkout.run": run.pk, "checkout.due": 2, "checkout.claimed": 2, "checkout.stopped": False,
    }  # fmt: skip
    attempts = spans(exporter, "checkout.attempt")
    assert {each.parent.span_id for each in attempts} == {of_run.context.span_id}
    tried = {each.attributes["checkout.checkout"]: each.attributes["checkout.answer"] for each in attempts}
    newest = {plan: Checkout.objects.for_content_object(plan.payments.get(count=2)).get().pk for plan in (good, bad)}
    assert tried == {newest[good]: "succeeded", newest[bad]: "requires_payment_method"}


def test_an_attempt_on_a_page_and_one_by_staff_have_spans_with_their_state(
    exporter: InMemorySpanExporter, emulator: Emulator, save_plan: SavePlan
) -> None:
    checkout = begin(Membership.objects.create(email="page@example.com"))
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    [span] = spans(exporter, "checkout.attempt")
    assert dict(span.attributes) == {"checkout.checkout": checkout.pk, "checkout.state": "success"}
    plan = save_plan()
    exporter.clear()
    charged = charging.charge(plan.payments.get(count=2))
    [span] = spans(exporter, "checkout.attempt")
    assert dict(span.attributes) == {"checkout.checkout": charged.pk, "checkout.state": "success"}


def test_an_event_has_a_span_that_says_how_it_ended(
    exporter: InMemorySpanExporter, emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    row = StripeEvent.objects.create(
        event_id="evt_1", event_type="payment_intent.succeeded", object_id=checkout.payment_intent_id, livemode=False,
        created_at=checkout.created_at, payload={"object": {"metadata": {"checkout": str(checkout.uuid)}}},
    )  # fmt: skip
    assert inbox.handle(row.pk)
    [event] = spans(exporter, "checkout.event")
    assert dict(event.attributes) == {
        "checkout.event": "evt_1", "checkout.type": "payment_intent.succeeded", "checkout.tries": 1,
        "checkout.outcome": "done",
    }  # fmt: skip
    [attempt] = spans(exporter, "checkout.attempt")
    assert attempt.parent.span_id == event.context.span_id


def test_nothing_personal_is_in_a_span(
    exporter: InMemorySpanExporter, emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    plan = save_plan(email="jo@example.com", name="Jo Secret")
    checkout = begin(Membership.objects.create(name="Jo Secret", email="jo@example.com"))
    pay(emulator, checkout)
    monkeypatch.setattr(Membership, "checkout_success", _raise)
    monkeypatch.setattr(fulfillment, "_bring", _raise)
    make_due(plan)
    runs.process_payments(workers=1)
    with pytest.raises(ValueError, match="Jo Secret"):
        fulfillment.fulfill(checkout)
    broken = spans(exporter, "checkout.attempt")[-1]
    assert (broken.status.status_code, broken.status.description) == (trace.StatusCode.ERROR, "ValueError")
    everything = json.dumps([json.loads(each.to_json()) for each in exporter.get_finished_spans()])
    assert "checkout.run" in everything
    for text in ("Jo", "Secret", "jo@example.com", "_secret_", "sk_test"):
        assert text not in everything


def _raise(*args: Any, **kwargs: Any) -> Any:
    raise ValueError("Jo Secret <jo@example.com>")


def test_without_the_package_all_goes_as_before() -> None:
    """In a process of its own, in which it cannot be imported."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from checkout import tracing\n"
        "assert not tracing.INSTALLED and tracing.here() is None\n"
        "first = tracing.span('checkout.run', run=1)\n"
        "assert first is tracing.span('checkout.attempt')\n"
        "with first: tracing.note(state='success')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_site_without_a_provider_pays_all_the_same(emulator: Emulator, membership: Membership) -> None:
    assert tracing.INSTALLED
    checkout = begin(membership)
    pay(emulator, checkout)
    assert fulfillment.fulfill(checkout).succeeded
    assert not ObjectPaymentPlanInstalment.objects.exists()

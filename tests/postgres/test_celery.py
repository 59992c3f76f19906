"""Real Celery workers, a real Redis, a real PostgreSQL: what is promised holds while machines fail."""

from __future__ import annotations

import os
from typing import Any

import pytest

from checkout import states
from checkout.models import Checkout, PaymentRun, ScheduledJob, StripeEvent
from checkout.services import runs
from stripe_emulator import Emulator
from stripe_emulator.server import serve_in_thread
from tests.host.models import Membership
from tests.postgres.celery_chaos import celery_workers, chaos, wait_for
from tests.postgres.conftest import FillDue
from tests.services.test_one_off import begin, pay

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.skipif("REDIS_URL" not in os.environ, reason="needs a Redis: python -m tests.redis_server -- …"),
]


def test_workers_are_killed_in_the_middle_and_each_is_charged_once(emulator: Emulator, db: None) -> None:
    figures = chaos(emulator, 150, kill_after=[30, 80], chunk=20)
    assert figures.lost > 0, "the weather was bad"
    assert figures.handed_out_again, "messages were lost"


def test_a_run_and_a_webhook_go_through_a_worker(
    emulator: Emulator, fill_due: FillDue, membership: Membership, settings: Any, client: Any
) -> None:
    settings.CELERY_TASK_ALWAYS_EAGER = False
    fill_due(25)
    checkout = begin(membership)
    pay(emulator, checkout)
    with serve_in_thread(emulator) as base, celery_workers(base) as (workers, sender):
        workers.start(1)
        for name in ("process_payments", "payment_intent_fulfillment", "setup_intent_fulfillment", "process_events"):
            sender.send_task(f"checkout.tasks.{name}")
        wait_for(lambda: PaymentRun.objects.filter(finished_at__isnull=False).exists(), 30, "the run")
        wait_for(lambda: ScheduledJob.objects.filter(last_succeeded_at__isnull=False).count() == 4, 30, "the jobs")
        event = StripeEvent.objects.create(
            event_id="evt_1",
            event_type="payment_intent.succeeded",
            object_id=checkout.payment_intent_id,
            livemode=False,
            created_at=checkout.created_at,
        )
        sender.send_task("checkout.tasks.handle_event", [event.pk])
        wait_for(lambda: StripeEvent.objects.filter(outcome="done").exists(), 30, "the event")
    assert runs.counts(PaymentRun.objects.get()) == {"charged": 25}
    assert Checkout.objects.get(pk=checkout.pk).state_id == states.SUCCESS

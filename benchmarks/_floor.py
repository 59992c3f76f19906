"""The least that an honest shop would do by hand: three tables of its own, no letters, no books, no hooks, no papers.

What a benchmark compares with. A row for each payment, stored before Stripe is asked, settled by one conditional
UPDATE after; one line of history; one row for each event. Whoever leaves any of this out loses money sooner or later.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import stripe
from django.db import connection, models, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt


class FloorEvent(models.Model):
    event_id = models.CharField(max_length=255, unique=True)
    received_at = models.DateTimeField(default=timezone.now)
    handled_at = models.DateTimeField(null=True)
    payload = models.JSONField()

    class Meta:
        app_label = "checkout"
        db_table = "floor_event"
        managed = False

    def __str__(self) -> str:
        return self.event_id


class FloorPayment(models.Model):
    key = models.UUIDField(unique=True, default=uuid.uuid4)
    intent_id = models.CharField(max_length=255, db_index=True)
    customer_id = models.CharField(max_length=255)
    payment_method_id = models.CharField(max_length=255)
    amount_minor = models.IntegerField()
    state = models.CharField(max_length=20, default="due", db_index=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "checkout"
        db_table = "floor_payment"
        managed = False

    def __str__(self) -> str:
        return self.intent_id


class FloorHistory(models.Model):
    payment_id = models.BigIntegerField()
    to_state = models.CharField(max_length=20)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "checkout"
        db_table = "floor_history"
        managed = False

    def __str__(self) -> str:
        return self.to_state


def create_tables() -> None:
    with connection.schema_editor() as editor:
        for model in (FloorEvent, FloorPayment, FloorHistory):
            editor.create_model(model)


# -- an event -----------------------------------------------------------------------------------------------


def event_view(client: stripe.StripeClient, secret: str) -> Callable[[HttpRequest], HttpResponse]:
    """A view that does it all before it answers: check the signature, store, read the intent, settle, log."""

    @csrf_exempt
    def view(request: HttpRequest) -> HttpResponse:
        parts = dict(part.split("=", 1) for part in request.headers["Stripe-Signature"].split(","))
        signed = hmac.new(secret.encode(), f"{parts['t']}.".encode() + request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signed, parts["v1"]) or abs(time.time() - int(parts["t"])) > 300:
            return HttpResponse(status=400)
        event = json.loads(request.body)
        row = FloorEvent.objects.create(event_id=event["id"], payload=event)
        settle_one(client.v1.payment_intents.retrieve(event["data"]["object"]["id"]))
        FloorEvent.objects.filter(pk=row.pk).update(handled_at=timezone.now())
        return HttpResponse()

    return view


def settle_one(intent: Any) -> None:
    payment = FloorPayment.objects.get(intent_id=intent.id)
    if (intent.status, intent.amount_received) != ("succeeded", payment.amount_minor):
        raise ValueError(f"{intent.id} is not what was asked for.")
    with transaction.atomic():
        rows = FloorPayment.objects.filter(pk=payment.pk, state="asked")
        if rows.update(state="paid", settled_at=timezone.now()):
            FloorHistory.objects.create(payment_id=payment.pk, to_state="paid")


# -- a run --------------------------------------------------------------------------------------------------


def run(ask: Callable[[FloorPayment], str], *, threads: int, batch: int = 50) -> int:
    """Claim in batches, ask in threads, settle what came back together; one thread has the database. How many."""
    asking: dict[Future[str], FloorPayment] = {}
    paid, more = 0, True
    with ThreadPoolExecutor(threads) as pool:
        while more or asking:
            while more and len(asking) < threads * 2:
                claimed = _claim(batch)
                more = bool(claimed)
                asking |= {pool.submit(ask, payment): payment for payment in claimed}
            if not asking:
                break
            wait(asking, return_when=FIRST_COMPLETED)
            done, _waiting = wait(asking, timeout=0.05)
            answered = [(asking.pop(future), future.result()) for future in done]
            paid += _settle([(payment, intent_id) for payment, intent_id in answered if intent_id])
    return paid


def _claim(batch: int) -> list[FloorPayment]:
    with transaction.atomic():
        rows = list(FloorPayment.objects.filter(state="due").select_for_update(skip_locked=True).order_by("pk")[:batch])
        keys = [row.pk for row in rows]
        FloorPayment.objects.filter(pk__in=keys, state="due").update(state="asked")
        FloorHistory.objects.bulk_create(FloorHistory(payment_id=pk, to_state="asked") for pk in keys)
    return rows


def _settle(answered: Iterable[tuple[FloorPayment, str]]) -> int:
    with transaction.atomic():
        rows = []
        for payment, intent_id in answered:
            payment.intent_id, payment.state, payment.settled_at = intent_id, "paid", timezone.now()
            rows.append(payment)
        FloorPayment.objects.bulk_update(rows, ["intent_id", "state", "settled_at"])
        FloorHistory.objects.bulk_create(FloorHistory(payment_id=row.pk, to_state="paid") for row in rows)
    return len(rows)

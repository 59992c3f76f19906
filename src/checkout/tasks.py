"""Celery tasks (extra `celery`): each holds one service call, takes ids, and is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from checkout.services import polling


@shared_task
def payment_intent_fulfillment() -> int:
    """Settle every open payment attempt; the number that changed."""
    return polling.fulfill_payment_intents().changed


@shared_task
def setup_intent_fulfillment() -> int:
    """Settle every open attempt at saving a card; the number that changed."""
    return polling.fulfill_setup_intents().changed

"""Celery tasks (extra `celery`): each holds one service call, takes ids, and is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from checkout.services import cards, inbox, jobs, on_session, polling


@shared_task
def payment_intent_fulfillment() -> int:
    """Settle every open payment attempt; the number that changed."""
    with jobs.recorded("payment_intent_fulfillment"):
        return polling.fulfill_payment_intents().changed


@shared_task
def setup_intent_fulfillment() -> int:
    """Settle every open attempt at saving a card; the number that changed."""
    with jobs.recorded("setup_intent_fulfillment"):
        return polling.fulfill_setup_intents().changed


@shared_task
def handle_event(pk: int) -> bool | None:
    """Work on one webhook event."""
    return inbox.handle(pk)


@shared_task
def send_on_session_payment_emails() -> int:
    """Tell payers whose bank wants them; the number of mails queued."""
    with jobs.recorded("send_on_session_payment_emails"):
        return on_session.send_on_session_payment_emails().mailed


@shared_task
def refresh_card_expiry_dates() -> int:
    """Read the cards of outstanding plans and tell payers whose card runs out; the number of mails queued."""
    with jobs.recorded("refresh_card_expiry_dates"):
        return cards.refresh_card_expiry_dates().mailed

"""The address that Stripe sends events to: check, store, answer. The work begins after the answer was sent."""

from __future__ import annotations

import logging
from typing import Final

from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from checkout.conf import conf, is_live_key, webhook_secrets
from checkout.errors import EventRefused
from checkout.gateway.webhooks import read_event
from checkout.models import StripeEvent
from checkout.services import inbox

logger = logging.getLogger("checkout.webhook")

#: The largest events are a few dozen kilobytes.
LARGEST_BODY: Final = 1024 * 1024


class _ThenWork(HttpResponse):
    """An answer after which one event is worked on.

    A WSGI or ASGI server calls `close()` when the last byte has been handed to the network, so Stripe is not kept
    waiting for our own calls to Stripe, and nothing has to be installed for it. `transaction.on_commit` would run
    before the answer. The worker is busy a little longer instead; CHECKOUT_BACKGROUND = "celery" frees it at once.
    """

    event: StripeEvent | None = None

    def close(self) -> None:
        event, self.event = self.event, None
        try:
            if event is not None:
                inbox.handle_claimed(event)
        except Exception:
            # The event is stored and will be tried again; the server must not fail over an answer it has sent.
            logger.exception("event row %s was left for the next sweep", event and event.pk)
        finally:
            super().close()


@csrf_exempt
@require_POST
@transaction.non_atomic_requests
def webhook(request: HttpRequest) -> HttpResponse:
    """200 when the event is stored (or was before), 4xx when it is not one, 503 while no signing secret is set.

    Stripe sends anything but 2xx again for three days, so a mistake in the settings loses nothing.
    """
    if request.content_type != "application/json":
        return _refused("Send JSON.", 400)
    body = _body(request)
    if body is None:
        return _refused("This is larger than any event.", 413)
    secrets = webhook_secrets()
    if not secrets:
        logger.error("A webhook came, but CHECKOUT_WEBHOOK_SECRET is not set, so it cannot be checked.")
        return _refused("Webhooks are not set up here.", 503)
    try:
        event = read_event(body, request.headers.get("Stripe-Signature", ""), secrets)
    except EventRefused as problem:
        logger.warning("webhook refused: %s", problem)
        return _refused(str(problem), 400)
    if event.livemode != is_live_key(conf.STRIPE_SECRET_KEY):
        # A live endpoint on a test site, or the reverse: keys and endpoint were mixed up. Refused rather than stored
        # and ignored, because Stripe then shows the endpoint as failing, and sends the event again once it is mended.
        logger.error(
            "webhook refused: %s has live mode %s, our key has not", event.id, event.livemode, extra={"event": event.id}
        )
        return _refused("This event is of the other mode (live or test) than this site's key.", 400)
    try:
        # Who works on it right after the answer has it from the beginning, without asking the database for it again.
        row = inbox.receive(event, claimed=conf.CHECKOUT_BACKGROUND == "inline")
    except (DatabaseError, ValueError):
        logger.exception("event %s could not be stored", event.id, extra={"event": event.id})
        return _refused("This could not be stored. Send it again.", 503)
    response = _ThenWork(content_type="text/plain")
    response["Content-Length"] = "0"
    if row is not None:
        _begin_work(response, row)
    return response


def _body(request: HttpRequest) -> bytes | None:
    """The raw body; None when it is too large. Never more than the limit is read, whatever the header says."""
    declared = request.META.get("CONTENT_LENGTH") or "0"
    # More digits than the limit has are not read as a number: Python refuses thousands of them.
    if not str(declared).isdecimal() or len(str(declared)) > 10 or int(declared) > LARGEST_BODY:
        return None
    try:
        body: bytes = request.read(LARGEST_BODY + 1)
    except OSError:
        # The connection broke in the middle; what there is of it fails the signature.
        return b""
    return body if len(body) <= LARGEST_BODY else None


def _begin_work(response: _ThenWork, event: StripeEvent) -> None:
    if conf.CHECKOUT_BACKGROUND == "celery":
        from checkout import tasks

        def enqueue() -> None:
            tasks.handle_event.delay(event.pk)

        # A broker that is down costs a log line; the sweep finds the event. No functools.partial: Django 5.2 fails on
        # its missing __qualname__ when it logs the error that `robust` is there for.
        transaction.on_commit(enqueue, robust=True)
    elif conf.CHECKOUT_BACKGROUND == "inline":
        response.event = event


def _refused(sentence: str, status: int) -> HttpResponse:
    return HttpResponse(f"{sentence}\n", content_type="text/plain; charset=utf-8", status=status)

"""Webhook events: stored once, answered at once, worked on afterwards, tried again until they are understood.

An event is a hint that something changed, never the truth: it may be late, doubled, out of order or missing. What it is
about is read from Stripe again and brought to the one door.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from checkout import clock, tracing
from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.gateway.webhooks import Event
from checkout.ids import uuid_or_none
from checkout.models import Checkout, StripeEvent
from checkout.services import attempt_rows, books_intake, card_testing, cards, disputes, fulfillment, look_back, refunds
from checkout.services.insert_each import insert_each, one_statement
from checkout.services.pile import Pile

logger = logging.getLogger("checkout.inbox")

Outcome = StripeEvent.Outcome
Handler = Callable[[StripeEvent], None]

#: How long to wait after each failed try; after the last one a person has to look. About three days, as long as Stripe
#: itself tries to deliver (https://docs.stripe.com/webhooks#retries).
GAPS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (10, 60, 300, 1800, 2 * 3600, 5 * 3600, 12 * 3600, 12 * 3600, 12 * 3600, 12 * 3600, 12 * 3600)
)
#: While somebody works on an event nobody else does; if they die, it is free again after this.
CLAIM: Final = timedelta(minutes=5)
#: An event that carries our mark may come before the row it is about can be seen (a replica, a copy being restored).
#: After this long it is somebody else's: another site on the same Stripe account.
NOT_OURS_AFTER: Final = timedelta(hours=1)


class NotOurs(Exception):
    """The event is about something that this site never asked for."""


class NotYetOurs(Exception):
    """The event carries our mark, but there is no such row (yet)."""


@dataclass(slots=True)
class Worked:
    """What a sweep over waiting events did. `given_up` wait for a person."""

    done: int = 0
    failed: int = 0
    given_up: int = 0


# -- taking in -------------------------------------------------------------------------------------------


def receive(event: Event, *, claimed: bool = False) -> StripeEvent | None:
    """Store an event, once. The row if there is work to do; None for a double, and for what changes nothing here.

    With `claimed` it is the caller's from the beginning, as if by `_claim`: it calls `handle_claimed` next, and a sweep
    takes it up when it has not within CLAIM. Raises DatabaseError when it cannot be stored: Stripe must then hear so,
    and send it again.
    """
    useless = event.account or event.type not in HANDLERS
    row = StripeEvent(
        event_id=event.id,
        event_type=event.type,
        object_id=event.object_id,
        livemode=event.livemode,
        api_version=event.api_version,
        created_at=event.created_at,
        payload=event.payload,
    )
    if useless:
        row.handled_at, row.next_attempt_at = row.received_at, None
        row.outcome = Outcome.NOT_OURS if event.account else Outcome.IGNORED
    elif claimed:
        row.attempts, row.next_attempt_at = 1, row.received_at + CLAIM
    try:
        with one_statement(StripeEvent):
            insert_each([row])
    except IntegrityError:
        if not StripeEvent.objects.filter(event_id=event.id).exists():
            raise
        return None
    return None if useless else row


# -- working off -----------------------------------------------------------------------------------------


def waiting() -> QuerySet[StripeEvent]:
    """Events whose time to be tried (again) has come."""
    return StripeEvent.objects.filter(handled_at=None, next_attempt_at__lte=clock.now()).order_by(
        "next_attempt_at", "pk"
    )


def given_up() -> QuerySet[StripeEvent]:
    """Events that failed to the end and wait for a person."""
    return StripeEvent.objects.filter(handled_at=None, next_attempt_at=None)


def work(limit: int | None = None) -> Worked:
    """Work on every waiting event (or `limit` of them). Safe to run at any time, and twice at once."""
    worked = Worked()
    for pk in list(waiting().values_list("pk", flat=True)[:limit]):
        match handle(pk):
            case True:
                worked.done += 1
            case False:
                worked.failed += 1
    worked.given_up = given_up().count()
    return worked


def handle(pk: int) -> bool | None:
    """Work on one event. True when it is done with, False when it failed, None when it is not this caller's to do."""
    row = _claim(pk)
    return handle_claimed(row) if row is not None else None


def handle_claimed(row: StripeEvent) -> bool:
    """Work on an event that is this caller's. True when it is done with, False when it failed."""
    with tracing.span("checkout.event", event=row.event_id, type=row.event_type, tries=row.attempts):
        outcome = _work_on(row)
        tracing.note(outcome=outcome.value or "waits")
        return outcome != Outcome.WAITING


def _work_on(row: StripeEvent) -> Outcome:
    started = time.perf_counter()
    outcome, error = Outcome.WAITING, ""
    try:
        HANDLERS[row.event_type](row)
        outcome = Outcome.DONE
    except NotOurs:
        outcome = Outcome.NOT_OURS
    except NotYetOurs as problem:
        error = str(problem)
        if row.received_at < clock.now() - NOT_OURS_AFTER:
            outcome, error = _not_ours(row, error)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
        logger.warning(
            "event %s (%s) failed", row.event_id, row.event_type, exc_info=True, extra={"event": row.event_id}
        )
    if row.handled_at is None:
        _finish(row, outcome, error)
    _log(row, outcome, started)
    return outcome


def try_again(row: StripeEvent) -> None:
    """Staff: begin anew with an event that was given up, or do not wait any longer with one that was not."""
    StripeEvent.objects.filter(pk=row.pk, handled_at=None).update(attempts=0, next_attempt_at=clock.now())


def _not_ours(row: StripeEvent, error: str) -> tuple[Outcome, str]:
    """Nobody here asked for it, or the row that did is lost: money with our mark is matched, or a problem."""
    mark = (row.payload.get("object") or {}).get("metadata") or {}
    if row.event_type != "payment_intent.succeeded" or mark.get("site") != attempt_rows.site():
        return Outcome.NOT_OURS, error
    try:
        look_back.look_at(row.object_id)
    except CheckoutError as problem:
        return Outcome.WAITING, f"{type(problem).__name__}: {problem}"
    return Outcome.DONE, ""


def forget_old(limit: int = 10_000) -> int:
    """Delete events that were worked on CHECKOUT_KEEP_EVENTS_DAYS ago; how many."""
    long_ago = clock.now() - timedelta(days=conf.CHECKOUT_KEEP_EVENTS_DAYS)
    old = StripeEvent.objects.filter(handled_at__lt=long_ago).order_by("pk").values_list("pk", flat=True)
    return StripeEvent.objects.filter(pk__in=list(old[:limit])).delete()[0]


def _claim(pk: int) -> StripeEvent | None:
    """The row if this caller may work on it: one conditional UPDATE decides."""
    now = clock.now()
    free = StripeEvent.objects.filter(pk=pk, handled_at=None, next_attempt_at__lte=now)
    if not free.update(attempts=F("attempts") + 1, next_attempt_at=now + CLAIM):
        return None
    return StripeEvent.objects.get(pk=pk)


def _finish(row: StripeEvent, outcome: Outcome, error: str) -> None:
    now = clock.now()
    changes: dict[str, Any] = {"outcome": outcome, "error": error[:2000]}
    if outcome != Outcome.WAITING:
        changes |= {"handled_at": now, "next_attempt_at": None}
    else:
        gap = GAPS[row.attempts - 1] if row.attempts <= len(GAPS) else None
        changes["next_attempt_at"] = now + gap if gap is not None else None
        if gap is None:
            logger.error(
                "event %s (%s) was given up after %s tries: %s",
                row.event_id,
                row.event_type,
                row.attempts,
                type(error).__name__ if not error else error.partition(":")[0],
                extra={"event": row.event_id},
            )
    StripeEvent.objects.filter(pk=row.pk, handled_at=None).update(**changes)


def _log(row: StripeEvent, outcome: Outcome, started: float) -> None:
    logger.info(
        "event %s %s",
        row.event_type,
        outcome.value or "waits",
        extra={
            "event": row.event_id,
            "event_type": row.event_type,
            "object": row.object_id,
            "outcome": outcome.value or "waits",
            "attempt": row.attempts,
            "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            "late_seconds": round((row.received_at - row.created_at).total_seconds(), 1),
        },
    )


# -- what each kind of event means -----------------------------------------------------------------------


def _end(row: StripeEvent, pile: Pile) -> None:
    """In the commit that settles what the event is about: neither without the other, and one statement fewer."""
    done = {"outcome": Outcome.DONE, "error": "", "handled_at": clock.now(), "next_attempt_at": None}
    pile.change(StripeEvent, {row.pk: done})
    transaction.on_commit(lambda: setattr(row, "handled_at", done["handled_at"]))


def _payment_intent(row: StripeEvent) -> None:
    checkout = _attempt(row, "payment_intent_id")
    # A success never moves again, and most events tell of charges whose answer we had long before. A second intent
    # under our mark that took money as well is nobody's attempt: that fails, loudly, until a person has looked.
    second = checkout.payment_intent_id != row.object_id
    if checkout.succeeded and not (second and row.event_type == "payment_intent.succeeded"):
        return
    if second or checkout.by_setup_intent:
        fulfillment.fulfill_payment_intent(row.object_id)
    else:
        fulfillment.fulfill_just_read(checkout, partial(_end, row))


def _setup_intent(row: StripeEvent) -> None:
    checkout = _attempt(row, "setup_intent_id")
    if checkout.succeeded and checkout.setup_intent_id == row.object_id:
        # As of payments: most events tell of cards that we had read long before.
        fulfillment.go_on(checkout)
    else:
        fulfillment.fulfill_setup_intent(row.object_id)


def _payment_declined(row: StripeEvent) -> None:
    _payment_intent(row)
    card_testing.declined(_attempt(row, "payment_intent_id"))


def _card_declined(row: StripeEvent) -> None:
    _setup_intent(row)
    card_testing.declined(_attempt(row, "setup_intent_id"))


def _charge_refunded(row: StripeEvent) -> None:
    """For endpoints that know only this older event. It names the charge, so the payment's refunds are listed."""
    paid = Checkout.objects.filter(payment_intent_id=row.payload.get("object", {}).get("payment_intent") or "-").first()
    if paid is None:
        raise NotOurs
    refunds.import_refunds(paid)


def _attempt(row: StripeEvent, column: str) -> Checkout:
    """The attempt that the event is about, found without asking Stripe. Raises NotOurs or NotYetOurs."""
    rows = Checkout.objects.select_related("debt")
    # Unique, so an order would only be looked for.
    found = next(iter(rows.filter(**{column: row.object_id}).order_by()[:1]), None)
    if found is not None:
        return found
    metadata = row.payload.get("object", {}).get("metadata") or {}
    mark = metadata.get("checkout", "")
    if not mark:
        raise NotOurs
    found = rows.filter(uuid=mark).first() if uuid_or_none(mark) else None
    if found is None:
        raise NotYetOurs(f"{row.object_id} carries our mark, but there is no such checkout here.")
    return found


def _refund(row: StripeEvent) -> None:
    refunds.refund_updated_at_stripe(row.object_id)


def _dispute(row: StripeEvent) -> None:
    disputes.dispute_updated_at_stripe(row.object_id)


def _early_fraud_warning(row: StripeEvent) -> None:
    # What the event carried: a warning is never written again at Stripe.
    disputes.early_fraud_warning(row.payload.get("object", {}))


def _card(row: StripeEvent) -> None:
    cards.card_updated_at_stripe(row.object_id)


def _customer_deleted(row: StripeEvent) -> None:
    cards.mark_gone(row.object_id)


def _payout(row: StripeEvent) -> None:
    books_intake.payout_changed_at_stripe(row.object_id)


#: What is done about which event. These are the events that the endpoint at Stripe has to be subscribed to.
HANDLERS: Final[Mapping[str, Handler]] = {
    "payment_intent.amount_capturable_updated": _payment_intent,
    "payment_intent.canceled": _payment_intent,
    "payment_intent.payment_failed": _payment_declined,
    "payment_intent.processing": _payment_intent,
    "payment_intent.requires_action": _payment_intent,
    "payment_intent.succeeded": _payment_intent,
    "setup_intent.canceled": _setup_intent,
    "setup_intent.requires_action": _setup_intent,
    "setup_intent.setup_failed": _card_declined,
    "setup_intent.succeeded": _setup_intent,
    "payment_method.automatically_updated": _card,
    # Somebody took the card off its customer, in Stripe's dashboard for example; it is gone for good.
    "payment_method.detached": _card,
    "payment_method.updated": _card,
    # What Stripe calls the same news about a card that an older integration saved (card_…, src_…).
    "customer.source.deleted": _card,
    "customer.source.expiring": _card,
    "customer.source.updated": _card,
    "refund.created": _refund,
    "refund.failed": _refund,
    "refund.updated": _refund,
    "charge.refund.updated": _refund,
    "charge.refunded": _charge_refunded,
    "charge.dispute.closed": _dispute,
    "charge.dispute.created": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.updated": _dispute,
    "radar.early_fraud_warning.created": _early_fraud_warning,
    "customer.deleted": _customer_deleted,
    "payout.canceled": _payout,
    "payout.created": _payout,
    "payout.failed": _payout,
    "payout.paid": _payout,
    "payout.reconciliation_completed": _payout,
    "payout.updated": _payout,
}

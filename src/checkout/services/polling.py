"""Polling: asking Stripe about open attempts, a hundred per call, for sites without webhooks and as a safety net."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.db.models import QuerySet

from checkout.errors import CheckoutError
from checkout.gateway import PaymentIntent, SetupIntent, gateway
from checkout.models import Checkout
from checkout.services import checkouts, fulfillment

logger = logging.getLogger("checkout.polling")


@dataclass(slots=True)
class Swept:
    """What a sweep did. `changed` attempts moved, `errors` could not be settled and stay open."""

    looked_at: int = 0
    changed: int = 0
    errors: int = 0


def open_payment_attempts() -> QuerySet[Checkout]:
    """Attempts at taking money whose intent is known and not settled."""
    return Checkout.objects.open().taking_money().exclude(payment_intent_id="")


def open_setup_attempts() -> QuerySet[Checkout]:
    return Checkout.objects.open().exclude(setup_intent_id="")


def waiting_for_payer(rows: QuerySet[Checkout]) -> QuerySet[Checkout]:
    """Of `rows`, those for an instalment whose payer is awaited or on the page."""
    return rows.filter(on_session=True, customer__isnull=False)


def fulfill_payment_intents(rows: QuerySet[Checkout] | None = None) -> Swept:
    """Settle what Stripe says about every open payment attempt (or `rows` of them)."""
    return _sweep(
        open_payment_attempts() if rows is None else rows,
        lambda since, until: gateway().list_payment_intents(since=since, until=until),
        lambda checkout: checkout.payment_intent_id,
    )


def fulfill_setup_intents() -> Swept:
    """Settle what Stripe says about every open attempt at saving a card."""
    return _sweep(
        open_setup_attempts(),
        lambda since, until: gateway().list_setup_intents(since=since, until=until),
        lambda checkout: checkout.setup_intent_id,
    )


def fulfill_open_intents() -> Swept:
    """Both kinds."""
    payments, setups = fulfill_payment_intents(), fulfill_setup_intents()
    return Swept(
        payments.looked_at + setups.looked_at,
        payments.changed + setups.changed,
        payments.errors + setups.errors,
    )


def _sweep(
    rows: QuerySet[Checkout],
    list_intents: Callable[..., Iterable[PaymentIntent | SetupIntent]],
    intent_id: Callable[[Checkout], str],
) -> Swept:
    """One list of the window in which the open attempts were made, instead of a call for each."""
    swept = Swept()
    waiting = {intent_id(row): row for row in rows.order_by("created_at")}
    swept.looked_at = len(waiting)
    if not waiting:
        return swept
    times = [row.created_at for row in waiting.values()]
    for intent in list_intents(min(times) - checkouts.CLOCK_SKEW, None):
        checkout = waiting.pop(intent.id, None)
        if checkout is not None:
            _settle_one(checkout, intent, swept)
        if not waiting:
            break
    return swept


def _settle_one(checkout: Checkout, intent: PaymentIntent | SetupIntent, swept: Swept) -> None:
    """One bad row is counted and logged; it does not stop the others."""
    before = checkout.state_id
    try:
        if isinstance(intent, SetupIntent) and intent.succeeded:
            settled = fulfillment.fulfill_setup_intent(intent.id)
        else:
            settled = fulfillment.settle(checkout.pk, intent)
    except CheckoutError:
        logger.exception("checkout %s could not be settled", checkout.pk, extra={"checkout": checkout.pk})
        swept.errors += 1
        return
    swept.changed += settled.state_id != before

"""Polling: asking Stripe about open attempts, a hundred per call, for sites without webhooks and as a safety net."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from django.db.models import Q, QuerySet

from checkout import states
from checkout.errors import GatewayError, KeyRefused, OutcomeUnknown, TooManyRequests
from checkout.gateway import PaymentIntent, SetupIntent, gateway
from checkout.models import Checkout
from checkout.services import fulfillment

logger = logging.getLogger("checkout.polling")

Intent = PaymentIntent | SetupIntent
#: Told after each attempt that was looked at.
Progress = Callable[["Swept"], None]

#: So many attempts are held in memory at a time.
BATCH: Final = 1000
#: Attempts further apart than this are listed in windows of their own, so that what lies between is not listed.
APART: Final = timedelta(hours=1)
#: Stripe's clock and ours may differ by this much; whatever a window misses is read by its id.
MARGIN: Final = timedelta(minutes=2)


@dataclass(slots=True)
class Swept:
    """What a sweep did. `changed` attempts moved, `errors` could not be settled and stay open."""

    looked_at: int = 0
    changed: int = 0
    errors: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(self.looked_at + other.looked_at, self.changed + other.changed, self.errors + other.errors)


def open_payment_attempts() -> QuerySet[Checkout]:
    """Attempts at taking money, a plan's deposit while the card is saved among them, whose intent is known and not
    settled."""
    return Checkout.objects.open().exclude(payment_intent_id="")


def open_setup_attempts() -> QuerySet[Checkout]:
    return Checkout.objects.open().exclude(setup_intent_id="")


def waiting_for_payer(rows: QuerySet[Checkout]) -> QuerySet[Checkout]:
    """Of `rows`, those for an instalment whose payer is awaited or on the page."""
    return rows.filter(on_session=True, customer__isnull=False)


def fulfill_payment_intents(
    rows: QuerySet[Checkout] | None = None, *, since: datetime | None = None, progress: Progress | None = None
) -> Swept:
    """Settle what Stripe says about every open payment attempt (or `rows` of them), begun at or after `since`.

    Raises GatewayError when Stripe cannot be asked at all.
    """
    return _sweep(open_payment_attempts() if rows is None else rows, since, progress)


def fulfill_setup_intents(*, since: datetime | None = None, progress: Progress | None = None) -> Swept:
    """Settle what Stripe says about every open attempt at saving a card."""
    return _sweep(open_setup_attempts(), since, progress)


def fulfill_open_intents(*, since: datetime | None = None, progress: Progress | None = None) -> Swept:
    """Both kinds."""
    payments = fulfill_payment_intents(since=since, progress=progress)
    return payments + fulfill_setup_intents(since=since, progress=progress)


def _sweep(rows: QuerySet[Checkout], since: datetime | None, progress: Progress | None) -> Swept:
    swept = Swept()
    silent: GatewayError | None = None
    unread = 0
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    for batch in batches(rows):
        for checkout, intent in read_intents(batch):
            swept.looked_at += 1
            if isinstance(intent, OutcomeUnknown | TooManyRequests):
                silent, unread = intent, unread + 1
            _settle_one(checkout, intent, swept)
            if progress is not None:
                progress(swept)
    if silent is not None and unread == swept.looked_at:
        raise silent
    return swept


def batches(rows: QuerySet[Checkout]) -> Iterator[list[Checkout]]:
    """Oldest first, page by page: settling takes rows out of the query, so it goes on behind the last one seen."""
    rows = rows.select_related("customer").order_by("created_at", "pk")
    after: Checkout | None = None
    while True:
        page = rows
        if after is not None:
            page = rows.filter(Q(created_at__gt=after.created_at) | Q(created_at=after.created_at, pk__gt=after.pk))
        batch = list(page[:BATCH])
        yield batch
        if len(batch) < BATCH:
            return
        after = batch[-1]


def read_intents(batch: list[Checkout]) -> Iterator[tuple[Checkout, Intent | GatewayError]]:
    """Each attempt with its intent as it is at Stripe now, or with the error that kept it from being read.

    Attempts begun close to each other are listed together. The cost is bounded: a window in which too little of what
    is listed is ours is left, and the rest is read one by one, so that `n` attempts never cost more than 1.5 n calls;
    where most intents are open ones it is n / 100. `batch` is in the order of `created_at`.
    """
    for kind in (False, True):
        ours = [checkout for checkout in batch if checkout.by_setup_intent is kind]
        for group in _groups(ours):
            yield from _read_group(group)


def _groups(batch: list[Checkout]) -> Iterator[list[Checkout]]:
    group = batch[:1]
    for before, checkout in pairwise(batch):
        if checkout.created_at - before.created_at > APART:
            yield group
            group = []
        group.append(checkout)
    if group:
        yield group


def _read_group(group: list[Checkout]) -> Iterator[tuple[Checkout, Intent | GatewayError]]:
    waiting = {checkout.intent_id: checkout for checkout in group}
    if len(group) > 1:
        listed = 0
        with closing(_listed(group)) as intents:
            for intent in intents:
                listed += 1
                checkout = waiting.pop(intent.id, None)
                if checkout is not None:
                    yield checkout, intent
                if not waiting or listed >= len(group) * PAGE // 2:
                    break
    for checkout in waiting.values():
        yield checkout, _read_one(checkout)


#: Stripe's largest page (https://docs.stripe.com/api/pagination).
PAGE: Final = 100


def _listed(group: list[Checkout]) -> Any:
    since, until = group[0].created_at - MARGIN, group[-1].created_at + MARGIN
    client = gateway()
    if group[0].by_setup_intent:
        return client.list_setup_intents(since=since, until=until)
    return client.list_payment_intents(since=since, until=until)


def _read_one(checkout: Checkout) -> Intent | GatewayError:
    client = gateway()
    try:
        if checkout.by_setup_intent:
            return client.retrieve_setup_intent(checkout.setup_intent_id)
        return client.retrieve_payment_intent(checkout.payment_intent_id)
    except KeyRefused:
        raise
    except GatewayError as problem:
        return problem


def _settle_one(checkout: Checkout, intent: Intent | GatewayError, swept: Swept) -> None:
    """One bad row is counted and logged; it does not stop the others."""
    if isinstance(intent, GatewayError):
        logger.warning(
            "checkout %s: its intent could not be read: %s", checkout.pk, intent, extra={"checkout": checkout.pk}
        )
        swept.errors += 1
        return
    if _nothing_new(checkout, intent):
        return
    before = checkout.state_id
    try:
        settled = fulfillment.bring(checkout, intent)
    except Exception:
        logger.exception("checkout %s could not be settled", checkout.pk, extra={"checkout": checkout.pk})
        swept.errors += 1
        return
    swept.changed += settled.state_id != before


def _nothing_new(checkout: Checkout, intent: Intent) -> bool:
    """True if the intent still waits for its payer and we know all it says, so that no transaction is needed."""
    if intent.succeeded or intent.canceled or intent.processing:
        return False
    if checkout.state_id not in (states.PENDING, states.PAY_ON_SESSION):
        return False
    decline = intent.decline
    return decline is None or (decline.code, decline.decline_code) == (checkout.error_code, checkout.decline_code)

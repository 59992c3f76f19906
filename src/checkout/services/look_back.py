"""Stripe's truth, looked at from Stripe's side: every intent that bears our mark is an attempt here, or a problem.

Sweeps ask Stripe about our rows; a row that was lost with a restored database asks nothing. So the intents that Stripe
has made since the last look are listed and matched, before anything more is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F, Min, Q
from django.db.models.functions import Greatest

from checkout import actions, clock, money, states
from checkout.conf import conf, is_live_key
from checkout.errors import CheckoutError
from checkout.gateway import PaymentIntent, gateway
from checkout.ids import uuid_or_none
from checkout.models import Checkout, Debt, LookBack, ObjectPaymentPlan, Problem, StripeCustomer
from checkout.services import attempt_rows, debts, early, fulfillment, problems

logger = logging.getLogger("checkout.look_back")

#: The first look of a site whose plans were moved over, or whose first attempts were lost, goes back so far.
FARTHEST: Final = timedelta(days=30)
#: An intent may be listed a moment after it was made, and Stripe's clock may differ from ours.
MARGIN: Final = attempt_rows.CLOCK_SKEW
#: As many as Stripe lists in one call.
PAGE: Final = 100


@dataclass(slots=True)
class Looked:
    """What one look found. `errors` could not be dealt with, so the next look begins where this one did."""

    compared: int = 0
    settled: int = 0
    adopted: int = 0
    problems: int = 0
    errors: int = 0


def look_back() -> Looked:
    """Match what Stripe has made since the last look: one list call for each hundred intents, and nothing per row that
    is known and settled. Safe to run at any time, and in two places at once.

    Raises GatewayError when Stripe cannot be asked.
    """
    looked = Looked()
    cursor = Cursor(LookBack.What.PAYMENTS)
    since = cursor.since()
    if since is not None:
        intents = gateway().list_payment_intents(since=since)
        while page := list(islice(intents, PAGE)):
            _compare([intent for intent in page if intent.metadata.get("site") == attempt_rows.site()], looked)
    if not looked.errors:
        cursor.move_on()
    return looked


class Cursor:
    """Until when one of Stripe's lists has been compared, under the key in use.

    Raises GatewayError when Stripe does not say which account the key is of.
    """

    def __init__(self, what: LookBack.What) -> None:
        self.of = {"what": what, "account": gateway().account_id(), "livemode": is_live_key(conf.STRIPE_SECRET_KEY)}
        self.began = clock.now()

    def until(self) -> datetime | None:
        row = LookBack.objects.filter(**self.of).first()
        return row.until if row is not None else None

    def since(self) -> datetime | None:
        """From when to look now; None when nothing was ever asked for, so that there is nothing to find."""
        until = self.until()
        if until is None:
            until = self._first()
        return until - MARGIN if until is not None else None

    def _first(self) -> datetime | None:
        first: datetime | None = Checkout.objects.aggregate(first=Min("created_at"))["first"]
        if not ObjectPaymentPlan.objects.exists():
            return first
        # Plans were moved over, or the first attempts were lost with a restored database.
        farthest = self.began - FARTHEST
        return min(first, farthest) if first is not None else farthest

    def move_on(self, until: datetime | None = None) -> None:
        """Compared until then, or until this look began. Forward only: of two looks at once the one that began later
        tells until when."""
        until = until or self.began
        row, new = LookBack.objects.get_or_create(**self.of, defaults={"until": until})
        if not new:
            LookBack.objects.filter(pk=row.pk, until__lt=until).update(until=until)


def _compare(intents: Sequence[PaymentIntent], looked: Looked) -> None:
    looked.compared += len(intents)
    uuids = {intent.id: uuid_or_none(intent.metadata.get("checkout", "")) for intent in intents}
    rows = Checkout.objects.filter(
        Q(payment_intent_id__in=uuids) | Q(uuid__in=[uuid for uuid in uuids.values() if uuid is not None])
    )
    by_uuid = {row.uuid: row for row in rows}
    by_intent = {row.payment_intent_id: row for row in rows if row.payment_intent_id}
    for intent in intents:
        uuid = uuids[intent.id]
        known = by_intent.get(intent.id) or (by_uuid.get(uuid) if uuid is not None else None)
        try:
            if known is None:
                _unknown(intent, looked)
            elif known.payment_intent_id not in ("", intent.id):
                # A second intent under the mark of one attempt: if it took money, that is nobody's.
                _open_problem(intent, looked)
            elif intent.succeeded and not known.succeeded:
                looked.settled += fulfillment.fulfill_payment_intent(intent.id).succeeded
        except CheckoutError as problem:
            logger.warning("intent %s could not be matched: %s", intent.id, problem)
            looked.errors += 1
        except Exception:
            # The host's row has a say in settling, so anything may come out.
            logger.exception("intent %s could not be matched", intent.id)
            looked.errors += 1


def _unknown(intent: PaymentIntent, looked: Looked) -> None:
    """An intent of ours without a row. What took no money, and can take none any more, is nobody's business."""
    if not intent.succeeded:
        if not intent.canceled and _adopt(intent) is not None:
            looked.adopted += 1
        return
    adopted = _adopt(intent)
    if adopted is not None:
        fulfillment.bring(adopted, intent)
        looked.adopted += 1
        return
    _open_problem(intent, looked)


def _open_problem(intent: PaymentIntent, looked: Looked) -> None:
    if intent.succeeded:
        amount = money.from_minor(intent.amount_received_minor, intent.currency)
        problems.open_problem(Problem.Kind.UNKNOWN_PAYMENT, intent.id, amount=amount, currency=intent.currency)
        looked.problems += 1


def look_at(intent_id: str) -> Looked:
    """The same for one intent, of which an event has told."""
    looked = Looked()
    intent = gateway().retrieve_payment_intent(intent_id)
    if intent.metadata.get("site") == attempt_rows.site():
        _compare([intent], looked)
    return looked


def _adopt(intent: PaymentIntent) -> Checkout | None:
    """The attempt that made this intent, written anew by what its metadata say; None when its debt is not known."""
    uuid, debt_uuid = (uuid_or_none(intent.metadata.get(name, "")) for name in ("checkout", "debt"))
    number = intent.metadata.get("attempt", "")
    debt = debts.known_at_stripe(debt_uuid, intent.metadata.get("for", "")) if debt_uuid is not None else None
    if debt is None or not number.isdecimal() or uuid != debt.attempt_uuid(int(number)):
        return None
    if intent.currency != debt.currency:
        return None
    at_stripe = StripeCustomer.objects.filter(stripe_customer_id=intent.customer_id).select_related("customer").first()
    charged = attempt_rows.is_line_debt(debt) and bool(intent.customer_id)
    lease = clock.now() + timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES)
    try:
        with transaction.atomic():
            # Numbers are given once: the next attempt takes the next one.
            Debt.objects.filter(pk=debt.pk).update(attempts=Greatest(F("attempts"), int(number)))
            adopted = Checkout.objects.create(
                uuid=uuid,
                debt=debt,
                number=int(number),
                action_id=actions.CHARGE if charged else actions.PAYMENT,
                # Ended, until what Stripe says is settled: nothing is reserved for it, and nobody is kept from paying.
                state_id=states.FAIL,
                superseded=True,
                content_type_id=debt.content_type_id,
                object_id=debt.object_id,
                total=money.from_minor(intent.amount_minor, intent.currency),
                currency=intent.currency,
                customer=at_stripe.customer if at_stripe is not None else None,
                stripe_customer_id=intent.customer_id,
                payment_method_id=intent.payment_method_id,
                payment_intent_id=intent.id,
                on_session=not charged,
                livemode=intent.livemode,
                created_at=intent.created_at,
                claimed_at=intent.created_at,
                lease_until=lease,
            )
            if intent.metadata.get("allocated"):
                early.allocate_again(adopted)
    except IntegrityError:
        # Another look, or an event, was faster. Asked once the transaction is over: it can answer nothing any more.
        faster = Checkout.objects.filter(uuid=uuid).first()
        if faster is None:
            raise
        return faster
    return adopted

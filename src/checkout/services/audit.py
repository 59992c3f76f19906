"""Comparing what is over here with what Stripe says: behind a `fail` no money was taken and no card saved, and behind
what is called paid there is money."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from checkout import actions, clock, money, states
from checkout.errors import CheckoutError, GatewayError, NotFoundAtStripe, OtherAccount
from checkout.gateway import PaymentIntent, SetupIntent
from checkout.models import Checkout
from checkout.services import agreements, attempt_rows, fulfillment, polling, reconcile

logger = logging.getLogger("checkout.audit")

#: A card may be refunded and disputed for months, but an intent that is over here changes no later than this.
DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """An attempt that Stripe sees differently. `amount` is what Stripe took, or did not take, as text with its
    currency; empty for a card that it saved."""

    checkout: Checkout
    intent_id: str
    status: str
    amount: str
    problem: str
    repaired: bool = False


@dataclass(slots=True)
class Audited:
    """`looked_at` attempts were compared; `unread` could not be."""

    findings: list[Finding]
    looked_at: int = 0
    unread: int = 0

    @property
    def wrong(self) -> int:
        """How many differences are left."""
        return sum(not finding.repaired for finding in self.findings)

    @property
    def unpaid(self) -> int:
        """How many of them are called paid here although Stripe has not taken the money: only a person can say why."""
        return sum(finding.checkout.succeeded for finding in self.findings)


def attempts(days: int = DAYS) -> QuerySet[Checkout]:
    """Attempts at taking money by card that are over, and failed ones at saving a card, begun or settled in the last
    `days` days."""
    since = clock.now() - timedelta(days=days)
    by_card = Q(state__in=[states.FAIL, states.SUCCESS], action__in=actions.BY_CARD)
    rows = Checkout.objects.filter(by_card | Q(state=states.FAIL, action__in=actions.SAVES_CARD))
    return rows.filter(Q(created_at__gte=since) | Q(settled_at__gte=since))


def audit_failed_checkouts(days: int = DAYS, *, repair: bool = False) -> Audited:
    """Compare every attempt of the last `days` days that is over with Stripe: a hundred per call where they lie close.

    `repair` brings what failed here alone to the one door, where it becomes a success, with its hook. Safe to run
    again. Raises GatewayError when Stripe cannot be asked.
    """
    audited = Audited([])
    for checkout, intent in _read(attempts(days)):
        audited.looked_at += 1
        if isinstance(intent, CheckoutError):
            logger.warning(
                "checkout %s could not be compared: %s", checkout.pk, intent, extra={"checkout": checkout.pk}
            )
            audited.unread += 1
            continue
        finding = _compare(checkout, intent)
        if finding is not None:
            audited.findings.append(_repaired(finding) if repair else finding)
    return audited


def _read(rows: QuerySet[Checkout]) -> Iterator[tuple[Checkout, polling.Intent | CheckoutError | None]]:
    """Each attempt with its intent; None when it never had one."""
    for batch in polling.batches(rows.exclude(payment_intent_id="", setup_intent_id="")):
        for checkout, intent in polling.read_intents(batch):
            if isinstance(intent, NotFoundAtStripe) and not checkout.livemode:
                # Only test data can be wiped; real money that is not found is in another account than our key's.
                yield checkout, None
            else:
                yield checkout, intent
    # The answer that named the intent was lost. One without a customer never reached a browser, so nobody could pay it,
    # and neither did one that saves a card.
    taking_money = rows.filter(Q(state=states.FAIL, action__in=actions.BY_CARD), payment_intent_id="")
    for batch in polling.batches(taking_money.exclude(stripe_customer_id="")):
        for checkout in batch:
            if checkout.claimed_at is not None:
                yield checkout, _find(checkout)


def _find(checkout: Checkout) -> PaymentIntent | CheckoutError | None:
    try:
        return reconcile.find_intent(checkout)
    except (GatewayError, OtherAccount) as problem:
        return problem


def _compare(checkout: Checkout, intent: polling.Intent | None) -> Finding | None:
    if isinstance(intent, SetupIntent):
        if not intent.succeeded or not _still_wanted(checkout):
            return None
        return Finding(checkout, intent.id, intent.status, "", "Stripe saved the card")
    if checkout.succeeded:
        if intent is None or intent.succeeded:
            return None
        asked = f"{money.from_minor(intent.amount_minor, intent.currency)} {intent.currency}"
        return Finding(checkout, intent.id, intent.status, asked, "Stripe has not taken the money")
    if intent is None or not (intent.succeeded or intent.processing or intent.amount_received_minor):
        return None
    problem = "Stripe took the money" if intent.amount_received_minor else "Stripe is still taking the money"
    amount = money.from_minor(intent.amount_received_minor or intent.amount_minor, intent.currency)
    return Finding(checkout, intent.id, intent.status, f"{amount} {intent.currency}", problem)


def _still_wanted(checkout: Checkout) -> bool:
    """Whether a card that was saved in vain is for something that is still to be paid: what was settled otherwise needs
    none, and nothing is charged to a card that we do not know."""
    row = checkout.content_object
    if row is None:
        return False
    with transaction.atomic():
        return attempt_rows.still_payable(row) and not (checkout.is_payment_plan and agreements.has_live_plan(row))


def _repaired(finding: Finding) -> Finding:
    if finding.checkout.succeeded:
        return finding
    try:
        saved = finding.checkout.by_setup_intent
        door = fulfillment.fulfill_setup_intent if saved else fulfillment.fulfill_payment_intent
        settled = door(finding.intent_id)
        repaired = not settled.failed
        problem = finding.problem
    except Exception as error:
        logger.exception(
            "checkout %s could not be repaired", finding.checkout.pk, extra={"checkout": finding.checkout.pk}
        )
        repaired, problem = False, f"{finding.problem}; not repaired: {error}"
    return Finding(finding.checkout, finding.intent_id, finding.status, finding.amount, problem, repaired)

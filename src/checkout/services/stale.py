"""What nobody finished: pages that were left, and actions of two steps whose process died after the first."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import timedelta
from itertools import islice

from django.db.models import Q, QuerySet

from checkout import actions, clock, states
from checkout.conf import conf
from checkout.errors import AttemptInProgress, KeyRefused
from checkout.journal import Code, Why
from checkout.models import Checkout
from checkout.services import cards, intents, plans, take_overs

logger = logging.getLogger("checkout.stale")


@dataclass(slots=True)
class Tidied:
    """`closed` were cancelled at Stripe and failed, `paid` turned out to have succeeded, `left` are still being
    processed, `deposits` were taken late, `detached` are cards that were replaced earlier."""

    closed: int = 0
    paid: int = 0
    left: int = 0
    deposits: int = 0
    detached: int = 0
    errors: int = 0

    def __add__(self, other: Tidied) -> Tidied:
        return Tidied(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def changed(self) -> int:
        """How many attempts ended."""
        return self.closed + self.paid


def stale_attempts() -> QuerySet[Checkout]:
    """Attempts whose payer was last seen CHECKOUT_STALE_MINUTES ago, the one left first before the others.

    Only `pending`: what waits for its payer (pay_on_session) waits as long as the link in the mail lives, what was
    asked (request) is reconciled, and an invoice is settled by staff.
    """
    before = clock.now() - timedelta(minutes=conf.CHECKOUT_STALE_MINUTES)
    on_the_page = Q(action__in=[*actions.TAKES_MONEY, *actions.SAVES_CARD])
    return Checkout.objects.filter(Q(state=states.PENDING), on_the_page, seen_at__lt=before).order_by("seen_at", "pk")


def tidy(limit: int | None = None) -> Tidied:
    """`end_payments` and `end_setups`."""
    return end_payments(limit) + end_setups(limit)


def end_payments(limit: int | None = None) -> Tidied:
    """Close payments whose page was left, and what is open for plans that were stopped, or for whoever paid before
    somebody else took over (at Stripe first). Safe to run
    at any time, and twice at once.

    One bad row is counted and logged. Raises KeyRefused, for nothing can be closed then.
    """
    tidied = _close_left(actions.TAKES_MONEY, limit)
    for checkout in list(islice(plans.open_at_stopped_plans(), limit)):
        _close(checkout, Why(Code.PLAN_STOPPED), tidied, superseded=True)
    for line in list(islice(take_overs.open_of_former_payers(), limit)):
        tidied.closed += take_overs.end_for_former(line)
    return tidied


def end_setups(limit: int | None = None) -> Tidied:
    """Close attempts at saving a card whose page was left, take deposits whose card was saved when the process died,
    and take off cards that were replaced. As `end_payments` otherwise."""
    tidied = _close_left(actions.SAVES_CARD, limit)
    _take_deposits(tidied, limit)
    tidied.detached = cards.detach_replaced(limit=limit)
    return tidied


def _close_left(slugs: Sequence[str], limit: int | None) -> Tidied:
    tidied = Tidied()
    left = stale_attempts().filter(Q(action__in=slugs))
    for pk in list(left.values_list("pk", flat=True)[:limit]):
        # Its payer may have come back by now.
        checkout = left.select_related("customer").filter(pk=pk).first()
        if checkout is not None:
            _close(checkout, Why(Code.PAGE_LEFT), tidied)
    return tidied


def _close(checkout: Checkout, why: Why, tidied: Tidied, *, superseded: bool = False) -> None:
    try:
        closed = intents.close(checkout, why=why, superseded=superseded)
    except KeyRefused:
        raise
    except AttemptInProgress:
        tidied.left += 1
    except Exception:
        logger.exception("checkout %s could not be closed", checkout.pk, extra={"checkout": checkout.pk})
        tidied.errors += 1
    else:
        tidied.paid += closed.succeeded
        tidied.closed += closed.failed


def _take_deposits(tidied: Tidied, limit: int | None) -> None:
    for deposit in plans.waiting_deposits()[:limit]:
        plan = deposit.object_payment_plan
        saved = plan.agreement.checkout if plan.agreement is not None else None
        # A deposit that no attempt of its payer stands behind is for staff, or the site, to charge.
        if saved is None:
            continue
        try:
            taken = plans.take_waiting_deposit(saved)
        except Exception:
            # The host's row has a say in it, so anything may come out.
            logger.exception("deposit of plan %s could not be taken", plan.pk, extra={"instalment": deposit.pk})
            tidied.errors += 1
        else:
            tidied.deposits += taken is not None

"""Attempts that nobody finished, and deposits that were never asked for because the process died in between."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, QuerySet

from checkout import actions, clock, states
from checkout.conf import conf
from checkout.errors import AttemptInProgress, KeyRefused
from checkout.journal import Code, Why
from checkout.models import Checkout
from checkout.services import checkouts, plans

logger = logging.getLogger("checkout.stale")


@dataclass(slots=True)
class Tidied:
    """`closed` were cancelled at Stripe and failed, `paid` turned out to have succeeded, `left` are still being
    processed, `deposits` were taken late."""

    closed: int = 0
    paid: int = 0
    left: int = 0
    deposits: int = 0
    errors: int = 0


def stale_attempts() -> QuerySet[Checkout]:
    """Attempts whose payer was last seen CHECKOUT_STALE_MINUTES ago, the one left first before the others.

    Only `pending`: what waits for its payer (pay_on_session) waits as long as the link in the mail lives, what was
    asked (request) is reconciled, and an invoice is settled by staff.
    """
    before = clock.now() - timedelta(minutes=conf.CHECKOUT_STALE_MINUTES)
    on_the_page = Q(action__in=[*actions.TAKES_MONEY, *actions.SAVES_CARD])
    return Checkout.objects.filter(Q(state=states.PENDING), on_the_page, seen_at__lt=before).order_by("seen_at", "pk")


def tidy(limit: int | None = None) -> Tidied:
    """Close stale attempts (at Stripe first), then take waiting deposits. Safe to run at any time, and twice at once.

    One bad row is counted and logged. Raises KeyRefused, for nothing can be closed then.
    """
    tidied = Tidied()
    for pk in list(stale_attempts().values_list("pk", flat=True)[:limit]):
        _close(pk, tidied)
    _take_deposits(tidied, limit)
    return tidied


def _close(pk: int, tidied: Tidied) -> None:
    checkout = stale_attempts().select_related("customer").filter(pk=pk).first()
    if checkout is None:
        return
    try:
        closed = checkouts.close(checkout, why=Why(Code.PAGE_LEFT))
    except KeyRefused:
        raise
    except AttemptInProgress:
        tidied.left += 1
    except Exception:
        logger.exception("stale checkout %s could not be closed", pk, extra={"checkout": pk})
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

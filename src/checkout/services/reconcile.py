"""What became of requests that nobody saw the answer of. Nothing is guessed: Stripe is asked."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, QuerySet

from checkout import clock, states
from checkout.errors import GatewayRefused, KeyRefused, NotFoundAtStripe, OutcomeUnknown, TooManyRequests
from checkout.gateway import PaymentIntent, gateway
from checkout.journal import Code, Why
from checkout.models import Checkout
from checkout.services import applying, attempt_rows, charging, numbering, settling, tallies

logger = logging.getLogger("checkout.reconcile")

#: A clock of ours that was wrong by less than this hides no charge from the search among a customer's intents.
ANY_CLOCK_SKEW = timedelta(days=7)


@dataclass(slots=True)
class Reconciled:
    """Counts of one sweep. `waiting` were asked and are still without an answer; `errors` need a person."""

    settled: int = 0
    waiting: int = 0
    errors: int = 0


def overdue() -> QuerySet[Checkout]:
    """Attempts in `request` whose lease has run out, the oldest first."""
    return Checkout.objects.filter(Q(state=states.REQUEST), lease_until__lt=clock.now()).order_by("lease_until", "pk")


def reconcile(limit: int | None = None) -> Reconciled:
    """Settle every attempt whose answer was lost, as far as Stripe can be asked, and tell the rows whose hooks raised.
    Safe to run at any time, again."""
    counts = Reconciled()
    for checkout in overdue()[:limit]:
        if not _renew_lease(checkout):
            continue
        try:
            settled = resolve(checkout)
        except KeyRefused:
            logger.exception("the key was refused, so nothing can be reconciled")
            counts.errors += 1
            break
        except (OutcomeUnknown, TooManyRequests) as problem:
            logger.warning("checkout %s: still no answer: %s", checkout.pk, problem, extra={"checkout": checkout.pk})
            counts.waiting += 1
            continue
        except Exception:
            logger.exception("checkout %s could not be reconciled", checkout.pk, extra={"checkout": checkout.pk})
            counts.errors += 1
            continue
        if settled.state_id == states.REQUEST:
            counts.waiting += 1
        else:
            counts.settled += 1
    tallies.follow_up()
    numbering.give_missing(limit)
    applied = applying.apply_all(limit)
    counts.settled += applied.applied
    counts.errors += applied.errors
    return counts


def _renew_lease(checkout: Checkout) -> bool:
    """True if this caller may ask: of several reconcilers one wins."""
    lease = clock.now() + charging.lease()
    rows = Checkout.objects.filter(Q(state=states.REQUEST), pk=checkout.pk, lease_until=checkout.lease_until)
    if not rows.update(lease_until=lease):
        return False
    checkout.lease_until = lease
    return True


def resolve(checkout: Checkout) -> Checkout:
    """Find out what Stripe did with one request, and settle it.

    Looked at first: the intent itself when its id is known, else the customer's intents, which bear our metadata. When
    there is none, the same request is sent again while its key is trusted and what was claimed may still be charged so.
    If not, the debt is free, and the next run claims it anew, with the card and the rules of its own day.
    """
    if checkout.payment_intent_id:
        return _settle_or_cancel(checkout, gateway().retrieve_payment_intent(checkout.payment_intent_id))
    attempt_rows.check_mode(checkout)
    found = find_intent(checkout)
    if found is not None:
        return _settle_or_cancel(checkout, found)
    # A key older than that may have lapsed. One that is trusted keeps a request that is still on its way from charging
    # a second time.
    trusted = checkout.claimed_at is not None and checkout.claimed_at > clock.now() - attempt_rows.KEY_TRUSTED_FOR
    if trusted and charging.may_be_asked_now(checkout):
        return _ask_again(checkout)
    charging.release(checkout, why=Why(Code.STRIPE_UNKNOWN))
    return checkout


def _ask_again(checkout: Checkout) -> Checkout:
    """The same request once more. Only an intent settles anything, for the first request may have been taken whatever
    became of this one: a key that was rolled or a busy moment now says nothing about then."""
    answer = charging.ask(charging.request_for(checkout))
    match answer:
        case PaymentIntent():
            return settling.settle(checkout.pk, answer)
        case GatewayRefused():
            # Stripe looks at the key before it looks at the request, so this is a refusal of the first one as well.
            # Looking costs one call in a rare case, and the debt may be charged again after it.
            found = find_intent(checkout)
            return charging.settle(checkout, answer) if found is None else _settle_or_cancel(checkout, found)
        case OutcomeUnknown() if (found := find_intent(checkout)) is not None:
            # Stripe keeps even a 500 under the key and repeats it for a day, although the work was done.
            return _settle_or_cancel(checkout, found)
        case _:
            logger.warning(
                "checkout %s: still no answer: %s",
                checkout.pk,
                answer,
                extra={"checkout": checkout.pk, "request_id": answer.request_id},
            )
            return checkout


def find_intent(checkout: Checkout) -> PaymentIntent | None:
    """The intent of a charge whose answer was lost, found by our metadata. None proves that there is none.

    Raises OtherAccount when our key is of an account that never had this customer: there, absence proves nothing.
    """
    asked_at = checkout.claimed_at or checkout.created_at
    client, customer_id = gateway(), checkout.stripe_customer_id
    try:
        # A customer has few intents, so one whose time here and at Stripe differ by days is found as well.
        found = _ours(checkout, client.list_payment_intents(since=asked_at - ANY_CLOCK_SKEW, customer_id=customer_id))
    except NotFoundAtStripe:
        # The customer was deleted, and its intents can no longer be listed by it: look through everything since then.
        since = asked_at - attempt_rows.CLOCK_SKEW
        until = since + 2 * attempt_rows.CLOCK_SKEW + attempt_rows.KEY_TRUSTED_FOR
        found = _ours(checkout, client.list_payment_intents(since=since, until=until))
    if found is None and customer_id and not client.knew_customer(customer_id):
        attempt_rows.check_account(checkout, customer_id)
    return found


def _ours(checkout: Checkout, intents: Iterable[PaymentIntent]) -> PaymentIntent | None:
    return next((intent for intent in intents if intent.metadata.get("checkout") == checkout.mark), None)


def _settle_or_cancel(checkout: Checkout, intent: PaymentIntent) -> Checkout:
    settled = settling.settle(checkout.pk, intent)
    if settled.state_id == states.REQUEST and intent.status == "requires_confirmation":
        # Made but never confirmed: nobody will, so it is ended rather than left to be paid by accident.
        settled = settling.settle(checkout.pk, gateway().cancel_payment_intent(intent.id))
    return settled

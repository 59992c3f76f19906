"""Giving money back: claim, ask, settle, as for charges. The key is fixed before Stripe is asked, and what nobody saw
the answer of is found out."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from checkout import clock, money
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import (
    GatewayError,
    GatewayRefused,
    NotFoundAtStripe,
    NothingHappened,
    RefundError,
)
from checkout.gateway import RefundAnswer, assert_no_transaction, gateway
from checkout.ids import uuid_or_none
from checkout.journal import Code, Why
from checkout.models import Checkout, Dispute, Problem, Refund
from checkout.services import (
    fulfillment,
    moves,
    refund_effects,
    refund_settling,
)
from checkout.services.attempt_rows import KEY_TRUSTED_FOR, check_account

logger = logging.getLogger("checkout.refunds")

Effect = Refund.PlanEffect


def left(checkout: Checkout) -> Decimal:
    """What can still be given back of this payment."""
    return (checkout.total or Decimal(0)) - checkout.refunded


def why_not(checkout: Checkout) -> str:
    """Why this payment cannot be refunded here; empty when it can."""
    if not checkout.succeeded or not checkout.action.payment:
        return _("Nothing was paid here, so there is nothing to refund.")
    if not checkout.payment_intent_id:
        return _("This was paid by other means. Give the money back in the way it came.")
    if left(checkout) <= 0:
        return _("This was refunded in full already.")
    disputed = Dispute.objects.filter(checkout=checkout, kind=Dispute.Kind.DISPUTE)
    if disputed.exclude(status__in=["won", "prevented"]).exists():
        return _("The payer's bank has taken the money back already (a dispute), so it cannot be refunded as well.")
    return ""


def refund(
    checkout: Checkout,
    amount: Decimal,
    *,
    user: Actor = None,
    reason: str = Refund.Reason.REQUESTED,
    note: str = "",
    plan_effect: str = Effect.KEEP,
    key: uuid.UUID | None = None,
    within: Callable[[Decimal], None] | None = None,
) -> Refund:
    """Give `amount` (whole currency units) of a payment back, and do to its plan what was asked for.

    The answer is in the row's state: succeeded, failed (Stripe refused it; `failure` says why), or pending (on its way,
    or Stripe has not answered: `resolve_all` finds out). The same `key` again is the same refund, never a second one.
    `within` is called with the amount in the commit that claims it, and undoes that by raising.

    Raises RefundError when that much cannot be refunded, MoneyError for an amount the currency does not have,
    KeyRefused or TooManyRequests when Stripe did not take the request at all (nothing is reserved then).
    """
    assert_no_transaction()
    key = key or uuid.uuid4()
    existing = Refund.objects.filter(uuid=key).first()
    if existing is not None:
        return existing
    try:
        claimed = claim(
            checkout, amount, user=user, reason=reason, note=note, plan_effect=plan_effect, key=key, within=within
        )
    except IntegrityError:
        # The same form was sent twice at the same moment.
        twin = Refund.objects.filter(uuid=key).first()
        if twin is None:
            raise
        return twin
    return _ask_and_settle(claimed)


def claim(
    checkout: Checkout,
    amount: Decimal,
    *,
    user: Actor,
    reason: str,
    note: str,
    plan_effect: str,
    key: uuid.UUID,
    within: Callable[[Decimal], None] | None = None,
) -> Refund:
    """Commit that Stripe is about to be asked, with the key it will be asked under."""
    if problem := why_not(checkout):
        raise RefundError(problem)
    if money.to_minor(amount, checkout.currency) < 1:
        raise RefundError(_("A refund is of more than nothing."))
    line = refund_effects.plan_line(checkout)
    if line is None:
        plan_effect = Effect.KEEP
    if plan_effect == Effect.GIVE_BACK and checkout.allocated:
        raise RefundError(
            _("This paid several lines of the plan at once, or a part of one. Choose to keep the plan as it is.")
        )
    if plan_effect == Effect.GIVE_BACK:
        refund_effects.check_can_give_back(line, amount)
    now = clock.now()
    with transaction.atomic(durable=True):
        if not refund_settling.reserve(checkout.pk, amount):
            checkout.refresh_from_db(fields=["refunded"])
            raise RefundError(
                _("At most %(left)s of this payment can be refunded.")
                % {"left": money.format_money(left(checkout), checkout.currency)}
            )
        if plan_effect == Effect.GIVE_BACK and refund_effects.is_given_back(checkout):
            raise RefundError(_("This line was given back before. Choose to keep the plan as it is."))
        row = Refund.objects.create(
            uuid=key,
            checkout=checkout,
            amount=amount,
            currency=checkout.currency,
            reason=reason,
            note=note[:255],
            requested_by=actor(user),
            plan_effect=plan_effect,
            plan_effect_done=plan_effect == Effect.KEEP,
            lease_until=now + timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES),
        )
        moves.record(row, from_state="", to=Refund.PENDING, user=user, why=Why(note=note))
        if within is not None:
            within(amount)
    checkout.refresh_from_db(fields=["refunded"])
    return row


def _ask(row: Refund) -> RefundAnswer:
    """Everything sent is read off the row, so a repeated request is the same to the letter."""
    return gateway().create_refund(
        payment_intent_id=row.checkout.payment_intent_id,
        amount_minor=money.to_minor(row.amount, row.currency),
        reason=row.reason,
        metadata={"refund": str(row.uuid), "checkout": str(row.checkout.uuid)},
        idempotency_key=str(row.uuid),
    )


def _ask_and_settle(row: Refund, *, again: bool = False) -> Refund:
    """`again`: the answer to an earlier request was lost, and it may have been taken whatever becomes of this one."""
    try:
        answer = _ask(row)
    except GatewayRefused as problem:
        found = _find(row) if again else None
        return _refused(row, problem) if found is None else refund_settling.settle(row, found)
    except NothingHappened as problem:
        if again:
            # A key that was rolled or a busy moment now says nothing about then.
            logger.warning("refund %s: still no answer (%s)", row.pk, problem, extra={"refund": row.pk})
            return row
        # Stripe never took it: nothing is on its way, and whoever asked may ask again.
        refund_settling.fail(row, Why(note=str(problem)))
        raise
    except GatewayError as problem:
        logger.warning("refund %s: outcome unknown (%s)", row.pk, problem, extra={"refund": row.pk})
        return row
    return refund_settling.settle(row, answer)


def _refused(row: Refund, problem: GatewayRefused) -> Refund:
    if problem.code == "charge_already_refunded" or "greater than unrefunded" in str(problem):
        # Somebody was faster in the dashboard: bring what they did, so that the books say how much is left.
        refund_settling.fail(row, Why(Code.REFUNDED_BEFORE))
        import_refunds(row.checkout)
    elif problem.code == "charge_disputed":
        refund_settling.fail(row, Why(Code.REFUND_DISPUTED))
    else:
        refund_settling.fail(row, Why(note=str(problem)))
    row.refresh_from_db()
    return row


# -- news from Stripe ------------------------------------------------------------------------------------


def refund_updated_at_stripe(refund_id: str) -> Refund | None:
    """Stripe has news of a refund: read it and settle it. One made in the dashboard gets a row here, once.

    None when the payment is not one of ours. Raises OutcomeUnknown when Stripe cannot be read.
    """
    return take_refund(gateway().retrieve_refund(refund_id))


def import_refunds(checkout: Checkout) -> int:
    """Bring every refund that Stripe has for a payment; how many there are."""
    answers = list(gateway().list_refunds(payment_intent_id=checkout.payment_intent_id))
    for answer in answers:
        take_refund(answer)
    return len(answers)


def take_refund(answer: RefundAnswer) -> Refund | None:
    """A refund as it was just read at Stripe. None when the payment is not one of ours."""
    row = _ours(answer)
    if row is not None:
        return refund_settling.settle(row, answer)
    checkout = Checkout.objects.filter(payment_intent_id=answer.payment_intent_id).exclude(payment_intent_id="").first()
    if checkout is None:
        logger.info("refund %s is of a payment that is not ours", answer.id)
        return None
    if not checkout.succeeded:
        # A refund proves that it was paid: the news of that is still on its way.
        checkout = fulfillment.fulfill(checkout)
    return refund_settling.settle(_insert_from_dashboard(checkout, answer), answer)


def _ours(answer: RefundAnswer) -> Refund | None:
    found = Refund.objects.select_related("checkout").filter(refund_id=answer.id).first()
    if found is not None:
        return found
    key = uuid_or_none(answer.metadata.get("refund", ""))
    if key is None:
        return None
    return Refund.objects.select_related("checkout").filter(uuid=key, refund_id="").first()


def _insert_from_dashboard(checkout: Checkout, answer: RefundAnswer) -> Refund:
    row = _reserved_from_dashboard(checkout, answer)
    if row is None:
        # What we have reserved and not had an answer for cannot all be there: find out which of it Stripe refused.
        for waiting in checkout.refunds.filter(state=Refund.PENDING, refund_id=""):
            resolve(waiting)
        # One that was refused because of this one has brought it.
        known = Refund.objects.select_related("checkout").filter(refund_id=answer.id).first()
        row = known or _reserved_from_dashboard(checkout, answer)
    if row is None:
        raise RefundError(
            f"{answer.id} at Stripe refunds more of checkout {checkout.pk} than is left here. A refund of ours is "
            "still unanswered; this is tried again."
        )
    return row


def _reserved_from_dashboard(checkout: Checkout, answer: RefundAnswer) -> Refund | None:
    """None when more than that is reserved already."""
    amount = money.from_minor(answer.amount_minor, answer.currency)
    try:
        with transaction.atomic(durable=True):
            if not refund_settling.reserve(checkout.pk, amount):
                return None
            row = Refund.objects.create(
                checkout=checkout,
                amount=amount,
                currency=checkout.currency,
                reason=answer.reason,
                refund_id=answer.id,
                from_dashboard=True,
                created_at=answer.created_at,
                lease_until=clock.now() + timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES),
            )
            moves.record(row, from_state="", to=Refund.PENDING, why=Why(Code.MADE_IN_DASHBOARD))
            return row
    except IntegrityError:
        # Two workers read the same news.
        return Refund.objects.select_related("checkout").get(refund_id=answer.id)


# -- what nobody saw the answer of -----------------------------------------------------------------------


@dataclass(slots=True)
class Resolved:
    """Counts of one sweep. `errors` need a person."""

    settled: int = 0
    waiting: int = 0
    errors: int = 0


def unfinished() -> QuerySet[Refund]:
    """Refunds that are on their way, or whose plan is not dealt with yet, and that nobody is busy with."""
    return (
        Refund.objects.filter(Q(state=Refund.PENDING) | Q(plan_effect_done=False), lease_until__lt=clock.now())
        .select_related("checkout")
        .order_by("lease_until", "pk")
    )


def unfinished_plans() -> QuerySet[Refund]:
    """Refunds whose plan is not dealt with yet: what is still to come of it is taken as before."""
    return Refund.objects.filter(plan_effect_done=False).exclude(state=Refund.FAILED)


def resolve_all(limit: int | None = None) -> Resolved:
    """Give back what sites refused, where they want that, and settle what can be settled. Safe to run at any time,
    again."""
    counts = Resolved()
    counts.errors += refund_settling.tell_again(limit)
    if conf.CHECKOUT_GIVE_BACK_REFUSED:
        counts.errors += give_back_refused(limit)
    for row in unfinished()[:limit]:
        lease = clock.now() + timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES)
        if not Refund.objects.filter(pk=row.pk, lease_until=row.lease_until).update(lease_until=lease):
            continue
        try:
            after = resolve(row)
        except Exception:
            # The host has a hook in it, so anything may come out.
            logger.exception("refund %s could not be settled", row.pk, extra={"refund": row.pk})
            counts.errors += 1
            continue
        if after.pending or not after.plan_effect_done:
            counts.waiting += 1
        else:
            counts.settled += 1
    return counts


def give_back_refused(limit: int | None = None) -> int:
    """Refund what sites refused (`NotWanted`), once each: one that fails is left to staff. How many could not be."""
    tried = Refund.objects.filter(checkout=OuterRef("checkout"))
    refused = Problem.objects.filter(~Exists(tried), kind=Problem.Kind.NOT_WANTED, closed_at=None)
    errors = 0
    for problem in refused.select_related("checkout").order_by("pk")[:limit]:
        checkout = problem.checkout
        if checkout is None or checkout.total is None:
            continue
        try:
            # One key: of two that do this at once Stripe gives the money back for one.
            refund(checkout, checkout.total, note=problem.detail, key=uuid.uuid5(checkout.uuid, "refused"))
        except Exception:
            logger.exception("checkout %s was refused and is not given back", checkout.pk)
            errors += 1
    return errors


def resolve(row: Refund) -> Refund:
    """Find out what became of one refund. Known at Stripe: read it. The key is still trusted: send the same again.
    Older: look through the payment's refunds; proven absent means that nothing was given back."""
    if row.refund_id:
        return refund_settling.settle(row, gateway().retrieve_refund(row.refund_id))
    if row.created_at > clock.now() - KEY_TRUSTED_FOR:
        return _ask_and_settle(row, again=True)
    found = _find(row)
    if found is not None:
        return refund_settling.settle(row, found)
    refund_settling.fail(row, Why(Code.REFUND_NEVER_ARRIVED))
    return row


def _find(row: Refund) -> RefundAnswer | None:
    """The refund whose answer was lost, found by our metadata. None proves that there is none.

    Raises OtherAccount when our key is of an account that does not know the payment: there, absence proves nothing.
    """
    payment_intent_id = row.checkout.payment_intent_id
    try:
        # Known here, the payment's list of refunds is the right one.
        gateway().retrieve_payment_intent(payment_intent_id)
        answers = list(gateway().list_refunds(payment_intent_id=payment_intent_id))
    except NotFoundAtStripe:
        check_account(row.checkout, payment_intent_id)
        return None
    return next((answer for answer in answers if answer.metadata.get("refund") == str(row.uuid)), None)

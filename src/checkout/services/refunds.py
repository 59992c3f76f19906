"""Giving money back: claim, ask, settle, as for charges. The key is fixed before Stripe is asked.

What is reserved for refunds of a payment is `Checkout.refunded`. Claiming adds to it by one conditional UPDATE, so that
two people can never give back more than was taken, on either database; a refund that fails takes its share off again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from checkout import clock, money, signals, states
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import (
    CheckoutError,
    GatewayError,
    GatewayRefused,
    IntentMismatch,
    NotFoundAtStripe,
    NothingHappened,
    RefundError,
)
from checkout.gateway import RefundAnswer, assert_no_transaction, gateway
from checkout.ids import uuid_or_none
from checkout.journal import Code, Why
from checkout.models import Checkout, Dispute, ObjectPaymentPlanInstalment, Problem, Refund
from checkout.services import cards, debts, fulfillment, hooks, moves, problems, refund_effects, staff_notices
from checkout.services.attempt_rows import KEY_TRUSTED_FOR, check_account
from checkout.services.letters import asking as letters

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
        if not _reserve(checkout.pk, amount):
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


def _reserve(checkout_pk: int, amount: Decimal) -> bool:
    """True if that much was left and is now reserved. One UPDATE: of two callers for the same money one wins."""
    return _change_refunded(checkout_pk, amount)


def _release(row: Refund) -> None:
    _change_refunded(row.checkout_id, -row.amount)


def _change_refunded(checkout_pk: int, change: Decimal) -> bool:
    """Add `change` to what is reserved, if that leaves it between nothing and the total.

    The sum is made here and not in the database: SQLite would make it in binary, where 49.99 + 50.00 is more than
    99.99. The UPDATE holds only if nobody changed the row meanwhile; whoever lost looks again.
    """
    rows = Checkout.objects.filter(Q(state=states.SUCCESS), pk=checkout_pk)
    while (found := rows.values_list("refunded", "total").first()) is not None:
        refunded, total = found
        if total is None or not 0 <= refunded + change <= total:
            return False
        if rows.filter(refunded=refunded).update(refunded=refunded + change):
            return True
    return False


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
        return _refused(row, problem) if found is None else settle(row, found)
    except NothingHappened as problem:
        if again:
            # A key that was rolled or a busy moment now says nothing about then.
            logger.warning("refund %s: still no answer (%s)", row.pk, problem, extra={"refund": row.pk})
            return row
        # Stripe never took it: nothing is on its way, and whoever asked may ask again.
        fail(row, Why(note=str(problem)))
        raise
    except GatewayError as problem:
        logger.warning("refund %s: outcome unknown (%s)", row.pk, problem, extra={"refund": row.pk})
        return row
    return settle(row, answer)


def _refused(row: Refund, problem: GatewayRefused) -> Refund:
    if problem.code == "charge_already_refunded" or "greater than unrefunded" in str(problem):
        # Somebody was faster in the dashboard: bring what they did, so that the books say how much is left.
        fail(row, Why(Code.REFUNDED_BEFORE))
        import_refunds(row.checkout)
    elif problem.code == "charge_disputed":
        fail(row, Why(Code.REFUND_DISPUTED))
    else:
        fail(row, Why(note=str(problem)))
    row.refresh_from_db()
    return row


def settle(row: Refund, answer: RefundAnswer) -> Refund:
    """Bring what Stripe says into the rows: state, reserve, hook and mails in one commit. Safe twice, or late."""
    _verify(row, answer)
    with transaction.atomic(durable=True):
        row = Refund.objects.select_for_update(of=("self",)).select_related("checkout").get(pk=row.pk)
        if not row.refund_id:
            Refund.objects.filter(pk=row.pk, refund_id="").update(refund_id=answer.id)
            row.refund_id = answer.id
        if answer.status == Refund.SUCCEEDED:
            _succeed(row)
        elif answer.status == Refund.FAILED:
            why = Why.said(answer.failure, otherwise=Code.REFUND_CAME_BACK)
            _fail(row, why, str(why))
        else:
            # Accepted and on its way: Stripe is asked again when the lease runs out.
            lease = clock.now() + timedelta(hours=6)
            Refund.objects.filter(pk=row.pk, state=Refund.PENDING).update(lease_until=lease)
        if not row.failed and row.plan_effect == Effect.GIVE_BACK and not row.plan_effect_done:
            refund_effects.give_back(row)
    refund_effects.stop_plan(row)
    row.refresh_from_db()
    return row


def _verify(row: Refund, answer: RefundAnswer) -> None:
    expected = {
        "amount": (answer.amount_minor, money.to_minor(row.amount, row.currency)),
        "currency": (answer.currency, row.currency),
        "payment": (answer.payment_intent_id, row.checkout.payment_intent_id),
        "refund": (answer.id, row.refund_id or answer.id),
    }
    wrong = [f"{name} is {got!r}, asked was {want!r}" for name, (got, want) in expected.items() if got != want]
    if wrong:
        raise IntentMismatch(f"{answer.id} does not match refund {row.pk}: {'; '.join(wrong)}. Nothing was settled.")


def _move(row: Refund, to: str, why: Why, **fields: Any) -> bool:
    lease = None if row.plan_effect_done else row.lease_until
    return moves.move(row, to=to, why=why, settled_at=clock.now(), lease_until=lease, **fields)


def _succeed(row: Refund) -> None:
    if not _move(row, Refund.SUCCEEDED, Why(Code.REFUNDED)):
        return
    debts.post_for(
        row.checkout, debts.Kind.GIVEN_BACK, -row.amount, cause=f"refund:{row.uuid}", refund=row,
        user=row.requested_by, note=row.note,
    )  # fmt: skip
    _tell_host(row)
    letters.refunded(row)
    if row.from_dashboard:
        _tell_that_the_plan_goes_on(row)
    transaction.on_commit(partial(signals.checkout_refunded.send_robust, sender=Refund, refund=row))
    logger.info("refund %s succeeded", row.pk, extra={"refund": row.pk, "checkout": row.checkout_id})


@staff_notices.in_office_language()
def _tell_that_the_plan_goes_on(row: Refund) -> None:
    """Whoever gives money back here is asked what becomes of the plan; in Stripe's dashboard nobody asks."""
    line = refund_effects.plan_line(row.checkout)
    if line is None or not refund_effects.goes_on(line.object_payment_plan):
        return
    amount = money.format_money(row.amount, row.currency, settings.LANGUAGE_CODE)
    staff_notices.tell_staff(
        f"refund-plan-goes-on-{row.pk}",
        _("%(amount)s was given back at Stripe: %(payer)s") % {"amount": amount, "payer": row.checkout.payer},
        [
            _("The payment plan goes on, so what is still to come is taken as agreed. Stop the plan if that is wrong."),
            "",
            staff_notices.link("checkout.object.payment.plan.detail", line.object_payment_plan.uuid),
        ],
        checkout=row.checkout,
    )


def fail(row: Refund, why: Why) -> bool:
    """The money did not go to the payer. The row says why in the language of whoever asked."""
    failure = str(why)
    with transaction.atomic():
        return _fail(row, why, failure)


@staff_notices.in_office_language()
def _fail(row: Refund, why: Why, failure: str) -> bool:
    before = row.state
    if not _move(row, Refund.FAILED, why, failure=failure):
        return False
    _release(row)
    if before == Refund.SUCCEEDED:
        cause = f"refund_failed:{row.uuid}"
        debts.post_for(row.checkout, debts.Kind.GIVE_BACK_FAILED, row.amount, cause=cause, refund=row)
        problems.reopen_about(row.checkout)
        letters.refund_failed(row)
    undone = refund_effects.take_back(row)
    Refund.objects.filter(pk=row.pk).update(plan_effect_done=True, lease_until=None)
    row.plan_effect_done = True
    if before == Refund.SUCCEEDED or row.refund_id:
        amount = money.format_money(row.amount, row.currency, settings.LANGUAGE_CODE)
        staff_notices.tell_staff(
            f"refund-failed-{row.pk}",
            _("A refund of %(amount)s failed: %(payer)s") % {"amount": amount, "payer": row.checkout.payer},
            [
                failure,
                _("The payer does not have the money. Give it back in another way, or try the refund again."),
                *undone,
                "",
                staff_notices.link("checkout.detail", row.checkout.uuid),
            ],
            checkout=row.checkout,
        )
    transaction.on_commit(partial(signals.checkout_refund_failed.send_robust, sender=Refund, refund=row))
    logger.warning("refund %s failed: %s", row.pk, failure, extra={"refund": row.pk, "checkout": row.checkout_id})
    return True


def _tell_host(row: Refund) -> None:
    """The host's `checkout_refunded(refund)`, if there is one: on what was paid for, or on what its plan is for. The
    money went back, whatever the hook makes of it; one that raises is a problem, and is tried again."""
    checkout = row.checkout
    if checkout.unapplied:
        # The row was never told of the money, so it is not told that it went back, either.
        back = checkout.refunds.filter(state=Refund.SUCCEEDED).aggregate(sum=Sum("amount"))["sum"]
        if back == checkout.total:
            problems.close_about(checkout)
            if checkout.begun_by_id is not None:
                cards.not_needed(checkout)
        return
    try:
        with transaction.atomic(), moves.journal(), debts.ledger():
            _run_hook(row)
    except (CheckoutError, DatabaseError) as problem:
        problems.open_problem(
            Problem.Kind.REFUND_HOOK_FAILED, str(row.uuid), amount=row.amount, currency=row.currency,
            checkout=checkout, detail=str(problem),
        )  # fmt: skip


def _run_hook(row: Refund) -> None:
    target = row.checkout.content_object
    if isinstance(target, ObjectPaymentPlanInstalment):
        target = target.object_payment_plan.content_object
    if hooks.has(target, "checkout_refunded"):
        hooks.run(target, "checkout_refunded", row)


def _tell_again(limit: int | None) -> int:
    """Run the hooks that raised once more. How many raised again."""
    errors = 0
    waiting = Problem.objects.filter(kind=Problem.Kind.REFUND_HOOK_FAILED, closed_at=None).order_by("pk")
    for problem in waiting[:limit]:
        try:
            with transaction.atomic(durable=True), moves.journal(), debts.ledger():
                # Closed before the hook runs: of two sweeps at once one finds nothing to close.
                if problems.close(problem.kind, problem.subject):
                    _run_hook(Refund.objects.get(uuid=problem.subject))
        except (CheckoutError, DatabaseError) as error:
            logger.warning("the refund of %s is still not taken in: %s", problem.subject, error)
            errors += 1
    return errors


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
        return settle(row, answer)
    checkout = Checkout.objects.filter(payment_intent_id=answer.payment_intent_id).exclude(payment_intent_id="").first()
    if checkout is None:
        logger.info("refund %s is of a payment that is not ours", answer.id)
        return None
    if not checkout.succeeded:
        # A refund proves that it was paid: the news of that is still on its way.
        checkout = fulfillment.fulfill(checkout)
    return settle(_insert_from_dashboard(checkout, answer), answer)


def _ours(answer: RefundAnswer) -> Refund | None:
    found = Refund.objects.select_related("checkout").filter(refund_id=answer.id).first()
    if found is not None:
        return found
    key = uuid_or_none(answer.metadata.get("refund", ""))
    if key is None:
        return None
    return Refund.objects.select_related("checkout").filter(uuid=key, refund_id="").first()


def _insert_from_dashboard(checkout: Checkout, answer: RefundAnswer) -> Refund:
    amount = money.from_minor(answer.amount_minor, answer.currency)
    for attempt in range(2):
        try:
            with transaction.atomic(durable=True):
                if _reserve(checkout.pk, amount):
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
        if attempt == 0:
            # What we have reserved and not had an answer for cannot all be there: find out which of it Stripe refused.
            for row in checkout.refunds.filter(state=Refund.PENDING, refund_id=""):
                resolve(row)
    raise RefundError(
        f"{answer.id} at Stripe refunds more of checkout {checkout.pk} than is left here. A refund of ours is still "
        "unanswered; this is tried again."
    )


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


def resolve_all(limit: int | None = None) -> Resolved:
    """Give back what sites refused, where they want that, and settle what can be settled. Safe to run at any time,
    again."""
    counts = Resolved()
    counts.errors += _tell_again(limit)
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
        return settle(row, gateway().retrieve_refund(row.refund_id))
    if row.created_at > clock.now() - KEY_TRUSTED_FOR:
        return _ask_and_settle(row, again=True)
    found = _find(row)
    if found is not None:
        return settle(row, found)
    fail(row, Why(Code.REFUND_NEVER_ARRIVED))
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

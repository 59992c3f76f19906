"""What Stripe says of a refund, brought into our rows in one commit; and how much of a payment is reserved for refunds.

That is `Checkout.refunded`. Claiming adds to it by one conditional UPDATE, so that two people can never give back more
than was taken, on either database; a refund that fails takes its share off again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q, Sum
from django.utils.translation import gettext as _

from checkout import clock, money, signals, states
from checkout.errors import (
    CheckoutError,
    IntentMismatch,
)
from checkout.gateway import RefundAnswer
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlanInstalment, Problem, Refund
from checkout.services import (
    attempt_debts,
    booking,
    cards,
    hooks,
    moves,
    problems,
    refund_effects,
    staff_notices,
)
from checkout.services.letters import asking as letters

logger = logging.getLogger("checkout.refunds")

Effect = Refund.PlanEffect


# -- reserving ---------------------------------------------------------------------------------------------


def reserve(checkout_pk: int, amount: Decimal) -> bool:
    """True if that much was left and is now reserved. One UPDATE: of two callers for the same money one wins."""
    return _change_refunded(checkout_pk, amount)


def release(row: Refund) -> None:
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


# -- settling ----------------------------------------------------------------------------------------------


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
    attempt_debts.post_for(
        row.checkout, booking.Kind.GIVEN_BACK, -row.amount, cause=f"refund:{row.uuid}", refund=row,
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
    release(row)
    # First, so that what comes back is owed again by then, and is not taken for too much.
    undone = refund_effects.take_back(row)
    if before == Refund.SUCCEEDED:
        cause = f"refund_failed:{row.uuid}"
        attempt_debts.post_for(row.checkout, booking.Kind.GIVE_BACK_FAILED, row.amount, cause=cause, refund=row)
        problems.reopen_about(row.checkout)
        letters.refund_failed(row)
    elif row.checkout.debt is not None:
        # While the refund was on its way, what a new line owes in its place was not too much.
        problems.check_debt(booking.locked(row.checkout.debt), row.checkout)
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
        with transaction.atomic(), moves.journal(), booking.batch():
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


def tell_again(limit: int | None) -> int:
    """Run the hooks that raised once more. How many raised again."""
    errors = 0
    waiting = Problem.objects.filter(kind=Problem.Kind.REFUND_HOOK_FAILED, closed_at=None).order_by("pk")
    for problem in waiting[:limit]:
        try:
            with transaction.atomic(durable=True), moves.journal(), booking.batch():
                # Closed before the hook runs: of two sweeps at once one finds nothing to close.
                if problems.close(problem.kind, problem.subject):
                    _run_hook(Refund.objects.get(uuid=problem.subject))
        except (CheckoutError, DatabaseError) as error:
            logger.warning("the refund of %s is still not taken in: %s", problem.subject, error)
            errors += 1
    return errors

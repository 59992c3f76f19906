"""The hooks of a plan's line: what its attempt, once settled, does to the line and to its plan."""

from __future__ import annotations

import logging

from checkout import states
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlanInstalment
from checkout.services import agreements, attempt_debts, booking, moves
from checkout.services.letters import asking as letters

logger = logging.getLogger("checkout.instalments")


def instalment_paid(instalment: ObjectPaymentPlanInstalment, checkout: Checkout) -> None:
    """The line's own hook, in the settling transaction. A paid deposit brings the other lines."""
    if checkout.allocated:
        _parts_paid(checkout)
        return
    moved = moves.move(
        instalment,
        to=states.SUCCESS,
        user=checkout.user,
        why=Why(Code.ATTEMPT_AT_LINE, checkout=checkout.pk, action=checkout.action_id),
    )
    if not moved:
        # Money that we did not expect: never hide it behind a quiet "already paid".
        logger.error(
            "instalment %s was paid before; checkout %s took it again and should be refunded",
            instalment.pk,
            checkout.pk,
            extra={"instalment": instalment.pk, "checkout": checkout.pk},
        )
        return
    plan = instalment.object_payment_plan
    if instalment.deposit and not plan.instalments.filter(deposit=False).exists():
        agreements.create_instalments(plan, instalment)
        letters.plan_agreed(plan)


def _parts_paid(checkout: Checkout) -> None:
    """Several lines were paid at once, or one in part: those of which nothing is left are over."""
    for debt, _amount in attempt_debts.parts_of(checkout):
        if booking.left_after(debt) <= 0:
            why = Why(Code.ATTEMPT_AT_LINE, checkout=checkout.pk, action=checkout.action_id)
            moves.move(debt.instalment, to=states.SUCCESS, user=checkout.user, why=why)


def instalment_failed(instalment: ObjectPaymentPlanInstalment) -> None:
    """An attempt failed for good. A line that waits for its payer goes on waiting: the link in the mail still works."""
    moved = moves.move(
        instalment,
        to=states.FAIL,
        only_from={states.REQUEST, states.PENDING},
        why=Why(Code.ATTEMPT_FAILED),
    )
    content_object = instalment.object_payment_plan.content_object
    if moved and content_object is not None:
        content_object.checkout_fail(due=instalment.due)


def instalment_wants_payer(instalment: ObjectPaymentPlanInstalment, checkout: Checkout) -> None:
    """The bank requires the payer: the line waits, and the host is told if it has a hook for that."""
    moves.move(instalment, to=states.PAY_ON_SESSION, why=Why(Code.ATTEMPT_WANTS_PAYER, checkout=checkout.pk))
    hook = getattr(instalment.object_payment_plan.content_object, "checkout_pay_on_session", None)
    if hook is not None:
        hook(checkout)

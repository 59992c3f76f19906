"""What nobody pays, as the policy says: it stays open, its plan is stopped, or staff are asked to look at it."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from checkout import clock, states
from checkout.errors import CheckoutError
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    CheckoutSettings,
    Debt,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Problem,
    RecoveryPolicy,
    RecoveryStep,
    StateChange,
)
from checkout.services import debts, plans, problems, promises, staff_notices

logger = logging.getLogger("checkout.recovery")


def end() -> int:
    """Do what the policies say about lines that are not paid so many days after they were due, and that nothing is
    planned or promised for; how many lines. Safe at any time, again. Stripe is asked to end open payments of a plan
    that is stopped; what cannot be stopped now is stopped by the next run."""
    _close_what_was_paid()
    ended = 0
    for policy in RecoveryPolicy.objects.exclude(end=RecoveryPolicy.End.KEEP):
        for line in _unpaid(policy):
            try:
                ended += _stop(line, policy) if policy.end == RecoveryPolicy.End.STOP else _hand_over(line)
            except CheckoutError as problem:
                logger.warning(
                    "plan %s is not stopped yet: %s", line.object_payment_plan_id, type(problem).__name__,
                    extra={"instalment": line.pk},
                )  # fmt: skip
    return ended


def _unpaid(policy: RecoveryPolicy) -> list[ObjectPaymentPlanInstalment]:
    theirs = Q(object_payment_plan__payment_plan__recovery=policy)
    if CheckoutSettings.objects.settings.recovery_id == policy.pk:
        theirs |= Q(object_payment_plan__payment_plan__recovery=None)
    planned = RecoveryStep.objects.filter(instalment=OuterRef("pk"), ended="")
    rows: QuerySet[ObjectPaymentPlanInstalment] = ObjectPaymentPlanInstalment.objects.filter(
        theirs,
        ~promises.held_on(clock.today()),
        ~Exists(planned),
        state__in=[states.FAIL, states.PAY_ON_SESSION],
        due__lte=clock.today() - timedelta(days=policy.end_after),
        object_payment_plan__deleted=False,
        object_payment_plan__paused=False,
    )
    return list(rows.select_related("object_payment_plan__customer", "debt").order_by("due", "pk"))


def _stop(line: ObjectPaymentPlanInstalment, policy: RecoveryPolicy) -> bool:
    """False for another line of a plan that has just been stopped."""
    plan = line.object_payment_plan
    if not ObjectPaymentPlan.objects.filter(pk=plan.pk, deleted=False).exists():
        return False
    plans.stop(plan)
    why = Why(Code.STOPPED_UNPAID, days=policy.end_after)
    StateChange.objects.create(object_payment_plan=plan, from_state="live", to_state="stopped", **why.columns)
    with staff_notices.in_office_language():
        staff_notices.tell_staff(
            # One that went on may be stopped again.
            f"stopped-unpaid-{plan.pk}-{plan.deleted_at:%Y%m%d%H%M%S%f}",
            _("A plan was stopped, for it is not paid: %(payer)s") % {"payer": plan.customer or plan.checkout_email},
            [str(why), staff_notices.link("checkout.object.payment.plan.detail", plan.uuid)],
        )
    return True


def _hand_over(line: ObjectPaymentPlanInstalment) -> bool:
    """Once for each debt, also when somebody has closed the problem since."""
    debt = debts.of_line(line)
    if Problem.objects.filter(kind=Problem.Kind.NOT_PAID, subject=str(debt.uuid)).exists():
        return False
    last = Checkout.objects.for_content_object(line).filter(superseded=False).order_by("-pk").first()
    problems.open_problem(
        Problem.Kind.NOT_PAID, str(debt.uuid), amount=debt.left, currency=debt.currency, checkout=last
    )
    return True


def _close_what_was_paid() -> None:
    subjects = Problem.objects.filter(kind=Problem.Kind.NOT_PAID, closed_at=None).values_list("subject", flat=True)
    paid = Debt.objects.filter(uuid__in=list(subjects), paid__gte=F("owed"))
    for uuid in paid.values_list("uuid", flat=True):
        problems.close(Problem.Kind.NOT_PAID, str(uuid))

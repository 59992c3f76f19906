"""A plan's life: agreed, its deposit taken, its instalments made, stopped."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from checkout import clock, signals, states
from checkout.conf import conf, is_live_key
from checkout.contract import Actor, ContentObject, actor
from checkout.errors import (
    AlreadyPaid,
    AttemptInProgress,
    CheckoutError,
    GatewayError,
    NoSavedCard,
    OtherAccount,
    PlanError,
)
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    Posting,
    RecoveryStep,
)
from checkout.services import agreements, charging, recovery
from checkout.services.letters import asking as letters

logger = logging.getLogger("checkout.plans")

#: Open attempts that are looked at together.
PAGE: Final = 1000


def deposit_of(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    """The deposit line. Raises PlanError without one."""
    deposit = plan.instalments.select_related("object_payment_plan").filter(deposit=True).first()
    if deposit is None:
        raise PlanError(_("This plan has no deposit line."))
    return deposit


def deposit_for(checkout: Checkout) -> ObjectPaymentPlanInstalment | None:
    """The deposit line of the live plan that `checkout` saved a card for."""
    plan = agreements.live_plan(checkout)
    return plan.instalments.select_related("object_payment_plan").filter(deposit=True).first() if plan else None


def charge_deposit(plan: ObjectPaymentPlan, user: Actor = None) -> Checkout:
    """Charge the deposit to the saved card, off session. Errors as `charging.charge`."""
    return charging.charge(deposit_of(plan), user)


def take_waiting_deposit(checkout: Checkout) -> Checkout | None:
    """Charge the deposit of the plan that `checkout` saved a card for, if it is due and nobody has tried yet.

    Called by every door that sees the saved card, so a door that was shut in the middle is made good by the next one.
    """
    waiting = waiting_deposits().filter(object_payment_plan__agreement__checkout=checkout)
    # Most of those who ask come later than another: to find nothing should cost little.
    pk = next(iter(waiting.order_by().values_list("pk", flat=True)), None)
    if pk is None:
        return None
    deposit = ObjectPaymentPlanInstalment.objects.select_related(
        "debt",
        "object_payment_plan__customer",
        "object_payment_plan__payment_plan",
        "object_payment_plan__agreement__saved_card",
    ).get(pk=pk)
    try:
        return charging.charge(deposit, checkout.user, if_due=True)
    except (AttemptInProgress, NoSavedCard, OtherAccount, GatewayError) as problem:
        logger.warning(
            "deposit of plan %s waits: %s",
            deposit.object_payment_plan_id,
            problem,
            extra={"instalment": deposit.pk},
        )
        return None


def take_declined(plan: ObjectPaymentPlan) -> list[Checkout]:
    """A payer gave another card for a plan: what could not be taken from the old one is taken from it at once. The page
    of the card says so, and the new agreement lists those lines."""
    taken = []
    for line in recovery.declined_lines(plan):
        if not recovery.release(line, RecoveryStep.Ended.NEW_CARD):
            continue
        try:
            taken.append(charging.charge(line, if_due=True))
        except CheckoutError as problem:
            # It is due, so the next run takes it.
            logger.warning("instalment %s waits for a run: %s", line.pk, problem, extra={"instalment": line.pk})
    return taken


def waiting_deposits() -> QuerySet[ObjectPaymentPlanInstalment]:
    """Deposits that may be taken, and that nobody has tried to take."""
    rows = ObjectPaymentPlanInstalment.objects.may_be_taken(clock.today()).filter(deposit=True)
    return rows.select_related("object_payment_plan__agreement").order_by("due", "pk")


def stop(plan: ObjectPaymentPlan, user: Actor = None, *, tell: bool = True) -> ObjectPaymentPlan:
    """Stop a plan: nothing more is taken. Attempts that are open are cancelled at Stripe first. Its payer is told,
    unless it is they who end it (`tell`).

    Raises AttemptInProgress while a charge is unanswered: whether it is taken is not known yet. Where the process dies
    in the middle, `stale.end_payments` finishes; stopping again does so at once.
    """
    # First nothing new may begin, then what has begun is ended: a run that claims in between is refused by the flag.
    now = clock.now()
    with transaction.atomic():
        ours = ObjectPaymentPlan.objects.filter(pk=plan.pk, deleted=False).update(
            deleted=True, deleted_at=now, deleted_by=actor(user)
        )
        if ours and tell:
            letters.plan_stopped(plan, now)
    try:
        for instalment in plan.instalments.exclude(Q(state=states.SUCCESS)):
            charging.close_attempts(instalment, why=Why(Code.PLAN_STOPPED), user=user)
    except CheckoutError:
        # Whoever stopped it before us did so for good.
        if ours:
            _go_on(plan)
        raise
    plan.refresh_from_db()
    if ours:
        if tell:
            letters.plan_is_stopped(plan)
        # Not in a transaction by now: it has committed, and what was open is ended.
        signals.checkout_plan_stopped.send_robust(sender=ObjectPaymentPlan, plan=plan)
    return plan


def end_if_never_begun(content_object: ContentObject, user: Actor = None) -> None:
    """Stop the plan of this row if its deposit was declined, or waits for the payer's bank, and nothing of it was ever
    paid: its payer chooses another way to pay. Any other plan goes on.

    Raises AttemptInProgress while the deposit is being asked for, AlreadyPaid when it turns out to be paid.
    """
    try:
        plan = ObjectPaymentPlan.objects.for_content_object(content_object)
    except ObjectPaymentPlan.DoesNotExist:
        return
    unpaid = plan.instalments.filter(Q(state__in=[states.FAIL, states.PAY_ON_SESSION]), deposit=True)
    if not unpaid.exists() or _is_paid_for(plan):
        return
    stop(plan, user, tell=False)
    if _is_paid_for(plan):
        _go_on(plan)
        raise AlreadyPaid(_("The deposit of the payment plan has been paid meanwhile. Nothing more was taken."))


def _is_paid_for(plan: ObjectPaymentPlan) -> bool:
    """Whether anything was ever paid towards it, whatever became of that."""
    rows = Posting.objects.filter(debt__instalment__object_payment_plan=plan)
    return rows.exclude(kind__in=Posting.OWES).exists()


def _go_on(plan: ObjectPaymentPlan) -> None:
    try:
        with transaction.atomic():
            ObjectPaymentPlan.objects.filter(pk=plan.pk).update(deleted=False, deleted_at=None, deleted_by=None)
            letters.plan_goes_on(plan)
    except IntegrityError:
        # Another plan was agreed for the same row in between, and one is live at a time: this one stays stopped.
        logger.warning("plan %s stays stopped, for another has begun", plan.pk, extra={"plan": plan.pk})


def is_half_stopped(plan: ObjectPaymentPlan) -> bool:
    """True while attempts at a stopped plan are open: whoever stopped it was killed before they were ended."""
    keys = [str(pk) for pk in plan.instalments.values_list("pk", flat=True)] if plan.deleted else []
    return _at_lines().filter(object_id__in=keys).exists()


def open_at_stopped_plans() -> Iterator[Checkout]:
    """Open attempts at lines of plans that were stopped. Two statements for every thousand open ones."""
    attempts = _at_lines().values_list("pk", "object_id").order_by("pk")
    stopped = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan__deleted=True)
    last = 0
    while page := list(attempts.filter(pk__gt=last)[:PAGE]):
        last = page[-1][0]
        lines = {str(pk) for pk in stopped.filter(pk__in=[key for _pk, key in page]).values_list("pk", flat=True)}
        if lines:
            open_ones = [pk for pk, key in page if key in lines]
            yield from Checkout.objects.select_related("customer").filter(pk__in=open_ones)
        if len(page) < PAGE:
            return


def _at_lines() -> QuerySet[Checkout]:
    lines = ContentType.objects.get_for_model(ObjectPaymentPlanInstalment)
    return Checkout.objects.open().taking_money().filter(content_type=lines)


def new_version(payment_plan: PaymentPlan, **changes: Any) -> PaymentPlan:
    """A copy of a template with other terms; the old one is no longer offered, plans agreed on it go on.

    Raises PlanError for terms that make no plan.
    """
    stem = payment_plan.slug.rsplit("-v", 1)[0]
    with transaction.atomic():
        number = PaymentPlan.objects.filter(slug__startswith=stem).count() + 1
        while PaymentPlan.objects.filter(slug=f"{stem}-v{number}").exists():
            number += 1
        terms = {name: getattr(payment_plan, name) for name in ("name", *PaymentPlan.TERMS, "recovery")}
        made = PaymentPlan.objects.create(slug=f"{stem}-v{number}", **(terms | changes))
        PaymentPlan.objects.filter(pk=payment_plan.pk).update(deleted=True)
    return made


def testing_set_pending_instalment_due(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    """Make the first pending instalment due today, for trying things out.

    Raises CheckoutError with a live key: a real payer would be charged before the day that was agreed.
    """
    if is_live_key(conf.STRIPE_SECRET_KEY):
        raise CheckoutError("STRIPE_SECRET_KEY is a live key. Due dates that were agreed are not changed for testing.")
    pending = plan.instalments.filter(Q(state=states.PENDING), deposit=False, due__gt=clock.today())
    instalment = pending.order_by("count").first()
    if instalment is None:
        raise PlanError("This plan has no pending instalment that is not due yet.")
    # No two lines of a plan are due on the same day: if today is taken, the last free day before it.
    taken = set(plan.instalments.exclude(pk=instalment.pk).values_list("due", flat=True))
    day = clock.today()
    while day in taken:
        day -= datetime.timedelta(days=1)
    instalment.due = day
    instalment.save(update_fields=["due"])
    return instalment

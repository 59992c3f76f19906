"""A plan's life: agreed, its deposit taken, its instalments made, stopped."""

from __future__ import annotations

import datetime
import logging
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from checkout import clock, money, states
from checkout.conf import conf, is_live_key
from checkout.errors import AttemptInProgress, CheckoutError, GatewayError, NoSavedCard, OtherAccount, PlanError
from checkout.models import Checkout, Customer, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.schedule import Line
from checkout.services import checkouts, instalments

logger = logging.getLogger("checkout.plans")


def create_object_payment_plan(
    content_object: Any,
    payment_plan: PaymentPlan,
    total: Decimal,
    *,
    customer: Customer | None = None,
    user: Any = None,
    deposit_due: datetime.date | None = None,
) -> ObjectPaymentPlan:
    """Agree `payment_plan` for a row and make the deposit line, due today unless another day was agreed.

    Raises PlanError, with what would work, when the total cannot be split so, when the row has a live plan already, or
    when the template is no longer offered.
    """
    if payment_plan.deleted:
        raise PlanError(_("“%(name)s” is no longer offered. Choose another payment plan.") % {"name": payment_plan})
    return _begin(
        content_object,
        payment_plan,
        total,
        checkouts.currency_of(content_object),
        customer=customer,
        user=user,
        deposit_due=deposit_due,
    )


def _begin(
    content_object: Any,
    payment_plan: PaymentPlan,
    total: Decimal,
    currency: str,
    *,
    customer: Customer | None,
    user: Any,
    deposit_due: datetime.date | None,
) -> ObjectPaymentPlan:
    """The rows. Asks neither whether the terms are still offered nor what the content object costs now."""
    deposit = payment_plan.lines(deposit_due or clock.today(), total, currency)[0]
    try:
        with transaction.atomic():
            plan = ObjectPaymentPlan.objects.create(
                content_type=ContentType.objects.get_for_model(content_object),
                object_id=str(content_object.pk),
                payment_plan=payment_plan,
                customer=customer or Customer.objects.with_email(content_object.checkout_email),
                user=user if getattr(user, "pk", None) else None,
                total=total,
                currency=currency,
            )
            ObjectPaymentPlanInstalment.objects.create(
                object_payment_plan=plan, count=1, deposit=True, amount=deposit.amount, due=deposit.due
            )
    except IntegrityError as error:
        raise PlanError(
            _("There is a payment plan for this already. Another can be agreed once that one is stopped.")
        ) from error
    return plan


def check_can_agree(content_object: Any, payment_plan: PaymentPlan) -> list[Line]:
    """Every line, if this plan may be agreed for this row today. Raises PlanError, with what would work, if not."""
    if has_live_plan(content_object):
        raise PlanError(_("There is a payment plan for this already. Another can be agreed once that one is stopped."))
    return lines_today(content_object, payment_plan)


def has_live_plan(content_object: Any) -> bool:
    rows = ObjectPaymentPlan.objects.filter(
        content_type=ContentType.objects.get_for_model(content_object), object_id=str(content_object.pk), deleted=False
    )
    return rows.exists()


def lines_today(content_object: Any, payment_plan: PaymentPlan) -> list[Line]:
    """Every line if the plan were agreed for this row today. Raises PlanError, with what would work. No query."""
    if payment_plan.deleted:
        raise PlanError(_("“%(name)s” is no longer offered. Choose another payment plan.") % {"name": payment_plan})
    return payment_plan.lines(clock.today(), content_object.checkout_total, checkouts.currency_of(content_object))


def agreement_terms(
    payment_plan: PaymentPlan, content_object: Any, *, text: str, ip_address: str | None = None, user_agent: str = ""
) -> checkouts.AgreementTerms:
    """What a payer who agrees to this plan now agrees to: the wording, and every date and amount."""
    lines = check_can_agree(content_object, payment_plan)
    return checkouts.AgreementTerms(
        text=text,
        version=conf.CHECKOUT_AGREEMENT_VERSION,
        total=content_object.checkout_total,
        currency=checkouts.currency_of(content_object),
        lines=[{"count": line.count, "due": line.due.isoformat(), "amount": str(line.amount)} for line in lines],
        ip_address=ip_address,
        user_agent=user_agent,
    )


def ensure_plan(checkout: Checkout) -> ObjectPaymentPlan | None:
    """The plan that the payer agreed to when the card was saved, in the settling transaction.

    A host whose hook makes the plan itself (as hosts of old do) keeps doing so: then this finds it.
    """
    content_object = checkout.content_object
    if content_object is None or checkout.payment_plan is None or checkout.total is None:
        return None
    existing = live_plan(checkout)
    if existing is not None:
        if existing.customer_id is None:
            ObjectPaymentPlan.objects.filter(pk=existing.pk).update(customer=checkout.customer)
        return existing
    # What was agreed holds, even if the office has stopped offering it or the row has changed since.
    return _begin(
        content_object,
        checkout.payment_plan,
        checkout.total,
        checkout.currency,
        customer=checkout.customer,
        user=checkout.user,
        deposit_due=_agreed_deposit_date(checkout),
    )


def live_plan(checkout: Checkout) -> ObjectPaymentPlan | None:
    """The plan of the row that this attempt was for."""
    return ObjectPaymentPlan.objects.filter(
        content_type=checkout.content_type_id, object_id=checkout.object_id, deleted=False
    ).first()


def _agreed_deposit_date(checkout: Checkout) -> datetime.date | None:
    """The dates the payer saw hold, even when the bank's check ran past midnight."""
    agreement = getattr(checkout, "agreement", None)
    if agreement is None or not agreement.lines:
        return None
    return datetime.date.fromisoformat(agreement.lines[0]["due"])


def create_instalments(plan: ObjectPaymentPlan) -> list[ObjectPaymentPlanInstalment]:
    """Make the lines after the deposit; together with it they add up to the total exactly.

    Raises PlanError without a deposit line, or when the lines are there already.
    """
    deposit = plan.instalments.filter(deposit=True).first()
    if deposit is None:
        raise PlanError(_("This plan has no deposit line, so its instalments cannot be worked out."))
    lines = plan.payment_plan.lines(deposit.due, plan.total, plan.currency)
    if lines[0].amount != deposit.amount:
        raise PlanError(
            _("The deposit is %(deposit)s, but this plan's terms say %(terms)s. Stop the plan and agree a new one.")
            % {
                "deposit": number_format(money.tidy(deposit.amount, plan.currency)),
                "terms": number_format(lines[0].amount),
            }
        )
    rows = [
        ObjectPaymentPlanInstalment(
            object_payment_plan=plan, count=line.count, deposit=False, amount=line.amount, due=line.due
        )
        for line in lines[1:]
    ]
    try:
        with transaction.atomic():
            return ObjectPaymentPlanInstalment.objects.bulk_create(rows)
    except IntegrityError as error:
        raise PlanError(_("The instalments of this plan were made already.")) from error


def deposit_of(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    """The deposit line. Raises PlanError without one."""
    deposit = plan.instalments.select_related("object_payment_plan").filter(deposit=True).first()
    if deposit is None:
        raise PlanError(_("This plan has no deposit line."))
    return deposit


def deposit_for(checkout: Checkout) -> ObjectPaymentPlanInstalment | None:
    """The deposit line of the live plan that `checkout` saved a card for."""
    plan = live_plan(checkout)
    return plan.instalments.select_related("object_payment_plan").filter(deposit=True).first() if plan else None


def charge_deposit(plan: ObjectPaymentPlan, user: Any = None) -> Checkout:
    """Charge the deposit to the saved card, off session. Errors as `instalments.charge`."""
    return instalments.charge(deposit_of(plan), user)


def take_waiting_deposit(checkout: Checkout) -> Checkout | None:
    """Charge the deposit of the plan that `checkout` saved a card for, if nobody has tried yet.

    Called by every door that sees the saved card, so a door that was shut in the middle is made good by the next one.
    """
    plan = live_plan(checkout)
    deposit = plan.instalments.filter(Q(state=states.PENDING), deposit=True).first() if plan else None
    if deposit is None:
        return None
    try:
        return instalments.charge(deposit, checkout.user, only_from={states.PENDING})
    except (AttemptInProgress, NoSavedCard, OtherAccount, GatewayError) as problem:
        logger.warning(
            "deposit of plan %s waits: %s",
            deposit.object_payment_plan_id,
            problem,
            extra={"instalment": deposit.pk},
        )
        return None


def stop(plan: ObjectPaymentPlan, user: Any = None) -> ObjectPaymentPlan:
    """Stop a plan: nothing more is taken. Attempts that are open are cancelled at Stripe first.

    Raises AttemptInProgress while a charge is unanswered: whether it is taken is not known yet.
    """
    # First nothing new may begin, then what has begun is ended: a run that claims in between is refused by the flag.
    ours = ObjectPaymentPlan.objects.filter(pk=plan.pk, deleted=False).update(
        deleted=True, deleted_at=clock.now(), deleted_by=user if getattr(user, "pk", None) else None
    )
    try:
        for instalment in plan.instalments.exclude(Q(state=states.SUCCESS)):
            instalments.close_attempts(instalment, reason="The plan was stopped", user=user)
    except CheckoutError:
        # Whoever stopped it before us did so for good.
        if ours:
            ObjectPaymentPlan.objects.filter(pk=plan.pk).update(deleted=False, deleted_at=None, deleted_by=None)
        raise
    plan.refresh_from_db()
    return plan


def new_version(payment_plan: PaymentPlan, **changes: Any) -> PaymentPlan:
    """A copy of a template with other terms; the old one is no longer offered, plans agreed on it go on.

    Raises PlanError for terms that make no plan.
    """
    stem = payment_plan.slug.rsplit("-v", 1)[0]
    with transaction.atomic():
        number = PaymentPlan.objects.filter(slug__startswith=stem).count() + 1
        while PaymentPlan.objects.filter(slug=f"{stem}-v{number}").exists():
            number += 1
        terms = {name: getattr(payment_plan, name) for name in ("name", "deposit", "count", "interval")}
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

"""Who the payer of a plan is: whose login opens its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from checkout.contract import Actor, actor
from checkout.models import Checkout, Customer, ObjectPaymentPlan
from checkout.models.fields import fold

if TYPE_CHECKING:
    from django.contrib.auth.models import _User


def payer_of(plan: ObjectPaymentPlan) -> _User | None:
    """The one user who may open this plan's pages, or None when only a signed link can.

    The host's row says who (`checkout_user`), or whoever was logged in when the plan was agreed. Otherwise it is the
    active user with the customer's e-mail address, if there is exactly one: an address that two users share tells
    neither of them about the other.
    """
    found = _candidates(plan)
    return found[0] if len(found) == 1 and found[0].is_active else None


def _candidates(plan: ObjectPaymentPlan) -> list[_User]:
    named = getattr(plan.payer_row, "checkout_user", None) or plan.user
    if named is not None:
        return [named]
    email = plan.customer.email if plan.customer is not None else ""
    return list(get_user_model()._default_manager.filter(email__iexact=email, is_active=True)[:2]) if email else []


def is_of_former(plan: ObjectPaymentPlan, checkout: Checkout) -> bool:
    """Whether this attempt at a line was begun by, or for the card of, somebody whose place another payer has taken."""
    if plan.taken_over_at is None:
        return False
    if checkout.customer_id is not None:
        return checkout.customer_id != plan.customer_id
    return checkout.created_at < plan.taken_over_at


def former_of(plan: ObjectPaymentPlan, checkout: Checkout) -> Customer | None:
    """Whose attempt that was; None where it was the payer's of today, or nobody knows."""
    if not is_of_former(plan, checkout):
        return None
    if checkout.customer is not None:
        return checkout.customer
    later = plan.changes.filter(kind="payer", state="in_force", decided_at__gt=checkout.created_at)
    change = later.select_related("former_payer").order_by("decided_at").first()
    return change.former_payer if change is not None else None


def is_payer(user: Actor, plan: ObjectPaymentPlan) -> bool:
    """True if this logged-in user is the plan's payer."""
    who = actor(user)
    return who is not None and who.is_active and who == payer_of(plan)


def outstanding_plans_of(user: Actor) -> list[ObjectPaymentPlan]:
    """The plans on which this user still owes something, the newest first."""
    return _theirs(user, ObjectPaymentPlan.objects.outstanding_payment_plans)


def plans_of(user: Actor) -> list[ObjectPaymentPlan]:
    """Every plan of this user, paid and stopped ones too, the newest first."""
    return _theirs(user, ObjectPaymentPlan.objects.all())


def _theirs(user: Actor, plans: QuerySet[ObjectPaymentPlan]) -> list[ObjectPaymentPlan]:
    who = actor(user)
    if who is None:
        return []
    mine = Q(user=who)
    if who.email:
        mine |= Q(customer__email_folded=fold(who.email))
    rows = (
        plans.filter(mine)
        .select_related("customer", "payment_plan", "user", "agreement__saved_card")
        .prefetch_related("content_object")
    )
    return [plan for plan in rows.order_by("-pk") if is_payer(who, plan)]

"""Who the payer of a plan is: whose login opens its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from checkout.contract import Actor, actor
from checkout.models import ObjectPaymentPlan
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
    named = getattr(plan.content_object, "checkout_user", None) or plan.user
    if named is not None:
        return [named]
    email = plan.customer.email if plan.customer is not None else ""
    return list(get_user_model()._default_manager.filter(email__iexact=email, is_active=True)[:2]) if email else []


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

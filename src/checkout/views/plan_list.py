"""All payment plans of whoever is logged in, with what each still wants."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import prefetch_related_objects
from django.utils.translation import get_language
from django.views.generic import TemplateView

from checkout import money, states
from checkout.conf import conf
from checkout.models import ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import payers, plan_cards
from checkout.views.access import PayerViewMixin

#: A line that stands so waits for its payer.
WAITS = frozenset({states.FAIL, states.PAY_ON_SESSION})


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan in its payer's words. Amounts are texts, and empty where there is nothing of the kind."""

    plan: ObjectPaymentPlan
    description: str
    paid: str
    #: What was written off, or given back, is over and not paid.
    all_paid: bool
    still_to_pay: str
    #: How many payments wait for the payer.
    waiting: int
    next_line: ObjectPaymentPlanInstalment | None
    next_amount: str


class PlanListView(LoginRequiredMixin, PayerViewMixin, TemplateView):  # type: ignore[misc]
    """What the user has agreed to: the plans that want something first, paid and stopped ones last."""

    template_name = "checkout/plan_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        plans = payers.plans_of(self.request.user)
        prefetch_related_objects(plans, "instalments__debt")
        views = [_view(plan) for plan in plans]
        # Sorting keeps the newest first among equals.
        views.sort(key=lambda each: (not each.waiting, not each.still_to_pay))
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "plans": views,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }


def _view(plan: ObjectPaymentPlan) -> PlanView:
    lines = sorted(plan.instalments.all(), key=lambda line: (line.due, line.count))
    unpaid = [line for line in lines if line.state_id != states.SUCCESS]
    paid = sum((line.net_paid for line in lines), Decimal(0))
    owed = sum((line.left for line in unpaid), Decimal(0)) + _not_made_yet(plan, lines)
    coming = next((line for line in unpaid if line.state_id == states.PENDING), None)
    row: Any = plan.content_object
    return PlanView(
        plan=plan,
        description=", ".join(str(line) for line in row.checkout_description) if row is not None else "",
        paid=_money(paid, plan) if paid else "",
        all_paid=paid >= plan.total,
        still_to_pay=_money(owed, plan) if owed and not plan.deleted else "",
        waiting=0 if plan.deleted else sum(line.state_id in WAITS for line in unpaid),
        next_line=coming if not plan.deleted else None,
        next_amount=_money(coming.left, plan) if coming is not None else "",
    )


def _not_made_yet(plan: ObjectPaymentPlan, lines: list[ObjectPaymentPlanInstalment]) -> Decimal:
    """What follows the deposit: until that is paid, its lines are no rows."""
    deposit = next((line for line in lines if line.deposit and line.state_id != states.SUCCESS), None)
    if deposit is None or any(not line.deposit for line in lines):
        return Decimal(0)
    return sum((line.amount for line in plan_cards.after_deposit(plan, deposit)), Decimal(0))


def _money(amount: Decimal, plan: ObjectPaymentPlan) -> str:
    return money.format_money(amount, plan.currency, get_language() or "en-gb")

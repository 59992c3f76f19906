"""Paying a part, or all, of a plan before its day: what an amount pays is shown first, and the button goes on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from checkout import money
from checkout.conf import conf
from checkout.errors import AlreadyPaid, CannotPay, MoneyError
from checkout.services import early
from checkout.views import limits
from checkout.views.access import PayerViewMixin, remember_checkout, remember_press
from checkout.views.plan_access import PlanAccess, access_to_plan


class EarlyPaymentView(PayerViewMixin, TemplateView):  # type: ignore[misc]
    """Looking changes nothing: `?amount=` shows what that amount pays, and what is left of the plan afterwards; without
    it, all that is left. The button begins the attempt."""

    template_name = "checkout/early.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.access = access_to_plan(request, kwargs["uuid"])
        if (self.access is None or not self.access.is_payer) and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def get_access(self) -> PlanAccess:
        if self.access is None or not self.access.is_payer:
            raise Http404
        return self.access

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        plan = self.get_access().plan
        try:
            lines = early.unpaid_lines(plan)
        except AlreadyPaid:
            lines = []
        if not lines:
            return redirect("checkout.plan.progress", uuid=plan.uuid)
        left = sum((line.left for line in lines), Decimal(0))
        typed = request.GET.get("amount", "").strip()
        context: dict[str, Any] = {"plan": plan, "left": left, "typed": typed, "parts": [], "problem": ""}
        try:
            amount = money.parse_amount(typed, get_language() or "en-gb") if typed else left
            context |= {"parts": early.parts_of(plan, amount), "paying": amount}
        except (CannotPay, MoneyError) as problem:
            context["problem"] = str(problem)
        status = 400 if context["problem"] else 200
        return self.render_to_response(self.get_context_data(**context), status=status)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        access = self.get_access()
        amount = money.parse_amount(request.POST.get("amount", ""), "en-gb")
        limits.check(request, access.plan)
        try:
            begun = early.create_checkout_early(
                access.plan,
                amount,
                request.user if access.by_login else None,
                another_card="another_card" in request.POST,
            )
        except AlreadyPaid:
            return redirect("checkout.plan.progress", uuid=access.plan.uuid)
        remember_checkout(request, begun)
        if "confirm" in request.POST:
            remember_press(request, begun)
        return redirect("checkout.pay", uuid=begun.uuid)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        plan = kwargs["plan"]

        def shown(amount: Decimal) -> str:
            return money.format_money(amount, plan.currency, get_language() or "en-gb")

        parts = kwargs["parts"]
        paying = kwargs.get("paying", Decimal(0))
        rows = [
            {
                "name": _("Instalment %(number)d") % {"number": part.line.count - 1},
                "due": part.line.due,
                "amount": shown(part.amount),
                "left": shown(part.left) if part.left else "",
            }
            for part in sorted(parts, key=lambda part: part.line.count)
        ]
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "rows": rows,
            "paying": shown(paying) if parts else "",
            # As machines write it, so that the button sends what was shown in whatever language.
            "exact": f"{money.tidy(paying, plan.currency)}" if parts else "",
            "left": shown(kwargs["left"]),
            "left_afterwards": shown(kwargs["left"] - paying) if parts and kwargs["left"] > paying else "",
            "card": plan.card.short_description if plan.card is not None else "",
            "caption": conf.STRIPE_CAPTION,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }

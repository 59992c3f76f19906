"""The page on which the payer of a plan gives a new card."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from checkout import actions, money
from checkout.conf import conf
from checkout.models import Checkout, ObjectPaymentPlan
from checkout.services import payers, plan_cards, recovery
from checkout.views import limits
from checkout.views.access import remember_checkout, remembered_uuids
from checkout.views.mixins import CheckoutMixin
from checkout.views.plan_access import access_to_plan


class _CardRefresh(CheckoutMixin, ABC):
    """A card form for a plan. Looking changes nothing, here or at Stripe: the first page has a button
    (`start_template_name`), which makes the SetupIntent, closes the one of an earlier visit, and leads back here to the
    form."""

    none_template_name = "checkout/card_refresh_none.html"
    choose_template_name = "checkout/card_refresh_choose.html"
    start_template_name = "checkout/card_refresh_start.html"
    object_payment_plan: ObjectPaymentPlan

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        plans = self._plans()
        if len(plans) != 1:
            return self._no_single_plan(plans)
        self.object_payment_plan = plans[0]
        begun = self._begun()
        if begun is None:
            return render(request, self.start_template_name, self._shared())
        return self.show(request, begun)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The button: begin, and show the form."""
        plans = self._plans()
        if len(plans) != 1:
            return self._no_single_plan(plans)
        limits.check(request, plans[0])
        begun = Checkout.objects.create_checkout(actions.CARD_REFRESH, plans[0], self._user())
        remember_checkout(request, begun, request.path)
        return redirect(request.path)

    @abstractmethod
    def _plans(self) -> list[ObjectPaymentPlan]:
        """Those that the address may be about. Raises Http404 for one that is not this payer's."""

    def _user(self) -> Any:
        """Who is written down as having given the card."""
        return self.request.user

    def _begun(self) -> Checkout | None:
        """The attempt that this payer's button has begun, while it is open."""
        attempts = Checkout.objects.for_content_object(self.object_payment_plan).open()
        begun_here = Q(uuid__in=remembered_uuids(self.request))
        if self.request.user.is_authenticated:
            begun_here |= Q(user=self.request.user.pk)
        rows = attempts.filter(begun_here, action=actions.CARD_REFRESH, superseded=False)
        return rows.select_related("customer", "payment_plan").order_by("-pk").first()

    def _shared(self) -> dict[str, Any]:
        plan = self.object_payment_plan
        card = plan.card
        # While a bank looks into a payment of it, no card is charged.
        declined = [] if plan.paused else recovery.declined_lines(plan)
        overdue = sum((line.left for line in declined), Decimal(0))
        return {
            "overdue": money.format_money(overdue, plan.currency, get_language() or "en-gb") if overdue else "",
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "object_payment_plan": self.object_payment_plan,
            "old_card": card.description if card is not None else "",
            # The site has made the plan, and nobody has agreed to it: here its payer sees what they agree to.
            "agrees_to": self._left() if plan.agreement is None else [],
            "caption": conf.STRIPE_CAPTION,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }

    def _left(self) -> list[dict[str, Any]]:
        plan, locale = self.object_payment_plan, get_language() or "en-gb"
        return [
            {
                "due": datetime.date.fromisoformat(line["due"]),
                "amount": money.format_money(Decimal(line["amount"]), plan.currency, locale),
            }
            for line in plan_cards.what_is_left(plan)
        ]

    def _no_single_plan(self, plans: list[ObjectPaymentPlan]) -> HttpResponse:
        context = {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "plans": plans,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }
        template = self.choose_template_name if plans else self.none_template_name
        return render(self.request, template, context)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs) | self._shared()
        if context["overdue"]:
            # The button says what pressing it costs.
            context["button_text"] = _("Save card and pay %(amount)s") % {"amount": context["overdue"]}
        return context


class ObjectPaymentPlanSetupIntentCardRefreshMixin(LoginRequiredMixin, _CardRefresh):
    """A card form for the outstanding plan of the payer who is logged in; put it before a TemplateView.

    With `<uuid:uuid>` in the address it is that plan; without, the payer's only one. Several: the payer chooses. None:
    a page says so. Looking changes nothing, here or at Stripe: the first page has a button (`start_template_name`),
    which makes the SetupIntent, closes the one of an earlier visit, and leads back here to the form.

    `self.object` is the card_refresh `Checkout`; a site's own `get_success_url` may name it by `self.object.uuid`, and
    has to lead through `checkout.return`, which settles it.
    """

    def _plans(self) -> list[ObjectPaymentPlan]:
        """Those that the address may be about. Raises Http404 for one that is not this payer's."""
        plans = payers.outstanding_plans_of(self.request.user)
        wanted = self.kwargs.get("uuid")
        if wanted is None:
            return plans
        plans = [plan for plan in plans if str(plan.uuid) == str(wanted)]
        if not plans:
            raise Http404
        return plans


class CardRefreshView(ObjectPaymentPlanSetupIntentCardRefreshMixin, TemplateView):  # type: ignore[misc]
    """The ready page."""

    template_name = "checkout/card_refresh_pay.html"


class PlanCardView(_CardRefresh, TemplateView):  # type: ignore[misc]
    """The same for one plan, for its payer with a login or with the link of a letter."""

    template_name = "checkout/card_refresh_pay.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.access = access_to_plan(request, kwargs["uuid"])
        if not (self.access and self.access.is_payer) and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def _plans(self) -> list[ObjectPaymentPlan]:
        if self.access is None or not self.access.is_payer:
            raise Http404
        outstanding = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(pk=self.access.plan.pk)
        return [self.access.plan] if outstanding.exists() else []

    def _no_single_plan(self, plans: list[ObjectPaymentPlan]) -> HttpResponse:
        # Nothing is left to pay, and its page says so.
        return redirect("checkout.plan.progress", uuid=self.kwargs["uuid"])

    def _user(self) -> Any:
        return self.request.user if self.access is not None and self.access.by_login else None

"""The page on which the payer of a plan gives a new card."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.generic import TemplateView

from checkout import actions
from checkout.conf import conf
from checkout.models import Checkout, ObjectPaymentPlan
from checkout.services import checkouts, payers
from checkout.views.access import remember_checkout
from checkout.views.mixins import CheckoutMixin


class ObjectPaymentPlanSetupIntentCardRefreshMixin(LoginRequiredMixin, CheckoutMixin):
    """A card form for the outstanding plan of the payer who is logged in; put it before a TemplateView.

    With `<uuid:uuid>` in the address it is that plan; without, the payer's only one. Several: the payer chooses. None:
    a page says so. `self.object` is the card_refresh `Checkout` that was begun; a site's own `get_success_url` may name
    it by `self.object.uuid`, and has to lead through `checkout.return`, which settles it.

    Looking at the page makes a SetupIntent, which costs nothing, and closes the one of an earlier visit.
    """

    none_template_name = "checkout/card_refresh_none.html"
    choose_template_name = "checkout/card_refresh_choose.html"
    object_payment_plan: ObjectPaymentPlan

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        plans = payers.outstanding_plans_of(request.user)
        wanted = self.kwargs.get("uuid")
        if wanted is not None:
            plans = [plan for plan in plans if str(plan.uuid) == str(wanted)]
            if not plans:
                raise Http404
        if len(plans) != 1:
            return self._no_single_plan(plans)
        self.object_payment_plan = plans[0]
        self.object = self.get_object()
        self.page = checkouts.page(self.object)
        remember_checkout(request, self.object, request.path)
        return self.render_to_response(self.get_context_data(object=self.object))  # type: ignore[attr-defined]

    def get_object(self, queryset: Any = None) -> Checkout:
        """Begin the attempt at saving a card."""
        begun: Checkout = Checkout.objects.create_checkout(
            actions.CARD_REFRESH, self.object_payment_plan, self.request.user
        )
        return begun

    def _no_single_plan(self, plans: list[ObjectPaymentPlan]) -> HttpResponse:
        context = {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "plans": plans,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }
        template = self.choose_template_name if plans else self.none_template_name
        return render(self.request, template, context)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        card = self.object_payment_plan.card
        return super().get_context_data(**kwargs) | {
            "object_payment_plan": self.object_payment_plan,
            "old_card": card.description if card is not None else "",
        }


class CardRefreshView(ObjectPaymentPlanSetupIntentCardRefreshMixin, TemplateView):  # type: ignore[misc]
    """The ready page."""

    template_name = "checkout/card_refresh_pay.html"

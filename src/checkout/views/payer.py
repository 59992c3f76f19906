"""Pages that a payer sees and that no host needs to write."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.generic import TemplateView

from checkout import states
from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.models import Checkout
from checkout.services import fulfillment
from checkout.views.access import remembered_page
from checkout.views.mixins import CheckoutAccessMixin, amount_text

logger = logging.getLogger("checkout.views")

#: What Stripe appends to the return address. It can be forged, so none of it is read.
STRIPE_PARAMETERS = (
    "payment_intent",
    "payment_intent_client_secret",
    "setup_intent",
    "setup_intent_client_secret",
)


class ReturnView(CheckoutAccessMixin, TemplateView):  # type: ignore[misc]
    """Where the payer lands after the card form: asks Stripe, settles, and shows the truth.

    Paid leads on to the host's page. With `?format=json` it answers the state alone, for the page's courtesy polling.
    """

    template_name = "checkout/return.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        checkout = self.object = self.get_object()
        if any(name in request.GET for name in STRIPE_PARAMETERS):
            # Take the client secret out of the address bar and the history before anything else is loaded.
            return redirect("checkout.return", uuid=checkout.uuid)
        checkout = self.object = self._look(checkout)
        if request.GET.get("format") == "json":
            return JsonResponse({"state": checkout.state_id})
        if checkout.succeeded:
            return redirect(self._success_url(checkout))
        return self.render_to_response(self.get_context_data(checkout=checkout))

    def _look(self, checkout: Checkout) -> Checkout:
        """The attempt after asking Stripe; as we know it when Stripe gives no answer that can be settled."""
        try:
            return fulfillment.fulfill(checkout, self.request.user)
        except CheckoutError as problem:
            self.trouble = True
            logger.warning("return page of checkout %s: %s", checkout.pk, problem, extra={"checkout": checkout.pk})
            return checkout

    trouble = False

    def _success_url(self, checkout: Checkout) -> str:
        content_object = checkout.content_object
        return str(content_object.checkout_success_url(checkout.pk)) if content_object is not None else "/"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        checkout = self.object
        content_object = checkout.content_object
        again = remembered_page(self.request, checkout) if checkout.is_open else ""
        if not again and content_object is not None:
            again = content_object.checkout_fail_url(checkout.pk)
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "checkout": checkout,
            "amount": amount_text(checkout),
            "processing": self.trouble or checkout.state_id == states.REQUEST,
            "again_url": again,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }

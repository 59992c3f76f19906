"""Pages that a payer sees and that no host needs to write."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import DetailView, TemplateView

from checkout import actions, declines, money, states
from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.journal import Code
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PlanChange
from checkout.services import fulfillment
from checkout.views import plans
from checkout.views.access import is_asked_by_script, remembered_page, tell_next_page, waiting_answer
from checkout.views.mixins import CheckoutAccessMixin, CheckoutMixin, amount_text
from checkout.views.plan_access import open_for_new_payer

logger = logging.getLogger("checkout.views")

#: What Stripe appends to the return address. It can be forged, so none of it is read.
STRIPE_PARAMETERS = (
    "payment_intent",
    "payment_intent_client_secret",
    "setup_intent",
    "setup_intent_client_secret",
)

#: Why a card is not kept that its bank let pass: the attempt says so in whole sentences.
NOT_TAKEN = frozenset({Code.PAYER_IS_ANOTHER, Code.PLAN_IS_ANOTHER, Code.TAKE_OVER_ENDED})


class PayView(CheckoutMixin, DetailView):  # type: ignore[misc, type-arg]
    """The payment page, for sites that need none of their own."""


class ReturnView(CheckoutAccessMixin, TemplateView):  # type: ignore[misc]
    """Where the payer lands after the card form: asks Stripe, settles, and shows the truth.

    Paid leads on to the host's page.
    """

    template_name = "checkout/return.html"
    #: Stripe gave no answer that could be settled.
    trouble = False

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        checkout = self.object = self.get_object()
        if any(name in request.GET for name in STRIPE_PARAMETERS):
            # Take the client secret out of the address bar and the history before anything else is loaded.
            return redirect("checkout.return", uuid=checkout.uuid)
        checkout = self.object = self._look(checkout)
        if is_asked_by_script(request):
            return waiting_answer(self.is_processing, state=checkout.state_id)
        if checkout.succeeded and not checkout.unapplied:
            return plans.after_card_saved(checkout) or self._go_on(checkout)
        return self.render_to_response(self.get_context_data(checkout=checkout))

    def _look(self, checkout: Checkout) -> Checkout:
        """The attempt after asking Stripe; as we know it when Stripe gives no answer that can be settled."""
        try:
            return fulfillment.fulfill(checkout, self.request.user)
        except CheckoutError as problem:
            self.trouble = True
            logger.warning("return page of checkout %s: %s", checkout.pk, problem, extra={"checkout": checkout.pk})
            return checkout

    @property
    def is_processing(self) -> bool:
        """True while the answer may still come; the page then looks again."""
        return self.object.is_open and (self.trouble or self.object.state_id == states.REQUEST)

    def _go_on(self, checkout: Checkout) -> HttpResponse:
        if isinstance(change := checkout.content_object, PlanChange):
            open_for_new_payer(self.request, change, checkout)
        if isinstance(checkout.content_object, ObjectPaymentPlan | ObjectPaymentPlanInstalment | PlanChange):
            # These lead to the plan's page, which says what was done; a host's page says thank you by itself.
            tell_next_page(self.request, thanks(checkout))
        return redirect(self._success_url(checkout))

    def _success_url(self, checkout: Checkout) -> str:
        content_object = checkout.content_object
        return str(content_object.checkout_success_url(checkout.pk)) if content_object is not None else "/"

    def _again_url(self, checkout: Checkout) -> str:
        """The page on which this browser was paying, while it is of use; else what the host says."""
        if checkout.succeeded:
            return ""
        page = remembered_page(self.request, checkout) if checkout.is_open else ""
        content_object = checkout.content_object
        if page or content_object is None:
            return page
        return str(content_object.checkout_fail_url(checkout.pk))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        checkout = self.object
        outcome, heading, reason = describe(checkout, trouble=self.trouble)
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "checkout": checkout,
            "amount": amount_text(checkout),
            "processing": self.is_processing,
            "outcome": outcome,
            "heading": heading,
            "reason": reason,
            "again_url": self._again_url(checkout),
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }


def thanks(checkout: Checkout) -> str:
    """One sentence for an attempt that succeeded."""
    if checkout.saves_card:
        taken = sum(
            Checkout.objects.success()
            .filter(action=actions.CHARGE, payment_method_id=checkout.payment_method_id)
            .values_list("total", flat=True)
        )
        if not taken:
            return _("Thank you, your new card is saved.")
        amount = money.format_money(taken, checkout.currency, get_language() or "en-gb")
        return _("Thank you, your new card is saved, and %(amount)s was taken from it.") % {"amount": amount}
    return _("Thank you, %(amount)s was paid.") % {"amount": amount_text(checkout)}


def describe(checkout: Checkout, *, trouble: bool = False) -> tuple[str, str, str]:
    """Where an attempt stands that has not succeeded, or is not applied: one word for the template, a heading and a
    sentence."""
    if checkout.succeeded:
        return _unapplied(checkout)
    if trouble and checkout.is_open:
        return (
            "checking",
            _("We are checking your payment") if not checkout.by_setup_intent else _("We are checking your card"),
            _("The payment service has not told us the result yet. Please do not pay again until you see it."),
        )
    if checkout.state_id == states.REQUEST:
        return (
            "processing",
            _("Your payment is being processed"),
            _("Your bank has not answered for good yet. There is nothing more to do, and no need to pay again."),
        )
    if checkout.superseded and checkout.failed:
        return (
            "superseded",
            _("This page is out of date"),
            _("The payment was started again, or settled in another way. Nothing was taken on this page."),
        )
    heading = _("Your card was not saved") if checkout.by_setup_intent else _("Not paid")
    if checkout.failed and checkout.failure_code in NOT_TAKEN:
        return "failed", heading, checkout.failure_text
    return ("failed" if checkout.failed else "unpaid"), heading, " ".join([_reason(checkout), _what_now(checkout)])


def _unapplied(checkout: Checkout) -> tuple[str, str, str]:
    """Paid, and the site could not take it in: its office decides."""
    paid = Checkout.objects.filter(begun_by=checkout).first() or checkout
    if paid.refunded == paid.total:
        return (
            "failed",
            _("Your payment is given back"),
            _("We could not accept it. The money is on its way back to your card; there is nothing more to do."),
        )
    return (
        "checking",
        _("We have your payment"),
        _(
            "It was paid, but it could not be assigned automatically. Our office has it on its list and will sort it "
            "out; please do not pay again."
        ),
    )


def _reason(checkout: Checkout) -> str:
    if checkout.error_code or checkout.decline_code:
        return declines.sentence(checkout.error_code, checkout.decline_code)
    if checkout.failed:
        return _("The payment was cancelled.") if not checkout.by_setup_intent else _("Saving the card was cancelled.")
    return _("The payment was not finished.") if not checkout.by_setup_intent else _("The card form was not finished.")


def _what_now(checkout: Checkout) -> str:
    if checkout.by_setup_intent:
        return _("You can try again, or use another card.")
    return _("Nothing was taken. You can try again, or use another card.")

"""What a host site builds its own payment page from."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import declines, money
from checkout.conf import conf
from checkout.ids import uuid_or_none
from checkout.models import Checkout, SavedCard
from checkout.services import intents
from checkout.views.access import PayerViewMixin, may_open, remember_checkout, was_pressed


class CheckoutAccessMixin(PayerViewMixin):
    """Finds the attempt that the address names, for the payer who began it. Works on GET and POST alike."""

    request: HttpRequest
    kwargs: dict[str, Any]
    object: Checkout

    def get_object(self, queryset: Any = None) -> Checkout:
        """Raises Http404 for a made-up uuid and for somebody else's alike."""
        uuid = uuid_or_none(str(self.kwargs.get("uuid", "")))
        checkout = Checkout.objects.select_related("customer", "payment_plan").filter(uuid=uuid).first()
        if checkout is None or not may_open(self.request, checkout):
            raise Http404
        return checkout


class CheckoutMixin(CheckoutAccessMixin):
    """The payment page: put it before a DetailView or TemplateView, with `<uuid:uuid>` in the address.

    Puts `client_secret` into the context, and what `checkout/_elements.html` and `checkout/_elements.js.html` need. An
    attempt that is finished, or whose intent turns out to be, leads to the return page, which shows the result.
    """

    model = Checkout
    template_name = "checkout/pay.html"
    page: intents.Page

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show(request, self.get_object())

    def show(self, request: HttpRequest, checkout: Checkout) -> HttpResponse:
        """The card form of this attempt, or where its result is shown once it is finished."""
        self.object = checkout
        self.page = intents.page(checkout)
        if self.page.finished:
            return redirect("checkout.return", uuid=checkout.uuid)
        remember_checkout(request, checkout, request.path)
        return self.render_to_response(self.get_context_data(object=checkout))  # type: ignore[attr-defined]

    def get_success_url(self) -> str:
        """Where Stripe.js goes after the card was accepted: our return page, which asks Stripe and then hands over to
        the content object's `checkout_success_url`."""
        return self.request.build_absolute_uri(reverse("checkout.return", args=[self.object.uuid]))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        checkout = self.object
        success_url = self.get_success_url()
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return context | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "checkout": checkout,
            "client_secret": self.page.client_secret,
            "success_url": success_url,
            "stripe_js_url": conf.CHECKOUT_STRIPE_JS_URL,
            "elements_config": elements_config(self.page, success_url)
            | {"confirmNow": was_pressed(self.request, checkout) and bool(self.page.payment_method_id)},
            "amount": amount_text(checkout),
            "button_text": button_text(checkout),
            "deposit_text": deposit_text(checkout),
            "saved_card": saved_card_text(self.page),
            "contact": conf.CHECKOUT_CONTACT_TEXT,
            "caption": conf.STRIPE_CAPTION,
        }


def amount_text(checkout: Checkout) -> str:
    """The amount as the reader writes it; empty when nothing is taken."""
    if checkout.asks_for is None:
        return ""
    return money.format_money(checkout.asks_for, checkout.currency, get_language() or "en-gb")


def button_text(checkout: Checkout) -> str:
    """What the button does, with the amount that pressing it costs: consumer law in the EU and the UK asks for that."""
    deposit = deposit_text(checkout)
    if deposit:
        return _("Save card and pay %(amount)s") % {"amount": deposit}
    if checkout.by_setup_intent:
        return _("Save card")
    return _("Pay %(amount)s now") % {"amount": amount_text(checkout)}


def deposit_text(checkout: Checkout) -> str:
    """What is charged right after the card of a plan is saved; empty when nothing is."""
    if checkout.payment_plan is None or checkout.total is None or not checkout.by_setup_intent:
        return ""
    deposit = checkout.payment_plan.deposit_amount(checkout.total, checkout.currency)
    return money.format_money(deposit, checkout.currency, get_language() or "en-gb")


def saved_card_text(page: intents.Page) -> str:
    """Which saved card the page offers to pay with first; empty when it offers none."""
    if not page.payment_method_id:
        return ""
    card = SavedCard.objects.filter(payment_method_id=page.payment_method_id).first()
    return card.description if card is not None and card.last4 else _("the card that we keep for you")


def elements_config(page: intents.Page, success_url: str) -> dict[str, Any]:
    """What elements.js reads from the page. The client secret is in its payer's page only, never in a log or URL."""
    return {
        "publishableKey": conf.required("STRIPE_PUBLISH_KEY"),
        "clientSecret": page.client_secret,
        "intent": "setup" if page.checkout.by_setup_intent else "payment",
        "savedPaymentMethod": page.payment_method_id,
        "successUrl": success_url,
        "locale": (get_language() or "auto").split("-")[0],
        "messages": {
            "loading": _("Loading the card form…"),
            "working": _("One moment, please. Do not close this page."),
            "notLoaded": _(
                "The card form could not be loaded, so nothing was taken. Check your connection or any blocker of "
                "scripts, then reload this page."
            ),
            "notConfirmed": declines.sentence("payment_intent_authentication_failure", ""),
            "declined": _("You can try again, or use another card.")
            if page.checkout.by_setup_intent
            else _("Nothing was taken. You can try again, or use another card."),
            "failed": _("The card was not saved. Please try again.")
            if page.checkout.by_setup_intent
            else _("The payment did not go through. Nothing was taken. Please try again."),
            "unknown": _("We could not see the answer of the payment service. Looking it up…"),
            "unclear": _(
                "We could not reach the payment service. Check your connection, then press the button again: on this "
                "page you cannot be charged twice."
            ),
        },
    }

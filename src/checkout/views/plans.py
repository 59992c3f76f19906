"""Choosing how to pay, agreeing to a plan, and going on when its deposit was not taken at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import View

from checkout import actions, declines, links, money, states
from checkout.conf import conf
from checkout.contract import ContentObject
from checkout.errors import PlanError
from checkout.ids import ip_address_or_none, storable
from checkout.models import Checkout, CheckoutSettings, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.schedule import Line
from checkout.services import agreements, attempt_rows, checkouts, invoices, plans
from checkout.views import limits
from checkout.views.access import PayerViewMixin, is_asked_by_script, remember_checkout, waiting_answer
from checkout.views.mixins import CheckoutAccessMixin


@dataclass(frozen=True, slots=True)
class PlanOption:
    """A template with what it would mean for this payer."""

    payment_plan: PaymentPlan
    lines: list[Line]

    @property
    def deposit(self) -> Line:
        return self.lines[0]


#: A deposit that may still be taken without its payer.
WAITING = frozenset({states.PENDING, states.REQUEST})


class PaymentChoiceMixin(PayerViewMixin):
    """Lets the payer choose between paying at once, in instalments and by invoice; put it before a View.

    The host says what is paid for in `get_content_object`, and authorises there, for GET and POST alike. Only what
    `checkout_actions` names is offered; a site that has asked already goes straight to one plan's agreement with
    `?payment_plan=<slug>`. A plan is begun only with the box ticked, and only if the dates and amounts are still those
    that the page had shown.
    """

    request: HttpRequest
    choose_template_name = "checkout/choose.html"
    agree_template_name = "checkout/agree.html"

    def get_content_object(self) -> ContentObject:
        """The row that is paid for. Raise Http404 for a visitor who may not pay for it."""
        raise Http404("This view does not say what is paid for.")

    def get_payment_url(self, checkout: Checkout) -> str:
        """The page with the card form."""
        return reverse("checkout.pay", args=[checkout.uuid])

    def get_invoice_url(self, content_object: ContentObject) -> str:
        """Where an invoice is asked for; empty for a site that has no such page. The ready one is signed for this row,
        whose payer `get_content_object` has let in."""
        return links.invoice_form(content_object)

    def get_payment_plans(self, content_object: ContentObject) -> list[PaymentPlan]:
        """The templates to offer, the site's default first."""
        default = CheckoutSettings.objects.settings.default_payment_plan_id
        return sorted(PaymentPlan.objects.current(), key=lambda plan: (plan.pk != default, plan.name))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        content_object = self.get_content_object()
        slug = request.GET.get("payment_plan", "")
        if slug:
            return self._agreement_page(content_object, self._plan(content_object, slug))
        return self._choice_page(content_object)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        content_object = self.get_content_object()
        action = request.POST.get("action", "")
        if action == actions.PAYMENT_PLAN:
            return self._agree(content_object, self._plan(content_object, request.POST.get("payment_plan", "")))
        if action != actions.PAYMENT:
            return self._choice_page(content_object, error=_("Please choose how you want to pay."), status=422)
        limits.check(request, content_object)
        return self._go(Checkout.objects.create_checkout(action, content_object, request.user))

    def _plan(self, content_object: ContentObject, slug: str) -> PaymentPlan:
        """Raises Http404 for a plan that is not offered here."""
        checkouts.check_allowed(content_object, actions.PAYMENT_PLAN)
        for plan in self.get_payment_plans(content_object):
            if plan.slug == slug:
                return plan
        raise Http404

    def _go(self, checkout: Checkout) -> HttpResponse:
        remember_checkout(self.request, checkout)
        return redirect(self.get_payment_url(checkout))

    def _agree(self, content_object: ContentObject, payment_plan: PaymentPlan) -> HttpResponse:
        text = agreements.wording(payment_plan, content_object)
        if not self.request.POST.get("agree"):
            message = _("Please tick the box to agree, or go back and choose another way to pay.")
            return self._agreement_page(content_object, payment_plan, error=message, status=422)
        if self.request.POST.get("shown") != fingerprint(text):
            message = _("The dates or amounts have changed since the page was opened. Please read them again.")
            return self._agreement_page(content_object, payment_plan, error=message, status=422)
        limits.check(self.request, content_object)
        terms = agreements.agreement_terms(
            payment_plan,
            content_object,
            text=text,
            ip_address=ip_address_or_none(self.request.META.get("REMOTE_ADDR", "")),
            user_agent=storable(self.request.headers.get("User-Agent", "")),
        )
        checkout = Checkout.objects.create_checkout(
            actions.PAYMENT_PLAN, content_object, self.request.user, payment_plan=payment_plan, agreement=terms
        )
        return self._go(checkout)

    def _choice_page(self, content_object: ContentObject, *, error: str = "", status: int = 200) -> HttpResponse:
        offered = content_object.checkout_actions if content_object.checkout_can_charge else []
        options = self._plan_options(content_object) if actions.PAYMENT_PLAN in offered else []
        context = {
            "pay_now": actions.PAYMENT in offered,
            "options": options,
            "invoice_asked": actions.INVOICE in offered and invoices.asked_before(content_object) is not None,
            "invoice_url": self.get_invoice_url(content_object) if actions.INVOICE in offered else "",
            "error": error,
        }
        return self._render(self.choose_template_name, content_object, context, status)

    def _plan_options(self, content_object: ContentObject) -> list[PlanOption]:
        """The templates that can split this total; one that cannot is not shown."""
        if agreements.has_live_plan(content_object):
            return []
        options = []
        for plan in self.get_payment_plans(content_object):
            try:
                options.append(PlanOption(plan, agreements.lines_today(content_object, plan)))
            except PlanError:
                continue
        return options

    def _agreement_page(
        self, content_object: ContentObject, payment_plan: PaymentPlan, *, error: str = "", status: int = 200
    ) -> HttpResponse:
        text = agreements.wording(payment_plan, content_object)
        context = {
            "option": PlanOption(payment_plan, agreements.check_can_agree(content_object, payment_plan)),
            "paragraphs": text.split("\n\n"),
            "shown": fingerprint(text),
            "error": error,
        }
        return self._render(self.agree_template_name, content_object, context, status)

    def _render(
        self, template: str, content_object: ContentObject, context: dict[str, Any], status: int
    ) -> HttpResponse:
        currency = attempt_rows.currency_of(content_object)
        total: Decimal = content_object.checkout_total
        shared = {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "content_object": content_object,
            "currency": currency,
            "description_lines": list(content_object.checkout_description),
            "amount": money.format_money(total, currency, get_language() or "en-gb"),
            "caption": conf.STRIPE_CAPTION,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
            "page_url": self.request.path,
        }
        return render(self.request, template, shared | context, status=status)


def fingerprint(text: str) -> str:
    """Tells whether a page that was shown earlier said the same."""
    return hashlib.sha256(text.encode()).hexdigest()


class DepositView(CheckoutAccessMixin, View):
    """The card was saved, but the deposit was not taken at once: what happened, and how to go on.

    Reached by the payer whose attempt saved the card. While somebody else (the webhook, say) is taking the deposit the
    page waits for the answer and then goes on by itself. Looking takes nothing: one that Stripe could not be asked for
    when the card was saved is taken by the button, or by the next sweep. POST with `another_card` begins the payment
    of the deposit with another card.
    """

    template_name = "checkout/deposit.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        checkout = self.object = self.get_object()
        deposit = plans.deposit_for(checkout)
        processing = deposit is not None and deposit.state_id in WAITING
        if is_asked_by_script(request):
            return waiting_answer(processing)
        if deposit is None or deposit.state_id == states.SUCCESS:
            return redirect("checkout.return", uuid=checkout.uuid)
        if deposit.state_id == states.PAY_ON_SESSION:
            return self._go_on(deposit, another_card=False)
        failed = Checkout.objects.for_content_object(deposit).order_by("-pk").first()
        context = {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "checkout": checkout,
            "deposit": deposit,
            "currency": deposit.checkout_currency,
            "processing": processing,
            "reason": declines.sentence(failed.error_code, failed.decline_code) if failed else "",
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }
        return render(request, self.template_name, context)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        checkout = self.object = self.get_object()
        deposit = plans.deposit_for(checkout)
        if deposit is None:
            raise Http404
        if deposit.state_id == states.SUCCESS:
            return redirect("checkout.return", uuid=checkout.uuid)
        if "another_card" not in request.POST and deposit.state_id == states.PENDING:
            plans.take_waiting_deposit(checkout)
            return redirect(request.path)
        return self._go_on(deposit, another_card=True)

    def _go_on(self, deposit: ObjectPaymentPlanInstalment, *, another_card: bool) -> HttpResponse:
        limits.check(self.request, deposit)
        attempt = Checkout.objects.create_checkout_pay_on_session(deposit, self.request.user, another_card=another_card)
        remember_checkout(self.request, attempt)
        return redirect("checkout.pay", uuid=attempt.uuid)


def after_card_saved(checkout: Checkout) -> HttpResponse | None:
    """Where the payer of a plan goes when the card is saved and the deposit is not yet taken; None when it is."""
    deposit = plans.deposit_for(checkout) if checkout.is_payment_plan else None
    if deposit is None or deposit.state_id == states.SUCCESS:
        return None
    return redirect("checkout.deposit", uuid=checkout.uuid)

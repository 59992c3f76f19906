"""The payer's pages for a request for money (by a signed link) and for an invoice."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import FormView, TemplateView

from checkout import actions, links, money, states
from checkout.conf import conf
from checkout.contract import ContentObject
from checkout.errors import CannotPay
from checkout.models import CustomerPayment
from checkout.services import attempt_rows, checkouts, invoices, requests
from checkout.views import limits
from checkout.views.access import is_asked_by_script, problem_page, remember_checkout, waiting_answer
from checkout.views.invoice_form import InvoiceForm
from checkout.views.signed_links import SignedLinkMixin


class RequestPayView(SignedLinkMixin, TemplateView):  # type: ignore[misc]
    """Looking shows the amount and changes nothing, here or at Stripe; the button begins the payment."""

    template_name = "checkout/request_pay.html"

    def read_token(self, token: str) -> None:
        self.token_uuid = links.read_token(token, CustomerPayment)
        payment = CustomerPayment.objects.select_related("customer").filter(uuid=self.token_uuid).first()
        if payment is not None and not links.is_current(token, payment):
            raise links.RevokedLink("The payer's address was corrected, or the link revoked.")

    def expired(self, token: str) -> HttpResponse:
        """A new link only while there is something to pay, which an old link does not tell."""
        return self.offer_new_link(
            _("Our links work for a limited time. If this is still to pay, we can send you a new one."),
            _("If this is still to pay, it comes by mail within a few minutes, to the address that we have for it."),
            lambda: requests.link_asked(links.read_expired(token, CustomerPayment)),
            heading=_("Please look into your mailbox"),
        )

    def get_payment(self) -> CustomerPayment:
        return get_object_or_404(CustomerPayment.objects.select_related("customer"), uuid=self.token_uuid)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        payment = self.get_payment()
        if is_asked_by_script(request):
            return waiting_answer(requests.is_being_charged(payment))
        return self.render_to_response(self.get_context_data(payment=payment))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        payment = self.get_payment()
        if payment.is_withdrawn:
            return redirect(request.path)
        limits.check(request, payment)
        try:
            checkout = requests.begin(payment)
        except CannotPay:
            # Paid or withdrawn meanwhile, or being paid: the page says which.
            return redirect(request.path)
        remember_checkout(request, checkout)
        return redirect("checkout.pay", uuid=checkout.uuid)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        payment = kwargs["payment"]
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "amount": money.format_money(payment.total, payment.currency, get_language() or "en-gb"),
            "paid": payment.state_id == states.SUCCESS,
            "withdrawn": payment.is_withdrawn,
            "busy": requests.is_being_charged(payment),
            "caption": conf.STRIPE_CAPTION,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }


class InvoiceView(SignedLinkMixin, FormView):  # type: ignore[type-arg]
    """The payer says where the invoice goes. The signed address stands for the row that is paid for."""

    template_name = "checkout/invoice.html"
    form_class = InvoiceForm
    content_object: ContentObject

    def read_token(self, token: str) -> None:
        self.content_object = invoices.read_token(token)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if invoices.asked_before(self.content_object) is not None:
            return self._thanks()
        # Before anybody fills in the form; `invoices.request_invoice` asks again.
        checkouts.check_allowed(self.content_object, actions.INVOICE)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        if invoices.asked_before(self.content_object) is not None:
            return redirect(request.path)
        return super().post(request, *args, **kwargs)

    def _thanks(self) -> HttpResponse:
        return problem_page(
            self.request,
            200,
            _("We will send you an invoice"),
            _("Thank you. There is nothing to pay before you have it. To change the address, please contact us."),
        )

    def get_initial(self) -> dict[str, Any]:
        return {"contact_name": self.content_object.checkout_name, "email": self.content_object.checkout_email}

    def form_valid(self, form: InvoiceForm) -> HttpResponse:
        # The form writes to whatever address is typed, so it is limited like attempts at paying.
        limits.check(self.request, self.content_object)
        user = self.request.user if self.request.user.is_authenticated else None
        checkout = invoices.request_invoice(self.content_object, form.save(commit=False), user)
        limits.count(self.request, checkout)
        return redirect(str(self.content_object.checkout_success_url(checkout.pk)))

    def form_invalid(self, form: InvoiceForm) -> HttpResponse:
        first = next(name for name in form.fields if name in form.errors)
        form.fields[first].widget.attrs["autofocus"] = True
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        row = self.content_object
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "description": row.checkout_description,
            "amount": money.format_money(row.checkout_total, attempt_rows.currency_of(row), get_language() or "en-gb"),
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }

"""The shop's pages. The two that matter to a reader of this example are at the end."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.generic import DetailView, ListView, TemplateView, View
from post_office.models import Email

from checkout import links
from checkout.models import Checkout, CheckoutAction
from checkout.views import CheckoutMixin, PayerViewMixin, PaymentChoiceMixin, remember_checkout
from example_checkout.forms import BuyForm
from example_checkout.models import Contact, Product, SalesLedger

SESSION_KEY = "example_orders"


def contact_of(request: HttpRequest) -> Contact | None:
    if not request.user.is_authenticated:
        return None
    return Contact.objects.filter(user_id=request.user.pk).first()


def may_open(request: HttpRequest, sale: SalesLedger) -> bool:
    """True for whoever ordered it: by login, or by the browser session in which it was ordered."""
    if sale.pk in request.session.get(SESSION_KEY, []):
        return True
    return request.user.is_authenticated and sale.contact.user_id == request.user.pk


class HomeView(TemplateView):
    template_name = "example/home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        emulator_url = settings.EMULATOR_URL if settings.USES_EMULATOR else ""
        return super().get_context_data(products=Product.objects.all(), emulator_url=emulator_url, **kwargs)


class ProductView(DetailView):  # type: ignore[type-arg]
    model = Product
    template_name = "example/product.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        context.setdefault("form", BuyForm(contact=contact_of(self.request)))
        return context


class BuyView(ProductView):
    """Orders a course; a GET (a reload after a mistake, say) shows the form again."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.get_object()
        form = BuyForm(request.POST, contact=contact_of(request))
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form), status=422)
        sale = SalesLedger.objects.create(
            contact=form.buyer(), product=self.object, quantity=form.cleaned_data["quantity"]
        )
        request.session[SESSION_KEY] = [*request.session.get(SESSION_KEY, []), sale.pk][-50:]
        return redirect(sale)


class PurchasesView(ListView):  # type: ignore[type-arg]
    """What was ordered by this login, and in this browser without one."""

    template_name = "example/purchases.html"
    paginate_by = 20

    def get_queryset(self) -> QuerySet[SalesLedger]:
        theirs = Q(pk__in=self.request.session.get(SESSION_KEY, []))
        if self.request.user.is_authenticated:
            theirs |= Q(contact__user=self.request.user)
        return SalesLedger.objects.filter(theirs).select_related("product", "contact")


class MailsView(TemplateView):
    """The mails that were "sent". Everybody may read them in the demo; elsewhere only staff who may see mails: the
    links in them open payments."""

    template_name = "example/mails.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        if not (settings.DEBUG or self.request.user.has_perm("post_office.view_email")):
            raise Http404
        return super().get_context_data(mails=Email.objects.order_by("-pk")[:50], **kwargs)


class SalesLedgerAccessMixin(PayerViewMixin):
    """Finds the order that the address names, for whoever ordered it. Works on GET and POST alike."""

    request: HttpRequest
    kwargs: dict[str, Any]

    def get_object(self, queryset: Any = None) -> SalesLedger:
        sale = get_object_or_404(SalesLedger.objects.select_related("contact", "product"), pk=self.kwargs["pk"])
        if not may_open(self.request, sale):
            raise Http404
        return sale


class SalesLedgerView(SalesLedgerAccessMixin, DetailView):  # type: ignore[type-arg]
    template_name = "example/sales_ledger.html"


class NextMonthView(SalesLedgerAccessMixin, View):
    """For the demonstration alone: the next instalment is due today, and the night's jobs run."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        plan = self.get_object().live_plan
        if not (settings.DEBUG and settings.USES_EMULATOR) or plan is None:
            raise Http404
        if plan.payments.filter(Q(state="pending")).exists():
            call_command("testing_set_pending_instalment_due", plan.pk)
            for job in ("process_payments", "send_on_session_payment_emails", "send_letters"):
                call_command(job)
        return redirect("checkout.plan.progress", uuid=plan.uuid)


class ThankYouView(SalesLedgerAccessMixin, DetailView):  # type: ignore[type-arg]
    """Says thank you only for what was paid: the address can be typed by anyone who ordered."""

    template_name = "example/thank_you.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.get_object().status == SalesLedger.Status.OPEN:
            return redirect("example.sales.ledger", pk=self.kwargs["pk"])
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"receipt": links.receipt_page(self.get_object())}


class SalesLedgerSessionRedirectView(SalesLedgerAccessMixin, View):
    """Begins the payment of an order, or continues the one that is open, and goes to its page."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        sale = self.get_object()
        checkout = Checkout.objects.create_checkout(CheckoutAction.objects.payment, sale, request.user)
        remember_checkout(request, checkout)
        return redirect("example.checkout", uuid=checkout.uuid)


class SalesLedgerChoiceView(SalesLedgerAccessMixin, PaymentChoiceMixin, View):
    """How to pay: at once, or in instalments that are shown and agreed to first."""

    def get_content_object(self) -> SalesLedger:
        return self.get_object()

    def get_payment_url(self, checkout: Checkout) -> str:
        return reverse("example.checkout", args=[checkout.uuid])


class SalesLedgerCheckoutView(CheckoutMixin, DetailView):  # type: ignore[type-arg]
    """The payment page."""

    template_name = "example/checkout.html"

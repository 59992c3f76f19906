"""Requests for money: an amount that staff ask of a customer."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import FormView

from checkout import advice, states
from checkout.errors import CheckoutError
from checkout.models import Customer, CustomerPayment, Proposal
from checkout.office import proposals, search, selectors, services, stories, sums
from checkout.office.forms import ConfirmForm, ReasonForm
from checkout.office.money_forms import CustomerPaymentForm, MeansForm
from checkout.office.views import undoing, ways_back
from checkout.office.views.base import StaffMixin, StaffPageView
from checkout.office.views.cells import Cell, debt_cell, money_cell, show_money, show_time, time_cell
from checkout.office.views.instalments import tell
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView
from checkout.office.views.plans import customer_cell, revoked
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import requests


def _find(rows: QuerySet[CustomerPayment], text: str) -> QuerySet[CustomerPayment]:
    return rows.filter(customer__in=search.find_customers(Customer.objects.all(), text).values("pk")[:500])


def _state_cell(payment: CustomerPayment) -> Cell:
    if payment.is_withdrawn:
        return Cell(_("Withdrawn"), state="", plain="withdrawn")
    return debt_cell(payment.state_id or "")


class CustomerPaymentListView(StaffListView):
    permission = "checkout.view_customerpayment"
    menu = "checkout.customer.payment.list"
    heading = gettext_lazy("Requests for money")
    intro = gettext_lazy("Amounts that we asked of customers, outside any plan.")
    empty = gettext_lazy("Nobody was asked for an amount yet.")
    find = staticmethod(_find)
    search_hint = gettext_lazy("Name or e-mail address")
    csv_name = "requests"
    shows = (("all", gettext_lazy("All")), ("open", gettext_lazy("To pay")))
    filters = [
        Filter(
            "state",
            gettext_lazy("State"),
            lambda rows, value: rows.filter(Q(state=value)),
            list(advice.DEBT_NAMES.items()),
        )
    ]

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(_("Number"), lambda row: Cell(str(row.pk), url=row.get_absolute_url()), header=True),
            Column(_("Customer"), lambda row: customer_cell(row.customer)),
            Column(_("What for"), lambda row: row.description),
            Column(_("Amount"), lambda row: money_cell(row.total, row.currency), number=True),
            Column(_("Paid, net"), self._kept, number=True),
            Column(_("State"), _state_cell),
            Column(_("Asked by"), lambda row: row.user or ""),
            Column(_("Asked"), lambda row: time_cell(row.created_at)),
            CURRENCY,
        ]

    def get_rows(self) -> QuerySet[CustomerPayment]:
        rows = CustomerPayment.objects.select_related("customer", "user")
        return rows.filter(Q(state__in=states.UNPAID), withdrawn_at=None) if self.show == "open" else rows

    def prepare(self, rows: list[Any]) -> None:
        self.moved = sums.of_requests(row.pk for row in rows)

    def _kept(self, payment: CustomerPayment) -> Cell:
        moved = self.moved.get(payment.pk, sums.NOTHING)
        went_back = _("%(amount)s went back") % {"amount": show_money(moved.back, payment.currency)}
        return money_cell(moved.kept, payment.currency, small=went_back if moved.back else "")

    def get_actions(self) -> list[dict[str, str]]:
        if not self.can("add_customerpayment"):
            return []
        return [{"url": reverse("checkout.customer.payment.create"), "text": _("Ask for an amount")}]


class CustomerChargeCreateView(StaffMixin, FormView):  # type: ignore[type-arg]
    """Ask a customer for an amount: by a signed link, or (with the permission to charge) from the saved card at once.

    Public, for hosts that put it on their own pages: `?customer=PK` fills in who.
    """

    permission = "checkout.add_customerpayment"
    menu = "checkout.customer.payment.list"
    template_name = "checkout/staff/form.html"
    form_class = CustomerPaymentForm
    heading = gettext_lazy("Ask for an amount")

    def get_customer(self) -> Customer | None:
        pk = self.request.GET.get("customer", "")
        return Customer.objects.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 19 else None

    def get_form_kwargs(self) -> dict[str, Any]:
        more = {"customer": self.get_customer(), "may_charge": self.can("charge")}
        return super().get_form_kwargs() | more

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "button": _("Ask for it"),
            "back_url": reverse("checkout.customer.payment.list"),
        }

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def form_valid(self, form: CustomerPaymentForm) -> HttpResponse:
        data = form.cleaned_data
        existing = CustomerPayment.objects.filter(uuid=data["key"]).first()
        if existing is not None:
            messages.info(self.request, _("Already done: this was asked for."))
            return HttpResponseRedirect(existing.get_absolute_url())
        try:
            payment = requests.create(
                email=data["email"],
                name=data["name"],
                description=data["description"],
                total=data["amount"],
                user=self.request.user,
                key=data["key"],
            )
        except CheckoutError as problem:
            form.add_error(None, str(problem))
            return self.form_invalid(form)
        if data["how"] == CustomerPaymentForm.CARD and self.can("charge"):
            # A card is charged after a page that shows once more whose, and how much.
            messages.info(self.request, _("The request is written down. Nothing was charged yet."))
            return HttpResponseRedirect(reverse("checkout.customer.payment.charge", args=[payment.uuid]))
        self._send(payment)
        return HttpResponseRedirect(payment.get_absolute_url())

    def _send(self, payment: CustomerPayment) -> None:
        """The request is written down; what goes wrong from here is shown on its page, where it can be done again."""
        try:
            requests.send_link(payment, self.request.user)
            messages.success(self.request, _("The mail with the link is on its way."))
        except CheckoutError as problem:
            messages.error(self.request, str(problem))


def find(uuid: Any) -> CustomerPayment:
    return get_object_or_404(
        CustomerPayment.objects.select_related("customer", "state", "user", "withdrawn_by"), uuid=uuid
    )


class CustomerPaymentDetailView(StaffPageView):
    template_name = "checkout/staff/request_detail.html"
    permission = "checkout.view_customerpayment"
    menu = "checkout.customer.payment.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        payment = find(self.kwargs["uuid"])
        attempts = list(selectors.attempts(payment).order_by("-pk")[:50])
        latest = next((each for each in attempts if not each.superseded), None)
        moved = sums.of_requests([payment.pk]).get(payment.pk, sums.NOTHING)
        self.heading = _("Request %(number)d") % {"number": payment.pk}
        return super().get_context_data(**kwargs) | {
            "payment": payment,
            "amount": show_money(payment.total, payment.currency),
            "payer": customer_cell(payment.customer).text,
            "advice": advice.advise(latest) if latest is not None and payment.is_to_pay else None,
            "facts": [
                (
                    _("Customer"),
                    payment.customer,
                    reverse("checkout.customer.detail", args=[payment.customer_id]),
                ),
                (_("What for"), payment.description, ""),
                (_("Paid, net"), show_money(moved.kept, payment.currency) if moved.came else "", ""),
                (_("Went back"), show_money(moved.back, payment.currency) if moved.back else "", ""),
                (_("Asked by"), payment.user or "", ""),
                (_("Asked"), show_time(payment.created_at), ""),
                (_("Card"), payment.customer.card_description or _("no card saved"), ""),
                (_("Withdrawn"), show_time(payment.withdrawn_at) if payment.withdrawn_at else "", ""),
                (_("Withdrawn by"), payment.withdrawn_by or "", ""),
                (_("Why"), payment.withdrawn_why, ""),
            ],
            "attempts": [{"checkout": each, "told": advice.advise(each)} for each in attempts],
            "story": stories.request_story(payment),
            "actions": self._actions(payment),
        }

    def _actions(self, payment: CustomerPayment) -> list[dict[str, Any]]:
        unpaid = payment.is_to_pay

        def to(do: str) -> str:
            return reverse(f"checkout.customer.payment.{do}", args=[payment.uuid])

        covered = payment.customer.card_for_other_amounts is not None
        return self.offer(
            ("send_mail", to("send"), _("Send the link again"), unpaid),
            (
                "charge",
                to("charge"),
                _("Charge the saved card"),
                unpaid and covered,
            ),
            ("settle_by_hand", to("paid"), _("Mark as paid"), unpaid),
            ("add_customerpayment", to("withdraw"), _("Withdraw it"), unpaid),
            ("send_mail", to("revoke"), _("Revoke its links"), True),
            *undoing.offers(payment),
        )


class _RequestActionView(StaffActionView):
    menu = "checkout.customer.payment.list"
    object: CustomerPayment

    def get_object(self) -> CustomerPayment:
        return find(self.kwargs["uuid"])

    def get_version(self) -> str:
        newest = selectors.attempts(self.object).order_by("-pk").values_list("pk", flat=True).first()
        return f"{newest_change(self.object)}-{newest or 0}"

    def get_refusal(self) -> str:
        if self.object.is_withdrawn:
            return _("This request was withdrawn. There is nothing to pay.")
        return _("Already done: this was paid.") if self.object.state_id == states.SUCCESS else ""

    def get_facts(self) -> list[tuple[Any, Any]]:
        payment = self.object
        return [
            (_("Customer"), payment.customer),
            (_("What for"), payment.description),
            (_("Amount"), show_money(payment.total, payment.currency)),
            (_("State"), advice.DEBT_NAMES[payment.state_id or ""]),
            (_("Card"), payment.customer.card_description or _("no card saved")),
        ]


class CustomerPaymentSendView(_RequestActionView):
    permission = "checkout.send_mail"
    form_class = ConfirmForm
    heading = gettext_lazy("Send the link again")
    way_back = ways_back.MAIL
    question = gettext_lazy("A new mail with a new link goes to the customer.")
    button = gettext_lazy("Send the mail")

    def perform(self, form: Any) -> str:
        requests.send_link(self.object, self.request.user, again=True)
        return _("The mail is on its way.")


class CustomerPaymentRevokeView(_RequestActionView):
    permission = "checkout.send_mail"
    heading = gettext_lazy("Revoke the links of a request")
    way_back = ways_back.LINKS
    question = gettext_lazy(
        "No link of an earlier mail opens this request any more, and payment pages that are open are ended. What was "
        "paid stays paid. Send a new link afterwards."
    )
    button = gettext_lazy("Revoke the links")
    danger = True

    def get_version(self) -> str:
        return f"{super().get_version()}-{self.object.links_revoked_at}"

    def get_refusal(self) -> str:
        return ""

    def perform(self, form: Any) -> str:
        return revoked(services.revoke_links(self.object, self.request.user, form.cleaned_data["reason"]))


class CustomerPaymentChargeView(_RequestActionView):
    permission = "checkout.charge"
    form_class = ReasonForm
    heading = gettext_lazy("Charge the saved card")
    way_back = ways_back.CHARGE
    question = gettext_lazy("The saved card is charged at once, while its owner is away.")
    button = gettext_lazy("Charge now")
    danger = True

    def perform(self, form: Any) -> str:
        checkout = requests.charge(self.object, self.request.user, form.cleaned_data["reason"])
        self.went_well = checkout.succeeded
        return tell(checkout)


class CustomerPaymentWithdrawView(_RequestActionView):
    permission = "checkout.add_customerpayment"
    form_class = ReasonForm
    heading = gettext_lazy("Withdraw a request")
    way_back = gettext_lazy("It cannot be undone; ask for the amount anew.")
    question = gettext_lazy(
        "Nothing is owed for it any more. Its links say that it was withdrawn, and if it had been mailed, a letter "
        "says so. Should its payer be paying at this moment, it is paid instead, and you are told."
    )
    button = gettext_lazy("Withdraw it")
    danger = True

    def perform(self, form: ReasonForm) -> str:
        if requests.withdraw(self.object, self.request.user, form.cleaned_data["reason"]):
            return _("Withdrawn. Nothing is owed for it any more.")
        self.went_well = False
        return _("It has just been paid, so it was not withdrawn.")


class CustomerPaymentPaidView(_RequestActionView):
    permission = "checkout.settle_by_hand"
    form_class = MeansForm
    heading = gettext_lazy("Mark as paid")
    way_back = ways_back.PAID
    question = gettext_lazy("It was paid by other means, for example in cash. No card is charged.")
    button = gettext_lazy("Mark as paid")

    def get_refusal(self) -> str:
        return super().get_refusal() or proposals.refusal(self.object)

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [*super().get_facts(), *proposals.limit_fact()]

    def perform(self, form: Any) -> str:
        reason = form.cleaned_data["reason"]
        done = proposals.do_or_propose(
            Proposal.Kind.PAID, self.object, None, self.request.user, reason, means=form.means
        )
        if isinstance(done, Proposal):
            self.went_well = False
            return proposals.told(done)
        return _("Marked as paid.")

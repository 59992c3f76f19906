"""Customers and their saved cards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout.errors import AlreadyPaid
from checkout.models import Customer, ObjectPaymentPlan
from checkout.office import search, selectors
from checkout.office.forms import ConfirmForm
from checkout.office.views.base import (
    Cell,
    Column,
    Filter,
    StaffActionView,
    StaffListView,
    StaffPageView,
    Tab,
    date_cell,
    show_date,
    show_money,
    show_time,
    time_cell,
)
from checkout.office.views.checkouts import stripe_url
from checkout.office.views.plans import card_state, card_tabs
from checkout.services import cards


def _name(customer: Customer) -> Cell:
    return Cell(
        customer.name or customer.email,
        url=reverse("checkout.customer.detail", args=[customer.pk]),
        plain=customer.name,
    )


COLUMNS = [
    Column(gettext_lazy("Name"), _name, header=True),
    Column(gettext_lazy("E-mail address"), lambda row: row.email),
    Column(gettext_lazy("Card"), lambda row: row.card_description),
    Column(gettext_lazy("Good until"), lambda row: date_cell(row.expiry_date)),
    Column(gettext_lazy("State"), card_state),
    Column(gettext_lazy("Since"), lambda row: time_cell(row.created_at)),
]


class CustomerListView(StaffListView):
    permission = "checkout.view_customer"
    menu = "checkout.customer.list"
    heading = gettext_lazy("Customers")
    intro = gettext_lazy("Everybody with a saved card, or who was asked for one.")
    empty = gettext_lazy("Nobody has saved a card yet.")
    columns = COLUMNS
    find = staticmethod(search.find_customers)
    search_hint = gettext_lazy("Name, e-mail address, or the card's last four digits")
    csv_name = "customers"

    def get_rows(self) -> QuerySet[Customer]:
        return selectors.customers()


class CardRefreshListView(CustomerListView):
    menu = "checkout.card.refresh.list"
    heading = gettext_lazy("New card wanted")
    intro = gettext_lazy("Customers who should give us a new card.")
    empty = gettext_lazy("Nobody has to give us a new card.")
    csv_name = "card-refresh"
    filters: list[Filter] = []

    def get_rows(self) -> QuerySet[Customer]:
        return Customer.objects.filter(refresh=True)

    def get_tabs(self) -> list[Tab]:
        return card_tabs(self.request)


class CustomerDetailView(StaffPageView):
    template_name = "checkout/staff/customer_detail.html"
    permission = "checkout.view_customer"
    menu = "checkout.customer.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        customer = get_object_or_404(Customer, pk=self.kwargs["pk"])
        self.heading = str(customer.name or customer.email)
        plans = list(
            ObjectPaymentPlan.objects.filter(customer=customer).select_related("payment_plan").order_by("-pk")[:20]
        )
        progress = selectors.progress(plan.pk for plan in plans)
        return super().get_context_data(**kwargs) | {
            "customer": customer,
            "card_state": card_state(customer),
            "facts": [
                (_("E-mail address"), customer.email, ""),
                (_("Card"), customer.card_description or _("no card saved"), ""),
                (_("Good until"), show_date(customer.expiry_date) if customer.expiry_date else "", ""),
                (_("At Stripe"), customer.customer_id, stripe_url(customer.customer_id)),
                (_("Since"), show_time(customer.created_at), ""),
            ],
            "plans": [
                {
                    "plan": plan,
                    "total": show_money(plan.total, plan.currency),
                    "paid": show_money(progress[plan.pk].paid if plan.pk in progress else Decimal(0), plan.currency),
                }
                for plan in plans
            ],
            "checkouts": list(selectors.checkouts().filter(customer=customer).order_by("-pk")[:20]),
            "requests": [
                {"payment": row, "amount": show_money(row.total, row.currency)}
                for row in customer.payments.select_related("state").order_by("-pk")[:20]
            ],
            "mails": selectors.queued_mails(customer.email),
            "actions": self._actions(customer),
        }

    def _actions(self, customer: Customer) -> list[dict[str, Any]]:
        ask = f"{reverse('checkout.customer.payment.create')}?customer={customer.pk}"
        return self.offer(
            ("add_customerpayment", ask, _("Ask for an amount"), True),
            ("send_mail", reverse("checkout.customer.refresh", args=[customer.pk]), _("Ask for a new card"), True),
        )


class CustomerRefreshView(StaffActionView):
    permission = "checkout.send_mail"
    menu = "checkout.customer.list"
    form_class = ConfirmForm
    heading = gettext_lazy("Ask for a new card")
    question = gettext_lazy("A mail asks the customer to give us a new card. Nothing is taken by it.")
    button = gettext_lazy("Send the mail")
    object: Customer

    def get_object(self) -> Customer:
        return get_object_or_404(Customer, pk=self.kwargs["pk"])

    def get_back_url(self) -> str:
        return reverse("checkout.customer.detail", args=[self.object.pk])

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [(_("Customer"), self.object), (_("Card"), self.object.card_description or _("no card saved"))]

    def perform(self, form: Any) -> str:
        if not cards.send_card_refresh_mail(self.object, self.request.user):
            raise AlreadyPaid(_("there was a mail today."))
        return _("The mail is on its way.")

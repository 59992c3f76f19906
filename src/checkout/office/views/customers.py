"""Customers and their saved cards."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout.errors import AlreadyPaid
from checkout.models import Customer, ObjectPaymentPlan, SavedCard
from checkout.office import search, selectors
from checkout.office.forms import ConfirmForm
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, date_cell, show_money, show_time, time_cell
from checkout.office.views.checkouts import stripe_url
from checkout.office.views.lists import Column, Filter, StaffListView, Tab
from checkout.office.views.plans import card_state, card_tabs
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import card_expiry


def _name(customer: Customer) -> Cell:
    return Cell(
        customer.name or customer.email,
        url=reverse("checkout.customer.detail", args=[customer.pk]),
        plain=customer.name,
    )


def _soonest(customer: Any) -> datetime.date | None:
    """The day on which the first of a listed customer's cards runs out."""
    return min((card.expiry_date for card in customer.good_cards if card.expiry_date is not None), default=None)


def _worst(customer: Any) -> SavedCard | None:
    """Of a listed customer's cards the one that most needs a person."""
    cards: list[SavedCard] = customer.good_cards
    return min(cards, key=lambda card: (not card.refresh, card.expiry_date or datetime.date.max), default=None)


COLUMNS = [
    Column(gettext_lazy("Name"), _name, header=True),
    Column(gettext_lazy("E-mail address"), lambda row: row.email),
    Column(gettext_lazy("Card"), lambda row: "; ".join(card.description for card in row.good_cards)),
    Column(gettext_lazy("Good until"), lambda row: date_cell(_soonest(row))),
    Column(gettext_lazy("State"), lambda row: card_state(_worst(row))),
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
        return selectors.customers().filter(pk__in=Customer.objects.refresh.values("pk"))

    def get_tabs(self) -> list[Tab]:
        return card_tabs(self.request)


class CustomerDetailView(StaffPageView):
    template_name = "checkout/staff/customer_detail.html"
    permission = "checkout.view_customer"
    menu = "checkout.customer.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        customer: Any = get_object_or_404(selectors.customers(), pk=self.kwargs["pk"])
        self.heading = str(customer.name or customer.email)
        plans = list(
            ObjectPaymentPlan.objects.filter(customer=customer).select_related("payment_plan").order_by("-pk")[:20]
        )
        progress = selectors.progress(plan.pk for plan in plans)
        return super().get_context_data(**kwargs) | {
            "customer": customer,
            "card_state": card_state(_worst(customer)),
            "facts": [
                (_("E-mail address"), customer.email, ""),
                *self._cards(customer),
                *(
                    (_("At Stripe"), row.stripe_customer_id, stripe_url(row.stripe_customer_id))
                    for row in customer.at_stripe.filter(gone=False)
                ),
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

    def _cards(self, customer: Any) -> list[tuple[Any, Any, str]]:
        """Each card, and the plans that it is charged for."""
        used: dict[int, list[str]] = {}
        plans = ObjectPaymentPlan.objects.filter(customer=customer, deleted=False, agreement__saved_card__isnull=False)
        for card_pk, number in plans.order_by("pk").values_list("agreement__saved_card", "pk"):
            used.setdefault(card_pk, []).append(_("plan %(number)d") % {"number": number})
        rows = [
            (_("Card"), f"{card.description} ({', '.join(used[card.pk])})" if card.pk in used else card.description, "")
            for card in customer.good_cards
        ]
        return rows or [(_("Card"), _("no card saved"), "")]

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
        if not card_expiry.send_card_refresh_mail(self.object, self.request.user):
            raise AlreadyPaid(_("there was a mail today."))
        return _("The mail is on its way.")

"""Customers and their saved cards."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import translation
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from checkout import pdf
from checkout.errors import AlreadyPaid, CheckoutError
from checkout.models import Customer, ObjectPaymentPlan, SavedCard
from checkout.office import accounts, people, search, selectors, stories
from checkout.office.forms import ConfirmForm, CorrectForm, MergeForm, NoteForm
from checkout.office.views import ways_back
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, date_cell, show_money, show_time, time_cell
from checkout.office.views.checkouts import stripe_url
from checkout.office.views.lists import Column, Filter, StaffListView, Tab
from checkout.office.views.plans import card_state, card_tabs
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import card_expiry, papers
from checkout.sheets import Sheet


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
    intro = gettext_lazy("Everybody who began to save a card, or was asked for an amount.")
    empty = gettext_lazy("Nobody has begun to save a card yet, or was asked for an amount.")
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
        customer: Any = get_object_or_404(
            selectors.with_cards(Customer.objects.select_related("merged_into")), pk=self.kwargs["pk"]
        )
        self.heading = str(customer.name or customer.email)
        account = accounts.account(customer)
        asked = urlencode({"q": customer.email})
        return super().get_context_data(**kwargs) | {
            "customer": customer,
            "card_state": card_state(_worst(customer)),
            "totals": [
                {
                    "left": show_money(left, currency),
                    "paid": show_money(paid, currency),
                    "back": back and show_money(back, currency),
                }
                for currency, (paid, back, left) in account.totals.items()
            ],
            "facts": [
                (_("E-mail address"), customer.email, ""),
                *self._merged(customer),
                *self._cards(customer),
                *(
                    (
                        _("The same card"),
                        _("%(customer)s has it, too") % {"customer": other},
                        reverse("checkout.customer.detail", args=[other.pk]),
                    )
                    for other in accounts.same_card(customer.good_cards)
                ),
                *(
                    (_("At Stripe"), row.stripe_customer_id, stripe_url(row.stripe_customer_id))
                    for row in customer.at_stripe.filter(gone=False)
                ),
                (_("Since"), show_time(customer.created_at), ""),
            ],
            "groups": [
                {
                    "id": "plans",
                    "heading": _("Plans"),
                    "rows": [self._row(entry) for entry in account.plans],
                    "cut": len(account.plans) == accounts.AT_MOST,
                    "url": f"{reverse('checkout.object.payment.plan.list')}?{asked}",
                },
                {
                    "id": "requests",
                    "heading": _("Requests for money"),
                    "rows": [self._row(entry) for entry in account.requests],
                    "cut": len(account.requests) == accounts.AT_MOST,
                    "url": f"{reverse('checkout.customer.payment.list')}?{asked}",
                },
                {
                    "id": "others",
                    "heading": _("Payments at once and invoices"),
                    "rows": [self._row(entry) for entry in account.others],
                    "cut": len(account.others) == accounts.AT_MOST,
                    "url": f"{reverse('checkout.list')}?{asked}",
                },
            ],
            "checkouts": list(accounts.attempts_of(customer).select_related("action").order_by("-pk")[:20]),
            "story": stories.customer_story(customer),
            "mails": selectors.queued_mails(customer.email),
            "actions": self._actions(customer),
        }

    def _row(self, entry: accounts.Entry) -> dict[str, Any]:
        currency = entry.currency
        return {
            "row": entry.row,
            "name": entry.name,
            "agreed": show_money(entry.agreed, currency),
            "paid": show_money(entry.paid, currency),
            "back": show_money(entry.back, currency) if entry.back else "",
            "left": show_money(entry.left, currency) if entry.left else "",
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

    def _merged(self, customer: Customer) -> list[tuple[Any, Any, str]]:
        """Whom it was merged into, or who was merged into it."""
        into = [customer.merged_into] if customer.merged_into is not None else []
        said = [(_("Merged into"), each) for each in into]
        said += [(_("Merged into this one"), each) for each in customer.merged.order_by("pk")[:20]]
        return [(words, each, reverse("checkout.customer.detail", args=[each.pk])) for words, each in said]

    def _actions(self, customer: Customer) -> list[dict[str, Any]]:
        ask = f"{reverse('checkout.customer.payment.create')}?customer={customer.pk}"

        def to(do: str) -> str:
            return reverse(f"checkout.customer.{do}", args=[customer.pk])

        if customer.merged_into is not None:
            return []
        return self.offer(
            ("add_customerpayment", ask, _("Ask for an amount"), True),
            ("", to("statement"), _("Statement of account"), True),
            ("send_mail", to("statement.send"), _("Send the statement"), True),
            ("send_mail", to("refresh"), _("Ask for a new card"), True),
            ("change_customer", to("correct"), _("Correct name or address"), True),
            ("change_customer", to("note"), _("Write a note"), True),
            ("change_customer", to("merge"), _("Merge with another"), True),
        )


class CustomerStatementView(StaffPageView):
    """Everything that they owe and have paid, to print; with `as_pdf`, a file."""

    template_name = "checkout/paper.html"
    permission = "checkout.view_customer"
    as_pdf = False

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        customer = get_object_or_404(Customer, pk=self.kwargs["pk"])
        # It is for its payer, in their language.
        with translation.override(customer.language or settings.LANGUAGE_CODE):
            sheet = _statement(customer)
        if self.as_pdf:
            return pdf.response(sheet)
        pdf_url = reverse("checkout.customer.statement.pdf", args=[customer.pk])
        back_url = reverse("checkout.customer.detail", args=[customer.pk])
        return self.render_to_response(self.get_context_data(**pdf.page_of(sheet, pdf_url=pdf_url, back_url=back_url)))


def _statement(customer: Customer) -> Sheet:
    account = accounts.account(customer)
    names = {entry.row: entry.name for entry in account.entries}
    moved = [(posting, names[row]) for posting, row in accounts.movements(account)]
    rows = [
        (each.name, each.currency, each.agreed, each.paid + each.back, each.back, each.left) for each in account.entries
    ]
    return papers.statement_of_account(customer.name, rows, moved)


class _CustomerActionView(StaffActionView):
    permission = "checkout.change_customer"
    menu = "checkout.customer.list"
    object: Customer

    def get_object(self) -> Customer:
        return get_object_or_404(Customer, pk=self.kwargs["pk"])

    def get_version(self) -> str:
        return newest_change(self.object)

    def get_back_url(self) -> str:
        return reverse("checkout.customer.detail", args=[self.object.pk])


class CustomerCorrectView(_CustomerActionView):
    heading = gettext_lazy("Correct name or address")
    way_back = gettext_lazy("It can be corrected again; links that were revoked stay revoked.")
    question = gettext_lazy(
        "With another address no link of an earlier mail opens anything any more, and payment pages that are open are "
        "ended: send a new link afterwards. Stripe is told. What was paid and agreed stays as it is, and the address "
        "before stays in the history here. It can be corrected back."
    )
    button = gettext_lazy("Correct it")
    form_class = CorrectForm

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.object.name, "email": self.object.email}

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [(_("Name"), self.object.name), (_("E-mail address"), self.object.email)]

    def perform(self, form: CorrectForm) -> str:
        data = form.cleaned_data
        if people.correct(self.object, data["name"], data["email"], self.request.user, data["reason"]):
            return _("Corrected.")
        self.went_well = False
        return _("Corrected here. Stripe gave no answer, and is told within a day.")


class CustomerMergeView(_CustomerActionView):
    """First the other one is named by its address, then both are looked at."""

    template_name = "checkout/staff/customer_merge.html"
    heading = gettext_lazy("Merge with another")
    way_back = ways_back.FOR_GOOD
    question = gettext_lazy(
        "Everything of the first is the second's from now on: plans, payments, requests, cards, letters and history. "
        "Letters go to the second's address, and the first's address leads to the second. The page of the first stays "
        "to be read. This cannot be undone."
    )
    button = gettext_lazy("Merge them")
    danger = True
    form_class = MergeForm

    @cached_property
    def into(self) -> Customer | None:
        typed = (self.request.POST.get("into") or self.request.GET.get("into", "")).replace("\x00", "").strip()
        return Customer.objects.with_email(typed) if typed else None

    def get_initial(self) -> dict[str, Any]:
        return {"into": self.into.email if self.into is not None else ""}

    def get_version(self) -> str:
        into = newest_change(self.into) if self.into is not None else ""
        return f"{super().get_version()}-{into}-{self.object.merged_into_id}"

    def get_facts(self) -> list[tuple[Any, Any]]:
        if self.into is None:
            return []
        return [(_("First"), self._summed(self.object)), (_("Second, which stays"), self._summed(self.into))]

    def get_refusal(self) -> str:
        if self.object.merged_into_id is not None:
            return _("One of them was merged already. Please look again.")
        if self.into is None:
            return _("There is no customer with this address.") if self._was_asked() else ""
        return _("This is the same customer.") if self.into.pk == self.object.pk else ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return context | {"into": self.into, "customer": self.object, "asked": self.request.GET.get("into", "")}

    def get_success_url(self) -> str:
        return reverse("checkout.customer.detail", args=[self.into.pk if self.into is not None else self.object.pk])

    def _was_asked(self) -> bool:
        return bool(self.request.GET.get("into") or self.request.method == "POST")

    @staticmethod
    def _summed(customer: Customer) -> str:
        account = accounts.account(customer)
        parts = [
            str(customer),
            *(
                _("%(paid)s paid net, %(left)s to pay")
                % {"paid": show_money(paid, currency), "left": show_money(left, currency)}
                for currency, (paid, _back, left) in account.totals.items()
            ),
            ngettext("%(number)d plan", "%(number)d plans", len(account.plans)) % {"number": len(account.plans)},
        ]
        return "; ".join(parts)

    def perform(self, form: MergeForm) -> str:
        into = self.into
        if into is None:
            raise CheckoutError(_("There is no customer with this address."))
        if people.merge(self.object, into, self.request.user, form.cleaned_data["reason"]):
            return _("Merged.")
        self.went_well = False
        return _("Merged here. Stripe gave no answer, and is told within a day.")


class CustomerNoteView(_CustomerActionView):
    heading = gettext_lazy("Write a note")
    way_back = gettext_lazy("A note stays; write another one to correct it.")
    question = gettext_lazy("It stands in the history of this customer, with your name, and is never changed.")
    button = gettext_lazy("Keep it")
    form_class = NoteForm

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [(_("Customer"), self.object)]

    def perform(self, form: NoteForm) -> str:
        people.note(self.object, form.cleaned_data["note"], self.request.user)
        return _("The note was kept.")


class CustomerRefreshView(StaffActionView):
    permission = "checkout.send_mail"
    menu = "checkout.customer.list"
    form_class = ConfirmForm
    heading = gettext_lazy("Ask for a new card")
    way_back = ways_back.MAIL
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

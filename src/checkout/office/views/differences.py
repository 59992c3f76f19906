"""Differences between Stripe and our books: each with its history, and the buttons that settle it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout.models import BookDifference
from checkout.office import proposals
from checkout.office.forms import ConfirmForm, ReasonForm
from checkout.office.views import ways_back
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, date_cell, money_cell, show_date, show_money, show_time, time_cell
from checkout.office.views.checkouts import payer_cell, stripe_url
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView, Tab
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import books_adopt, books_differences

Kind = BookDifference.Kind

#: What each kind asks of staff.
NEXT_STEPS = {
    Kind.CHARGE_NOT_HERE: gettext_lazy("Take it into our books. If nobody here owes it, give it back."),
    Kind.DOUBLE: gettext_lazy("Give it back: it was paid once already."),
    Kind.REFUND_NOT_HERE: gettext_lazy("Take it into our books: somebody made it in Stripe's dashboard."),
    Kind.REFUND_CAME_BACK: gettext_lazy("Take it into our books, and give the money back in another way."),
    Kind.DISPUTE_NOT_HERE: gettext_lazy("Take it into our books, and answer the bank in time."),
    Kind.NOT_AT_STRIPE: gettext_lazy("Find out how it came into our books, and write down what you found."),
    Kind.AMOUNT: gettext_lazy("Find out who changed our books, and write down what you found."),
    Kind.ADJUSTMENT: gettext_lazy("Read what Stripe says about it, and write down what it is for."),
    Kind.UNKNOWN_TYPE: gettext_lazy("Look it up in Stripe's documentation, and write down what it is."),
    Kind.PAYOUT_FAILED: gettext_lazy("Correct the bank account at Stripe. This closes by itself then."),
    Kind.PAYOUT_SUM: gettext_lazy("Tell a developer: rows of ours are not what Stripe listed."),
}


class DifferenceListView(StaffListView):
    permission = "checkout.view_bookdifference"
    menu = "checkout.difference.list"
    heading = gettext_lazy("Differences")
    intro = gettext_lazy(
        "What Stripe and our books do not say alike. Stripe has that much more than our books, or less."
    )
    empty = gettext_lazy("Stripe and our books say the same.")
    csv_name = "differences"
    filters = [
        Filter("kind", gettext_lazy("Kind"), lambda rows, value: rows.filter(kind=value), list(Kind.choices)),
    ]
    columns = [
        Column(
            gettext_lazy("Difference"),
            lambda row: Cell(row.get_kind_display(), url=row.get_absolute_url(), small=row.subject, plain=row.kind),
            header=True,
        ),
        Column(gettext_lazy("Payer"), lambda row: payer_cell(row.checkout) if row.checkout else ""),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
        Column(gettext_lazy("Day"), lambda row: date_cell(row.day)),
        Column(gettext_lazy("Settled"), lambda row: Cell(row.get_how_display() if row.how else "", plain=row.how)),
        Column(gettext_lazy("Closed"), lambda row: time_cell(row.closed_at)),
        Column(gettext_lazy("At Stripe"), lambda row: row.subject, only_csv=True),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[BookDifference]:
        rows = BookDifference.objects.select_related("checkout")
        return rows if self.request.GET.get("show") == "all" else rows.filter(closed_at=None)

    def get_tabs(self) -> list[Tab]:
        everything = self.request.GET.get("show") == "all"
        return [
            Tab(self.request.path, _("Open"), not everything),
            Tab(f"{self.request.path}?show=all", _("All"), everything),
        ]


def _find(pk: int) -> BookDifference:
    rows = BookDifference.objects.select_related("checkout__action", "payout", "transaction", "posting")
    return get_object_or_404(rows, pk=pk)


class DifferenceDetailView(StaffPageView):
    template_name = "checkout/staff/difference_detail.html"
    permission = "checkout.view_bookdifference"
    menu = "checkout.difference.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        row = _find(self.kwargs["pk"])
        checkout, movement = row.checkout, row.transaction
        self.heading = row.get_kind_display()
        return super().get_context_data(**kwargs) | {
            "amount": show_money(row.amount, row.currency),
            "payer": payer_cell(checkout).text if checkout else "",
            "next_step": NEXT_STEPS[Kind(row.kind)] if row.is_open else "",
            "facts": [
                (_("Stripe says"), movement.description if movement else "", ""),
                (
                    _("Payment"),
                    ", ".join(checkout.description_lines) if checkout else "",
                    checkout.get_absolute_url() if checkout else "",
                ),
                (_("At Stripe"), row.subject, stripe_url(row.subject)),
                (_("Payout"), str(row.payout or ""), row.payout.get_absolute_url() if row.payout else ""),
                (_("Our posting"), str(row.posting or ""), ""),
                (_("Day"), show_date(row.day), ""),
                (_("Settled"), row.get_how_display() if row.how else "", ""),
            ],
            "notes": [
                {
                    "at": show_time(note.at),
                    "what": note.get_how_display() if note.how else _("found"),
                    "amount": show_money(note.amount, row.currency),
                    "user": note.user or "",
                    "note": note.note,
                }
                for note in row.notes.select_related("user")
            ],
            "actions": self.offer(
                (
                    "change_bookdifference",
                    reverse("checkout.difference.adopt", args=[row.pk]),
                    _("Take it into our books"),
                    row.is_open and row.kind in BookDifference.ADOPTABLE,
                ),
                (
                    "refund",
                    reverse("checkout.difference.give.back", args=[row.pk]),
                    _("Give it back"),
                    not books_differences.why_not_back(row),
                ),
                (
                    "change_bookdifference",
                    reverse("checkout.difference.explain", args=[row.pk]),
                    _("Explain it"),
                    row.is_open,
                ),
            ),
        }


class _DifferenceActionView(StaffActionView):
    menu = "checkout.difference.list"
    object: BookDifference

    def get_object(self) -> BookDifference:
        return _find(self.kwargs["pk"])

    def get_version(self) -> str:
        newest = self.object.notes.order_by("-pk").values_list("pk", flat=True).first()
        return str(newest or 0)

    def get_refusal(self) -> str:
        return "" if self.object.is_open else _("This difference is closed already.")

    def get_facts(self) -> list[tuple[Any, Any]]:
        row = self.object
        return [
            (_("Difference"), row.get_kind_display()),
            (_("Amount"), show_money(row.amount, row.currency)),
            (_("At Stripe"), row.subject),
            (_("Payer"), row.checkout.payer if row.checkout else ""),
        ]


class DifferenceAdoptView(_DifferenceActionView):
    permission = "checkout.change_bookdifference"
    form_class = ConfirmForm
    heading = gettext_lazy("Take it into our books")
    way_back = gettext_lazy("It cannot be undone; the money can still be refunded.")
    question = gettext_lazy("Stripe is asked, and what it says is brought in as any news of it.")
    button = gettext_lazy("Take it in")

    def get_refusal(self) -> str:
        if self.object.kind not in BookDifference.ADOPTABLE:
            return _("There is nothing at Stripe to take into our books.")
        return super().get_refusal()

    def perform(self, form: Any) -> str:
        books_adopt.adopt(self.object, self.request.user)
        return _("It is in our books now.")


class DifferenceGiveBackView(_DifferenceActionView):
    permission = "checkout.refund"
    form_class = ReasonForm
    heading = gettext_lazy("Give it back")
    way_back = ways_back.REFUND
    question = gettext_lazy("All that is left of the payment goes back to the card it came from.")
    button = gettext_lazy("Give it back")
    danger = True

    def get_refusal(self) -> str:
        row = self.object
        if why := books_differences.why_not_back(row):
            return why
        if proposals.is_above(row.amount, row.currency):
            return _("This is more than one person may give back here. Two of you do it in Stripe's dashboard.")
        return ""

    def perform(self, form: Any) -> str:
        books_differences.give_back(self.object, self.request.user, form.cleaned_data["reason"])
        return _("%(amount)s given back.") % {"amount": show_money(self.object.amount, self.object.currency)}


class DifferenceExplainView(_DifferenceActionView):
    permission = "checkout.change_bookdifference"
    form_class = ReasonForm
    heading = gettext_lazy("Explain a difference")
    way_back = ways_back.FOR_GOOD
    question = gettext_lazy("Nothing is changed: what you write stays with the difference, and in the history.")
    button = gettext_lazy("Explain it")

    def perform(self, form: Any) -> str:
        books_differences.explain(self.object, self.request.user, form.cleaned_data["reason"])
        return _("Explained.")

"""The books: a month in figures and day by day, payouts and what is in them, every movement in the balance."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from dateutil.relativedelta import relativedelta
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import clock, workbook
from checkout.models import BalanceTransaction, BookDifference, Payout
from checkout.office import book_figures, pages
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, date_cell, money_cell, show_date, show_money, show_time
from checkout.office.views.checkouts import payer_cell
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView
from checkout.services import books_closing, books_match

COLOURS = {"paid": "success", "failed": "fail", "canceled": "stopped"}


def whose() -> dict[str, Any]:
    """The account whose books were taken in last; without any, what no row is of."""
    newest = BalanceTransaction.objects.order_by("-pk").values("account", "livemode").first()
    return dict(newest) if newest is not None else {"account": "-", "livemode": False}


def asked_month(text: str) -> datetime.date:
    """`2026-11`, or the month that is now."""
    try:
        month = datetime.date.fromisoformat(f"{text}-01")
    except ValueError:
        month = clock.today().replace(day=1)
    return month if 2000 <= month.year < 3000 else clock.today().replace(day=1)


def month_name(month: datetime.date) -> str:
    return date_format(month, _("F Y"))


class BooksView(StaffPageView):
    template_name = "checkout/staff/books.html"
    permission = "checkout.view_payout"
    menu = "checkout.books"
    heading = gettext_lazy("The books")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        month, of = asked_month(self.request.GET.get("month", "")), whose()
        before, after = month - relativedelta(months=1), month + relativedelta(months=1)
        last = book_figures.end_of(month)
        to_come = book_figures.coming(of)
        return super().get_context_data(**kwargs) | {
            "month": month_name(month),
            "months": [
                {"url": f"?month={each:%Y-%m}", "text": month_name(each), "current": each == month}
                for each in (before, month, after)
                if each <= clock.today()
            ],
            "figures": [self._figures(each) for each in book_figures.month_of(month, of)],
            "days": [self._day(each) for each in books_match.days(month, last, of)],
            "in_transit": [
                show_money(amount, currency) for currency, amount in sorted(book_figures.in_transit(to_come).items())
            ],
            "coming": [
                {
                    "day": show_date(each.day),
                    "amount": show_money(each.amount, each.currency),
                    "url": each.payout.get_absolute_url() if each.payout else "",
                }
                for each in to_come[:20]
            ],
            **self._closing(month),
            "files": self._files(month, [each.currency for each in book_figures.month_of(month, of)]),
            "to_explain": books_match.open_until(last, of).count(),
            "differences_url": reverse("checkout.difference.list") if self.can("view_bookdifference") else "",
            "payouts_url": reverse("checkout.payout.list"),
            "movements_url": reverse("checkout.movement.list"),
        }

    def _closing(self, month: datetime.date) -> dict[str, Any]:
        """Whether the month is closed; else what is left to explain, and the button."""
        closed = books_closing.closed(month, whose())
        left = books_closing.what_is_left(month, whose()) if closed is None else []
        url = reverse("checkout.month.close", args=[f"{month:%Y-%m}"])
        return {
            "closed": closed,
            "closed_at": show_time(closed.closed_at) if closed is not None else "",
            "fingerprint": f"SHA-256 {closed.sha256}" if closed is not None else "",
            "left": left,
            "actions": self.offer(("close_month", url, _("Close the month"), closed is None and not left)),
        }

    def _files(self, month: datetime.date, currencies: list[str]) -> list[dict[str, str]]:
        owed = [{"text": _("Aged debtors, as of today (CSV)"), "url": reverse("checkout.debtors")}]
        owed = owed if self.can("view_objectpaymentplaninstalment") else []
        if not self.can("view_balancetransaction"):
            return owed
        name = f"{month:%Y-%m}"
        files = [*owed, {"text": _("Day book (CSV)"), "url": reverse("checkout.month.day.book", args=[name])}]
        if workbook.is_available():
            url = reverse("checkout.month.day.book.xlsx", args=[name])
            files.append({"text": _("Day book (Excel)"), "url": url})
        for layout, program in (("xero", "Xero"), ("quickbooks", "QuickBooks"), ("datev", "DATEV")):
            for currency in currencies:
                text = _("Journal in %(currency)s for %(program)s") % {"currency": currency, "program": program}
                url = reverse("checkout.month.journal", args=[name, layout])
                files.append({"text": text, "url": f"{url}?currency={currency}"})
        return files

    def _figures(self, month: book_figures.Month) -> dict[str, Any]:
        def money(amount: Decimal) -> str:
            return show_money(amount, month.currency)

        percent = f" ({pages.decimal_text(month.fee_percent)} %)" if month.fee_percent is not None else ""
        return {
            "currency": month.currency,
            "facts": [
                (_("Came"), money(month.came), ""),
                (_("Stripe's fees"), money(month.fees) + percent, ""),
                (_("Refunded"), money(month.refunded), ""),
                (_("Taken back in disputes"), money(month.disputed), ""),
                (_("Not of this site"), money(month.foreign) if month.foreign else "", ""),
                (_("Paid out"), money(month.paid_out), ""),
                (
                    _("Days from the payment to the bank"),
                    pages.decimal_text(month.days) if month.days is not None else "",
                    "",
                ),
            ],
        }

    def _day(self, day: books_match.Day) -> dict[str, Any]:
        amounts = (day.at_stripe, day.here, day.foreign, day.stripes_own + day.on_the_way, day.differences, day.unnamed)
        return {
            "day": show_date(day.day),
            "amounts": [show_money(amount, day.currency) if amount else show_money(None, "GBP") for amount in amounts],
            "zero": not day.differences and not day.unnamed,
        }


# -- payouts -----------------------------------------------------------------------------------------------


def status_cell(payout: Payout) -> Cell:
    name = capfirst(payout.get_status_display())
    return Cell(name, state=COLOURS.get(payout.status, "request"), small=payout.failure, plain=payout.status)


class PayoutListView(StaffListView):
    permission = "checkout.view_payout"
    menu = "checkout.books"
    heading = gettext_lazy("Payouts")
    intro = gettext_lazy("What went from the balance at Stripe to the bank account.")
    empty = gettext_lazy("No payouts yet. They are taken in by the job checkout_books.")
    csv_name = "payouts"
    find = staticmethod(lambda rows, text: rows.filter(payout_id=text) | rows.filter(trace_id=text))
    search_hint = gettext_lazy("Stripe's id, or the bank's reference")
    filters = [
        Filter(
            "status", gettext_lazy("State"), lambda rows, value: rows.filter(status=value), list(Payout.Status.choices)
        ),
        Filter(
            "since", gettext_lazy("In the bank from"), lambda rows, day: rows.filter(arrival_on__gte=day), is_date=True
        ),
        Filter(
            "until", gettext_lazy("In the bank until"), lambda rows, day: rows.filter(arrival_on__lte=day), is_date=True
        ),
    ]
    sorts = [
        pages.Sort("new", gettext_lazy("Newest first"), "arrival_on", descending=True),
        pages.Sort("old", gettext_lazy("Oldest first"), "arrival_on"),
    ]
    columns = [
        Column(
            gettext_lazy("In the bank"),
            lambda row: Cell(show_date(row.arrival_on), url=row.get_absolute_url(), plain=row.arrival_on.isoformat()),
            header=True,
        ),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
        Column(gettext_lazy("State"), status_cell),
        Column(gettext_lazy("Bank's reference"), lambda row: Cell(row.trace_id, small=row.bank_text)),
        Column(gettext_lazy("At Stripe"), lambda row: row.payout_id),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[Payout]:
        return Payout.objects.all()


class PayoutDetailView(StaffPageView):
    template_name = "checkout/staff/payout_detail.html"
    permission = "checkout.view_payout"
    menu = "checkout.books"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        payout = get_object_or_404(Payout, pk=self.kwargs["pk"])
        self.heading = _("Payout of %(day)s") % {"day": show_date(payout.arrival_on)}
        content = book_figures.content_of(payout)
        known = payout.automatic and payout.held_at is not None
        differences = BookDifference.objects.filter(payout=payout) | BookDifference.objects.filter(
            transaction__payout=payout
        )
        return super().get_context_data(**kwargs) | {
            "payout": payout,
            "amount": show_money(payout.amount, payout.currency),
            "status": status_cell(payout),
            "known": known,
            "lines": [(name, show_money(amount, payout.currency)) for name, amount in content.lines()],
            "unnamed": show_money(content.unnamed, payout.currency),
            "adds_up": not content.unnamed,
            "facts": [
                (_("At Stripe"), payout.payout_id, ""),
                (_("Made"), show_time(payout.created_at), ""),
                (_("In the bank"), show_date(payout.arrival_on), ""),
                (_("By schedule"), _("yes") if payout.automatic else _("no, by hand"), ""),
                (_("Bank's reference"), payout.trace_id, ""),
                (_("On the bank statement"), payout.bank_text, ""),
                (_("Why it came back"), payout.failure, ""),
            ],
            "came_back_in": [
                row.payout for row in books_match.returns_of(payout).select_related("payout") if row.payout
            ],
            "differences": list(differences.distinct().order_by("pk")[:50]) if self.can("view_bookdifference") else [],
            "movements_url": f"{reverse('checkout.movement.list')}?q={payout.payout_id}",
        }


# -- movements ---------------------------------------------------------------------------------------------


def _find_movements(rows: QuerySet[BalanceTransaction], text: str) -> QuerySet[BalanceTransaction]:
    """By any of Stripe's ids; by that of a payout, what is in it."""
    columns = {"po": "payout__payout_id", "pi": "payment_intent_id", "txn": "transaction_id"}
    column = columns.get(text.partition("_")[0])
    return rows.filter(**{column or "source_id": text})


def _what(row: BalanceTransaction) -> Cell:
    checkout = row.checkout
    url = checkout.get_absolute_url() if checkout is not None else ""
    return Cell(row.type, url=url, small=row.description, plain=row.type)


class MovementListView(StaffListView):
    permission = "checkout.view_balancetransaction"
    menu = "checkout.books"
    heading = gettext_lazy("Movements at Stripe")
    intro = gettext_lazy("Every balance transaction of the account, and what it is in our books.")
    csv_name = "movements"
    find = staticmethod(_find_movements)
    search_hint = gettext_lazy("Any of Stripe's ids; of a payout, what is in it")
    filters = [
        Filter(
            "state",
            gettext_lazy("In our books"),
            lambda rows, value: rows.filter(state=value),
            list(BalanceTransaction.State.choices),
        ),
        Filter("since", gettext_lazy("From"), lambda rows, day: rows.filter(day__gte=day), is_date=True),
        Filter("until", gettext_lazy("Until"), lambda rows, day: rows.filter(day__lte=day), is_date=True),
    ]
    columns = [
        Column(gettext_lazy("What"), _what, header=True),
        Column(gettext_lazy("Payer"), lambda row: payer_cell(row.checkout) if row.checkout else ""),
        Column(gettext_lazy("Day"), lambda row: date_cell(row.day)),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
        Column(gettext_lazy("Fee"), lambda row: money_cell(row.fee, row.currency), number=True),
        Column(gettext_lazy("Net"), lambda row: money_cell(row.net, row.currency), number=True),
        Column(gettext_lazy("In our books"), lambda row: Cell(capfirst(row.get_state_display()), plain=row.state)),
        Column(
            gettext_lazy("Payout"),
            lambda row: (
                Cell(show_date(row.payout.arrival_on), url=row.payout.get_absolute_url(), plain=row.payout.payout_id)
                if row.payout
                else ""
            ),
        ),
        Column(gettext_lazy("At Stripe"), lambda row: row.transaction_id, only_csv=True),
        Column(gettext_lazy("Came of"), lambda row: row.source_id, only_csv=True),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[BalanceTransaction]:
        return BalanceTransaction.objects.select_related("payout", "checkout")

"""A month of the books: its day book and journal as files, and closing it."""

from __future__ import annotations

import datetime
import logging
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import View

from checkout import bookkeeping, money, workbook
from checkout.conf import conf
from checkout.errors import CannotSettle
from checkout.models import BookMonth
from checkout.office.forms import OptionalReasonForm
from checkout.office.views.base import StaffMixin
from checkout.office.views.books import month_name, whose
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import books_closing, books_lines

logger = logging.getLogger("checkout.staff")

LAYOUTS: Final = ("xero", "quickbooks", "datev")
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def month_or_404(text: str) -> datetime.date:
    """`2026-11`."""
    try:
        month = datetime.date.fromisoformat(f"{text}-01")
    except ValueError:
        raise Http404 from None
    if not 2000 <= month.year < 3000:
        raise Http404
    return month


class MonthCloseView(StaffActionView):
    way_back = gettext_lazy("A month that is closed stays closed.")
    permission = "checkout.close_month"
    menu = "checkout.books"
    form_class = OptionalReasonForm
    question = gettext_lazy(
        "The day book of this month is kept as it is now. What comes later stands in the month in which it comes."
    )
    button = gettext_lazy("Close the month")
    object: datetime.date

    @property
    def heading(self) -> str:
        return _("Close %(month)s") % {"month": month_name(self.object)}

    def get_object(self) -> datetime.date:
        return month_or_404(self.kwargs["month"])

    def get_back_url(self) -> str:
        return f"{reverse('checkout.books')}?month={self.object:%Y-%m}"

    def get_version(self) -> str:
        return str(books_closing.closed(self.object, whose()) or "")

    def get_refusal(self) -> str:
        if books_closing.closed(self.object, whose()) is not None:
            return _("This month is closed already.")
        return " ".join(books_closing.what_is_left(self.object, whose()))

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [(_("Month"), month_name(self.object))]

    def perform(self, form: Any) -> str:
        made = books_closing.close(self.object, whose(), self.request.user, form.cleaned_data["reason"])
        return _("%(month)s is closed. Lines: %(lines)d, SHA-256: %(hash)s") % {
            "month": month_name(made.month), "lines": made.lines, "hash": made.sha256,
        }  # fmt: skip


class _MonthFileView(StaffMixin, View):
    permission = "checkout.view_balancetransaction"
    menu = "checkout.books"

    def _log(self, what: str) -> None:
        logger.info("user %s exported %s", self.request.user.pk, what)


class DayBookView(_MonthFileView):
    """The day book of a month, as CSV or as a workbook. Of a closed month the CSV is the one that was closed."""

    as_xlsx = False

    def get(self, request: HttpRequest, month: str) -> HttpResponseBase:
        first, of = month_or_404(month), whose()
        self._log(f"day book {month}")
        if self.as_xlsx:
            return self._xlsx(month, first)
        closed = BookMonth.objects.filter(**of, month=first).first()
        content: Any
        if closed is not None:
            try:
                content = [books_closing.frozen(closed)]
            except CannotSettle as problem:
                return HttpResponse(str(problem), status=409, content_type="text/plain")
        else:
            content = bookkeeping.day_book_csv(books_lines.lines(first, of))
        answer = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
        answer.headers["Content-Disposition"] = f'attachment; filename="day-book-{month}.csv"'
        return answer

    def _xlsx(self, month: str, first: datetime.date) -> HttpResponse:
        if not workbook.is_available():
            raise Http404
        rows = (bookkeeping.cells(line) for line in books_lines.lines(first, whose()))
        answer = HttpResponse(workbook.render(month, bookkeeping.COLUMNS, rows), content_type=XLSX)
        answer.headers["Content-Disposition"] = f'attachment; filename="day-book-{month}.xlsx"'
        return answer


class JournalView(_MonthFileView):
    """Journal entries of a month, in one settlement currency, in the layout of a bookkeeping program."""

    def get(self, request: HttpRequest, month: str, layout: str) -> HttpResponse:
        first, currency = month_or_404(month), request.GET.get("currency", conf.CHECKOUT_CURRENCY)
        if layout not in LAYOUTS or currency not in money.CURRENCIES:
            raise Http404
        accounts = {**bookkeeping.ACCOUNTS, **conf.CHECKOUT_ACCOUNTS}
        entries = bookkeeping.journal(books_lines.lines(first, whose()), accounts, currency)
        encoding = "utf-8"
        if layout == "datev":
            text = bookkeeping.datev(entries, accounts, first, books_closing.last_day(first))
            encoding = "cp1252"
        else:
            text = {"xero": bookkeeping.xero, "quickbooks": bookkeeping.quickbooks}[layout](entries, accounts)
        self._log(f"journal {month} for {layout}")
        answer = HttpResponse(text.encode(encoding, "replace"), content_type=f"text/csv; charset={encoding}")
        name = f"EXTF_journal-{month}.csv" if layout == "datev" else f"journal-{layout}-{month}-{currency}.csv"
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

"""How a list is read: its columns, search, filters, orders and pages, and the CSV of it."""

from __future__ import annotations

import csv
import datetime
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView

from checkout import clock
from checkout.models import BulkJob
from checkout.office import pages
from checkout.office.views.base import StaffMixin
from checkout.office.views.cells import Cell
from checkout.spreadsheets import harmless

logger = logging.getLogger("checkout.staff")


@dataclass(frozen=True, slots=True)
class Column:
    label: Any
    cell: Callable[[Any], Cell | Any]
    number: bool = False
    #: The row's own name: a heading of the row for people who listen to the page.
    header: bool = False
    #: Left out on the page, which shows it otherwise.
    only_csv: bool = False


#: On the page the currency is a sign at each amount.
CURRENCY = Column(gettext_lazy("Currency"), lambda row: row.currency, only_csv=True)


class Row(list[Cell]):
    """The cells of one row, and its HTML: put together here, because a template takes five times as long over it."""

    def __init__(self, columns: Sequence[Column], cells: list[Cell], pk: int | None = None) -> None:
        super().__init__(cells)
        self.columns = columns
        #: By which it can be chosen; None in a list where nothing is done to many.
        self.pk = pk

    @property
    def html(self) -> SafeString:
        squares = []
        for column, cell in zip(self.columns, self, strict=True):
            kind, role = ("th", 'role="rowheader" scope="row"') if column.header else ("td", 'role="cell"')
            number = ' class="office-number"' if column.number else ""
            label = conditional_escape(column.label)
            tick = self._tick(cell) if column.header else ""
            squares.append(f'<{kind} {role} data-label="{label}"{number}>{tick}{_inside(cell)}</{kind}>')
        # Every part was escaped above.
        return SafeString(f'<tr role="row">{"".join(squares)}</tr>')  # nosec B703

    def _tick(self, cell: Cell) -> str:
        if self.pk is None:
            return ""
        name = conditional_escape(_("Choose %(row)s") % {"row": cell.plain or cell.text})
        return f'<input type="checkbox" class="office-tick" name="row" value="{self.pk}" aria-label="{name}"> '


def _inside(cell: Cell) -> str:
    text = "" if cell.text is None else conditional_escape(cell.text)
    if cell.links:
        text = "".join(
            f'<a class="office-do" href="{conditional_escape(url)}">{conditional_escape(words)}</a>'
            for words, url in cell.links
        )
    if cell.url:
        text = f'<a href="{conditional_escape(cell.url)}">{text}</a>'
    elif cell.state is not None:
        text = f'<span class="office-state office-{conditional_escape(cell.state)}">{text}</span>'
    elif cell.is_day:
        text = f'<span class="office-whole">{text}</span>'
    return f'{text}<span class="office-small">{conditional_escape(cell.small)}</span>' if cell.small else str(text)


@dataclass(frozen=True, slots=True)
class Filter:
    """A choice (or a day) above a list that narrows it. `apply(rows, value)` gets one of the choices only."""

    name: str
    label: Any
    apply: Callable[[QuerySet[Any], Any], QuerySet[Any]]
    choices: Sequence[tuple[str, Any]] = field(default_factory=list)
    is_date: bool = False
    #: The day that holds while none is asked for.
    default: Callable[[], datetime.date] | None = None

    def asked(self, given: Mapping[str, str]) -> str:
        """What was asked for, as it is typed."""
        value = given.get(self.name, "")
        return self.default().isoformat() if not value and self.default is not None else value


@dataclass(frozen=True, slots=True)
class Tab:
    url: str
    text: Any
    current: bool


#: What each action for many wants of whoever does it.
DONE_TO_MANY = {
    BulkJob.Kind.REMIND: "checkout.send_mail",
    BulkJob.Kind.MOVE: "checkout.change_objectpaymentplaninstalment",
    BulkJob.Kind.PAUSE: "checkout.change_objectpaymentplan",
    BulkJob.Kind.STOP: "checkout.delete_objectpaymentplan",
    BulkJob.Kind.WRITE_OFF: "checkout.change_objectpaymentplan",
}

#: The two orders of nearly every list.
BY_AGE = (
    pages.Sort("new", gettext_lazy("Newest first"), "pk", descending=True),
    pages.Sort("old", gettext_lazy("Oldest first"), "pk"),
)


class StaffListView(StaffMixin, TemplateView, ABC):  # type: ignore[misc]
    """A list: search, filters, orders, pages by key, and a CSV of all that the filters leave."""

    template_name = "checkout/staff/list.html"
    columns: Sequence[Column] = ()
    sorts: Sequence[pages.Sort] = BY_AGE
    filters: Sequence[Filter] = ()
    find: Callable[[QuerySet[Any], str], QuerySet[Any]] | None = None
    search_hint: Any = ""
    intro: Any = ""
    empty: Any = gettext_lazy("Nothing here.")
    #: (name, words) of its tabs, where all of them are on one page; the first is shown unless another is asked for.
    shows: Sequence[tuple[str, Any]] = ()
    #: Its name among the lists whose rows can be chosen (`views.many`); empty where nothing is done to many.
    many_name = ""
    csv_name = "list"
    #: Up to which its rows are counted.
    counted = pages.COUNTED
    #: A CSV ends here; a spreadsheet could not open more.
    csv_limit = 1_000_000

    @abstractmethod
    def get_rows(self) -> QuerySet[Any]:
        """What is listed."""

    @property
    def show(self) -> str:
        """Which of its tabs is shown."""
        wanted = self.request.GET.get("show", "")
        return wanted if wanted in dict(self.shows) else self.shows[0][0]

    @property
    def is_csv(self) -> bool:
        """Whether a file is asked for, and no page."""
        return self.request.GET.get("format") == "csv"

    def get_tabs(self) -> list[Tab]:
        return [Tab(f"{self.request.path}?show={show}", text, show == self.show) for show, text in self.shows]

    def get_actions(self) -> list[dict[str, str]]:
        return []

    def prepare(self, rows: list[Any]) -> None:
        """Fetch what the cells need of these rows, in a fixed number of queries."""

    # -- what was asked for

    def narrowed(self) -> QuerySet[Any]:
        rows = self.get_rows()
        text = self.request.GET.get("q", "").replace("\x00", "").strip()[:200]
        finder = type(self).find
        if text and finder is not None:
            rows = finder(rows, text)
        for each in self.filters:
            value = each.asked(self.request.GET)
            if each.is_date:
                day = _day(value)
                rows = each.apply(rows, day) if day else rows
            elif value and value in dict(each.choices):
                rows = each.apply(rows, value)
        ticked = [pk for pk in self.request.GET.getlist("row")[: pages.COUNTED] if pk.isdecimal() and len(pk) < 19]
        return rows.filter(pk__in=ticked) if ticked else rows

    def get_many(self) -> list[tuple[str, Any]]:
        """What this login may do to many rows at once, and its words."""
        may = self.request.user.has_perm
        kinds = [(kind.value, kind.label) for kind, permission in DONE_TO_MANY.items() if may(permission)]
        return [*kinds, ("export", _("Download as CSV"))]

    def sort(self) -> pages.Sort:
        wanted = self.request.GET.get("sort", "")
        return next((sort for sort in self.sorts if sort.name == wanted), self.sorts[0])

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        if self.is_csv:
            return self.csv()
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows, sort = self.narrowed(), self.sort()
        page = pages.page(rows, sort, self.request.GET.get("at", ""))
        self.prepare(page.rows)
        columns = self._shown()
        chosen: dict[str, Any] = {
            name: value for name, value in self.request.GET.items() if value and name in self._parameters()
        }
        return super().get_context_data(**kwargs) | {
            "intro": self.intro,
            "empty": self.empty,
            "tabs": self.get_tabs(),
            "actions": self.get_actions(),
            "labels": [{"text": column.label, "number": column.number} for column in columns],
            "rows": [self._row(columns, row) for row in page.rows],
            "count": pages.count_text(rows, sort, self.counted),
            "searchable": type(self).find is not None,
            "search_hint": self.search_hint,
            "q": chosen.get("q", ""),
            "fields": [_filter_field(each, each.asked(chosen)) for each in self.filters],
            "sorts": [{"name": each.name, "label": each.label, "chosen": each == sort} for each in self.sorts],
            "folded_open": bool(chosen.keys() - {"q", "show"}),
            "narrowed": bool(chosen.keys() - {"sort", "show"}),
            "show": self.request.GET.get("show", ""),
            "before_url": self._url(chosen, at=page.before) if page.before else "",
            "after_url": self._url(chosen, at=page.after) if page.after else "",
            "csv_url": self._url(chosen, format="csv"),
            "many_url": reverse(f"checkout.many.{self.many_name}") if self.many_name else "",
            "many": self.get_many() if self.many_name else [],
            "chosen": chosen,
            "clear_url": self._url({"show": chosen["show"]} if "show" in chosen else {}),
        }

    def _parameters(self) -> set[str]:
        return {"q", "sort", "show", *(each.name for each in self.filters)}

    def _url(self, chosen: dict[str, Any], **more: str) -> str:
        query = urlencode(chosen | more)
        return f"{self.request.path}?{query}" if query else self.request.path

    def _shown(self) -> list[Column]:
        """The columns of the page. Asked for once: their labels are translated and escaped here, not in each row."""
        shown = (column for column in self.columns if not column.only_csv)
        return [replace(column, label=conditional_escape(column.label)) for column in shown]

    def _row(self, columns: Sequence[Column], row: Any) -> Row:
        values = (column.cell(row) for column in columns)
        cells = [value if isinstance(value, Cell) else Cell(value) for value in values]
        return Row(columns, cells, row.pk if self.many_name else None)

    def csv(self) -> StreamingHttpResponse:
        """Everything that the filters leave, in the order of the page, streamed."""
        # Whose rows there are not is a 404, which nothing can be any more once the first line is sent.
        rows = self.narrowed()
        response = StreamingHttpResponse(self._csv_lines(rows), content_type="text/csv; charset=utf-8")
        name = f"{self.csv_name}-{clock.today():%Y-%m-%d}.csv"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        logger.info("user %s exported %s", self.request.user.pk, self.csv_name)
        return response

    def _csv_lines(self, rows: QuerySet[Any]) -> Iterator[str]:
        writer = csv.writer(_Echo())
        columns = self.columns
        # The mark tells spreadsheets that this is UTF-8.
        yield "\ufeff" + writer.writerow([str(column.label) for column in columns])
        sort, cursor, written = self.sort(), "", 0
        while written < self.csv_limit:
            page = pages.page(rows, sort, cursor, size=1000)
            self.prepare(page.rows)
            for row in page.rows:
                yield writer.writerow([_plain(column.cell(row)) for column in columns])
            written += len(page.rows)
            cursor = page.after
            if not cursor:
                return


class _Echo:
    def write(self, line: str) -> str:
        return line


def _plain(value: Any) -> str:
    if isinstance(value, Cell):
        value = value.text if value.plain is None else value.plain
    return harmless("" if value is None else str(value))


def _day(value: str) -> Any:
    """A day that a database and a clock can reckon with, or None: nothing here is older or that far away."""
    try:
        day = parse_date(value)
    except ValueError:
        return None
    return day if day is not None and 1970 <= day.year < 3000 else None


def _filter_field(each: Filter, chosen: str) -> dict[str, Any]:
    return {
        "name": each.name,
        "label": each.label,
        "is_date": each.is_date,
        "value": chosen if not each.is_date or _day(chosen) else "",
        "choices": [{"value": value, "text": text, "chosen": value == chosen} for value, text in each.choices],
    }

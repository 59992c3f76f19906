"""What every staff page shares: who may open it, how a list is read, how an action is confirmed and done."""

from __future__ import annotations

import csv
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.mixins import AccessMixin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.dateparse import parse_date
from django.utils.formats import date_format
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.generic import FormView, TemplateView

from checkout import advice, clock, money
from checkout.conf import conf
from checkout.errors import AlreadyPaid, CheckoutError, OutcomeUnknown
from checkout.office import pages
from checkout.office.forms import ReasonForm

logger = logging.getLogger("checkout.staff")

#: The menu: URL name, words, the permission that its page wants.
MENU: tuple[tuple[str, Any, str], ...] = (
    ("checkout.dashboard", gettext_lazy("Overview"), "checkout.view_dashboard"),
    ("checkout.list.audit", gettext_lazy("To look at"), "checkout.view_checkout"),
    ("checkout.list", gettext_lazy("Checkouts"), "checkout.view_checkout"),
    ("checkout.object.payment.plan.list", gettext_lazy("Plans"), "checkout.view_objectpaymentplan"),
    ("checkout.payment.run.list", gettext_lazy("Runs"), "checkout.view_paymentrun"),
    ("checkout.customer.list", gettext_lazy("Customers"), "checkout.view_customer"),
    ("checkout.card.refresh.list", gettext_lazy("Cards"), "checkout.view_customer"),
    ("checkout.customer.payment.list", gettext_lazy("Requests"), "checkout.view_customerpayment"),
    ("checkout.refund.list", gettext_lazy("Refunds"), "checkout.view_refund"),
    ("checkout.dispute.list", gettext_lazy("Disputes"), "checkout.view_dispute"),
    ("checkout.payment.plan.list", gettext_lazy("Templates"), "checkout.view_paymentplan"),
    ("checkout.event.list", gettext_lazy("Events"), "checkout.view_stripeevent"),
    ("checkout.doctor", gettext_lazy("Health"), "checkout.view_scheduledjob"),
    ("checkout.settings", gettext_lazy("Settings"), "checkout.view_checkoutsettings"),
)


class StaffMixin(AccessMixin):
    """Anonymous visitors log in; everybody else needs to be staff and to have `permission`. The same for any method."""

    request: HttpRequest
    permission = ""
    #: The entry of the menu that this page belongs to.
    menu = ""
    heading: Any = ""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        # Actions ask Stripe, which must not happen inside ATOMIC_REQUESTS' transaction.
        view: Callable[..., HttpResponseBase] = super().as_view(**initkwargs)  # type: ignore[misc]
        return transaction.non_atomic_requests(view)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        if not (request.user.is_active and request.user.is_staff and request.user.has_perm(self.permission)):
            raise PermissionDenied(_("Your login may not open this page."))
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        patch_cache_control(response, no_store=True, private=True)
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    def can(self, permission: str) -> bool:
        return self.request.user.has_perm(f"checkout.{permission}")

    def offer(self, *buttons: tuple[str, str, Any, bool]) -> list[dict[str, Any]]:
        """Of (permission, address, words, does it fit now) those that this login may use and that fit."""
        return [
            {"url": url, "text": text}
            for permission, url, text, fits in buttons
            if fits and (not permission or self.can(permission))
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {
            "base_template": conf.CHECKOUT_STAFF_BASE_TEMPLATE,
            "heading": self.heading,
            "menu": [
                {"url": reverse(name), "text": text, "current": name == self.menu}
                for name, text, permission in MENU
                if self.request.user.has_perm(permission)
            ],
            "back": self.request.META.get("HTTP_REFERER", ""),
        } | context


class StaffPageView(StaffMixin, TemplateView):  # type: ignore[misc]
    """A page that shows one thing."""


# -- lists ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one square of a list. `state` makes it a coloured word; `plain` is what the CSV holds."""

    text: Any
    url: str = ""
    state: str | None = None
    small: Any = ""
    plain: Any = None
    #: A day in two lines is hard to read.
    is_day: bool = False


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

    def __init__(self, columns: Sequence[Column], cells: list[Cell]) -> None:
        super().__init__(cells)
        self.columns = columns

    @property
    def html(self) -> SafeString:
        squares = []
        for column, cell in zip(self.columns, self, strict=True):
            kind, role = ("th", 'role="rowheader" scope="row"') if column.header else ("td", 'role="cell"')
            number = ' class="office-number"' if column.number else ""
            label = conditional_escape(column.label)
            squares.append(f'<{kind} {role} data-label="{label}"{number}>{_inside(cell)}</{kind}>')
        return SafeString(f'<tr role="row">{"".join(squares)}</tr>')


def _inside(cell: Cell) -> str:
    text = "" if cell.text is None else conditional_escape(cell.text)
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


@dataclass(frozen=True, slots=True)
class Tab:
    url: str
    text: Any
    current: bool


#: The two orders of nearly every list.
BY_AGE = (
    pages.Sort("new", gettext_lazy("Newest first"), "pk", descending=True),
    pages.Sort("old", gettext_lazy("Oldest first"), "pk"),
)


class StaffListView(StaffMixin, TemplateView):  # type: ignore[misc]
    """A list: search, filters, orders, pages by key, and a CSV of all that the filters leave."""

    template_name = "checkout/staff/list.html"
    columns: Sequence[Column] = ()
    sorts: Sequence[pages.Sort] = BY_AGE
    filters: Sequence[Filter] = ()
    find: Callable[[QuerySet[Any], str], QuerySet[Any]] | None = None
    search_hint: Any = ""
    intro: Any = ""
    empty: Any = gettext_lazy("Nothing here.")
    csv_name = "list"
    #: A CSV ends here; a spreadsheet could not open more.
    csv_limit = 1_000_000

    def get_rows(self) -> QuerySet[Any]:
        """What is listed. Each list has its own rows."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it lists.")

    def get_tabs(self) -> list[Tab]:
        return []

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
            value = self.request.GET.get(each.name, "")
            if each.is_date:
                day = _day(value)
                rows = each.apply(rows, day) if day else rows
            elif value and value in dict(each.choices):
                rows = each.apply(rows, value)
        return rows

    def sort(self) -> pages.Sort:
        wanted = self.request.GET.get("sort", "")
        return next((sort for sort in self.sorts if sort.name == wanted), self.sorts[0])

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        if request.GET.get("format") == "csv":
            return self.csv()
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows, sort = self.narrowed(), self.sort()
        page = pages.page(rows, sort, self.request.GET.get("at", ""))
        self.prepare(page.rows)
        chosen: dict[str, Any] = {
            name: value for name, value in self.request.GET.items() if value and name in self._parameters()
        }
        return super().get_context_data(**kwargs) | {
            "intro": self.intro,
            "empty": self.empty,
            "tabs": self.get_tabs(),
            "actions": self.get_actions(),
            "labels": [{"text": column.label, "number": column.number} for column in self._shown()],
            "rows": [self._row(row) for row in page.rows],
            "count": pages.count_text(rows),
            "searchable": type(self).find is not None,
            "search_hint": self.search_hint,
            "q": chosen.get("q", ""),
            "fields": [_filter_field(each, chosen.get(each.name, "")) for each in self.filters],
            "sorts": [{"name": each.name, "label": each.label, "chosen": each == sort} for each in self.sorts],
            "folded_open": bool(chosen.keys() - {"q", "show"}),
            "narrowed": bool(chosen.keys() - {"sort", "show"}),
            "show": self.request.GET.get("show", ""),
            "before_url": self._url(chosen, at=page.before) if page.before else "",
            "after_url": self._url(chosen, at=page.after) if page.after else "",
            "csv_url": self._url(chosen, format="csv"),
            "clear_url": self._url({"show": chosen["show"]} if "show" in chosen else {}),
        }

    def _parameters(self) -> set[str]:
        return {"q", "sort", "show", *(each.name for each in self.filters)}

    def _url(self, chosen: dict[str, Any], **more: str) -> str:
        query = urlencode(chosen | more)
        return f"{self.request.path}?{query}" if query else self.request.path

    def _shown(self) -> list[Column]:
        return [column for column in self.columns if not column.only_csv]

    def _row(self, row: Any) -> Row:
        columns, cells = self._shown(), []
        for column in columns:
            value = column.cell(row)
            cells.append(value if isinstance(value, Cell) else Cell(value))
        return Row(columns, cells)

    def csv(self) -> StreamingHttpResponse:
        """Everything that the filters leave, in the order of the page, streamed."""
        response = StreamingHttpResponse(self._csv_lines(), content_type="text/csv; charset=utf-8")
        name = f"{self.csv_name}-{clock.today():%Y-%m-%d}.csv"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        logger.info("user %s exported %s", self.request.user.pk, self.csv_name)
        return response

    def _csv_lines(self) -> Iterator[str]:
        writer = csv.writer(_Echo())
        columns = self.columns
        # The mark tells spreadsheets that this is UTF-8.
        yield "\ufeff" + writer.writerow([str(column.label) for column in columns])
        rows, sort, cursor, written = self.narrowed(), self.sort(), "", 0
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
    text = "" if value is None else str(value)
    # A cell that begins like a formula would be run by a spreadsheet.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _day(value: str) -> Any:
    try:
        return parse_date(value)
    except ValueError:
        return None


def _filter_field(each: Filter, chosen: str) -> dict[str, Any]:
    return {
        "name": each.name,
        "label": each.label,
        "is_date": each.is_date,
        "value": chosen if not each.is_date or _day(chosen) else "",
        "choices": [{"value": value, "text": text, "chosen": value == chosen} for value, text in each.choices],
    }


def show_money(amount: Decimal | None, currency: str) -> str:
    """The amount as the reader writes it; a dash for none."""
    if amount is None:
        return "–"  # noqa: RUF001 - a dash on purpose
    return _money(amount, currency, get_language() or "en-gb")


@functools.lru_cache(maxsize=4096)
def _money(amount: Decimal, currency: str, language: str) -> str:
    """Lists repeat their amounts, and reading a locale's pattern takes a while."""
    return money.format_money(amount, currency, language)


def show_time(moment: Any) -> str:
    if moment is None:
        return "–"  # noqa: RUF001
    return date_format(timezone.localtime(moment), _("j M Y, H:i"))


def show_date(day: Any) -> str:
    return date_format(day, _("j M Y")) if day else "–"  # noqa: RUF001


def money_cell(amount: Decimal | None, currency: str, **more: Any) -> Cell:
    if amount is None:
        return Cell(show_money(None, currency), plain="", **more)
    return Cell(show_money(amount, currency), plain=money.tidy(amount, currency), **more)


def time_cell(moment: Any) -> Cell:
    # Spreadsheets know this form, and no zone: it is the site's, as on the page.
    return Cell(show_time(moment), plain=f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}" if moment else "")


def date_cell(day: Any) -> Cell:
    return Cell(show_date(day), plain=day.isoformat() if day else "", is_day=True)


def state_cell(state: str, name: Any = "") -> Cell:
    """A state of ours, by its slug in a CSV; or anything that has a `name` and borrows the colour of a state."""
    return Cell(name or advice.STATE_NAMES[state], state=state, plain=name or state)


def debt_cell(state: str) -> Cell:
    """The state of what is owed."""
    return Cell(advice.DEBT_NAMES[state], state=state, plain=state)


# -- actions --------------------------------------------------------------------------------------------


class StaffActionView(StaffMixin, FormView):  # type: ignore[type-arg]
    """Something is done: GET asks, POST does it.

    The page carries what was last known of its subject; when that has moved on meanwhile (a second click, a colleague),
    nothing is done and the page shows how things stand now. The services hold against races by themselves.
    """

    template_name = "checkout/staff/confirm.html"
    form_class: type[Form] = ReasonForm
    question: Any = ""
    button: Any = gettext_lazy("Yes, do it")
    danger = False
    object: Any

    def get_object(self) -> Any:
        """What something is done to. Each action finds its own."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it acts on.")

    def get_version(self) -> str:
        """Changes whenever somebody did something to the object."""
        return ""

    def get_facts(self) -> list[tuple[Any, Any]]:
        return []

    def get_refusal(self) -> str:
        """Why it cannot be done now; empty when it can."""
        return ""

    def get_back_url(self) -> str:
        return str(self.object.get_absolute_url())

    def get_success_url(self) -> str:
        return self.get_back_url()

    def perform(self, form: Any) -> str:
        """Do it. Returns what to tell whoever did it; raises CheckoutError when it cannot be done.

        One that brought nothing (a charge that was declined) sets `went_well` to False, so that it does not look like a
        success. Each action has its own: one that did nothing would tell staff that it was done.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it does.")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.went_well = True
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.get_object()
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: str) -> HttpResponse:
        self.object = self.get_object()
        if request.POST.get("seen", "") != self.get_version():
            messages.warning(request, _("Something happened here since you opened the page. Please look again."))
            return HttpResponseRedirect(self.get_back_url())
        if refusal := self.get_refusal():
            messages.warning(request, refusal)
            return HttpResponseRedirect(self.get_back_url())
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            told = self.perform(form)
        except AlreadyPaid as problem:
            messages.info(self.request, _("Already done: %(why)s") % {"why": problem})
        except OutcomeUnknown:
            messages.warning(
                self.request,
                _("Stripe gave no answer. It is looked up by itself within minutes; do not do it a second time."),
            )
        except CheckoutError as problem:
            logger.info("staff action %s refused: %s", type(self).__name__, problem)
            form.add_error(None, str(problem))
            self.object = self.get_object()
            return self.render_to_response(self.get_context_data(form=form), status=409)
        else:
            logger.info(
                "user %s: %s %s", self.request.user.pk, type(self).__name__, getattr(self.object, "pk", ""),
                extra={"user": self.request.user.pk},
            )  # fmt: skip
            (messages.success if self.went_well else messages.warning)(self.request, told)
        return HttpResponseRedirect(self.get_success_url())

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "object": self.object,
            "question": self.question,
            "button": self.button,
            "danger": self.danger,
            "facts": self.get_facts(),
            "refusal": self.get_refusal(),
            "seen": self.get_version(),
            "back_url": self.get_back_url(),
        }


def newest_change(row: Model) -> str:
    """The version of something whose moves are written down."""
    changes: Any = row.state_changes  # type: ignore[attr-defined]
    return str(changes.order_by("-pk").values_list("pk", flat=True).first() or 0)

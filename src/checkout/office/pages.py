"""Lists read page by page: by a key, in an order, with a bounded count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import formats
from django.utils.translation import gettext as _

#: A count stops here: nobody reads further, and counting a million rows takes longer than the page.
COUNTED = 500

PAGE = 50


@dataclass(frozen=True, slots=True)
class Sort:
    """An order in which a list may be read: a column (never null there), ties broken by the primary key."""

    name: str
    label: Any
    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the cursors of the pages before and after them (empty when there is none)."""

    rows: list[Any]
    before: str
    after: str


def page(rows: QuerySet[Any], sort: Sort, cursor: str = "", size: int = PAGE) -> Page:
    """One page, found by key and not by offset: the thousandth is as quick as the first.

    `cursor` is "a" (after) or "b" (before) and the primary key of a row; its value is read from the row, so a made-up
    cursor is only another place in the same list.
    """
    backwards, boundary = _boundary(rows, sort, cursor)
    descending = sort.descending != backwards
    if boundary is not None:
        rows = rows.filter(_beyond(sort.column, boundary, descending))
    found = list(rows.order_by(*_order(sort, descending))[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    has_before = more if backwards else boundary is not None
    has_after = boundary is not None if backwards else more
    return Page(
        found,
        f"b{found[0].pk}" if found and has_before else "",
        f"a{found[-1].pk}" if found and has_after else "",
    )


def _order(sort: Sort, descending: bool) -> list[str]:
    order = [sort.column] if sort.column == "pk" else [sort.column, "pk"]
    return [f"-{name}" if descending else name for name in order]


def _boundary(rows: QuerySet[Any], sort: Sort, cursor: str) -> tuple[bool, tuple[Any, int] | None]:
    match = re.fullmatch(r"([ab])(\d{1,18})", cursor)
    if match is None:
        return False, None
    pk = int(match[2])
    known = rows.model._base_manager.filter(pk=pk)
    if sort.column in rows.query.annotations:
        # Reckoned, not kept: for a row that the filters have left meanwhile as well.
        known = known.annotate(**{sort.column: rows.query.annotations[sort.column]})
    value = known.values_list(sort.column, flat=True).first()
    return (match[1] == "b", (value, pk)) if value is not None else (False, None)


def _beyond(column: str, boundary: tuple[Any, int], descending: bool) -> Q:
    value, pk = boundary
    less, at_most = ("lt", "lte") if descending else ("gt", "gte")
    if column == "pk":
        return Q(**{f"pk__{less}": pk})
    # The first half is what an index can use; the second leaves out the ties before the boundary.
    return Q(**{f"{column}__{at_most}": value}) & (Q(**{f"{column}__{less}": value}) | Q(**{f"pk__{less}": pk}))


def count_text(rows: QuerySet[Any], sort: Sort | None = None, most: int = COUNTED) -> str:
    """How many, up to `most`: "37", "more than 500". A list in the order of a column that is kept is counted in
    that order: PostgreSQL goes along the index of the page, and stops, where it may else join all rows."""
    along = sort is not None and sort.column != "pk" and sort.column not in rows.query.annotations
    rows = rows.order_by(*_order(sort, sort.descending)) if sort is not None and along else rows.order_by()
    number = rows.values("pk")[: most + 1].count()
    return _("more than %(number)s") % {"number": number_text(most)} if number > most else number_text(number)


def number_text(number: int) -> str:
    """A whole number as the reader writes it, with separators between the thousands."""
    return str(formats.number_format(number, force_grouping=True))


def decimal_text(number: Decimal) -> str:
    """A number with decimals as the reader writes it."""
    return str(formats.number_format(number))

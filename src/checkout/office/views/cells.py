"""How values are shown to staff: amounts, times and states, as text and as a square of a list."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import advice, money

#: Stands for a key where an address is looked up, and is no part of any other address.
_ANY_KEY: Final = 9_007_199_254_740_991


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
    #: (words, address) of what can be done about the row.
    links: tuple[tuple[Any, str], ...] = ()


def address_of(name: str) -> Callable[[int], str]:
    """The addresses of many rows on the page of that name, by their primary keys: the page is looked up once."""
    before, after = reverse(name, args=[_ANY_KEY]).split(str(_ANY_KEY))
    return lambda pk: f"{before}{pk}{after}"


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
    here = timezone.localtime(moment)
    return _("%(day)s, %(time)s") % {"day": show_date(here.date()), "time": f"{here:%H:%M}"}


def show_date(day: Any) -> str:
    return _day(day, _("j M Y"), get_language() or "en-gb") if day else "–"  # noqa: RUF001


@functools.lru_cache(maxsize=4096)
def _day(day: datetime.date, written: str, language: str) -> str:
    """Lists repeat their days, too."""
    return date_format(day, written)


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

"""The arithmetic of a payment plan: deposit, dates and amounts. No rows, no network, no clock."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from dateutil.relativedelta import relativedelta
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from checkout import money
from checkout.errors import PlanError

#: A deposit due after this day of the month pushes the instalments one month further.
LAST_DAY_FOR_NEXT_MONTH = 15


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plan. `count` 1 is the deposit; `amount` is in whole currency units."""

    count: int
    due: datetime.date
    amount: Decimal

    @property
    def deposit(self) -> bool:
        return self.count == 1


def split_minor(total_minor: int, parts: int, step: int = 1) -> list[int]:
    """Split `total_minor` into `parts` multiples of `step` that add up to it; the odd steps go on the last parts.

    >>> split_minor(10000, 3), split_minor(5000, 3), split_minor(1000, 3, step=100)
    ([3333, 3333, 3334], [1666, 1667, 1667], [300, 300, 400])

    Raises ValueError when there are no parts, or the total is negative or no multiple of `step`.
    """
    if parts < 1:
        raise ValueError("A total is split into one part or more.")
    if total_minor < 0 or total_minor % step:
        raise ValueError(f"{total_minor} is not a sum of whole steps of {step}.")
    each, odd = divmod(total_minor // step, parts)
    return [(each + (index >= parts - odd)) * step for index in range(parts)]


def deposit_minor(total_minor: int, percent: int, currency: str) -> int:
    """`percent` of the total, rounded half up to the currency's smallest unit. Minor units in and out.

    >>> deposit_minor(9999, 50, "GBP")
    5000
    """
    return money.round_minor(Decimal(total_minor) * percent / 100, currency)


def instalment_dates(deposit_due: datetime.date, count: int, interval: int) -> list[datetime.date]:
    """The first of the month, `interval` months after the deposit's month and then every `interval` months; all one
    month later when the deposit falls after the 15th.

    >>> [str(due) for due in instalment_dates(datetime.date(2026, 1, 16), 2, 1)]
    ['2026-03-01', '2026-04-01']

    Raises PlanError when a date would lie beyond the calendar.
    """
    first_of_month = deposit_due.replace(day=1)
    later = int(deposit_due.day > LAST_DAY_FOR_NEXT_MONTH)
    try:
        return [first_of_month + relativedelta(months=interval * number + later) for number in range(1, count + 1)]
    except (ValueError, OverflowError) as error:
        raise PlanError(
            _("The last instalment would fall after the year 9999. Use fewer or closer instalments.")
        ) from error


def one_a_month(lines: list[Line], *, after: datetime.date) -> list[Line]:
    """Move lines so that none falls in the month of `after` or before, and no two that were moved fall in one month.

    For a deposit that was paid late: the instalments that became overdue meanwhile would be taken in one night.

    >>> late = [Line(2, datetime.date(2026, 2, 1), Decimal(40)), Line(3, datetime.date(2026, 7, 1), Decimal(40))]
    >>> [str(line.due) for line in one_a_month(late, after=datetime.date(2026, 4, 20))]
    ['2026-05-01', '2026-07-01']
    """
    moved: list[Line] = []
    for line in lines:
        earliest = after.replace(day=1) + relativedelta(months=1)
        due = max(line.due, earliest)
        moved.append(Line(line.count, due, line.amount))
        after = due
    return moved


def plan_lines(
    total: Decimal, currency: str, *, deposit: int, count: int, interval: int, deposit_due: datetime.date
) -> list[Line]:
    """The deposit and every instalment of `total`, first to last; the amounts add up to it exactly.

    `deposit` is a percentage, `count` the number of instalments after the deposit, `interval` months.

    Raises PlanError when a line would be zero or below Stripe's minimum, with what would work instead; MoneyError when
    the total itself is not an amount of that currency.
    """
    check_terms(deposit=deposit, count=count, interval=interval)
    code = money.check_currency(currency)
    total_minor = money.to_minor(total, code)
    step = money.step_minor(code)
    first = deposit_minor(total_minor, deposit, code)
    rest = total_minor - first
    least = money.minimum_minor(code)
    if first < least or rest // count < least:
        raise PlanError(_too_small(total, code, first, rest, least, deposit, count))
    amounts = [first, *split_minor(rest, count, step)]
    if (most := max(amounts)) > money.maximum_minor(code):
        raise PlanError(
            _(
                "A line of %(line)s %(currency)s is more than one card payment may be (%(most)s %(currency)s). "
                "Use more instalments."
            )
            % {
                "line": number_format(money.from_minor(most, code)),
                "most": number_format(money.from_minor(money.maximum_minor(code), code)),
                "currency": code,
            }
        )
    dates = [deposit_due, *instalment_dates(deposit_due, count, interval)]
    return [
        Line(number, due, money.from_minor(minor, code))
        for number, (due, minor) in enumerate(zip(dates, amounts, strict=True), start=1)
    ]


def check_terms(*, deposit: int, count: int, interval: int) -> None:
    """Raises PlanError unless the deposit is 1 to 99 per cent and count and interval are at least 1."""
    if not 1 <= deposit <= 99:
        raise PlanError(_("The deposit is a percentage from 1 to 99: with less or more there would be an empty line."))
    if count < 1:
        raise PlanError(_("A plan has at least 1 instalment after the deposit."))
    if interval < 1:
        raise PlanError(_("Instalments are at least 1 month apart."))


def _too_small(
    total: Decimal, code: str, first_minor: int, rest_minor: int, least_minor: int, deposit: int, count: int
) -> str:
    least = number_format(money.from_minor(least_minor, code))
    shown = number_format(money.tidy(total, code))
    if first_minor >= least_minor and (fits := rest_minor // least_minor) >= 1:
        return ngettext(
            "%(total)s %(currency)s cannot be split into %(count)d instalment after the deposit: each must be at least "
            "%(least)s %(currency)s. At most %(fits)d would work.",
            "%(total)s %(currency)s cannot be split into %(count)d instalments after the deposit: each must be at "
            "least %(least)s %(currency)s. At most %(fits)d would work.",
            count,
        ) % {"total": shown, "currency": code, "count": count, "least": least, "fits": fits}
    needed = _smallest_total(code, least_minor, deposit, count)
    return _(
        "%(total)s %(currency)s is too little for this plan: every payment must be at least %(least)s %(currency)s. "
        "It works from %(needed)s %(currency)s."
    ) % {"total": shown, "currency": code, "least": least, "needed": number_format(money.from_minor(needed, code))}


def _smallest_total(code: str, least_minor: int, deposit: int, count: int) -> int:
    """The least total (minor units) that the terms can split."""
    step = money.step_minor(code)
    total = max(least_minor * 100 // deposit, least_minor * count * 100 // (100 - deposit))
    total -= total % step + 2 * step * 100
    total = max(total, step)
    while True:
        first = deposit_minor(total, deposit, code)
        if first >= least_minor and (total - first) // count >= least_minor:
            return total
        total += step


def allocate(
    amount: Decimal, left: Sequence[Decimal], *, first: int = 0, last_first: bool = False
) -> dict[int, Decimal]:
    """What each line gets of `amount`, by its place in `left` (what is left of each, in order of their days).

    The `first` lines (overdue ones) come first in any case; of the others the next one, or the last one. Lines that get
    nothing are left out. Raises PlanError when `amount` is not positive, or more than all that is left.
    """
    if not 0 < amount <= sum(left):
        raise PlanError(_("No more can be paid than what is left."))
    others = range(first, len(left))
    gets: dict[int, Decimal] = {}
    for place in [*range(first), *(reversed(others) if last_first else others)]:
        if part := min(left[place], amount):
            gets[place] = part
            amount -= part
    return gets

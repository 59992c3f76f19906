"""The arithmetic of changing a plan: what its lines are afterwards, and whether that favours its payer. No rows, no
network, no clock.

Every way to change a plan is a function from the lines as they stand to the lines as they would be; `check` says what
no change may do, `favours_payer` whether its payer has to agree.
"""

from __future__ import annotations

import calendar
import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from dateutil.relativedelta import relativedelta
from django.db.models import TextChoices
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import money, schedule, states
from checkout.errors import PlanError

ZERO: Final = Decimal(0)
#: Years rather than typing errors.
YEARS: Final = 30
MOST_LINES: Final = 240


class Kind(TextChoices):
    """What is done to a plan."""

    LINES = "lines", gettext_lazy("other amounts or dates")
    PAUSE = "pause", gettext_lazy("a pause")
    PAY_DAY = "pay_day", gettext_lazy("another day of the month")
    SPLIT = "split", gettext_lazy("another number of payments")
    DISCOUNT = "discount", gettext_lazy("a discount")
    FEE = "fee", gettext_lazy("a fee")
    WRITE_OFF = "write_off", gettext_lazy("the rest is written off")
    OWED_AGAIN = "owed_again", gettext_lazy("a payment that went back is owed again")
    REOPEN = "reopen", gettext_lazy("a stopped plan goes on")
    UNDO = "undo", gettext_lazy("an earlier change is undone")
    PAYER = "payer", gettext_lazy("another payer")


#: What can be undone afterwards. Whatever else was done is changed by another change.
UNDOABLE: Final = frozenset({Kind.LINES, Kind.PAUSE, Kind.PAY_DAY, Kind.SPLIT, Kind.DISCOUNT, Kind.FEE, Kind.WRITE_OFF})


class Ended(TextChoices):
    """Why nothing more is collected of a line that was not paid in full."""

    WRITTEN_OFF = "written_off", gettext_lazy("written off")
    TAKEN_OFF = "taken_off", gettext_lazy("taken off")


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands: `owed` in all, of which `paid` is in (whole currency units, net). `pk` is None for one
    that the change makes; it then may stand in the place of `replaces`, a line that was paid and went back. `ended`
    says why nothing more is collected of one that was not paid (in full)."""

    pk: int | None
    count: int
    due: datetime.date
    owed: Decimal
    paid: Decimal = ZERO
    state: str = states.PENDING
    replaces: int | None = None
    ended: str = ""

    @property
    def left(self) -> Decimal:
        return self.owed - self.paid

    @property
    def is_over(self) -> bool:
        """Nothing is collected for it any more: it was paid, written off or taken off."""
        return self.state == states.SUCCESS

    @property
    def is_open(self) -> bool:
        return not self.is_over

    @property
    def to_come(self) -> Decimal:
        """What is still to be collected."""
        return self.left if self.is_open else ZERO

    def as_data(self) -> dict[str, Any]:
        """For the books: dates and amounts as text."""
        return {
            "pk": self.pk,
            "count": self.count,
            "due": self.due.isoformat(),
            "owed": str(self.owed),
            "paid": str(self.paid),
            "state": self.state,
            "replaces": self.replaces,
            "ended": self.ended,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Line:
        return cls(
            data["pk"],
            data["count"],
            datetime.date.fromisoformat(data["due"]),
            Decimal(data["owed"]),
            Decimal(data["paid"]),
            data["state"],
            data["replaces"],
            data["ended"],
        )


Lines = Sequence[Line]


def to_come(lines: Lines) -> Decimal:
    """What is still to be collected of all of them."""
    return sum((line.to_come for line in lines), ZERO)


def owed(lines: Lines) -> Decimal:
    """What is owed in all, paid or not."""
    return sum((line.owed for line in lines), ZERO)


def touched(before: Lines, after: Lines) -> dict[int, Line]:
    """The lines of `before` that the change makes different, by primary key."""
    same = {line.pk: line for line in after}
    return {line.pk: line for line in before if line.pk is not None and same.get(line.pk) != line}


# -- the ways to change a plan ------------------------------------------------------------------------------


def pause(lines: Lines, *, months: int, today: datetime.date) -> list[Line]:
    """Everything still to come is due so many months later; what is overdue counts from today."""
    if not 1 <= months <= 24:
        raise PlanError(_("A pause takes from 1 to 24 months."))
    shift = relativedelta(months=months)
    taken = _days_of_what_is_over(lines)
    after = [line for line in lines if line.is_over]
    for line in _open(lines):
        due = max(line.due, today) + shift
        while due in taken:
            due += datetime.timedelta(days=1)
        taken.add(due)
        after.append(_as(line, due, line.owed))
    return _in_order(after)


def pay_day(lines: Lines, *, day: int, today: datetime.date) -> list[Line]:
    """Everything still to come is due on that day of the month (the last of a shorter one), on or after its present
    date: nothing is taken earlier than was agreed."""
    if not 1 <= day <= 31:
        raise PlanError(_("A day of the month is a number from 1 to 31."))
    taken = _days_of_what_is_over(lines)
    after = [line for line in lines if line.is_over]
    for line in _open(lines):
        due = _next_day(max(line.due, today), day)
        while due in taken:
            due = _next_day(due + datetime.timedelta(days=1), day)
        taken.add(due)
        after.append(_as(line, due, line.owed))
    return _in_order(after)


def split(lines: Lines, *, count: int, first: datetime.date, interval: int = 1, currency: str) -> list[Line]:
    """All that is still to come, in `count` payments from `first` on, `interval` months apart. The odd smallest units
    go on the last ones. Lines that are not needed are taken off; more are added."""
    if not 1 <= count <= MOST_LINES:
        raise PlanError(_("The rest is split into 1 to %(most)d payments.") % {"most": MOST_LINES})
    if not 1 <= interval <= 12:
        raise PlanError(_("Payments are 1 to 12 months apart."))
    rest = to_come(lines)
    minor, step = money.to_minor(rest, currency), money.step_minor(currency)
    if minor // count < money.minimum_minor(currency):
        raise PlanError(_too_small(currency))
    amounts = [money.from_minor(part, currency) for part in schedule.split_minor(minor, count, step)]
    dues = [_later(first, interval * place) for place in range(count)]
    open_lines = _open(lines)
    after = [line for line in lines if line.is_over]
    for line, due, amount in zip(open_lines, dues, amounts, strict=False):
        after.append(_as(line, due, line.paid + amount))
    after += [_taken_off(line) for line in open_lines[count:]]
    number = _next_count(lines)
    for place, (due, amount) in enumerate(list(zip(dues, amounts, strict=True))[len(open_lines) :]):
        after.append(Line(None, number + place, due, amount))
    return _in_order(after)


def rewrite(lines: Lines, *, wanted: Sequence[tuple[int | None, datetime.date, Decimal]]) -> list[Line]:
    """The lines still to come as somebody wrote them down: (primary key or None, due, still to pay). A line that is not
    named, or whose amount is nothing, is taken off."""
    by_pk = {line.pk: line for line in lines if line.is_open}
    named = [pk for pk, _due, _amount in wanted if pk is not None]
    if unknown := set(named) - by_pk.keys():
        raise PlanError(_("Line %(pk)s is no line of this plan that is still to pay.") % {"pk": min(unknown)})
    if len(named) != len(set(named)):
        raise PlanError(_("A line is named twice."))
    after = [line for line in lines if line.is_over]
    number = _next_count(lines)
    for pk, due, amount in wanted:
        if amount < 0 or (pk is None and not amount):
            raise PlanError(_("An amount is more than nothing."))
        if pk is None:
            after.append(Line(None, number, due, amount))
            number += 1
        else:
            line = by_pk[pk]
            after.append(_as(line, due, line.paid + amount) if amount else _taken_off(line))
    after += [_taken_off(line) for pk, line in by_pk.items() if pk not in named]
    return _in_order(after)


def discount(lines: Lines, *, amount: Decimal, currency: str) -> list[Line]:
    """So much less is owed: the last payments become smaller, or fall away."""
    money.to_minor(amount, currency)
    rest = to_come(lines)
    if amount <= 0:
        raise PlanError(_("An amount is more than nothing."))
    if amount > rest:
        raise PlanError(
            _("No more than what is still to pay (%(left)s) can be taken off.") % {"left": _shown(rest, currency)}
        )
    less, after = amount, []
    for line in sorted(lines, key=lambda line: (line.due, line.count), reverse=True):
        part = min(line.to_come, less)
        less -= part
        after.append(
            line if not part else _taken_off(line) if part == line.left else _as(line, line.due, line.owed - part)
        )
    _check_rests(after, currency, amount)
    return _in_order(after)


def fee(lines: Lines, *, amount: Decimal, currency: str) -> list[Line]:
    """So much more is owed, with the last payment."""
    money.to_minor(amount, currency)
    if amount <= 0:
        raise PlanError(_("An amount is more than nothing."))
    if not _open(lines):
        raise PlanError(_("Nothing of this plan is still to pay, so ask for the amount by itself."))
    last = _open(lines)[-1]
    return [replace(line, owed=line.owed + amount) if line == last else line for line in lines]


def write_off(lines: Lines) -> list[Line]:
    """Nothing more is collected."""
    if not any(line.is_open for line in lines):
        raise PlanError(_("Nothing of this plan is still to pay."))
    return [_taken_off(line, Ended.WRITTEN_OFF) if line.is_open else line for line in lines]


def owed_again(lines: Lines, *, pk: int, amount: Decimal | None = None, due: datetime.date) -> list[Line]:
    """What went back of a line that was paid (refunded, or lost to a dispute) is owed again, by a line of its own."""
    former = next((line for line in lines if line.pk == pk and line.is_over), None)
    if former is None or former.left <= 0:
        raise PlanError(_("Nothing of that line went back, or it is owed again already."))
    if any(line.replaces == pk for line in lines):
        raise PlanError(_("That line is owed again already, by another line."))
    amount = former.left if amount is None else amount
    if not 0 < amount <= former.left:
        raise PlanError(_("Only what went back can be owed again."))
    less = [replace(line, owed=line.owed - amount) if line.pk == pk else line for line in lines]
    return [*less, Line(None, _next_count(lines), due, amount, replaces=pk)]


def reopen(lines: Lines, *, today: datetime.date) -> list[Line]:
    """What is still to come of a plan that was stopped is owed again: days that have gone by are moved, one a month."""
    after = [line for line in lines if line.is_over]
    taken = _days_of_what_is_over(lines)
    earliest = _later(today, 1)
    for line in _open(lines):
        due = line.due if line.due >= today and line.due not in taken else earliest
        while due in taken:
            due = _later(due, 1)
        taken.add(due)
        after.append(_as(line, due, line.owed))
    return _in_order(after)


def undo(lines: Lines, *, was: Lines, made: Lines, today: datetime.date) -> list[Line]:
    """Each line that a change made different (`was` before it, `made` after it) is owed again as it was; a line that it
    added is taken off. A day that has gone by meanwhile is moved, as `reopen` does."""
    then, became = ({line.count: line for line in each} for each in (was, made))
    changed = {count for count, line in became.items() if then.get(count) != line}
    after = [line for line in lines if line.count not in changed]
    taken = {line.due for line in after if not line.ended}
    for line in (line for line in lines if line.count in changed):
        left_it = became[line.count]
        if (line.due, line.owed, line.paid, line.ended) != (left_it.due, left_it.owed, left_it.paid, left_it.ended):
            raise PlanError(
                _("What this change made has changed since, by a payment or another change. Make a new change instead.")
            )
        former = then.get(line.count)
        if former is None:
            after.append(_taken_off(line))
            continue
        due = former.due
        if due < today and (line.ended or due != line.due):
            due = _later(today, 1)
            while due in taken:
                due = _later(due, 1)
        taken.add(due)
        back = replace(line, ended=former.ended, state=states.PENDING if line.ended else line.state)
        after.append(_as(back, due, former.owed) if back.due != due else replace(back, owed=former.owed))
    return _in_order(after)


# -- what no change may do ----------------------------------------------------------------------------------


def check(before: Lines, after: Lines, *, kind: str, by: Decimal, currency: str, today: datetime.date) -> None:
    """Raises PlanError, with a sentence for staff, for a change that would break a promise: a line that vanishes, what
    is paid that changes, a sum that is not what was agreed and `by` more, a day that has gone by, an amount that no
    card can pay, a line whose attempt is on its way."""
    _check_what_stands(before, after, kind)
    if owed(after) != owed(before) + by:
        raise PlanError(
            _("The payments add up to %(sum)s, and %(wanted)s is owed. Change the amounts, or add a discount or a fee.")
            % {
                "sum": _shown(to_come(after), currency),
                "wanted": _shown(to_come(before) + by, currency),
            }
        )
    known = {line.pk: line for line in before}
    for line in after:
        former = known.get(line.pk)
        if line == former or line.is_over:
            continue
        _check_open(line, former, currency, today)
    days = Counter(line.due for line in after if not line.ended)
    twice = sorted(day for day, times in days.items() if times > 1)
    if twice:
        raise PlanError(
            _("Two payments of this plan would be due on %(day)s. Choose another day for one of them.")
            % {"day": date_format(twice[0], "DATE_FORMAT")}
        )
    if sum(line.is_open for line in after) > MOST_LINES:
        raise PlanError(_("A plan has at most %(most)d payments to come.") % {"most": MOST_LINES})


def _check_what_stands(before: Lines, after: Lines, kind: str) -> None:
    now = {line.pk: line for line in after if line.pk is not None}
    for line in before:
        changed = now.get(line.pk or 0)
        if changed is None:
            raise PlanError(_("A line never vanishes: take it off, or write it off."))
        if changed == line:
            continue
        again = kind == Kind.OWED_AGAIN and replace(changed, owed=line.owed) == line
        # What was taken or written off, and only that, comes back.
        back = kind == Kind.UNDO and bool(line.ended)
        if line.is_over and not (again or back):
            raise PlanError(_("What is paid never changes. Refund it instead."))
        if changed.paid != line.paid or changed.owed < changed.paid:
            raise PlanError(_("Of a payment that came in part, that part never changes."))
        if line.state == states.REQUEST:
            raise PlanError(
                _("A payment of this plan is being taken at this moment. Wait for its end, or cancel it first.")
            )


def _check_open(line: Line, former: Line | None, currency: str, today: datetime.date) -> None:
    if former is None or former.due != line.due:
        if line.due < today:
            raise PlanError(
                _("%(day)s has gone by. Choose today or a later day.") % {"day": date_format(line.due, "DATE_FORMAT")}
            )
        if line.due > today + relativedelta(years=YEARS):
            raise PlanError(_("Choose a day within the next thirty years."))
    if former is None or former.owed != line.owed:
        if line.left <= 0:
            raise PlanError(_("An amount is more than nothing."))
        money.check_chargeable(line.left, currency)


def favours_payer(before: Lines, after: Lines) -> bool:
    """True when its payer need not agree: on no day more is due by then than before, and no single payment is larger
    than the largest was.

    >>> day = datetime.date
    >>> agreed = [Line(1, 2, day(2026, 3, 1), Decimal(50)), Line(2, 3, day(2026, 4, 1), Decimal(50))]
    >>> favours_payer(agreed, pause(agreed, months=1, today=day(2026, 2, 1)))
    True
    >>> favours_payer(agreed, fee(agreed, amount=Decimal(5), currency="GBP"))
    False
    """
    days = sorted({line.due for line in [*before, *after]})
    if any(_due_by(day, after) > _due_by(day, before) for day in days):
        return False
    largest = max((line.to_come for line in before), default=ZERO)
    return all(line.to_come <= largest for line in after)


def _due_by(day: datetime.date, lines: Lines) -> Decimal:
    return sum((line.to_come for line in lines if line.due <= day), ZERO)


# -- helpers ------------------------------------------------------------------------------------------------


def _open(lines: Lines) -> list[Line]:
    """What is still to come, in order of its days."""
    return sorted((line for line in lines if line.is_open), key=lambda line: (line.due, line.count))


def _days_of_what_is_over(lines: Lines) -> set[datetime.date]:
    """A plan has one line on a day; those that were taken off do not count."""
    return {line.due for line in lines if line.is_over and not line.ended}


def _as(line: Line, due: datetime.date, owes: Decimal) -> Line:
    """A line that gets another day is asked for anew on that day, whatever became of it on the old one."""
    return replace(line, due=due, owed=owes, state=line.state if due == line.due else states.PENDING)


def _taken_off(line: Line, why: Ended = Ended.TAKEN_OFF) -> Line:
    """What was paid of it stays."""
    return replace(line, owed=line.paid, state=states.SUCCESS, ended=why.value)


def _in_order(lines: Lines) -> list[Line]:
    return sorted(lines, key=lambda line: line.count)


def _next_count(lines: Lines) -> int:
    return max((line.count for line in lines), default=0) + 1


def _next_day(after: datetime.date, day: int) -> datetime.date:
    """The first date on or after it with that day of the month."""
    here = after.replace(day=min(day, calendar.monthrange(after.year, after.month)[1]))
    if here >= after:
        return here
    month = _later(after.replace(day=1), 1)
    return month.replace(day=min(day, calendar.monthrange(month.year, month.month)[1]))


def _later(day: datetime.date, months: int) -> datetime.date:
    try:
        return day + relativedelta(months=months)
    except (ValueError, OverflowError) as error:
        raise PlanError(_("Choose a day within the next thirty years.")) from error


def _check_rests(lines: Lines, currency: str, amount: Decimal) -> None:
    """Less than a card can pay may not be left of one payment. Says what would work."""
    least = money.from_minor(money.minimum_minor(currency), currency)
    for line in lines:
        if 0 < line.to_come < least:
            less = amount - (least - line.left)
            more = amount + line.left
            works = [_shown(each, currency) for each in (less, more) if each > 0]
            raise PlanError(
                _("That would leave %(rest)s of one payment, and a card cannot pay less than %(least)s. Use %(works)s.")
                % {
                    "rest": _shown(line.left, currency),
                    "least": _shown(least, currency),
                    "works": _(" or ").join(works),
                }
            )


def _too_small(currency: str) -> str:
    least = _shown(money.from_minor(money.minimum_minor(currency), currency), currency)
    return _("Every payment must be at least %(least)s. Use fewer payments.") % {"least": least}


def _shown(amount: Decimal, currency: str) -> str:
    return f"{number_format(money.tidy(amount, currency))} {currency}"

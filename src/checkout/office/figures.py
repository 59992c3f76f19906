"""The office's figures: money expected and taken by month, what is late, why payments fail, which cards run out.

Every question is bounded by dates or by a count, and answered from an index. All of it is about one currency; adding up
several would mean nothing.
"""

from __future__ import annotations

import datetime
import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dateutil.relativedelta import relativedelta
from django.core.cache import cache
from django.db.models import Case, CharField, Count, Max, Min, Q, QuerySet, Sum, Value, When
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import actions, advice, clock, states
from checkout.conf import conf
from checkout.models import (
    Checkout,
    Dispute,
    Forecast,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentRun,
    Refund,
    SavedCard,
)
from checkout.office import pages, selectors, stories

MONTHS_BACK, MONTHS_AHEAD = 6, 6
FAILURE_DAYS = 30
CARD_DAYS = 60
#: So long may a figure be old. Everybody who opens the page within it shares one reading.
SECONDS = 60
#: In days: up to this many days late. The last has no end.
AGES = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Month:
    """What was due in a month (paid or not), and what came in and went back in it."""

    first: datetime.date
    expected: Decimal
    taken: Decimal
    refunded: Decimal
    #: Of what is expected, what may not come, as it stood last night.
    shaky: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Share:
    """A line of a small table: a name, how many, and how much."""

    name: str
    number: int
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    currency: str
    read_at: datetime.datetime
    months: list[Month] = field(default_factory=list)
    overdue: list[Share] = field(default_factory=list)
    failures: list[Share] = field(default_factory=list)
    waiting: str = "0"
    disputes: int = 0
    events: str = "0"
    cards: str = "0"


def currencies() -> list[str]:
    """Of agreed plans, at least the site's own. Two look-ups in an index when there is only one."""
    ends = ObjectPaymentPlan.objects.aggregate(Min("currency"), Max("currency"))
    first, last = ends["currency__min"], ends["currency__max"]
    if first is None or first == last:
        return sorted({first or conf.CHECKOUT_CURRENCY, conf.CHECKOUT_CURRENCY})
    found = ObjectPaymentPlan.objects.order_by().values_list("currency", flat=True).distinct()
    return sorted({*found, conf.CHECKOUT_CURRENCY})


def figures(currency: str, *, fresh: bool = False) -> Figures:
    """Everything that the overview shows; at most a minute old."""
    # Some of it is words, so each language has its own.
    key = f"checkout.figures.{currency}.{clock.today():%Y%m%d}.{get_language()}"
    known = None if fresh else cache.get(key)
    if isinstance(known, Figures):
        return known
    read = _read(currency)
    cache.set(key, read, SECONDS)
    return read


def _read(currency: str) -> Figures:
    only = currencies() == [currency]
    return Figures(
        currency=currency,
        read_at=clock.now(),
        months=_months(currency, only),
        overdue=_overdue(currency, only),
        failures=_failures(currency),
        waiting=pages.count_text(
            ObjectPaymentPlanInstalment.objects.filter(
                Q(state=states.PAY_ON_SESSION), object_payment_plan__deleted=False
            )
        ),
        disputes=Dispute.objects.filter(is_open=True).count(),
        events=pages.count_text(selectors.events()),
        cards=pages.count_text(cards_running_out()),
    )


def _lines(currency: str, only: bool) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Lines in this currency. Without a second currency there is nothing to leave out, and no plan needs to be read."""
    rows = ObjectPaymentPlanInstalment.objects.order_by()
    return rows if only else rows.filter(object_payment_plan__currency=currency)


def _months(currency: str, only: bool) -> list[Month]:
    this = clock.today().replace(day=1)
    first, end = this - relativedelta(months=MONTHS_BACK - 1), this + relativedelta(months=MONTHS_AHEAD + 1)
    past = [first + relativedelta(months=number) for number in range(MONTHS_BACK)]
    expected = _expected(currency, only, first, end)
    taken = _by_month(
        Checkout.objects.filter(
            Q(state=states.SUCCESS),
            action__in=actions.TAKES_MONEY,
            settled_at__gte=stories.start_of(first),
            currency=currency,
        ),
        "total",
        past,
    )
    refunded = _by_month(
        Refund.objects.filter(state=Refund.SUCCEEDED, settled_at__gte=stories.start_of(first), currency=currency),
        "amount",
        past,
    )
    shaky = dict(Forecast.objects.filter(currency=currency, month__gte=this).values_list("month", "shaky"))
    months = []
    while first < end:
        zero = Decimal(0)
        months.append(
            Month(
                first,
                expected.get(first, zero),
                taken.get(first, zero),
                refunded.get(first, zero),
                shaky.get(first, zero),
            )
        )
        first += relativedelta(months=1)
    return months


def _expected(currency: str, only: bool, first: datetime.date, end: datetime.date) -> dict[datetime.date, Decimal]:
    """Sums by due month, less what stopped plans will not pay any more.

    Read by day and added up here: the days come out of the index as they are, and two sums over one index beat a join.
    """
    lines = _lines(currency, only).filter(due__gte=first, due__lt=end)
    stopped = lines.filter(~Q(state=states.SUCCESS), object_payment_plan__deleted=True)
    sums: dict[datetime.date, Decimal] = defaultdict(Decimal)
    for rows, sign in ((lines, 1), (stopped, -1)):
        for due, amount in rows.values_list("due").annotate(Sum("amount")):
            sums[due.replace(day=1)] += sign * amount
    return sums


def _by_month(rows: QuerySet[Any], column: str, firsts: list[datetime.date]) -> dict[datetime.date, Decimal]:
    """One pass with a sum for each month: cheaper than working out the month of every row in the site's zone."""
    sums = {
        f"m{number}": Sum(
            column,
            filter=Q(
                settled_at__gte=stories.start_of(first),
                settled_at__lt=stories.start_of(first + relativedelta(months=1)),
            ),
        )
        for number, first in enumerate(firsts)
    }
    found = rows.order_by().aggregate(**sums)
    return {first: found[f"m{number}"] or Decimal(0) for number, first in enumerate(firsts)}


def _overdue(currency: str, only: bool) -> list[Share]:
    today = clock.today()
    names = [_("up to %(days)d days") % {"days": AGES[0]}]
    names += [
        _("%(first)d to %(last)d days") % {"first": before + 1, "last": days}
        for before, days in itertools.pairwise(AGES)
    ]
    names.append(_("more than %(days)d days") % {"days": AGES[-1]})
    whens = [
        When(due__gte=today - datetime.timedelta(days=days), then=Value(str(number)))
        for number, days in enumerate(AGES)
    ]
    late = selectors.overdue_lines(of_stopped=None)
    if not only:
        late = late.filter(object_payment_plan__currency=currency)
    age = Case(*whens, default=Value(str(len(AGES))), output_field=CharField())
    found: dict[int, tuple[int, Decimal]] = {}
    # Everything that is late, less the lines of stopped plans: they are few, and so no live plan needs to be read.
    for rows, sign in ((late, 1), (late.filter(object_payment_plan__deleted=True), -1)):
        for number, count, amount in (
            rows.order_by().annotate(age=age).values_list("age").annotate(Count("pk"), Sum("amount"))
        ):
            before = found.get(int(number), (0, Decimal(0)))
            found[int(number)] = (before[0] + sign * count, before[1] + sign * amount)
    return [Share(name, *found.get(number, (0, Decimal(0)))) for number, name in enumerate(names)]


def _failures(currency: str) -> list[Share]:
    rows = (
        Checkout.objects.filter(
            Q(state=states.FAIL),
            settled_at__gte=stories.recently(FAILURE_DAYS),
            action__in=actions.TAKES_MONEY,
            superseded=False,
            currency=currency,
        )
        .order_by()
        .values_list("decline_code", "error_code")
        .annotate(Count("pk"), Sum("total"))
    )
    sums: dict[str, tuple[int, Decimal]] = {}
    for decline_code, error_code, number, amount in rows:
        name = advice.code_name(decline_code or error_code)
        before = sums.get(name, (0, Decimal(0)))
        sums[name] = (before[0] + number, before[1] + (amount or 0))
    shares = [Share(name, number, amount) for name, (number, amount) in sums.items()]
    return sorted(shares, key=lambda share: (-share.number, share.name))[:10]


def cards_running_out() -> QuerySet[SavedCard]:
    """Cards of plans with something still to pay that run out soon, or have, the soonest first."""
    return SavedCard.objects.in_use().filter(expiry_date__lte=_card_limit()).order_by("expiry_date", "pk")


def soonest_cards(limit: int = 8) -> list[ObjectPaymentPlan]:
    """Outstanding plans whose card runs out soon, or has, the soonest first."""
    return list(selectors.card_expiry().filter(agreement__saved_card__expiry_date__lte=_card_limit())[:limit])


def _card_limit() -> datetime.date:
    return clock.today() + datetime.timedelta(days=CARD_DAYS)


def newest_run() -> tuple[PaymentRun, dict[str, int]] | None:
    """The newest run of today, with what became of its lines; None when there was none."""
    run = PaymentRun.objects.order_by("-pk").first()
    if run is None or run.started_at < stories.start_of(clock.today()):
        return None
    return run, selectors.run_counts([run.pk]).get(run.pk, {})

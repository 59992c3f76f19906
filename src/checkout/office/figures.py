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

from dateutil.relativedelta import relativedelta
from django.core.cache import cache
from django.db.models import Case, CharField, Count, F, Max, Min, Q, QuerySet, Sum, Value, When
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import actions, advice, clock, states
from checkout.conf import conf
from checkout.models import (
    Checkout,
    CustomerPayment,
    Debt,
    Dispute,
    Forecast,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentRun,
    Posting,
    SavedCard,
)
from checkout.office import pages, selectors, stories
from checkout.services import disputes

MONTHS_BACK, MONTHS_AHEAD = 6, 6
FAILURE_DAYS = 30
CARD_DAYS = 60
#: So long may a figure be old. Everybody who opens the page within it shares one reading.
SECONDS = 60
#: In days: up to this many days late. The last has no end.
AGES = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Month:
    """What came in a month and what went back in it, by the day on which the money moved; and what is still to come of
    plans, by the day on which it is due."""

    first: datetime.date
    taken: Decimal
    back: Decimal
    left: Decimal
    #: Of what is to come, what may not come, as it stood last night.
    shaky: Decimal = Decimal(0)

    @property
    def expected(self) -> Decimal:
        return self.taken - self.back + self.left


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
    #: The next date until which evidence can be sent, and how many such dates have passed.
    answer_by: datetime.datetime | None = None
    too_late: int = 0
    events: str = "0"
    cards: str = "0"
    invoices: str = "0"
    requests: str = "0"


def currencies() -> list[str]:
    """Of agreed plans and of all else that is owed, at least the site's own. Look-ups in an index when there is only
    one."""
    known = {conf.CHECKOUT_CURRENCY}
    for model in (ObjectPaymentPlan, Debt):
        ends = model._default_manager.aggregate(first=Min("currency"), last=Max("currency"))
        known |= {code for code in ends.values() if code}
        if ends["first"] != ends["last"]:
            known |= set(model._default_manager.order_by().values_list("currency", flat=True).distinct())
    return sorted(known)


def figures(currency: str, *, known: list[str] | None = None, fresh: bool = False) -> Figures:
    """Everything that the overview shows; at most a minute old. `known` are all currencies, if they were asked for."""
    # Some of it is words, so each language has its own.
    key = f"checkout.figures.{currency}.{clock.today():%Y%m%d}.{get_language()}"
    kept = None if fresh else cache.get(key)
    if isinstance(kept, Figures):
        return kept
    read = _read(currency, only=(currencies() if known is None else known) == [currency])
    cache.set(key, read, SECONDS)
    return read


def _read(currency: str, *, only: bool) -> Figures:
    """`only`: there is no other currency, so that nothing has to be left out."""
    end = clock.today().replace(day=1) + relativedelta(months=MONTHS_AHEAD + 1)
    off = _off(currency, only, end)
    now = clock.now()
    dates = Dispute.objects.filter(disputes.AWAITS_EVIDENCE).aggregate(
        next=Min("due_by", filter=Q(due_by__gte=now)), passed=Count("pk", filter=Q(due_by__lt=now))
    )
    return Figures(
        currency=currency,
        read_at=clock.now(),
        months=_months(currency, only, off, end),
        overdue=_overdue(currency, only, off),
        failures=_failures(currency),
        waiting=pages.count_text(
            ObjectPaymentPlanInstalment.objects.filter(
                Q(state=states.PAY_ON_SESSION), object_payment_plan__deleted=False
            )
        ),
        disputes=Dispute.objects.filter(is_open=True).count(),
        answer_by=dates["next"],
        too_late=dates["passed"],
        events=pages.count_text(selectors.events()),
        cards=pages.count_text(cards_running_out()),
        invoices=pages.count_text(selectors.unpaid_invoices()),
        requests=pages.count_text(CustomerPayment.objects.filter(Q(state__in=states.UNPAID), withdrawn_at=None)),
    )


def _lines(currency: str, only: bool) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Lines in this currency. Without a second currency there is nothing to leave out, and no plan needs to be read."""
    rows = ObjectPaymentPlanInstalment.objects.order_by()
    return rows if only else rows.filter(object_payment_plan__currency=currency)


def _months(currency: str, only: bool, off: list[_Off], end: datetime.date) -> list[Month]:
    this = clock.today().replace(day=1)
    first = this - relativedelta(months=MONTHS_BACK - 1)
    came, back = _moved(currency, only, first)
    left = _to_come(currency, only, off, first, end)
    shaky = dict(Forecast.objects.filter(currency=currency, month__gte=this).values_list("month", "shaky"))
    months = []
    while first < end:
        months.append(Month(first, came[first], back[first], left[first], shaky.get(first, Decimal(0))))
        first += relativedelta(months=1)
    return months


ByMonth = dict[datetime.date, Decimal]


def _moved(currency: str, only: bool, first: datetime.date) -> tuple[ByMonth, ByMonth]:
    """What came and what went back since `first`, by the month in which it moved."""
    rows = Posting.objects.filter(day__gte=first, kind__in=Posting.CAME | Posting.WENT_BACK).order_by()
    if not only:
        rows = rows.filter(debt__currency=currency)
    came: ByMonth = defaultdict(Decimal)
    back: ByMonth = defaultdict(Decimal)
    # Read by day and added up here: the days come out of the index as they are.
    for day, kind, amount in rows.values_list("day", "kind").annotate(Sum("amount")):
        if kind in Posting.CAME:
            came[day.replace(day=1)] += amount
        else:
            back[day.replace(day=1)] -= amount
    return came, back


@dataclass(frozen=True, slots=True)
class _Off:
    """What unpaid lines of one day come to that will not be taken: so many lines, and so much money."""

    due: datetime.date
    lines: int
    amount: Decimal


def _off(currency: str, only: bool, end: datetime.date) -> list[_Off]:
    """Of lines due before `end`: those of stopped plans, and parts that have come of those of live plans.

    They are few, so they are taken off the sums of all unpaid lines, which come out of an index: neither a plan nor a
    debt is read of all the others.
    """
    lines = _lines(currency, only).filter(Q(state__in=states.UNPAID), due__lt=end)
    stopped = lines.filter(object_payment_plan__deleted=True).values_list("due")
    # By their keys: PostgreSQL takes a third of all debts for such, and would read them all.
    part_paid = list(Debt.objects.filter(paid__gt=0, paid__lt=F("owed")).values_list("pk", flat=True))
    parts = lines.filter(object_payment_plan__deleted=False, debt__in=part_paid)
    found = [_Off(*row) for row in stopped.annotate(Count("pk"), Sum("amount"))]
    return found + [_Off(due, 0, paid) for due, paid in parts.values_list("due").annotate(Sum("debt__paid"))]


def _to_come(
    currency: str, only: bool, off: list[_Off], first: datetime.date, end: datetime.date
) -> dict[datetime.date, Decimal]:
    """What is left of lines of live plans, by the month in which they are due."""
    lines = _lines(currency, only).filter(Q(state__in=states.UNPAID), due__gte=first, due__lt=end)
    sums: ByMonth = defaultdict(Decimal)
    for due, amount in lines.values_list("due").annotate(Sum("amount")):
        sums[due.replace(day=1)] += amount
    for each in off:
        sums[each.due.replace(day=1)] -= each.amount
    return sums


def _overdue(currency: str, only: bool, off: list[_Off]) -> list[Share]:
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
    for number, count, amount in (
        late.order_by().annotate(age=age).values_list("age").annotate(Count("pk"), Sum("amount"))
    ):
        found[int(number)] = (count, amount)
    for each in off:
        if each.due < today:
            days = (today - each.due).days
            number = next((place for place, most in enumerate(AGES) if days <= most), len(AGES))
            count, amount = found.get(number, (0, Decimal(0)))
            found[number] = (count - each.lines, amount - each.amount)
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

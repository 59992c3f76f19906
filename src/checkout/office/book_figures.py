"""The books in figures: a month by settlement currency, what is in a payout by name, and what is still to come.

Read from the movements of one month, of one payout, or of those that are in no payout yet: never from all of them.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dateutil.relativedelta import relativedelta
from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from checkout import clock
from checkout.journal import code_in_words
from checkout.models import BalanceTransaction, Payout
from checkout.services import books_intake
from checkout.services.books_things import CHARGE_TYPES, DISPUTE_CATEGORIES, PAYOUT_TYPES, REFUND_TYPES, RETURN_TYPES

ZERO = Decimal(0)
State = BalanceTransaction.State
#: What Stripe bills with no payment behind it.
BILLED = frozenset({"stripe_fee", "stripe_fx_fee", "tax_fee"})
THOUSANDTH = Decimal("0.001")


def exact(total: Decimal | None) -> Decimal:
    """SQLite adds in binary; no currency has more than three decimals."""
    return Decimal(total or 0).quantize(THOUSANDTH)


# -- a month -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Month:
    """What happened in a month, in one settlement currency. `days` is the mean from the payment to the bank."""

    currency: str
    came: Decimal = ZERO
    refunded: Decimal = ZERO
    disputed: Decimal = ZERO
    fees: Decimal = ZERO
    foreign: Decimal = ZERO
    paid_out: Decimal = ZERO
    days: Decimal | None = None

    @property
    def fee_percent(self) -> Decimal | None:
        return (self.fees * 100 / self.came).quantize(Decimal("0.01")) if self.came > 0 else None


def end_of(month: datetime.date) -> datetime.date:
    return month + relativedelta(months=1) - datetime.timedelta(days=1)


def month_of(month: datetime.date, whose: books_intake.Account) -> list[Month]:
    """By currency, the site's movements of that month; what is not ours stands by itself."""
    rows = BalanceTransaction.objects.filter(**whose, day__gte=month, day__lte=end_of(month)).order_by()
    found: dict[str, Month] = {}
    for currency, kind, category, state, amount, fee in rows.values_list(
        "currency", "type", "category", "state"
    ).annotate(Sum("amount"), Sum("fee")):
        each = found.setdefault(currency, Month(currency))
        _count(each, kind, category, state, exact(amount), exact(fee))
    for currency, days in _days_to_bank(rows).items():
        found[currency].days = days
    return [found[currency] for currency in sorted(found)]


def _count(month: Month, kind: str, category: str, state: str, amount: Decimal, fee: Decimal) -> None:
    if state == State.FOREIGN:
        month.foreign += amount - fee
        return
    month.fees += fee
    if kind in PAYOUT_TYPES:
        month.paid_out -= amount
    elif kind in BILLED:
        month.fees -= amount
    elif kind in CHARGE_TYPES:
        month.came += amount
    elif kind in REFUND_TYPES:
        month.refunded -= amount
    elif category in DISPUTE_CATEGORIES:
        month.disputed -= amount


def _days_to_bank(rows: QuerySet[BalanceTransaction]) -> dict[str, Decimal]:
    arrived = rows.filter(type__in=CHARGE_TYPES, payout__status=Payout.Status.PAID)
    total: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for currency, day, arrival, number in arrived.values_list("currency", "day", "payout__arrival_on").annotate(
        Count("pk")
    ):
        total[currency][0] += (arrival - day).days * number
        total[currency][1] += number
    return {currency: (Decimal(days) / number).quantize(Decimal("0.1")) for currency, (days, number) in total.items()}


# -- what is to come ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coming:
    """Money that is not in the bank yet: a payout on its way, or what may be paid out from that day on."""

    day: datetime.date
    currency: str
    amount: Decimal
    payout: Payout | None = None


def coming(whose: books_intake.Account) -> list[Coming]:
    """In the order of their days. What became available before today stands under today."""
    today = clock.today()
    sent = Payout.objects.filter(**whose, status__in=Payout.ON_ITS_WAY)
    found = [Coming(payout.arrival_on, payout.currency, payout.amount, payout) for payout in sent]
    sums: dict[tuple[datetime.date, str], Decimal] = defaultdict(Decimal)
    by_hand = Q(payout__automatic=False)
    waiting = BalanceTransaction.objects.filter(Q(payout=None) | by_hand, **whose).order_by()
    for day, currency, net in waiting.values_list("available_on", "currency").annotate(Sum("net")):
        sums[max(day, today), currency] += exact(net)
    found += [Coming(day, currency, net) for (day, currency), net in sums.items() if net]
    return sorted(found, key=lambda each: (each.day, each.currency, each.payout is None))


def in_transit(rows: Iterable[Coming]) -> dict[str, Decimal]:
    """All of it, by currency."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row.currency] += row.amount
    return dict(sums)


# -- a payout ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Content:
    """What a payout is made of. `unnamed` is what is left when all that has a name is taken off: nothing, or a
    difference."""

    came_back: Decimal = ZERO
    charges: Decimal = ZERO
    refunds: Decimal = ZERO
    disputes: Decimal = ZERO
    fees: Decimal = ZERO
    adjustments: Decimal = ZERO
    foreign: Decimal = ZERO
    others: dict[str, Decimal] = field(default_factory=dict)
    total: Decimal = ZERO

    @property
    def named(self) -> Decimal:
        parts = (self.came_back, self.charges, self.refunds, self.disputes, self.fees, self.adjustments, self.foreign)
        return sum(parts, ZERO) + sum(self.others.values(), ZERO)

    @property
    def unnamed(self) -> Decimal:
        return self.total - self.named

    def lines(self) -> list[tuple[Any, Decimal]]:
        """Names and amounts, without those that are nothing."""
        lines = [
            (_("Came back from earlier payouts"), self.came_back),
            (_("Payments"), self.charges),
            (_("Refunds"), self.refunds),
            (_("Disputes"), self.disputes),
            (_("Stripe's fees"), self.fees),
            (_("Corrections by Stripe"), self.adjustments),
            (_("Not of this site"), self.foreign),
            *((code_in_words(name), amount) for name, amount in sorted(self.others.items())),
        ]
        return [(name, amount) for name, amount in lines if amount]


def content_of(payout: Payout) -> Content:
    """What is in an automatic payout, from its movements; of one made by hand Stripe does not tell."""
    content = Content(total=payout.amount)
    rows = payout.transactions.exclude(type="payout").order_by()
    for kind, category, state, amount, fee in rows.values_list("type", "category", "state").annotate(
        Sum("amount"), Sum("fee")
    ):
        _put(content, kind, category, state, exact(amount), exact(fee))
    return content


def _put(content: Content, kind: str, category: str, state: str, amount: Decimal, fee: Decimal) -> None:
    if state == State.FOREIGN:
        content.foreign += amount - fee
        return
    content.fees -= fee
    if kind in RETURN_TYPES:
        content.came_back += amount
    elif kind in CHARGE_TYPES:
        content.charges += amount
    elif kind in REFUND_TYPES:
        content.refunds += amount
    elif category in DISPUTE_CATEGORIES:
        content.disputes += amount
    elif kind in BILLED:
        content.fees += amount
    elif kind == "adjustment":
        content.adjustments += amount
    else:
        content.others[category] = content.others.get(category, ZERO) + amount

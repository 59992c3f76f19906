"""Limits that law and card networks set to payments in instalments, by the payer's country: a prompt for staff, with
where it comes from, and not legal advice. No rows, no network, no clock.

A table of few rules on purpose: each says whom it is about, since when, what it asks, and its source. What a site does
about them says CHECKOUT_PLAN_RULES.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from dateutil.relativedelta import relativedelta
from django.utils.translation import gettext_lazy as _

EU: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)
#: The country that is meant where a site does not say (`checkout_country`): by the currency.
BY_CURRENCY: Final = {"GBP": "GB", "EUR": "EU"}

Payments = Sequence[tuple[datetime.date, Decimal]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`breaks(payments, price, agreed on)` is true of payments (day, amount) that are outside it."""

    name: str
    says: Any
    source: str
    breaks: Callable[[Payments, Decimal, datetime.date], bool]
    #: Of two letters (ISO 3166); None: of everybody.
    countries: frozenset[str] | None = None
    since: datetime.date = datetime.date.min


def _too_many(payments: Payments, _price: Decimal, _agreed_on: datetime.date) -> bool:
    return len(payments) > 12


def _later_than(span: relativedelta) -> Callable[[Payments, Decimal, datetime.date], bool]:
    def breaks(payments: Payments, _price: Decimal, agreed_on: datetime.date) -> bool:
        return any(due > agreed_on + span for due, _amount in payments)

    return breaks


def _more_than_the_price(payments: Payments, price: Decimal, _agreed_on: datetime.date) -> bool:
    return sum((amount for _due, amount in payments), Decimal(0)) > price


_GB: Final = frozenset({"GB"})
_RAO: Final = "Regulated Activities Order 2001, art. 60F(2)"

RULES: Final = (
    Rule(
        "uk_twelve_payments",
        _("UK: credit of your own stays outside regulation with at most 12 payments, the deposit among them."),
        _RAO,
        _too_many,
        _GB,
    ),
    Rule(
        "uk_twelve_months",
        _("UK: credit of your own stays outside regulation when all is paid within 12 months of the agreement."),
        _RAO,
        _later_than(relativedelta(months=12)),
        _GB,
    ),
    Rule(
        "uk_no_charge",
        _("UK: credit of your own stays outside regulation only without interest and without any other charge."),
        _RAO,
        _more_than_the_price,
        _GB,
    ),
    Rule(
        "eu_fifty_days",
        _(
            "EU: what a consumer pays later than 50 days after delivery is consumer credit (counted here from the "
            "agreement)."
        ),
        "Directive (EU) 2023/2225",
        _later_than(relativedelta(days=50)),
        EU | {"EU"},
        since=datetime.date(2026, 11, 20),
    ),
    Rule(
        "visa_price",
        _("Visa: instalments never add up to more than the price; no finance charge is added."),
        "Visa, rules for instalments that acquirers pass on",
        _more_than_the_price,
    ),
)


def country_of(said: str, currency: str) -> str:
    """Two letters: what the site says of its payer, else what the currency suggests; empty where nothing is known."""
    return said.strip().upper() or BY_CURRENCY.get(currency, "")


def broken(
    payments: Payments, *, price: Decimal, agreed_on: datetime.date, country: str, today: datetime.date
) -> list[Rule]:
    """The rules that these payments (day, amount; the deposit among them) are outside of. `price` is what was agreed
    without any fee.

    >>> day = datetime.date
    >>> late = [(day(2026, 1, 1), Decimal(50)), (day(2027, 2, 1), Decimal(50))]
    >>> known = {"price": Decimal(100), "agreed_on": day(2026, 1, 1), "today": day(2026, 12, 1)}
    >>> [rule.name for rule in broken(late, country="GB", **known)]
    ['uk_twelve_months']
    >>> [rule.name for rule in broken(late, country="FR", **known)]
    ['eu_fifty_days']
    """
    return [
        rule
        for rule in RULES
        if (rule.countries is None or country in rule.countries)
        and today >= rule.since
        and rule.breaks(payments, price, agreed_on)
    ]

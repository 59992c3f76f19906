"""The limits of law and card networks: on the day they are kept, the day after they are not."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from checkout import plan_rules

AGREED = datetime.date(2026, 12, 1)


def broken(payments: list[tuple[datetime.date, int]], country: str, today: datetime.date = AGREED) -> list[str]:
    found = plan_rules.broken(
        [(due, Decimal(amount)) for due, amount in payments],
        price=Decimal(120),
        agreed_on=AGREED,
        country=country,
        today=today,
    )
    return [rule.name for rule in found]


def parts(number: int) -> list[tuple[datetime.date, int]]:
    return [(AGREED + datetime.timedelta(days=20 * place), 1) for place in range(number)]


@pytest.mark.parametrize(
    ("payments", "country", "names"),
    [
        (parts(12), "GB", []),
        (parts(13), "GB", ["uk_twelve_payments"]),
        (parts(13), "US", []),
        ([(datetime.date(2027, 12, 1), 120)], "GB", []),
        ([(datetime.date(2027, 12, 2), 120)], "GB", ["uk_twelve_months"]),
        ([(AGREED, 121)], "GB", ["uk_no_charge", "visa_price"]),
        ([(AGREED, 121)], "", ["visa_price"]),
        ([(AGREED + datetime.timedelta(days=50), 120)], "DE", []),
        ([(AGREED + datetime.timedelta(days=51), 120)], "DE", ["eu_fifty_days"]),
        ([(AGREED + datetime.timedelta(days=51), 120)], "EU", ["eu_fifty_days"]),
    ],
)
def test_each_limit_holds_to_the_day(payments: list[tuple[datetime.date, int]], country: str, names: list[str]) -> None:
    assert broken(payments, country) == names


def test_a_rule_is_nothing_before_its_day() -> None:
    late = [(AGREED + datetime.timedelta(days=51), 120)]
    assert broken(late, "FR", datetime.date(2026, 11, 19)) == []
    assert broken(late, "FR", datetime.date(2026, 11, 20)) == ["eu_fifty_days"]


def test_the_country_is_what_the_site_says_or_what_the_currency_suggests() -> None:
    assert plan_rules.country_of("de", "GBP") == "DE"
    assert (plan_rules.country_of("", "GBP"), plan_rules.country_of("", "EUR")) == ("GB", "EU")
    assert plan_rules.country_of("", "USD") == ""


def test_every_rule_says_where_it_comes_from() -> None:
    assert all(str(rule.says) and rule.source for rule in plan_rules.RULES)

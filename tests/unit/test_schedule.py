import datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from checkout import money, schedule
from checkout.errors import PlanError

dates = st.dates(datetime.date(2000, 1, 1), datetime.date(2200, 12, 31))
terms = st.fixed_dictionaries(
    {"deposit": st.integers(1, 99), "count": st.integers(1, 60), "interval": st.integers(1, 24)}
)


@given(st.integers(0, 10**9), st.integers(1, 60), st.sampled_from([1, 10, 100]))
def test_a_split_adds_up_and_the_odd_units_are_last(steps: int, parts: int, step: int) -> None:
    split = schedule.split_minor(steps * step, parts, step)
    assert sum(split) == steps * step
    assert len(split) == parts
    assert split == sorted(split)
    assert max(split) - min(split) in (0, step)
    assert all(part % step == 0 for part in split)


@pytest.mark.parametrize(("total", "parts", "step"), [(100, 0, 1), (-1, 1, 1), (105, 2, 10)])
def test_what_cannot_be_split_is_refused(total: int, parts: int, step: int) -> None:
    with pytest.raises(ValueError, match=r"split|steps"):
        schedule.split_minor(total, parts, step)


@given(dates, st.integers(1, 60), st.integers(1, 24))
@example(datetime.date(2024, 2, 29), 3, 12)
@example(datetime.date(2026, 12, 31), 2, 1)
def test_dates_rise_strictly_from_the_deposit_on_firsts_of_months(
    deposit_due: datetime.date, count: int, interval: int
) -> None:
    due = schedule.instalment_dates(deposit_due, count, interval)
    assert len(due) == count
    assert all(day.day == 1 for day in due)
    assert deposit_due < due[0]
    months = [day.year * 12 + day.month for day in due]
    assert {later - earlier for earlier, later in pairwise(months)} <= {interval}
    first = deposit_due.year * 12 + deposit_due.month + interval + (deposit_due.day > 15)
    assert months[0] == first


@pytest.mark.parametrize(
    ("deposit_due", "interval", "first"),
    [
        ("2026-01-15", 1, "2026-02-01"),
        ("2026-01-16", 1, "2026-03-01"),
        ("2026-01-31", 1, "2026-03-01"),
        ("2026-12-15", 1, "2027-01-01"),
        ("2026-12-16", 1, "2027-02-01"),
        ("2024-02-29", 12, "2025-03-01"),
        ("2026-11-23", 2, "2027-02-01"),
    ],
)
def test_the_fifteenth_and_the_sixteenth(deposit_due: str, interval: int, first: str) -> None:
    day = datetime.date.fromisoformat(deposit_due)
    assert schedule.instalment_dates(day, 1, interval)[0].isoformat() == first


def test_a_date_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(PlanError, match="9999"):
        schedule.instalment_dates(datetime.date(9999, 6, 1), 60, 24)


@given(
    st.sampled_from(sorted(money.CURRENCIES)),
    st.integers(1, 10**6),
    terms,
    dates,
)
def test_a_plan_adds_up_in_every_currency_or_says_what_would_work(
    currency: str, steps: int, terms: dict[str, int], due: datetime.date
) -> None:
    total = money.from_minor(steps * money.step_minor(currency), currency)
    try:
        lines = schedule.plan_lines(total, currency, deposit_due=due, **terms)
    except PlanError as refused:
        assert any(phrase in str(refused) for phrase in ("At most", "It works from", "Use more instalments"))
        return
    assert sum(line.amount for line in lines) == total
    assert [line.count for line in lines] == list(range(1, terms["count"] + 2))
    assert [line.deposit for line in lines] == [True] + [False] * terms["count"]
    assert all(money.check_chargeable(line.amount, currency) for line in lines)
    assert lines[0].due == due
    assert all(earlier.due < later.due for earlier, later in pairwise(lines))


@given(st.sampled_from(["GBP", "JPY", "KWD", "HUF", "ISK"]), terms)
def test_the_smallest_total_that_is_offered_works_and_less_does_not(currency: str, terms: dict[str, int]) -> None:
    least = money.minimum_minor(currency)
    needed = schedule._smallest_total(currency, least, terms["deposit"], terms["count"])
    due = datetime.date(2026, 1, 1)
    assume(needed <= money.maximum_minor(currency))
    assert schedule.plan_lines(money.from_minor(needed, currency), currency, deposit_due=due, **terms)
    for fewer in range(1, 4):
        smaller = needed - fewer * money.step_minor(currency)
        first = schedule.deposit_minor(smaller, terms["deposit"], currency)
        if first >= least and (smaller - first) // terms["count"] >= least:
            continue
        with pytest.raises(PlanError):
            schedule.plan_lines(money.from_minor(smaller, currency), currency, deposit_due=due, **terms)


def test_fifty_per_cent_of_two_hundred_in_three() -> None:
    lines = schedule.plan_lines(
        Decimal(200), "GBP", deposit=50, count=3, interval=1, deposit_due=datetime.date(2026, 1, 1)
    )
    assert [str(line.amount) for line in lines] == ["100.00", "33.33", "33.33", "33.34"]


def test_the_deposit_is_rounded_half_up() -> None:
    assert schedule.deposit_minor(101, 50, "GBP") == 51
    assert schedule.deposit_minor(101, 50, "JPY") == 51
    assert schedule.deposit_minor(10100, 50, "ISK") == 5100
    assert schedule.deposit_minor(10010, 50, "KWD") == 5010


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"deposit": 0}, "1 to 99"),
        ({"deposit": 100}, "1 to 99"),
        ({"count": 0}, "1 instalment"),
        ({"interval": 0}, "1 month"),
    ],
)
def test_terms_that_make_no_plan_are_refused(bad: dict[str, int], message: str) -> None:
    good = {"deposit": 20, "count": 3, "interval": 1}
    with pytest.raises(PlanError, match=message):
        schedule.plan_lines(Decimal(100), "GBP", deposit_due=datetime.date(2026, 1, 1), **(good | bad))


def test_a_total_that_is_too_small_for_so_many_parts_says_how_many_would_work() -> None:
    with pytest.raises(PlanError, match="At most 3 would work"):
        schedule.plan_lines(Decimal(2), "GBP", deposit=50, count=4, interval=1, deposit_due=datetime.date(2026, 1, 1))


amounts_left = st.lists(st.integers(1, 10**6), min_size=1, max_size=24)


@given(left=amounts_left, data=st.data(), last_first=st.booleans())
def test_what_is_paid_early_is_given_out_to_the_penny_in_order(
    left: list[int], data: st.DataObject, last_first: bool
) -> None:
    amount = data.draw(st.integers(1, sum(left)))
    first = data.draw(st.integers(0, len(left)))
    gets = schedule.allocate(Decimal(amount), [Decimal(each) for each in left], first=first, last_first=last_first)
    assert sum(gets.values()) == amount
    assert all(0 < part <= left[place] for place, part in gets.items())
    # One line at most is paid in part, and it is the last that got something.
    order = list(gets)
    assert all(gets[place] == left[place] for place in order[:-1])
    others = list(range(first, len(left)))
    assert order == [*range(first), *(others[::-1] if last_first else others)][: len(order)]


@pytest.mark.parametrize("amount", [0, -1, 31])
def test_no_more_is_given_out_than_is_left(amount: int) -> None:
    with pytest.raises(PlanError):
        schedule.allocate(Decimal(amount), [Decimal(10), Decimal(20)])

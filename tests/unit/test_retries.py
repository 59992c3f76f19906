"""When a declined card is asked again: within every limit, and never after a no."""

from __future__ import annotations

import datetime
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.declines import BY_ITSELF, Retry, Verdict
from checkout.retries import DEFAULT, MOST_IN_30_DAYS, Policy, next_try

LATER = Verdict(Retry.LATER)
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
DUE = datetime.date(2026, 12, 1)


def tries(
    policy: Policy, verdict: Verdict, first: datetime.date = DUE, own_pay_day: int | None = None
) -> list[datetime.date]:
    """Every day on which the card is asked when it is declined each time, the first included."""
    days = [first]
    while (day := next_try(policy, verdict, days, same_in_30_days=len(days), own_pay_day=own_pay_day)) is not None:
        days.append(day)
    return days


def test_the_default_asks_four_times_in_all_and_once_on_pay_day() -> None:
    # 1 January is a Friday.
    assert tries(DEFAULT, LATER) == [DUE, DUE + timedelta(3), DUE + timedelta(7), datetime.date(2027, 1, 1)]


def test_not_on_a_weekend_unless_the_policy_says_so() -> None:
    friday = datetime.date(2026, 12, 4)
    assert tries(Policy(days=(1,), pay_day=False), LATER, friday)[1] == datetime.date(2026, 12, 7)
    assert tries(Policy(days=(2,), pay_day=False, weekdays=EVERY_DAY), LATER, friday)[1] == datetime.date(2026, 12, 6)


def test_pay_day_is_the_last_working_day_where_the_policy_says_so() -> None:
    # 31 January 2027 is a Sunday.
    last = Policy(days=(), last_working_day=True)
    assert tries(last, LATER)[1] == datetime.date(2026, 12, 31)
    assert tries(last, LATER, datetime.date(2027, 1, 5))[1] == datetime.date(2027, 1, 29)


def test_a_payers_own_pay_day_comes_before_the_policys() -> None:
    policy = Policy(days=())
    assert tries(policy, LATER, own_pay_day=16)[1] == datetime.date(2026, 12, 16)
    # The 31st of a month of 28 days is its last; that is a Sunday, so the Monday after it.
    assert tries(policy, LATER, datetime.date(2027, 2, 2), own_pay_day=31)[1] == datetime.date(2027, 3, 1)


def test_only_on_the_weekdays_that_the_policy_names() -> None:
    # From Tuesday to Thursday; DUE + 3 is a Friday.
    assert tries(Policy(days=(3,), pay_day=False, weekdays=(2, 3, 4)), LATER)[1] == datetime.date(2026, 12, 8)


def test_a_bank_that_was_not_reached_is_asked_the_next_day_and_then_later() -> None:
    assert tries(DEFAULT, Verdict(Retry.SOON))[:3] == [DUE, DUE + timedelta(1), DUE + timedelta(7)]


def test_a_bank_that_does_not_say_why_is_asked_once_more() -> None:
    assert len(tries(DEFAULT, Verdict(Retry.ONCE))) == 2


@pytest.mark.parametrize("retry", [retry for retry in Retry if retry not in BY_ITSELF])
def test_never_after_a_no(retry: Retry) -> None:
    assert tries(DEFAULT, Verdict(retry)) == [DUE]


def test_advice_to_wait_is_obeyed() -> None:
    days = tries(DEFAULT, Verdict(Retry.LATER, timedelta(days=8, hours=1)))
    assert all(later - earlier >= timedelta(9) for earlier, later in pairwise(days))


policies = st.builds(
    Policy,
    st.lists(st.integers(1, 40), max_size=12).map(lambda days: tuple(sorted(days))),
    st.booleans(),
    st.booleans(),
    st.sets(st.integers(1, 7), min_size=1).map(lambda days: tuple(sorted(days))),
)
own_days = st.none() | st.integers(1, 31)
verdicts = st.builds(Verdict, st.sampled_from(list(Retry)), st.timedeltas(timedelta(0), timedelta(days=12)))


@given(
    policy=policies,
    verdict=verdicts,
    first=st.dates(datetime.date(2026, 1, 1), datetime.date(2030, 12, 31)),
    own=own_days,
)
def test_no_policy_passes_a_limit(policy: Policy, verdict: Verdict, first: datetime.date, own: int | None) -> None:
    days = tries(policy, verdict, first, own)
    assert len(days) <= min(policy.most + 1, MOST_IN_30_DAYS)
    gaps = [later - earlier for earlier, later in pairwise(days)]
    assert all(gap >= timedelta(1) for gap in gaps)
    assert all(gap >= timedelta(2) for gap in gaps[1:])
    assert all(gap >= verdict.wait for gap in gaps)
    assert all(day.isoweekday() in policy.weekdays for day in days[1:])
    if verdict.retry not in BY_ITSELF:
        assert days == [first]


@given(policy=policies, verdict=verdicts, others=st.integers(MOST_IN_30_DAYS, 40))
def test_what_others_have_tried_counts(policy: Policy, verdict: Verdict, others: int) -> None:
    assert next_try(policy, verdict, [DUE], same_in_30_days=others) is None

"""When a declined card is asked again, without its owner. Pure: no rows, no clock.

The limits are Stripe's and the networks' (https://docs.stripe.com/declines/card): Visa charges for more than 20 tries
of one card and amount in 30 days, Mastercard for more than 35, and Stripe holds back further tries after 15.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dateutil.relativedelta import relativedelta

from checkout.declines import BY_ITSELF, Retry, Verdict

#: So many declines of one card and amount within 30 days, and no more is asked without its owner.
MOST_IN_30_DAYS: Final = 8
#: People may press more often, but no more than Stripe lets through to the bank.
MOST_BY_HAND_IN_30_DAYS: Final = 15
#: Monday is 1, as in ISO 8601.
MONDAY_TO_FRIDAY: Final = (1, 2, 3, 4, 5)
#: A try on pay day is worth waiting for this long, and no longer.
PAY_DAY_WITHIN: Final = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Policy:
    """How often, and when: so many days after the first decline, and then once on the next pay day.

    Pay day is a payer's own, where it is known; otherwise the first working day of a month (wages have come on the last
    of the month before, or on a day before), or its last working day. Nothing is tried on a weekday (1 to 7) that is
    not named, nor before that hour of its day.
    """

    days: tuple[int, ...] = (3, 7)
    pay_day: bool = True
    last_working_day: bool = False
    weekdays: tuple[int, ...] = MONDAY_TO_FRIDAY
    hour: int = 0

    @property
    def most(self) -> int:
        """How many tries there are at most after the first decline."""
        return len(self.days) + self.pay_day


#: Four tries in all, spread over the month in which the first one was declined.
DEFAULT: Final = Policy()


def next_try(
    policy: Policy,
    verdict: Verdict,
    declined: Sequence[datetime.date],
    *,
    same_in_30_days: int,
    own_pay_day: int | None = None,
) -> datetime.date | None:
    """The day to ask again; None when nobody but the payer can go on.

    `declined` are the days on which this card was declined for this debt, the newest last; `same_in_30_days` counts
    every decline of the card over that amount. A bank that does not say why is asked once more. `own_pay_day` is the
    day of the month on which its owner is paid, 1 to 31.
    """
    tries = len(declined)
    most = min(policy.most, 1) if verdict.retry is Retry.ONCE else policy.most
    if verdict.retry not in BY_ITSELF or tries > most or same_in_30_days >= MOST_IN_30_DAYS:
        return None
    first, last = declined[0], declined[-1]
    if verdict.retry is Retry.SOON and tries == 1:
        day = last + timedelta(days=1)
    elif tries <= len(policy.days):
        day = first + timedelta(days=policy.days[tries - 1])
    else:
        day = _pay_day_after(last + timedelta(days=1), policy, own_pay_day)
    # Stripe asks for two days between two tries at least; the bank's own advice may ask for more.
    least = timedelta(days=1) if verdict.retry is Retry.SOON and tries == 1 else timedelta(days=2)
    day = max(day, last + max(least, _whole_days(verdict.wait)))
    while day.isoweekday() not in policy.weekdays:
        day += timedelta(days=1)
    return day if day - last <= PAY_DAY_WITHIN else None


def _whole_days(wait: timedelta) -> timedelta:
    return timedelta(days=-(-wait // timedelta(days=1)))


def _pay_day_after(day: datetime.date, policy: Policy, own: int | None) -> datetime.date:
    """The first pay day that is not before `day`."""
    first = day.replace(day=1)
    months = [first + relativedelta(months=number) for number in range(3)]
    if own is not None:
        # The 31st is the last day of any month.
        found = [month + relativedelta(day=own) for month in months]
    elif policy.last_working_day:
        found = [_working_day_before(month + relativedelta(day=31)) for month in months]
    else:
        found = [_working_day(month) for month in months]
    return next(each for each in found if each >= day)


def _working_day(day: datetime.date) -> datetime.date:
    """That day, or the Monday after it. Bank holidays are not known here."""
    return day + timedelta(days=max(0, 8 - day.isoweekday())) if day.isoweekday() > 5 else day


def _working_day_before(day: datetime.date) -> datetime.date:
    """That day, or the Friday before it."""
    return day - timedelta(days=max(0, day.isoweekday() - 5))

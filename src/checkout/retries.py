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
SATURDAY: Final = 5
#: A try on pay day is worth waiting for this long, and no longer.
PAY_DAY_WITHIN: Final = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Policy:
    """How often, and when: so many days after the first decline, and then once on the next pay day.

    Pay day is the first working day of a month: wages have come on the last of the month before, or on a day before.
    """

    days: tuple[int, ...] = (3, 7)
    pay_day: bool = True
    weekends: bool = False

    @property
    def most(self) -> int:
        """How many tries there are at most after the first decline."""
        return len(self.days) + self.pay_day


#: Four tries in all, spread over the month in which the first one was declined.
DEFAULT: Final = Policy()


def next_try(
    policy: Policy, verdict: Verdict, declined: Sequence[datetime.date], *, same_in_30_days: int
) -> datetime.date | None:
    """The day to ask again; None when nobody but the payer can go on.

    `declined` are the days on which this card was declined for this debt, the newest last; `same_in_30_days` counts
    every decline of the card over that amount. A bank that does not say why is asked once more.
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
        day = _pay_day_after(last + timedelta(days=1))
    # Stripe asks for two days between two tries at least; the bank's own advice may ask for more.
    least = timedelta(days=1) if verdict.retry is Retry.SOON and tries == 1 else timedelta(days=2)
    day = max(day, last + max(least, _whole_days(verdict.wait)))
    if not policy.weekends:
        day = _working_day(day)
    return day if day - last <= PAY_DAY_WITHIN else None


def _whole_days(wait: timedelta) -> timedelta:
    return timedelta(days=-(-wait // timedelta(days=1)))


def _pay_day_after(day: datetime.date) -> datetime.date:
    first = day.replace(day=1)
    if day > first:
        first += relativedelta(months=1)
    return _working_day(first)


def _working_day(day: datetime.date) -> datetime.date:
    """That day, or the Monday after it. Bank holidays are not known here."""
    return day + timedelta(days=max(0, 7 - day.weekday())) if day.weekday() >= SATURDAY else day

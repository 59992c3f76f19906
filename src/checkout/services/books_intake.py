"""Taking in the account's books: what moved in the balance at Stripe, and what went to the bank, each row once.

Windows of a day are listed from the cursor on, and the cursor moves after each, so a look that is broken off goes on
where it stopped. Rows carry no payout at Stripe: what is in one is listed once Stripe says that the list is complete.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from django.db.models import Min, Q

from checkout import clock, money
from checkout.conf import conf, is_live_key
from checkout.errors import GatewayError, NotFoundAtStripe
from checkout.gateway import BalanceRow, PayoutAnswer, gateway
from checkout.ids import storable
from checkout.models import BalanceTransaction, BookMonth, Checkout, LookBack, Payout
from checkout.services import look_back
from checkout.services.books_things import RETURN_TYPES

logger = logging.getLogger("checkout.books")

#: The books begin with the first attempt, and no further back than this.
FARTHEST: Final = datetime.timedelta(days=400)
#: A movement may be listed a while after it was made.
MARGIN: Final = datetime.timedelta(hours=2)
#: A look may write down what it built so long ago.
JUST_NOW: Final = datetime.timedelta(minutes=1)
WINDOW: Final = datetime.timedelta(days=1)
PAGE: Final = 100
#: A payout that was paid may come back within five business days, and the bank's reference is known after ten days at
#: the latest, of which no event tells (https://docs.stripe.com/payouts/trace-ids).
PAYOUTS_AGAIN_FOR: Final = datetime.timedelta(days=21)
#: What of ours a payment carries.
MARKS: Final = ("site", "checkout", "debt", "attempt", "refund", "difference")

Account = Mapping[str, Any]


@dataclass(slots=True)
class TakenIn:
    """Counts of one look: new `rows` and `payouts`, and payouts whose content was taken in (`held`)."""

    rows: int = 0
    payouts: int = 0
    held: int = 0
    errors: int = 0


def account() -> dict[str, Any]:
    """Whose books these are: the account and mode of the key in use. Raises GatewayError when Stripe does not say."""
    return {"account": gateway().account_id(), "livemode": is_live_key(conf.STRIPE_SECRET_KEY)}


def take_in(since: datetime.datetime | None = None) -> TakenIn:
    """Take in what is new since the last look, and with `since` at least from then on: one call for each hundred rows,
    and one more for each hundred in a payout. In constant memory. Safe to run at any time, again, and in two places at
    once.

    Raises GatewayError when Stripe cannot be asked; what was taken in until then is kept.
    """
    taken = TakenIn()
    cursor = look_back.Cursor(LookBack.What.BALANCE)
    whose = {name: cursor.of[name] for name in ("account", "livemode")}
    # Never from later on: the cursor moves to the end of this look, and what lies between would never be taken in.
    first = _since(cursor) if since is None else min(since, _since(cursor))
    months = Months(whose)
    begin = first
    while begin < cursor.began:
        end = min(begin + WINDOW, cursor.began)
        for page in _pages(gateway().list_balance_transactions(since=begin, until=end)):
            taken.rows += keep(page, whose, months)
        cursor.move_on(end)
        begin = end
    for answers in _pages(gateway().list_payouts(since=min(first, cursor.began - PAYOUTS_AGAIN_FOR))):
        taken.payouts += _keep_payouts(answers, whose)
    _read_old_payouts(whose, cursor.began - PAYOUTS_AGAIN_FOR)
    for payout in Payout.objects.filter(**whose, held_at=None, automatic=True, reconciled=True).order_by("pk"):
        try:
            taken.rows += hold(payout, months)
        except GatewayError as problem:
            logger.warning("what is in payout %s could not be listed: %s", payout.payout_id, problem)
            taken.errors += 1
        else:
            taken.held += 1
    _hold_own_rows(whose)
    move_latecomers(whose)
    return taken


def _since(cursor: look_back.Cursor) -> datetime.datetime:
    until = cursor.until()
    if until is not None:
        return until - MARGIN
    first = Checkout.objects.aggregate(first=Min("created_at"))["first"]
    return max(first or cursor.began, cursor.began - FARTHEST) - MARGIN


def _pages(rows: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while page := list(islice(left, PAGE)):
        yield page


class Months:
    """In which month of the books a day stands: its own, unless that was closed; then the month that is now."""

    def __init__(self, whose: Account) -> None:
        self._closed = set(BookMonth.objects.filter(**whose).values_list("month", flat=True))

    def of(self, day: datetime.date) -> datetime.date:
        month = day.replace(day=1)
        if month not in self._closed:
            return month
        month = clock.today().replace(day=1)
        while month in self._closed:
            month = (month + datetime.timedelta(days=31)).replace(day=1)
        return month


def keep(rows: Sequence[BalanceRow], whose: Account, months: Months) -> int:
    """Write down those that are not known; how many. A row at Stripe never changes."""
    ids = [row.id for row in rows]
    known = set(BalanceTransaction.objects.filter(transaction_id__in=ids).values_list("transaction_id", flat=True))
    new = [_built(row, whose, months) for row in rows if row.id not in known]
    # Another look may be at the same page.
    BalanceTransaction.objects.bulk_create(reversed(new), ignore_conflicts=True)
    return len(new)


def _built(row: BalanceRow, whose: Account, months: Months) -> BalanceTransaction:
    day = clock.on_the_wall(row.created_at)
    return BalanceTransaction(
        **whose,
        transaction_id=row.id,
        type=row.type[:60],
        category=row.category[:60],
        description=storable(row.description)[:255],
        amount=money.from_minor(row.amount_minor, row.currency),
        fee=money.from_minor(row.fee_minor, row.currency),
        net=money.from_minor(row.net_minor, row.currency),
        currency=row.currency,
        fee_details=[dict(part) for part in row.fees],
        exchange_rate=row.exchange_rate,
        paid_amount=money.from_minor(row.paid_minor, row.paid_currency),
        paid_currency=row.paid_currency,
        created_at=row.created_at,
        day=day,
        available_on=row.available_on,
        source_id=row.source_id,
        payment_intent_id=row.payment_intent_id,
        mark={name: str(row.metadata[name])[:64] for name in MARKS if row.metadata.get(name)},
        month=months.of(day),
    )


def move_latecomers(whose: Account) -> int:
    """What was taken in for a month while it was being closed is not in its day book: it stands in the month that is
    now; how many."""
    months, moved = Months(whose), 0
    for month, closed_at in BookMonth.objects.filter(**whose).values_list("month", "closed_at"):
        late = BalanceTransaction.objects.filter(**whose, month=month, taken_in_at__gt=closed_at - JUST_NOW)
        moved += late.update(month=months.of(clock.today()))
    return moved


# -- payouts -----------------------------------------------------------------------------------------------


def payout_changed_at_stripe(payout_id: str) -> Payout:
    """An event tells of a payout: read it, and what is in it if that is complete. Raises GatewayError."""
    whose = account()
    _keep_payout(gateway().retrieve_payout(payout_id), whose)
    payout = Payout.objects.get(payout_id=payout_id)
    if payout.reconciled and payout.held_at is None:
        hold(payout, Months(whose))
    return payout


def _keep_payouts(answers: Sequence[PayoutAnswer], whose: Account) -> int:
    """Write down how they stand; how many were not known. Those that stand as before, which most do, are one statement
    together."""
    known = {row.payout_id: row for row in Payout.objects.filter(payout_id__in=[answer.id for answer in answers])}
    as_before, new = [], 0
    for answer in answers:
        row = known.get(answer.id)
        if row is not None and all(getattr(row, name) == value for name, value in _standing(answer).items()):
            as_before.append(row.pk)
        else:
            new += _keep_payout(answer, whose)
    if as_before:
        Payout.objects.filter(pk__in=as_before).update(read_at=clock.now())
    return new


def _standing(answer: PayoutAnswer) -> dict[str, Any]:
    """What of a payout may change at Stripe."""
    return {
        "status": answer.status,
        "arrival_on": answer.arrival_on,
        "bank_text": answer.bank_text[:255],
        "trace_id": answer.trace_id,
        "trace_status": answer.trace_status,
        "failure_code": answer.failure_code,
        "failure": answer.failure,
        "reconciled": answer.reconciled,
    }


def _keep_payout(answer: PayoutAnswer, whose: Account) -> bool:
    """Write down how it stands; True for one that was not known. An answer that was overtaken by a newer one does no
    harm: the next look reads it again."""
    columns = {**_standing(answer), "read_at": clock.now()}
    fixed = {
        "amount": money.from_minor(answer.amount_minor, answer.currency),
        "currency": answer.currency,
        "automatic": answer.automatic,
        "method": answer.method,
        "created_at": answer.created_at,
        "description": storable(answer.description)[:255],
    }
    _row, new = Payout.objects.update_or_create(
        payout_id=answer.id, defaults=columns, create_defaults={**whose, **fixed, **columns}
    )
    return new


def _read_old_payouts(whose: Account, listed_since: datetime.datetime) -> None:
    """Those that are older than the list and still on their way, or not complete, or that have come back by a movement
    of the balance: few, if any."""
    came_back = BalanceTransaction.objects.filter(**whose, type__in=RETURN_TYPES).values("source_id")
    unfinished = (
        Q(status__in=Payout.ON_ITS_WAY)
        | Q(automatic=True, reconciled=False)
        | (Q(payout_id__in=came_back) & ~Q(status__in=Payout.CAME_BACK))
    )
    for payout in Payout.objects.filter(unfinished, **whose, created_at__lt=listed_since):
        try:
            _keep_payout(gateway().retrieve_payout(payout.payout_id), whose)
        except NotFoundAtStripe:
            logger.warning("Stripe does not know payout %s any more", payout.payout_id)


def hold(payout: Payout, months: Months) -> int:
    """Take in what is in an automatic payout, and say so at each row; how many rows were new."""
    new = 0
    if not _tie(payout):
        # Some are older than the books, or were not listed yet when their day was.
        whose = {"account": payout.account, "livemode": payout.livemode}
        for page in _pages(gateway().list_payout_transactions(payout.payout_id, with_source=True)):
            new += keep(page, whose, months)
        _tie(payout)
    Payout.objects.filter(pk=payout.pk).update(held_at=clock.now())
    payout.refresh_from_db(fields=["held_at"])
    return new


def _tie(payout: Payout) -> bool:
    """Say at each row that is known in which payout it is; False when one was not known."""
    all_known = True
    for page in _pages(gateway().list_payout_transactions(payout.payout_id)):
        ids = [row.id for row in page]
        all_known &= BalanceTransaction.objects.filter(transaction_id__in=ids).update(payout=payout) == len(ids)
    return all_known


def _hold_own_rows(whose: Account) -> None:
    """Of a payout made by hand Stripe tells its own movement only."""
    by_hand = Payout.objects.filter(**whose, automatic=False, held_at=None)
    for payout in by_hand:
        own = BalanceTransaction.objects.filter(source_id=payout.payout_id, type="payout")
        if own.update(payout=payout):
            Payout.objects.filter(pk=payout.pk).update(held_at=clock.now())

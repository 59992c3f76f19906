"""The match: our postings, Stripe's charges, refunds and disputes, its balance, and its payouts, ending in zero or in
differences that have a name.

What is compared is a *thing*: a payment, a refund, a dispute, each with all its movements at Stripe and all its
postings here, whatever their days. So an answer that came late is no difference, and a day's match reads that day only.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from django.db.models import Min, Q, QuerySet, Sum

from checkout import clock
from checkout.models import BalanceTransaction, BookDifference, LookBack, Payout, Posting
from checkout.services import books_differences, books_intake, look_back
from checkout.services.books_things import CHARGE_TYPES, PAYOUT_TYPES, RETURN_TYPES, STRIPES_OWN, Thing, Things

logger = logging.getLogger("checkout.books")

State = BalanceTransaction.State
Kind = BookDifference.Kind
BATCH: Final = 500
#: A movement may come so much later than its posting, or its posting later than the movement.
GRACE: Final = datetime.timedelta(days=2)
#: A payout that failed is watched for so long; one with a difference, until that is closed.
FAILED_FOR: Final = datetime.timedelta(days=60)
#: Postings of money that Stripe moved.
BY_STRIPE: Final = (
    Posting.Kind.TAKEN,
    Posting.Kind.GIVEN_BACK,
    Posting.Kind.GIVE_BACK_FAILED,
    Posting.Kind.DISPUTED,
    Posting.Kind.DISPUTE_WON,
)


@dataclass(slots=True)
class Matched:
    """Counts of one match: `compared` movements, differences `opened` by it, and all that are `left` open."""

    compared: int = 0
    opened: int = 0
    closed: int = 0
    left: int = 0


def match() -> Matched:
    """Compare what is new on either side, and what was different before. Asks Stripe nothing but whose key we have;
    safe to run at any time, and again."""
    matched = Matched()
    cursor = look_back.Cursor(LookBack.What.BOOKS)
    whose = {name: cursor.of[name] for name in ("account", "livemode")}
    found = books_differences.Found(whose)
    for rows in _to_compare(whose):
        matched.compared += _compare(rows, found)
    since, until = _since(cursor, whose), cursor.began - GRACE
    for postings in _postings(since, until, whose):
        _look_for(postings, found)
    _check_payouts(whose, since, found)
    matched.opened, matched.closed = found.opened, found.close_what_is_gone()
    matched.left = BookDifference.objects.filter(**whose, closed_at=None).count()
    cursor.move_on(until)
    return matched


def _since(cursor: look_back.Cursor, whose: books_intake.Account) -> datetime.datetime:
    """From when on postings are looked for at Stripe: what is older than the books cannot be found in them."""
    until = cursor.until()
    if until is not None:
        return until - GRACE
    oldest = BalanceTransaction.objects.filter(**whose).aggregate(oldest=Min("created_at"))["oldest"]
    return oldest or cursor.began


def compare_again(difference: BookDifference) -> None:
    """After somebody has done something about it: closed if it is gone."""
    whose = {"account": difference.account, "livemode": difference.livemode}
    found = books_differences.Found(whose, only=difference)
    if difference.transaction is not None:
        _compare([difference.transaction], found)
    if difference.posting is not None:
        _look_for([difference.posting], found)
    if difference.payout is not None:
        _check_payout(difference.payout, found)
    found.close_what_is_gone()
    difference.refresh_from_db()


def _batches(pks: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(pks)
    while batch := list(islice(left, BATCH)):
        yield batch


# -- movements at Stripe -----------------------------------------------------------------------------------


def _to_compare(whose: books_intake.Account) -> Iterator[list[BalanceTransaction]]:
    """What is new or waits for an answer of ours, what differs, and what was given back and has not gone yet; in
    batches, each row once."""
    known = BalanceTransaction.objects.filter(**whose)
    going_back = Q(how=BookDifference.How.GIVEN_BACK, transaction__state=State.DIFFERS)
    watched = BookDifference.objects.filter(Q(closed_at=None) | going_back, **whose).exclude(transaction=None)
    different = list(watched.values_list("transaction", flat=True))
    last = 0
    while True:
        waiting = known.filter(state__in=[State.NEW, State.WAITING], pk__gt=last)
        rows = list(waiting.order_by("pk")[:BATCH])
        if rows:
            yield rows
        if len(rows) < BATCH:
            break
        last = rows[-1].pk
    for pks in _batches(different):
        yield list(known.filter(pk__in=pks).order_by("pk"))


def _compare(rows: list[BalanceTransaction], found: books_differences.Found) -> int:
    """Compare these movements, with all others of the same things, and write down what each is here."""
    things = Things.of(rows)
    changes = {}
    for thing in things:
        _judge(thing)
        found.say(thing)
        for row in thing.rows:
            changes[row.pk] = row
    books_differences.write_down(changes.values())
    return len(changes)


def _judge(thing: Thing) -> None:
    """What the movements of a thing are here, and under which name they differ, if they do."""
    if thing.what == Thing.What.OTHER:
        _judge_other(thing)
    elif thing.checkout is None:
        _judge_unknown(thing)
    elif thing.adds_up:
        thing.settle(State.MATCHED if thing.postings else State.CANCELLED)
    elif thing.has_no_answer_yet(GRACE):
        thing.settle(State.WAITING)
    else:
        thing.differ(_kind_of(thing))


def _judge_other(thing: Thing) -> None:
    """A movement with no payer behind it."""
    row = thing.rows[0]
    if row.type in PAYOUT_TYPES:
        thing.settle(State.PAYOUT)
    elif row.type in STRIPES_OWN:
        thing.settle(State.STRIPE)
    else:
        thing.differ(Kind.ADJUSTMENT if row.type == "adjustment" else Kind.UNKNOWN_TYPE)


def _judge_unknown(thing: Thing) -> None:
    """A payment that no attempt of ours made: another site's, or our own that we have lost."""
    if not thing.is_marked_as_ours:
        thing.settle(State.FOREIGN)
    elif thing.at_stripe == 0:
        thing.settle(State.CANCELLED)
    else:
        thing.differ(Kind.DOUBLE if thing.was_paid_before else Kind.CHARGE_NOT_HERE)


def _kind_of(thing: Thing) -> Kind:
    if not thing.here:
        if thing.what == Thing.What.PAYMENT:
            return Kind.CHARGE_NOT_HERE
        return Kind.REFUND_NOT_HERE if thing.what == Thing.What.REFUND else Kind.DISPUTE_NOT_HERE
    if thing.what == Thing.What.REFUND and thing.at_stripe == 0:
        return Kind.REFUND_CAME_BACK
    if thing.what == Thing.What.DISPUTE and thing.at_stripe == 0:
        return Kind.DISPUTE_NOT_HERE
    return Kind.AMOUNT


# -- postings here -----------------------------------------------------------------------------------------


def _postings(
    since: datetime.datetime, until: datetime.datetime, whose: books_intake.Account
) -> Iterator[list[Posting]]:
    """Postings of money that Stripe moved, made within that time."""
    rows = Posting.objects.filter(kind__in=BY_STRIPE, at__gte=since, at__lt=until).filter(
        checkout__livemode=whose["livemode"]
    )
    rows = rows.exclude(checkout__payment_intent_id="").select_related("checkout", "refund", "dispute")
    last: tuple[datetime.datetime, int] | None = None
    while True:
        left = rows
        if last is not None:
            left = rows.filter(at__gte=last[0]).filter(Q(at__gt=last[0]) | Q(pk__gt=last[1]))
        page = list(left.order_by("at", "pk")[:BATCH])
        if page:
            yield page
        if len(page) < BATCH:
            break
        last = (page[-1].at, page[-1].pk)
    open_ones = BookDifference.objects.filter(**whose, closed_at=None).exclude(posting=None)
    for pks in _batches(open_ones.values_list("posting", flat=True)):
        yield list(Posting.objects.filter(pk__in=pks).select_related("checkout", "refund", "dispute"))


def _look_for(postings: list[Posting], found: books_differences.Found) -> None:
    """Each posting has its movement at Stripe, with the same sign; and together they add up."""
    ids = {stripe_id_of(posting) for posting in postings} - {""}
    rows = list(
        BalanceTransaction.objects.filter(Q(source_id__in=ids) | Q(payment_intent_id__in=ids, type__in=CHARGE_TYPES))
    )
    there = {(row.source_id, row.amount > 0) for row in rows}
    there |= {(row.payment_intent_id, row.amount > 0) for row in rows if row.type in CHARGE_TYPES}
    if rows:
        _compare(rows, found)
    for posting in postings:
        stripe_id = stripe_id_of(posting)
        if (stripe_id, posting.amount > 0) not in there:
            found.missing(posting, stripe_id)


def stripe_id_of(posting: Posting) -> str:
    """Stripe's id of what a posting is of: a refund, a dispute, or the payment itself."""
    if posting.refund is not None:
        return posting.refund.refund_id
    if posting.dispute is not None:
        return posting.dispute.dispute_id
    return posting.checkout.payment_intent_id if posting.checkout is not None else ""


# -- payouts -----------------------------------------------------------------------------------------------


def _check_payouts(whose: books_intake.Account, since: datetime.datetime, found: books_differences.Found) -> None:
    payouts = Payout.objects.filter(**whose)
    watched = Q(held_at__gte=since) | Q(status=Payout.Status.FAILED, created_at__gte=clock.now() - FAILED_FOR)
    open_ones = BookDifference.objects.filter(**whose, closed_at=None).exclude(payout=None).values("payout")
    for payout in payouts.filter(watched | Q(pk__in=open_ones)).order_by("pk"):
        _check_payout(payout, found)


def _check_payout(payout: Payout, found: books_differences.Found) -> None:
    """What is in a payout adds up to it, and one that came back went out again."""
    if payout.automatic and payout.held_at is not None:
        rest = remainder(payout)
        if rest:
            found.of_payout(Kind.PAYOUT_SUM, payout, rest)
    if payout.status == Payout.Status.FAILED and not _went_out_again(payout):
        found.of_payout(Kind.PAYOUT_FAILED, payout, payout.amount)


def remainder(payout: Payout) -> Decimal:
    """What the movements in an automatic payout, its own among them, add up to: nothing, or what nobody can name."""
    return _exact(payout.transactions.aggregate(rest=Sum("net"))["rest"])


def _exact(total: Decimal | None) -> Decimal:
    """SQLite adds in binary; no currency has more than three decimals."""
    return Decimal(total or 0).quantize(Decimal("0.001"))


def returns_of(payout: Payout) -> QuerySet[BalanceTransaction]:
    """The movements that brought a payout back into the balance."""
    return BalanceTransaction.objects.filter(source_id=payout.payout_id, type__in=RETURN_TYPES)


def _went_out_again(payout: Payout) -> bool:
    """Whether what it brought back is in a payout that has stayed with the bank. One that came back as well, with that
    money in it, is followed to the payout that took it next."""
    came_back, seen = {payout.payout_id}, set[str]()
    while came_back:
        returned = BalanceTransaction.objects.filter(source_id__in=came_back, type__in=RETURN_TYPES)
        next_out = dict(returned.exclude(payout=None).values_list("payout__payout_id", "payout__status"))
        if set(next_out.values()) - Payout.CAME_BACK:
            return True
        seen |= came_back
        came_back = next_out.keys() - seen
    return False


# -- a day -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Day:
    """A day's match in one currency, the payers'. `at_stripe` is all that moved but payouts; the rest says what of it
    is what. `unnamed` is nothing once everything was compared."""

    day: datetime.date
    currency: str
    at_stripe: Decimal = Decimal(0)
    here: Decimal = Decimal(0)
    foreign: Decimal = Decimal(0)
    stripes_own: Decimal = Decimal(0)
    on_the_way: Decimal = Decimal(0)
    differences: Decimal = Decimal(0)
    paid_out: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)

    @property
    def unnamed(self) -> Decimal:
        named = self.here + self.foreign + self.stripes_own + self.on_the_way + self.differences
        return self.at_stripe - named


def days(first: datetime.date, last: datetime.date, whose: books_intake.Account) -> list[Day]:
    """The match of each day from `first` to `last`, by currency. Reads the movements of these days only."""
    rows = BalanceTransaction.objects.filter(**whose, day__gte=first, day__lte=last)
    found: dict[tuple[datetime.date, str], Day] = {}
    sums = rows.order_by().values_list("day", "paid_currency", "state")
    for day, currency, state, paid, booked in sums.annotate(Sum("paid_amount"), Sum("booked")):
        _add(found.setdefault((day, currency), Day(day, currency)), state, _exact(paid), _exact(booked))
    return [found[key] for key in sorted(found)]


def _add(day: Day, state: str, paid: Decimal, booked: Decimal) -> None:
    if state == State.PAYOUT:
        day.paid_out -= paid
        return
    day.at_stripe += paid
    day.here += booked
    if state == State.FOREIGN:
        day.foreign += paid
    elif state == State.STRIPE:
        day.stripes_own += paid
    elif state in (State.WAITING, State.CANCELLED):
        day.on_the_way += paid - booked
    elif state == State.DIFFERS:
        day.differences += paid - booked


def open_until(last: datetime.date, whose: books_intake.Account) -> QuerySet[BookDifference]:
    """Differences of that day or earlier that nobody has explained."""
    return BookDifference.objects.filter(**whose, closed_at=None, day__lte=last)

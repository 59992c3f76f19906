"""What moves a debt: its postings and its counters, changed in one commit."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from checkout import clock, signals
from checkout.contract import Actor, actor
from checkout.models import Debt, Posting
from checkout.services import problems
from checkout.services.insert_each import insert_each
from checkout.services.pile import Pile
from checkout.services.update_each import update_each

Kind = Posting.Kind
ZERO = Decimal(0)


@dataclass(slots=True)
class Movement:
    """A posting to be made, or an amount to be freed, on one debt."""

    debt_id: int
    posting: Posting | None = None
    release: Decimal = ZERO
    #: As it was read, if it was.
    debt: Debt | None = None


@dataclass(slots=True)
class _Book:
    movements: list[Movement] = field(default_factory=list)


_open: ContextVar[_Book | None] = ContextVar("checkout_booking", default=None)


@contextmanager
def batch(pile: Pile | None = None) -> Iterator[None]:
    """Make the postings of a whole batch in three statements, at the end of the transaction that the caller holds; or
    lay them on its pile, which raises LostRace when a debt has moved since it was read."""
    book = _Book()
    token = _open.set(book)
    try:
        yield
        _write_down(book.movements, pile)
    finally:
        _open.reset(token)


def post(
    debt: Debt,
    kind: str,
    amount: Decimal,
    *,
    cause: str,
    day: datetime.date | None = None,
    user: Actor = None,
    note: str = "",
    release: Decimal = ZERO,
    **about: Any,
) -> None:
    """Move a debt: `amount` is signed, in whole currency units. The caller holds the transaction.

    `about` names what it came of: `checkout`, `refund` or `dispute`, and how: `method`, `reference`. The same `cause`
    again raises IntegrityError: who may hear news twice asks `is_posted` first, under the lock of the row that the news
    is about.
    """
    posting = Posting(
        debt=debt, kind=kind, amount=amount, cause=cause, day=day or clock.today(), user=actor(user), note=note[:255],
        **about,
    )  # fmt: skip
    now_or_later(Movement(debt.pk, posting, release, debt))


def left_after(debt: Debt) -> Decimal:
    """What is left of a debt once the postings of the batch that is open are written."""
    book = _open.get()
    waiting = [each.posting for each in book.movements if each.debt_id == debt.pk and each.posting] if book else []
    return debt.left + sum((owed - paid for owed, paid in map(_change, waiting)), ZERO)


def is_posted(cause: str) -> bool:
    return Posting.objects.filter(cause=cause).exists()


def now_or_later(movement: Movement) -> None:
    book = _open.get()
    if book is None:
        _write_down([movement])
    else:
        book.movements.append(movement)


def _write_down(movements: Sequence[Movement], pile: Pile | None = None) -> None:
    if not movements:
        return
    postings = [movement.posting for movement in movements if movement.posting is not None]
    if pile is None or signals.checkout_posted.has_listeners(Posting):
        # Whoever listens is told of rows that have their keys.
        insert_each(postings)
        signals.posted(postings)
    else:
        pile.add(postings)
    pks = {movement.debt_id for movement in movements}
    in_hand = {movement.debt_id: movement.debt for movement in movements if movement.debt is not None}
    if in_hand.keys() == pks and pile is not None:
        before = counters(in_hand.values(), "owed", "paid", "asked")
        _add_up(in_hand, movements)
        pile.change(Debt, counters(in_hand.values(), "owed", "paid", "asked"), only_if=before)
    elif in_hand.keys() != pks or not _move(in_hand, movements, only_if_unmoved=True):
        # A row in hand was old, or there was none.
        held = {debt.pk: debt for debt in lock(pks)}
        _move(held, movements)
        for pk, debt in in_hand.items():
            debt.owed, debt.paid, debt.asked = held[pk].owed, held[pk].paid, held[pk].asked
        in_hand = held
    for debt in in_hand.values():
        _look_for_too_much(debt, [posting for posting in postings if posting.debt_id == debt.pk])


def _look_for_too_much(debt: Debt, moved: Sequence[Posting]) -> None:
    """More was paid than owed, or was until these postings: the problem is opened, or closed."""
    was_left = debt.left + sum((_change(posting)[1] - _change(posting)[0] for posting in moved), ZERO)
    if debt.left < 0 or was_left < 0:
        attempts = [posting.checkout for posting in reversed(moved) if posting.checkout_id]
        problems.check_debt(debt, attempts[0] if attempts else None)


def _change(posting: Posting) -> tuple[Decimal, Decimal]:
    """By how much a posting moves what is owed, and what is paid."""
    return (posting.amount, ZERO) if posting.kind in Posting.OWES else (ZERO, posting.amount)


def _move(debts: Mapping[int, Debt], movements: Sequence[Movement], *, only_if_unmoved: bool = False) -> bool:
    """Move the counters of `debts`, in the rows and in the database, in one statement. False when one of them had been
    moved since it was read: nothing is changed then."""
    before = counters(debts.values(), "owed", "paid", "asked")
    _add_up(debts, movements)
    if write(debts.values(), "owed", "paid", "asked", only_if=before if only_if_unmoved else None) == len(debts):
        return True
    for debt in debts.values():
        for name, value in before[debt.pk].items():
            setattr(debt, name, value)
    return False


def _add_up(debts: Mapping[int, Debt], movements: Sequence[Movement]) -> None:
    """In the rows in hand."""
    for movement in movements:
        debt = debts[movement.debt_id]
        owed, paid = _change(movement.posting) if movement.posting is not None else (ZERO, ZERO)
        debt.owed, debt.paid, debt.asked = debt.owed + owed, debt.paid + paid, debt.asked - movement.release


def locked(debt: Debt) -> Debt:
    """The debt, read anew under its lock. The caller holds the transaction."""
    return lock([debt.pk])[0]


def lock(pks: Iterable[int | None]) -> list[Debt]:
    """In the order of their keys, so that two batches never wait for each other in a circle."""
    return list(Debt.objects.select_for_update(no_key=True).filter(pk__in=set(pks)).order_by("pk"))


def counters(debts: Iterable[Debt], *names: str) -> dict[int, dict[str, Any]]:
    return {debt.pk: {name: getattr(debt, name) for name in names} for debt in debts}


def write(debts: Iterable[Debt], *names: str, only_if: Mapping[int, Mapping[str, Any]] | None = None) -> int:
    """The new counters of debts, in one statement. The sums are made here and not in the database: SQLite would make
    them in binary."""
    return update_each(Debt, counters(debts, *names), only_if=only_if)


def wrong_counters() -> QuerySet[Debt]:
    """Debts whose counters are not what their postings add up to. For the doctor: it reads every posting."""
    sums = {
        "sum_owed": Coalesce(Sum("postings__amount", filter=Q(postings__kind__in=Posting.OWES)), Value(ZERO)),
        "sum_paid": Coalesce(Sum("postings__amount", filter=~Q(postings__kind__in=Posting.OWES)), Value(ZERO)),
    }
    # SQLite adds in binary.
    least = Decimal("0.0005")
    off = Q()
    for counter, added_up in (("owed", F("sum_owed")), ("paid", F("sum_paid"))):
        off |= Q(**{f"{counter}__gt": added_up + least}) | Q(**{f"{counter}__lt": added_up - least})
    return Debt.objects.annotate(**sums).filter(off).order_by("pk")

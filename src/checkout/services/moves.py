"""Moving one row to another state: one conditional UPDATE, whose row count says who won, and a line that tells why."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet

from checkout import states
from checkout.contract import Actor, actor
from checkout.journal import Code, Why
from checkout.models import Checkout, CustomerPayment, ObjectPaymentPlanInstalment, Refund, StateChange
from checkout.services.insert_each import insert_each
from checkout.services.pile import Pile
from checkout.services.update_each import LostRace, update_each

logger = logging.getLogger("checkout.requests")

#: Of a move that needs no reason.
UNSAID: Final = Why()

Movable = Checkout | CustomerPayment | ObjectPaymentPlanInstalment | Refund

OnlyIf = Q | Mapping[str, Any] | None


def move(
    row: Movable,
    *,
    to: str,
    user: Actor = None,
    why: Why = UNSAID,
    only_from: Collection[str] | None = None,
    only_if: OnlyIf = None,
    **fields: Any,
) -> bool:
    """Move `row` to state `to`, and set `fields`, if the diagram allows it from where it is now (and `only_from`, if
    given, names that state, and the row meets `only_if`: a condition, or fields with the values that they must have).

    True if this caller did it; False if somebody else had, or the diagram has no such arrow. The row in hand is brought
    up to date either way. No read-then-save: it would lose a race, and SQLite ignores row locks without a word.
    """
    diagram = Refund.MOVES if isinstance(row, Refund) else states.MOVES
    column = type(row)._meta.get_field("state").attname
    # No savepoint: whoever calls this within a transaction lives or dies with the move.
    with transaction.atomic(savepoint=False):
        from_state: str = getattr(row, column) or ""
        if _move_later(row, from_state, to, fields, only_from, only_if):
            record(row, from_state=from_state, to=to, user=user, why=why)
            return True
        while True:
            allowed = states.may_move(from_state, to, diagram) and (only_from is None or from_state in only_from)
            if allowed and _set(row, from_state, only_if, {"state": to, **fields}):
                setattr(row, column, to)
                for name, value in fields.items():
                    setattr(row, name, value)
                record(row, from_state=from_state, to=to, user=user, why=why)
                return True
            now = type(row)._default_manager.filter(pk=row.pk).values_list("state", flat=True).first()
            if now is None or now == from_state:
                break
            from_state = now
        row.refresh_from_db()
        return False


def _set(row: Movable, from_state: str, only_if: OnlyIf, fields: dict[str, Any]) -> bool:
    """The conditional UPDATE. Only a condition of the caller's has to be made a statement of by Django."""
    if isinstance(only_if, Q):
        rows: Any = type(row)._default_manager
        return bool(rows.filter(Q(state=from_state), only_if, pk=row.pk).update(**fields))
    standing = {"state": from_state, **(only_if or {})}
    return update_each(type(row), {row.pk: fields}, only_if={row.pk: standing}) == 1


def owe_again(
    row: ObjectPaymentPlanInstalment | CustomerPayment,
    *,
    user: Actor,
    why: Why,
    only_if: Q | None = None,
    **fields: Any,
) -> bool:
    """By a choice of staff, what was over is owed again: `success` back to `pending`, an arrow that the diagram has for
    nobody else. True if this caller did it. The caller holds the transaction."""
    rows: Any = type(row)._default_manager.filter(Q(state=states.SUCCESS), only_if or Q(), pk=row.pk)
    if not rows.update(state=states.PENDING, **fields):
        return False
    row.refresh_from_db()
    record(row, from_state=states.SUCCESS, to=states.PENDING, user=user, why=why)
    return True


def note(row: Movable, *, user: Actor = None, why: Why = UNSAID) -> StateChange:
    """Keep in a row's history what somebody did to it, when its state does not tell: it stays where it stands by now,
    wherever it stood when it was read. The lock has a move that is under way come before or after it."""
    manager: Any = type(row)._default_manager
    with transaction.atomic():
        standing = manager.select_for_update(no_key=True, of=("self",)).filter(pk=row.pk)
        state: str = standing.values_list("state", flat=True).get() or ""
        change = _change(row, state, state, user, why)
        change.save(force_insert=True)
    return change


def record(row: Movable, *, from_state: str, to: str, user: Actor = None, why: Why = UNSAID) -> None:
    """Write down a move, in the transaction that made it."""
    change = _change(row, from_state, to, user, why)
    pages = _journal.get()
    if pages is None:
        change.save(force_insert=True)
    else:
        pages.append(change)


def _change(row: Movable, from_state: str, to: str, user: Actor, why: Why) -> StateChange:
    # By their keys: to set what a foreign key points at takes Django longer than the rest of the row.
    subject: dict[str, Any]
    match row:
        case Checkout():
            subject = {"checkout_id": row.pk}
        case CustomerPayment():
            subject = {"customer_payment_id": row.pk}
        case Refund():
            subject = {"refund_id": row.pk}
        case _:
            subject = {"instalment_id": row.pk}
    who = actor(user)
    if who is not None:
        subject["user_id"] = who.pk
    return StateChange(**subject, from_state=from_state, to_state=to, **why.columns)


_journal: ContextVar[list[StateChange] | None] = ContextVar("checkout_journal", default=None)


@contextmanager
def journal(pile: Pile | None = None) -> Iterator[None]:
    """Write down the moves of a whole batch in one INSERT, at the end of the transaction that the caller holds; or lay
    them on its pile."""
    pages: list[StateChange] = []
    token = _journal.set(pages)
    try:
        yield
        (pile.add if pile is not None else insert_each)(pages)
    finally:
        _journal.reset(token)


@dataclass(slots=True)
class _Later:
    """A move that is written together with others."""

    row: Checkout | ObjectPaymentPlanInstalment
    fields: dict[str, Any]


_together: ContextVar[list[_Later] | None] = ContextVar("checkout_moves_together", default=None)


@contextmanager
def together(pile: Pile) -> Iterator[None]:
    """Lay the successes of a whole batch of answered requests on the pile, to be written in one UPDATE for each table.
    Whoever moves anything else meanwhile has them written first.

    Raises LostRace, as the pile does, when one of them was not where it was thought to be.
    """
    waiting: list[_Later] = []
    token = _together.set(waiting)
    try:
        yield
        for model, changes, standing in _changes(waiting):
            pile.change(model, changes, only_if=standing)
    finally:
        _together.reset(token)


def _move_later(
    row: Movable,
    from_state: str,
    to: str,
    fields: dict[str, Any],
    only_from: Collection[str] | None,
    only_if: OnlyIf,
) -> bool:
    """True when the move can wait for the others of its batch."""
    waiting = _together.get()
    if waiting is None:
        return False
    if (
        not isinstance(row, Checkout | ObjectPaymentPlanInstalment)
        or (from_state, to) != (states.REQUEST, states.SUCCESS)
        or (only_from is not None and from_state not in only_from)
        or only_if is not None
    ):
        _write(waiting)
        return False
    waiting.append(_Later(row, fields))
    row.state_id = to
    for name, value in fields.items():
        setattr(row, name, value)
    return True


def _write(waiting: list[_Later]) -> None:
    for model, changes, standing in _changes(waiting):
        if update_each(model, changes, only_if=standing) != len(changes):
            raise LostRace
    waiting.clear()


def _changes(waiting: list[_Later]) -> Iterator[tuple[type[Movable], dict[int, Any], dict[int, Any]]]:
    """What those that wait set, and where they stand until then, by primary key: rows of one table that set the same
    fields."""
    for model in (Checkout, ObjectPaymentPlanInstalment):
        moves = {later.row.pk: later for later in waiting if isinstance(later.row, model)}
        for names in {tuple(later.fields) for later in moves.values()}:
            alike = {pk: later.fields for pk, later in moves.items() if tuple(later.fields) == names}
            changes = {pk: {"state": states.SUCCESS, **fields} for pk, fields in alike.items()}
            yield model, changes, {pk: {"state": states.REQUEST} for pk in alike}


def move_many(
    rows: Sequence[ObjectPaymentPlanInstalment],
    *,
    among: QuerySet[ObjectPaymentPlanInstalment],
    from_state: str,
    to: str,
    user: Actor = None,
    why: Why = UNSAID,
) -> list[ObjectPaymentPlanInstalment]:
    """Move those of `rows` that stand in `from_state`, are still `among` those that may move, and that nobody else is
    moving; the ones that were moved.

    The caller holds the transaction. Rows that another transaction has locked are left to it, so two runs neither wait
    for each other nor deadlock. Raises LostRace where locks do not exist and somebody was faster.
    """
    if not states.may_move(from_state, to):
        raise ValueError(f"The diagram has no arrow from {from_state} to {to}.")
    table = ObjectPaymentPlanInstalment.objects
    standing = among.select_for_update(skip_locked=True, of=("self",)).filter(Q(state=from_state))
    held = set(standing.filter(pk__in=[row.pk for row in rows]).order_by("pk").values_list("pk", flat=True))
    if table.filter(Q(state=from_state), pk__in=held).update(state=to) != len(held):
        raise LostRace
    moved = [row for row in rows if row.pk in held]
    for row in moved:
        row.state_id = to
        record(row, from_state=from_state, to=to, user=user, why=why)
    return moved


def move_content_object(row: CustomerPayment, *, to: str, checkout: Checkout | None = None) -> None:
    """A request for money follows its attempt."""
    moved = move(
        row,
        to=to,
        user=checkout.user if checkout else None,
        why=Why(Code.ATTEMPT, checkout=checkout.pk) if checkout else UNSAID,
    )
    if checkout is not None and not moved:
        # Money that we did not expect: never hide it behind a quiet "already paid".
        logger.error(
            "request %s was paid before; checkout %s took it again and should be refunded",
            row.pk,
            checkout.pk,
            extra={"checkout": checkout.pk},
        )

"""Moving one row to another state: one conditional UPDATE, whose row count says who won, and a line that tells why."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models, transaction
from django.db.models import Q

from checkout import states
from checkout.models import Checkout, CustomerPayment, ObjectPaymentPlanInstalment, StateChange

Movable = Checkout | CustomerPayment | ObjectPaymentPlanInstalment


def move(
    row: Movable,
    *,
    to: str,
    user: Any = None,
    reason: str = "",
    only_from: Collection[str] | None = None,
    **fields: Any,
) -> bool:
    """Move `row` to state `to`, and set `fields`, if the diagram allows it from where it is now (and `only_from`, if
    given, names that state).

    True if this caller did it; False if somebody else had, or the diagram has no such arrow. The row in hand is brought
    up to date either way. No read-then-save: it would lose a race, and SQLite ignores row locks without a word.
    """
    manager: Any = type(row)._default_manager
    # No savepoint: whoever calls this within a transaction lives or dies with the move.
    with transaction.atomic(savepoint=False):
        from_state: str = row.state_id or ""
        while True:
            allowed = states.may_move(from_state, to) and (only_from is None or from_state in only_from)
            if allowed and manager.filter(Q(state=from_state), pk=row.pk).update(state=to, **fields):
                row.state_id = to
                for name, value in fields.items():
                    setattr(row, name, value)
                record(row, from_state=from_state, to=to, user=user, reason=reason)
                return True
            now = manager.filter(pk=row.pk).values_list("state", flat=True).first()
            if now is None or now == from_state:
                break
            from_state = now
        row.refresh_from_db()
        return False


def record(row: Movable, *, from_state: str, to: str, user: Any = None, reason: str = "") -> None:
    """Write down a move, in the transaction that made it."""
    subject: dict[str, models.Model]
    match row:
        case Checkout():
            subject = {"checkout": row}
        case CustomerPayment():
            subject = {"customer_payment": row}
        case _:
            subject = {"instalment": row}
    who = user if getattr(user, "pk", None) else None
    StateChange.objects.create(**subject, from_state=from_state, to_state=to, user=who, reason=reason[:255])


def move_content_object(row: CustomerPayment, *, to: str, checkout: Checkout | None = None) -> None:
    """A request for money follows its attempt."""
    move(
        row,
        to=to,
        user=checkout.user if checkout else None,
        reason=f"Checkout {checkout.pk}" if checkout else "",
    )

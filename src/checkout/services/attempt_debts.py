"""What an attempt has to do with debts: it reserves on them, brings them money, and frees what it did not take."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import IntegrityError
from django.db.models import Sum

from checkout import clock
from checkout.contract import Actor, actor
from checkout.models import Checkout, Debt, Posting
from checkout.services import booking
from checkout.services.booking import ZERO, Kind, Movement


class NothingLeft(IntegrityError):
    """Of one of these debts less is left than was to be asked for; nothing was reserved. A promise of the books was
    about to be broken, as when the database refuses a row."""


def reserve(attempts: Sequence[Checkout]) -> None:
    """Reserve what each attempt is about to ask for, and number it (`takes_number`): its uuid is made from the debt's
    and its number.

    The caller holds the transaction, and the attempts are not written yet. Raises NothingLeft when another attempt, or
    a payment, was faster: the UPDATE holds only for counters that nobody has moved since they were read.
    """
    in_hand = {attempt.debt.pk: attempt.debt for attempt in attempts if attempt.debt is not None}
    if _reserve(attempts, in_hand):
        return
    if len(attempts) > 1:
        raise NothingLeft
    # The row in hand was old.
    held = {debt.pk: debt for debt in booking.lock(in_hand)}
    # What was to be asked for was worked out from what was left then: since, a plan may have been changed, or what came
    # by other means been undone.
    moved = any((debt.owed, debt.paid) != (in_hand[pk].owed, in_hand[pk].paid) for pk, debt in held.items())
    if moved or not _reserve(attempts, held):
        raise NothingLeft


def _reserve(attempts: Sequence[Checkout], debts: Mapping[int, Debt]) -> bool:
    unmoved = booking.counters(debts.values(), "owed", "paid", "asked", "attempts")
    asked: dict[int, Decimal] = {}
    for attempt in attempts:
        debt = debts[attempt.debt_id or 0]
        if attempt.total is None or attempt.total > debt.left - debt.asked:
            return False
        asked[debt.pk] = attempt.total
        if takes_number(attempt):
            attempt.number = debt.attempts + 1
            attempt.uuid = debt.attempt_uuid(attempt.number)
    numbers = {attempt.debt_id: int(takes_number(attempt)) for attempt in attempts}
    for debt in debts.values():
        debt.asked, debt.attempts = debt.asked + asked[debt.pk], debt.attempts + numbers[debt.pk]
    if not debts or booking.write(debts.values(), "asked", "attempts", only_if=unmoved) == len(debts):
        return True
    for debt in debts.values():
        debt.asked, debt.attempts = debt.asked - asked[debt.pk], debt.attempts - numbers[debt.pk]
    return False


def takes_number(attempt: Checkout) -> bool:
    """What Stripe never hears of takes none: after a restored backup it would have the number, and the uuid, of a
    charge that was lost, which then nobody would look for."""
    return not attempt.is_manual


def reserve_parts(attempt: Checkout, parts: Sequence[tuple[Debt, Decimal]]) -> None:
    """Reserve what one attempt asks for on several debts, or a part of one, and number it at the first of them. The
    caller holds the transaction, and the attempt is not written yet. Raises NothingLeft when somebody was faster."""
    held = {debt.pk: debt for debt in booking.lock(debt.pk for debt, _amount in parts)}
    for debt, amount in parts:
        if amount > held[debt.pk].left - held[debt.pk].asked:
            raise NothingLeft
        held[debt.pk].asked += amount
    if takes_number(attempt):
        first = held[parts[0][0].pk]
        first.attempts += 1
        attempt.debt, attempt.number, attempt.uuid = first, first.attempts, first.attempt_uuid(first.attempts)
    booking.write(held.values(), "asked", "attempts")


def asks_for_all(checkout: Checkout, total: Decimal) -> bool:
    """True while an attempt that is open asks for all that is left of a row that costs `total` now."""
    debt = checkout.debt
    if debt is None:
        return checkout.total == total
    return debt.earlier + total == debt.owed and checkout.total == debt.left


def parts_of(checkout: Checkout) -> list[tuple[Debt, Decimal]]:
    """What an attempt pays for, and how much of it each gets."""
    if checkout.allocated:
        return [(part.debt, part.amount) for part in checkout.allocations.select_related("debt").order_by("pk")]
    return [(checkout.debt, checkout.total)] if checkout.debt is not None and checkout.total is not None else []


def release(checkout: Checkout) -> None:
    """The attempt is over and took nothing: what it had reserved is free again. In the transaction that ends it."""
    for debt, amount in parts_of(checkout):
        booking.now_or_later(Movement(debt.pk, release=amount, debt=debt))


@dataclass(frozen=True, slots=True)
class Means:
    """How money came by other means: the day (None: today), a `Posting.Method` (or nothing), and what stands on the
    bank's statement."""

    day: datetime.date | None = None
    method: str = ""
    reference: str = ""

    @property
    def columns(self) -> dict[str, Any]:
        """As a posting keeps it."""
        return {"day": self.day or clock.today(), "method": self.method, "reference": self.reference[:100]}


UNSAID = Means()


def came(checkout: Checkout, user: Actor = None, *, was_open: bool = True, means: Means = UNSAID) -> None:
    """The attempt's money came, by card or by other `means`. In the settling transaction. An attempt that had ended
    before (`was_open` is False) has nothing reserved any more."""
    for number, (debt, amount) in enumerate(parts_of(checkout)):
        posting = Posting(
            debt=debt,
            kind=Kind.OTHER_MEANS if checkout.is_manual else Kind.TAKEN,
            amount=amount,
            cause=f"taken:{checkout.uuid}" + (f":{debt.uuid}" if number else ""),
            checkout=checkout,
            user=actor(user),
            **means.columns,
        )
        booking.now_or_later(Movement(debt.pk, posting, amount if was_open else ZERO, debt))


def post_for(checkout: Checkout, kind: str, amount: Decimal, *, cause: str, **about: Any) -> None:
    """Post what happened to an attempt's money as a whole: given back or taken back (`amount` is negative), or that
    this was undone (positive). Where the attempt pays for several debts, what goes back comes from the last of them
    first, and returns to the first. `about` as `booking.post`; the first of several postings has `cause` itself."""
    if not checkout.allocated:
        if checkout.debt is not None:
            booking.post(checkout.debt, kind, amount, cause=cause, checkout=checkout, **about)
        return
    kept = dict(_kept_of(checkout))
    going = amount < 0
    order = parts_of(checkout)[::-1] if going else parts_of(checkout)
    left = abs(amount)
    for debt, part in order:
        room = kept.get(debt.pk, ZERO) if going else part - kept.get(debt.pk, ZERO)
        # More than came can neither go back nor return: what does not add up stays visible on the last one.
        here = left if debt is order[-1][0] else min(left, max(room, ZERO))
        if here:
            name = cause if left == abs(amount) else f"{cause}:{debt.uuid}"
            booking.post(debt, kind, -here if going else here, cause=name, checkout=checkout, **about)
            left -= here


def _kept_of(checkout: Checkout) -> Iterable[tuple[int, Decimal]]:
    """How much of an attempt's money is in, by debt: what came less what went back."""
    rows = Posting.objects.filter(checkout=checkout).exclude(kind__in=Posting.OWES)
    return rows.order_by().values_list("debt").annotate(kept=Sum("amount"))

"""What is owed: opened, reserved by attempts, moved by postings. Counters and postings change in one commit."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4, uuid5

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from checkout import clock, signals
from checkout.conf import conf
from checkout.contract import Actor, ContentObject, actor
from checkout.models import Checkout, Debt, ObjectPaymentPlanInstalment, Posting, content_key
from checkout.services import problems
from checkout.services.insert_each import insert_each
from checkout.services.pile import Pile
from checkout.services.update_each import update_each

Kind = Posting.Kind
ZERO = Decimal(0)


# -- opening -----------------------------------------------------------------------------------------------


def of(content_object: ContentObject, total: Decimal, currency: str) -> Debt:
    """The debt of a row that costs `total` now, opened when it is first asked for.

    What is owed follows the row's price. A row that was paid in full and is to be paid again (a membership, renewed)
    owes `total` once more.
    """
    if isinstance(content_object, ObjectPaymentPlanInstalment):
        return of_line(content_object)
    debt = Debt.objects.filter(**content_key(content_object)).first()
    if debt is None:
        try:
            with transaction.atomic():
                debt = Debt.objects.create(
                    uuid=_uuid_of(content_object), **content_key(content_object), currency=currency, owed=total
                )
                first = f"owed:{debt.uuid}:1"
                opened = Posting.objects.create(debt=debt, kind=Kind.OWED, amount=total, day=clock.today(), cause=first)
                signals.posted([opened])
                return debt
        except IntegrityError:
            debt = Debt.objects.filter(**content_key(content_object)).first()
            if debt is None:
                raise
    if _is_over(debt) or debt.earlier + total != debt.owed or currency != debt.currency:
        _follow_the_price(debt, total, currency)
    return debt


def _uuid_of(row: Any) -> UUID:
    """A row with a uuid of its own gives its debt one: a debt that a restored database has lost, and that is opened
    again, is the same debt at Stripe. Not one with a number: a new row may get the number of one that was lost."""
    own = row.pk if isinstance(row.pk, UUID) else getattr(row, "uuid", None)
    return uuid5(own, "debt") if isinstance(own, UUID) else uuid4()


def known_at_stripe(uuid: UUID, for_row: str) -> Debt | None:
    """The debt of that uuid. One that a restored database has lost is opened again, when the row that it is for
    (`app.model:key`) is still there."""
    debt = Debt.objects.filter(uuid=uuid).first()
    if debt is not None:
        return debt
    label, _colon, key = for_row.partition(":")
    try:
        row: Any = apps.get_model(label)._default_manager.filter(pk=key).first()
    except (LookupError, ValueError, ValidationError):
        return None
    if row is None or _uuid_of(row) != uuid:
        return None
    currency = getattr(row, "checkout_currency", None) or conf.CHECKOUT_CURRENCY
    return of(row, row.checkout_total, currency)


def _is_over(debt: Debt) -> bool:
    """All of it came: whoever asks to pay now pays for something new."""
    return debt.owed > debt.earlier and debt.paid >= debt.owed


def _follow_the_price(debt: Debt, total: Decimal, currency: str) -> None:
    """Not while an attempt is open: what it asks for was agreed on its page."""
    with transaction.atomic():
        held = Debt.objects.select_for_update(no_key=True).get(pk=debt.pk)
        if not held.asked:
            earlier = held.paid if _is_over(held) else held.earlier
            if (earlier, currency) != (held.earlier, held.currency):
                Debt.objects.filter(pk=debt.pk).update(earlier=earlier, currency=currency)
            _owe(held, earlier + total - held.owed)
    debt.refresh_from_db()


def not_owed_any_more(content_object: ContentObject) -> None:
    """What is left of a row's debt is not owed any more: its price was taken back. In the caller's transaction, who has
    made sure that no attempt is open. Raises IntegrityError when one is."""
    debt = Debt.objects.filter(**content_key(content_object)).first()
    if debt is not None:
        [held] = _lock([debt.pk])
        if held.asked:
            raise IntegrityError("An attempt has reserved what is not to be owed any more.")
        _owe(held, min(held.paid - held.owed, ZERO))


def _owe(debt: Debt, change: Decimal) -> None:
    if change:
        post(debt, Kind.OWED, change, cause=f"owed:{debt.uuid}:{debt.postings.count() + 1}")


def missing_at(checkout: Checkout, total: Decimal) -> Decimal:
    """How much of a row that costs `total` now is still missing once this attempt's money is in; what is owed follows
    that price. In the settling transaction, before the postings of its ledger are written."""
    debt = checkout.debt
    if debt is None or checkout.total is None:
        return ZERO
    if debt.earlier + total != debt.owed:
        [held] = _lock([debt.pk])
        _owe(held, held.earlier + total - held.owed)
    return max(debt.earlier + total - debt.paid - checkout.total, ZERO)


def of_line(line: ObjectPaymentPlanInstalment) -> Debt:
    """The debt of a line of a plan. Lines get theirs when they are made; this opens what is missing."""
    if line.debt is not None:
        return line.debt
    open_lines([line])
    line.refresh_from_db(fields=["debt"])
    assert line.debt is not None  # noqa: S101 - it was just opened
    return line.debt


def open_lines(lines: Sequence[ObjectPaymentPlanInstalment]) -> None:
    """Open the debts of lines that have none: a few statements, however many lines, and each debt once however many
    runs do so at the same time.

    A line that is paid by its state alone (moved over from an older system) has its payment posted, too.
    """
    without = {line.pk: line for line in lines if line.debt_id is None}
    if not without:
        return
    with transaction.atomic():
        table = ObjectPaymentPlanInstalment.objects.select_for_update(no_key=True)
        held = table.filter(pk__in=without).order_by("pk").values_list("pk", "debt")
        found = dict(held)
        missing = [without[pk] for pk, debt_pk in found.items() if debt_pk is None]
        opened = Debt.objects.in_bulk([pk for pk in found.values() if pk is not None])
        for pk, debt_pk in found.items():
            if debt_pk is not None:
                without[pk].debt = opened[debt_pk]
        if missing:
            open_new(missing)


def open_new(lines: Sequence[ObjectPaymentPlanInstalment]) -> None:
    """As `open_lines`, of lines without a debt that nobody else can see or change: the caller's transaction made them,
    or holds them."""
    debts = insert_each(
        Debt(
            uuid=_uuid_of(line),
            **content_key(line),
            currency=line.object_payment_plan.currency,
            owed=line.amount,
            paid=line.amount if line.state_id == "success" else ZERO,
        )
        for line in lines
    )
    postings = []
    for line, debt in zip(lines, debts, strict=True):
        line.debt = debt
        known: dict[str, Any] = {"debt": debt, "amount": line.amount, "day": line.due}
        postings.append(Posting(kind=Kind.OWED, cause=f"owed:{debt.uuid}:1", **known))
        if line.state_id == "success":
            postings.append(Posting(kind=Kind.OTHER_MEANS, cause=f"moved:{debt.uuid}", **known))
    insert_each(postings)
    signals.posted(postings)
    update_each(ObjectPaymentPlanInstalment, {line.pk: {"debt": line.debt_id} for line in lines})


# -- reserving ---------------------------------------------------------------------------------------------


class NothingLeft(IntegrityError):
    """Of one of these debts less is left than was to be asked for; nothing was reserved. A promise of the books was
    about to be broken, as when the database refuses a row."""


def reserve(attempts: Sequence[Checkout]) -> None:
    """Reserve what each attempt is about to ask for, and number it: its uuid is made from the debt's and its number.

    The caller holds the transaction, and the attempts are not written yet. Raises NothingLeft when another attempt, or
    a payment, was faster: the UPDATE holds only for counters that nobody has moved since they were read.
    """
    in_hand = {attempt.debt.pk: attempt.debt for attempt in attempts if attempt.debt is not None}
    if _reserve(attempts, in_hand):
        return
    if len(attempts) > 1:
        raise NothingLeft
    # The row in hand was old.
    held = {debt.pk: debt for debt in _lock(in_hand)}
    # What was to be asked for was worked out from what was left then: since, a plan may have been changed, or what came
    # by other means been undone.
    moved = any((debt.owed, debt.paid) != (in_hand[pk].owed, in_hand[pk].paid) for pk, debt in held.items())
    if moved or not _reserve(attempts, held):
        raise NothingLeft


def _reserve(attempts: Sequence[Checkout], debts: Mapping[int, Debt]) -> bool:
    unmoved = _counters(debts.values(), "owed", "paid", "asked", "attempts")
    asked: dict[int, Decimal] = {}
    for attempt in attempts:
        debt = debts[attempt.debt_id or 0]
        if attempt.total is None or attempt.total > debt.left - debt.asked:
            return False
        asked[debt.pk] = attempt.total
        attempt.number = debt.attempts + 1
        attempt.uuid = debt.attempt_uuid(attempt.number)
    for debt in debts.values():
        debt.asked, debt.attempts = debt.asked + asked[debt.pk], debt.attempts + 1
    if not debts or _write(debts.values(), "asked", "attempts", only_if=unmoved) == len(debts):
        return True
    for debt in debts.values():
        debt.asked, debt.attempts = debt.asked - asked[debt.pk], debt.attempts - 1
    return False


def reserve_parts(attempt: Checkout, parts: Sequence[tuple[Debt, Decimal]]) -> None:
    """Reserve what one attempt asks for on several debts, or a part of one, and number it at the first of them. The
    caller holds the transaction, and the attempt is not written yet. Raises NothingLeft when somebody was faster."""
    held = {debt.pk: debt for debt in _lock(debt.pk for debt, _amount in parts)}
    for debt, amount in parts:
        if amount > held[debt.pk].left - held[debt.pk].asked:
            raise NothingLeft
        held[debt.pk].asked += amount
    if not attempt.is_manual:
        # What Stripe never hears of takes no number: after a restored backup the next charge has to be the one that was
        # lost, to the letter.
        first = held[parts[0][0].pk]
        first.attempts += 1
        attempt.debt, attempt.number, attempt.uuid = first, first.attempts, first.attempt_uuid(first.attempts)
    _write(held.values(), "asked", "attempts")


def parts_of(checkout: Checkout) -> list[tuple[Debt, Decimal]]:
    """What an attempt pays for, and how much of it each gets."""
    if checkout.allocated:
        return [(part.debt, part.amount) for part in checkout.allocations.select_related("debt").order_by("pk")]
    return [(checkout.debt, checkout.total)] if checkout.debt is not None and checkout.total is not None else []


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


def asks_for_all(checkout: Checkout, total: Decimal) -> bool:
    """True while an attempt that is open asks for all that is left of a row that costs `total` now."""
    debt = checkout.debt
    if debt is None:
        return checkout.total == total
    return debt.earlier + total == debt.owed and checkout.total == debt.left


def release(checkout: Checkout) -> None:
    """The attempt is over and took nothing: what it had reserved is free again. In the transaction that ends it."""
    for debt, amount in parts_of(checkout):
        _now_or_later(_Movement(debt.pk, release=amount, debt=debt))


# -- moving ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Movement:
    """A posting to be made, or an amount to be freed, on one debt."""

    debt_id: int
    posting: Posting | None = None
    release: Decimal = ZERO
    #: As it was read, if it was.
    debt: Debt | None = None


@dataclass(slots=True)
class _Book:
    movements: list[_Movement] = field(default_factory=list)


_open: ContextVar[_Book | None] = ContextVar("checkout_ledger", default=None)


@contextmanager
def ledger(pile: Pile | None = None) -> Iterator[None]:
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
    _now_or_later(_Movement(debt.pk, posting, release, debt))


def left_after(debt: Debt) -> Decimal:
    """What is left of a debt once the postings of the ledger that is open are written."""
    book = _open.get()
    waiting = [each.posting for each in book.movements if each.debt_id == debt.pk and each.posting] if book else []
    return debt.left + sum((owed - paid for owed, paid in map(_change, waiting)), ZERO)


def is_posted(cause: str) -> bool:
    return Posting.objects.filter(cause=cause).exists()


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
        _now_or_later(_Movement(debt.pk, posting, amount if was_open else ZERO, debt))


def post_for(checkout: Checkout, kind: str, amount: Decimal, *, cause: str, **about: Any) -> None:
    """Post what happened to an attempt's money as a whole: given back or taken back (`amount` is negative), or that
    this was undone (positive). Where the attempt pays for several debts, what goes back comes from the last of them
    first, and returns to the first. `about` as `post`; the first of several postings has `cause` itself."""
    if not checkout.allocated:
        if checkout.debt is not None:
            post(checkout.debt, kind, amount, cause=cause, checkout=checkout, **about)
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
            post(debt, kind, -here if going else here, cause=name, checkout=checkout, **about)
            left -= here


def _kept_of(checkout: Checkout) -> Iterable[tuple[int, Decimal]]:
    """How much of an attempt's money is in, by debt: what came less what went back."""
    rows = Posting.objects.filter(checkout=checkout).exclude(kind__in=Posting.OWES)
    return rows.order_by().values_list("debt").annotate(kept=Sum("amount"))


def _now_or_later(movement: _Movement) -> None:
    book = _open.get()
    if book is None:
        _write_down([movement])
    else:
        book.movements.append(movement)


def _write_down(movements: Sequence[_Movement], pile: Pile | None = None) -> None:
    if not movements:
        return
    postings = [movement.posting for movement in movements if movement.posting is not None]
    if pile is None or signals.checkout_posted.has_listeners():
        # Whoever listens is told of rows that have their keys.
        insert_each(postings)
        signals.posted(postings)
    else:
        pile.add(postings)
    pks = {movement.debt_id for movement in movements}
    in_hand = {movement.debt_id: movement.debt for movement in movements if movement.debt is not None}
    if in_hand.keys() == pks and pile is not None:
        before = _counters(in_hand.values(), "owed", "paid", "asked")
        _add_up(in_hand, movements)
        pile.change(Debt, _counters(in_hand.values(), "owed", "paid", "asked"), only_if=before)
    elif in_hand.keys() != pks or not _move(in_hand, movements, only_if_unmoved=True):
        # A row in hand was old, or there was none.
        held = {debt.pk: debt for debt in _lock(pks)}
        _move(held, movements)
        for pk, debt in in_hand.items():
            debt.owed, debt.paid, debt.asked = held[pk].owed, held[pk].paid, held[pk].asked
        in_hand = held
    by_debt: dict[int, list[Posting]] = {}
    for posting in postings:
        by_debt.setdefault(posting.debt_id, []).append(posting)
    for debt in in_hand.values():
        moved = by_debt.get(debt.pk, [])
        was_left = debt.left + sum((_change(posting)[1] - _change(posting)[0] for posting in moved), ZERO)
        if debt.left < 0 or was_left < 0:
            attempts = [posting.checkout for posting in reversed(moved) if posting.checkout_id]
            problems.check_debt(debt, attempts[0] if attempts else None)


def _change(posting: Posting) -> tuple[Decimal, Decimal]:
    """By how much a posting moves what is owed, and what is paid."""
    return (posting.amount, ZERO) if posting.kind in Posting.OWES else (ZERO, posting.amount)


def _move(debts: Mapping[int, Debt], movements: Sequence[_Movement], *, only_if_unmoved: bool = False) -> bool:
    """Move the counters of `debts`, in the rows and in the database, in one statement. False when one of them had been
    moved since it was read: nothing is changed then."""
    before = _counters(debts.values(), "owed", "paid", "asked")
    _add_up(debts, movements)
    if _write(debts.values(), "owed", "paid", "asked", only_if=before if only_if_unmoved else None) == len(debts):
        return True
    for debt in debts.values():
        for name, value in before[debt.pk].items():
            setattr(debt, name, value)
    return False


def _add_up(debts: Mapping[int, Debt], movements: Sequence[_Movement]) -> None:
    """In the rows in hand."""
    for movement in movements:
        debt = debts[movement.debt_id]
        owed, paid = _change(movement.posting) if movement.posting is not None else (ZERO, ZERO)
        debt.owed, debt.paid, debt.asked = debt.owed + owed, debt.paid + paid, debt.asked - movement.release


def wrong_counters() -> QuerySet[Debt]:
    """Debts whose counters are not what their postings add up to. For the doctor: it reads every posting."""
    sums = {
        "sum_owed": Coalesce(Sum("postings__amount", filter=Q(postings__kind__in=Posting.OWES)), Value(ZERO)),
        "sum_paid": Coalesce(Sum("postings__amount", filter=~Q(postings__kind__in=Posting.OWES)), Value(ZERO)),
    }
    rows = Debt.objects.annotate(**sums)
    # SQLite adds in binary.
    least = Decimal("0.0005")
    off = [Q(**{f"{a}__gt": F(b) + least}) for name in ("owed", "paid") for a, b in ((name, f"sum_{name}"),)]
    off += [Q(**{f"{name}__lt": F(f"sum_{name}") - least}) for name in ("owed", "paid")]
    return rows.filter(off[0] | off[1] | off[2] | off[3]).order_by("pk")


def locked(debt: Debt) -> Debt:
    """The debt, read anew under its lock. The caller holds the transaction."""
    return _lock([debt.pk])[0]


def _lock(pks: Iterable[int | None]) -> list[Debt]:
    """In the order of their keys, so that two batches never wait for each other in a circle."""
    return list(Debt.objects.select_for_update(no_key=True).filter(pk__in=set(pks)).order_by("pk"))


def _counters(debts: Iterable[Debt], *names: str) -> dict[int, dict[str, Any]]:
    return {debt.pk: {name: getattr(debt, name) for name in names} for debt in debts}


def _write(debts: Iterable[Debt], *names: str, only_if: Mapping[int, Mapping[str, Any]] | None = None) -> int:
    """The new counters of debts, in one statement. The sums are made here and not in the database: SQLite would make
    them in binary."""
    return update_each(Debt, _counters(debts, *names), only_if=only_if)

"""What is owed: the debts of rows and of lines, opened when they are first asked for, and what they cost by now."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4, uuid5

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Sum

from checkout import clock, signals
from checkout.conf import conf
from checkout.contract import ContentObject
from checkout.models import Checkout, Debt, ObjectPaymentPlanInstalment, Posting, Refund, content_key
from checkout.services import booking
from checkout.services.booking import ZERO, Kind
from checkout.services.insert_each import insert_each
from checkout.services.update_each import update_each


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
        [held] = booking.lock([debt.pk])
        if held.asked:
            raise IntegrityError("An attempt has reserved what is not to be owed any more.")
        _owe(held, min(held.paid - held.owed, ZERO))


def _owe(debt: Debt, change: Decimal) -> None:
    if change:
        booking.post(debt, Kind.OWED, change, cause=f"owed:{debt.uuid}:{debt.postings.count() + 1}")


def missing_at(checkout: Checkout, total: Decimal) -> Decimal:
    """How much of a row that costs `total` now is still missing once this attempt's money is in; what is owed follows
    that price. In the settling transaction, before the postings of its ledger are written."""
    debt = checkout.debt
    if debt is None or checkout.total is None:
        return ZERO
    if debt.earlier + total != debt.owed:
        # What else came since it was read is not missing.
        [debt] = booking.lock([debt.pk])
        _owe(debt, debt.earlier + total - debt.owed)
    paid = debt.paid
    if paid > debt.earlier:
        # This is the rest: of what came before it something may be on its way back.
        back = Refund.objects.filter(checkout__debt=debt, state=Refund.PENDING).aggregate(sum=Sum("amount"))["sum"]
        paid -= back or ZERO
    return max(debt.earlier + total - paid - checkout.total, ZERO)


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

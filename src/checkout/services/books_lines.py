"""The lines of the day book: what moved at Stripe in a month of the books, and what came by other means."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from dateutil.relativedelta import relativedelta
from django.db.models import Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from checkout import money
from checkout.bookkeeping import Kind, Line
from checkout.models import BalanceTransaction, BookMonth, Checkout, ObjectPaymentPlanInstalment, Posting
from checkout.services.books_intake import JUST_NOW, Account
from checkout.services.books_things import CHARGE_TYPES, DISPUTE_CATEGORIES, PAYOUT_TYPES, REFUND_TYPES, STRIPES_OWN

BILLED: Final = frozenset({"stripe_fee", "stripe_fx_fee", "tax_fee"})
BY_HAND: Final = (Posting.Kind.OTHER_MEANS, Posting.Kind.UNDONE)
PAGE: Final = 1000


def lines(month: datetime.date, whose: Account) -> Iterator[Line]:
    """All lines of a month of the books, in constant memory: the movements at Stripe in the order that they came in,
    then what came by other means."""
    movements = BalanceTransaction.objects.filter(**whose, month=month)
    closed = BookMonth.objects.filter(**whose, month=month).first()
    if closed is not None:
        # Whatever is later is a latecomer, and stands in another month.
        movements = movements.filter(taken_in_at__lte=closed.closed_at - JUST_NOW)
    for page in _by_key(movements.select_related("checkout__paper", "payout")):
        taxes = _taxes(row.checkout for row in page)
        yield from (_of_movement(row, month, taxes) for row in page)
    for postings in _by_key(postings_of(month, whose).select_related("checkout", "debt", "user")):
        yield from (_of_posting(posting, month) for posting in postings)


def _by_key(rows: QuerySet[Any]) -> Iterator[list[Any]]:
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:PAGE]):
        yield page
        last = page[-1].pk


def postings_of(month: datetime.date, whose: Account) -> QuerySet[Posting]:
    """What came by other means, in the month that it stands in: its own, or, when that was closed before it was written
    down, the one in which it was. What was being written down while its month was closed is not in the kept day book,
    for its commit may have come later."""
    closed = {
        closed_month: closed_at - JUST_NOW
        for closed_month, closed_at in BookMonth.objects.filter(**whose).values_list("month", "closed_at")
    }
    after = month + relativedelta(months=1)
    own = Q(day__gte=month, day__lt=after)
    if month in closed:
        own &= Q(at__lte=closed[month])
    late = Q(pk__in=[])
    for other, until in closed.items():
        if other != month:
            late |= Q(day__gte=other, day__lt=other + relativedelta(months=1), at__gt=until)
    written = Q(at__gte=_start(month), at__lt=_start(after))
    return Posting.objects.filter(own | (late & written), kind__in=BY_HAND)


def _start(day: datetime.date) -> datetime.datetime:
    return timezone.make_aware(datetime.datetime.combine(day, datetime.time()), timezone.get_default_timezone())


def kind_of(row: BalanceTransaction) -> Kind:
    """What a movement is in the day book."""
    if row.type in PAYOUT_TYPES:
        return Kind.PAYOUT
    if row.state == BalanceTransaction.State.FOREIGN:
        return Kind.FOREIGN
    if row.type in CHARGE_TYPES:
        return Kind.PAYMENT
    if row.type in REFUND_TYPES:
        return Kind.REFUND
    if row.category in DISPUTE_CATEGORIES:
        return Kind.DISPUTE
    if row.type in BILLED:
        return Kind.BILLED
    return Kind.KEPT_BACK if row.type in STRIPES_OWN else Kind.CORRECTION


def _of_movement(row: BalanceTransaction, month: datetime.date, taxes: dict[int, Any]) -> Line:
    checkout, payout, kind = row.checkout, row.payout, kind_of(row)
    own = row.day.replace(day=1)
    return Line(
        day=row.day,
        kind=kind,
        gross=money.tidy(row.amount, row.currency),
        fee=money.tidy(row.fee, row.currency),
        currency=row.currency,
        paid=money.tidy(row.paid_amount, row.paid_currency),
        paid_currency=row.paid_currency,
        number=_number(checkout),
        payer=checkout.payer if checkout is not None else "",
        what=", ".join(checkout.description_lines) if checkout is not None else row.description,
        method="card" if kind in (Kind.PAYMENT, Kind.REFUND, Kind.DISPUTE) else "",
        reference=row.payment_intent_id,
        payout=payout.payout_id if payout is not None else "",
        payout_day=payout.arrival_on if payout is not None else None,
        movement=row.transaction_id,
        source=row.source_id,
        tax=_tax(checkout, row.paid_amount, taxes) if kind in (Kind.PAYMENT, Kind.REFUND) else None,
        **_late(own, month),
    )


def _late(own: datetime.date, month: datetime.date) -> dict[str, Any]:
    """What is said of a line that stands in another month than its own, which is closed."""
    return {"adjusts": f"{own:%Y-%m}", "booked_on": month} if own != month else {}


def _number(checkout: Checkout | None) -> str:
    """Of the receipt, or without one of the checkout."""
    if checkout is None:
        return ""
    paper = getattr(checkout, "paper", None)
    return paper.label if paper is not None else str(checkout.pk)


def _of_posting(posting: Posting, month: datetime.date) -> Line:
    checkout, currency = posting.checkout, posting.debt.currency
    own = posting.day.replace(day=1)
    amount = money.tidy(posting.amount, currency)
    return Line(
        day=posting.day,
        kind=Kind.BY_HAND,
        gross=amount,
        fee=Decimal(0),
        currency=currency,
        paid=amount,
        paid_currency=currency,
        number=str(checkout.pk) if checkout is not None else "",
        payer=checkout.payer if checkout is not None else "",
        what=", ".join(checkout.description_lines) if checkout is not None else "",
        method=posting.method or "other",
        reference=posting.reference or posting.note,
        source=posting.cause,
        **_late(own, month),
    )


# -- tax ---------------------------------------------------------------------------------------------------


def _taxes(checkouts: Iterable[Checkout | None]) -> dict[int, Any]:
    """The host's `checkout_tax(amount)` of what each checkout paid for, where its model has one."""
    rows = {checkout.pk: checkout for checkout in checkouts if checkout is not None}
    prefetch_related_objects(list(rows.values()), "content_object")
    found: dict[int, Any] = {}
    for pk, checkout in rows.items():
        row: Any = checkout.content_object
        if isinstance(row, ObjectPaymentPlanInstalment):
            row = row.object_payment_plan.content_object
        tax = getattr(row, "checkout_tax", None)
        if callable(tax):
            found[pk] = tax
    return found


def _tax(checkout: Checkout | None, amount: Decimal, taxes: dict[int, Any]) -> Decimal | None:
    tax = taxes.get(checkout.pk) if checkout is not None else None
    return Decimal(tax(amount)) if tax is not None else None

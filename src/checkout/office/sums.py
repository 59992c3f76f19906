"""What came and what went back, of attempts, plans and lines: by the postings, and in one query for many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import DecimalField, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from checkout.models import CustomerPayment, Posting

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sums:
    """What came, and what of it was given back or taken back by a bank: both positive, in whole currency units."""

    came: Decimal = ZERO
    back: Decimal = ZERO

    @property
    def kept(self) -> Decimal:
        return self.came - self.back


NOTHING = Sums()

_CAME = Sum("amount", filter=Q(kind__in=Posting.CAME), default=ZERO)
_BACK = Sum("amount", filter=Q(kind__in=Posting.WENT_BACK), default=ZERO)

#: What is left of a line, in the database: `left` of its row.
LEFT: Any = Coalesce(F("amount") - F("debt__paid"), F("amount"), output_field=DecimalField(decimal_places=3))


def of(postings: Iterable[Posting]) -> Sums:
    """Of postings in hand."""
    found = list(postings)
    came = sum((row.amount for row in found if row.kind in Posting.CAME), ZERO)
    return Sums(came, -sum((row.amount for row in found if row.kind in Posting.WENT_BACK), ZERO))


def of_attempts(pks: Iterable[int]) -> dict[int, Sums]:
    return _by("checkout", Posting.objects.filter(checkout__in=list(pks)))


def of_debts(pks: Iterable[int | None]) -> dict[int, Sums]:
    return _by("debt", Posting.objects.filter(debt__in=[pk for pk in pks if pk is not None]))


def of_plans(pks: Iterable[int]) -> dict[int, Sums]:
    plan = "debt__instalment__object_payment_plan"
    return _by(plan, Posting.objects.filter(**{f"{plan}__in": list(pks)}))


def of_requests(pks: Iterable[int]) -> dict[int, Sums]:
    kind = ContentType.objects.get_for_model(CustomerPayment)
    rows = Posting.objects.filter(debt__content_type=kind, debt__object_id__in=[str(pk) for pk in pks])
    return {int(pk): found for pk, found in _by("debt__object_id", rows).items()}


def _by(key: str, rows: QuerySet[Posting]) -> dict[Any, Sums]:
    moved = rows.exclude(kind__in=Posting.OWES).order_by().values_list(key).annotate(came=_CAME, back=_BACK)
    return {pk: Sums(came, -back) for pk, came, back in moved}

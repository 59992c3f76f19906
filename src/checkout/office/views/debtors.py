"""Who owes what, by age: as CSV for the bookkeeper."""

from __future__ import annotations

import csv
import datetime
import itertools
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, StreamingHttpResponse
from django.views.generic import View

from checkout import clock, money, states
from checkout.models import ObjectPaymentPlanInstalment
from checkout.office.views.base import StaffMixin
from checkout.spreadsheets import harmless

#: In days overdue: up to this many. The last has no end.
AGES: Final = (30, 60, 90)
DEBTORS: Final = ("name", "email", "currency", "up to 30 days", "31 to 60", "61 to 90", "more than 90", "overdue")
LAST: Final = datetime.date(1970, 1, 1)


class _Echo:
    def write(self, line: str) -> str:
        return line


def _csv(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        writer = csv.writer(_Echo())
        yield "\ufeff" + writer.writerow(header)
        for row in rows:
            yield writer.writerow(row)

    answer = StreamingHttpResponse(parts(), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}-{clock.today():%Y-%m-%d}.csv"'
    return answer


def aged(today: datetime.date) -> QuerySet[Any]:
    """What is overdue of plans that are not stopped, by customer and currency, in sums by age."""
    left = Coalesce(F("debt__owed") - F("debt__paid"), F("amount"))
    limits = [today, *(today - datetime.timedelta(days=days) for days in AGES), LAST]
    sums = {
        f"age{number}": Sum(left, filter=Q(due__lt=before, due__gte=since))
        for number, (before, since) in enumerate(itertools.pairwise(limits))
    }
    plan = "object_payment_plan"
    late = ObjectPaymentPlanInstalment.objects.filter(
        Q(state__in=states.UNPAID), due__lt=today, object_payment_plan__deleted=False
    )
    names = (f"{plan}__customer__name", f"{plan}__customer__email", f"{plan}__currency")
    return late.order_by(*names).values_list(*names).annotate(**sums)


class AgedDebtorsView(StaffMixin, View):
    permission = "checkout.view_objectpaymentplaninstalment"
    menu = "checkout.books"

    def get(self, request: HttpRequest) -> StreamingHttpResponse:
        return _csv("aged-debtors", DEBTORS, self._rows())

    def _rows(self) -> Iterator[list[str]]:
        for name, email, currency, *ages in aged(clock.today()).iterator():
            amounts = [_exact(age, currency) for age in ages]
            yield [harmless(name), harmless(email), currency, *map(str, amounts), str(sum(amounts, Decimal(0)))]


def _exact(amount: Decimal | None, currency: str) -> Decimal:
    """SQLite adds in binary."""
    return money.tidy(Decimal(amount or 0).quantize(Decimal("0.001")), currency)

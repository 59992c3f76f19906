"""Who owes what, by age: plans, requests for money and invoices together, as CSV for the bookkeeper."""

from __future__ import annotations

import csv
import datetime
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, F, Q, QuerySet, Sum
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest, StreamingHttpResponse
from django.views.generic import View

from checkout import clock, money, states
from checkout.models import CustomerPayment, Debt, ObjectPaymentPlanInstalment
from checkout.office import selectors
from checkout.office.book_figures import exact
from checkout.office.views.base import StaffMixin
from checkout.services import numbering
from checkout.spreadsheets import harmless

#: (name, e-mail address, currency)
Debtor = tuple[str, str, str]
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


def _requests() -> Iterator[tuple[Debtor, datetime.date, Decimal]]:
    """What staff asked for and nobody has paid, from the day on which they asked."""
    unpaid = CustomerPayment.objects.filter(Q(state__in=states.UNPAID), withdrawn_at=None).select_related("customer")
    kind = ContentType.objects.get_for_model(CustomerPayment)
    paid = Debt.objects.filter(content_type=kind, paid__gt=0).values_list("object_id", "paid")
    came = dict(paid.filter(object_id__in=unpaid.annotate(key=Cast("pk", CharField())).values("key")))
    for row in unpaid.order_by("pk").iterator(chunk_size=1000):
        left = row.total - came.get(str(row.pk), Decimal(0))
        yield (row.customer.name, row.customer.email, row.currency), clock.on_the_wall(row.created_at), left


def _invoices() -> Iterator[tuple[Debtor, datetime.date, Decimal]]:
    """Invoices that are not paid, from the day on which they were asked for."""
    for row in selectors.unpaid_invoices().order_by("pk").iterator(chunk_size=1000):
        name, _bracket, email = row.payer.rpartition(" <")
        payer = (name, email.rstrip(">")) if name else (row.payer, "")
        yield (*payer, row.currency), numbering.paid_on(row), row.total or Decimal(0)


def debtors(today: datetime.date) -> dict[Debtor, list[Decimal]]:
    """(name, address, currency) -> what is overdue, by age. As many rows as debtors are held in memory, not as many as
    there are payments."""
    found: dict[Debtor, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * (len(AGES) + 1))
    for name, email, currency, *sums in aged(today).iterator():
        found[name or "", email or "", currency] = [exact(each) for each in sums]
    for debtor, day, left in itertools.chain(_requests(), _invoices()):
        if left > 0 and day < today:
            days = (today - day).days
            found[debtor][sum(days > age for age in AGES)] += left
    return dict(sorted(found.items()))


class AgedDebtorsView(StaffMixin, View):
    permission = "checkout.view_objectpaymentplaninstalment"
    menu = "checkout.books"

    def get(self, request: HttpRequest) -> StreamingHttpResponse:
        return _csv("aged-debtors", DEBTORS, self._rows())

    def _rows(self) -> Iterator[list[str]]:
        for (name, email, currency), ages in debtors(clock.today()).items():
            amounts = [money.tidy(age, currency) for age in ages]
            yield [harmless(name), harmless(email), currency, *map(str, amounts), str(sum(amounts, Decimal(0)))]

"""The look ahead: payments that will not come as things stand, and what each month is expected to bring."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from dateutil.relativedelta import relativedelta
from django.db import transaction
from django.db.models import DecimalField, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from checkout import clock, money, states
from checkout.models import Debt, Forecast, ObjectPaymentPlan, ObjectPaymentPlanInstalment

MONTHS: Final = 7
_CARD: Final = "object_payment_plan__agreement__saved_card"

#: Why a payment may not come, by the name of its filter.
NO_CARD: Final = Q(object_payment_plan__agreement=None) | Q(**{f"{_CARD}__gone": True}) | ~Q(
    **{f"{_CARD}__detached_at": None}
)  # fmt: skip
RUNS_OUT: Final = Q(**{f"{_CARD}__expiry_date__lt": F("due")})
PAUSED: Final = Q(object_payment_plan__paused=True)


def too_small(currencies: Iterable[str]) -> Q:
    """Parts have come, and what is left is less than Stripe takes. The few debts of which a part has come have an index
    of their own and are looked for there: a join would read the debts of all lines to come."""
    found = Q(pk=None)
    part_paid = Debt.objects.filter(pk=OuterRef("debt"), paid__gt=0, paid__lt=F("owed"))
    for currency in currencies:
        least = money.from_minor(money.minimum_minor(currency), currency)
        left = part_paid.filter(owed__lt=F("paid") + least)
        found |= Q(object_payment_plan__currency=currency) & Q(Exists(left))
    return found


def to_come() -> QuerySet[ObjectPaymentPlanInstalment]:
    """Lines of live plans that are due today or later, and that nobody has tried to take."""
    return ObjectPaymentPlanInstalment.objects.filter(
        Q(state=states.PENDING), due__gte=clock.today(), object_payment_plan__deleted=False
    )


def at_risk(currencies: Iterable[str]) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Those of them that cannot be taken on their day as things stand. `currencies` are those of the plans."""
    return to_come().filter(NO_CARD | RUNS_OUT | PAUSED | too_small(currencies))


def why(line: ObjectPaymentPlanInstalment) -> str:
    """Why it may not come, in the office's words; empty when it will."""
    plan = line.object_payment_plan
    card = plan.card
    if card is None:
        return _("There is no card that may be charged.")
    if plan.paused:
        return _("The bank disputes a payment of this plan.")
    if card.expiry_date is not None and card.expiry_date < line.due:
        return _("The card runs out on %(day)s, before this payment.") % {
            "day": date_format(card.expiry_date, _("j M Y"))
        }
    if line.left < money.from_minor(money.minimum_minor(plan.currency), plan.currency):
        return _("What is left is less than Stripe takes.")
    return ""


def look() -> int:
    """Write down what each of the next months is expected to bring, and how much of that is shaky; how many rows. Run
    nightly; the overview reads the rows."""
    first = clock.today().replace(day=1)
    end = first + relativedelta(months=MONTHS)
    currencies = set(ObjectPaymentPlan.objects.order_by().values_list("currency", flat=True).distinct())
    expected = _by_month(to_come().filter(due__lt=end))
    shaky = _by_month(at_risk(currencies).filter(due__lt=end))
    rows = [
        Forecast(currency=currency, month=month, expected=amount, shaky=shaky.get((currency, month), Decimal(0)))
        for (currency, month), amount in expected.items()
    ]
    with transaction.atomic():
        Forecast.objects.all().delete()
        Forecast.objects.bulk_create(rows)
    return len(rows)


def _by_month(rows: QuerySet[ObjectPaymentPlanInstalment]) -> dict[tuple[str, datetime.date], Decimal]:
    left = Coalesce(F("debt__owed") - F("debt__paid"), F("amount"), output_field=DecimalField(decimal_places=3))
    sums: dict[tuple[str, datetime.date], Decimal] = defaultdict(Decimal)
    days = rows.order_by().values_list("object_payment_plan__currency", "due").annotate(missing=Sum(left))
    for currency, due, amount in days:
        sums[(currency, due.replace(day=1))] += amount or 0
    return sums

"""Everything that one payer owes and has paid, whatever the way: plans, requests, payments at once, invoices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from checkout import actions, states
from checkout.models import (
    Checkout,
    Customer,
    CustomerPayment,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Posting,
    SavedCard,
)
from checkout.office import selectors, sums
from checkout.office.search import Words

#: So many of each kind are read, the newest; nobody has more.
AT_MOST = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is or was owed. Money in whole units of `currency`; `paid` is net of `back`."""

    row: Any
    name: str
    currency: str
    agreed: Decimal
    paid: Decimal
    back: Decimal
    left: Decimal
    state: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    plans: list[Entry]
    requests: list[Entry]
    #: Payments at once and invoices.
    others: list[Entry]

    @property
    def entries(self) -> list[Entry]:
        return [*self.plans, *self.requests, *self.others]

    @property
    def totals(self) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
        """By currency: paid net, went back, left to pay."""
        found: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
        for entry in self.entries:
            amounts = (entry.paid, entry.back, entry.left)
            found[entry.currency] = [a + b for a, b in zip(found[entry.currency], amounts, strict=True)]
        return {currency: (paid, back, left) for currency, (paid, back, left) in sorted(found.items())}


def attempts_of(customer: Customer) -> QuerySet[Checkout]:
    """Every attempt of a payer: by their row, and those of payers without a login, who gave their address."""
    theirs = Q(customer=customer)
    for email in [customer.email, *customer.merged.order_by("pk").values_list("email", flat=True)]:
        typed = Checkout.objects.filter(Words(email, "payer", "description")).filter(
            Q(payer__iendswith=f"<{email}>") | Q(payer__iexact=email)
        )
        theirs |= Q(pk__in=typed.order_by().values("pk"))
    return Checkout.objects.filter(theirs)


def account(customer: Customer) -> Account:
    """In a number of queries that does not grow."""
    return Account(_plans(customer), _requests(customer), _others(customer))


def _plans(customer: Customer) -> list[Entry]:
    rows = list(
        ObjectPaymentPlan.objects.filter(customer=customer).select_related("payment_plan").order_by("-pk")[:AT_MOST]
    )
    progress, moved = selectors.progress(row.pk for row in rows), sums.of_plans(row.pk for row in rows)
    entries = []
    for row in rows:
        here = progress.get(row.pk) or selectors.Progress()
        back = moved.get(row.pk, sums.NOTHING).back
        name = f"{_('Plan %(number)d') % {'number': row.pk}}, {row.payment_plan.name}"
        entries.append(Entry(row, name, row.currency, row.total, here.paid, back, here.left))
    return entries


def _requests(customer: Customer) -> list[Entry]:
    rows = list(customer.payments.order_by("-pk")[:AT_MOST])
    moved = sums.of_requests(row.pk for row in rows)
    entries = []
    for row in rows:
        here, unpaid = moved.get(row.pk, sums.NOTHING), row.is_to_pay
        left = max(row.total - here.kept, Decimal(0)) if unpaid else Decimal(0)
        entries.append(
            Entry(row, row.description, row.currency, row.total, here.kept, here.back, left, row.state_id or "")
        )
    return entries


def _others(customer: Customer) -> list[Entry]:
    """Attempts that are for neither a plan nor a request: those that took money, and invoices that wait for it."""
    ours = [ContentType.objects.get_for_model(model) for model in (ObjectPaymentPlanInstalment, CustomerPayment)]
    attempts = attempts_of(customer).exclude(content_type__in=ours).filter(Q(state=states.SUCCESS))
    took = Q(action__in=actions.TAKES_MONEY)
    unpaid = Q(pk__in=selectors.unpaid_invoices().filter(pk__in=attempts.order_by().values("pk")).values("pk"))
    rows = list(attempts.filter(took | unpaid).order_by("-pk")[:AT_MOST])
    moved = sums.of_attempts(row.pk for row in rows)
    entries = []
    for row in rows:
        here, total = moved.get(row.pk, sums.NOTHING), row.total or Decimal(0)
        left = total if row.is_invoice else Decimal(0)
        name = ", ".join(row.description_lines)
        entries.append(Entry(row, name, row.currency, total, here.kept, here.back, left, row.state_id or ""))
    return entries


def movements(account: Account) -> list[tuple[Posting, Any]]:
    """What came and went back on all of it, oldest first, each with the plan, the request or the attempt."""
    kind = ContentType.objects.get_for_model(CustomerPayment)
    of_plans = Q(debt__instalment__object_payment_plan__in=[entry.row.pk for entry in account.plans])
    of_requests = Q(debt__content_type=kind, debt__object_id__in=[str(entry.row.pk) for entry in account.requests])
    of_others = Q(checkout__in=[entry.row.pk for entry in account.others])
    found: list[tuple[Posting, Any]] = []
    # One query each: the three in one would read the whole table.
    for about, entries, key in (
        (of_plans, account.plans, F("debt__instalment__object_payment_plan")),
        (of_requests, account.requests, F("debt__object_id")),
        (of_others, account.others, F("checkout")),
    ):
        rows = {str(entry.row.pk): entry.row for entry in entries}
        postings = Posting.objects.filter(about, kind__in=Posting.CAME | Posting.WENT_BACK).annotate(about=key)
        found += [(posting, rows[str(posting.about)]) for posting in postings.select_related("debt").order_by("pk")]
    return sorted(found, key=lambda pair: (pair[0].day, pair[0].pk))


def same_card(cards: Iterable[SavedCard]) -> list[Customer]:
    """Other customers who have one of these cards."""
    known = [card for card in cards if card.fingerprint]
    prints = {card.fingerprint for card in known}
    if not prints:
        return []
    theirs = SavedCard.objects.filter(fingerprint__in=prints).exclude(customer__in={card.customer_id for card in known})
    return list(Customer.objects.filter(pk__in=theirs.order_by().values("customer")).order_by("pk")[:10])

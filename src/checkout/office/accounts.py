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
    PlanChange,
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
    customer: Customer
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
    # As a union: with OR between them a database reads every attempt that there is.
    theirs = Checkout.objects.filter(customer=customer).order_by().values("pk")
    typed = []
    for email in [customer.email, *customer.merged.order_by("pk").values_list("email", flat=True)]:
        found = Checkout.objects.filter(Words(email, "payer", "description", whole=True)).filter(
            Q(payer__iendswith=f"<{email}>") | Q(payer__iexact=email)
        )
        typed.append(found.order_by().values("pk"))
    return Checkout.objects.filter(pk__in=theirs.union(*typed))


def account(customer: Customer) -> Account:
    """In a number of queries that does not grow."""
    return Account(customer, _plans(customer), _requests(customer), _others(customer))


def _plans(customer: Customer) -> list[Entry]:
    """Of a plan that another payer took over, each has their own part: what they paid, and whoever pays now what is
    left."""
    paid_before = PlanChange.objects.filter(former_payer=customer, state=PlanChange.State.IN_FORCE)
    theirs = ObjectPaymentPlan.objects.filter(customer=customer).order_by().values("pk")
    plans = ObjectPaymentPlan.objects.filter(pk__in=theirs.union(paid_before.order_by().values("plan")))
    rows = list(plans.select_related("payment_plan").order_by("-pk")[:AT_MOST])
    progress, moved = selectors.progress(rows), sums.of_plans(row.pk for row in rows)
    parts = {pk: sums.of(postings) for pk, postings in _parts(customer, rows).items()}
    entries = []
    for row in rows:
        here = progress.get(row.pk) or selectors.Progress()
        name = f"{_('Plan %(number)d') % {'number': row.pk}}, {row.payment_plan.name}"
        agreed, paid, back, left = row.total, here.paid, moved.get(row.pk, sums.NOTHING).back, here.left
        if row.pk in parts:
            part = parts[row.pk]
            left = here.left if row.customer_id == customer.pk else Decimal(0)
            agreed, paid, back = part.kept + left, part.kept, part.back
            name = _("%(plan)s (in part: it was taken over by another payer)") % {"plan": name}
        entries.append(Entry(row, name, row.currency, agreed, paid, back, left))
    return entries


def _parts(customer: Customer, plans: Iterable[ObjectPaymentPlan]) -> dict[int, list[Posting]]:
    """Of each plan that was taken over: what came from this payer, and went back to them."""
    taken_over = {plan.pk: plan for plan in plans if plan.taken_over_at is not None}
    found: dict[int, list[Posting]] = {pk: [] for pk in taken_over}
    if not taken_over:
        return found
    changes = PlanChange.objects.filter(plan__in=taken_over, kind="payer", state=PlanChange.State.IN_FORCE)
    before: dict[int, list[PlanChange]] = defaultdict(list)
    for change in changes.order_by("decided_at"):
        before[change.plan_id].append(change)
    plan_of = F("debt__instalment__object_payment_plan")
    rows = Posting.objects.filter(debt__instalment__object_payment_plan__in=taken_over)
    rows = rows.filter(kind__in=Posting.CAME | Posting.WENT_BACK).annotate(about=plan_of)
    for posting in rows.select_related("debt", "checkout").order_by("pk"):
        if _whose(posting, taken_over[posting.about], before[posting.about]) == customer.pk:
            found[posting.about].append(posting)
    return found


def _whose(posting: Posting, plan: ObjectPaymentPlan, changes: Iterable[PlanChange]) -> int | None:
    """Whose money moved: the customer of the attempt, else whoever was the payer when it was begun."""
    attempt = posting.checkout
    if attempt is not None and attempt.customer_id is not None:
        return attempt.customer_id
    begun = attempt.created_at if attempt is not None else posting.at
    earlier = (change for change in changes if change.decided_at is not None and begun < change.decided_at)
    change = next(earlier, None)
    return change.former_payer_id if change is not None else plan.customer_id


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
    rows = list(attempts.filter(took | selectors.is_unpaid_invoice()).order_by("-pk")[:AT_MOST])
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
    parts = _parts(account.customer, [entry.row for entry in account.plans])
    whole = [entry for entry in account.plans if entry.row.pk not in parts]
    of_plans = Q(debt__instalment__object_payment_plan__in=[entry.row.pk for entry in whole])
    of_requests = Q(debt__content_type=kind, debt__object_id__in=[str(entry.row.pk) for entry in account.requests])
    of_others = Q(checkout__in=[entry.row.pk for entry in account.others])
    found: list[tuple[Posting, Any]] = [
        (posting, entry.row) for entry in account.plans for posting in parts.get(entry.row.pk, ())
    ]
    # One query each: the three in one would read the whole table.
    for about, entries, key in (
        (of_plans, whole, F("debt__instalment__object_payment_plan")),
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

"""What a run would take, without touching anything: for `process_payments --dry-run`, for the page of the next run, and
for the release that a second person gives. All three read the same lines."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db.models import Q, QuerySet, prefetch_related_objects
from django.utils.translation import gettext as _

from checkout import clock, states
from checkout.contract import Actor
from checkout.models import ObjectPaymentPlanInstalment, PaymentPlan, Problem, RunRelease
from checkout.services import recovery, releases, runs

#: So many lines are read at a time.
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class DryRunLine:
    """What a run would do with one instalment. `warning` is why it is likely to fail, or empty; `refusal` why it is not
    even asked for; `waits` is true of what needs a release that it does not have."""

    instalment: ObjectPaymentPlanInstalment
    payer: str
    card: str
    warning: str
    refusal: str = ""
    waits: bool = False


def lines(day: datetime.date) -> QuerySet[ObjectPaymentPlanInstalment]:
    """What is due by a day: of live plans, not asked for yet or to be tried again. Also what will be left out, so that
    somebody sees why."""
    again = recovery.due_steps(day).order_by().values("instalment")
    rows = ObjectPaymentPlanInstalment.objects.filter(
        Q(state=states.PENDING, due__lte=day) | Q(pk__in=again),
        deposit=False,
        object_payment_plan__deleted=False,
    )
    return rows.select_related(
        "object_payment_plan__customer",
        "object_payment_plan__payment_plan",
        "object_payment_plan__agreement__saved_card__customer",
        "debt",
    )


def to_take(day: datetime.date) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Of these what a run of that day asks for, if it is released where it has to be."""
    return lines(day).filter(object_payment_plan__paused=False)


def gate(day: datetime.date) -> releases.Gate:
    return releases.gate(to_take(day), day)


def describe(rows: Iterable[ObjectPaymentPlanInstalment], gate_of_day: releases.Gate) -> list[DryRunLine]:
    """What would become of these lines on the day of the gate. A fixed number of queries."""
    page = list(rows)
    prefetch_related_objects(page, "object_payment_plan__content_object")
    these = ObjectPaymentPlanInstalment.objects.filter(pk__in=[row.pk for row in page])
    waiting = set() if gate_of_day.is_open else set(gate_of_day.keep_back(these).values_list("pk", flat=True))
    debts = [row.debt_id for row in page if row.debt_id is not None]
    in_trouble = set(
        Problem.objects.filter(closed_at=None, checkout__debt__in=debts).values_list("checkout__debt", flat=True)
    )
    return [_line(row, gate_of_day.day, row.pk in waiting, has_problem=row.debt_id in in_trouble) for row in page]


def dry_run(
    *,
    limit: int | None = None,
    max_total: Decimal | None = None,
    payment_plan: PaymentPlan | None = None,
    currency: str = "",
) -> Iterator[DryRunLine]:
    """What `process_payments` with the same options would take today, the longest due first. What is tried again after
    a decline is due again when the run begins. Reads only, and never Stripe."""
    today = gate(clock.today())
    rows = runs.chosen(to_take(today.day), payment_plan, currency).order_by("due", "pk")
    if max_total is not None:
        runs.check_one_currency(rows, currency)
    total = Decimal(0)
    count = 0
    for line in _described(rows, today):
        if not line.waits:
            if limit is not None and count >= limit:
                return
            if not line.refusal:
                if max_total is not None and total + line.instalment.left > max_total:
                    return
                total += line.instalment.left
                count += 1
        yield line


def _described(rows: QuerySet[ObjectPaymentPlanInstalment], today: releases.Gate) -> Iterator[DryRunLine]:
    """Page by page, by (due, pk)."""
    page = list(rows[:PAGE])
    while page:
        yield from describe(page, today)
        due, pk = page[-1].due, page[-1].pk
        page = list(rows.filter(Q(due__gt=due) | Q(due=due, pk__gt=pk))[:PAGE])


def _line(instalment: ObjectPaymentPlanInstalment, day: datetime.date, waits: bool, *, has_problem: bool) -> DryRunLine:
    plan = instalment.object_payment_plan
    customer, card = plan.customer, plan.card
    refusal = runs.trouble(instalment, account="")
    if not refusal and plan.paused:
        refusal = _("The plan is paused, because a payer's bank disputes a payment of it.")
    warning = refusal
    if not warning and card is not None:
        if card.expiry_date is not None and card.expiry_date < day:
            warning = _("The card has expired.")
        elif card.refresh:
            warning = _("The payer was asked for a new card.")
        elif has_problem:
            warning = _("A problem about it is open.")
    return DryRunLine(
        instalment,
        payer=str(customer or instalment.checkout_email),
        card=card.description if card is not None else "",
        warning=warning,
        refusal=refusal,
        waits=waits and not refusal,
    )


def ask_for_release(day: datetime.date, currency: str, user: Actor, note: str = "") -> RunRelease:
    """Ask a colleague to release what a run of that day would take in one currency, as it stands now. Raises
    CheckoutError when there is nothing."""
    rows = to_take(day).filter(object_payment_plan__currency=currency).order_by("pk")
    shown = ((line.instalment.pk, line.instalment.left) for line in describe(rows, gate(day)) if not line.refusal)
    return releases.ask(day, currency, shown, user, note)

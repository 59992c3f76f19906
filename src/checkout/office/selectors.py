"""Questions that the staff pages ask: bounded counts, pages by key, and no query per row."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from post_office.models import Email

from checkout import actions, clock, states
from checkout.contract import ContentObject
from checkout.models import (
    Checkout,
    Customer,
    Debt,
    FollowUp,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentRun,
    PaymentRunItem,
    SavedCard,
    StripeEvent,
)
from checkout.office import sums
from checkout.services import ahead

# -- pages ----------------------------------------------------------------------------------------------


# -- search ---------------------------------------------------------------------------------------------


# -- lists ----------------------------------------------------------------------------------------------


def checkouts() -> QuerySet[Checkout]:
    return Checkout.objects.select_related("action", "state")


def overdue_lines(*, of_stopped: bool | None = False) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Lines whose day has passed and that are not paid; of live plans, of stopped ones, or (None) of both."""
    rows = ObjectPaymentPlanInstalment.objects.filter(Q(state__in=states.UNPAID), due__lt=clock.today())
    return rows if of_stopped is None else rows.filter(object_payment_plan__deleted=of_stopped)


def to_do(show: str = "open") -> QuerySet[ObjectPaymentPlanInstalment]:
    """Overdue lines of live plans with something left: `open` (somebody has to look), `promised` (their day has not
    come), `put_off`, `done` (until they are declined anew) or `all`."""
    rows = (
        overdue_lines()
        .filter(_is_owed())
        .select_related(
            "object_payment_plan__customer",
            "object_payment_plan__agreement__saved_card",
            "debt",
        )
        # One more join, and PostgreSQL thinks for longer than it reads.
        .prefetch_related("follow_up")
    )
    promised = Q(promised_for__gt=clock.today())
    put_off = Q(snoozed_until__gt=clock.today())
    done = Q(done_at__isnull=False)
    match show:
        case "promised":
            return rows.filter(pk__in=FollowUp.objects.filter(promised).values("instalment"))
        case "put_off":
            return rows.filter(pk__in=FollowUp.objects.filter(put_off).values("instalment"))
        case "done":
            return rows.filter(pk__in=FollowUp.objects.filter(done).values("instalment"))
        case "all":
            return rows
        case _:
            known = FollowUp.objects.filter(promised | put_off | done, instalment=OuterRef("pk"))
            return rows.filter(~Exists(known))


def _is_owed() -> Q:
    """Whether the row in hand has no debt, or one of which something is left. As a question of its own: with a join
    PostgreSQL believes that few rows are left, and reads and sorts them all instead of stopping at the page's end. In
    an OR, so that it is answered from the index of such debts before anything else is read of the row."""
    return Q(debt=None) | Q(Exists(Debt.objects.filter(pk=OuterRef("debt"), paid__lt=F("owed"))))


def may_not_come() -> QuerySet[ObjectPaymentPlanInstalment]:
    """Lines to come that cannot be taken on their day as things stand."""
    ends = ObjectPaymentPlan.objects.aggregate(Min("currency"), Max("currency"))
    known = {code for code in ends.values() if code}
    if len(known) > 1:
        known |= set(ObjectPaymentPlan.objects.order_by().values_list("currency", flat=True).distinct())
    return ahead.at_risk(known).select_related(
        "object_payment_plan__customer",
        "object_payment_plan__agreement__saved_card",
        "debt",
    )


def newest_attempts(lines: Iterable[ObjectPaymentPlanInstalment]) -> dict[int, Checkout]:
    """The newest attempt at each of these lines that says something, by the line's primary key, in one query."""
    keys = [str(line.pk) for line in lines]
    attempts = Checkout.objects.filter(
        content_type=ContentType.objects.get_for_model(ObjectPaymentPlanInstalment),
        object_id__in=keys,
        superseded=False,
    )
    return {int(attempt.object_id): attempt for attempt in attempts.order_by("pk")}


def to_look_at() -> QuerySet[Checkout]:
    """One row for each debt that somebody has tried to pay and that is still owed: its newest attempt, failed or
    waiting."""
    newer = Checkout.objects.filter(
        content_type=OuterRef("content_type"), object_id=OuterRef("object_id"), pk__gt=OuterRef("pk")
    )
    return Checkout.objects.filter(
        _is_owed(),
        ~Q(state=states.SUCCESS),
        ~Exists(newer),
        superseded=False,
    )


def is_unpaid_invoice() -> Q:
    """Whether an attempt is an invoice that was asked for, and for whose row no money has come."""
    paid = Checkout.objects.paid()
    paid = paid.filter(content_type=OuterRef("content_type"), object_id=OuterRef("object_id"))
    return Q(~Exists(paid), state=states.SUCCESS, action=actions.INVOICE)


def unpaid_invoices() -> QuerySet[Checkout]:
    return Checkout.objects.filter(is_unpaid_invoice())


def _unpaid(**about: Any) -> QuerySet[ObjectPaymentPlanInstalment]:
    return ObjectPaymentPlanInstalment.objects.filter(~Q(state=states.SUCCESS), **about)


def plans(show: str = "live") -> QuerySet[ObjectPaymentPlan]:
    """Agreed plans: `live` (something is still to pay), `overdue`, `waiting` (for its payer), `paused`, `finished` or
    `stopped`."""
    rows = ObjectPaymentPlan.objects.select_related("customer", "payment_plan")
    unpaid = _unpaid(object_payment_plan=OuterRef("pk"))
    match show:
        case "overdue":
            lines = overdue_lines(of_stopped=None)
            return rows.filter(deleted=False, pk__in=lines.values("object_payment_plan"))
        case "waiting":
            lines = ObjectPaymentPlanInstalment.objects.filter(Q(state=states.PAY_ON_SESSION))
            return rows.filter(deleted=False, pk__in=lines.values("object_payment_plan"))
        case "paused":
            return rows.filter(deleted=False, paused=True)
        case "finished":
            return rows.filter(~Exists(unpaid), deleted=False)
        case "stopped":
            return rows.filter(deleted=True)
        case _:
            return rows.filter(Exists(unpaid), deleted=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a plan has come. Money in the plan's currency; `paid` is net of what went back, `left` is still to
    come: nothing of a plan that was stopped."""

    lines: int = 0
    paid_lines: int = 0
    paid: Decimal = Decimal(0)
    next_due: datetime.date | None = None
    left: Decimal = Decimal(0)


def progress(plans: Iterable[ObjectPaymentPlan]) -> dict[int, Progress]:
    """How far each of these plans has come, by its primary key, in one query. It reads lines and debts only: whether a
    plan was stopped is known."""
    stopped = {plan.pk: plan.deleted for plan in plans}
    over = Q(state=states.SUCCESS)
    # One that was written off or taken off is over, and was not paid.
    paid = over & Q(ended="")
    rows = (
        ObjectPaymentPlanInstalment.objects.filter(object_payment_plan__in=list(stopped))
        .order_by()
        .values_list("object_payment_plan")
        .annotate(
            lines=Count("pk", filter=Q(ended="")),
            paid_lines=Count("pk", filter=paid),
            # Net of what was given back, as `net_paid` of a line.
            paid=Sum(Coalesce("debt__paid", Case(When(paid, then="amount"), default=Value(Decimal(0))))),
            next_due=Min("due", filter=~over),
            left=Sum(sums.LEFT, filter=~over),
        )
    )
    return {
        pk: Progress(lines, done, sum_paid or Decimal(0), due, Decimal(0) if stopped[pk] else left or Decimal(0))
        for pk, lines, done, sum_paid, due, left in rows
    }


def card_expiry() -> QuerySet[ObjectPaymentPlan]:
    """Outstanding plans by the day their card runs out; those without a known card are not in it."""
    lines = ObjectPaymentPlanInstalment.objects.filter(Q(state__in=states.UNPAID), object_payment_plan=OuterRef("pk"))
    rows = ObjectPaymentPlan.objects.report_card_expiry_dates.filter(agreement__saved_card__expiry_date__isnull=False)
    return rows.annotate(last_due=Subquery(lines.order_by("-due").values("due")[:1]))


def customers() -> QuerySet[Customer]:
    """Each with `good_cards`, the newest first, in one more query for all of them; not those that were merged."""
    return with_cards(Customer.objects.filter(merged_into=None))


def with_cards(rows: QuerySet[Customer]) -> QuerySet[Customer]:
    return rows.prefetch_related(Prefetch("saved_cards", queryset=SavedCard.objects.good(), to_attr="good_cards"))


def run_counts(run_pks: Iterable[int]) -> dict[int, dict[str, int]]:
    """Run -> outcome -> number, in one query."""
    found: dict[int, dict[str, int]] = {}
    rows = (
        PaymentRunItem.objects.filter(payment_run__in=list(run_pks))
        .order_by()
        .values_list("payment_run", "outcome")
        .annotate(Count("pk"))
    )
    for run, outcome, number in rows:
        found.setdefault(run, {})[outcome] = number
    return found


def run_items(run: PaymentRun) -> QuerySet[PaymentRunItem]:
    return PaymentRunItem.objects.filter(payment_run=run).select_related(
        "instalment__object_payment_plan__customer", "checkout"
    )


def events() -> QuerySet[StripeEvent]:
    """Events of Stripe's that nobody could handle yet, newest first."""
    return StripeEvent.objects.filter(handled_at__isnull=True)


# -- one story ------------------------------------------------------------------------------------------


def attempts(content_object: ContentObject) -> QuerySet[Checkout]:
    """Every attempt at one debt, newest first."""
    return Checkout.objects.asking_for(content_object).select_related("action", "state")


def queued_mails(recipient: str, limit: int = 20) -> list[Email]:
    """The newest mails to one address, with their templates."""
    return list(Email.objects.filter(to__iexact=recipient).select_related("template").order_by("-pk")[:limit])

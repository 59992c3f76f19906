"""What a change of a plan would do, worked out from its lines as they stand, before anything is done."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from checkout import clock, plan_changes, plan_rules, states
from checkout.conf import conf
from checkout.errors import PlanError
from checkout.models import (
    Checkout,
    Customer,
    Debt,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    Posting,
)
from checkout.plan_changes import Kind, Line
from checkout.services import debts, recovery

logger = logging.getLogger("checkout.plans")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do, before anything is done."""

    kind: Kind
    before: list[Line]
    after: list[Line]
    #: By how much more is owed (less: negative).
    by: Decimal
    favours_payer: bool
    #: Attempts that are open at the lines it changes; they are ended first.
    open_attempts: list[Checkout]
    #: What law or a card network may not allow, and the plan as it stands did.
    outside: list[plan_rules.Rule]
    #: What `propose` is given as `seen`, so that nothing else is done than what was looked at.
    seen: str


def lines_of(plan: ObjectPaymentPlan) -> list[Line]:
    """The lines of a plan as they stand, by their numbers."""
    rows = list(plan.payments.select_related("debt", "object_payment_plan"))
    debts.open_lines(rows)
    return [line_of(row, row.debt) for row in rows]


def line_of(row: ObjectPaymentPlanInstalment, debt: Debt | None) -> Line:
    owed, paid = (debt.owed, debt.paid) if debt is not None else (row.amount, row.net_paid)
    state = row.state_id or states.PENDING
    return Line(
        row.pk, row.count, row.due, owed.normalize() + 0, paid.normalize() + 0, state, row.replaces_id, row.ended
    )


def up_to_date(change: PlanChange) -> tuple[list[Line], list[Line]]:
    """The lines before and after a change that waits: those that it leaves alone as they stand now, for they may have
    been paid since it was proposed."""
    before, after = change.lines_before, change.lines_after
    changed = plan_changes.touched(before, after)
    now = {line.pk: line for line in lines_of(change.plan) if line.pk not in changed}
    return [now.get(line.pk, line) for line in before], [now.get(line.pk, line) for line in after]


def was_paid_otherwise(plan: ObjectPaymentPlan) -> bool:
    """Whether money came for the row of a plan since that was stopped, at once or by another plan, and stayed."""
    key = {"content_type": plan.content_type_id, "object_id": plan.object_id}
    others = ObjectPaymentPlan.objects.filter(**key).exclude(pk=plan.pk)
    came = Posting.objects.filter(
        Q(debt__in=Debt.objects.filter(**key)) | Q(debt__instalment__object_payment_plan__in=others)
    ).exclude(kind__in=Posting.OWES)
    if plan.deleted_at is not None:
        came = came.filter(at__gte=plan.deleted_at)
    total: Decimal = came.aggregate(sum=Sum("amount", default=Decimal(0)))["sum"]
    return total > 0


def paid_otherwise() -> str:
    """Why a plan that was stopped does not go on, for its payer and for staff."""
    return _("It was paid in another way since the plan was stopped, so the plan does not go on. Nothing was changed.")


def preview(plan: ObjectPaymentPlan, kind: str, **terms: Any) -> Preview:
    """What `propose` would do with the same terms. Raises PlanError or MoneyError, with a sentence for staff, when it
    would be refused."""
    plan.refresh_from_db()
    before = lines_of(plan)
    _check_plan(plan, Kind(kind), before)
    after, by = _work_out(plan, Kind(kind), before, terms)
    changed = plan_changes.touched(before, after)
    rows = plan.instalments.filter(pk__in=changed)
    attempts = [each for row in rows for each in Checkout.objects.asking_for(row).one_at_a_time().open()]
    if kind == Kind.REOPEN and plan.content_object is not None:
        attempts += Checkout.objects.for_content_object(plan.content_object).one_at_a_time().open()
    favours = not plan.deleted and plan_changes.favours_payer(before, after)
    # Of a plan that was stopped nothing was to come any more.
    favours = favours or kind == Kind.WRITE_OFF
    # Whoever is to pay from now on agrees by giving a card of their own.
    favours = favours and kind != Kind.PAYER
    outside = _outside(plan, Kind(kind), before, after, by, terms)
    if outside and conf.CHECKOUT_PLAN_RULES == "refuse":
        raise PlanError(" ".join(f"{rule.says} ({rule.source})" for rule in outside))
    return Preview(Kind(kind), before, after, by, favours, attempts, outside, _seen(plan, before, after))


def _outside(
    plan: ObjectPaymentPlan, kind: Kind, before: list[Line], after: list[Line], by: Decimal, terms: dict[str, Any]
) -> list[plan_rules.Rule]:
    if conf.CHECKOUT_PLAN_RULES == "off":
        return []
    does = change_to_undo(plan, terms["number"]).kind if kind == Kind.UNDO else kind
    of_plan = Posting.objects.filter(debt__instalment__object_payment_plan=plan, kind=Posting.Kind.FEE)
    price = plan.total - sum(of_plan.values_list("amount", flat=True), Decimal(0))
    about: dict[str, Any] = {
        "agreed_on": timezone.localdate(plan.created_at),
        "country": plan_rules.country_of(str(getattr(plan.content_object, "checkout_country", "")), plan.currency),
        "today": clock.today(),
    }
    stood = plan_rules.broken(_payments(before), price=price, **about)
    price += by if does == Kind.DISCOUNT else 0
    return [rule for rule in plan_rules.broken(_payments(after), price=price, **about) if rule not in stood]


def _payments(lines: Sequence[Line]) -> list[tuple[datetime.date, Decimal]]:
    """What was paid, and what is to come."""
    amounts = [(line.due, line.owed if line.is_open else line.paid) for line in lines]
    return [(due, amount) for due, amount in amounts if amount > 0]


def _seen(plan: ObjectPaymentPlan, before: Sequence[Line], after: Sequence[Line]) -> str:
    stands = [plan.version, plan.deleted, [line.as_data() for line in before], [line.as_data() for line in after]]
    return hashlib.sha256(json.dumps(stands).encode()).hexdigest()[:32]


def _check_plan(plan: ObjectPaymentPlan, kind: Kind, before: Sequence[Line]) -> None:
    if kind == Kind.REOPEN and not plan.deleted:
        raise PlanError(_("This plan was not stopped."))
    if kind == Kind.REOPEN and was_paid_otherwise(plan):
        raise PlanError(paid_otherwise())
    if plan.deleted and kind not in (Kind.REOPEN, Kind.WRITE_OFF):
        raise PlanError(_("This payment plan was stopped."))
    if len(before) == 1 and before[0].is_open and kind != Kind.WRITE_OFF:
        raise PlanError(
            _("The deposit of this plan is not paid yet. Stop the plan and agree another one, with other terms.")
        )


def _work_out(
    plan: ObjectPaymentPlan, kind: Kind, before: list[Line], terms: dict[str, Any]
) -> tuple[list[Line], Decimal]:
    """The lines afterwards, and by how much more is owed. Raises what `plan_changes` raises."""
    today, currency = clock.today(), plan.currency
    ways: dict[Kind, Callable[[], list[Line]]] = {
        Kind.LINES: lambda: plan_changes.rewrite(before, **terms),
        Kind.PAUSE: lambda: plan_changes.pause(before, today=today, **terms),
        Kind.PAY_DAY: lambda: plan_changes.pay_day(before, today=today, **terms),
        Kind.SPLIT: lambda: plan_changes.split(before, currency=currency, **terms),
        Kind.DISCOUNT: lambda: plan_changes.discount(before, currency=currency, **terms),
        Kind.FEE: lambda: plan_changes.fee(before, currency=currency, **terms),
        Kind.WRITE_OFF: lambda: plan_changes.write_off(before, **terms),
        Kind.OWED_AGAIN: lambda: plan_changes.owed_again(before, **terms),
        Kind.REOPEN: lambda: plan_changes.reopen(before, today=today, **terms),
        Kind.UNDO: lambda: _undo(plan, before, today, **terms),
        Kind.PAYER: lambda: _other_payer(plan, before, **terms),
    }
    wanted = ways[kind]()
    match kind:
        case Kind.DISCOUNT:
            by = -terms["amount"]
        case Kind.FEE:
            by = terms["amount"]
        case Kind.WRITE_OFF:
            by = -plan_changes.to_come(before)
        case Kind.UNDO:
            by = plan_changes.owed(wanted) - plan_changes.owed(before)
        case _:
            by = Decimal(0)
    after = _leave_what_said_no(plan, before, wanted)
    plan_changes.check(before, after, kind=kind, by=by, currency=currency, today=today)
    if list(after) == before and kind not in (Kind.PAYER, Kind.REOPEN):
        raise PlanError(_("That changes nothing."))
    return after, by


def _other_payer(plan: ObjectPaymentPlan, before: list[Line], *, name: str, email: str) -> list[Line]:
    """The same lines: only who pays them is to be another."""
    if not plan_changes.to_come(before):
        raise PlanError(_("Nothing of this plan is still to pay."))
    if not name.strip():
        raise PlanError(_("Give the name of the new payer."))
    try:
        validate_email(email.strip())
    except ValidationError as problem:
        raise PlanError(_("Give the e-mail address of the new payer.")) from problem
    known = Customer.objects.with_email(email)
    if known is not None and known.pk == plan.customer_id:
        raise PlanError(_("They pay for this plan already. Ask them for a new card instead."))
    return before


def _undo(plan: ObjectPaymentPlan, before: list[Line], today: datetime.date, *, number: int) -> list[Line]:
    former = change_to_undo(plan, number)
    after = plan_changes.undo(before, was=former.lines_before, made=former.lines_after, today=today)
    if former.kind in (Kind.DISCOUNT, Kind.FEE, Kind.WRITE_OFF):
        return after
    if plan_changes.owed(after) != plan_changes.owed(before):
        raise PlanError(_("What is owed has changed since. Make a new change instead."))
    return after


def change_to_undo(plan: ObjectPaymentPlan, number: int) -> PlanChange:
    former = PlanChange.objects.filter(plan=plan, number=number).first()
    if former is None or not former.is_in_force or former.kind not in plan_changes.UNDOABLE:
        raise PlanError(_("There is no such change that could be undone."))
    if not former.can_be_undone:
        raise PlanError(_("This change was undone already."))
    return former


def _leave_what_said_no(plan: ObjectPaymentPlan, before: Sequence[Line], after: Sequence[Line]) -> list[Line]:
    """A card that said no for good is asked again on no day: such a line keeps waiting for another card."""
    failed = {line.pk for line in before if line.state == states.FAIL and line.pk is not None}
    rows = plan.instalments.select_related("object_payment_plan__agreement__saved_card").filter(pk__in=failed)
    for_good = {row.pk for row in rows if recovery.has_said_no(row)}
    return [replace(line, state=states.FAIL) if line.pk in for_good and line.is_open else line for line in after]

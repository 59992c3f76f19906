"""Changing a plan: proposed, agreed, brought into the rows in one commit, or refused.

A change is worked out from the lines as they stand (`checkout.plan_changes`), and holds only while they still stand so:
the plan's version is counted up by one conditional UPDATE, and its lines and debts are locked and compared.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import clock, money, plan_changes
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import AlreadyPaid, AttemptInProgress, PlanError
from checkout.journal import Code, Why
from checkout.models import (
    Agreement,
    Checkout,
    Customer,
    Debt,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    Posting,
    RecoveryStep,
    StateChange,
)
from checkout.plan_changes import Kind, Line
from checkout.services import (
    attempt_rows,
    booking,
    cards,
    debts,
    due_dates,
    intents,
    moves,
    plan_previews,
    promises,
    staff_notices,
)
from checkout.services.letters import asking

logger = logging.getLogger("checkout.plans")

State = PlanChange.State

#: What is posted for a line whose debt becomes smaller or larger. What is only put on other lines moves.
POSTINGS = {
    Kind.DISCOUNT: Posting.Kind.DISCOUNT,
    Kind.FEE: Posting.Kind.FEE,
    Kind.WRITE_OFF: Posting.Kind.WRITTEN_OFF,
}


# -- proposing ----------------------------------------------------------------------------------------------


def propose(
    plan: ObjectPaymentPlan,
    kind: str,
    reason: str,
    user: Actor = None,
    *,
    seen: str | None = None,
    on_paper: bool = False,
    **terms: Any,
) -> PlanChange:
    """Change a plan. What favours its payer is in force at once, and so is what staff hold the payer's agreement to on
    paper (`on_paper`); anything else waits until the payer agrees, and the old terms hold until then. `terms` as the
    functions of `checkout.plan_changes` take them; `seen` is what a `preview` said. Another payer is asked by a link of
    their own, and `take_overs` does the rest.

    Raises PlanError or MoneyError for what cannot be, AttemptInProgress when something happened since it was looked at,
    while another change waits, or while a payment that it changes is being taken.
    """
    if not reason.strip():
        raise PlanError(_("Say why."))
    found = plan_previews.preview(plan, kind, **terms)
    if seen is not None and seen != found.seen:
        raise _overtaken()
    if PlanChange.objects.filter(plan=plan, state=State.WAITING).exists():
        raise AttemptInProgress(_("A change of this plan waits for its payer. Withdraw it first."))
    if found.kind == Kind.PAYER and on_paper:
        raise PlanError(_("The new payer gives a card of their own, so nobody can agree for them."))
    at_once = found.favours_payer or on_paper
    undoes = plan_previews.change_to_undo(plan, terms["number"]) if found.kind == Kind.UNDO else None
    change = PlanChange(
        plan=plan,
        number=plan.changes.count() + 1,
        kind=found.kind,
        undoes=undoes,
        state=State.IN_FORCE if at_once else State.WAITING,
        before=[line.as_data() for line in found.before],
        after=[line.as_data() for line in found.after],
        by=found.by,
        favours_payer=found.favours_payer,
        reason=reason.strip()[:255],
        user=actor(user),
        new_payer=_new_payer(plan, terms["name"], terms["email"]) if found.kind == Kind.PAYER else None,
    )
    if at_once:
        _end_attempts(change, user)
    try:
        with transaction.atomic():
            # The one UPDATE that decides who of two is first; on SQLite it is also the lock.
            rows = ObjectPaymentPlan.objects.filter(pk=plan.pk, version=plan.version, deleted=plan.deleted)
            if not rows.update(version=F("version") + 1):
                raise _overtaken()
            plan.refresh_from_db()
            if at_once:
                kind_of = Agreement.Kind.PAPER if on_paper and not found.favours_payer else Agreement.Kind.CHANGED
                change.agreement = _agreement(change, kind_of, change.reason, user)
                change.decided_at = clock.now()
            change.save(force_insert=True)
            if at_once:
                _bring_into_force(change, user)
            else:
                note(change, user, Why(Code.CHANGE_PROPOSED, number=change.number, note=change.reason))
                asking.change_proposed(change)  # to whoever it waits for
    except IntegrityError as error:
        raise _integrity(error) from error
    plan.refresh_from_db()
    logger.info("plan %s: change %s %s", plan.pk, change.number, change.state, extra={"plan": plan.pk})
    return change


def _new_payer(plan: ObjectPaymentPlan, name: str, email: str) -> Customer:
    """The customer of that address, made if needed: written to in the language of the plan's payer until they are known
    to use another."""
    name, email = name.strip(), email.strip()
    known = Customer.objects.with_email(email)
    customer = known or cards.ensure_customer(email, name)
    if not customer.name:
        Customer.objects.filter(pk=customer.pk, name="").update(name=name[: cards.LONGEST_NAME])
    if known is None and plan.customer is not None:
        Customer.objects.filter(pk=customer.pk).update(language=plan.customer.language)
    customer.refresh_from_db()
    return customer


def _overtaken() -> AttemptInProgress:
    return AttemptInProgress(_("Something happened to this plan since you looked at it. Please look again."))


def _integrity(error: IntegrityError) -> PlanError:
    if "undone_once" in str(error) or "undoes_id" in str(error):
        return PlanError(_("This change was undone already."))
    if "instalment_due" in str(error) or "instalment.due" in str(error):
        return due_dates.day_is_taken()
    if "one_live_plan" in str(error) or "content_type" in str(error):
        return PlanError(_("There is another payment plan for this by now. Stop that one first."))
    raise error


# -- deciding -----------------------------------------------------------------------------------------------


def agree(change: PlanChange, user: Actor = None, *, text: str = "", **where_from: Any) -> PlanChange:
    """The payer agrees, and the change is in force. `where_from`: `ip_address`, `user_agent`.

    Raises AlreadyPaid when it was decided before, AttemptInProgress while a payment that it changes is being taken, and
    CannotPay when what it changes is not so any more: it is overtaken then, and staff have to look.
    """
    change.refresh_from_db()
    if not change.waits:
        raise AlreadyPaid(_("This was decided already."))
    if change.kind == Kind.PAYER:
        raise PlanError(_("The new payer agrees by the link that was mailed to them, with a card of their own."))
    _end_attempts(change, user)
    try:
        with transaction.atomic():
            ObjectPaymentPlan.objects.filter(pk=change.plan_id).update(version=F("version") + 1)
            # Its card may have been changed since.
            change.plan.refresh_from_db()
            if not change.may_be_agreed:
                # A plan that was to go on does so already.
                raise _Over(_("This payment plan was stopped.")) if change.plan.deleted else _Overtaken
            _bring_up_to_date(change)
            agreement = _agreement(change, Agreement.Kind.PAYER, "", user, text=text, **where_from)
            decide(change, State.IN_FORCE, agreement=agreement, before=change.before, after=change.after)
            _bring_into_force(change, user)
    except _Overtaken as problem:
        with transaction.atomic():
            decide(change, State.OVERTAKEN)
            note(change, user, Why(Code.CHANGE_OVERTAKEN, number=change.number))
            if not isinstance(problem, _Over):
                _ask_for_another(change)
        change.refresh_from_db()
        overtaken = _(
            "What this was about has changed since, so nothing was changed. We will send you another proposal."
        )
        raise PlanError(str(problem) if isinstance(problem, _Over) else overtaken) from problem
    except IntegrityError as error:
        raise _integrity(error) from error
    return change


@staff_notices.in_office_language()
def _ask_for_another(change: PlanChange) -> None:
    """Its payer is told that another proposal comes, and staff alone can make one. In the caller's transaction."""
    plan = change.plan
    what = {"number": change.number, "what": change.get_kind_display()}
    staff_notices.tell_staff(
        f"change-overtaken-{change.pk}",
        _("A payer waits for another proposal: %(payer)s") % {"payer": plan.customer or plan.checkout_email},
        [
            _("They agreed to change %(number)d (%(what)s), but the plan is not as it was. Nothing was changed.")
            % what,
            staff_notices.link("checkout.object.payment.plan.detail", plan.uuid),
        ],
    )


def wording(change: PlanChange) -> str:
    """What the payer agrees to, in the language that is active: kept as evidence."""
    currency = change.plan.currency
    rows = [
        _("%(amount)s on %(day)s")
        % {
            "amount": money.format_money(line.to_come, currency, get_language() or "en-gb"),
            "day": date_format(line.due, "DATE_FORMAT"),
        }
        for line in plan_previews.up_to_date(change)[1]
        if line.is_open
    ]
    return _(
        "I agree to this change of my payment plan: %(what)s. From now on these payments are taken from the card that "
        "I agreed to: %(lines)s."
    ) % {"what": change.get_kind_display(), "lines": ", ".join(rows)}


def _bring_up_to_date(change: PlanChange) -> None:
    before, after = plan_previews.up_to_date(change)
    days = [line.due for line in after if not line.ended]
    if len(days) != len(set(days)):
        # Staff have moved a line that it leaves alone to a day that it needs.
        raise _Overtaken(_("Something happened to this plan since you looked at it. Please look again."))
    was = {line.pk: line.due for line in before}
    new_days = (line for line in after if line.is_open and (change.plan.deleted or was.get(line.pk) != line.due))
    if any(line.due < clock.today() for line in new_days):
        # Its payer took their time: all of these would be taken at once.
        raise _Overtaken(_("Something happened to this plan since you looked at it. Please look again."))
    change.before = [line.as_data() for line in before]
    change.after = [line.as_data() for line in after]


def refuse(change: PlanChange, user: Actor = None) -> None:
    """The payer does not agree: the old terms hold. Raises AlreadyPaid when it was decided before."""
    with transaction.atomic():
        decide(change, State.REFUSED)
        note(change, user, Why(Code.CHANGE_REFUSED, number=change.number))


def withdraw(change: PlanChange, user: Actor = None, reason: str = "") -> None:
    """Staff take it back: its link opens nothing any more. Raises AlreadyPaid when it was decided before."""
    with transaction.atomic():
        decide(change, State.WITHDRAWN, decision=reason[:255])
        note(change, user, Why(Code.CHANGE_WITHDRAWN, number=change.number, note=reason))
    intents.end_left(change, user)


def decide(change: PlanChange, state: str, **more: Any) -> None:
    """One UPDATE: of two who decide at once one does. The caller holds the transaction."""
    known = {"state": state, "decided_at": clock.now(), **more}
    if not PlanChange.objects.filter(pk=change.pk, state=State.WAITING).update(**known):
        raise AlreadyPaid(_("This was decided already."))
    for name, value in known.items():
        setattr(change, name, value)


# -- bringing it into the rows ------------------------------------------------------------------------------


class _Overtaken(AttemptInProgress):
    """A line that the change is about does not stand as it did."""


class _Over(_Overtaken):
    """There is nothing any more that it could change; the message is for its payer as well."""


def _end_attempts(change: PlanChange, user: Actor) -> None:
    """End the payment pages that are open at the lines it changes: what they ask for is not what is owed afterwards.
    Raises AlreadyPaid when one of them was paid, AttemptInProgress while one is being taken."""
    changed = plan_changes.touched(change.lines_before, change.lines_after)
    for row in change.plan.instalments.filter(pk__in=changed):
        intents.close_open_attempts(row, user)
    if change.kind == Kind.REOPEN and change.plan.content_object is not None:
        # Since the plan was stopped it may be paid for in another way.
        intents.close_open_attempts(change.plan.content_object, user)


def _agreement(
    change: PlanChange, kind: str, note: str, user: Actor, *, text: str = "", **where_from: Any
) -> Agreement | None:
    """What is charged from now on is what this says. A plan that nobody has agreed to yet goes on waiting for its
    payer's agreement."""
    plan, after = change.plan, change.lines_after
    former = plan.agreement
    if former is None and kind == Agreement.Kind.CHANGED:
        return None
    if not text:
        text = _("The plan was changed (%(what)s), and this is what is still to pay.") % {
            "what": change.get_kind_display()
        }
    return Agreement.objects.create(
        kind=kind,
        saved_card=former.saved_card if former is not None else None,
        other_amounts=former is not None and former.other_amounts,
        note=note,
        text=text,
        version=conf.CHECKOUT_AGREEMENT_VERSION,
        total=total_after(change),
        currency=plan.currency,
        lines=[
            {"count": line.count, "due": line.due.isoformat(), "amount": str(line.to_come)}
            for line in after
            if line.is_open
        ],
        user=actor(user),
        **where_from,
    )


def total_after(change: PlanChange) -> Decimal:
    """What the plan costs afterwards. A write-off changes what is collected, not what was agreed."""
    return change.plan.total + (change.by if change.does != Kind.WRITE_OFF else 0)


def _bring_into_force(change: PlanChange, user: Actor) -> None:
    """In the caller's transaction, which has counted the version up: nobody else changes this plan meanwhile. Raises
    _Overtaken when a line that it changes is not as it was."""
    if change.kind == Kind.REOPEN:
        _check_nobody_pays_otherwise(change.plan)
    before, after = change.lines_before, change.lines_after
    changed = plan_changes.touched(before, after)
    now = {line.pk: line for line in after}
    held = _locked(change.plan, changed)
    for pk, (row, debt) in held.items():
        if plan_previews.line_of(row, debt) != changed[pk] or debt.asked:
            raise _Overtaken(_("Something happened to this plan since you looked at it. Please look again."))
    if held.keys() != changed.keys():
        raise _Overtaken(_("Something happened to this plan since you looked at it. Please look again."))
    why = Why(Code.PLAN_CHANGED, number=change.number)
    # What is taken off leaves its day as well, and a payment may move there.
    _park(row for pk, (row, _debt) in held.items() if (now[pk].due, now[pk].ended) != (row.due, row.ended))
    for pk, (row, debt) in held.items():
        _rewrite(row, changed[pk], now[pk], user, why)
        if by := now[pk].owed - changed[pk].owed:
            kind = POSTINGS.get(Kind(change.does), Posting.Kind.MOVED)
            booking.post(debt, kind, by, cause=f"change:{change.uuid}:{pk}", user=user, note=change.reason)
    _make([line for line in after if line.pk is None], change)
    known: dict[str, Any] = {"total": total_after(change)}
    if change.agreement is not None:
        known["agreement"] = change.agreement
    if change.kind == Kind.REOPEN:
        known |= {"deleted": False, "deleted_at": None, "deleted_by": None}
    ObjectPaymentPlan.objects.filter(pk=change.plan_id).update(**known)
    asking.plan_changed(change.plan, note(change, user, Why(Code.PLAN_CHANGED, number=change.number)))


def _check_nobody_pays_otherwise(plan: ObjectPaymentPlan) -> None:
    """A plan that goes on takes what is left of it: what came, or is about to come, for its row in another way would be
    taken twice."""
    row = plan.content_object
    if row is None:
        return
    # The lock meets that of `attempt_rows.still_payable`: whoever begins to pay now is seen here, or sees this plan.
    attempt_rows.still_payable(row)
    if Checkout.objects.for_content_object(row).one_at_a_time().open().exists():
        raise AttemptInProgress(_("Another payment for this is under way. Please look again in a minute."))
    if plan_previews.was_paid_otherwise(plan):
        raise _Over(plan_previews.paid_otherwise())


def _locked(plan: ObjectPaymentPlan, pks: Iterable[int]) -> dict[int, tuple[ObjectPaymentPlanInstalment, Debt]]:
    """The rows and their debts, read anew under their locks: lines before debts, as everybody takes them."""
    rows = list(
        ObjectPaymentPlanInstalment.objects.select_for_update(of=("self",), no_key=True)
        .filter(object_payment_plan=plan, pk__in=list(pks))
        .order_by("pk")
    )
    found = {
        debt.pk: debt
        for debt in Debt.objects.select_for_update(no_key=True)
        .filter(pk__in=[row.debt_id for row in rows if row.debt_id is not None])
        .order_by("pk")
    }
    return {row.pk: (row, found[row.debt_id]) for row in rows if row.debt_id in found}


def _park(rows: Any) -> None:
    """Out of each other's way: a plan has one line on a day, and two may change places."""
    for row in rows:
        day = datetime.date.min + datetime.timedelta(days=row.count)
        ObjectPaymentPlanInstalment.objects.filter(pk=row.pk).update(due=day)


def _rewrite(row: ObjectPaymentPlanInstalment, before: Line, after: Line, user: Actor, why: Why) -> None:
    fields: dict[str, Any] = {"due": after.due, "ended": after.ended}
    if after.is_open:
        fields["amount"] = after.owed
    if before.state == after.state:
        if not ObjectPaymentPlanInstalment.objects.filter(Q(state=before.state), pk=row.pk).update(**fields):
            raise _Overtaken(_("Something happened to this plan since you looked at it. Please look again."))
        return
    if before.ended:
        moved = moves.owe_again(row, user=user, why=why, only_if=Q(ended=before.ended), **fields)
    else:
        moved = moves.move(row, to=after.state, only_from={before.state}, user=user, why=why, **fields)
    if not moved:
        raise _Overtaken(_("Something happened to this plan since you looked at it. Please look again."))
    RecoveryStep.objects.filter(instalment=row, ended="").update(ended=RecoveryStep.Ended.MOVED, ended_at=clock.now())
    promises.forget(row)


def _make(lines: Sequence[Line], change: PlanChange) -> None:
    rows = [
        ObjectPaymentPlanInstalment(
            object_payment_plan=change.plan,
            count=line.count,
            amount=line.owed,
            due=line.due,
            replaces_id=line.replaces,
        )
        for line in lines
    ]
    debts.open_new(ObjectPaymentPlanInstalment.objects.bulk_create(rows))


def note(change: PlanChange, user: Actor, why: Why) -> StateChange:
    """Keep in the history of the plan what became of a change. The caller holds the transaction."""
    state = "live" if change.is_in_force or not change.plan.deleted else "stopped"
    return StateChange.objects.create(
        object_payment_plan=change.plan, from_state=state, to_state=state, user=actor(user), **why.columns
    )

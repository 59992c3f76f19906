"""What letters about a whole plan say: agreed, changed, another card, stopped, and a new link to it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import clock, letters, links, states
from checkout.conf import conf
from checkout.journal import Code
from checkout.models import (
    Checkout,
    Letter,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    StateChange,
)
from checkout.services import attempt_rows, numbering, papers, plan_previews
from checkout.services.letters import asking
from checkout.services.letters.words import Words, amount, common, day, facts, of_plan, receipt_of


def plan_agreed(letter: Letter) -> Words | None:
    """The card networks ask for this letter, and payers keep it."""
    plan = letter.plan
    if plan is None or plan.deleted:
        return None
    rows = list(plan.payments)
    said: dict[str, Any] = {
        "description": of_plan(plan),
        "total": amount(plan.total, plan.currency),
        "card": plan.card.description if plan.card is not None else "",
        "lines": [_row(line, plan) for line in rows if not line.ended],
        "link": links.plan_page(plan),
        "receipt": "",
    }
    deposit = next((line for line in rows if line.deposit and line.state_id == states.SUCCESS), None)
    paid = Checkout.objects.for_content_object(deposit).paid().select_related("paper").first() if deposit else None
    if paid is not None and deposit is not None:
        # The link of the receipt is that of the plan, which is in hand.
        deposit.object_payment_plan = plan
        attempt_rows.hold(paid, deposit)
        said |= receipt_of(paid, numbering.number_of(paid))
    return Words(letters.PLAN_AGREED, common(plan.checkout_name) | said)


def _row(line: ObjectPaymentPlanInstalment, plan: ObjectPaymentPlan) -> dict[str, Any]:
    return {
        "label": _("deposit") if line.deposit else _("instalment %(number)d") % {"number": line.count - 1},
        "due": day(line.due),
        "amount": amount(line.amount, plan.currency),
        "paid": line.state_id == states.SUCCESS,
    }


def plan_changed(letter: Letter) -> Words | None:
    """Everything that was changed since, in one letter; what was changed back is not worth one."""
    plan = letter.plan
    if plan is None or plan.deleted:
        return None
    changes = list(_changes(plan, asking.first_change(letter)))
    if not changes:
        return None
    lines = [line for line in plan.payments_by_day.select_related("debt") if line.state_id != states.SUCCESS]
    said: dict[str, Any] = {
        "description": of_plan(plan),
        "changes": changes,
        "lines": [_row(line, plan) | {"amount": amount(line.left, plan.currency)} for line in lines],
        "left": amount(sum((line.left for line in lines), Decimal(0)), plan.currency),
        "link": links.plan_page(plan),
    }
    rows = [(_("What for"), said["description"]), (_("Still to pay"), said["left"])]
    return Words(letter.kind, common(plan.checkout_name) | said | {"facts": facts(rows)})


def _changes(plan: ObjectPaymentPlan, first: int) -> Iterator[str]:
    """A sentence for each line that is not as it was before the change of that primary key."""
    by_line = {line.pk: line for line in plan.payments.select_related("debt")}
    rows = StateChange.objects.filter(
        Q(instalment__in=by_line) | Q(object_payment_plan=plan), pk__gte=first, code__in=asking.CHANGES
    ).order_by("pk")
    seen: set[tuple[str, Any]] = set()
    owed_again: set[Any] = set()
    for row in rows.select_related("refund"):
        if row.code == Code.PLAN_CHANGED:
            yield from _as_a_whole(plan, row.facts["number"])
            continue
        if row.code == Code.LINE_TAKEN_OFF:
            # One that was not told of before is not worth it.
            if row.refund is not None and row.facts["line"] not in owed_again:
                said = {"amount": amount(row.refund.amount, plan.currency)}
                yield _("%(amount)s is not owed again after all: giving it back to you has failed.") % said
            continue
        if row.code == Code.LINE_OWED_AGAIN:
            line = next((each for each in by_line.values() if each.count == row.facts["new"]), None)
            owed_again.add(row.facts["new"])
        else:
            line = by_line.get(row.instalment_id or 0)
        # The first change of a kind knows how it was before; how it is now says the line itself.
        kind = Code.DUE_CHANGED if row.code == Code.DUE_MOVED_BY_PAYER else row.code
        if line is None or line.state_id == states.SUCCESS or (kind, line.pk) in seen:
            continue
        seen.add((kind, line.pk))
        said = {"amount": amount(line.left, plan.currency), "due": day(line.due)}
        if kind == Code.LINE_OWED_AGAIN:
            yield _("%(amount)s that we gave back to you is owed again, and due on %(due)s.") % said
            continue
        before = datetime.date.fromisoformat(row.facts["before"])
        if before != line.due:
            yield _("%(amount)s: due on %(due)s now, and no longer on %(before)s.") % (said | {"before": day(before)})


def _as_a_whole(plan: ObjectPaymentPlan, number: int | str) -> Iterator[str]:
    """A sentence for a change of the whole plan; the letter lists what is to pay afterwards."""
    change = plan.changes.filter(number=number).first()
    if change is not None and change.new_payer is None:
        yield what_changes(change, plan.currency)


def change_proposed(letter: Letter) -> Words | None:
    """What was proposed, while it waits: one that was withdrawn or decided meanwhile is not worth a letter."""
    change = PlanChange.objects.select_related("plan__customer").filter(pk=letter.cause.rpartition(":")[2]).first()
    if change is None or not change.may_be_agreed:
        return None
    plan = change.plan
    open_lines = [line for line in plan_previews.up_to_date(change)[1] if line.is_open]
    said: dict[str, Any] = {
        "description": of_plan(plan),
        "changes": [what_changes(change, plan.currency)],
        "lines": [
            {
                "label": _("deposit") if line.count == 1 else _("instalment %(number)d") % {"number": line.count - 1},
                "due": day(line.due),
                "amount": amount(line.to_come, plan.currency),
            }
            for line in open_lines
        ],
        "left": amount(sum((line.to_come for line in open_lines), Decimal(0)), plan.currency),
        "link": links.plan_page(plan),
    }
    rows = [(_("What for"), said["description"]), (_("To pay then"), said["left"])]
    return Words("change_proposed", common(plan.checkout_name) | said | {"facts": facts(rows)})


def what_changes(change: PlanChange, currency: str) -> str:
    """What a change does, in one sentence for its payer."""
    said = {"amount": amount(abs(change.by), currency)}
    Kind = PlanChange.Kind  # noqa: N806 - a class
    match change.kind:
        case Kind.PAUSE:
            return _("Payments make a pause: everything still to pay is due later.")
        case Kind.PAY_DAY:
            return _("Payments are due on another day of the month.")
        case Kind.SPLIT:
            return _("What is still to pay is split into another number of payments.")
        case Kind.DISCOUNT:
            return _("A discount: %(amount)s less is to pay.") % said
        case Kind.FEE:
            return _("A fee: %(amount)s more is to pay.") % said
        case Kind.WRITE_OFF:
            return _("%(amount)s that was still to pay is not collected any more.") % said
        case Kind.OWED_AGAIN:
            return _("A payment that went back to you is owed again.")
        case Kind.UNDO:
            return _undone(change, said)
        case Kind.REOPEN:
            return _("The plan, which was stopped, goes on.")
        case _:
            return _("Amounts or dates are other ones.")


def _undone(change: PlanChange, said: dict[str, str]) -> str:
    Kind = PlanChange.Kind  # noqa: N806 - a class
    match change.does:
        case Kind.DISCOUNT:
            return _("A discount does not hold any more: %(amount)s more is to pay.") % said
        case Kind.FEE:
            return _("A fee falls away: %(amount)s less is to pay.") % said
        case Kind.WRITE_OFF:
            return _("%(amount)s that was not to be collected any more is to pay after all.") % said
        case _:
            return _("An earlier change of your plan is undone.")


def card_changed(letter: Letter) -> Words | None:
    plan = letter.plan
    if plan is None or plan.deleted or plan.card is None:
        return None
    if letter.cause != f"card_changed:{plan.pk}:{plan.agreement_id}":
        return None  # it was changed once more since, which has a letter of its own
    unpaid = list(plan.instalments.select_related("debt").exclude(Q(state=states.SUCCESS)).order_by("due"))
    if not unpaid:
        return None
    said: dict[str, Any] = {
        "description": of_plan(plan),
        "card": plan.card.description if plan.card.last4 else "",
        "changed_on": day(letter.asked_at),
        "paused": plan.paused,
        "left": amount(sum((each.left for each in unpaid), Decimal(0)), plan.currency),
        "link": links.plan_page(plan),
    }
    rows = [
        (_("What for"), said["description"]),
        (_("New card"), said["card"]),
        (_("Changed on"), said["changed_on"]),
        (_("Still to pay"), said["left"]),
    ]
    return Words("card_changed", common(plan.checkout_name) | said | {"facts": facts(rows)})


def plan_link(letter: Letter) -> Words | None:
    plan = letter.plan
    if plan is None:
        return None
    expires = clock.today() + datetime.timedelta(days=conf.CHECKOUT_LINK_DAYS)
    said = {"description": of_plan(plan), "link_expires": day(expires), "link": links.plan_page(plan)}
    rows = [(_("What for"), said["description"]), (_("The link works until"), said["link_expires"])]
    return Words("plan_link", common(plan.checkout_name) | said | {"facts": facts(rows)})


def plan_statement(letter: Letter) -> Words | None:
    """As its page says it on the day on which the letter is written."""
    plan = letter.plan
    if plan is None:
        return None
    sheet = papers.statement(plan)
    payments = sheet.tables[0]
    said: dict[str, Any] = {
        "description": of_plan(plan),
        "rows": [
            {
                "what": what,
                "says": ", ".join(f"{label} {value}" for label, value in zip(payments.columns[1:], cells, strict=True)),
            }
            for what, *cells in (*payments.rows, payments.sum)
        ],
        "notes": list(sheet.notes),
        "link": links.plan_page(plan),
    }
    return Words("plan_statement", common(plan.checkout_name) | said | {"facts": facts([*sheet.facts, sheet.amount])})


def plan_stopped(letter: Letter) -> Words | None:
    plan = letter.plan
    if plan is None or not plan.deleted:
        return None
    paid = sum((line.net_paid for line in plan.instalments.select_related("debt")), Decimal(0))
    said: dict[str, Any] = {
        "description": of_plan(plan),
        "paid": amount(paid, plan.currency),
        "stopped_on": day(plan.deleted_at),
        "link": links.plan_page(plan),
    }
    rows = [
        (_("What for"), said["description"]),
        (_("Paid so far"), said["paid"]),
        (_("Stopped on"), said["stopped_on"]),
    ]
    return Words("plan_stopped", common(plan.checkout_name) | said | {"facts": facts(rows)})

"""Which card a plan is charged to, for which lines: the agreement that its payer gave, as things stand now."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import states
from checkout.conf import conf
from checkout.errors import NotWanted
from checkout.journal import Code
from checkout.models import (
    Agreement,
    Customer,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    SavedCard,
)
from checkout.schedule import Line
from checkout.services.letters import asking as letters


def not_taken(code: Code) -> NotWanted:
    """A card was saved for a plan, and is not charged for it; `code` says why, in the language of whoever reads it."""
    refusal = NotWanted(str(code.label))
    refusal.code = code.value
    return refusal


def take_card(plan: ObjectPaymentPlan, agreement: Agreement | None) -> bool:
    """From now on `plan` is charged by `agreement`, unless its present card was set up later: news may come late.

    A page for another card may have been open while a change of the plan came into force. What its payer agreed to
    there lists the old amounts, so another agreement of the same card lists those of the change, to which they agreed
    (or which favours them).

    A card of anybody but the plan's payer is let go: by now somebody else may pay, whoever may have paid before.

    In the settling transaction. The card that was replaced is taken off afterwards, by `cards.detach_replaced`.
    """
    card = agreement.saved_card if agreement is not None else None
    if agreement is None or card is None:
        return False
    # Meets the UPDATE of a change that comes into force: either that sees this card, or this sees that change.
    rows = ObjectPaymentPlan.objects.filter(pk=plan.pk)
    if not is_of_payer(plan, card.customer_id):
        SavedCard.objects.filter(pk=card.pk).update(replaced=True)
        return False
    newer = Q(agreement__saved_card__set_up_at__gt=card.set_up_at, agreement__saved_card__gone=False)
    same = Q(agreement__saved_card=card)
    former = rows.values_list("agreement__saved_card", flat=True).first()
    if ObjectPaymentPlan.objects.filter(newer | same, pk=plan.pk).exists():
        return False
    changed = plan.changes.filter(state=PlanChange.State.IN_FORCE, decided_at__gte=agreement.agreed_at)
    if changed.exists():
        plan.refresh_from_db()
        agreement = as_it_stands(plan, agreement, _("The plan was changed while another card was given for it."))
    rows.update(agreement=agreement)
    plan.agreement = agreement
    SavedCard.objects.filter(pk=card.pk, refresh=True).update(refresh=False)
    if former is not None and former != card.pk:
        SavedCard.objects.filter(pk=former).update(replaced=True)
        letters.card_changed(plan, agreement)
    return True


def of_new_plan(customer: Customer | None, agreement: Agreement | None) -> Agreement | None:
    """By which agreement a plan of that payer is charged that is about to begin: what `take_card` would come to, where
    there is no card or change that it would have to meet. In the transaction that makes the plan."""
    card = agreement.saved_card if agreement is not None else None
    if agreement is None or card is None:
        return None
    if customer is not None and card.customer_id != customer.pk:
        SavedCard.objects.filter(pk=card.pk).update(replaced=True)
        return None
    if card.refresh:
        SavedCard.objects.filter(pk=card.pk).update(refresh=False)
    return agreement


def is_of_payer(plan: ObjectPaymentPlan, customer: int | None) -> bool:
    """Whether the customer of that primary key is the payer of the plan, read under its lock; nobody else becomes it
    before the caller's transaction ends. A plan that names no customer is anybody's."""
    [payer] = ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(pk=plan.pk).values_list("customer")
    return payer[0] is None or payer[0] == customer


def as_it_stands(plan: ObjectPaymentPlan, former: Agreement, note: str) -> Agreement:
    """Another agreement of the same card that lists what is left by now. The caller holds the transaction."""
    return Agreement.objects.create(
        kind=former.kind,
        saved_card=former.saved_card,
        other_amounts=former.other_amounts,
        note=note,
        text=_("What is left of this plan is taken from this card, on the days and in the amounts listed."),
        version=conf.CHECKOUT_AGREEMENT_VERSION,
        total=plan.total,
        currency=plan.currency,
        lines=what_is_left(plan),
    )


def renew(plan: ObjectPaymentPlan, note: str) -> None:
    """More is left of a line than the agreement lists, because staff had written down by mistake that it was paid: its
    payer agreed to it before. The caller holds the transaction and the plan's lock."""
    former = plan.agreement
    if former is None:
        return
    agreed = {line["count"]: Decimal(line["amount"]) for line in former.lines}
    if any(Decimal(line["amount"]) > agreed.get(line["count"], 0) for line in what_is_left(plan)):
        plan.agreement = as_it_stands(plan, former, note)
        ObjectPaymentPlan.objects.filter(pk=plan.pk).update(agreement=plan.agreement)


def what_is_left(plan: ObjectPaymentPlan) -> list[dict[str, Any]]:
    """The lines still to pay, as an agreement keeps them; before the deposit is paid, with those that follow it."""
    rows = list(plan.payments.select_related("debt").exclude(Q(state=states.SUCCESS)))
    return as_data([*(Line(row.count, row.due, row.left) for row in rows), *_to_be_made(plan)])


def not_made_yet(plan: ObjectPaymentPlan) -> list[ObjectPaymentPlanInstalment]:
    """The instalments of a plan whose deposit is not paid: their rows are made of these once it is."""
    return [
        ObjectPaymentPlanInstalment(
            object_payment_plan=plan, count=line.count, due=line.due, amount=line.amount, state_id=states.PENDING
        )
        for line in _to_be_made(plan)
    ]


def _to_be_made(plan: ObjectPaymentPlan) -> list[Line]:
    if plan.instalments.filter(deposit=False).exists():
        return []
    deposit = plan.instalments.filter(deposit=True).exclude(Q(state=states.SUCCESS)).first()
    return after_deposit(plan, deposit) if deposit is not None else []


def after_deposit(plan: ObjectPaymentPlan, deposit: ObjectPaymentPlanInstalment) -> list[Line]:
    """The lines that follow the deposit, copied from what was agreed; worked out only where none were written down: the
    site has made the plan, and no payer of it has given a card yet."""
    agreed = [
        Line(line["count"], datetime.date.fromisoformat(line["due"]), Decimal(line["amount"]))
        for line in (plan.agreement.lines if plan.agreement is not None else [])
        if line["count"] > 1
    ]
    return agreed or plan.payment_plan.lines(deposit.due, plan.total, plan.currency)[1:]


def as_data(lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [{"count": line.count, "due": line.due.isoformat(), "amount": str(line.amount)} for line in lines]

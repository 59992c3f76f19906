"""A declined instalment is asked for again: planned where the decline is settled, taken by the next run that is due."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import CharField, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from checkout import actions, clock, declines, retries, signals, states
from checkout.contract import Actor
from checkout.errors import CannotPay
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    CheckoutSettings,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    RecoveryPolicy,
    RecoveryStep,
    SavedCard,
)
from checkout.services import hooks, moves, promises, staff_notices

logger = logging.getLogger("checkout.recovery")

Ended = RecoveryStep.Ended


# -- planning -----------------------------------------------------------------------------------------------


def after_decline(checkout: Checkout) -> RecoveryStep | None:
    """Plan the next try of a line whose charge was just declined, in the transaction that settles it. None when only
    its payer can go on: staff are told then, once."""
    line = checkout.content_object
    if not checkout.is_charge or not isinstance(line, ObjectPaymentPlanInstalment) or line.state_id != states.FAIL:
        return None
    RecoveryStep.objects.filter(instalment=line, ended="").update(ended=Ended.OVERTAKEN, ended_at=clock.now())
    promises.declined_anew(line)
    name, policy = policy_of(line.object_payment_plan)
    refused = [_day_of(each) for each in _declines_of(checkout)]
    day = retries.next_try(
        policy,
        verdict_of(checkout),
        [*refused, clock.today()],
        same_in_30_days=_same_in_30_days(checkout) + 1,
        own_pay_day=line.object_payment_plan.pay_day,
    )
    if day is None:
        _falls_off(checkout, line)
        return None
    return RecoveryStep.objects.create(
        instalment=line,
        checkout=checkout,
        day=day,
        hour=policy.hour,
        number=len(refused) + 2,
        most=policy.most + 1,
        policy=name,
    )


def policy_of(plan: ObjectPaymentPlan) -> tuple[str, retries.Policy]:
    """The template's policy, else the site's, else the default; with its name."""
    found = found_policy(plan)
    return (found.name, found.rules) if found is not None else (_("default"), retries.DEFAULT)


def found_policy(plan: ObjectPaymentPlan) -> RecoveryPolicy | None:
    """The template's, else the site's; None where the default holds."""
    return plan.payment_plan.recovery or CheckoutSettings.objects.settings.recovery


def verdict_of(checkout: Checkout) -> declines.Verdict:
    """What the bank and the network say of one declined attempt."""
    card = SavedCard.objects.filter(payment_method_id=checkout.payment_method_id).first()
    return declines.judge(
        declines.Refusal(
            error_code=checkout.error_code,
            decline_code=checkout.decline_code,
            advice_code=checkout.advice_code,
            network_advice_code=checkout.network_advice_code,
            network_decline_code=checkout.network_decline_code,
            brand=card.brand if card is not None else "",
        )
    )


def _declines_of(checkout: Checkout) -> QuerySet[Checkout]:
    """Earlier declines of this card for the same debt."""
    attempts = Checkout.objects.for_content_object(checkout.content_object).filter(
        Q(action=actions.CHARGE), Q(state=states.FAIL), payment_method_id=checkout.payment_method_id, superseded=False
    )
    return attempts.exclude(pk=checkout.pk).order_by("pk")


def _same_in_30_days(checkout: Checkout) -> int:
    """How often this card was declined over this amount lately, before this attempt."""
    asked = _asked(checkout.customer_id, checkout.payment_method_id).exclude(pk=checkout.pk)
    return _lately_declined(asked, checkout.total).count()


def _asked(customer: int | None, payment_method_id: str) -> QuerySet[Checkout]:
    """Attempts at a card that a bank answered."""
    asked = Checkout.objects.filter(customer=customer, payment_method_id=payment_method_id)
    return asked.filter(Q(state=states.SUCCESS) | (Q(state=states.FAIL) & ~Q(error_code="", decline_code="")))


def _lately_declined(asked: QuerySet[Checkout], total: Decimal | None) -> QuerySet[Checkout]:
    """Of these the declines over an amount in the last 30 days, for whatever debt, with the card's owner or without."""
    return asked.filter(Q(state=states.FAIL), total=total, created_at__gte=clock.now() - timedelta(days=30))


def check_may_be_asked(card: SavedCard, total: Decimal) -> None:
    """Before somebody has a saved card charged by hand. Raises CannotPay when its bank has refused it for good, or has
    declined this amount as often as the networks let anybody ask."""
    asked = _asked(card.customer_id, card.payment_method_id)
    last = asked.order_by("pk").last()
    if last is not None and last.failed and verdict_of(last).retry is declines.Retry.NEVER:
        raise CannotPay(_("The bank has refused this card for good, so it is not asked again. Another card is needed."))
    if _lately_declined(asked, total).count() >= retries.MOST_BY_HAND_IN_30_DAYS:
        raise CannotPay(
            _("This card was declined for this amount too often within 30 days. Another card is needed, or some time.")
        )


def _day_of(checkout: Checkout) -> datetime.date:
    return timezone.localdate(checkout.settled_at or checkout.created_at)


@staff_notices.in_office_language()
def _falls_off(checkout: Checkout, line: ObjectPaymentPlanInstalment) -> None:
    """Nothing more is tried by itself: staff hear of it once for each plan and card, the host for each debt."""
    meaning = declines.meaning(checkout.error_code, checkout.decline_code)
    staff_notices.tell_staff(
        f"fell-off-{line.object_payment_plan_id}-{checkout.payment_method_id}",
        _("Nothing more is tried by itself: %(payer)s") % {"payer": checkout.payer},
        [
            *checkout.description_lines,
            str(meaning.why),
            str(meaning.next_step),
            "",
            staff_notices.link("checkout.object.payment.plan.instalment", line.pk),
        ],
        checkout=checkout,
    )
    row = line.object_payment_plan.content_object
    if hooks.has(row, "checkout_payment_overdue"):
        hooks.run(row, "checkout_payment_overdue", line, max((clock.today() - line.due).days, 0))
    signals.send_after_commit(signals.payment_overdue, checkout)


# -- taking -------------------------------------------------------------------------------------------------


def due_steps(day: datetime.date) -> QuerySet[RecoveryStep]:
    """Tries whose day has come, of lines that still stand as declined and of plans that go on."""
    return open_steps().filter(
        ~promises.held_on(day, "instalment__"),
        Q(day__lt=day) | Q(hour__lte=timezone.localtime(clock.now()).hour),
        day__lte=day,
        instalment__object_payment_plan__paused=False,
        instalment__object_payment_plan__agreement__saved_card__gone=False,
        instalment__object_payment_plan__agreement__saved_card__detached_at=None,
    )


def open_steps() -> QuerySet[RecoveryStep]:
    """What is planned: of lines that nobody has paid, charged or stopped meanwhile."""
    return (
        RecoveryStep.objects.filter(
            Q(instalment__state=states.FAIL), ended="", instalment__object_payment_plan__deleted=False
        )
        .select_related(
            "instalment__object_payment_plan__customer",
            "instalment__object_payment_plan__payment_plan",
            "instalment__object_payment_plan__agreement__saved_card",
            "checkout",
        )
        .order_by("day", "pk")
    )


def release_due(day: datetime.date | None = None) -> int:
    """Make what is to be tried again due anew, so that the next run takes it by the same claim as everything else. How
    many lines. Safe to run at any time and by several at once."""
    released = 0
    today = day or clock.today()
    for step in list(due_steps(today).select_related(None).select_related("instalment")):
        # A promise that is made at this moment is seen by the move itself.
        released += release(step.instalment, Ended.TRIED, only_if=~promises.held_on(today))
    # Whoever saw the new card takes these at once; this finds what they had no time for.
    for line in list(_declined_by_another_card()):
        released += release(line, Ended.NEW_CARD)
    overtaken = RecoveryStep.objects.filter(ended="").exclude(
        Q(instalment__state=states.FAIL), instalment__object_payment_plan__deleted=False
    )
    overtaken.update(ended=Ended.OVERTAKEN, ended_at=clock.now())
    return released


def _declined_by_another_card() -> QuerySet[ObjectPaymentPlanInstalment]:
    """Declined lines whose plan has another card by now than the one that was asked."""
    charges = Checkout.objects.filter(
        Q(action=actions.CHARGE),
        content_type=ContentType.objects.get_for_model(ObjectPaymentPlanInstalment),
        object_id=Cast(OuterRef("pk"), CharField()),
    )
    card = "object_payment_plan__agreement__saved_card"
    rows = ObjectPaymentPlanInstalment.objects.filter(
        Q(state=states.FAIL),
        ~promises.held_on(clock.today()),
        due__lte=clock.today(),
        object_payment_plan__deleted=False,
        object_payment_plan__paused=False,
        **{f"{card}__gone": False, f"{card}__detached_at": None},
    )
    asked = charges.order_by("-pk").values("payment_method_id")[:1]
    return rows.annotate(asked=Subquery(asked)).exclude(asked=None).exclude(asked=F(f"{card}__payment_method_id"))


def release(line: ObjectPaymentPlanInstalment, why: str, *, only_if: Q | None = None) -> bool:
    """Make one declined line due anew. False when somebody else has moved it, or it is not as `only_if` says."""
    with transaction.atomic():
        moved = moves.move(line, to=states.PENDING, only_from={states.FAIL}, only_if=only_if, why=Why(Code.TRIED_AGAIN))
        if moved:
            RecoveryStep.objects.filter(instalment=line, ended="").update(ended=why, ended_at=clock.now())
    return moved


def put_on_another_day(line: ObjectPaymentPlanInstalment, due: datetime.date, user: Actor, note: str) -> bool:
    """A declined line is due on another day, as if nobody had tried: the run of that day takes it. False when somebody
    else has moved it. In the caller's transaction, which may fail for two lines of one day."""
    before = line.due
    why = Why(Code.DUE_CHANGED, before=before.isoformat(), due=due.isoformat(), note=note)
    moved = moves.move(line, to=states.PENDING, only_from={states.FAIL}, user=user, why=why, due=due)
    if moved:
        RecoveryStep.objects.filter(instalment=line, ended="").update(ended=Ended.MOVED, ended_at=clock.now())
        promises.forget(line)
    return moved


def has_said_no(line: ObjectPaymentPlanInstalment) -> bool:
    """True when the card of its plan must not be asked again without its owner: no run takes it, on whatever day."""
    card = line.object_payment_plan.card
    if card is None:
        return False
    last = _asked(card.customer_id, card.payment_method_id).order_by("pk").last()
    return last is not None and last.failed and verdict_of(last).retry not in declines.BY_ITSELF


def declined_lines(plan: ObjectPaymentPlan) -> list[ObjectPaymentPlanInstalment]:
    """The lines of a live plan that a card was declined for, and whose day has come."""
    if plan.deleted or plan.paused:
        return []
    rows = plan.instalments.select_related("object_payment_plan__agreement__saved_card", "debt")
    return list(rows.filter(Q(state=states.FAIL), due__lte=clock.today()).order_by("due", "count"))


# -- saying -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """One try to come, for a list."""

    step: RecoveryStep
    why: str


def planned() -> Iterator[Planned]:
    """Every try that is planned, the next one first, with the reason of the decline in the office's words."""
    for step in open_steps().iterator(chunk_size=500):
        why = declines.meaning(step.checkout.error_code, step.checkout.decline_code).why
        yield Planned(step, str(why))


def next_tries_of(plan: ObjectPaymentPlan) -> dict[int, datetime.date]:
    """When each declined line of a plan is tried again, by its primary key; nothing for those that are not, as all of a
    plan that is paused, or has no card."""
    if plan.paused or plan.card is None:
        return {}
    return {step.instalment_id: step.tried_on for step in open_steps().filter(instalment__object_payment_plan=plan)}

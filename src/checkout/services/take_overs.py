"""Another payer takes over what is left of a plan: what they agree to, and the switch once their card is saved.

Staff propose it (`plan_changes.propose`, kind "payer"). Until the card is saved the old terms and the old card hold.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Q
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import actions, clock, links, money, states
from checkout.conf import conf
from checkout.errors import AlreadyPaid, CheckoutError
from checkout.journal import Code, Why
from checkout.models import (
    Agreement,
    Checkout,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    SavedCard,
)
from checkout.services import (
    agreements,
    charging,
    checkouts,
    moves,
    payers,
    plan_cards,
    plan_changes,
    plan_previews,
    promises,
)
from checkout.services.letters import asking

logger = logging.getLogger("checkout.plans")

#: Open attempts that are looked at together.
PAGE: Final = 1000


# -- what the new payer sees and agrees to ------------------------------------------------------------------


def page(change: PlanChange) -> str:
    """The path of the new payer's page, which holds a signed token."""
    return reverse("checkout.plan.take.over", args=[links.make_token(change)])


def seen(change: PlanChange) -> str:
    """Stands for what is left of the plan, as the page shows it."""
    return hashlib.sha256(json.dumps(plan_cards.what_is_left(change.plan)).encode()).hexdigest()[:32]


def wording(change: PlanChange) -> str:
    """The sentence that the new payer agrees to, in the language that is active; kept as evidence."""
    plan, locale = change.plan, get_language() or "en-gb"
    lines = plan_cards.what_is_left(plan)
    rows = [
        _("%(amount)s on %(day)s")
        % {
            "amount": money.format_money(Decimal(line["amount"]), plan.currency, locale),
            "day": date_format(datetime.date.fromisoformat(line["due"]), "DATE_FORMAT"),
        }
        for line in lines
    ]
    said = {
        "organisation": conf.STRIPE_CAPTION,
        "lines": ", ".join(rows),
        "sum": money.format_money(sum((Decimal(line["amount"]) for line in lines), Decimal(0)), plan.currency, locale),
    }
    if conf.STRIPE_CAPTION:
        return (
            _(
                "I pay what is left of this payment plan from now on: %(lines)s, %(sum)s in all. I allow "
                "%(organisation)s to keep my card with its payment provider Stripe and to charge it for these payments "
                "while I am not there. It is used for these payments only. I can give another card at any time."
            )
            % said
        )
    return (
        _(
            "I pay what is left of this payment plan from now on: %(lines)s, %(sum)s in all. I allow my card to be "
            "kept with the payment provider Stripe and to be charged for these payments while I am not there. It is "
            "used for these payments only. I can give another card at any time."
        )
        % said
    )


def begin(change: PlanChange, **where_from: Any) -> Checkout:
    """The new payer agrees, and goes on to their card: an attempt with its SetupIntent, for a customer of their own at
    Stripe. `where_from`: `ip_address`, `user_agent`. Raises as `checkouts.create_checkout`."""
    plan = change.plan
    terms = agreements.AgreementTerms(
        text=wording(change),
        version=conf.CHECKOUT_AGREEMENT_VERSION,
        total=plan.total,
        currency=plan.currency,
        lines=plan_cards.what_is_left(plan),
        **where_from,
    )
    return checkouts.create_checkout(actions.CARD_REFRESH, change, None, agreement=terms)


# -- the switch ---------------------------------------------------------------------------------------------


def take_over(change: PlanChange, checkout: Checkout) -> None:
    """Their card is saved: from now on they are the payer of the plan. In the settling transaction.

    Raises NotWanted, so that the card is let go, when the change was withdrawn or decided, the plan was stopped, or
    more is left of it, or sooner, than they agreed to.
    """
    # Meets the lock of a claim: either that sees the new card, or this comes after it, and the claim keeps its card.
    rows = ObjectPaymentPlan.objects.filter(pk=change.plan_id)
    list(rows.select_for_update(no_key=True).values_list("pk"))
    change = PlanChange.objects.select_related("plan", "new_payer").get(pk=change.pk)
    plan, agreement = change.plan, Agreement.objects.filter(checkout=checkout).first()
    if plan.deleted or not change.waits or checkout.customer_id != change.new_payer_id:
        raise plan_cards.not_taken(Code.TAKE_OVER_ENDED)
    if agreement is None or agreement.saved_card is None or not _covers(agreement, plan):
        raise plan_cards.not_taken(Code.PLAN_IS_ANOTHER)
    now = clock.now()
    lines = [line.as_data() for line in plan_previews.lines_of(plan)]
    former = plan.agreement.saved_card_id if plan.agreement is not None else None
    try:
        plan_changes.decide(
            change,
            PlanChange.State.IN_FORCE,
            decided_at=now,
            agreement=agreement,
            former_payer=plan.customer,
            before=lines,
            after=lines,
        )
    except AlreadyPaid as problem:
        raise plan_cards.not_taken(Code.TAKE_OVER_ENDED) from problem
    rows.update(
        version=F("version") + 1,
        customer=change.new_payer,
        user=None,
        agreement=agreement,
        links_revoked_at=now,
        taken_over_at=now,
        # That of whoever paid before.
        pay_day=None,
    )
    promises.of_another(plan)
    SavedCard.objects.filter(pk=former).update(replaced=True)
    plan_changes.note(change, None, Why(Code.PLAN_CHANGED, number=change.number))
    asking.payer_changed(change)
    logger.info("plan %s was taken over by change %s", plan.pk, change.number, extra={"plan": plan.pk})


def _covers(agreement: Agreement, plan: ObjectPaymentPlan) -> bool:
    """Whether nothing is left of the plan that the agreement does not list, no more, and no sooner."""
    agreed = {line["count"]: line for line in agreement.lines}
    left = plan_cards.what_is_left(plan)
    return bool(left) and all(
        line["count"] in agreed
        and Decimal(line["amount"]) <= Decimal(agreed[line["count"]]["amount"])
        and line["due"] >= agreed[line["count"]]["due"]
        for line in left
    )


# -- what follows, once that is committed -------------------------------------------------------------------


def take_what_waits(plan: ObjectPaymentPlan) -> None:
    """What waited for the former payer, or for their bank, is due anew, and is taken from the new card at once. Whoever
    is killed in the middle leaves the rest to `open_of_former_payers` and the runs."""
    for line in plan.instalments.filter(Q(state=states.PAY_ON_SESSION)).order_by("count"):
        if not end_for_former(line):
            continue
        try:
            charging.charge(_anew(line), if_due=True)
        except CheckoutError as problem:
            logger.warning("instalment %s waits for a run: %s", line.pk, problem, extra={"instalment": line.pk})


def end_for_former(line: ObjectPaymentPlanInstalment) -> bool:
    """End the pages of a line that its former payer could still pay, and make it due anew. False while that cannot be:
    it is being paid at this moment, or was."""
    why = Why(Code.ANOTHER_PAYER)
    # First due anew, so that a death in between leaves an open page, which the sweep finds.
    moves.move(line, to=states.PENDING, only_from={states.PAY_ON_SESSION}, why=why)
    try:
        charging.close_attempts(line, why=why)
    except CheckoutError as problem:
        logger.info("instalment %s: a page stays open: %s", line.pk, type(problem).__name__)
        return False
    return _anew(line).state_id == states.PENDING


def _anew(line: ObjectPaymentPlanInstalment) -> ObjectPaymentPlanInstalment:
    rows = ObjectPaymentPlanInstalment.objects.select_related("object_payment_plan__agreement__saved_card", "debt")
    return rows.get(pk=line.pk)


def open_of_former_payers() -> Iterator[ObjectPaymentPlanInstalment]:
    """Lines of plans that were taken over at which somebody who does not pay any more has a page open: the process died
    before it was ended, or a charge of their card has come to wait for them since. Two statements for every thousand
    open attempts."""
    kind = ContentType.objects.get_for_model(ObjectPaymentPlanInstalment)
    rows = Checkout.objects.open().taking_money().filter(content_type=kind).exclude(Q(state=states.REQUEST))
    lines = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan__taken_over_at__isnull=False)
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:PAGE]):
        last = page[-1].pk
        found = lines.select_related("object_payment_plan").filter(pk__in=[each.object_id for each in page])
        by_key = {str(line.pk): line for line in found}
        for checkout in page:
            line = by_key.get(checkout.object_id)
            if line is not None and payers.is_of_former(line.object_payment_plan, checkout):
                yield line
        if len(page) < PAGE:
            return

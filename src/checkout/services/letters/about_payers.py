"""What letters say when another payer takes over a plan: asked, taken over, and not paid any more."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import clock, links, states
from checkout.conf import conf
from checkout.models import Letter, ObjectPaymentPlanInstalment, PlanChange
from checkout.services import plan_cards
from checkout.services.letters.words import Words, amount, change_of, common, day, facts, of_plan


def payer_proposed(letter: Letter) -> Words | None:
    """While it waits: what was withdrawn meanwhile is not worth a letter."""
    change = change_of(letter)
    if change is None or not change.checkout_can_charge:
        return None
    plan = change.plan
    left = plan_cards.what_is_left(plan)
    said: dict[str, Any] = {
        "payer": plan.checkout_name,
        "description": of_plan(plan),
        "lines": [
            {
                "due": day(datetime.date.fromisoformat(line["due"])),
                "amount": amount(Decimal(line["amount"]), plan.currency),
            }
            for line in left
        ],
        "left": amount(sum((Decimal(line["amount"]) for line in left), Decimal(0)), plan.currency),
        "link": links.absolute("checkout.plan.take.over", links.make_token(change)),
        "link_expires": day(clock.today() + datetime.timedelta(days=conf.CHECKOUT_LINK_DAYS)),
    }
    rows = [(_("What for"), said["description"]), (_("Left to pay"), said["left"])]
    return Words(letter.kind, common(change.checkout_name) | said | {"facts": facts(rows)})


def payer_changed(letter: Letter) -> Words | None:
    """The card networks ask for this letter, and payers keep it."""
    change, plan = change_of(letter), letter.plan
    if change is None or plan is None or plan.deleted or plan.customer_id != change.new_payer_id:
        return None
    unpaid = _unpaid(plan.instalments.select_related("debt").exclude(Q(state=states.SUCCESS)).order_by("due"))
    said: dict[str, Any] = {
        "description": of_plan(plan),
        "card": plan.card.description if plan.card is not None and plan.card.last4 else "",
        "lines": [{"due": day(line.due), "amount": amount(line.left, plan.currency)} for line in unpaid],
        "left": amount(sum((line.left for line in unpaid), Decimal(0)), plan.currency),
        "link": links.plan_page(plan),
    }
    rows = [
        (_("What for"), said["description"]),
        (_("Card"), said["card"]),
        (_("Left to pay"), said["left"]),
    ]
    return Words(letter.kind, common(plan.checkout_name) | said | {"facts": facts(rows)})


def _unpaid(rows: Any) -> Sequence[ObjectPaymentPlanInstalment]:
    return list(rows)


def payer_released(letter: Letter) -> Words | None:
    """Without a link: the plan is theirs no more."""
    change = change_of(letter)
    if change is None or not change.is_in_force:
        return None
    plan = change.plan
    said: dict[str, Any] = {"description": of_plan(plan), "changed_on": day(change.decided_at)}
    rows = [(_("What for"), said["description"]), (_("Since"), said["changed_on"])]
    return Words(letter.kind, common(_name_of_former(change)) | said | {"facts": facts(rows)})


def _name_of_former(change: PlanChange) -> str:
    former, row = change.former_payer, change.plan.content_object
    if row is not None and (former is None or former.email.lower() == str(row.checkout_email).lower()):
        return str(row.checkout_name)
    return former.name if former is not None else ""

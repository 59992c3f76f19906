"""What letters about declined payments say: one a day for each plan, whatever the number of its lines."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from checkout import clock, declines, letters, links, states
from checkout.models import Checkout, Letter, ObjectPaymentPlan, ObjectPaymentPlanInstalment, RecoveryStep
from checkout.services import payers, promises
from checkout.services.letters.words import Words, amount, card_asked, common, day, facts, of_line, of_plan


@dataclass(frozen=True, slots=True)
class _Declined:
    """One line whose payment was declined, and is open still."""

    letter: Letter
    line: ObjectPaymentPlanInstalment
    checkout: Checkout
    step: RecoveryStep | None

    @property
    def plan(self) -> ObjectPaymentPlan:
        return self.line.object_payment_plan

    @property
    def retry_on(self) -> datetime.date | None:
        """When the card is asked again. Of a plan that is paused, or has no card, nothing is promised."""
        waits = self.plan.paused or self.plan.card is None
        return None if self.step is None or waits else self.step.day

    @property
    def last_try(self) -> bool:
        """Nothing is planned after the try that is planned now, whatever the bank says then."""
        return self.step is not None and self.step.number >= self.step.most

    @property
    def was_retried(self) -> bool:
        """This card was asked before for the same line, and was planned to be asked again."""
        tries = self.line.recovery_steps.filter(ended=RecoveryStep.Ended.TRIED)
        return tries.filter(checkout__payment_method_id=self.checkout.payment_method_id).exists()

    @property
    def reason(self) -> str:
        """In the payer's words. What Stripe refused for another reason than a bank's is not said to be the bank's."""
        code = self.checkout.error_code
        if self.checkout.decline_code or code in ("", "card_declined") or code in declines.MEANINGS:
            return declines.sentence(code, self.checkout.decline_code)
        return "" if self.plan.card is not None else _("The card that we have can no longer be charged.")


def instalment_declined(letter: Letter) -> Words | None:
    """This decline, and every other one of the plan that waits to be told. The letter after the last try says that it
    was the last."""
    mine = _still_declined(letter)
    if mine is None:
        return None
    found = [mine, *filter(None, map(_still_declined, _waiting_too(letter, mine.plan)))]
    ended = all(each.step is None for each in found) and any(each.was_retried for each in found)
    said = _what_was_declined(found)
    return Words(
        letters.RETRIES_ENDED if ended else letters.DECLINED, said, also=tuple(each.letter.pk for each in found[1:])
    )


def payment_reminder(letter: Letter) -> Words | None:
    """What was declined is open still, and nobody but its payer goes on with it."""
    mine = _still_declined(letter)
    if mine is None or mine.step is not None:
        return None
    others = map(_still_declined, _waiting_too(letter, mine.plan))
    found = [mine, *(each for each in others if each is not None and each.step is None)]
    return Words(letter.kind, _what_was_declined(found), also=tuple(each.letter.pk for each in found[1:]))


def _waiting_too(letter: Letter, plan: ObjectPaymentPlan) -> list[Letter]:
    rows = Letter.objects.filter(
        kind=letter.kind, instalment__object_payment_plan=plan, ended_at=None, write_after__lte=clock.now()
    )
    return list(rows.exclude(pk=letter.pk).select_related("checkout", "instalment__debt").order_by("pk"))


def _still_declined(letter: Letter) -> _Declined | None:
    checkout, line = letter.checkout, letter.instalment
    if checkout is None or line is None or not checkout.failed or line.state_id != states.FAIL:
        return None
    newer = Letter.objects.filter(kind=letter.kind, instalment=line, pk__gt=letter.pk)
    if payers.is_of_former(line.object_payment_plan, checkout):
        return None  # another card is asked by now, whose owner has declined nothing
    if line.object_payment_plan.deleted or newer.exists() or promises.is_held(line):
        return None
    return _Declined(letter, line, checkout, RecoveryStep.objects.filter(instalment=line, ended="").first())


def _what_was_declined(found: Sequence[_Declined]) -> dict[str, Any]:
    first, plan = found[0], found[0].plan
    total = sum((each.line.left for each in found), Decimal(0))
    reasons = {each.reason for each in found}
    days = sorted({each.retry_on for each in found if each.retry_on is not None})
    said = {
        "count": len(found),
        "description": of_line(first.line) if len(found) == 1 else of_plan(plan),
        "amount": amount(total, plan.currency),
        "card": card_asked(first.checkout),
        "reason": reasons.pop() if len(reasons) == 1 else "",
        "retry_on": day(days[0]) if days else "",
        # Of several lines each may be asked for on a day of its own; the table says which.
        "retry_all": len(days) == 1 and all(each.retry_on is not None for each in found),
        "last_try": all(each.last_try for each in found if each.retry_on is not None),
        "never_again": all(each.step is None for each in found),
        "link": links.plan_page(plan),
    }
    return common(plan.checkout_name) | said | {"facts": facts(_facts(found, said))}


def _facts(found: Sequence[_Declined], said: dict[str, Any]) -> list[tuple[str, str]]:
    first = found[0]
    if len(found) == 1:
        return [
            (_("What for"), said["description"]),
            (_("Amount"), said["amount"]),
            (_("Due"), day(first.line.due)),
            (_("Tried on"), day(first.checkout.settled_at or first.checkout.created_at)),
            (_("Card"), said["card"]),
        ]
    rows = [(_("What for"), said["description"]), (_("Card"), said["card"])]
    for each in found:
        about = {"amount": amount(each.line.left, each.plan.currency), "reason": each.reason}
        if each.retry_on is not None:
            value = _("%(amount)s. %(reason)s Tried again on %(day)s.") % (about | {"day": day(each.retry_on)})
        else:
            value = _("%(amount)s. %(reason)s") % about
        rows.append((_("Due %(day)s") % {"day": day(each.line.due)}, value))
    return [*rows, (_("Together"), said["amount"])]

"""What is tried after a decline, and why, in the office's words: as a policy says, and as planned for one plan."""

from __future__ import annotations

from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from checkout import declines
from checkout.models import ObjectPaymentPlan, RecoveryPolicy
from checkout.services import recovery

End = RecoveryPolicy.End


def in_words(plan: ObjectPaymentPlan) -> str:
    """When a card of this plan would be asked again after a decline, and what becomes of what nobody pays then."""
    row, (name, rules) = recovery.found_policy(plan), recovery.policy_of(plan)
    said: list[Any] = []
    if rules.days:
        last = rules.days[-1]
        after = ngettext("again after %(days)s day", "again after %(days)s days", last)
        said.append(after % {"days": ", ".join(map(str, rules.days))})
    if rules.pay_day and plan.pay_day:
        said.append(_("once more on day %(day)d of a month, when its payer is paid") % {"day": plan.pay_day})
    elif rules.pay_day:
        pay_day = RecoveryPolicy.PayDay.LAST if rules.last_working_day else RecoveryPolicy.PayDay.FIRST
        said.append(_("once more on %(day)s") % {"day": pay_day.label})
    if rules.hour:
        said.append(_("not before %(hour)d:00") % {"hour": rules.hour})
    if row is not None and row.end != End.KEEP:
        after = ngettext(
            "after %(days)d day without payment: %(what)s",
            "after %(days)d days without payment: %(what)s",
            row.end_after,
        )
        said.append(after % {"days": row.end_after, "what": row.get_end_display()})
    return f"{name}: {'; '.join(said) or _('nothing is tried again')}"


def tries_in_words(plan: ObjectPaymentPlan) -> dict[int, str]:
    """What is planned for each declined line, by its primary key: the day, which try it is, and why."""
    return {
        step.instalment_id: _("Tried again on %(day)s, try %(number)d of %(most)d. %(why)s")
        % {
            "day": date_format(step.tried_on, _("j M Y")),
            "number": step.number,
            "most": step.most,
            "why": declines.meaning(step.checkout.error_code, step.checkout.decline_code).why,
        }
        for step in recovery.open_steps().filter(instalment__object_payment_plan=plan)
    }

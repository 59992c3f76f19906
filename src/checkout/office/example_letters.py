"""Made-up words for a letter that staff look at: nobody's rows, no address, and a link that leads nowhere."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from checkout import clock, declines, letters
from checkout.conf import conf
from checkout.services.letters.words import amount, common, day, facts


def example(name: str) -> dict[str, Any]:
    """What the letter of that name may say, in the language that is active; beside its facts, all that any letter
    says."""
    currency, today = conf.CHECKOUT_CURRENCY, clock.today()
    site = str(conf.CHECKOUT_BASE_URL or "https://www.example.org").rstrip("/")
    part, whole = amount(Decimal(25), currency), amount(Decimal(100), currency)
    lines: list[dict[str, Any]] = [
        {
            "label": _("deposit") if number == 0 else _("instalment %(number)d") % {"number": number},
            "due": day(today + datetime.timedelta(days=30 * number)),
            "amount": part,
            "paid": number == 0,
        }
        for number in range(4)
    ]
    due, nothing = lines[1]["due"], amount(Decimal(0), currency)
    left, card = amount(Decimal(75), currency), _("Visa ending in 4242")
    return common(_("Sam Sample")) | {
        "facts": facts(_facts(name, part, whole, left, card)),
        "description": _("An evening course"),
        "plan": _("An evening course"),
        "amount": part,
        "total": whole,
        "left": left,
        "lines": lines if name == letters.PLAN_AGREED else [line for line in lines if not line["paid"]],
        "rows": [
            {
                "what": f"{line['label']}, {line['due']}",
                "says": f"{_('Agreed')} {part}, {_('Left')} {part if not line['paid'] else nothing}",
            }
            for line in lines
        ],
        "notes": [],
        "changes": [
            _("%(amount)s: due on %(due)s now, and no longer on %(before)s.")
            % {"amount": part, "due": due, "before": day(today + datetime.timedelta(days=20))}
        ],
        "card": card,
        "expired": False,
        "paused": False,
        "gone": False,
        "due": due,
        "has_card": True,
        "next_amount": part,
        "next_due": due,
        "next_from_card": True,
        "another_waits": False,
        "reason": declines.sentence("", "insufficient_funds"),
        "count": 1,
        "retry_on": day(today + datetime.timedelta(days=3)),
        "retry_all": True,
        "last_try": False,
        "never_again": False,
        "reminder": False,
        "days": conf.CHECKOUT_LINK_DAYS,
        "link": f"{site}/example/",
        "link_expires": day(today + datetime.timedelta(days=conf.CHECKOUT_LINK_DAYS)),
        "payer": _("Pat Payer"),
        "changed_on": day(today),
        "receipt": f"{site}/example/",
        "receipt_number": "R-1",
        "address": _("Sam Sample, 1 High Street, Bath"),
    }


def _facts(name: str, part: str, whole: str, left: str, card: str) -> list[tuple[str, str]]:
    """What the letter of that name tells one under the other, with its labels; some have sentences instead."""
    today, soon = day(clock.today()), day(clock.today() + datetime.timedelta(days=30))
    receipt = [(_("Amount"), part), (_("Paid on"), today), (_("Paid with"), card)]
    declined = [(_("Amount"), part), (_("Due"), today), (_("Tried on"), today), (_("Card"), card)]
    went_back = [(_("Amount"), part), (_("To your card"), card)]
    number = (_("Receipt"), "R-1")
    each: dict[str, list[tuple[str, str]]] = {
        "payment_asked": [(_("Amount"), part), (_("Due"), soon)],
        "payment_received": [*receipt, number],
        "instalment_paid": [*receipt, (_("Still to pay"), left), number],
        "plan_finished": [*receipt, (_("In all"), whole), number],
        "payment_due": [(_("Amount"), part), (_("On"), soon), (_("Card"), card)],
        letters.DECLINED: declined,
        letters.RETRIES_ENDED: declined,
        "payment_reminder": declined,
        "card_changed": [(_("New card"), card), (_("Changed on"), today), (_("Still to pay"), left)],
        "plan_changed": [(_("Still to pay"), left)],
        "change_proposed": [(_("To pay then"), left)],
        "payer_proposed": [(_("Left to pay"), left)],
        "payer_changed": [(_("Card"), card), (_("Left to pay"), left)],
        "payer_released": [(_("Since"), today)],
        "plan_stopped": [(_("Paid so far"), part), (_("Stopped on"), today)],
        "plan_link": [(_("The link works until"), soon)],
        "plan_statement": [
            (_("As of"), today),
            (_("Agreed on"), today),
            (_("Taken from"), card),
            (_("Left to pay"), left),
        ],
        "payment_refunded": [*went_back, (_("Given back on"), today)],
        "refund_failed": went_back,
        "payment_undone": [(_("Written down as paid on"), today), (_("To pay"), left), (_("Due"), soon)],
        "invoice_requested": [(_("Amount"), part)],
    }
    return [(_("What for"), _("An evening course")), *each[name]] if name in each else []

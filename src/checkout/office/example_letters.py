"""Made-up words for a letter that staff look at: nobody's rows, no address, and a link that leads nowhere."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from checkout import clock, declines
from checkout.conf import conf
from checkout.services.letters.words import amount, common, day, facts


def example() -> dict[str, Any]:
    """Everything that any letter may say, in the language that is active."""
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
    due = lines[1]["due"]
    rows = [
        (_("What for"), _("An evening course")),
        (_("Amount"), part),
        (_("On"), due),
        (_("Card"), _("Visa ending in 4242")),
    ]
    return common(_("Sam Sample")) | {
        "facts": facts(rows),
        "description": _("An evening course"),
        "plan": _("An evening course"),
        "amount": part,
        "total": whole,
        "left": amount(Decimal(75), currency),
        "lines": lines,
        "rows": [
            {"what": f"{line['label']}, {line['due']}", "says": f"{_('Agreed')} {part}, {_('Left')} {part}"}
            for line in lines
        ],
        "notes": [],
        "changes": [
            _("%(amount)s: due on %(due)s now, and no longer on %(before)s.")
            % {"amount": part, "due": due, "before": day(today + datetime.timedelta(days=20))}
        ],
        "card": _("Visa ending in 4242"),
        "expired": False,
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
        "receipt": f"{site}/example/",
        "receipt_number": "R-1",
        "address": _("Sam Sample, 1 High Street, Bath"),
    }

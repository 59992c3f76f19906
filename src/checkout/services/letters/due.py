"""Notices before payments are taken (CHECKOUT_NOTICE_DAYS)."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q

from checkout import clock, states
from checkout.conf import conf
from checkout.models import Letter, ObjectPaymentPlanInstalment
from checkout.services.letters import asking

#: How many are asked for in one INSERT.
CHUNK = 500


def ask_for_notices() -> int:
    """Ask for a letter about each payment that is taken within the next CHECKOUT_NOTICE_DAYS days, once for each day
    that it is due on; how many lines are due then. Safe at any time, again."""
    days = conf.CHECKOUT_NOTICE_DAYS
    if not days or not asking.is_on("payment_due"):
        return 0
    today = clock.today()
    lines = ObjectPaymentPlanInstalment.objects.filter(
        Q(state=states.PENDING),
        due__gt=today,
        due__lte=today + timedelta(days=days),
        object_payment_plan__deleted=False,
        object_payment_plan__paused=False,
    )
    rows = list(lines.order_by("due", "pk"))
    causes = {f"due:{line.pk}:{line.due.isoformat()}": line for line in rows}
    known = set(Letter.objects.filter(cause__in=causes).values_list("cause", flat=True))
    wanted = [(cause, line) for cause, line in causes.items() if cause not in known]
    for start in range(0, len(wanted), CHUNK):
        with asking.together():
            for cause, line in wanted[start : start + CHUNK]:
                asking.ask("payment_due", cause, instalment=line)
    return len(wanted)

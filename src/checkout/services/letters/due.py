"""Letters that a day asks for: notices before payments are taken, and reminders of declined ones."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q

from checkout import clock, letters, states
from checkout.conf import conf
from checkout.models import Letter, ObjectPaymentPlanInstalment, RecoveryStep
from checkout.services import promises
from checkout.services.letters import asking

#: How many are asked for in one INSERT.
CHUNK = 500
#: A sweep that was not run for so long reminds nobody of what is older.
REMIND_WITHIN = timedelta(days=30)


def ask() -> None:
    """Ask for everything that this day asks for."""
    ask_for_notices()
    ask_for_reminders()


def ask_for_notices() -> int:
    """Ask for a letter about each payment that is taken within the next CHECKOUT_NOTICE_DAYS days, once for each day
    that it is due on; how many lines are due then. Safe at any time, again."""
    days = conf.CHECKOUT_NOTICE_DAYS
    if not days or not letters.is_on("payment_due"):
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


def ask_for_reminders() -> int:
    """Ask for a letter about each declined payment that only its payer can go on with, CHECKOUT_REMINDER_DAYS after the
    letter that said so, once for each decline; how many were asked for. Safe at any time, again."""
    days = conf.CHECKOUT_REMINDER_DAYS
    if not days or not letters.is_on("payment_reminder"):
        return 0
    until = clock.now() - timedelta(days=days)
    told = Letter.objects.filter(
        Q(instalment__state=states.FAIL),
        ~promises.held_on(clock.today(), "instalment__"),
        kind=letters.DECLINED,
        outcome__in=(Letter.Outcome.WRITTEN, Letter.Outcome.TOGETHER),
        ended_at__lte=until,
        ended_at__gt=until - REMIND_WITHIN,
        instalment__object_payment_plan__deleted=False,
        instalment__object_payment_plan__paused=False,
    )
    planned = RecoveryStep.objects.filter(instalment=OuterRef("instalment"), ended="")
    newer = Letter.objects.filter(kind=letters.DECLINED, instalment=OuterRef("instalment"), pk__gt=OuterRef("pk"))
    rows = told.filter(~Exists(planned), ~Exists(newer)).select_related("checkout", "instalment").order_by("pk")
    causes = {f"reminder:{row.pk}": row for row in rows}
    known = set(Letter.objects.filter(cause__in=causes).values_list("cause", flat=True))
    wanted = [(cause, row) for cause, row in causes.items() if cause not in known]
    with asking.together():
        for cause, row in wanted:
            asking.ask("payment_reminder", cause, checkout=row.checkout, instalment=row.instalment)
    return len(wanted)

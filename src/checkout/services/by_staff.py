"""What staff do to one line of a plan, or to a whole plan: alone on its page, or to many at once."""

from __future__ import annotations

import datetime

from django.db import IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from checkout import clock, links, states
from checkout.contract import Actor, actor
from checkout.errors import AlreadyPaid, AttemptInProgress, CannotPay
from checkout.journal import Code, Why
from checkout.models import Notice, ObjectPaymentPlan, ObjectPaymentPlanInstalment, StateChange
from checkout.services import due_dates, moves, notices, on_session, recovery


def check_movable(instalment: ObjectPaymentPlanInstalment) -> None:
    """Raises CannotPay for a line that is not moved to any day."""
    if instalment.object_payment_plan.deleted:
        raise CannotPay(_("This payment plan was stopped."))
    if instalment.state_id not in (states.PENDING, states.FAIL):
        said = _("The date changes only while nobody has tried to charge this line, or after it was declined.")
        raise CannotPay(said)
    if instalment.state_id == states.FAIL and recovery.has_said_no(instalment):
        raise CannotPay(_("This card will not work again, on no day. Ask the payer for another card first."))


def change_due(instalment: ObjectPaymentPlanInstalment, due: datetime.date, user: Actor, reason: str) -> None:
    """Move a line that nobody has claimed, or that was declined, to another day.

    Raises CannotPay when it was claimed or paid meanwhile, or its card has said no for good, and PlanError when the
    plan has a line on that day already.
    """
    check_movable(instalment)
    try:
        with transaction.atomic():
            if recovery.put_on_another_day(instalment, due, user, reason):
                return
    except IntegrityError as error:
        raise due_dates.day_is_taken() from error
    due_dates.move(instalment, due, user, Why(Code.DUE_CHANGED, before=instalment.due, due=due, note=reason))


def check_askable(instalment: ObjectPaymentPlanInstalment) -> None:
    """Raises AlreadyPaid, AttemptInProgress or CannotPay for a line whose payer cannot be asked for it."""
    if instalment.state_id == states.SUCCESS:
        raise AlreadyPaid(_("This was paid already."))
    if instalment.state_id == states.REQUEST:
        raise AttemptInProgress(_("This is being charged at this moment. Look again in a few minutes."))
    if instalment.object_payment_plan.deleted:
        raise CannotPay(_("This payment plan was stopped."))


def ask_payer(instalment: ObjectPaymentPlanInstalment, user: Actor) -> bool:
    """Mail the payer a link to pay this line, with the reason that is true of it, once a day; False when there was one
    today. One that nobody tried yet waits for its payer from now on, and no run takes it.

    Raises AttemptInProgress while a charge is unanswered, AlreadyPaid, CannotPay when the plan was stopped, and
    MailNotReady without the template.
    """
    instalment.refresh_from_db()
    check_askable(instalment)
    plan = instalment.object_payment_plan
    stem = _asked(instalment)
    asked_before = Notice.objects.filter(cause__startswith=stem).exists()
    language = notices.language_of(plan.payer_row, plan.customer)
    with transaction.atomic():
        why = Why(Code.ASKED_BY_LINK)
        moved = instalment.state_id == states.PENDING
        if moved and not moves.move(
            instalment, to=states.PAY_ON_SESSION, only_from={states.PENDING}, user=user, why=why
        ):
            # A run claimed it, or it was paid, since it was looked at.
            raise AttemptInProgress(_("This is being charged at this moment. Look again in a few minutes."))
        with translation.override(language):
            context = on_session.asked(instalment, links.payment_link(instalment), language, reminder=asked_before)
        sent = notices.send_once(
            # One a day: a second press, or a second person, adds nothing.
            f"{stem}{clock.today().isoformat()}",
            instalment.MAIL_TEMPLATE_ASKED,
            instalment.checkout_email,
            context,
            language=language,
            instalment=instalment,
            customer=plan.customer,
        )
        if sent and not moved:
            moves.note(instalment, user=user, why=why)
    return sent


def was_asked_since(instalment: ObjectPaymentPlanInstalment, since: datetime.datetime) -> bool:
    """True when staff have mailed the payer a link to pay this line since then."""
    return Notice.objects.filter(cause__startswith=_asked(instalment), queued_at__gte=since).exists()


def _asked(instalment: ObjectPaymentPlanInstalment) -> str:
    """How the causes of these mails begin; each ends in its day."""
    return f"staff-ask-{instalment.pk}-"


def note_stop(plan: ObjectPaymentPlan, user: Actor, reason: str) -> None:
    """Keep why a plan was stopped."""
    StateChange.objects.create(
        object_payment_plan=plan, from_state="live", to_state="stopped", user=actor(user), note=reason
    )

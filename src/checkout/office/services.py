"""What staff do to one line of a plan that no other room does: another date, a mail to its payer, and notes."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _
from post_office.models import Email

from checkout import clock, letters, mail, states
from checkout.conf import conf
from checkout.contract import Actor, ContentObject, actor
from checkout.errors import AlreadyPaid, CannotPay, CheckoutError
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    CustomerPayment,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    StateChange,
)
from checkout.services import intents, moves

logger = logging.getLogger("checkout.staff")


def send_again(notice: Notice, user: Actor) -> None:
    """Queue the same letter once more, to the same address.

    Raises AlreadyPaid for one that asks for money that has come, CannotPay for one about a plan that was stopped, and
    CheckoutError when its text is not kept any more, or its link is no longer good.
    """
    _check_still_true(notice)
    sent = (
        Email.objects.filter(
            to__iexact=notice.recipient,
            created__gte=notice.queued_at - timedelta(minutes=1),
            created__lte=notice.queued_at + timedelta(minutes=1),
        )
        .order_by("pk")
        .first()
    )
    if sent is None:
        raise CheckoutError(_("The text of this mail is not kept any more, so it cannot be sent again."))
    again = Notice.objects.filter(cause__startswith=f"{notice.cause}-again-").count() + 1
    with transaction.atomic():
        Notice.objects.create(
            cause=f"{notice.cause}-again-{again}",
            template=notice.template,
            recipient=notice.recipient,
            checkout=notice.checkout,
            instalment=notice.instalment,
            customer=notice.customer,
        )
        mail.queue_text(notice.recipient, sent.subject, sent.message, sent.html_message or "", sender=sent.from_email)
        if notice.instalment is not None:
            moves.note(notice.instalment, user=user, why=Why(Code.MAIL_SENT_AGAIN))
    logger.info("notice %s sent again by user %s", notice.pk, user.pk if user is not None else None)


#: Letters that ask their payer to do something about one line.
_ASKING = frozenset(
    (
        ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH,
        ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON,
        ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ASKED,
        letters.DECLINED,
        letters.RETRIES_ENDED,
        "payment_reminder",
        "payment_due",
    )
)


def _check_still_true(notice: Notice) -> None:
    line = notice.instalment
    if notice.template not in _ASKING or line is None:
        return
    if line.state_id == states.SUCCESS:
        raise AlreadyPaid(_("This was paid already."))
    taken_over_at = line.object_payment_plan.taken_over_at
    if taken_over_at is not None and notice.queued_at <= taken_over_at:
        raise CannotPay(_("Somebody else pays for this plan by now."))
    if line.object_payment_plan.deleted:
        raise CannotPay(_("This payment plan was stopped."))
    if notice.queued_at < clock.now() - timedelta(days=conf.CHECKOUT_LINK_DAYS):
        raise CheckoutError(_("The link in this mail has expired. Ask the payer by a new link instead."))


def revoke_links(row: ObjectPaymentPlan | CustomerPayment, user: Actor, reason: str) -> int:
    """No link that was sent so far opens this plan (with its lines) or request any more, and payment pages that are
    open are ended at Stripe; how many those were. A payment that is being taken already goes on."""
    now = clock.now()
    why = Why(Code.LINKS_REVOKED, note=reason)
    with transaction.atomic():
        type(row)._default_manager.filter(pk=row.pk).update(links_revoked_at=now)
        if isinstance(row, ObjectPaymentPlan):
            StateChange.objects.create(object_payment_plan=row, user=actor(user), **why.columns)
        else:
            moves.note(row, user=user, why=why)
    row.links_revoked_at = now
    payable: list[ContentObject] = [row]
    if isinstance(row, ObjectPaymentPlan):
        payable += [*row.instalments.all(), *row.changes.filter(state=PlanChange.State.WAITING)]
    closed = 0
    for each in payable:
        for checkout in Checkout.objects.for_content_object(each).open():
            try:
                closed += intents.close(checkout, why=Why(Code.LINKS_REVOKED), user=user).failed
            except CheckoutError as problem:
                logger.info("checkout %s stays open: %s", checkout.pk, type(problem).__name__)
    return closed


def set_pay_day(plan: ObjectPaymentPlan, day: int | None, user: Actor, reason: str) -> None:
    """On which day of the month its payer is paid (1 to 31); None where that is not known. Tries that are planned stay
    as they are."""
    why = Why(Code.PAY_DAY, day=day, note=reason) if day is not None else Why(Code.PAY_DAY_UNKNOWN, note=reason)
    with transaction.atomic():
        ObjectPaymentPlan.objects.filter(pk=plan.pk).update(pay_day=day)
        # The story of a plan begins and ends with its states; this changes none.
        StateChange.objects.create(
            object_payment_plan=plan, from_state="live", to_state="live", user=actor(user), **why.columns
        )


def note_instalment(instalment: ObjectPaymentPlanInstalment, user: Actor, reason: str) -> None:
    """Keep who did something to a line, and why, when its state does not tell."""
    moves.note(instalment, user=user, why=Why(note=reason))

"""What happened to an attempt, a plan, a line or a request, told in order."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from checkout import advice, clock, money, states
from checkout.contract import ContentObject
from checkout.journal import Code
from checkout.models import (
    Checkout,
    Customer,
    CustomerPayment,
    Dispute,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Refund,
    StateChange,
    StripeEvent,
    content_key,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `kind` is a word for the eye: move, mail, event, refund, dispute."""

    at: Any
    kind: str
    text: str
    who: str = ""
    detail: str = ""
    pk: int = 0


def checkout_story(checkout: Checkout) -> list[Entry]:
    """Everything that is known of one attempt, oldest first."""
    entries = [_move_entry(change) for change in checkout.state_changes.select_related("user")[:200]]
    entries += _mail_entries(Notice.objects.filter(checkout=checkout))
    ids = [checkout.payment_intent_id, checkout.setup_intent_id]
    refunds = list(checkout.refunds.select_related("requested_by"))
    disputes = list(checkout.disputes.all())
    ids += [refund.refund_id for refund in refunds]
    ids += [dispute.dispute_id for dispute in disputes] + [dispute.charge_id for dispute in disputes]
    known = [name for name in ids if name]
    if known:
        entries += [_event_entry(event) for event in StripeEvent.objects.filter(object_id__in=known)[:100]]
    entries += [_refund_entry(refund) for refund in refunds]
    entries += [_dispute_entry(dispute) for dispute in disputes]
    return sorted(entries, key=lambda entry: entry.at)


def plan_story(plan: ObjectPaymentPlan) -> list[Entry]:
    """What happened to a plan and its lines, oldest first."""
    changes = StateChange.objects.filter(
        Q(object_payment_plan=plan) | Q(instalment__object_payment_plan=plan)
    ).select_related("user", "instalment")
    entries = [
        _move_entry(change, line_name(change.instalment) if change.instalment else "") for change in changes[:300]
    ]
    entries += _mail_entries(Notice.objects.filter(instalment__object_payment_plan=plan))
    return sorted(entries, key=lambda entry: entry.at)


def instalment_story(instalment: ObjectPaymentPlanInstalment) -> list[Entry]:
    entries = _moves_of(instalment, Q(instalment=instalment))
    entries += _mail_entries(Notice.objects.filter(instalment=instalment))
    return sorted(entries, key=lambda entry: entry.at)


def request_story(payment: CustomerPayment) -> list[Entry]:
    entries = _moves_of(payment, Q(customer_payment=payment))
    cause = f"customer-payment-{payment.pk}-"
    entries += _mail_entries(Notice.objects.filter(cause__startswith=cause))
    return sorted(entries, key=lambda entry: entry.at)


def customer_story(customer: Customer) -> list[Entry]:
    """Notes, corrections, and letters to a payer, oldest first."""
    changes = StateChange.objects.filter(customer=customer).select_related("user").order_by("-pk")[:100]
    theirs = Q(customer=customer) | Q(instalment__object_payment_plan__customer=customer)
    entries = [_move_entry(change) for change in changes] + _mail_entries(Notice.objects.filter(theirs))
    return sorted(entries, key=lambda entry: entry.at)


def _moves_of(content_object: ContentObject, own: Q) -> list[Entry]:
    """Its own moves and those of every attempt at it: who settled it by hand, and why, stands on the attempt."""
    tried = Q(**{f"checkout__{column}": value for column, value in content_key(content_object).items()})
    changes = StateChange.objects.filter(own | tried).select_related("user", "checkout").order_by("pk")
    return [
        _move_entry(change, _("Attempt %(number)s") % {"number": change.checkout_id} if change.checkout_id else "")
        for change in changes[:300]
    ]


def line_name(line: ObjectPaymentPlanInstalment) -> str:
    """ "Deposit", "Instalment 1": a line of a plan as people count."""
    return _("Deposit") if line.deposit else _("Instalment %(number)d") % {"number": line.count - 1}


def with_subjects(changes: QuerySet[StateChange]) -> QuerySet[StateChange]:
    """With what `subject_of` and `page_of` read of a change: the two that nearly all are about are joined, the others
    fetched where there are any. All in one join took PostgreSQL longer to think about than to read."""
    rows = changes.select_related("checkout", "instalment", "user")
    return rows.prefetch_related("customer_payment", "object_payment_plan", "customer", "refund__checkout")


def subject_of(change: StateChange) -> str:
    """What a change was made to, by the name that staff know it by."""
    if change.instalment is not None:
        plan = change.instalment.object_payment_plan_id
        return _("%(line)s of plan %(number)d") % {"line": line_name(change.instalment), "number": plan}
    if change.object_payment_plan_id is not None:
        return _("Plan %(number)d") % {"number": change.object_payment_plan_id}
    if change.checkout_id is not None:
        return _("Checkout %(number)d") % {"number": change.checkout_id}
    if (refund := change.refund) is not None:
        shown = money.format_money(refund.amount, refund.currency, get_language() or "en-gb")
        return _("Refund of %(amount)s") % {"amount": shown}
    return change.customer_payment.description if change.customer_payment is not None else str(change.customer)


def page_of(change: StateChange) -> str:
    """The address of the staff page of what was changed."""
    row: Any = change.instalment or change.object_payment_plan or change.customer_payment or change.checkout
    if row is None and change.refund is not None:
        row = change.refund.checkout
    if row is None:
        return reverse("checkout.customer.detail", args=[change.customer_id])
    return str(row.get_absolute_url())


#: What a move to each state looks like to somebody who watches. A state that is not here says its own name.
_MOVED: dict[str, Any] = {
    states.PENDING: gettext_lazy("Open again"),
    states.REQUEST: gettext_lazy("Stripe was asked"),
    states.PAY_ON_SESSION: gettext_lazy("Waits for the payer"),
    states.SUCCESS: gettext_lazy("Succeeded"),
    states.FAIL: gettext_lazy("Failed"),
    # Of plans, and of refunds, whose other states are called like those above.
    "live": gettext_lazy("Goes on"),
    "paused": gettext_lazy("Paused"),
    "stopped": gettext_lazy("Stopped"),
    "refund": gettext_lazy("Changed by a refund"),
    "succeeded": gettext_lazy("Succeeded"),
    "failed": gettext_lazy("Failed"),
}


def move_text(change: StateChange) -> str:
    """What happened, in a word or two."""
    if change.from_state == change.to_state:
        return _("Noted")
    if change.code == Code.PLAN_CHANGED and change.to_state == states.SUCCESS:
        # Over for the collecting machine; it was written off, or put on other lines.
        return _("Not taken any more")
    if change.from_state or change.to_state != states.PENDING:
        return str(_MOVED.get(change.to_state) or change.to_state.replace("_", " ").capitalize())
    return _("Begun")


def _move_entry(change: StateChange, subject: str = "") -> Entry:
    text = move_text(change)
    text = f"{subject}: {text}" if subject else text
    return Entry(change.at, "move", text, str(change.user or ""), change.reason_text)


def _mail_entries(notices: QuerySet[Notice]) -> list[Entry]:
    return [
        Entry(
            notice.queued_at,
            "mail",
            _("Mail to %(recipient)s") % {"recipient": notice.recipient},
            detail=advice.mail_name(notice.template),
            # News for staff is not sent again.
            pk=notice.pk if notice.template != "staff" else 0,
        )
        for notice in notices.order_by("-pk")[:50]
    ]


def _event_entry(event: StripeEvent) -> Entry:
    trouble = "" if event.handled_at else (event.error or _("not handled yet"))
    return Entry(event.received_at, "event", advice.event_name(event.event_type), "Stripe", trouble)


def _refund_entry(refund: Refund) -> Entry:
    who = str(refund.requested_by or (_("Stripe's dashboard") if refund.from_dashboard else ""))
    text = _("Refund of %(amount)s: %(state)s") % {
        "amount": money.format_money(refund.amount, refund.currency, get_language() or "en-gb"),
        "state": refund.get_state_display(),
    }
    return Entry(refund.created_at, "refund", text, who, refund.failure or refund.note)


def _dispute_entry(dispute: Dispute) -> Entry:
    text = f"{dispute.get_kind_display()}: {dispute.status_text}"
    return Entry(dispute.opened_at, "dispute", text, _("the payer's bank"), dispute.reason_text)


def start_of(day: datetime.date) -> datetime.datetime:
    """Midnight of a day on the site's wall."""
    return timezone.make_aware(datetime.datetime.combine(day, datetime.time()), timezone.get_default_timezone())


def recently(days: int) -> Any:
    return clock.now() - timedelta(days=days)

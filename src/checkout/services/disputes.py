"""What payers' banks say afterwards: disputes, inquiries, warnings of fraud. Kept, told to staff, and heeded."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _
from post_office.models import Email

from checkout import clock, links, money
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import GatewayError, PlanError
from checkout.gateway import ChargeEvidence, gateway
from checkout.gateway.money_back import DisputeAnswer, FraudWarning, fraud_warning
from checkout.journal import Code, Why
from checkout.models import (
    Agreement,
    Checkout,
    Dispute,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    StateChange,
)
from checkout.services import attempt_debts, booking, refund_effects, staff_notices

logger = logging.getLogger("checkout.disputes")

#: Open, evidence can be sent, and none was.
AWAITS_EVIDENCE: Final = Q(is_open=True, evidence_sent=False, due_by__isnull=False)


def dispute_updated_at_stripe(dispute_id: str) -> Dispute:
    """Stripe has news of a dispute or an inquiry: read it, keep it, tell staff, pause or resume the plan.

    Safe to call again, in any order: what counts is what Stripe says now.
    """
    read_at = clock.now()
    return take_dispute(gateway().retrieve_dispute(dispute_id), read_at)


def take_dispute(answer: DisputeAnswer, read_at: datetime) -> Dispute:
    """A dispute as it was at Stripe at `read_at`. What was read later before stays."""
    values = {
        "kind": Dispute.Kind.INQUIRY if answer.inquiry else Dispute.Kind.DISPUTE,
        "status": answer.status,
        "reason": answer.reason,
        "amount": money.from_minor(answer.amount_minor, answer.currency),
        "currency": answer.currency,
        "due_by": answer.due_by,
        "evidence_sent": answer.evidence_sent,
        "charge_id": answer.charge_id,
        "payment_intent_id": answer.payment_intent_id,
        "opened_at": answer.created_at,
    }
    return _keep(answer.id, values, read_at)


def early_fraud_warning(warning: Mapping[str, Any]) -> Dispute:
    """A bank suspects fraud: refunding now avoids a dispute and its fee. Staff decide; nothing is paused.

    `warning` is the object that the event carried: a warning is written once, so there is nothing newer to read.
    """
    return take_warning(fraud_warning(warning), clock.now())


def take_warning(answer: FraudWarning, read_at: datetime) -> Dispute:
    """A warning as it was at Stripe at `read_at`."""
    checkout = _checkout(answer.payment_intent_id)
    values: dict[str, Any] = {
        "kind": Dispute.Kind.FRAUD_WARNING,
        "status": answer.status,
        "reason": answer.fraud_type,
        "amount": checkout.total if checkout else None,
        "currency": checkout.currency if checkout else conf.CHECKOUT_CURRENCY,
        "charge_id": answer.charge_id,
        "payment_intent_id": answer.payment_intent_id,
        "opened_at": answer.created_at,
    }
    return _keep(answer.id, values, read_at)


def _checkout(payment_intent_id: str) -> Checkout | None:
    return Checkout.objects.filter(payment_intent_id=payment_intent_id).first() if payment_intent_id else None


def _keep(dispute_id: str, values: dict[str, Any], read_at: datetime) -> Dispute:
    checkout = _checkout(values["payment_intent_id"])
    about = {"checkout": checkout, "read_at": read_at, "is_open": values["status"] not in Dispute.CLOSED}
    with transaction.atomic(durable=True):
        before = Dispute.objects.select_for_update().filter(dispute_id=dispute_id).first()
        if before is not None and before.status in Dispute.CLOSED and about["is_open"]:
            # A closed dispute is never opened again: this was read before somebody else read the end.
            return before
        if before is not None and before.read_at is not None and before.read_at > read_at:
            return before
        plan = _plan_of(checkout)
        if plan is not None:
            _hold(plan)
        dispute, _made = Dispute.objects.update_or_create(dispute_id=dispute_id, defaults=values | about)
        _post(dispute)
        if plan is not None and conf.CHECKOUT_PAUSE_DISPUTED_PLANS:
            _pause_or_resume(plan, dispute)
        _tell(dispute, plan)
    logger.info("%s", dispute, extra={"dispute": dispute.dispute_id, "checkout": dispute.checkout_id})
    return dispute


def _post(dispute: Dispute) -> None:
    """A dispute takes the money back at once, and a dispute that is won brings it again; an inquiry moves nothing."""
    checkout = dispute.checkout
    if checkout is None or dispute.kind != Dispute.Kind.DISPUTE or dispute.amount is None:
        return
    about: dict[str, Any] = {"dispute": dispute, "day": clock.on_the_wall(dispute.opened_at)}
    taken, won = f"disputed:{dispute.dispute_id}", f"dispute_won:{dispute.dispute_id}"
    if dispute.status != "prevented" and not booking.is_posted(taken):
        attempt_debts.post_for(checkout, booking.Kind.DISPUTED, -dispute.amount, cause=taken, **about)
    if dispute.status == "won" and not booking.is_posted(won):
        about["day"] = clock.today()
        attempt_debts.post_for(checkout, booking.Kind.DISPUTE_WON, dispute.amount, cause=won, **about)


def _plan_of(checkout: Checkout | None) -> ObjectPaymentPlan | None:
    line = refund_effects.plan_line(checkout) if checkout is not None else None
    return line.object_payment_plan if line is not None else None


def _hold(plan: ObjectPaymentPlan) -> None:
    """Lock a plan, and read how it stands: of two disputes that are written down at once, or one that staff resume the
    plan beside, the second sees the first."""
    rows = ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(pk=plan.pk)
    plan.paused = rows.values_list("paused", flat=True).get()


def disputes_of(plan: ObjectPaymentPlan) -> list[Dispute]:
    """Every dispute about a payment of this plan."""
    lines = [str(pk) for pk in plan.instalments.values_list("pk", flat=True)]
    return list(
        Dispute.objects.filter(
            checkout__content_type=ContentType.objects.get_for_model(ObjectPaymentPlanInstalment),
            checkout__object_id__in=lines,
        )
    )


def _pause_or_resume(plan: ObjectPaymentPlan, because: Dispute) -> None:
    stop = any(dispute.stops_charging for dispute in disputes_of(plan))
    # A plan whose dispute was lost was perhaps resumed by staff: only what is open pauses it anew.
    if stop and (because.is_open or because.status == "lost") and not plan.paused:
        if because.is_open and because.kind != Dispute.Kind.FRAUD_WARNING:
            _set_paused(plan, True, None, Why(Code.DISPUTE_OPEN, dispute=because.dispute_id))
    elif not stop and plan.paused:
        closed = Why(Code.DISPUTE_CLOSED, dispute=because.dispute_id, status=because.status)
        _set_paused(plan, False, None, closed)


def _set_paused(plan: ObjectPaymentPlan, paused: bool, user: Actor, why: Why) -> bool:
    changed = ObjectPaymentPlan.objects.filter(pk=plan.pk, paused=not paused).update(paused=paused)
    if changed:
        StateChange.objects.create(
            object_payment_plan=plan,
            from_state="live" if paused else "paused",
            to_state="paused" if paused else "live",
            user=actor(user),
            **why.columns,
        )
    plan.paused = paused
    return bool(changed)


def resume(plan: ObjectPaymentPlan, user: Actor, reason: str) -> None:
    """Staff say that the card may be charged again. Raises PlanError while a dispute is open, or when not paused."""
    with transaction.atomic():
        _hold(plan)
        still = [dispute for dispute in disputes_of(plan) if dispute.is_open and dispute.stops_charging]
        if still:
            raise PlanError(
                _("%(dispute)s is still open. Wait for the bank's decision before the card is charged again.")
                % {"dispute": still[0]}
            )
        if not _set_paused(plan, False, user, Why(note=reason)):
            raise PlanError(_("This plan is not paused."))


@staff_notices.in_office_language()
def _tell(dispute: Dispute, plan: ObjectPaymentPlan | None) -> None:
    kind = dispute.get_kind_display()
    amount = (
        money.format_money(dispute.amount, dispute.currency, settings.LANGUAGE_CODE)
        if dispute.amount is not None
        else ""
    )
    payer = dispute.checkout.payer if dispute.checkout else _("a payment that is not in our books")
    lines = [
        _("Reason: %(reason)s") % {"reason": dispute.reason_text},
        _("Status: %(status)s") % {"status": dispute.status_text},
    ]
    if dispute.due_by and dispute.is_open and not dispute.evidence_sent:
        day = timezone.localtime(dispute.due_by)
        lines.append(
            _("Answer by %(day)s: after that it is lost.") % {"day": formats.date_format(day, _("j F Y, H:i"))}
        )
    if dispute.kind == Dispute.Kind.FRAUD_WARNING and dispute.is_open:
        lines.append(_("If you refund the payment now, no dispute and no fee follows."))
    if plan is not None:
        lines.append(
            _("Nothing more is charged for its plan for the time being.")
            if plan.paused
            else _("Its plan goes on being charged.")
        )
    lines += ["", staff_notices.link("checkout.dispute.detail", dispute.pk)]
    staff_notices.tell_staff(
        f"dispute-{dispute.dispute_id}-{dispute.status}",
        f"{kind}: {amount} {payer}",
        lines,
        checkout=dispute.checkout,
    )


# -- evidence ----------------------------------------------------------------------------------------------


def evidence(dispute: Dispute) -> bytes:
    """A zip of what the bank wants to see: agreement, mails, how the payer was authenticated, receipts.

    Stripe is asked for the charge; when it cannot be, the bundle says so and holds the rest. No card number, no secret,
    and no link that would open the payer's page.
    """
    buffer = io.BytesIO()
    # For the bank, so in one language throughout, whoever downloads it.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle, translation.override("en"):
        for name, text in _evidence_files(dispute):
            bundle.writestr(name, text)
    return buffer.getvalue()


def evidence_texts(dispute: Dispute) -> list[tuple[str, str]]:
    """(title, text) of what the bundle holds, for a bank that reads text."""
    return [(name.removesuffix(".txt"), text) for name, text in _evidence_files(dispute)]


def _evidence_files(dispute: Dispute) -> list[tuple[str, str]]:
    files = [("1-dispute.txt", _dispute_text(dispute))]
    checkout = dispute.checkout
    if checkout is None:
        return files
    plan = _plan_of(checkout)
    files.append(("2-payment.txt", _payment_text(checkout, plan)))
    files.append(("3-authentication-and-receipt.txt", _charge_text(checkout)))
    agreements = _agreements(checkout, plan)
    files += [(f"4-agreement-{number}.txt", _agreement_text(row)) for number, row in enumerate(agreements, 1)]
    files += [(f"5-mail-{number:02}.txt", text) for number, text in enumerate(_mails(checkout, plan), 1)]
    files.append(("6-history.txt", _history_text(checkout, plan)))
    return files


def _facts(pairs: list[tuple[str, Any]]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in pairs if value not in (None, ""))


def _moment(value: Any) -> str:
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M %Z}" if value else ""


def _amount(amount: Decimal | None, currency: str) -> str:
    return f"{money.tidy(amount, currency)} {currency}" if amount is not None else ""


def _dispute_text(dispute: Dispute) -> str:
    return _facts(
        [
            ("Kind", dispute.get_kind_display()),
            ("Id at Stripe", dispute.dispute_id),
            ("Reason", dispute.reason),
            ("Status", dispute.status),
            ("Amount", _amount(dispute.amount, dispute.currency)),
            ("Opened", _moment(dispute.opened_at)),
            ("Answer by", _moment(dispute.due_by)),
            ("Charge", dispute.charge_id),
        ]
    )


def _payment_text(checkout: Checkout, plan: ObjectPaymentPlan | None) -> str:
    text = _facts(
        [
            ("What for", ", ".join(checkout.description_lines)),
            ("Payer", checkout.payer),
            ("Amount", _amount(checkout.total, checkout.currency)),
            ("Begun", _moment(checkout.created_at)),
            ("Paid", _moment(checkout.settled_at)),
            ("Payer was on the page", "yes" if checkout.on_session else "no, charged as agreed"),
            ("Payment at Stripe", checkout.payment_intent_id),
        ]
    )
    if plan is None:
        return text
    lines = [
        f"{line.count}. {line.due:%Y-%m-%d} {_amount(line.amount, plan.currency)} {line.state_id}"
        for line in plan.payments
    ]
    return text + "\nThe plan:\n" + "\n".join(lines) + "\n"


def _charge_text(checkout: Checkout) -> str:
    try:
        charge = gateway().charge_evidence(checkout.payment_intent_id)
    except GatewayError as problem:
        return f"Stripe could not be asked: {problem}\nDownload the bundle again later.\n"
    return _charge_facts(charge) if charge is not None else "Stripe has no charge for this payment.\n"


def _charge_facts(charge: ChargeEvidence) -> str:
    secure = dict(charge.authentication)
    return _facts(
        [
            ("Charge", charge.id),
            ("Amount", _amount(money.from_minor(charge.amount_minor, charge.currency), charge.currency)),
            ("When", _moment(charge.created_at)),
            ("Card", charge.card),
            ("Receipt", charge.receipt_url),
            ("Network transaction", charge.network_transaction_id),
            ("Stripe's assessment", charge.outcome),
            ("3-D Secure", json.dumps(secure, sort_keys=True) if secure else "not used for this charge"),
        ]
    )


def _agreements(checkout: Checkout, plan: ObjectPaymentPlan | None) -> list[Agreement]:
    about = Q(checkout=checkout)
    if plan is not None:
        about |= Q(checkout__content_type=plan.content_type_id, checkout__object_id=plan.object_id)
        about |= Q(
            checkout__content_type=ContentType.objects.get_for_model(ObjectPaymentPlan),
            checkout__object_id=str(plan.pk),
        )
        about |= Q(plan_change__plan=plan)
    return list(Agreement.objects.filter(about, _theirs("saved_card__customer", checkout)).order_by("agreed_at"))


def _theirs(field: str, checkout: Checkout) -> Q:
    """Nothing of anybody else: a plan may have had another payer before, or since."""
    return Q(**{field: None}) | Q(**{field: checkout.customer_id}) if checkout.customer_id else Q()


def _agreement_text(agreement: Agreement) -> str:
    lines = [f"{line.get('due')}: {line.get('amount')} {agreement.currency}" for line in agreement.lines]
    return _facts(
        [
            ("Agreed", _moment(agreement.agreed_at)),
            ("Version", agreement.version),
            ("IP address", agreement.ip_address),
            ("Browser", agreement.user_agent),
            ("Total", _amount(agreement.total, agreement.currency)),
        ]
    ) + "\n".join(["", *lines, "", agreement.text, ""])


def _mails(checkout: Checkout, plan: ObjectPaymentPlan | None) -> list[str]:
    """What the payer was told, as it was sent, but for what opens their pages. Only letters of this debt: others are
    none of the bank's business."""
    about = Q(checkout=checkout)
    if plan is not None:
        about |= Q(instalment__object_payment_plan=plan)
        # What was agreed, and each change of it, is written about the plan as a whole.
        about |= Q(cause__in=Letter.objects.filter(plan=plan).values("cause"))
    notices = (
        Notice.objects.filter(about, _theirs("customer", checkout)).exclude(template="staff").order_by("queued_at")
    )
    texts = []
    for notice in notices.order_by("queued_at")[:50]:
        near = Email.objects.filter(
            to__iexact=notice.recipient,
            created__gte=notice.queued_at - timedelta(minutes=1),
            created__lte=notice.queued_at + timedelta(minutes=1),
        ).first()
        head = _facts([("To", notice.recipient), ("When", _moment(notice.queued_at)), ("Letter", notice.template)])
        texts.append(head + links.without_tokens(f"Subject: {near.subject}\n\n{near.message}\n" if near else ""))
    return texts


def _history_text(checkout: Checkout, plan: ObjectPaymentPlan | None) -> str:
    about = Q(checkout=checkout)
    if plan is not None:
        about |= Q(object_payment_plan=plan) | Q(instalment__object_payment_plan=plan)
    rows = StateChange.objects.filter(about).order_by("at", "pk")[:500]
    return "".join(f"{_moment(row.at)} {row}\n" for row in rows)

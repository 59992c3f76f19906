"""Agreeing a plan: the wording, the terms that are kept, the plan and its lines that come of them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.utils import formats
from django.utils.formats import number_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import clock, money
from checkout.conf import conf
from checkout.contract import Actor, ContentObject, actor
from checkout.errors import CannotPay, PlanError
from checkout.models import Checkout, Customer, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan, content_key
from checkout.schedule import Line
from checkout.services import attempt_rows

#: A site replaces the wording by a template of this name, and counts CHECKOUT_AGREEMENT_VERSION up when it does.
TEMPLATE = "checkout/agreement.txt"


def wording(payment_plan: PaymentPlan, content_object: ContentObject) -> str:
    """The text that is shown and kept, in the reader's language; paragraphs are separated by an empty line.

    It says what card rules ask for (https://docs.stripe.com/payments/save-and-reuse#compliance): that the card may be
    charged later, when and how much, that it is kept for this purpose only, and how to cancel.
    """
    currency = attempt_rows.currency_of(content_object)
    locale = get_language() or "en-gb"
    lines = [
        {
            "due": formats.date_format(line.due, "DATE_FORMAT"),
            "amount": money.format_money(line.amount, currency, locale),
        }
        for line in check_can_agree(content_object, payment_plan)
    ]
    context = {
        "organisation": conf.STRIPE_CAPTION,
        "contact": conf.CHECKOUT_CONTACT_TEXT,
        "description": ", ".join(str(line) for line in content_object.checkout_description),
        "total": money.format_money(content_object.checkout_total, currency, locale),
        "deposit": lines[0],
        "instalments": lines[1:],
    }
    text = render_to_string(TEMPLATE, context)
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """What the payer ticked, and where from; becomes an `Agreement` row."""

    text: str
    version: str
    total: Decimal | None
    currency: str
    lines: list[dict[str, Any]]
    ip_address: str | None = None
    user_agent: str = ""


def check_no_plan(content_object: ContentObject) -> None:
    """Raises CannotPay when the row is paid for in parts: paying it at once as well would take it twice. Asked in the
    transaction that inserts an attempt, as `still_payable`."""
    if has_live_plan(content_object):
        raise CannotPay(_("This is paid for by a payment plan. Stop the plan before it is paid in another way."))


def create_object_payment_plan(
    content_object: ContentObject,
    payment_plan: PaymentPlan,
    total: Decimal,
    *,
    customer: Customer | None = None,
    user: Actor = None,
    deposit_due: datetime.date | None = None,
) -> ObjectPaymentPlan:
    """Agree `payment_plan` for a row and make the deposit line, due today unless another day was agreed.

    Raises PlanError, with what would work, when the total cannot be split so, when the row has a live plan already, or
    when the template is no longer offered.
    """
    if payment_plan.deleted:
        raise PlanError(_("“%(name)s” is no longer offered. Choose another payment plan.") % {"name": payment_plan})
    return _begin(
        content_object,
        payment_plan,
        total,
        attempt_rows.currency_of(content_object),
        customer=customer,
        user=user,
        deposit_due=deposit_due,
    )


def _begin(
    content_object: ContentObject,
    payment_plan: PaymentPlan,
    total: Decimal,
    currency: str,
    *,
    customer: Customer | None,
    user: Actor,
    deposit_due: datetime.date | None,
) -> ObjectPaymentPlan:
    """The rows. Asks neither whether the terms are still offered nor what the content object costs now."""
    deposit = payment_plan.lines(deposit_due or clock.today(), total, currency)[0]
    try:
        with transaction.atomic():
            plan = ObjectPaymentPlan.objects.create(
                **content_key(content_object),
                payment_plan=payment_plan,
                customer=customer or Customer.objects.with_email(content_object.checkout_email),
                user=actor(user),
                total=total,
                currency=currency,
            )
            ObjectPaymentPlanInstalment.objects.create(
                object_payment_plan=plan, count=1, deposit=True, amount=deposit.amount, due=deposit.due
            )
    except IntegrityError as error:
        raise PlanError(
            _("There is a payment plan for this already. Another can be agreed once that one is stopped.")
        ) from error
    return plan


def check_can_agree(content_object: ContentObject, payment_plan: PaymentPlan) -> list[Line]:
    """Every line, if this plan may be agreed for this row today. Raises PlanError, with what would work, if not."""
    if has_live_plan(content_object):
        raise PlanError(_("There is a payment plan for this already. Another can be agreed once that one is stopped."))
    return lines_today(content_object, payment_plan)


def has_live_plan(content_object: ContentObject) -> bool:
    return ObjectPaymentPlan.objects.filter(deleted=False, **content_key(content_object)).exists()


def lines_today(content_object: ContentObject, payment_plan: PaymentPlan) -> list[Line]:
    """Every line if the plan were agreed for this row today. Raises PlanError, with what would work. No query."""
    if payment_plan.deleted:
        raise PlanError(_("“%(name)s” is no longer offered. Choose another payment plan.") % {"name": payment_plan})
    return payment_plan.lines(clock.today(), content_object.checkout_total, attempt_rows.currency_of(content_object))


def agreement_terms(
    payment_plan: PaymentPlan,
    content_object: ContentObject,
    *,
    text: str,
    ip_address: str | None = None,
    user_agent: str = "",
) -> AgreementTerms:
    """What a payer who agrees to this plan now agrees to: the wording, and every date and amount."""
    lines = check_can_agree(content_object, payment_plan)
    return AgreementTerms(
        text=text,
        version=conf.CHECKOUT_AGREEMENT_VERSION,
        total=content_object.checkout_total,
        currency=attempt_rows.currency_of(content_object),
        lines=[{"count": line.count, "due": line.due.isoformat(), "amount": str(line.amount)} for line in lines],
        ip_address=ip_address,
        user_agent=user_agent,
    )


def ensure_plan(checkout: Checkout) -> ObjectPaymentPlan | None:
    """The plan that the payer agreed to when the card was saved, in the settling transaction.

    A host whose hook makes the plan itself (as hosts of old do) keeps doing so: then this finds it.
    """
    content_object = checkout.content_object
    if content_object is None or checkout.payment_plan is None or checkout.total is None:
        return None
    existing = live_plan(checkout)
    if existing is not None:
        if existing.customer_id is None:
            ObjectPaymentPlan.objects.filter(pk=existing.pk).update(customer=checkout.customer)
        return existing
    # What was agreed holds, even if the office has stopped offering it or the row has changed since.
    return _begin(
        content_object,
        checkout.payment_plan,
        checkout.total,
        checkout.currency,
        customer=checkout.customer,
        user=checkout.user,
        deposit_due=_agreed_deposit_date(checkout),
    )


def live_plan(checkout: Checkout) -> ObjectPaymentPlan | None:
    """The plan of the row that this attempt was for."""
    return ObjectPaymentPlan.objects.filter(
        content_type=checkout.content_type_id, object_id=checkout.object_id, deleted=False
    ).first()


def _agreed_deposit_date(checkout: Checkout) -> datetime.date | None:
    """The dates the payer saw hold, even when the bank's check ran past midnight."""
    agreement = getattr(checkout, "agreement", None)
    if agreement is None or not agreement.lines:
        return None
    return datetime.date.fromisoformat(agreement.lines[0]["due"])


def create_instalments(plan: ObjectPaymentPlan) -> list[ObjectPaymentPlanInstalment]:
    """Make the lines after the deposit; together with it they add up to the total exactly.

    Raises PlanError without a deposit line, or when the lines are there already.
    """
    deposit = plan.instalments.filter(deposit=True).first()
    if deposit is None:
        raise PlanError(_("This plan has no deposit line, so its instalments cannot be worked out."))
    lines = plan.payment_plan.lines(deposit.due, plan.total, plan.currency)
    if lines[0].amount != deposit.amount:
        raise PlanError(
            _("The deposit is %(deposit)s, but this plan's terms say %(terms)s. Stop the plan and agree a new one.")
            % {
                "deposit": number_format(money.tidy(deposit.amount, plan.currency)),
                "terms": number_format(lines[0].amount),
            }
        )
    rows = [
        ObjectPaymentPlanInstalment(
            object_payment_plan=plan, count=line.count, deposit=False, amount=line.amount, due=line.due
        )
        for line in lines[1:]
    ]
    try:
        with transaction.atomic():
            return ObjectPaymentPlanInstalment.objects.bulk_create(rows)
    except IntegrityError as error:
        raise PlanError(_("The instalments of this plan were made already.")) from error

"""Agreeing a plan: the wording, the terms that are kept, the plan and its lines that come of them."""

from __future__ import annotations

import datetime
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.utils import formats
from django.utils.formats import number_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import clock, money, schedule
from checkout.conf import conf
from checkout.contract import Actor, ContentObject, actor
from checkout.errors import CannotPay, PlanError
from checkout.models import (
    Agreement,
    Checkout,
    Customer,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    SavedCard,
    content_key,
)
from checkout.schedule import Line
from checkout.services import attempt_rows, debts, plan_cards
from checkout.services.insert_each import insert_each

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
    kind: str = Agreement.Kind.PAYER
    other_amounts: bool = False
    #: The page takes the deposit while it saves the card, so that the payer meets the bank once.
    deposit_with_card: bool = False


def write(checkout: Checkout, terms: AgreementTerms, user: Actor = None) -> Agreement:
    """Keep what was agreed, with the attempt that will save the card. The caller holds the transaction."""
    return Agreement.objects.create(
        checkout=checkout,
        kind=terms.kind,
        text=terms.text,
        version=terms.version,
        total=terms.total,
        currency=terms.currency,
        lines=terms.lines,
        other_amounts=terms.other_amounts,
        ip_address=terms.ip_address,
        user_agent=terms.user_agent[:500],
        user=actor(user),
    )


def asked_by_the_host(content_object: ContentObject, payment_plan: PaymentPlan | None) -> AgreementTerms:
    """The terms of a site that has asked its payer on a page of its own: the lines as they are now."""
    if isinstance(content_object, ObjectPaymentPlan):
        return another_card(content_object, kind=Agreement.Kind.HOST)
    currency = attempt_rows.currency_of(content_object)
    lines = lines_today(content_object, payment_plan) if payment_plan is not None else []
    return AgreementTerms(
        text=_("The site asked the payer on a page of its own."),
        version=conf.CHECKOUT_AGREEMENT_VERSION,
        total=content_object.checkout_total,
        currency=currency,
        lines=plan_cards.as_data(lines),
        kind=Agreement.Kind.HOST,
    )


def another_card(plan: ObjectPaymentPlan, *, kind: str = Agreement.Kind.PAYER, **where_from: Any) -> AgreementTerms:
    """What a payer agrees to who gives another card for a plan: what is left of it is taken from that one."""
    return AgreementTerms(
        text=_("What is left of this plan is taken from this card, on the days and in the amounts listed."),
        version=conf.CHECKOUT_AGREEMENT_VERSION,
        total=plan.total,
        currency=plan.currency,
        lines=plan_cards.what_is_left(plan),
        kind=kind,
        **where_from,
    )


#: The attempt whose hook is running: a plan that the host makes there is what this attempt's agreement is about.
hook_of: ContextVar[Checkout | None] = ContextVar("checkout_hook_of", default=None)


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
    saved_card: SavedCard | None = None,
) -> ObjectPaymentPlan:
    """Agree `payment_plan` for a row and make the deposit line, due today unless another day was agreed.

    The site is trusted to have asked: an agreement of kind *host* names the `saved_card` that is given, else the card
    of the attempt whose hook calls this, else the one card that was moved over from an older system for that customer.
    Without any of them the plan waits for its payer's agreement, and charging it raises NoSavedCard.

    Raises PlanError, with what would work, when the total cannot be split so, when the row has a live plan already, or
    when the template is no longer offered.
    """
    if payment_plan.deleted:
        raise PlanError(_("“%(name)s” is no longer offered. Choose another payment plan.") % {"name": payment_plan})
    attempt = hook_of.get()
    key = content_key(content_object)
    if attempt is not None and (attempt.content_type, attempt.object_id) != (key["content_type"], key["object_id"]):
        attempt = None
    customer = customer or (attempt.customer if attempt is not None else None)
    by_attempt = attempt if saved_card is None else None
    with transaction.atomic():
        plan = _begin(
            content_key(content_object),
            payment_plan,
            total,
            attempt_rows.currency_of(content_object),
            customer=customer or Customer.objects.with_email(content_object.checkout_email),
            user=user,
            deposit_due=deposit_due,
            attempt=by_attempt,
        )
        card = saved_card or (_moved_card(plan.customer) if by_attempt is None else None)
        if card is not None:
            lines = payment_plan.lines(deposit_due or clock.today(), total, plan.currency)
            plan.agreement = Agreement.objects.create(
                kind=Agreement.Kind.HOST,
                saved_card=card,
                text=_("The site asked the payer on a page of its own."),
                version=conf.CHECKOUT_AGREEMENT_VERSION,
                total=total,
                currency=plan.currency,
                lines=plan_cards.as_data(lines),
                user=actor(user),
            )
            plan.save(update_fields=["agreement"])
    return plan


def _moved_card(customer: Customer | None) -> SavedCard | None:
    """The one card that came over from an older system with this customer; None when there are several."""
    if customer is None:
        return None
    moved = SavedCard.objects.good().filter(customer=customer, agreements__kind=Agreement.Kind.MOVED).distinct()[:2]
    return moved[0] if len(moved) == 1 else None


def _begin(
    key: dict[str, Any],
    payment_plan: PaymentPlan,
    total: Decimal,
    currency: str,
    *,
    customer: Customer | None,
    user: Actor,
    deposit_due: datetime.date | None,
    attempt: Checkout | None,
    **columns: Any,
) -> ObjectPaymentPlan:
    """The rows, for the content object that `key` points at; charged by the agreement of the `attempt` that saved the
    card, if one did. Asks neither whether the terms are still offered nor what it costs now."""
    deposit = payment_plan.lines(deposit_due or clock.today(), total, currency)[0]
    try:
        with transaction.atomic():
            plan = ObjectPaymentPlan.objects.create(
                **key,
                payment_plan=payment_plan,
                customer=customer,
                user=actor(user),
                total=total,
                currency=currency,
                agreement=plan_cards.of_new_plan(customer, getattr(attempt, "agreement", None)),
                **columns,
            )
            line = ObjectPaymentPlanInstalment.objects.create(
                object_payment_plan=plan, count=1, deposit=True, amount=deposit.amount, due=deposit.due
            )
            debts.open_new([line])
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
        lines=plan_cards.as_data(lines),
        ip_address=ip_address,
        user_agent=user_agent,
        deposit_with_card=conf.CHECKOUT_DEPOSIT_WITH_CARD,
    )


def deposit_with_card(terms: AgreementTerms) -> Decimal | None:
    """The deposit, where it is due by now and the payer's page takes it while the card is saved."""
    if not terms.deposit_with_card or not terms.lines:
        return None
    due, amount = datetime.date.fromisoformat(terms.lines[0]["due"]), Decimal(terms.lines[0]["amount"])
    return amount if due <= clock.today() else None


def ensure_plan(checkout: Checkout) -> ObjectPaymentPlan | None:
    """The plan that the payer agreed to when the card was saved, in the settling transaction.

    A host whose hook makes the plan itself (as hosts of old do) keeps doing so: then this finds it.
    """
    existing = live_plan(checkout)
    if existing is not None:
        return existing
    content_object = checkout.content_object
    if content_object is None or checkout.payment_plan is None or checkout.total is None:
        return None
    # What was agreed holds, even if the office has stopped offering it or the row has changed since.
    return _begin(
        content_key(content_object),
        checkout.payment_plan,
        checkout.total,
        checkout.currency,
        customer=checkout.customer,
        user=checkout.user,
        deposit_due=_agreed_deposit_date(checkout),
        attempt=checkout,
    )


def begin_stopped(checkout: Checkout) -> ObjectPaymentPlan:
    """The plan whose deposit came, and which the site refuses: it holds the money and takes nothing more. In the
    settling transaction; `begin_after_all` lets it begin."""
    if checkout.payment_plan is None or checkout.total is None:
        raise PlanError(f"Checkout {checkout.pk} names no plan to begin.")
    return _begin(
        {"content_type": checkout.content_type, "object_id": checkout.object_id},
        checkout.payment_plan,
        checkout.total,
        checkout.currency,
        customer=checkout.customer,
        user=checkout.user,
        deposit_due=_agreed_deposit_date(checkout),
        attempt=checkout,
        deleted=True,
        deleted_at=clock.now(),
    )


def begin_after_all(checkout: Checkout) -> None:
    """The plan that `begin_stopped` made takes its payments from now on. Raises PlanError when another plan of the same
    row is live."""
    try:
        with transaction.atomic():
            ObjectPaymentPlan.objects.filter(agreement__checkout=checkout, deleted=True).update(
                deleted=False, deleted_at=None
            )
    except IntegrityError as error:
        raise PlanError(
            _("There is a payment plan for this already. Another can be agreed once that one is stopped.")
        ) from error


def live_plan(checkout: Checkout) -> ObjectPaymentPlan | None:
    """The plan of the row that this attempt was for."""
    rows = ObjectPaymentPlan.objects.filter(
        content_type=checkout.content_type_id, object_id=checkout.object_id, deleted=False
    )
    # Of which there is one at most, so the database need not sort them.
    return next(iter(rows.order_by()), None)


def _agreed_deposit_date(checkout: Checkout) -> datetime.date | None:
    """The dates the payer saw hold, even when the bank's check ran past midnight."""
    agreement = getattr(checkout, "agreement", None)
    if agreement is None or not agreement.lines:
        return None
    return datetime.date.fromisoformat(agreement.lines[0]["due"])


def create_instalments(
    plan: ObjectPaymentPlan, deposit: ObjectPaymentPlanInstalment | None = None
) -> list[ObjectPaymentPlanInstalment]:
    """Make the lines after the `deposit` (None: it is read); together with it they add up to the total exactly.

    Raises PlanError without a deposit line, or when the lines are there already.
    """
    deposit = deposit or plan.instalments.filter(deposit=True).first()
    if deposit is None:
        raise PlanError(_("This plan has no deposit line, so its instalments cannot be worked out."))
    lines = _checked_lines(plan, deposit)
    if plan.payment_plan.late_deposit == PaymentPlan.LateDeposit.MOVE:
        lines = schedule.one_a_month(lines, after=clock.today())
    rows = [
        ObjectPaymentPlanInstalment(
            object_payment_plan=plan, count=line.count, deposit=False, amount=line.amount, due=line.due
        )
        for line in lines
    ]
    try:
        with transaction.atomic():
            made = insert_each(rows)
            debts.open_new(made)
            return made
    except IntegrityError as error:
        raise PlanError(_("The instalments of this plan were made already.")) from error


def _checked_lines(plan: ObjectPaymentPlan, deposit: ObjectPaymentPlanInstalment) -> list[Line]:
    """Raises PlanError where they do not add up to the total with this deposit."""
    lines = plan_cards.after_deposit(plan, deposit)
    if deposit.amount + sum(line.amount for line in lines) != plan.total:
        raise PlanError(
            _(
                "The deposit is %(deposit)s, and with the instalments that does not make %(total)s. Stop the plan and "
                "agree a new one."
            )
            % {
                "deposit": number_format(money.tidy(deposit.amount, plan.currency)),
                "total": number_format(money.tidy(plan.total, plan.currency)),
            }
        )
    return lines

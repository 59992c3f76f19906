"""When the bank requires the payer: the attempt they continue on the page, and the mail that asks them to come."""

from __future__ import annotations

import datetime
import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import CharField, DateTimeField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from checkout import actions, clock, declines, letters, links, mail, money, states
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import AlreadyPaid, AttemptInProgress, CannotPay, CheckoutError
from checkout.gateway import assert_no_transaction
from checkout.logins import CanLoginAndPay, user_has_active_account
from checkout.models import Checkout, Notice, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import (
    agreements,
    attempt_rows,
    cards,
    checkouts,
    ending,
    intents,
    notices,
    payers,
    promises,
    recovery,
    unsent,
)

logger = logging.getLogger("checkout.on_session")

#: The payer of a deposit has just saved the card and is most likely still on the page.
DEPOSIT_GRACE = datetime.timedelta(minutes=30)
#: How many instalments are read at a time; each is committed by itself.
CHUNK = 200


# -- the payer comes ------------------------------------------------------------------------------------


def create_checkout_pay_on_session(
    instalment: ObjectPaymentPlanInstalment, user: Actor = None, *, another_card: bool = False
) -> Checkout:
    """The payer is here for an instalment: continue the open attempt with its own intent, or begin one.

    `another_card` begins anew, with an intent that also saves the card for the instalments that follow (the bank's
    refusal of the old card leaves an intent that cannot do that).

    Raises AlreadyPaid, CannotPay when the plan was stopped, AttemptInProgress while a charge is unanswered.
    """
    assert_no_transaction()
    payer = actor(user)
    instalment.refresh_from_db()
    check_payable(instalment)
    existing = open_attempt(instalment)
    if existing is not None:
        if attempt_rows.off_session(existing):
            raise AttemptInProgress(_("This is being paid at this moment. Please look again in a few minutes."))
        of_former = payers.is_of_former(instalment.object_payment_plan, existing)
        if (
            not existing.allocated
            and not of_former
            and (existing.is_payment or not (another_card or _card_is_gone(existing)))
        ):
            if another_card:
                without_saved_card(existing)
            return intents.ensure_intent(checkouts.take_over(existing, payer))
        intents.close_open_attempts(instalment, payer)
    return intents.once_more(lambda: _begin(instalment, payer, another_card=another_card))


def check_payable(instalment: ObjectPaymentPlanInstalment) -> None:
    """Raises AlreadyPaid or CannotPay, with a sentence for the payer, unless this is still owed."""
    if instalment.state_id == states.SUCCESS:
        raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))
    if not instalment.checkout_can_charge:
        raise CannotPay(_("This payment plan was stopped, so there is nothing to pay."))


def open_attempt(instalment: ObjectPaymentPlanInstalment) -> Checkout | None:
    """The one attempt at this debt that may still take money."""
    attempts = Checkout.objects.asking_for(instalment).taking_money().open().select_related("customer")
    found: Checkout | None = attempts.first()
    return found


def _card_is_gone(checkout: Checkout) -> bool:
    """There is no saved card to send again, or the intent belongs to a customer that Stripe no longer has."""
    line = checkout.content_object
    card = line.object_payment_plan.card if isinstance(line, ObjectPaymentPlanInstalment) else None
    return card is None or card.stripe_customer_id != checkout.stripe_customer_id


def without_saved_card(checkout: Checkout) -> None:
    """The payer has asked for an empty card form; the intent can take any card."""
    if checkout.payment_method_id:
        Checkout.objects.filter(pk=checkout.pk, payment_intent_id=checkout.payment_intent_id).update(
            payment_method_id=""
        )
        checkout.payment_method_id = ""


def _begin(instalment: ObjectPaymentPlanInstalment, user: Actor, *, another_card: bool) -> Checkout:
    instalment.refresh_from_db()
    customer = cards.ensure_customer(instalment.checkout_email, instalment.checkout_name)
    stripe_customer_id = cards.ensure_stripe_customer(customer)
    try:
        with transaction.atomic(durable=True):
            # The lock meets the UPDATE of `plans.stop`: either it sees this attempt, or this sees the stopped plan.
            list(ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(pk=instalment.object_payment_plan_id))
            card = instalment.object_payment_plan.card
            begun = attempt_rows.insert(
                instalment,
                actions.PAYMENT,
                user,
                total=instalment.amount,
                customer=customer,
                stripe_customer_id=stripe_customer_id,
                # The saved card is offered first; the intent takes any.
                payment_method_id=card.payment_method_id if card is not None and not another_card else "",
            )
            # The page says what becomes of another card that is used here.
            agreements.write(begun, agreements.another_card(instalment.object_payment_plan), user)
            # Asked again, now that the constraint keeps everybody else out: a run may have been faster.
            instalment = ObjectPaymentPlanInstalment.objects.select_related("object_payment_plan").get(pk=instalment.pk)
            check_payable(instalment)
            return begun
    except IntegrityError as error:
        raise AttemptInProgress(_("Another payment for this is under way. Please look again in a minute.")) from error


# -- the mail that asks them to come --------------------------------------------------------------------


@dataclass(slots=True)
class Sent:
    """What one sweep over waiting instalments queued. `errors` are logged and tried again by the next sweep."""

    mailed: int = 0
    errors: int = 0


def waiting_for_mail() -> QuerySet[ObjectPaymentPlanInstalment]:
    """Instalments whose payer has not been told yet, or not been reminded, that the bank requires them.

    The reason of a mail is the charge that the bank refused: annotated as `reason`. `told` is True where the
    first mail has gone out and the reminder is due.
    """
    attempts = Checkout.objects.filter(
        content_type=ContentType.objects.get_for_model(ObjectPaymentPlanInstalment),
        object_id=Cast(OuterRef("pk"), CharField()),
    )
    # A charge is marked `on_session` when the bank refuses it, and never before.
    charges = attempts.filter(Q(action=actions.CHARGE), on_session=True).order_by("-pk")
    told = Notice.objects.filter(cause=Concat(OuterRef("cause_stem"), Value("1"), output_field=CharField()))
    rows = ObjectPaymentPlanInstalment.objects.filter(
        ~promises.held_on(clock.today()), Q(state=states.PAY_ON_SESSION), object_payment_plan__deleted=False
    ).annotate(
        reason=Subquery(charges.values("pk")[:1]),
        asked_at=Subquery(charges.values("claimed_at")[:1], output_field=DateTimeField()),
        cause_stem=Concat(
            Value("on_session:"),
            Cast("pk", CharField()),
            Value(":"),
            Cast("reason", CharField()),
            Value(":"),
            output_field=CharField(),
        ),
    )
    rows = rows.annotate(told=Exists(told))
    wanted = Q(told=False) & (Q(deposit=False) | Q(asked_at__lt=clock.now() - DEPOSIT_GRACE))
    if conf.CHECKOUT_ON_SESSION_REMINDER_DAYS:
        long_ago = clock.now() - datetime.timedelta(days=conf.CHECKOUT_ON_SESSION_REMINDER_DAYS)
        reminded = Notice.objects.filter(cause=Concat(OuterRef("cause_stem"), Value("2"), output_field=CharField()))
        wanted |= Q(told=True) & Exists(told.filter(queued_at__lte=long_ago)) & ~Exists(reminded)
    # What a former payer's bank has refused is no matter of whoever pays now.
    rows = rows.exclude(object_payment_plan__taken_over_at__gt=F("asked_at"))
    # While the answer to a payment is awaited, or is known and not written down, there is nothing for the payer to do.
    busy = attempts.filter(Q(state=states.REQUEST) | Q(error_code=ending.NOT_WRITTEN_DOWN))
    return rows.filter(wanted, ~Exists(busy), reason__isnull=False).order_by("due", "pk")


def send_on_session_payment_emails(can_login_and_pay: CanLoginAndPay | None = None) -> Sent:
    """Mail every payer whom a bank requires, once for each refusal, and once more as a reminder.

    `can_login_and_pay(contact)` decides between the mail that leads to the login page and the one with a signed link,
    for payers with an active account; everybody else gets the link. The default is the function that
    CHECKOUT_CAN_LOGIN_AND_PAY names. Safe to run at any time, and in many processes at
    once. A row that cannot be mailed is logged, counted and skipped.

    Raises CheckoutError, before anything is sent, for a function that does not take exactly one parameter, when a mail
    template is missing (MailNotReady), and when CHECKOUT_BASE_URL is not set.
    """
    function = can_login_and_pay or conf.load("CHECKOUT_CAN_LOGIN_AND_PAY")
    check_one_parameter(function)
    mail.require(*(name for name in (letters.ON_SESSION_AUTH, letters.ON_SESSION_ANON) if letters.is_on(name)))
    links.base_url()
    sent = Sent()
    if not (letters.is_on(letters.ON_SESSION_AUTH) or letters.is_on(letters.ON_SESSION_ANON)):
        return sent
    # The list is fixed first: rows that fail would otherwise be found again for ever.
    waiting = list(waiting_for_mail().values_list("pk", flat=True))
    for start in range(0, len(waiting), CHUNK):
        instalment: Any  # with what the query adds to it
        for instalment in _read(waiting[start : start + CHUNK]):
            letter = f"{instalment.cause_stem}{2 if instalment.told else 1}"
            try:
                sent.mailed += _mail(instalment, function)
                unsent.gone(letter)
            except Exception as problem:
                # The function and the row are the host's, so anything may come out of them.
                logger.exception("no mail about instalment %s", instalment.pk, extra={"instalment": instalment.pk})
                unsent.report(letter, problem)
                sent.errors += 1
    return sent


def check_one_parameter(function: CanLoginAndPay) -> None:
    """Raises CheckoutError unless `function` can be called with the contact and nothing else."""
    name = getattr(function, "__qualname__", repr(function))
    if not callable(function):
        raise CheckoutError(f"can_login_and_pay must be a function that takes the contact; {name} is none.")
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return  # written in C: it cannot tell
    if len(names) != 1:
        raise CheckoutError(
            f"can_login_and_pay must take exactly one parameter, the contact; {name} takes {len(names)}"
            f"{': ' + ', '.join(names) if names else ''}. Nothing was sent."
        )


def _read(pks: Sequence[int]) -> QuerySet[Any]:
    """Read again, a chunk at a time: what was paid or mailed meanwhile drops out."""
    return (
        waiting_for_mail()
        .filter(pk__in=pks)
        .select_related(
            "object_payment_plan__customer", "object_payment_plan__payment_plan", "object_payment_plan__user"
        )
        .prefetch_related("object_payment_plan__content_object")
    )


def _mail(instalment: Any, can_login_and_pay: CanLoginAndPay) -> bool:
    """Queue one mail; False if it has been sent, or there is nothing to tell any more."""
    plan = instalment.object_payment_plan
    if plan.content_object is None:
        raise CheckoutError(_("What this plan was agreed for no longer exists. Stop the plan, or speak to the payer."))
    # The site is asked about those who have an account only: a login page helps nobody whom no login brings further.
    # Of a plan that was taken over it knows nobody.
    asked = can_login_and_pay if plan.taken_over_at is None else user_has_active_account
    can_login = payers.payer_of(plan) is not None and bool(asked(instalment.checkout_contact))
    template = (
        instalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH
        if can_login
        else instalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON
    )
    link = links.absolute("checkout.pay.on.session", instalment.uuid) if can_login else links.payment_link(instalment)
    language = notices.language_of(plan.payer_row, plan.customer)
    # As it was when this row was found due for a mail: asked anew, the first mail of a sender who was a moment faster
    # would make this one a reminder.
    number = 2 if instalment.told else 1
    with transaction.atomic():
        # Locked, so that a payment that is settled at this moment is either seen here or comes after the mail.
        still = ObjectPaymentPlanInstalment.objects.select_for_update(of=("self",)).filter(pk=instalment.pk)
        if not still.filter(Q(state=states.PAY_ON_SESSION)).exists():
            return False
        with translation.override(language):
            context = words(instalment, link, language, reminder=number == 2)
        return notices.send_once(
            f"{instalment.cause_stem}{number}",
            template,
            instalment.checkout_email,
            context,
            language=language,
            checkout=Checkout.objects.get(pk=instalment.reason),
            instalment=instalment,
            customer=plan.customer,
        )


def words(instalment: ObjectPaymentPlanInstalment, link: str, language: str, *, reminder: bool) -> dict[str, Any]:
    """What the mail says, as plain text in the language that is active."""
    return _of_line(instalment, link, language) | {"reminder": reminder}


def asked(instalment: ObjectPaymentPlanInstalment, link: str, language: str, *, reminder: bool) -> dict[str, Any]:
    """What the letter of staff who ask for a line says. The reason is the one of its last attempt, if there was any: no
    bank's check is claimed that no bank has asked for."""
    said = _of_line(instalment, link, language)
    rows = [(_("What for"), said["description"]), (_("Amount"), said["amount"]), (_("Due"), said["due"])]
    again = recovery.next_tries_of(instalment.object_payment_plan).get(instalment.pk)
    return said | {
        "retry_on": formats.date_format(again, "DATE_FORMAT") if again is not None else "",
        "reminder": reminder,
        "reason": _reason(instalment),
        "facts": [{"label": label, "value": value} for label, value in rows if value],
    }


def _reason(instalment: ObjectPaymentPlanInstalment) -> str:
    attempts = Checkout.objects.for_content_object(instalment).taking_money().exclude(superseded=True)
    last = attempts.order_by("-pk").first()
    if last is None or not last.error_code or last.error_code == ending.NOT_WRITTEN_DOWN:
        return ""
    return declines.sentence(last.error_code, last.decline_code)


def _of_line(instalment: ObjectPaymentPlanInstalment, link: str, language: str) -> dict[str, Any]:
    plan = instalment.object_payment_plan
    expires = timezone.localdate(clock.now() + datetime.timedelta(days=conf.CHECKOUT_LINK_DAYS))
    return {
        "name": instalment.checkout_name,
        "amount": money.format_money(instalment.left, plan.currency, language),
        "due": formats.date_format(instalment.due, "DATE_FORMAT"),
        "description": ", ".join(str(line) for line in instalment.checkout_description),
        "card": plan.card.description if plan.card is not None else "",
        "link": link,
        "link_expires": formats.date_format(expires, "DATE_FORMAT"),
        "contact": conf.CHECKOUT_CONTACT_TEXT,
        "organisation": conf.STRIPE_CAPTION,
    }

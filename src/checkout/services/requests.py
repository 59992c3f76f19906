"""Asking a customer for an amount: charge the saved card while they are away, or send them a signed link to pay."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from checkout import clock, links, money, states
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import AlreadyPaid, AttemptInProgress, CannotPay, CheckoutError
from checkout.journal import Code, Why
from checkout.models import Checkout, CustomerPayment, Notice
from checkout.services import attempt_debts, cards, charging, checkouts, debts, intents, moves, notices, unsent

logger = logging.getLogger("checkout.requests")

#: A sweep that was not run for so long reminds nobody of what is older.
REMIND_WITHIN = timedelta(days=30)
#: How the cause of a reminder ends; those of the others are numbered.
REMINDER = "reminder"

# -- the payer's address ---------------------------------------------------------------------------------


def payer_path(payment: CustomerPayment) -> str:
    return reverse("checkout.request.pay", args=[links.make_token(payment)])


# -- what staff do ---------------------------------------------------------------------------------------


def create(
    *,
    email: str,
    name: str,
    description: str,
    total: Decimal,
    currency: str = "",
    user: Actor = None,
    key: uuid.UUID | None = None,
) -> CustomerPayment:
    """Write down that a customer is asked for an amount. The same `key` again is the same request.

    Raises MoneyError for an amount that Stripe would not take, CannotPay without an e-mail address.
    """
    currency = money.check_currency(currency or conf.CHECKOUT_CURRENCY)
    money.check_chargeable(total, currency)
    customer = cards.ensure_customer(email, name)
    key = key or uuid.uuid4()
    try:
        with transaction.atomic():
            payment = CustomerPayment.objects.create(
                uuid=key,
                customer=customer,
                description=description,
                total=total,
                currency=currency,
                user=actor(user),
            )
            moves.record(payment, from_state="", to=states.PENDING, user=user, why=Why(Code.ASKED_FOR))
    except IntegrityError:
        return CustomerPayment.objects.select_related("customer").get(uuid=key)
    return payment


def send_link(payment: CustomerPayment, user: Actor = None, *, again: bool = False) -> bool:
    """Queue the mail with the link, once; `again` sends one more, as a reminder. False when it was sent before.

    Raises AlreadyPaid, and MailNotReady without the template or the site's address.
    """
    payment.refresh_from_db()
    _check_to_pay(payment)
    prefix = _cause_of(payment)
    number = Notice.objects.filter(cause__startswith=prefix).count() if again else 0
    with transaction.atomic():
        sent = _mail(payment, f"{prefix}{number}", reminder=number > 0)
        if sent and again:
            moves.note(payment, user=user, why=Why(Code.LINK_SENT_AGAIN))
    return sent


def _cause_of(payment: CustomerPayment) -> str:
    """How the causes of its letters begin."""
    return f"customer-payment-{payment.pk}-"


def _mail(payment: CustomerPayment, cause: str, *, reminder: bool) -> bool:
    language = notices.language_of(payment, payment.customer)
    return notices.send_once(
        cause,
        CustomerPayment.MAIL_TEMPLATE_REQUEST,
        payment.customer.email,
        {
            "reminder": reminder,
            "name": payment.customer.name,
            "description": payment.description,
            "amount": money.format_money(payment.total, payment.currency, language),
            "link": links.base_url() + payer_path(payment),
            "days": conf.CHECKOUT_LINK_DAYS,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
            "organisation": conf.STRIPE_CAPTION,
        },
        language=language,
        customer=payment.customer,
    )


def remind() -> tuple[int, int]:
    """Mail the link of each request that is still to pay once more, CHECKOUT_REMINDER_DAYS after its one mail; how many
    were reminded, and how many of those mails could not be written. Safe at any time, again."""
    days = conf.CHECKOUT_REMINDER_DAYS
    if not days:
        return 0, 0
    until = clock.now() - timedelta(days=days)
    to_pay = CustomerPayment.objects.filter(
        ~Q(state=states.SUCCESS), withdrawn_at=None, created_at__lte=until, created_at__gt=until - REMIND_WITHIN
    )
    rows = {_cause_of(row): row for row in to_pay.select_related("customer").order_by("pk")}
    causes = [f"{prefix}{end}" for prefix in rows for end in ("0", "1", REMINDER)]
    written = dict(Notice.objects.filter(cause__in=causes).values_list("cause", "queued_at"))
    reminded = errors = 0
    for prefix, payment in rows.items():
        first = written.get(f"{prefix}0")
        # Whom staff wrote to again has been reminded.
        if first is None or first > until or f"{prefix}1" in written or f"{prefix}{REMINDER}" in written:
            continue
        try:
            reminded += _mail_while_to_pay(payment, f"{prefix}{REMINDER}")
        except (CheckoutError, ImproperlyConfigured) as problem:
            unsent.report(f"{prefix}{REMINDER}", problem)
            errors += 1
    return reminded, errors


def link_asked(key: uuid.UUID) -> None:
    """Somebody holds a link to a request that has expired, and asks for another: once an hour at most, to the address
    that we know, and only while it is to pay."""
    payment = CustomerPayment.objects.filter(uuid=key).first()
    if payment is None:
        return
    cause = f"{_cause_of(payment)}asked-{clock.now():%Y%m%d%H}"
    try:
        _mail_while_to_pay(payment, cause)
    except (CheckoutError, ImproperlyConfigured) as problem:
        unsent.report(cause, problem)


def _mail_while_to_pay(payment: CustomerPayment, cause: str) -> bool:
    with transaction.atomic():
        held = CustomerPayment.objects.select_for_update(of=("self",), no_key=True).get(pk=payment.pk)
        # It may have been paid since it was read, or is about to be.
        if not held.is_to_pay or is_being_charged(held):
            return False
        return _mail(payment, cause, reminder=True)


def charge(payment: CustomerPayment, user: Actor = None, reason: str = "") -> Checkout:
    """Charge the saved card while the customer is away. Errors as `charging.charge`."""
    payment.refresh_from_db()
    _check_to_pay(payment)
    if reason:
        moves.note(payment, user=user, why=Why(Code.CARD_CHARGE_WANTED, note=reason))
    return charging.charge(payment, user)


def _check_to_pay(payment: CustomerPayment) -> None:
    if payment.state_id == states.SUCCESS:
        raise AlreadyPaid(_("This was paid already."))
    if payment.is_withdrawn:
        raise CannotPay(_("This request was withdrawn. There is nothing to pay."))


def withdraw(payment: CustomerPayment, user: Actor, reason: str) -> bool:
    """Take a request back: nothing is owed for it any more, its links say so, and whoever was asked by mail is told.

    Open pages are ended at Stripe first. False when that shows that it was paid: then it is settled, and stands. Raises
    AlreadyPaid when it was paid before, AttemptInProgress while Stripe's answer to a charge is awaited.
    """
    payment.refresh_from_db()
    _check_to_pay(payment)
    try:
        intents.close_open_attempts(payment, user)
    except AlreadyPaid:
        payment.refresh_from_db()
        return False
    with transaction.atomic(durable=True):
        # The lock meets that of `attempt_rows.still_payable`: whoever begins to pay now is seen here, or sees this.
        held = CustomerPayment.objects.select_for_update(of=("self",), no_key=True).get(pk=payment.pk)
        _check_to_pay(held)
        if Checkout.objects.asking_for(held).one_at_a_time().open().exists():
            raise AttemptInProgress(_("Its payer is about to pay. Please look again in a few minutes."))
        if held.state_id == states.PAY_ON_SESSION:
            moves.move(held, to=states.PENDING, user=user, why=Why(Code.REQUEST_WITHDRAWN))
        CustomerPayment.objects.filter(pk=held.pk).update(
            withdrawn_at=clock.now(), withdrawn_by=actor(user), withdrawn_why=reason[:255]
        )
        held.refresh_from_db()
        moves.note(held, user=user, why=Why(Code.REQUEST_WITHDRAWN, note=reason))
        debts.not_owed_any_more(held)
        _tell_of_withdrawal(held)
    payment.refresh_from_db()
    return True


def _tell_of_withdrawal(payment: CustomerPayment) -> None:
    """Whoever was asked by mail is told. A mail that cannot be written keeps nothing from being withdrawn."""
    prefix = _cause_of(payment)
    if not Notice.objects.filter(cause__startswith=prefix).exists():
        return
    language = notices.language_of(payment, payment.customer)
    try:
        with transaction.atomic():
            notices.send_once(
                f"{prefix}withdrawn",
                CustomerPayment.MAIL_TEMPLATE_WITHDRAWN,
                payment.customer.email,
                {
                    "name": payment.customer.name,
                    "description": payment.description,
                    "amount": money.format_money(payment.total, payment.currency, language),
                    "contact": conf.CHECKOUT_CONTACT_TEXT,
                    "organisation": conf.STRIPE_CAPTION,
                },
                language=language,
                customer=payment.customer,
            )
    except Exception as problem:
        logger.exception("no letter about the withdrawal of request %s", payment.pk)
        unsent.report(f"{prefix}withdrawn", problem)


def wants_payer(payment: CustomerPayment, checkout: Checkout) -> None:
    """The bank requires the customer there: the request waits, and the link is mailed. In the settling transaction.

    A mail that cannot be written does not undo what the bank said: staff see the request wait, and can send the link.
    """
    moves.move(payment, to=states.PAY_ON_SESSION, why=Why(Code.ATTEMPT_WANTS_PAYER, checkout=checkout.pk))
    try:
        with transaction.atomic():
            send_link(payment)
    except Exception as problem:
        logger.exception("no link for request %s", payment.pk, extra={"checkout": checkout.pk})
        unsent.report(f"{_cause_of(payment)}0", problem, checkout=checkout)


# -- what the payer does ---------------------------------------------------------------------------------


def is_being_charged(payment: CustomerPayment) -> bool:
    """True while Stripe's answer about a charge of the saved card is awaited. The request itself stays `pending`."""
    attempts = Checkout.objects.for_content_object(payment).taking_money()
    return attempts.filter(Q(state=states.REQUEST), on_session=False).exists()


def begin(payment: CustomerPayment, user: Actor = None) -> Checkout:
    """The customer is on the page and wants to pay: the attempt to go on with. Two visits share one."""
    payment.refresh_from_db()
    if payment.state_id == states.SUCCESS:
        raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))
    _check_to_pay(payment)
    if is_being_charged(payment):
        raise CannotPay(_("This is being paid at this moment. Please look again in a few minutes."))
    return Checkout.objects.create_checkout("payment", payment, user)


def paid_by_hand(
    payment: CustomerPayment,
    user: Actor,
    reason: str,
    *,
    within: Callable[[Decimal], None] | None = None,
    means: attempt_debts.Means = attempt_debts.UNSAID,
) -> Checkout:
    """Staff: it was paid by other means. Open attempts are cancelled at Stripe first. `within` and `means` as there."""
    return checkouts.manual(payment, user, reason, within=within, means=means)

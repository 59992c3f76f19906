"""When the bank wants the payer: the attempt they continue on the page."""

from __future__ import annotations

from typing import Any

from dateutil.relativedelta import relativedelta
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from checkout import actions, clock, states
from checkout.conf import conf
from checkout.errors import AlreadyPaid, AttemptInProgress, CannotPay
from checkout.models import Checkout, ObjectPaymentPlanInstalment
from checkout.services import cards, checkouts


def create_checkout_pay_on_session(
    instalment: ObjectPaymentPlanInstalment, user: Any = None, *, another_card: bool = False
) -> Checkout:
    """The payer is here for an instalment: continue the open attempt with its own intent, or begin one.

    `another_card` begins anew, with an intent that also saves the card for the instalments that follow (the bank's
    refusal of the old card leaves an intent that cannot do that).

    Raises AlreadyPaid, CannotPay when the plan was stopped, AttemptInProgress while a charge is unanswered.
    """
    instalment.refresh_from_db()
    if instalment.state_id == states.SUCCESS:
        raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))
    if not instalment.checkout_can_charge:
        raise CannotPay(_("This payment plan was stopped, so there is nothing to pay."))
    existing = Checkout.objects.for_content_object(instalment).taking_money().open().first()
    if existing is not None:
        if existing.state_id == states.REQUEST and not existing.on_session:
            raise AttemptInProgress(_("This is being paid at this moment. Please look again in a few minutes."))
        if not another_card or existing.is_payment:
            return checkouts.take_over(existing, user)
        checkouts.close_open_attempts(instalment, user)
    return checkouts.ask(_begin(instalment, user))


def _begin(instalment: ObjectPaymentPlanInstalment, user: Any) -> Checkout:
    customer = cards.ensure_customer(instalment.checkout_email, instalment.checkout_name)
    stripe_customer_id = cards.ensure_stripe_customer(customer)
    try:
        with transaction.atomic(durable=True):
            return checkouts.insert(
                instalment,
                actions.PAYMENT,
                user,
                total=instalment.amount,
                customer=customer,
                stripe_customer_id=stripe_customer_id,
            )
    except IntegrityError as error:
        raise AttemptInProgress(_("Another payment for this is under way. Please look again in a minute.")) from error


def user_has_active_account(contact: Any) -> bool:
    """True if this person can log in and pay: an active user with that e-mail address and a usable password who was
    here within CHECKOUT_ACTIVE_LOGIN_MONTHS. `contact` is the content object's `checkout_contact`, or itself."""
    email = getattr(contact, "checkout_email", "") or getattr(contact, "email", "")
    if not email:
        return False
    since = clock.now() - relativedelta(months=conf.CHECKOUT_ACTIVE_LOGIN_MONTHS)
    users = get_user_model()._default_manager.filter(email__iexact=email, is_active=True, last_login__gte=since)
    return any(user.has_usable_password() for user in users)

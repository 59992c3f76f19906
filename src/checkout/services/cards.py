"""Customers at Stripe and the cards saved on them."""

from __future__ import annotations

import logging
import uuid

from django.db import IntegrityError, transaction

from checkout.conf import conf
from checkout.errors import CannotPay, GatewayError
from checkout.gateway import Card, SetupIntent, gateway
from checkout.models import Checkout, Customer

logger = logging.getLogger("checkout.cards")


def ensure_customer(email: str, name: str) -> Customer:
    """The one row of that e-mail address (compared without case), made if needed. No call to Stripe."""
    if not email:
        raise CannotPay("An e-mail address is needed to save a card.")
    found = Customer.objects.with_email(email)
    if found is not None:
        return found
    try:
        with transaction.atomic():
            return Customer.objects.create(email=email, name=name)
    except IntegrityError:
        faster = Customer.objects.with_email(email)
        if faster is None:
            raise
        return faster


def ensure_stripe_customer(customer: Customer) -> str:
    """Stripe's id of the customer (cus_…), made at Stripe if needed. Two callers at once make one.

    A customer that was deleted at Stripe is made anew; its card is gone with it.
    """
    if customer.customer_id and customer.deleted_at_stripe:
        forget_stripe_customer(customer)
    if customer.customer_id:
        return customer.customer_id
    customer_id = gateway().create_customer(
        email=customer.email,
        name=customer.name,
        metadata={"customer_pk": str(customer.pk)},
        idempotency_key=str(customer.creation_key),
    )
    Customer.objects.filter(pk=customer.pk, customer_id="").update(customer_id=customer_id)
    customer.refresh_from_db()
    return customer.customer_id


def forget_stripe_customer(customer: Customer) -> None:
    """Forget a customer that Stripe no longer has; a new key lets a new one be made."""
    lost = {
        "customer_id": "",
        "payment_method_id": "",
        "deleted_at_stripe": False,
        "creation_key": uuid.uuid4(),
    }
    Customer.objects.filter(pk=customer.pk, customer_id=customer.customer_id).update(**lost)
    customer.refresh_from_db()


def mark_deleted_at_stripe(customer_id: str) -> bool:
    """The customer was deleted at Stripe: its card cannot be charged. True if it was one of ours."""
    return bool(
        Customer.objects.filter(customer_id=customer_id).update(
            deleted_at_stripe=True, payment_method_id="", refresh=True
        )
    )


def store_card(checkout: Checkout, intent: SetupIntent) -> None:
    """The card that was just set up is the one charged from now on. In the settling transaction; Stripe is not called.

    The old one is taken off at Stripe afterwards, by `detach_replaced_card`.
    """
    customer = checkout.customer
    if customer is None:
        return
    Customer.objects.filter(pk=customer.pk).update(
        customer_id=intent.customer_id,
        payment_method_id=intent.payment_method_id,
        refresh=False,
        deleted_at_stripe=False,
        **card_columns(intent.card),
    )
    customer.refresh_from_db()


def adopt_card(checkout: Checkout, payment_method_id: str) -> None:
    """A payer of a plan paid with another card and it was saved: it is the one charged from now on. In the settling
    transaction; what is printed on it is read by `update_card` afterwards."""
    customer = checkout.customer
    if customer is None or not payment_method_id or payment_method_id == customer.payment_method_id:
        return
    Customer.objects.filter(pk=customer.pk).update(
        payment_method_id=payment_method_id, refresh=False, **card_columns(None)
    )
    customer.refresh_from_db()


def card_columns(card: Card | None) -> dict[str, object]:
    """A card as the columns of `Customer`."""
    if card is None:
        return {
            "card_brand": "",
            "card_last4": "",
            "card_exp_month": None,
            "card_exp_year": None,
            "card_fingerprint": "",
            "expiry_date": None,
        }
    known = card.exp_month is not None and card.exp_year is not None
    return {
        "card_brand": card.brand,
        "card_last4": card.last4,
        "card_exp_month": card.exp_month,
        "card_exp_year": card.exp_year,
        "card_fingerprint": card.fingerprint,
        "expiry_date": Customer.last_good_day(card.exp_month or 1, card.exp_year or 1) if known else None,
    }


def detach_replaced_card(customer: Customer, old_payment_method_id: str) -> None:
    """Take the replaced card off the customer at Stripe, if the site wants that (CHECKOUT_DETACH_OLD_CARDS).

    Only tidying up: a failure is logged and changes nothing, the new card is charged either way.
    """
    if not conf.CHECKOUT_DETACH_OLD_CARDS or not old_payment_method_id:
        return
    if old_payment_method_id == customer.payment_method_id:
        return
    try:
        gateway().detach_payment_method(old_payment_method_id)
    except GatewayError as problem:
        logger.info("old card of customer %s was not detached: %s", customer.pk, problem.code or problem)


def update_card(customer: Customer) -> Customer:
    """Read the saved card from Stripe again: expiry and number may have changed under the same id."""
    method = gateway().retrieve_payment_method(customer.payment_method_id)
    Customer.objects.filter(pk=customer.pk, payment_method_id=customer.payment_method_id).update(
        **card_columns(method.card)
    )
    customer.refresh_from_db()
    return customer

"""A payer's name and address at Stripe, after they were corrected here."""

from __future__ import annotations

import logging

from django.db.models import Q, QuerySet

from checkout.conf import conf, is_live_key
from checkout.errors import CheckoutError
from checkout.gateway import gateway
from checkout.models import Customer, StripeCustomer

logger = logging.getLogger("checkout.cards")

#: So many in one run of the job; the rest in the next.
AT_ONCE = 200


def tell(customer: Customer) -> bool:
    """Tell Stripe the name and the address of a payer as they are now, if it knows older ones. Outside of any
    transaction. False when Stripe gave no answer: the daily job tells it then."""
    told = [_tell(row) for row in _outdated().filter(Q(customer=customer) | Q(customer__merged_into=customer))]
    return all(told)


def tell_outdated() -> int:
    """Tell Stripe what it could not be told when it was corrected; how many payers. Safe to run again."""
    return sum(_tell(row) for row in _outdated().select_related("customer__merged_into").order_by("pk")[:AT_ONCE])


def _outdated() -> QuerySet[StripeCustomer]:
    """Those that our key can reach."""
    return StripeCustomer.objects.filter(outdated=True, gone=False, livemode=is_live_key(conf.STRIPE_SECRET_KEY))


def _tell(row: StripeCustomer) -> bool:
    # One that was merged is the same person under another id of Stripe's.
    payer = row.customer.merged_into or row.customer
    name, email = payer.name, payer.email
    try:
        gateway().update_customer(row.stripe_customer_id, email=email, name=name)
    except CheckoutError as problem:
        logger.warning("%s was not told its new address: %s", row, type(problem).__name__)
        return False
    # Corrected once more meanwhile, it is told again.
    told = StripeCustomer.objects.filter(pk=row.pk).filter(
        Q(customer__merged_into=None, customer__name=name, customer__email=email)
        | Q(customer__merged_into__name=name, customer__merged_into__email=email)
    )
    StripeCustomer.objects.filter(pk__in=list(told.values_list("pk", flat=True))).update(outdated=False)
    return True

"""What staff do to a payer's row: correct the name and the address, and write notes."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import states
from checkout.contract import Actor, actor
from checkout.errors import CheckoutError
from checkout.journal import Code, Why
from checkout.models import Customer, CustomerPayment, ObjectPaymentPlan, StateChange, StripeCustomer
from checkout.office import accounts, services
from checkout.services import at_stripe

logger = logging.getLogger("checkout.staff")


def correct(customer: Customer, name: str, email: str, user: Actor, reason: str) -> bool:
    """Correct the name and the address, and tell Stripe. True if Stripe has been told (or knows nobody); False when it
    gave no answer, and is told by the daily job.

    A new address makes every link of earlier letters dead, and ends payment pages that are open. Who changed what, and
    why, is kept; so is what was paid under the old address. Raises CheckoutError when another customer has that
    address.
    """
    name, email = name.strip(), email.strip()
    before = Customer.objects.get(pk=customer.pk)
    changes = [
        why
        for why, changed in (
            (Why(Code.EMAIL_CORRECTED, before=before.email, after=email, note=reason), email != before.email),
            (Why(Code.NAME_CORRECTED, before=before.name, after=name, note=reason), name != before.name),
        )
        if changed
    ]
    if not changes:
        return True
    try:
        with transaction.atomic():
            if email != before.email:
                # What was paid without a login bears the old address only.
                theirs = accounts.attempts_of(before).filter(Q(state=states.SUCCESS), customer=None)
                theirs.update(customer=customer)
            customer.name, customer.email = name, email
            customer.save()
            StripeCustomer.objects.filter(customer=customer).update(outdated=True)
            for why in changes:
                _write(customer, user, why)
    except IntegrityError as error:
        other = Customer.objects.with_email(email)
        if other is None or other.pk == customer.pk:
            raise
        raise CheckoutError(_("%(customer)s has this address already.") % {"customer": other}) from error
    if email != before.email:
        _end_links(customer, user, reason)
    return at_stripe.tell(customer)


def _end_links(customer: Customer, user: Actor, reason: str) -> None:
    plans = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(customer=customer)
    requests = CustomerPayment.objects.filter(Q(state__in=states.UNPAID), customer=customer)
    rows: list[ObjectPaymentPlan | CustomerPayment] = [*plans, *requests]
    for row in rows:
        services.revoke_links(row, user, reason)


def note(customer: Customer, text: str, user: Actor) -> None:
    """Keep what a colleague should know. It is never changed; another note says what is new."""
    _write(customer, user, Why(note=text))


def _write(customer: Customer, user: Actor, why: Why) -> None:
    # Changes no state: a payer has none.
    StateChange.objects.create(customer=customer, from_state="known", to_state="known", user=actor(user), **why.columns)

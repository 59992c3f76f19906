"""What staff do to a payer's row: correct the name and the address, merge two of one person, and write notes."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from checkout import clock, states
from checkout.contract import Actor, actor
from checkout.errors import CheckoutError
from checkout.journal import Code, Why
from checkout.models import Customer, CustomerPayment, ObjectPaymentPlan, PlanChange, StateChange, StripeCustomer
from checkout.models.fields import fold
from checkout.office import accounts, services
from checkout.services import at_stripe, intents

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
        other = Customer.objects.filter(email_folded=fold(email)).first()
        if other is None or other.pk == customer.pk:
            raise
        raise CheckoutError(_("%(customer)s has this address already.") % {"customer": other}) from error
    if email != before.email:
        _end_links(customer, user, reason)
    return at_stripe.tell(customer)


def merge(source: Customer, target: Customer, user: Actor, reason: str) -> bool:
    """The two are one person: everything of `source` is the `target`'s from now on, and its address leads there. True
    if Stripe has been told the name and address of the target (or knows nobody); False when it is told later.

    `source` stays as a row that is only read. It cannot be undone. Raises CheckoutError when one of them was merged
    already, or both are the same.
    """
    if source.pk == target.pk:
        raise CheckoutError(_("This is the same customer."))
    with transaction.atomic():
        # In one order everywhere, so that two who do it crosswise wait and do not block each other.
        rows = Customer.objects.select_for_update().filter(pk__in=(source.pk, target.pk)).order_by("pk")
        pair = {row.pk: row for row in rows}
        # On SQLite, which locks no rows, this first write is the lock.
        free = Customer.objects.filter(pk=source.pk, merged_into=None)
        taken = free.update(merged_at=clock.now(), merged_into=target)
        if not taken or Customer.objects.filter(pk=target.pk).exclude(merged_into=None).exists():
            raise CheckoutError(_("One of them was merged already. Please look again."))
        before = str(pair[source.pk])
        # What was paid without a login bears the old address only.
        accounts.attempts_of(pair[source.pk]).filter(customer=None).update(customer=target)
        _move_all(source, target)
        # One step from any of them to where everything is.
        Customer.objects.filter(merged_into=source).update(merged_into=target)
        _write(target, user, Why(Code.CUSTOMER_MERGED, customer=before, note=reason))
    source.refresh_from_db()
    logger.info("customer %s merged into %s by user %s", source.pk, target.pk, getattr(user, "pk", None))
    return at_stripe.tell(target)


def _move_all(source: Customer, target: Customer) -> None:
    """Every row of ours that points at a payer. Of two customers at Stripe in use in one account, the target's stays
    the one in use, and the other stays where it is: its cards know it by its id."""
    taken = StripeCustomer.objects.filter(
        customer=target, gone=False, account=OuterRef("account"), livemode=OuterRef("livemode")
    )
    at_stripe_ours = StripeCustomer.objects.filter(customer=source)
    at_stripe_ours.update(outdated=True)
    at_stripe_ours.filter(Q(gone=True) | ~Exists(taken)).update(customer=target)
    for relation in Customer._meta.related_objects:
        if relation.related_model not in (Customer, StripeCustomer):
            rows = relation.related_model._base_manager.filter(**{relation.field.name: source})
            rows.update(**{relation.field.name: target})


def _end_links(customer: Customer, user: Actor, reason: str) -> None:
    plans = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(customer=customer)
    requests = CustomerPayment.objects.filter(Q(state__in=states.UNPAID), customer=customer)
    rows: list[ObjectPaymentPlan | CustomerPayment] = [*plans, *requests]
    for row in rows:
        services.revoke_links(row, user, reason)
    for change in PlanChange.objects.filter(new_payer=customer, state=PlanChange.State.WAITING):
        intents.end_left(change, user)


def note(customer: Customer, text: str, user: Actor) -> None:
    """Keep what a colleague should know. It is never changed; another note says what is new."""
    _write(customer, user, Why(note=text))


def _write(customer: Customer, user: Actor, why: Why) -> None:
    # Changes no state: a payer has none.
    StateChange.objects.create(customer=customer, from_state="known", to_state="known", user=actor(user), **why.columns)

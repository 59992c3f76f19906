"""Beginning an attempt that the payer makes on the page, or going on with the one that is open."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from checkout import actions, clock, contract, money
from checkout.contract import Actor, ContentObject, actor
from checkout.errors import (
    AlreadyPaid,
    AttemptInProgress,
    CannotPay,
    CheckoutError,
    PlanError,
)
from checkout.gateway import assert_no_transaction
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    CheckoutAction,
    PaymentPlan,
)
from checkout.services import agreements, attempt_debts, attempt_rows, cards, ending, intents, numbering, plans

logger = logging.getLogger("checkout.checkouts")


def create_checkout(
    action: CheckoutAction | str,
    content_object: ContentObject,
    user: Actor = None,
    *,
    payment_plan: PaymentPlan | None = None,
    agreement: agreements.AgreementTerms | None = None,
) -> Checkout:
    """Begin an attempt, or continue the one that is open, and make its intent at Stripe.

    The row is committed before Stripe is asked, and the row's uuid is the idempotency key: after a lost answer the next
    call finds the same intent instead of making a second one.

    What costs nothing is settled at once: the attempt is a success then, and its page leads on. A plan whose deposit
    was declined has not begun: whoever pays in another way ends it.

    Raises CannotPay (with a sentence for the payer) when this object cannot be paid for in this way, AlreadyPaid when
    an earlier attempt turns out to have succeeded, AttemptInProgress while one is unanswered, OutcomeUnknown when
    Stripe gave no answer, MoneyError for an amount that Stripe would not take.
    """
    assert_no_transaction()
    slug = action if isinstance(action, str) else action.slug
    payer = actor(user)
    check_allowed(content_object, slug)
    if slug in (actions.PAYMENT, actions.PAYMENT_PLAN, actions.INVOICE):
        plans.end_if_never_begun(content_object, payer)
    match slug:
        case actions.PAYMENT:
            return intents.ensure_intent(_begin_payment(content_object, payer))
        case actions.PAYMENT_PLAN | actions.CARD_REFRESH:
            return intents.once_more(lambda: _begin_setup(content_object, slug, payer, payment_plan, agreement))
        case actions.INVOICE:
            return _open_or_insert(content_object, slug, payer, total=content_object.checkout_total)
        case _:
            raise CannotPay(_("This cannot be started here. Staff charge a card or settle by hand on the staff pages."))


def check_allowed(content_object: ContentObject, slug: str) -> None:
    """Raises CannotPay unless the content object offers this action and may be charged now."""
    missing = contract.missing_members(content_object)
    if missing:
        raise CheckoutError(
            f"{type(content_object).__name__} cannot be paid for: it lacks {', '.join(missing)}. "
            "See checkout.contract.ContentObject."
        )
    if changed := contract.hooks_of_a_proxy(type(content_object)):
        raise CheckoutError(
            f"{type(content_object).__name__} is a proxy model with its own {', '.join(changed)}, which would not be "
            "asked once it is paid: attempts point at the concrete model. Define them there."
        )
    if slug not in actions.ACTIONS:
        raise CheckoutError(f"{slug!r} is not a checkout action; the actions are {', '.join(actions.ACTIONS)}.")
    if slug not in content_object.checkout_actions:
        raise CannotPay(_("This cannot be paid for in that way."))
    if not content_object.checkout_can_charge:
        raise CannotPay(_("There is nothing to pay here at the moment. It may have been paid already."))


def manual(
    content_object: ContentObject,
    user: Actor = None,
    reason: str = "",
    *,
    within: Callable[[Decimal], None] | None = None,
    means: attempt_debts.Means = attempt_debts.UNSAID,
) -> Checkout:
    """Staff say that it was paid by other `means`. Open attempts are cancelled at Stripe first. `within` is called with
    what was settled, in the commit that settles it, and undoes that by raising.

    Raises AlreadyPaid when one of them had succeeded, AttemptInProgress while one is unanswered.
    """
    assert_no_transaction()
    intents.close_open_attempts(content_object, user)
    try:
        with transaction.atomic(durable=True):
            total = content_object.checkout_total
            checkout = attempt_rows.insert(content_object, actions.MANUAL, user, total=total, on_session=False)
            if not attempt_rows.still_payable(content_object):
                raise AlreadyPaid(_("This was settled already."))
            agreements.check_no_plan(content_object)
            ending.succeed(checkout, user=user, why=Why.said(reason, otherwise=Code.PAID_BY_OTHER_MEANS), means=means)
            if within is not None:
                within(checkout.total or Decimal(0))
    except IntegrityError as error:
        raise AttemptInProgress(_("Another payment for this is under way.")) from error
    numbering.give([checkout])
    return checkout


def _begin_payment(content_object: ContentObject, user: Actor) -> Checkout:
    total, currency = content_object.checkout_total, attempt_rows.currency_of(content_object)
    if total == 0:
        return _settle_for_nothing(content_object, user)
    money.check_chargeable(total, currency)
    existing = Checkout.objects.for_content_object(content_object).one_at_a_time().open().first()
    if existing is not None:
        if attempt_rows.off_session(existing):
            raise AttemptInProgress(_("This is being paid at this moment. Please look again in a few minutes."))
        same = not existing.saves_card and existing.currency == currency and attempt_debts.asks_for_all(existing, total)
        # A site may have made a plan while the page was open.
        if same and not _expired_unasked(existing) and not agreements.has_live_plan(content_object):
            return take_over(existing, user)
        intents.close_open_attempts(content_object, user)
    return _open_or_insert(content_object, actions.PAYMENT, user, total=total)


def _settle_for_nothing(content_object: ContentObject, user: Actor) -> Checkout:
    """What costs nothing (a voucher paid for it) is settled at once, and Stripe hears nothing of it."""
    intents.close_open_attempts(content_object, user)
    try:
        with transaction.atomic(durable=True):
            checkout = attempt_rows.insert(content_object, actions.MANUAL, user, total=Decimal(0))
            if not attempt_rows.still_payable(content_object):
                raise AlreadyPaid(_("This was settled already."))
            ending.succeed(checkout, user=user, why=Why(Code.NOTHING_TO_PAY))
    except IntegrityError as error:
        raise AttemptInProgress(_("Another payment for this is under way.")) from error
    return checkout


def _expired_unasked(checkout: Checkout) -> bool:
    lapsed = checkout.claimed_at is not None and checkout.claimed_at < clock.now() - attempt_rows.KEY_TRUSTED_FOR
    return not checkout.intent_id and lapsed


def take_over(checkout: Checkout, user: Actor) -> Checkout:
    """The host has let this user pay, so the open attempt becomes theirs: two tabs share one intent."""
    who = actor(user)
    changes: dict[str, Any] = {"seen_at": clock.now()}
    if who is not None and checkout.user_id != who.pk:
        changes["user"] = who
    if checkout.superseded:
        # It was to be closed, and that did not come about.
        changes["superseded"] = False
    if Checkout.objects.open().filter(pk=checkout.pk).update(**changes):
        for name, value in changes.items():
            setattr(checkout, name, value)
    return checkout


def _begin_setup(
    content_object: ContentObject,
    slug: str,
    user: Actor,
    payment_plan: PaymentPlan | None,
    agreement: agreements.AgreementTerms | None,
) -> Checkout:
    """A new intent per visit: Stripe advises against keeping unconfirmed SetupIntents. Where the payer's page takes the
    deposit at once it is a PaymentIntent, which saves the card as well."""
    if payment_plan is not None:
        agreements.check_can_agree(content_object, payment_plan)
    intents.close_open_attempts(content_object, user)
    terms = agreement or agreements.asked_by_the_host(content_object, payment_plan)
    deposit = agreements.deposit_with_card(terms) if payment_plan is not None else None
    customer = cards.ensure_customer(content_object.checkout_email, content_object.checkout_name)
    stripe_customer_id = cards.ensure_stripe_customer(customer)
    try:
        with transaction.atomic(durable=True):
            checkout = attempt_rows.insert(
                content_object,
                slug,
                user,
                # A new card for a plan takes nothing, and an attempt that takes nothing has no total.
                total=content_object.checkout_total or None,
                customer=customer,
                stripe_customer_id=stripe_customer_id,
                payment_plan=payment_plan,
                deposit=deposit,
            )
            if not attempt_rows.still_payable(content_object):
                raise CannotPay(_("There is nothing to pay here at the moment. It may have been paid already."))
            if payment_plan is not None and agreements.has_live_plan(content_object):
                raise PlanError(
                    _("There is a payment plan for this already. Another can be agreed once that one is stopped.")
                )
            agreements.write(checkout, terms, user)
    except IntegrityError as error:
        raise AttemptInProgress(_("This was begun in another tab at this moment. Please go on there.")) from error
    return checkout


def _open_or_insert(content_object: ContentObject, slug: str, user: Actor, **fields: Any) -> Checkout:
    """A new row, or the open one of somebody who was a moment faster: the constraint decides."""
    try:
        with transaction.atomic(durable=True):
            checkout = attempt_rows.insert(content_object, slug, user, **fields)
            if not attempt_rows.still_payable(content_object):
                raise CannotPay(_("There is nothing to pay here at the moment. It may have been paid already."))
            agreements.check_no_plan(content_object)
            return checkout
    except IntegrityError as error:
        faster = Checkout.objects.for_content_object(content_object).one_at_a_time().open().first()
        asked = (fields.get("total"), attempt_rows.currency_of(content_object))
        if faster is None or not faster.is_payment or (faster.total, faster.currency) != asked:
            raise AttemptInProgress(_("Another payment for this is under way.")) from error
        return take_over(faster, user)

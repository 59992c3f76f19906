"""Beginning, continuing and closing an attempt that the payer makes on the page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import actions, clock, contract, money
from checkout.conf import conf
from checkout.contract import Actor, ContentObject, actor
from checkout.errors import (
    AlreadyPaid,
    AttemptInProgress,
    CannotPay,
    CheckoutError,
    GatewayRefused,
    IntentMismatch,
    NotFoundAtStripe,
    OutcomeUnknown,
    PlanError,
)
from checkout.gateway import PaymentIntent, SetupIntent, assert_no_transaction, gateway
from checkout.journal import Code, Why
from checkout.models import (
    Agreement,
    Checkout,
    CheckoutAction,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    SavedCard,
)
from checkout.services import agreements, attempt_rows, cards, debts, settling

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

    What costs nothing is settled at once: the attempt is a success then, and its page leads on.

    Raises CannotPay (with a sentence for the payer) when this object cannot be paid for in this way, AlreadyPaid when
    an earlier attempt turns out to have succeeded, AttemptInProgress while one is unanswered, OutcomeUnknown when
    Stripe gave no answer, MoneyError for an amount that Stripe would not take.
    """
    assert_no_transaction()
    slug = action if isinstance(action, str) else action.slug
    payer = actor(user)
    check_allowed(content_object, slug)
    match slug:
        case actions.PAYMENT:
            return ensure_intent(_begin_payment(content_object, payer))
        case actions.PAYMENT_PLAN | actions.CARD_REFRESH:
            return once_more(lambda: _begin_setup(content_object, slug, payer, payment_plan, agreement))
        case actions.INVOICE:
            return _open_or_insert(content_object, slug, payer, total=content_object.checkout_total)
        case _:
            raise CannotPay(_("This cannot be started here. Staff charge a card or settle by hand on the staff pages."))


class _CustomerGone(CannotPay):
    """The payer was deleted at Stripe, and we did not know. Whoever begins anew makes them there anew."""


def once_more(begin: Callable[[], Checkout]) -> Checkout:
    """Begin an attempt and make its intent; twice, when the first shows that the payer was deleted at Stripe."""
    try:
        return ensure_intent(begin())
    except _CustomerGone:
        return ensure_intent(begin())


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


def ensure_intent(checkout: Checkout) -> Checkout:
    """Make sure that the attempt has its intent at Stripe, and that we know its id."""
    if checkout.intent_id or not checkout.is_open:
        return checkout
    if attempt_rows.off_session(checkout):
        # A charge with this key is on its way; another request under it would get in its way.
        raise AttemptInProgress(_("This is being paid at this moment. Please look again in a few minutes."))
    if checkout.claimed_at is not None and checkout.claimed_at < clock.now() - attempt_rows.KEY_TRUSTED_FOR:
        # The key may have lapsed, so the old request cannot be sent again safely; nobody ever saw that page.
        close(checkout, why=Why(Code.STRIPE_NEVER_ANSWERED), superseded=True)
        raise AttemptInProgress(_("That page had expired. Please start the payment again."))
    asked_before = checkout.claimed_at is not None
    if not asked_before and not _claim(checkout):
        # Somebody was faster: asked, or closed it before anybody asked.
        checkout.refresh_from_db()
        return ensure_intent(checkout)
    try:
        intent = _request_intent(checkout)
    except OutcomeUnknown:
        if not asked_before:
            raise
        # Stripe replays even a 500 for as long as it keeps the key, so asking again may never answer.
        intent = _find_lost_intent(checkout)
    except GatewayRefused as problem:
        gone = isinstance(problem, NotFoundAtStripe) and cards.learn_of_deletion(checkout.stripe_customer_id)
        said = Why.said(str(problem), otherwise=Code.STRIPE_REFUSED)
        settling.fail(checkout, why=Why(Code.STRIPE_REFUSED), failure=said, error_code=problem.code, superseded=gone)
        logger.warning("checkout %s refused by Stripe: %s", checkout.pk, problem, extra={"checkout": checkout.pk})
        sentence = _("The payment could not be started. Please contact us; you have not been charged.")
        raise (_CustomerGone if gone else CannotPay)(sentence) from problem
    column = "setup_intent_id" if checkout.saves_card else "payment_intent_id"
    Checkout.objects.filter(pk=checkout.pk, **{column: ""}).update(**{column: intent.id})
    setattr(checkout, column, intent.id)
    return checkout


def _claim(checkout: Checkout) -> bool:
    """True if this caller is the first to ask. Meets the UPDATE of `close`: whichever is first keeps the other out."""
    now = clock.now()
    rows = Checkout.objects.open().filter(pk=checkout.pk, claimed_at=None)
    if not rows.update(claimed_at=now):
        return False
    checkout.claimed_at = now
    return True


def _find_lost_intent(checkout: Checkout) -> PaymentIntent | SetupIntent:
    """The intent that was made although its answer was lost, found by our metadata.

    Raises OutcomeUnknown when there is none. The attempt is then given up, but only when no request can be in flight
    any more: an intent whose client secret never reached a browser cannot be paid by anyone, so a new attempt is safe.
    """
    since = (checkout.claimed_at or checkout.created_at) - attempt_rows.CLOCK_SKEW
    client = gateway()
    intents: Iterable[PaymentIntent | SetupIntent] = (
        client.list_setup_intents(since=since) if checkout.saves_card else client.list_payment_intents(since=since)
    )
    for intent in intents:
        if intent.metadata.get("checkout") == str(checkout.uuid):
            return intent
    if checkout.claimed_at and checkout.claimed_at < clock.now() - timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES):
        settling.fail(checkout, why=Why(Code.STRIPE_NEVER_ANSWERED), superseded=True)
    raise OutcomeUnknown("Stripe gave no answer, and has no such intent yet. Try again in a few minutes.")


def _request_intent(checkout: Checkout) -> PaymentIntent | SetupIntent:
    """Everything sent is read off the row, so that a repeated request is the same to the letter."""
    if checkout.saves_card:
        if not checkout.stripe_customer_id:
            raise CheckoutError(f"Checkout {checkout.pk} saves a card but has no customer at Stripe.")
        return gateway().create_setup_intent(
            customer_id=checkout.stripe_customer_id,
            description=checkout.description,
            metadata=attempt_rows.metadata(checkout),
            idempotency_key=str(checkout.uuid),
        )
    if checkout.total is None:
        raise CheckoutError(f"Checkout {checkout.pk} takes money but has no total.")
    return gateway().create_payment_intent(
        amount_minor=money.to_minor(checkout.total, checkout.currency),
        currency=checkout.currency,
        description=checkout.description,
        metadata=attempt_rows.metadata(checkout),
        idempotency_key=str(checkout.uuid),
        customer_id=checkout.stripe_customer_id,
        # A card that the payer agreed to is kept for what follows; no other.
        save_card=checkout.customer_id is not None and Agreement.objects.filter(checkout=checkout).exists(),
    )


@dataclass(frozen=True, slots=True)
class Page:
    """What a payment page needs. `finished` means that there is nothing left to enter: show the result instead."""

    checkout: Checkout
    client_secret: str
    finished: bool
    payment_method_id: str = ""


def page(checkout: Checkout) -> Page:
    """Read the attempt's intent before its form is shown.

    Elements refuses to start on an intent that has succeeded, is processing or was canceled
    (https://docs.stripe.com/changelog/clover), so those lead to the result. One call to Stripe, which changes nothing
    there.
    """
    if not checkout.is_open or attempt_rows.off_session(checkout):
        # A charge that is being asked for while the payer looks on must not get a second request from this page.
        return Page(checkout, "", finished=True)
    if not ensure_intent(checkout).intent_id:
        # It was closed at this moment.
        return Page(checkout, "", finished=True)
    intent = read_intent(checkout)
    # Asked of the database, and last: while Stripe was asked, somebody may have given this attempt up for another one.
    finished = intent.succeeded or intent.processing or intent.canceled or not _seen(checkout)
    return Page(checkout, "" if finished else intent.client_secret, finished, _saved_card(checkout))


def _seen(checkout: Checkout) -> bool:
    """Write down that its payer is here, so that the page is not closed under them. False once it is closed."""
    now = clock.now()
    if not Checkout.objects.open().filter(pk=checkout.pk).update(seen_at=now):
        return False
    checkout.seen_at = now
    return True


def _saved_card(checkout: Checkout) -> str:
    """The card to offer first: the plan's own, for the one first asked may have been replaced and detached. Never one
    that another agreement is about."""
    if checkout.saves_card or not checkout.payment_method_id:
        return ""
    row = checkout.content_object
    if isinstance(row, ObjectPaymentPlanInstalment):
        card = row.object_payment_plan.card
    else:
        card = SavedCard.objects.good().filter(payment_method_id=checkout.payment_method_id).first()
    if card is None or card.stripe_customer_id != checkout.stripe_customer_id:
        return ""
    return card.payment_method_id


def read_intent(checkout: Checkout) -> PaymentIntent | SetupIntent:
    """The attempt's intent as it is at Stripe now, checked to be ours."""
    if checkout.saves_card:
        intent: PaymentIntent | SetupIntent = gateway().retrieve_setup_intent(checkout.setup_intent_id)
    else:
        intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    if intent.metadata.get("checkout") != str(checkout.uuid):
        raise IntentMismatch(f"{intent.id} at Stripe does not belong to checkout {checkout.pk}. Tell a developer.")
    return intent


def close(checkout: Checkout, *, why: Why, user: Actor = None, superseded: bool = False) -> Checkout:
    """End an open attempt: cancel it at Stripe first, and only then mark it `fail`.

    If it had succeeded meanwhile it is settled as a success instead. Raises AttemptInProgress while the money may still
    be moving, OtherAccount when the key in use cannot tell whether it was paid.
    """
    if not checkout.is_open:
        return checkout
    if attempt_rows.off_session(checkout):
        raise AttemptInProgress(_("A payment is being taken at this moment. Please look again in a few minutes."))
    if superseded:
        # Before Stripe is asked: its event about the cancel may be read before this process has written the end.
        Checkout.objects.open().filter(pk=checkout.pk).update(superseded=True)
    never_asked = not checkout.intent_id and checkout.claimed_at is None
    intent = _cancel(checkout)
    if intent is not None and intent.succeeded:
        return settling.settle(checkout.pk, intent)
    if intent is not None and not intent.canceled:
        raise AttemptInProgress(_("A payment is still being processed. Please look again in a few minutes."))
    only_if = Q(claimed_at=None) if never_asked else None
    if not settling.fail(checkout, why=why, user=user, superseded=superseded, only_if=only_if):
        # Somebody ended it, or asked for what was never asked for when we looked.
        return close(checkout, why=why, user=user, superseded=superseded)
    return checkout


def _cancel(checkout: Checkout) -> PaymentIntent | SetupIntent | None:
    """The intent after cancelling it; None when there never was one."""
    if checkout.action_id == actions.INVOICE or (not checkout.intent_id and checkout.claimed_at is None):
        return None
    if not checkout.intent_id and not _learn_intent(checkout):
        return None
    try:
        if checkout.saves_card:
            return gateway().cancel_setup_intent(checkout.setup_intent_id)
        return gateway().cancel_payment_intent(checkout.payment_intent_id)
    except NotFoundAtStripe:
        attempt_rows.check_account(checkout, checkout.intent_id)
        logger.warning("intent %s is unknown at Stripe", checkout.intent_id, extra={"checkout": checkout.pk})
        return None


def _learn_intent(checkout: Checkout) -> bool:
    """Find the intent of an attempt whose answer was lost. False when it is proven that there is none to pay.

    An on-session intent whose client secret never reached a browser cannot be paid by anyone, so past the life of the
    key there is nothing to find.
    """
    if checkout.claimed_at is None or checkout.claimed_at < clock.now() - attempt_rows.KEY_TRUSTED_FOR:
        return False
    ensure_intent(checkout)
    return bool(checkout.intent_id)


def manual(content_object: ContentObject, user: Actor = None, reason: str = "") -> Checkout:
    """Staff say that it was paid by other means. Open attempts are cancelled at Stripe first.

    Raises AlreadyPaid when one of them had succeeded, AttemptInProgress while one is unanswered.
    """
    assert_no_transaction()
    close_open_attempts(content_object, user)
    try:
        with transaction.atomic(durable=True):
            total = content_object.checkout_total
            checkout = attempt_rows.insert(content_object, actions.MANUAL, user, total=total, on_session=False)
            if not attempt_rows.still_payable(content_object):
                raise AlreadyPaid(_("This was settled already."))
            agreements.check_no_plan(content_object)
            settling.succeed(checkout, user=user, why=Why.said(reason, otherwise=Code.PAID_BY_OTHER_MEANS))
    except IntegrityError as error:
        raise AttemptInProgress(_("Another payment for this is under way.")) from error
    return checkout


def close_open_attempts(content_object: ContentObject, user: Actor = None) -> None:
    """Cancel whatever is open for this debt. Raises AlreadyPaid when that shows that it was paid, or that a plan for it
    has begun."""
    for checkout in Checkout.objects.for_content_object(content_object).one_at_a_time().open():
        closed = close(checkout, why=Why(Code.REPLACED), user=user, superseded=True)
        if closed.succeeded and closed.is_payment_plan:
            raise AlreadyPaid(_("Your card was saved already."))
        if closed.succeeded and not closed.saves_card:
            raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))


def _begin_payment(content_object: ContentObject, user: Actor) -> Checkout:
    total, currency = content_object.checkout_total, attempt_rows.currency_of(content_object)
    if total == 0:
        return _settle_for_nothing(content_object, user)
    money.check_chargeable(total, currency)
    existing = Checkout.objects.for_content_object(content_object).one_at_a_time().open().first()
    if existing is not None:
        if attempt_rows.off_session(existing):
            raise AttemptInProgress(_("This is being paid at this moment. Please look again in a few minutes."))
        same = not existing.saves_card and existing.currency == currency and debts.asks_for_all(existing, total)
        if same and not _expired_unasked(existing):
            return take_over(existing, user)
        close_open_attempts(content_object, user)
    return _open_or_insert(content_object, actions.PAYMENT, user, total=total)


def _settle_for_nothing(content_object: ContentObject, user: Actor) -> Checkout:
    """What costs nothing (a voucher paid for it) is settled at once, and Stripe hears nothing of it."""
    close_open_attempts(content_object, user)
    try:
        with transaction.atomic(durable=True):
            checkout = attempt_rows.insert(content_object, actions.MANUAL, user, total=Decimal(0))
            if not attempt_rows.still_payable(content_object):
                raise AlreadyPaid(_("This was settled already."))
            settling.succeed(checkout, user=user, why=Why(Code.NOTHING_TO_PAY))
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
    """A new SetupIntent per visit: Stripe advises against keeping unconfirmed ones."""
    if payment_plan is not None:
        agreements.check_can_agree(content_object, payment_plan)
    close_open_attempts(content_object, user)
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
            )
            if not attempt_rows.still_payable(content_object):
                raise CannotPay(_("There is nothing to pay here at the moment. It may have been paid already."))
            if payment_plan is not None and agreements.has_live_plan(content_object):
                raise PlanError(
                    _("There is a payment plan for this already. Another can be agreed once that one is stopped.")
                )
            agreements.write(checkout, agreement or agreements.asked_by_the_host(content_object, payment_plan), user)
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

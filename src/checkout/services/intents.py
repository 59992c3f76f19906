"""The intent of an attempt that the payer makes on the page: made at Stripe, shown, cancelled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import actions, clock, money
from checkout.conf import conf
from checkout.contract import Actor, ContentObject
from checkout.errors import (
    AlreadyPaid,
    AttemptInProgress,
    CannotPay,
    CheckoutError,
    GatewayRefused,
    IntentMismatch,
    NotFoundAtStripe,
    OutcomeUnknown,
)
from checkout.gateway import PaymentIntent, SetupIntent, gateway
from checkout.journal import Code, Why
from checkout.models import (
    Agreement,
    Checkout,
    ObjectPaymentPlanInstalment,
    SavedCard,
)
from checkout.services import attempt_rows, cards, ending, settling

logger = logging.getLogger("checkout.checkouts")


class _CustomerGone(CannotPay):
    """The payer was deleted at Stripe, and we did not know. Whoever begins anew makes them there anew."""


def once_more(begin: Callable[[], Checkout]) -> Checkout:
    """Begin an attempt and make its intent; twice, when the first shows that the payer was deleted at Stripe."""
    try:
        return ensure_intent(begin())
    except _CustomerGone:
        return ensure_intent(begin())


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
        ending.fail(checkout, why=Why(Code.STRIPE_REFUSED), failure=said, error_code=problem.code, superseded=gone)
        logger.warning("checkout %s refused by Stripe: %s", checkout.pk, problem, extra={"checkout": checkout.pk})
        sentence = _("The payment could not be started. Please contact us; you have not been charged.")
        raise (_CustomerGone if gone else CannotPay)(sentence) from problem
    column = "setup_intent_id" if checkout.by_setup_intent else "payment_intent_id"
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
        client.list_setup_intents(since=since) if checkout.by_setup_intent else client.list_payment_intents(since=since)
    )
    for intent in intents:
        if intent.metadata.get("checkout") == str(checkout.uuid):
            return intent
    if checkout.claimed_at and checkout.claimed_at < clock.now() - timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES):
        ending.fail(checkout, why=Why(Code.STRIPE_NEVER_ANSWERED), superseded=True)
    raise OutcomeUnknown("Stripe gave no answer, and has no such intent yet. Try again in a few minutes.")


def _request_intent(checkout: Checkout) -> PaymentIntent | SetupIntent:
    """Everything sent is read off the row, so that a repeated request is the same to the letter."""
    if checkout.saves_card and not checkout.stripe_customer_id:
        raise CheckoutError(f"Checkout {checkout.pk} saves a card but has no customer at Stripe.")
    if checkout.by_setup_intent:
        return gateway().create_setup_intent(
            customer_id=checkout.stripe_customer_id,
            description=checkout.description,
            metadata=attempt_rows.metadata(checkout),
            idempotency_key=str(checkout.uuid),
        )
    if checkout.asks_for is None:
        raise CheckoutError(f"Checkout {checkout.pk} takes money but has no total.")
    return gateway().create_payment_intent(
        amount_minor=money.to_minor(checkout.asks_for, checkout.currency),
        currency=checkout.currency,
        description=checkout.description,
        metadata=attempt_rows.metadata(checkout),
        idempotency_key=str(checkout.uuid),
        customer_id=checkout.stripe_customer_id,
        receipt_email=attempt_rows.receipt_email(checkout),
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
    if checkout.by_setup_intent:
        intent: PaymentIntent | SetupIntent = gateway().retrieve_setup_intent(checkout.setup_intent_id)
    else:
        intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    if intent.metadata.get("checkout") != checkout.mark:
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
    if not ending.fail(checkout, why=why, user=user, superseded=superseded, only_if=only_if):
        # Somebody ended it, or asked for what was never asked for when we looked.
        return close(checkout, why=why, user=user, superseded=superseded)
    return checkout


def end_left(row: ContentObject, user: Actor = None) -> None:
    """End the pages that are open for a row of ours that nobody wants any more. Where Stripe gives no answer they stay
    open, and whatever is saved there is let go."""
    for checkout in Checkout.objects.for_content_object(row).open():
        try:
            close(checkout, why=Why(Code.CANCELLED_BY_STAFF), user=user, superseded=True)
        except CheckoutError as problem:
            logger.info("checkout %s stays open: %s", checkout.pk, type(problem).__name__)


def _cancel(checkout: Checkout) -> PaymentIntent | SetupIntent | None:
    """The intent after cancelling it; None when there never was one."""
    if checkout.action_id == actions.INVOICE or (not checkout.intent_id and checkout.claimed_at is None):
        return None
    if not checkout.intent_id and not _learn_intent(checkout):
        return None
    try:
        if checkout.by_setup_intent:
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


def close_open_attempts(content_object: ContentObject, user: Actor = None) -> None:
    """Cancel whatever is open for this debt. Raises AlreadyPaid when that shows that it was paid, or that a plan for it
    has begun."""
    for checkout in Checkout.objects.asking_for(content_object).one_at_a_time().open():
        closed = close(checkout, why=Why(Code.REPLACED), user=user, superseded=True)
        if closed.succeeded and closed.deposit is not None:
            raise AlreadyPaid(_("The deposit of the payment plan has been paid meanwhile. Nothing more was taken."))
        if closed.succeeded and closed.is_payment_plan:
            raise AlreadyPaid(_("Your card was saved already."))
        if closed.succeeded and not closed.saves_card:
            raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))

"""Charging a saved card while its owner is away: claim, ask, settle. Each phase commits before the next begins."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from checkout import actions, clock, money, states, tracing
from checkout.conf import conf
from checkout.contract import Actor, ContentObject
from checkout.errors import (
    AlreadyPaid,
    AttemptInProgress,
    CannotPay,
    CheckoutError,
    GatewayError,
    GatewayRefused,
    NoSavedCard,
    NotFoundAtStripe,
    NothingHappened,
    OtherAccount,
    OutcomeUnknown,
)
from checkout.gateway import (
    INSTALMENT_USAGE,
    UNSCHEDULED_USAGE,
    PaymentIntent,
    assert_no_transaction,
    gateway,
    longest_call,
)
from checkout.journal import Code, Why
from checkout.models import Checkout, Customer, ObjectPaymentPlan, ObjectPaymentPlanInstalment, SavedCard
from checkout.services import agreements, attempt_rows, cards, ending, intents, moves, recovery, settling
from checkout.services.letters import asking as letters

logger = logging.getLogger("checkout.instalments")

#: From these a charge may begin: what is due is taken from `pending` only, staff may try the others again.
CHARGEABLE = frozenset({states.PENDING, states.FAIL, states.PAY_ON_SESSION})


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """All that Stripe is asked for one charge. Read off the row, so a repeated request is the same to the letter."""

    checkout_pk: int
    amount_minor: int
    currency: str
    customer_id: str
    payment_method_id: str
    description: str
    metadata: dict[str, str]
    idempotency_key: str
    usage: str
    #: When the lease runs out under which it may be asked.
    until: datetime
    receipt_email: str = ""


def charge(content_object: ContentObject, user: Actor = None, *, if_due: bool = False) -> Checkout:
    """Charge the saved card that the payer's agreement names for this, off session. `if_due` takes a line only if a run
    may take it today; without it staff and payers may begin before its day, or after a refusal.

    The answer is in the attempt's state: success, fail (declined), pay_on_session (the bank requires the payer), or
    request (no answer yet; `reconcile` finds out). Raises NoSavedCard, MoneyError, AttemptInProgress when somebody else
    is at it, AlreadyPaid, or KeyRefused/TooManyRequests when Stripe did not take the request at all.
    """
    assert_no_transaction()
    if not if_due:
        intents.close_open_attempts(content_object, user)
    checkout = claim(content_object, user, if_due=if_due)
    with tracing.span("checkout.attempt", checkout=checkout.pk):
        answer = ask(request_for(checkout))
        settled = settle(checkout, answer)
        tracing.note(state=settled.state_id or "")
    if isinstance(answer, NothingHappened) and not isinstance(answer, GatewayRefused):
        raise answer
    return settled


def claim(content_object: ContentObject, user: Actor = None, *, if_due: bool = False) -> Checkout:
    """Commit that Stripe is about to be asked. From here on nobody else may ask for this debt."""
    card = card_for(content_object)
    if not cards.is_of_this_key(card, gateway().account_id()):
        raise OtherAccount(
            _("The card was saved with a key of another mode or account of Stripe. Ask the payer for a new card.")
        )
    money.check_chargeable(content_object.checkout_total, attempt_rows.currency_of(content_object))
    if not content_object.checkout_can_charge:
        raise CannotPay(_("There is nothing to pay here at the moment. It may have been paid already."))
    if not if_due:
        # Of a line of which a part came, its rest is asked for.
        line = content_object if isinstance(content_object, ObjectPaymentPlanInstalment) else None
        recovery.check_may_be_asked(card, line.left if line is not None else content_object.checkout_total)
    try:
        with transaction.atomic(durable=True):
            if isinstance(content_object, ObjectPaymentPlanInstalment):
                # That it may be charged say its move and the lock of its plan.
                _claim_line(content_object, user, if_due=if_due)
                return _insert_claimed(content_object, card, user)
            claimed = _insert_claimed(content_object, card, user)
            if not attempt_rows.still_payable(content_object):
                raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))
            agreements.check_no_plan(content_object)
            return claimed
    except IntegrityError as error:
        raise AttemptInProgress(_("Another payment for this is under way.")) from error


def _claim_line(instalment: ObjectPaymentPlanInstalment, user: Actor, *, if_due: bool) -> None:
    plans = ObjectPaymentPlan.objects.select_for_update(no_key=True)
    plan = instalment.object_payment_plan
    # The lock meets the UPDATE of `plans.stop`: either it sees this claim, or this sees the stopped plan.
    now = plans.filter(pk=plan.pk, deleted=False).values_list("agreement", "paused").first()
    if now is None:
        raise CannotPay(_("This payment plan was stopped, so nothing more is taken."))
    agreement, paused = now
    if agreement != plan.agreement_id:
        raise AttemptInProgress(_("Something happened to this plan since you looked at it. Please look again."))
    if paused:
        raise CheckoutError(
            _(
                "A payer's bank disputes a payment of this plan, so nothing is charged to the card. "
                "See the dispute on the staff pages; the payer can still pay by the link."
            )
        )
    may_be_taken = ObjectPaymentPlanInstalment.objects.may_be_taken(clock.today()).filter(pk=instalment.pk)
    only_if = Q(pk__in=may_be_taken.values("pk")) if if_due else None
    if not moves.move(
        instalment, to=states.REQUEST, user=user, only_if=only_if, only_from=CHARGEABLE, why=Why(Code.CLAIMED)
    ):
        raise AttemptInProgress(_("Somebody else is taking this payment, or it was paid."))


def _insert_claimed(content_object: ContentObject, card: SavedCard, user: Actor) -> Checkout:
    return attempt_rows.insert_many([build_claimed(content_object, card, user)], user)[0]


def build_claimed(content_object: ContentObject, card: SavedCard, user: Actor) -> Checkout:
    """The attempt's row, already in `request` and with its lease, not written yet."""
    now = clock.now()
    return attempt_rows.build(
        content_object,
        actions.CHARGE,
        user,
        state_id=states.REQUEST,
        total=content_object.checkout_total,
        customer_id=card.customer_id,
        stripe_customer_id=card.stripe_customer_id,
        payment_method_id=card.payment_method_id,
        on_session=False,
        claimed_at=now,
        lease_until=now + lease(),
    )


def lease() -> timedelta:
    """For how long a charge is left to whoever asks: CHECKOUT_LEASE_MINUTES, and longer than any call may take."""
    return max(timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES), 2 * longest_call())


def request_for(checkout: Checkout) -> ChargeRequest:
    """What Stripe is asked for a claimed attempt."""
    if checkout.total is None or checkout.lease_until is None:
        raise CannotPay(f"Checkout {checkout.pk} is no claim: it has no total to charge, or no lease.")
    return ChargeRequest(
        checkout_pk=checkout.pk,
        amount_minor=money.to_minor(checkout.total, checkout.currency),
        currency=checkout.currency,
        customer_id=checkout.stripe_customer_id,
        payment_method_id=checkout.payment_method_id,
        description=checkout.description,
        metadata=attempt_rows.metadata(checkout),
        # The same key for every retry of this attempt: after a time-out the card may already be charged.
        idempotency_key=str(checkout.uuid),
        usage=INSTALMENT_USAGE if attempt_rows.is_plan_line(checkout) else UNSCHEDULED_USAGE,
        until=checkout.lease_until,
        receipt_email=attempt_rows.receipt_email(checkout),
    )


def may_be_asked_now(checkout: Checkout) -> bool:
    """Whether what was claimed a while ago, and has never reached Stripe, may be asked for as it stands: the plan goes
    on, no bank disputes a payment of it, and the card is the one that its payer's agreement names by now."""
    row = checkout.content_object
    if row is None:
        return False
    if isinstance(row, ObjectPaymentPlanInstalment):
        plan = row.object_payment_plan
        if plan.deleted or plan.paused or plan.content_object is None:
            return False
    try:
        card = card_for(row)
    except NoSavedCard:
        return False
    return (card.payment_method_id, card.stripe_customer_id) == (
        checkout.payment_method_id,
        checkout.stripe_customer_id,
    )


def ask(request: ChargeRequest) -> PaymentIntent | GatewayError:
    """One call to Stripe, no database. An error is part of the answer: what it means is for `settle` to say."""
    if clock.now() + longest_call() > request.until:
        # The process was suspended. Whoever looks once the lease is over, and finds nothing, may free the debt, so by
        # then no request may be on its way.
        return OutcomeUnknown("The lease was running out, so Stripe was not asked. `reconcile` sees to it.")
    try:
        return gateway().charge_off_session(
            amount_minor=request.amount_minor,
            currency=request.currency,
            customer_id=request.customer_id,
            payment_method_id=request.payment_method_id,
            description=request.description,
            metadata=request.metadata,
            idempotency_key=request.idempotency_key,
            usage=request.usage,
            receipt_email=request.receipt_email,
        )
    except GatewayError as error:
        return error
    except Exception as error:
        # Something in the answer is not as it always was. The card may have been charged, so nothing is assumed.
        logger.exception("checkout %s: the answer could not be read", request.checkout_pk)
        return OutcomeUnknown(f"Stripe's answer could not be read ({type(error).__name__}: {error}).")


def settle(checkout: Checkout, answer: PaymentIntent | GatewayError) -> Checkout:
    """Bring the answer into the rows. No answer settles nothing: the attempt stays in `request`, under its lease.
    Whoever has lost the lease meanwhile frees nothing: somebody else has asked since, and may know better.

    Raises OtherAccount when Stripe never knew the customer; the debt may be claimed again then.
    """
    match answer:
        case PaymentIntent():
            return settling.settle(checkout.pk, answer)
        case NotFoundAtStripe() if not gateway().knew_customer(checkout.stripe_customer_id):
            # Of a customer that was deleted Stripe still tells. This would fail every line of every payer.
            release(checkout, why=Why(Code.STRIPE_OTHER_ACCOUNT))
            raise OtherAccount(
                _(
                    "Stripe never knew the customer %(customer)s, so STRIPE_SECRET_KEY is a key of another Stripe "
                    "account or mode, or test data were wiped. Nothing was taken; set the right key."
                )
                % {"customer": checkout.stripe_customer_id}
            )
        case GatewayRefused():
            gone = isinstance(answer, NotFoundAtStripe) and cards.was_deleted(checkout.stripe_customer_id)
            # One without the other would leave a line that is due, of which nobody is told, and no card to ask.
            with transaction.atomic():
                if gone:
                    cards.mark_gone(checkout.stripe_customer_id)
                failed = ending.fail(
                    checkout,
                    why=Why(Code.STRIPE_REFUSED_CHARGE),
                    failure=Why.said(_refusal(answer), otherwise=Code.STRIPE_REFUSED_CHARGE),
                    error_code=answer.code,
                    only_if=_held(checkout),
                )
                if failed:
                    letters.declined(checkout)
        case NothingHappened():
            release(checkout, why=Why(Code.STRIPE_NEVER_TOOK))
        case _:
            logger.warning("checkout %s: outcome unknown", checkout.pk, extra={"checkout": checkout.pk})
    return checkout


def _held(checkout: Checkout) -> Q:
    """True of the row while the lease under which this caller asked is the one that counts."""
    return Q(lease_until=checkout.lease_until)


def release(checkout: Checkout, *, why: Why) -> bool:
    """Stripe proves that it never acted: the debt may be claimed again, and the host is told nothing."""
    with transaction.atomic():
        closed = ending.fail(checkout, why=why, superseded=True, only_if=_held(checkout))
        content_object = checkout.content_object
        if closed and isinstance(content_object, ObjectPaymentPlanInstalment):
            moves.move(content_object, to=states.PENDING, only_from={states.REQUEST}, why=why)
    return closed


def close_attempts(instalment: ObjectPaymentPlanInstalment, *, why: Why, user: Actor = None) -> None:
    """Cancel every open attempt at this line. Raises AttemptInProgress while one is unanswered."""
    for checkout in Checkout.objects.asking_for(instalment).taking_money().open():
        intents.close(checkout, why=why, user=user, superseded=True)


def card_for(content_object: ContentObject) -> SavedCard:
    """The card whose owner's agreement covers this debt: of a line that of its plan, else one whose owner agreed to
    amounts as they come up. Raises NoSavedCard, with what to do, without one."""
    payer = content_object.checkout_name or content_object.checkout_email
    if isinstance(content_object, ObjectPaymentPlanInstalment):
        card = content_object.object_payment_plan.card
        if card is None:
            raise NoSavedCard(
                _(
                    "%(payer)s has no saved card that may be charged for this plan. "
                    "Ask for one on their page: Staff > Customers."
                )
                % {"payer": payer}
            )
        return card
    customer = Customer.objects.with_email(content_object.checkout_email)
    card = customer.card_for_other_amounts if customer is not None else None
    if card is None:
        raise NoSavedCard(
            _("%(payer)s has agreed to no charge outside a payment plan. Send a link to pay instead.")
            % {"payer": payer}
        )
    return card


def _refusal(error: GatewayRefused) -> str:
    if error.code == "resource_missing":
        return f"{error} The card or the customer was deleted at Stripe: ask the payer for a new card."
    return str(error)

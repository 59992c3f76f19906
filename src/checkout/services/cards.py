"""Payers at Stripe and the cards saved there: made, learnt of, read again, taken off."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import clock, states
from checkout.conf import conf, is_live_key
from checkout.errors import CannotPay, GatewayError, NotFoundAtStripe
from checkout.gateway import Card, PaymentIntent, PaymentMethod, SetupIntent, gateway
from checkout.models import Agreement, Checkout, Customer, ObjectPaymentPlan, SavedCard, StripeCustomer

logger = logging.getLogger("checkout.cards")

#: As long as our column, and as Django's own check of an address allows.
LONGEST_EMAIL = 254
LONGEST_NAME = 255


# -- payers at Stripe ------------------------------------------------------------------------------------


def ensure_customer(email: str, name: str) -> Customer:
    """The one row of that e-mail address (compared without case and outer spaces), made if needed. No call to Stripe.

    Raises CannotPay without an address, or for one that is too long to write to.
    """
    email = email.strip()
    if not email:
        raise CannotPay(_("An e-mail address is needed to save a card."))
    if len(email) > LONGEST_EMAIL:
        raise CannotPay(_("That e-mail address is too long. Please give one of at most %d characters.") % LONGEST_EMAIL)
    found = Customer.objects.with_email(email)
    language = (get_language() or "")[:12]
    if found is not None:
        if not found.language and language:
            Customer.objects.filter(pk=found.pk, language="").update(language=language)
            found.language = language
        return found
    try:
        with transaction.atomic():
            return Customer.objects.create(email=email, name=name[:LONGEST_NAME], language=language)
    except IntegrityError:
        faster = Customer.objects.with_email(email)
        if faster is None:
            raise
        return faster


def ensure_stripe_customer(customer: Customer) -> str:
    """Stripe's id of the payer (cus_…) in the account and mode of our key, made at Stripe if needed.

    One that was deleted at Stripe is made anew; its cards are gone with it.
    """
    account, livemode = gateway().account_id(), is_live_key(conf.STRIPE_SECRET_KEY)
    rows = StripeCustomer.objects.filter(customer=customer, account=account, livemode=livemode)
    known = next(iter(rows.filter(gone=False).order_by()), None)
    if known is not None:
        return known.stripe_customer_id
    metadata = {"customer": str(customer.uuid)}
    # What is sent is part of the key: after a lost answer and a corrected name Stripe would refuse another request
    # under the same one for a day. A second customer without a card costs nothing.
    sent = f"{account}:{livemode}:{rows.count()}:{customer.email}:{customer.name}"
    made = gateway().create_customer(
        email=customer.email,
        name=customer.name,
        metadata=metadata,
        idempotency_key=str(uuid.uuid5(customer.uuid, sent)),
    )
    try:
        with transaction.atomic():
            StripeCustomer.objects.create(
                customer=customer, account=account, livemode=livemode, stripe_customer_id=made
            )
    except IntegrityError:
        faster = rows.filter(gone=False).first()
        if faster is None:
            raise
        return faster.stripe_customer_id
    return made


def learn_of_deletion(stripe_customer_id: str) -> bool:
    """Stripe has refused something of this payer's: were they deleted there? True, and written down, if so. One call.

    Of one that was deleted Stripe still tells; one that it never knew is of another account, and proves nothing.
    """
    return was_deleted(stripe_customer_id) and mark_gone(stripe_customer_id)


def was_deleted(stripe_customer_id: str) -> bool:
    """As `learn_of_deletion`, and nothing is written down."""
    if not stripe_customer_id or gateway().customer_exists(stripe_customer_id):
        return False
    return gateway().knew_customer(stripe_customer_id)


def mark_gone(stripe_customer_id: str) -> bool:
    """The payer is no longer at Stripe, so no card of theirs can be charged. True if it was one of ours."""
    with transaction.atomic():
        ours = StripeCustomer.objects.filter(stripe_customer_id=stripe_customer_id).update(gone=True)
        cards = SavedCard.objects.filter(stripe_customer_id=stripe_customer_id).exclude(stripe_customer_id="")
        return bool(cards.update(gone=True, refresh=True) + ours)


# -- cards: named by the agreement of the attempt that saved them -----------------------------------------


def store_card(checkout: Checkout, intent: SetupIntent | PaymentIntent) -> SavedCard | None:
    """Write down the card that an intent has saved, and let the attempt's agreement name it.

    In the settling transaction; Stripe is not called. What is printed on the card is read by `read_card` afterwards
    where the intent does not tell.
    """
    if checkout.customer is None or not intent.payment_method_id:
        return None
    at_stripe = StripeCustomer.objects.filter(stripe_customer_id=intent.customer_id).first()
    printed = card_columns(intent.card)
    card, new = SavedCard.objects.get_or_create(
        payment_method_id=intent.payment_method_id,
        livemode=intent.livemode,
        defaults={
            "customer": checkout.customer,
            "account": at_stripe.account if at_stripe is not None else "",
            "stripe_customer_id": intent.customer_id,
            "set_up_at": intent.created_at,
            "gone": at_stripe is not None and at_stripe.gone,
            **printed,
        },
    )
    if not new and printed:
        SavedCard.objects.filter(pk=card.pk).update(**printed)
    agreement: Agreement | None = getattr(checkout, "agreement", None)
    if agreement is not None:
        agreement.name_card(card)
    return card


def let_go(checkout: Checkout, intent: SetupIntent) -> None:
    """The card was saved for something that is not wanted: the sweep of replaced cards takes it off."""
    card = store_card(checkout, intent)
    if card is not None:
        SavedCard.objects.filter(pk=card.pk).update(replaced=True)


def not_needed(checkout: Checkout) -> None:
    """What this attempt paid for was given back before it began: the card that was saved with it is taken off by the
    sweep of replaced cards, unless another plan is charged to it."""
    SavedCard.objects.filter(payment_method_id=checkout.payment_method_id, livemode=checkout.livemode).update(
        replaced=True
    )


def card_columns(card: Card | None) -> dict[str, object]:
    """What is printed on a card, as columns of `SavedCard`."""
    if card is None:
        return {}
    known = card.exp_month is not None and card.exp_year is not None
    return {
        "brand": card.brand,
        "last4": card.last4,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": card.fingerprint,
        "expiry_date": SavedCard.last_good_day(card.exp_month or 1, card.exp_year or 1) if known else None,
    }


def is_of_this_key(card: SavedCard, account: str) -> bool:
    """True if our key is of the mode and `account` (as far as known) in which the card was saved. No call to Stripe."""
    if card.livemode != is_live_key(conf.STRIPE_SECRET_KEY):
        return False
    return not card.account or not account or card.account == account


def plans_of_another_key(account: str) -> QuerySet[ObjectPaymentPlan]:
    """Plans that go on, and whose card our key cannot charge."""
    unpaid = ObjectPaymentPlan.objects.filter(Q(instalments__state__in=states.UNPAID), deleted=False)
    other = ~Q(agreement__saved_card__livemode=is_live_key(conf.STRIPE_SECRET_KEY))
    if account:
        other |= ~Q(agreement__saved_card__account__in=["", account])
    return unpaid.filter(other, agreement__saved_card__isnull=False).distinct()


# -- cards that were replaced ------------------------------------------------------------------------------


def replaced() -> QuerySet[SavedCard]:
    """Cards whose place was taken, which no live plan is charged to and no unanswered charge names."""
    in_use = ObjectPaymentPlan.objects.filter(deleted=False, agreement__saved_card__isnull=False)
    asked = Checkout.objects.filter(Q(state=states.REQUEST)).exclude(payment_method_id="")
    return (
        _out_of_place()
        .exclude(pk__in=in_use.values("agreement__saved_card"))
        .exclude(payment_method_id__in=asked.values("payment_method_id"))
        .order_by("pk")
    )


def _out_of_place() -> QuerySet[SavedCard]:
    """Cards whose place was taken, and which are not taken off yet."""
    return SavedCard.objects.filter(replaced=True, detached_at=None, gone=False)


def detach_replaced(customer: Customer | None = None, limit: int | None = None) -> int:
    """Take cards that were replaced off at Stripe, if the site wants that (CHECKOUT_DETACH_OLD_CARDS); how many.

    Only tidying up: a failure is logged and changes nothing, and the next sweep tries again.
    """
    if not conf.CHECKOUT_DETACH_OLD_CARDS:
        return 0
    of = {} if customer is None else {"customer": customer}
    # Whoever has just saved a card has most often no other: to find that out should cost little.
    if not _out_of_place().filter(**of).exists():
        return 0
    rows = replaced().filter(**of)
    done = 0
    for card in rows[:limit]:
        if not is_of_this_key(card, gateway().account_id()):
            continue
        try:
            gateway().detach_payment_method(card.payment_method_id)
        except NotFoundAtStripe:
            pass
        except GatewayError as problem:
            logger.info("replaced card %s was not detached: %s", card.pk, problem.code or problem)
            continue
        done += SavedCard.objects.filter(pk=card.pk).update(detached_at=clock.now())
    return done


# -- reading them again ------------------------------------------------------------------------------------


def read_cards_of(customer: Customer) -> int:
    """Read this payer's cards in use from Stripe again; how many there are. One call for each."""
    cards = [card for card in customer.cards_in_use if card.good]
    for card in cards:
        read_card(card)
    return len(cards)


def read_card(card: SavedCard) -> SavedCard:
    """Read a card from Stripe again: expiry and number may have changed under the same id. One call to Stripe.

    A card that was taken off its customer there cannot be charged any more: its payer should give a new one.
    """
    try:
        method = gateway().retrieve_payment_method(card.payment_method_id)
    except NotFoundAtStripe:
        method = None
    return take_in(card, method)


def card_updated_at_stripe(payment_method_id: str) -> SavedCard | None:
    """Something happened to a card at Stripe: read it again. None when it is no card of ours.

    A bank may have sent its client a new one, kept under the same id: good for longer, it needs no refresh any more.
    Or it was taken off its customer: a new one is asked for before a charge fails.
    """
    card = SavedCard.objects.good().filter(payment_method_id=payment_method_id).first() if payment_method_id else None
    return read_card(card) if card is not None else None


def is_as_known(card: SavedCard, method: PaymentMethod | None) -> bool:
    """Whether what was read is what the row says, so that there is nothing to write down but the time."""
    if method is None or method.customer_id != card.stripe_customer_id:
        return False
    return all(getattr(card, name) == value for name, value in card_columns(method.card).items())


def take_in(card: SavedCard, method: PaymentMethod | None, now: datetime | None = None) -> SavedCard:
    """Write down what was read. `method` is None when Stripe does not know the card."""
    before = (card.fingerprint, card.expiry_date)
    gone = method is None or method.customer_id != card.stripe_customer_id
    if gone:
        changes: dict[str, object] = {"refresh": True, "gone": True}
        logger.warning("saved card %s is gone at Stripe", card.pk, extra={"card": card.pk})
    else:
        changes = card_columns(method.card) if method is not None else {}
    SavedCard.objects.filter(pk=card.pk).update(read_at=now or clock.now(), **changes)
    card.refresh_from_db()
    if gone and card.stripe_customer_id and not gateway().customer_exists(card.stripe_customer_id):
        mark_gone(card.stripe_customer_id)
    # Only a card that has changed takes the flag away: staff may have asked for a new one for other reasons.
    changed = not gone and before != (card.fingerprint, card.expiry_date)
    if card.refresh and changed and card.expiry_date is not None and not card.is_expiring:
        SavedCard.objects.filter(pk=card.pk).update(refresh=False)
        card.refresh = False
    return card

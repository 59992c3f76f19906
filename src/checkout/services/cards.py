"""Customers at Stripe and the cards saved on them."""

from __future__ import annotations

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from dateutil.relativedelta import relativedelta
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from django.utils import formats, translation
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import clock, links, money, states
from checkout import mail as letters
from checkout.conf import conf
from checkout.contract import Actor
from checkout.errors import CannotPay, CheckoutError, GatewayError, KeyRefused, NotFoundAtStripe
from checkout.gateway import Card, PaymentMethod, SetupIntent, gateway
from checkout.models import Checkout, Customer, Notice, ObjectPaymentPlan
from checkout.services import notices, payers
from checkout.services.pace import Pace

logger = logging.getLogger("checkout.cards")

#: The expiry sweep reads a card once a day, however often it runs.
READ_AGAIN_AFTER = timedelta(hours=20)
#: How many customers are read at a time.
CHUNK = 200


def ensure_customer(email: str, name: str) -> Customer:
    """The one row of that e-mail address (compared without case), made if needed. No call to Stripe."""
    if not email:
        raise CannotPay(_("An e-mail address is needed to save a card."))
    found = Customer.objects.with_email(email)
    language = (get_language() or "")[:12]
    if found is not None:
        if not found.language and language:
            Customer.objects.filter(pk=found.pk, language="").update(language=language)
            found.language = language
        return found
    try:
        with transaction.atomic():
            return Customer.objects.create(email=email, name=name, language=language)
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
    """Read the saved card from Stripe again: expiry and number may have changed under the same id. One call to Stripe.

    A card that was taken off its customer there cannot be charged any more: the customer is flagged for a new one.
    """
    try:
        method = gateway().retrieve_payment_method(customer.payment_method_id)
    except NotFoundAtStripe:
        method = None
    return _take_in(customer, method)


def card_updated_at_stripe(payment_method_id: str) -> Customer | None:
    """Something happened to a card at Stripe: read it again. None when it is not a card of ours.

    A bank may have sent its client a new one, kept under the same id: good for longer, it needs no refresh any more.
    Or it was taken off its customer: a new one is asked for before a charge fails.
    """
    customer = Customer.objects.filter(payment_method_id=payment_method_id).first() if payment_method_id else None
    return update_card(customer) if customer is not None else None


def _take_in(customer: Customer, method: PaymentMethod | None) -> Customer:
    """Write down what was read. `method` is None when Stripe does not know the card."""
    before = (customer.card_fingerprint, customer.expiry_date)
    mine = Customer.objects.filter(pk=customer.pk, payment_method_id=customer.payment_method_id)
    gone = method is None or method.customer_id != customer.customer_id
    if gone:
        changes: dict[str, object] = {"refresh": True}
        if not _exists_at_stripe(customer):
            changes |= {"deleted_at_stripe": True, "payment_method_id": ""}
        logger.warning("the card of customer %s is gone at Stripe", customer.pk, extra={"customer": customer.pk})
    else:
        changes = card_columns(method.card) if method is not None else {}
    mine.update(card_read_at=clock.now(), **changes)
    customer.refresh_from_db()
    # Only a card that has changed takes the flag away: staff may have asked for a new one for other reasons.
    changed = not gone and before != (customer.card_fingerprint, customer.expiry_date)
    if customer.refresh and changed and customer.expiry_date is not None and not customer.is_expiring:
        Customer.objects.filter(pk=customer.pk).update(refresh=False)
        customer.refresh = False
    return customer


def _exists_at_stripe(customer: Customer) -> bool:
    return bool(customer.customer_id) and gateway().customer_exists(customer.customer_id)


# -- expiry ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class CardsRead:
    """What one sweep over expiry dates did: calls that answered, payers told, and rows that need a person."""

    read: int = 0
    flagged: int = 0
    mailed: int = 0
    errors: int = 0


def with_outstanding_plan() -> QuerySet[Customer]:
    """Customers whose card is still to be charged, each once however many plans they have."""
    plans = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(customer=OuterRef("pk"))
    return Customer.objects.filter(Exists(plans))


def refresh_card_expiry_dates() -> CardsRead:
    """Read the cards of outstanding plans; flag those that run out within a month, and tell their payers once a card.

    One call to Stripe for each customer, whatever the number of plans, and none for a card that was read within the
    last 20 hours; `payment_method.automatically_updated` keeps them fresh in between. Safe to run daily, and again
    after it was stopped.

    Raises MailNotReady when the mail template is missing, and CheckoutError when CHECKOUT_BASE_URL is not set.
    """
    letters.require(Customer.MAIL_TEMPLATE_CARD_EXPIRY)
    links.base_url()
    done = CardsRead()
    _read_cards(done)
    _tell_payers(done)
    return done


def _read_cards(done: CardsRead) -> None:
    """Stripe lists saved cards by customer only, so many are asked at once, within the rate limit."""
    stale = with_outstanding_plan().exclude(Q(payment_method_id="") | Q(deleted_at_stripe=True))
    stale = stale.filter(Q(card_read_at=None) | Q(card_read_at__lt=clock.now() - READ_AGAIN_AFTER))
    pks = list(stale.order_by("pk").values_list("pk", flat=True))
    pace = Pace(conf.CHECKOUT_RATE_LIMIT)

    def ask(customer: Customer) -> PaymentMethod | GatewayError | None:
        pace.wait()
        try:
            return gateway().retrieve_payment_method(customer.payment_method_id)
        except NotFoundAtStripe:
            return None
        except GatewayError as problem:
            return problem

    with ThreadPoolExecutor(conf.CHECKOUT_WORKERS, thread_name_prefix="cards") as pool:
        for start in range(0, len(pks), CHUNK):
            customers = list(Customer.objects.filter(pk__in=pks[start : start + CHUNK]).order_by("pk"))
            for customer, answer in zip(customers, pool.map(ask, customers), strict=True):
                if isinstance(answer, KeyRefused):
                    raise answer
                try:
                    if isinstance(answer, GatewayError):
                        raise answer
                    _take_in(customer, answer)
                except CheckoutError as problem:
                    logger.warning("card of customer %s was not read: %s", customer.pk, problem)
                    done.errors += 1
                else:
                    done.read += 1


def _tell_payers(done: CardsRead) -> None:
    """Of every card that runs out, whenever it was read: a mail that failed yesterday goes out today."""
    soon = clock.today() + relativedelta(months=1)
    rows = with_outstanding_plan().filter(expiry_date__lte=soon).exclude(payment_method_id="")
    for pk in list(rows.order_by("expiry_date", "pk").values_list("pk", flat=True)):
        customer = Customer.objects.get(pk=pk)
        try:
            with transaction.atomic():
                done.flagged += Customer.objects.filter(pk=pk, refresh=False).update(refresh=True)
                done.mailed += _send_expiry_mail(customer)
        except Exception:
            # Names and descriptions come from the host's rows, so anything may come out of them.
            logger.exception("no mail about the card of customer %s", pk, extra={"customer": pk})
            done.errors += 1


def _send_expiry_mail(customer: Customer) -> bool:
    card = customer.card_fingerprint or customer.payment_method_id
    cause = f"card_expiry:{customer.pk}:{card}:{customer.expiry_date:%Y-%m}"
    if Notice.objects.filter(cause=cause).exists():
        return False
    return _send(customer, cause, Customer.MAIL_TEMPLATE_CARD_EXPIRY)


def send_card_refresh_mail(customer: Customer, user: Actor = None) -> bool:
    """Staff ask this payer for a new card: the customer is flagged and gets a mail. False if there was one today.

    Raises MailNotReady without the template, CheckoutError without CHECKOUT_BASE_URL or without an outstanding plan.
    """
    letters.require(Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST)
    links.base_url()
    if _next_plan(customer) is None:
        raise CheckoutError(
            _("%(customer)s has no payment plan with anything left to pay, so no card is needed.")
            % {"customer": customer}
        )
    with transaction.atomic():
        Customer.objects.filter(pk=customer.pk).update(refresh=True)
        customer.refresh = True
        # Staff may press twice, or two of them may press.
        cause = f"card_refresh:{customer.pk}:{clock.today().isoformat()}"
        sent = _send(customer, cause, Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST)
    who = getattr(user, "pk", None)
    logger.info("card refresh asked of customer %s by user %s", customer.pk, who, extra={"customer": customer.pk})
    return sent


def _next_plan(customer: Customer) -> ObjectPaymentPlan | None:
    plans = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(customer=customer)
    found: ObjectPaymentPlan | None = plans.select_related("payment_plan", "user").order_by("pk").first()
    return found


def _send(customer: Customer, cause: str, template: str) -> bool:
    plan = _next_plan(customer)
    if plan is None:
        return False
    language = notices.language_of(plan.content_object, customer)
    with translation.override(language):
        waiting = plan.instalments.exclude(Q(state=states.SUCCESS)).order_by("due").first()
        description = getattr(plan.content_object, "checkout_description", [])
        context = {
            "name": customer.name,
            "card": customer.card_description,
            "expired": customer.expiry_date is not None and customer.expiry_date < clock.today(),
            "description": ", ".join(str(line) for line in description),
            "next_amount": money.format_money(waiting.amount, plan.currency, language) if waiting else "",
            "next_due": formats.date_format(waiting.due, "DATE_FORMAT") if waiting else "",
            # The page asks for a login, so who has none is asked to get in touch.
            "can_log_in": payers.payer_of(plan) is not None,
            "link": links.absolute("checkout.card.refresh"),
            "contact": conf.CHECKOUT_CONTACT_TEXT,
            "organisation": conf.STRIPE_CAPTION,
        }
    return notices.send_once(cause, template, customer.email, context, language=language, customer=customer)


def with_last_due(plans: QuerySet[ObjectPaymentPlan]) -> QuerySet[ObjectPaymentPlan]:
    """Each with `last_due`, the day of its last unpaid instalment."""
    return plans.annotate(last_due=Max("instalments__due", filter=~Q(instalments__state=states.SUCCESS)))


def running_out_before_the_end() -> QuerySet[ObjectPaymentPlan]:
    """A look ahead: outstanding plans whose card runs out before their last unpaid instalment (`last_due`), the
    soonest first."""
    plans = with_last_due(ObjectPaymentPlan.objects.report_card_expiry_dates)
    return plans.filter(customer__expiry_date__lt=F("last_due"))

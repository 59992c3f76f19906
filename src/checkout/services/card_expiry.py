"""Cards that run out: read once a day, their payers asked in time for new ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from dateutil.relativedelta import relativedelta
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import formats, translation
from django.utils.translation import gettext as _

from checkout import clock, letters, links, mail, money, states
from checkout.conf import conf, is_live_key
from checkout.contract import Actor
from checkout.errors import CheckoutError, GatewayError, KeyRefused, NotFoundAtStripe
from checkout.gateway import PaymentMethod, gateway
from checkout.models import Customer, Notice, ObjectPaymentPlan, SavedCard
from checkout.services import ahead, at_stripe, cards, notices, unsent
from checkout.services.pace import Pace

logger = logging.getLogger("checkout.cards")

#: The expiry sweep reads a card once a day, however often it runs.
READ_AGAIN_AFTER = timedelta(hours=20)
#: How many cards are read at a time.
CHUNK = 200


@dataclass(slots=True)
class CardsRead:
    """What one sweep over expiry dates did: calls that answered, payers told, and rows that need a person."""

    read: int = 0
    flagged: int = 0
    mailed: int = 0
    errors: int = 0


def refresh_card_expiry_dates() -> CardsRead:
    """Read the cards of outstanding plans; flag those that run out within a month or are gone at Stripe, and tell their
    payers once for each plan and card.

    One call to Stripe for each card, whatever the number of plans, and none for a card that was read within the last 20
    hours; `payment_method.automatically_updated` keeps them fresh in between. Safe to run daily, and again after it was
    stopped.

    Raises MailNotReady when the mail template is missing, and CheckoutError when CHECKOUT_BASE_URL is not set.
    """
    if letters.is_on(Customer.MAIL_TEMPLATE_CARD_EXPIRY):
        mail.require(Customer.MAIL_TEMPLATE_CARD_EXPIRY)
    links.base_url()
    done = CardsRead()
    _read_cards(done)
    _tell_payers(done)
    at_stripe.tell_outdated()
    # What the cards say of the months to come.
    ahead.look()
    return done


def _read_cards(done: CardsRead) -> None:
    """Stripe lists saved cards by customer only, so many are asked at once, within the rate limit."""
    # Those of another mode or account are unknown to our key, which says nothing about them.
    rows = SavedCard.objects.in_use().good().filter(livemode=is_live_key(conf.STRIPE_SECRET_KEY))
    stale = rows.filter(Q(read_at=None) | Q(read_at__lt=clock.now() - READ_AGAIN_AFTER))
    pks = list(stale.order_by("pk").values_list("pk", flat=True))
    if not pks:
        return
    account = gateway().account_id()
    pace = Pace(conf.CHECKOUT_RATE_LIMIT)

    def ask(card: SavedCard) -> PaymentMethod | GatewayError | None:
        pace.wait()
        try:
            return gateway().retrieve_payment_method(card.payment_method_id)
        except NotFoundAtStripe:
            return None
        except GatewayError as problem:
            return problem

    with ThreadPoolExecutor(conf.CHECKOUT_WORKERS, thread_name_prefix="cards") as pool:
        for start in range(0, len(pks), CHUNK):
            chunk = SavedCard.objects.filter(pk__in=pks[start : start + CHUNK]).order_by("pk")
            ours = [card for card in chunk if cards.is_of_this_key(card, account)]
            _take_in(zip(ours, pool.map(ask, ours), strict=True), done)


def _take_in(answers: Iterable[tuple[SavedCard, PaymentMethod | GatewayError | None]], done: CardsRead) -> None:
    """Write down what was read. Nearly every card is as it was: that is one statement for all of these."""
    same: list[int] = []
    try:
        for card, answer in answers:
            if isinstance(answer, KeyRefused):
                raise answer
            try:
                if isinstance(answer, GatewayError):
                    raise answer
                if cards.is_as_known(card, answer):
                    same.append(card.pk)
                else:
                    cards.take_in(card, answer)
            except CheckoutError as problem:
                logger.warning("saved card %s was not read: %s", card.pk, problem)
                done.errors += 1
            else:
                done.read += 1
    finally:
        SavedCard.objects.filter(pk__in=same).update(read_at=clock.now())


def _tell_payers(done: CardsRead) -> None:
    """Of every card that runs out or is gone at Stripe, whenever it was read: a mail that failed yesterday goes out
    today. One for each plan: a card that its payer gives is for the plan whose page the mail leads to."""
    soon = clock.today() + relativedelta(months=1)
    of_this_key = SavedCard.objects.in_use().filter(livemode=is_live_key(conf.STRIPE_SECRET_KEY))
    rows = of_this_key.filter(Q(gone=True) | Q(detached_at=None, expiry_date__lte=soon)).select_related("customer")
    for card in list(rows.order_by("expiry_date", "pk")):
        if card.gone and not cards.is_of_this_key(card, gateway().account_id()):
            continue
        for plan in list(_charged_to(card)):
            cause = _expiry_cause(card, plan)
            try:
                with transaction.atomic():
                    done.flagged += SavedCard.objects.filter(pk=card.pk, refresh=False).update(refresh=True)
                    done.mailed += _send_expiry_mail(card, plan, cause)
                unsent.gone(cause)
            except Exception as problem:
                # Names and descriptions come from the host's rows, so anything may come out of them.
                logger.exception("no mail about saved card %s", card.pk, extra={"card": card.pk})
                unsent.report(cause, problem)
                done.errors += 1


def _charged_to(card: SavedCard) -> QuerySet[ObjectPaymentPlan]:
    plans = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(agreement__saved_card=card)
    return plans.select_related("payment_plan", "user", "customer").order_by("pk")


def _expiry_cause(card: SavedCard, plan: ObjectPaymentPlan) -> str:
    if card.gone:
        return f"card_gone:{plan.pk}:{card.customer_id}:{card.payment_method_id}"
    printed = card.fingerprint or card.payment_method_id
    return f"card_expiry:{plan.pk}:{card.customer_id}:{printed}:{card.expiry_date:%Y-%m}"


def _send_expiry_mail(card: SavedCard, plan: ObjectPaymentPlan, cause: str) -> bool:
    if Notice.objects.filter(cause=cause).exists():
        return False
    return _send_about(plan, card, cause, Customer.MAIL_TEMPLATE_CARD_EXPIRY)


def send_card_refresh_mail(customer: Customer, user: Actor = None) -> bool:
    """Staff ask this payer for a new card: the cards in use are flagged, and a mail goes out. False if there was one
    today.

    Raises MailNotReady without the template, CheckoutError without CHECKOUT_BASE_URL or without an outstanding plan.
    """
    mail.require(Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST)
    links.base_url()
    plan = next_plan(customer)
    if plan is None:
        raise CheckoutError(
            _("%(customer)s has no payment plan with anything left to pay, so no card is needed.")
            % {"customer": customer}
        )
    with transaction.atomic():
        customer.cards_in_use.update(refresh=True)
        # Staff may press twice, or two of them may press.
        cause = f"card_refresh:{customer.pk}:{clock.today().isoformat()}"
        sent = _send_about(plan, plan.card, cause, Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST)
    who = user.pk if user is not None else None
    logger.info("card refresh asked of customer %s by user %s", customer.pk, who, extra={"customer": customer.pk})
    return sent


def next_plan(customer: Customer) -> ObjectPaymentPlan | None:
    """The oldest plan on which this payer still owes something."""
    plans = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(customer=customer)
    rows = plans.select_related("payment_plan", "user", "customer", "agreement__saved_card")
    found: ObjectPaymentPlan | None = rows.order_by("pk").first()
    return found


def _send_about(plan: ObjectPaymentPlan, card: SavedCard | None, cause: str, template: str) -> bool:
    customer = plan.customer
    if customer is None:
        return False
    language = notices.language_of(plan.payer_row, customer)
    with translation.override(language):
        # What was declined before is not what comes next.
        coming = plan.instalments.select_related("debt").filter(Q(state=states.PENDING)).order_by("due").first()
        description = getattr(plan.content_object, "checkout_description", [])
        context = {
            "name": customer.name,
            "card": card.description if card is not None else "",
            "expired": card is not None and card.has_run_out,
            "gone": card is not None and card.gone,
            "description": ", ".join(str(line) for line in description),
            "next_amount": money.format_money(coming.left, plan.currency, language) if coming else "",
            "next_due": formats.date_format(coming.due, "DATE_FORMAT") if coming else "",
            "link": links.plan_page(plan),
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
    return plans.filter(agreement__saved_card__expiry_date__lt=F("last_due"))

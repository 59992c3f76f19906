"""What has happened at the college before the demo begins, so that the office has something to look at.

Everything is done by the app's own verbs, on an emulator and by a clock that begin some months ago. What the database
itself dates (the defaults of columns) is moved back afterwards.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import stripe
from dateutil.relativedelta import relativedelta
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F
from django.test.utils import override_settings
from django.utils import timezone
from post_office.models import Email

from checkout import clock
from checkout.gateway import gateway
from checkout.gateway.webhooks import read_event, sign
from checkout.models import (
    Agreement,
    Checkout,
    CheckoutAdditional,
    Notice,
    ObjectPaymentPlan,
    PaymentPlan,
    PaymentRun,
    Refund,
    StateChange,
    StripeEvent,
)
from checkout.services import agreements, cards, disputes, fulfillment, inbox, invoices, refunds, requests, runs
from example_checkout import demo_data
from example_checkout.models import Contact, Product, SalesLedger
from stripe_emulator import Clock, Emulator

PLAN, LONG_PLAN = "deposit-20-4-monthly", "deposit-10-10-monthly"

#: name, what they study, on which plan, begun how many months ago
STUDENTS: list[tuple[str, str, str, int]] = [
    ("Amira Okafor", "bookkeeping", PLAN, 5),
    ("Ben Fischer", "bookkeeping", PLAN, 3),
    ("Chloe Martin", "garden-design", LONG_PLAN, 5),
    ("Dafydd Jones", "garden-design", LONG_PLAN, 4),
    ("Elif Demir", "bookkeeping", PLAN, 2),
    ("Farid Rahimi", "garden-design", LONG_PLAN, 3),
    ("Grace Whitfield", "bookkeeping", PLAN, 2),
    ("Hanna Novak", "garden-design", LONG_PLAN, 2),
    ("Ian McLeod", "bookkeeping", PLAN, 1),
    (demo_data.PAYER_NAME, "bookkeeping", PLAN, 2),
]
#: What became of their cards before this month's run: the instalment fails, or the bank requires the payer.
REPLACED_CARDS = {
    "Dafydd Jones": "4000000000000341",
    "Grace Whitfield": "4000002760003184",
    demo_data.PAYER_NAME: "4000002760003184",
}
VISA, MASTERCARD, DISPUTED, NO_MONEY = "4242424242424242", "5555555555554444", "4000000000000259", "4000000000009995"
#: name, what they bought, with which card, how many days ago
GUESTS: list[tuple[str, str, str, int]] = [
    ("Jo Castellan", "pottery", VISA, 64),
    ("Kenji Mori", "library", MASTERCARD, 41),
    ("Lena Brandt", "first-aid", VISA, 33),
    ("Mary Adeyemi", "beekeeping", VISA, 17),
    ("Niall Byrne", "pottery", DISPUTED, 12),
    ("Olga Petrova", "first-aid", MASTERCARD, 6),
    ("Piotr Zielinski", "library", VISA, 2),
]
MONTHS = 5


def tell(state: Path) -> None:
    """Let it happen, once: nothing is done where there is any payment already. Takes a few seconds.

    `state` is the file from which the emulator's server goes on.
    """
    if Checkout.objects.exists():
        return
    college = College()
    log = logging.getLogger("checkout")
    loud, log.level = log.level, logging.CRITICAL
    try:
        with override_settings(CHECKOUT_STRIPE_API_BASE="", CHECKOUT_STRIPE_HTTP_CLIENT=college.emulator.transport):
            college.live()
    finally:
        log.level = loud
    state.write_text(json.dumps(college.emulator.snapshot()))


class College:
    """Its customers and its office, and what they did on which day."""

    def __init__(self) -> None:
        self.today = timezone.localdate()
        self.now = timezone.now()
        begin = self.at(self.month(MONTHS), hour=0).timestamp()
        self.emulator = Emulator(seed=int(begin), clock=Clock(begin))
        self.client = stripe.StripeClient(settings.STRIPE_SECRET_KEY, http_client=self.emulator.transport())
        self.staff = get_user_model().objects.get(username=demo_data.STAFF)
        self.plans: dict[str, ObjectPaymentPlan] = {}

    def live(self) -> None:
        story: list[tuple[datetime.datetime, Callable[[datetime.datetime], None]]] = []
        for name, slug, card, days_ago in GUESTS:
            day = self.today - datetime.timedelta(days=days_ago)
            story.append((self.at(day, hour=19), partial(self.buy, name, slug, card)))
        for name, slug, plan, months_ago in STUDENTS:
            story.append(
                (self.at(self.month(months_ago).replace(day=5), hour=11), partial(self.enrol, name, slug, plan))
            )
        story += [(self.at(self.month(months_ago), hour=6), self.run) for months_ago in range(MONTHS)]
        story.append((self.at(self.month(0), hour=5), self.replace_cards))
        story.append((self.at(self.today - datetime.timedelta(days=1), hour=10), self.yesterday))
        for moment, happens in sorted(story, key=lambda event: event[0]):
            if moment < self.now:
                self.wait_until(moment)
                with mock.patch.object(clock, "now", return_value=moment):
                    happens(moment)
        self.wait_until(self.now)
        # Those mails were sent long ago.
        Email.objects.all().delete()
        self.today_in_the_office()
        self.webhooks_come()

    def wait_until(self, moment: datetime.datetime) -> None:
        stripes = self.emulator.clock
        stripes.advance(seconds=max(0, moment.timestamp() - stripes.now()))
        self.emulator.tick()

    # -- what payers did ---------------------------------------------------------------------------

    def order(self, name: str, slug: str) -> SalesLedger:
        email = f"{name.split(maxsplit=1)[0].lower()}@example.com"
        contact = Contact.objects.filter(name=name).first() or Contact.objects.create(email=email, name=name)
        return SalesLedger.objects.create(contact=contact, product=Product.objects.get(slug=slug))

    def enter_card(self, checkout: Checkout, number: str) -> Checkout:
        """What the payer does on the page, the bank's check included."""
        intent: Any = (
            gateway().retrieve_setup_intent(checkout.setup_intent_id)
            if checkout.by_setup_intent
            else gateway().retrieve_payment_intent(checkout.payment_intent_id)
        )
        self.emulator.pay(intent.client_secret, number, authenticate=True)
        return fulfillment.fulfill(checkout)

    def buy(self, name: str, slug: str, number: str, moment: datetime.datetime) -> None:
        checkout = self.enter_card(Checkout.objects.create_checkout("payment", self.order(name, slug)), number)
        move_back([checkout], moment)

    def enrol(self, name: str, slug: str, plan_slug: str, moment: datetime.datetime) -> None:
        """Agree to the plan and save the card; the deposit is taken."""
        sale = self.order(name, slug)
        payment_plan = PaymentPlan.objects.get(slug=plan_slug)
        terms = agreements.agreement_terms(payment_plan, sale, text=agreements.wording(payment_plan, sale))
        checkout = Checkout.objects.create_checkout(
            "payment_plan", sale, None, payment_plan=payment_plan, agreement=terms
        )
        self.enter_card(checkout, VISA)
        plan = self.plans[name] = ObjectPaymentPlan.objects.for_content_object(sale)
        move_back([checkout, *Checkout.objects.for_content_object(plan.instalments.get(deposit=True))], moment)
        ObjectPaymentPlan.objects.filter(pk=plan.pk).update(created_at=moment)

    def replace_cards(self, moment: datetime.datetime) -> None:
        for name, number in REPLACED_CARDS.items():
            move_back(
                [self.enter_card(Checkout.objects.create_checkout("card_refresh", self.plans[name]), number)], moment
            )

    # -- what the office did -----------------------------------------------------------------------

    def run(self, moment: datetime.datetime) -> None:
        """The payment run of that morning."""
        run = runs.process_payments()
        move_back(Checkout.objects.filter(run_items__payment_run=run), moment)
        finished = moment + datetime.timedelta(seconds=40)
        PaymentRun.objects.filter(pk=run.pk).update(started_at=moment, finished_at=finished)

    def yesterday(self, moment: datetime.datetime) -> None:
        """A part is given back, a bank disputes a payment, a card is about to run out."""
        refund = refunds.refund(
            Checkout.objects.get(payer__startswith="Lena Brandt"), Decimal(20), user=self.staff, note="Left after lunch"
        )
        Refund.objects.filter(pk=refund.pk).update(created_at=moment, settled_at=moment)
        for dispute in self.client.v1.disputes.list().data:
            disputes.dispute_updated_at_stripe(dispute.id)
        saved = self.plans["Hanna Novak"].card
        if saved is not None:
            soon = self.today + relativedelta(months=1)
            card: Any = {"card": {"exp_month": soon.month, "exp_year": soon.year}}
            self.client.v1.payment_methods.update(saved.payment_method_id, card)
            cards.read_card(saved)

    def today_in_the_office(self) -> None:
        """A card is declined on a page that is still open, an invoice is asked for, a customer is asked for money."""
        self.enter_card(Checkout.objects.create_checkout("payment", self.order("Quinn Harper", "beekeeping")), NO_MONEY)
        address = CheckoutAdditional(
            company_name="Orchard Accounts Ltd",
            address_1="12 Mill Street",
            town="Market Newton",
            postcode="MN1 2AB",
            country="United Kingdom",
            contact_name="Rosa Linden",
            email="rosa@example.com",
        )
        invoices.request_invoice(self.order("Rosa Linden", "bookkeeping"), address)
        asked = requests.create(
            email="kenji@example.com",
            name="Kenji Mori",
            description="A lost library book",
            total=Decimal("18.50"),
            user=self.staff,
        )
        requests.send_link(asked, self.staff)

    def webhooks_come(self) -> None:
        """The last weeks' events, as the webhook address takes them in."""
        secret = settings.CHECKOUT_WEBHOOK_SECRET
        for event in reversed(self.client.v1.events.list({"limit": 100}).data):
            body = json.dumps(event.to_dict()).encode()
            row = inbox.receive(read_event(body, sign(body, secret), [secret]))
            if row is not None:
                inbox.handle(row.pk)
        StripeEvent.objects.update(received_at=F("created_at"))

    # -- days --------------------------------------------------------------------------------------

    def month(self, months_ago: int) -> datetime.date:
        """The first of the month."""
        return self.today.replace(day=1) - relativedelta(months=months_ago)

    def at(self, day: datetime.date, hour: int) -> datetime.datetime:
        return timezone.make_aware(datetime.datetime.combine(day, datetime.time(hour, 12)))


def move_back(checkouts: Iterable[Checkout], moment: datetime.datetime) -> None:
    """Say of these attempts, and of all that was written down with them, that they were made at that moment."""
    rows = Checkout.objects.filter(pk__in=[checkout.pk for checkout in checkouts])
    rows.update(created_at=moment, seen_at=moment)
    rows.exclude(settled_at=None).update(settled_at=moment + datetime.timedelta(seconds=20))
    lines = [row.object_id for row in rows if row.is_charge]
    StateChange.objects.filter(checkout__in=rows).update(at=moment)
    StateChange.objects.filter(instalment__in=lines).update(at=moment)
    Notice.objects.filter(checkout__in=rows).update(queued_at=moment)
    # An agreement cannot be changed by its own manager, and rightly so: here it is given its true day.
    Agreement._base_manager.filter(checkout__in=rows).update(agreed_at=moment)

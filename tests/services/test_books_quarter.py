"""A quarter of plans, with refunds, disputes, failed payouts and two currencies, ends in zero without a person; then
what is planted in it has its right name. `make quarter` does so with 3,000 plans."""

from __future__ import annotations

import csv
import datetime
import io
import os
import random
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from checkout import bookkeeping, clock, mail
from checkout.gateway import gateway
from checkout.models import (
    BalanceTransaction,
    BookDifference,
    BookMonth,
    Checkout,
    ObjectPaymentPlan,
    PaymentPlan,
    Payout,
    Posting,
)
from checkout.office import book_figures
from checkout.services import (
    bank_news,
    books_closing,
    books_intake,
    books_lines,
    books_match,
    fulfillment,
    refunds,
    runs,
)
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.test_books_match import ends_in_zero, intent_of_another_site, mark_of
from tests.shop_days import Shop, open_shop

pytestmark = pytest.mark.django_db(transaction=True)

PLANS = int(os.environ.get("BOOKS_PLANS", "6"))
CARDS = ("4242424242424242", "4000008260000000", "4000002760000016")
EUROS = 4


def agree(shop: Shop, number: int, template: PaymentPlan) -> ObjectPaymentPlan:
    """Every fourth pays in euros."""
    row = Membership.objects.create(
        email=f"payer{number}@example.com", currency="EUR" if number % EUROS == 0 else "GBP",
        total=Decimal(100 + number % 50),
    )  # fmt: skip
    begun = Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=template)
    secret = gateway().retrieve_setup_intent(begun.setup_intent_id).client_secret
    shop.emulator.pay(secret, number=CARDS[number % len(CARDS)])
    fulfillment.fulfill(begun)
    plan: ObjectPaymentPlan = ObjectPaymentPlan.objects.for_content_object(row)
    return plan


def something_happens(shop: Shop, chance: random.Random) -> None:
    """To one payment that came: given back here or in the dashboard, in full or in part, or disputed."""
    # A dispute of which no news has come yet is known at Stripe alone, and a payment is disputed once.
    disputed = [row["payment_intent"] for row in shop.emulator.world.tables["dispute"].values()]
    came = Checkout.objects.success().filter(refunded=0, disputes=None).exclude(payment_intent_id="")
    paid = came.exclude(payment_intent_id__in=disputed).order_by("pk")
    number = paid.count()
    if not number:
        return
    checkout = paid[chance.randrange(number)]
    match chance.randrange(4):
        case 0:
            refunds.refund(checkout, checkout.total or Decimal(0))
        case 1:
            refunds.refund(checkout, Decimal(5))
        case 2:
            shop.bank.dashboard_refund(checkout.payment_intent_id, 300)
        case 3:
            shop.bank.dispute(checkout.payment_intent_id)


def disputes_are_decided(shop: Shop, chance: random.Random) -> None:
    for dispute in list(shop.emulator.world.tables["dispute"].values()):
        if dispute["status"] == "needs_response" and chance.random() < 0.2:
            shop.bank.decide_dispute(dispute["id"], chance.choice(["won", "lost"]))


def live_a_quarter(shop: Shop, chance: random.Random) -> None:
    template = PaymentPlan.objects.create_payment_plan("quarter", "Quarter", 20, 2, 1)
    shop.emulator.bank.block_after(None)
    for number in range(PLANS):
        agree(shop, number, template)
    for day in range(100):
        shop.pass_days(1)
        if clock.today().day <= 2:
            runs.process_payments(workers=1)
        for _ in range(1 + PLANS // 1500):
            if chance.random() < 0.3:
                something_happens(shop, chance)
        if day in (20, 50):
            shop.bank.fail_next_payout()
        if day % 10 == 0:
            disputes_are_decided(shop, chance)
            bank_news.look()
            shop.take_in()
            books_match.match()
    shop.pass_days(8)
    bank_news.look()
    shop.take_in()
    books_match.match()


def exports_balance() -> None:
    """To the penny, month by month; and each payout is the sum of what its lines say."""
    whose = books_intake.account()
    held: dict[str, Decimal] = {}
    cleared: dict[str, Decimal] = {}
    for number in (1, 2, 3, 4):
        month = datetime.date(2027, number, 1)
        text, _lines = books_closing.day_book(month, whose)
        for row in csv.DictReader(io.StringIO(text.decode("utf-8-sig"))):
            # A payout that came back is in the one that it went out with again.
            if row["payout"] and row["source"] != row["payout"]:
                held[row["payout"]] = held.get(row["payout"], Decimal(0)) + Decimal(row["net"])
        for currency in ("GBP", "EUR"):
            entries = bookkeeping.journal(books_lines.lines(month, whose), bookkeeping.ACCOUNTS, currency)
            for entry in entries:
                assert entry.amount > 0
                for account, amount in ((entry.debit, entry.amount), (entry.credit, -entry.amount)):
                    key = f"{currency} {account}"
                    cleared[key] = cleared.get(key, Decimal(0)) + amount
    for payout in Payout.objects.filter(automatic=True).exclude(held_at=None):
        assert held[payout.payout_id] == payout.amount, payout
        assert book_figures.content_of(payout).unnamed == 0
    for currency in ("GBP", "EUR"):
        balance = BalanceTransaction.objects.filter(currency=currency).aggregate(sum=Sum("net"))["sum"]
        assert cleared[f"{currency} 610"] == Decimal(balance).quantize(Decimal("0.01"))
        assert sum(amount for key, amount in cleared.items() if key.startswith(currency)) == 0


def plant(shop: Shop) -> dict[str, str]:
    """What each of these should be called, by what it is about."""
    one, two, three = (shop.pay("100") for _ in range(3))
    lost = shop.bank.dashboard_refund(one.payment_intent_id, 200)
    double = intent_of_another_site(shop, 3000, **{**mark_of(two), "checkout": str(two.debt.attempt_uuid(77))})
    unknown = "7f7f7f7f-0000-4000-8000-000000000001"
    orphan = intent_of_another_site(shop, 3100, **{**mark_of(two), "checkout": unknown, "debt": unknown})
    foreign = intent_of_another_site(shop, 3200)
    disputed = shop.bank.dispute(three.payment_intent_id)
    correction = shop.bank.move_balance(150, kind="adjustment", description="Fee correction")
    paid_out = Payout.objects.filter(status="paid", currency="GBP").order_by("-arrival_on", "-pk").first()
    assert paid_out is not None
    shop.bank.fail_payout(paid_out.payout_id)
    Posting.rows.create(
        debt=two.debt, kind="given_back", amount=Decimal(-1), day=clock.today(), cause="planted",
        checkout=two, at=clock.now() - datetime.timedelta(days=3),
    )  # fmt: skip
    return {
        lost["id"]: "refund_not_here", double: "double", orphan: "charge_not_here", foreign: "",
        disputed["id"]: "dispute_not_here", correction["id"]: "adjustment", paid_out.payout_id: "payout_failed",
        two.payment_intent_id: "not_at_stripe",
    }  # fmt: skip


def test_a_quarter_ends_in_zero_and_what_is_planted_is_named(emulator: Emulator, staff: Any) -> None:
    mail.install()
    chance = random.Random(7)
    with open_shop(emulator) as shop:
        live_a_quarter(shop, chance)
        assert list(BookDifference.objects.filter(closed_at=None)) == []
        assert ends_in_zero()
        kinds = set(Posting.objects.values_list("kind", flat=True))
        assert kinds >= {"taken", "given_back", "disputed"}
        assert Payout.objects.filter(status="failed").exists()
        assert {"EUR", "GBP"} <= set(Payout.objects.values_list("currency", flat=True))
        exports_balance()
        shop.clock.shift(datetime.timedelta(minutes=2))
        for number in (1, 2, 3):
            books_closing.close(datetime.date(2027, number, 1), books_intake.account(), staff)
        assert BookMonth.objects.count() == 3
        expected = plant(shop)
        shop.take_in()
        books_match.match()
        found = dict(BookDifference.objects.filter(closed_at=None).values_list("subject", "kind"))
        assert found == {subject: kind for subject, kind in expected.items() if kind}

"""The ways in which money moves here, one by one: what stands before, who does what, and what must have come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Final

from checkout import clock, states
from checkout.gateway import gateway
from checkout.models import Checkout, Customer, CustomerPayment, Dispute, Payout, Refund, SavedCard
from checkout.office import people
from checkout.services import (
    audit,
    bank_news,
    charging,
    dispute_evidence,
    doctor,
    early,
    look_back,
    look_up,
    on_session,
    plan_changes,
    plans,
    refunds,
    requests,
    runs,
    take_overs,
)
from stripe_emulator import faults
from tests.chaos.life import agree
from tests.host.models import Membership
from tests.proof.shop import MASTERCARD, PENDING_REFUND, VISA, Shop

CORRECTED: Final = "corrected@example.com"


@dataclass(frozen=True, slots=True)
class Flow:
    """`before` happens in fair weather, `walk` in any, and `done` says whether it has come to its end.

    After the jobs it must have, unless it is a `person`'s: what they saw an error about, they may press again.
    """

    name: str
    walk: Callable[[Shop], object]
    done: Callable[[Shop], bool]
    before: Callable[[Shop], object] = lambda shop: None
    person: bool = False


def _one_off(shop: Shop) -> None:
    shop.row.refresh_from_db()
    shop.pays(shop.on_a_bad_day(lambda: Checkout.objects.create_checkout("payment", shop.row)))


def _a_plan(shop: Shop) -> None:
    shop.agrees()
    assert shop.taken() == 20


def _a_line_is_due(shop: Shop) -> None:
    _a_plan(shop)
    shop.is_due()


def _a_line_was_declined(shop: Shop) -> None:
    _a_line_is_due(shop)
    shop.emulator.bank.decline_next(shop.plan().card.payment_method_id, "insufficient_funds")
    runs.process_payments(workers=1)
    assert shop.line().state_id == states.FAIL


def _the_bank_wants_the_payer(shop: Shop) -> None:
    _a_line_is_due(shop)
    shop.emulator.bank.decline_next(shop.plan().card.payment_method_id, "authentication_required")
    runs.process_payments(workers=1)
    assert shop.line().state_id == states.PAY_ON_SESSION


def _paid_at_once(shop: Shop) -> None:
    _one_off(shop)
    assert shop.taken() == 100


def _run(shop: Shop) -> None:
    shop.on_a_bad_day(lambda: runs.process_payments(workers=1))


def _takes_over(shop: Shop) -> None:
    """Staff ask somebody else, who gives a card; whoever saw no answer presses again."""
    change = shop.plan().changes.first() or plan_changes.propose(
        shop.plan(), "payer", "she pays", name="A Grandmother", email="grandmother@example.com"
    )
    if change.waits:
        shop.pays(shop.on_a_bad_day(lambda: take_overs.begin(change)), MASTERCARD)


def _pays_the_line(shop: Shop, *, another: bool) -> None:
    begin = partial(Checkout.objects.create_checkout_pay_on_session, shop.line(), another_card=another)
    shop.pays(shop.on_a_bad_day(begin), MASTERCARD if another else VISA)


def _refreshes(shop: Shop) -> None:
    begun = shop.on_a_bad_day(lambda: Checkout.objects.create_checkout("card_refresh", shop.plan(), None))
    shop.pays(begun, MASTERCARD)


def _pays_all(shop: Shop) -> None:
    shop.pays(shop.on_a_bad_day(lambda: early.create_checkout_early(shop.plan(), Decimal(80))))


def _refund(shop: Shop) -> None:
    paid = Checkout.objects.success().taking_money().get()
    if refunds.left(paid) == 100:
        shop.on_a_bad_day(lambda: refunds.refund(paid, Decimal(30)))


def _dispute(shop: Shop) -> None:
    shop.emulator.bank.dispute(Checkout.objects.success().taking_money().get().payment_intent_id)
    shop.on_a_bad_day(bank_news.look)


def _request(shop: Shop) -> None:
    # Whoever presses again opens the one that is there.
    request = CustomerPayment.objects.first() or requests.create(
        email="payer@example.com", name="A Payer", description="Exam", total=Decimal(25)
    )
    shop.pays(shop.on_a_bad_day(lambda: requests.begin(request)))


def _a_refund_without_an_answer(shop: Shop) -> None:
    _paid_at_once(shop)
    with shop.weather(faults.LostAfter(), wherever="POST /v1/refunds"):
        _refund(shop)
    assert Refund.objects.get().state == Refund.PENDING


def _a_refund_on_its_way(shop: Shop) -> None:
    shop.pays(Checkout.objects.create_checkout("payment", shop.row), PENDING_REFUND)
    _refund(shop)


def _a_set_up_without_an_answer(shop: Shop) -> None:
    with shop.weather(faults.LostAfter(), wherever="POST /v1/setup_intents"):
        shop.agrees()
    shop.clock.shift(timedelta(minutes=11))


def _a_card_was_saved_and_the_tab_closed(shop: Shop) -> None:
    """A few of them at the same time are listed together."""
    for row in (shop.row, *(Membership.objects.create(email=f"{number}@example.com") for number in range(3))):
        begun = Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=shop.template)
        shop.enters_a_card(begun)


def _a_deposit_was_paid_and_the_tab_closed(shop: Shop) -> None:
    for row in (shop.row, *(Membership.objects.create(email=f"{number}@example.com") for number in range(3))):
        shop.enters_a_card(agree(row, shop.template, with_deposit=True))


def _a_page_was_left(shop: Shop) -> None:
    Checkout.objects.create_checkout("payment_plan", shop.row, None, payment_plan=shop.template)


def _the_card_was_taken_off(shop: Shop) -> None:
    _a_plan(shop)
    gateway().detach_payment_method(shop.plan().card.payment_method_id)


def _the_post_comes(shop: Shop) -> None:
    shop.on_a_bad_day(lambda: shop.emulator.webhooks.deliver(shop._take))


def _a_dispute_is_told(shop: Shop) -> None:
    _paid_at_once(shop)
    shop.emulator.bank.dispute(Checkout.objects.success().taking_money().get().payment_intent_id)


def _a_refund_is_told(shop: Shop) -> None:
    _dashboard_refund(shop)


def _money_goes_to_the_bank(shop: Shop) -> None:
    shop.emulator.bank.payout_schedule("daily")
    _paid_at_once(shop)


def _a_payout_is_told(shop: Shop) -> None:
    _money_goes_to_the_bank(shop)
    shop.days(6, lambda _shop: None)


def _the_request_was_lost(shop: Shop) -> None:
    """Stripe never heard of it, and its key is too old to be trusted."""
    _a_line_is_due(shop)
    with shop.weather(faults.LostBefore(), wherever="POST /v1/payment_intents"):
        _run(shop)
    assert shop.line().state_id == states.REQUEST


def _a_dispute_is_known(shop: Shop) -> None:
    _a_dispute_is_told(shop)
    bank_news.look()


def _sends_evidence(shop: Shop) -> None:
    dispute = Dispute.objects.get()
    texts = dispute_evidence.draft(dispute)
    shop.on_a_bad_day(lambda: dispute_evidence.send(dispute, texts, None, submit=True))


def _corrects_the_address(shop: Shop) -> None:
    customer = Customer.objects.get()
    if customer.email != CORRECTED:
        shop.on_a_bad_day(lambda: people.correct(customer, "A Payer", CORRECTED, None, "a slip"))


def _stripe_knows_it(shop: Shop) -> bool:
    return [row["email"] for row in shop.emulator.world.tables["customer"].values()] == [CORRECTED]


def _a_domain_is_off(shop: Shop) -> None:
    made = gateway().register_payment_domain("shop.example")
    body = b"enabled=false"
    shop.emulator.handle("POST", f"/v1/payment_method_domains/{made.id}", shop.KEY, body)


def _has_paid(amount: int) -> Callable[[Shop], bool]:
    return lambda shop: shop.taken() == amount


def _lost_night(shop: Shop) -> None:
    """Stripe has a payment that the restored database knows nothing of."""
    _a_line_is_due(shop)
    with shop.a_lost_night():
        runs.process_payments(workers=1)


def _dashboard_refund(shop: Shop) -> None:
    _paid_at_once(shop)
    shop.emulator.bank.dashboard_refund(Checkout.objects.success().taking_money().get().payment_intent_id, 3000)


def _card_runs_out(shop: Shop) -> None:
    _a_plan(shop)
    today = clock.today()
    shop.emulator.bank.replace_card(shop.plan().card.payment_method_id, today.month, today.year)


def _a_charge_by_staff(shop: Shop) -> None:
    shop.on_a_bad_day(lambda: charging.charge(shop.line()))


def _stop(shop: Shop) -> None:
    shop.on_a_bad_day(lambda: plans.stop(shop.plan()))


def _a_page_is_open(shop: Shop) -> None:
    """Of a line that no run takes for a while, or one would before staff press again."""
    _a_plan(shop)
    on_session.create_checkout_pay_on_session(shop.line())


def _a_lost_answer(shop: Shop) -> None:
    """And the customer was deleted at Stripe since, so that it must be looked for everywhere."""
    _a_line_is_due(shop)
    with shop.weather(faults.LostAfter(), wherever="POST /v1/payment_intents"):
        _run(shop)
    customer = shop.plan().card.stripe_customer_id
    shop.emulator.handle("DELETE", f"/v1/customers/{customer}", shop.KEY)


def _has_card(last4: str) -> Callable[[Shop], bool]:
    return lambda shop: shop.plan().card is not None and shop.plan().card.last4 == last4


def _domain(shop: Shop) -> None:
    shop.job("register_payment_domain", "shop.example")


def _asks_the_account(shop: Shop) -> None:
    """Everything that only looks, and takes nothing."""
    shop.on_a_bad_day(doctor.examine)
    shop.on_a_bad_day(lambda: audit.audit_failed_checkouts(repair=True))
    paid = Checkout.objects.success().taking_money().get()
    shop.on_a_bad_day(lambda: look_up.look_up(paid.payment_intent_id))
    shop.on_a_bad_day(lambda: gateway().charge_evidence(paid.payment_intent_id))


FLOWS: Final = (
    Flow("one-off", _one_off, _has_paid(100), person=True),
    Flow("plan: card and deposit", lambda shop: shop.agrees(), _has_paid(20), person=True),
    Flow("plan: deposit with the card", lambda shop: shop.agrees(with_deposit=True), _has_paid(20), person=True),
    Flow("instalment", _run, lambda shop: shop.taken() == Decimal("46.66"), _a_line_is_due),
    Flow("retry", lambda shop: shop.days(3, _run), lambda shop: shop.taken() == Decimal("46.66"), _a_line_was_declined),
    Flow(
        "pay on session",
        partial(_pays_the_line, another=False),
        lambda shop: shop.taken() == Decimal("46.66"),
        _the_bank_wants_the_payer,
        person=True,
    ),
    Flow(
        "another card",
        partial(_pays_the_line, another=True),
        lambda shop: shop.taken() == Decimal("46.66"),
        _the_bank_wants_the_payer,
        person=True,
    ),
    Flow("card refresh", _refreshes, _has_card("4444"), _a_plan, person=True),
    Flow(
        "another payer",
        lambda shop: shop.on_a_bad_day(lambda: _takes_over(shop)),
        lambda shop: shop.plan().taken_over_at is not None,
        _a_plan,
        person=True,
    ),
    Flow("pay early", _pays_all, _has_paid(100), _a_plan, person=True),
    Flow("charge by staff", _a_charge_by_staff, lambda shop: shop.taken() == Decimal("46.66"), _a_line_is_due),
    Flow("stop of a plan", _stop, lambda shop: shop.plan().deleted, _a_page_is_open, person=True),
    Flow("refund", _refund, _has_paid(70), _paid_at_once, person=True),
    Flow(
        "refund without an answer",
        lambda shop: shop.later(31, "settle_refunds"),
        _has_paid(70),
        _a_refund_without_an_answer,
    ),
    Flow(
        "saved card, closed tab",
        lambda shop: shop.later(20, "setup_intent_fulfillment"),
        _has_paid(80),
        _a_card_was_saved_and_the_tab_closed,
    ),
    Flow(
        "deposit paid with the card, closed tab",
        lambda shop: shop.later(20, "payment_intent_fulfillment"),
        _has_paid(80),
        _a_deposit_was_paid_and_the_tab_closed,
    ),
    Flow(
        "page that was left",
        lambda shop: shop.later(90, "setup_intent_fulfillment"),
        lambda shop: not Checkout.objects.open().exists(),
        _a_page_was_left,
    ),
    Flow(
        "card that was taken off",
        lambda shop: shop.job("refresh_card_expiry_dates"),
        lambda shop: SavedCard.objects.get().gone,
        _the_card_was_taken_off,
    ),
    Flow("refund, told by webhook", _the_post_comes, _has_paid(70), _a_refund_is_told),
    Flow("refund on its way", lambda shop: shop.later(31, "settle_refunds"), _has_paid(70), _a_refund_on_its_way),
    Flow(
        "set-up without an answer", lambda shop: shop.agrees(), _has_paid(20), _a_set_up_without_an_answer, person=True
    ),
    Flow("dispute, told by webhook", _the_post_comes, lambda shop: Dispute.objects.exists(), _a_dispute_is_told),
    Flow("payout, told by webhook", _the_post_comes, lambda shop: Payout.objects.exists(), _a_payout_is_told),
    Flow(
        "request that never arrived",
        lambda shop: shop.later(60 * 26, "reconcile"),
        lambda shop: shop.taken() == Decimal("46.66"),
        _the_request_was_lost,
    ),
    Flow("domain that was switched off", _domain, lambda shop: True, _a_domain_is_off, person=True),
    Flow("refund in the dashboard", lambda shop: shop.job("settle_refunds"), _has_paid(70), _dashboard_refund),
    Flow("dispute", _dispute, lambda shop: Dispute.objects.exists(), _paid_at_once),
    Flow("request for money", _request, _has_paid(25), person=True),
    Flow(
        "look back after a restore",
        lambda shop: shop.on_a_bad_day(look_back.look_back),
        lambda shop: shop.taken() == Decimal("46.66") and shop.line().state_id == states.SUCCESS,
        _lost_night,
    ),
    Flow("answer that was lost", lambda shop: shop.later(31, "reconcile"), lambda shop: True, _a_lost_answer),
    Flow(
        "cards that run out",
        lambda shop: shop.job("refresh_card_expiry_dates"),
        lambda shop: SavedCard.objects.get().refresh,
        _card_runs_out,
    ),
    Flow(
        "books and payouts",
        lambda shop: shop.days(6, lambda s: s.job("checkout_books")),
        lambda shop: Payout.objects.exists(),
        _money_goes_to_the_bank,
    ),
    Flow(
        "evidence for a bank",
        _sends_evidence,
        lambda shop: Dispute.objects.get().evidence_sent,
        _a_dispute_is_known,
        person=True,
    ),
    Flow("corrected address", _corrects_the_address, _stripe_knows_it, _a_plan, person=True),
    Flow("domain of the payment pages", _domain, lambda shop: True, person=True),
    Flow("looking at the account", _asks_the_account, _has_paid(100), _paid_at_once),
)

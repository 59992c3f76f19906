"""What the office, payers and jobs do besides, with few calls to Stripe or none: a process may end there as well."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth import get_user_model
from django.test import override_settings
from post_office.models import EmailTemplate

from checkout import clock, states
from checkout.journal import Code, Why
from checkout.models import (
    Agreement,
    BookMonth,
    BulkJob,
    Checkout,
    CheckoutAdditional,
    Customer,
    CustomerPayment,
    Debt,
    FollowUp,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    PlanChange,
    Posting,
    Problem,
    Proposal,
    Refund,
    RunRelease,
    SavedCard,
)
from checkout.office import people, proposals
from checkout.office import services as office
from checkout.services import (
    agreements,
    applying,
    books_closing,
    books_intake,
    by_hand,
    by_staff,
    card_expiry,
    disputes,
    dry_runs,
    ending,
    fan_out,
    fulfillment,
    intents,
    invoices,
    many,
    papers,
    personal_data,
    plan_changes,
    plans,
    promises,
    refunds,
    releases,
    requests,
    runs,
)
from tests.host.models import Membership
from tests.proof.flows import (
    Flow,
    _a_line_is_due,
    _a_line_was_declined,
    _a_plan,
    _paid_at_once,
    _takes_over,
    _the_bank_wants_the_payer,
)
from tests.proof.shop import Shop

PRESSED: Final = UUID(int=18)
State = PlanChange.State


def _by_a_person(
    name: str,
    walk: Callable[[Shop], object],
    done: Callable[[Shop], bool],
    before: Callable[[Shop], object] = _a_plan,
) -> Flow:
    """Whoever saw no answer looks whether it was done, and presses again if not."""
    return Flow(name, lambda shop: shop.on_a_bad_day(lambda: walk(shop)), done, before, person=True)


# -- changes of a plan ----------------------------------------------------------------------------------------


def _changed(state: str) -> Callable[[Shop], bool]:
    return lambda shop: shop.plan().changes.filter(state=state).exists()


def _discount(shop: Shop) -> None:
    plan_changes.propose(shop.plan(), "discount", "as agreed", amount=Decimal(10))


def _fee(shop: Shop) -> PlanChange:
    waiting: PlanChange | None = shop.plan().changes.filter(state=State.WAITING).first()
    return waiting or plan_changes.propose(shop.plan(), "fee", "returned", amount=Decimal(5))


def _a_fee_is_proposed(shop: Shop) -> None:
    _a_plan(shop)
    _fee(shop)


def _what_it_was_about_is_paid(shop: Shop) -> None:
    _a_fee_is_proposed(shop)
    Checkout.objects.manual(shop.line(4))


def _a_page_of_a_line_that_waits_is_open(shop: Shop) -> None:
    """The page on which its payer would confirm it is open."""
    _the_bank_wants_the_payer(shop)
    Checkout.objects.create_checkout_pay_on_session(shop.line())


# -- payers and the office -----------------------------------------------------------------------------------


def _staff(name: str) -> Any:
    return get_user_model().objects.get_or_create(username=name, defaults={"is_staff": True})[0]


def _in_cash(shop: Shop) -> None:
    line = shop.line()
    if line.state_id != states.SUCCESS:
        Checkout.objects.manual(line)


def _a_page_of_the_line_is_open(shop: Shop) -> None:
    _a_plan(shop)
    Checkout.objects.create_checkout_pay_on_session(shop.line())


def _two_are_one(shop: Shop) -> None:
    _a_plan(shop)
    requests.create(email="payer@example.org", name="A Payer", description="Exam", total=Decimal(25))


def _merges(shop: Shop) -> None:
    first, second = Customer.objects.order_by("pk")
    people.merge(second, first, None, "the same person")


def _stops_many(shop: Shop) -> None:
    many.work(many.begin(BulkJob.Kind.STOP, [shop.plan().pk], None, "the course is off", key=PRESSED))


def _asks_for_an_invoice(shop: Shop) -> None:
    invoices.request_invoice(shop.row, CheckoutAdditional(company_name="A Company", email="payer@example.com"))


def _costs_nothing(shop: Shop) -> None:
    Membership.objects.update(total=0)
    shop.row.refresh_from_db()


def _free(shop: Shop) -> None:
    Checkout.objects.create_checkout("payment", shop.row)


def _costs_more(shop: Shop) -> None:
    left = Checkout.objects.create_checkout("payment", shop.row)
    intents.page(left)
    Membership.objects.update(total=Decimal(120))
    shop.row.refresh_from_db()


def _pays_the_row(shop: Shop) -> None:
    shop.row.refresh_from_db()
    shop.pays(Checkout.objects.create_checkout("payment", shop.row))


def _notes(shop: Shop) -> None:
    promises.promise(shop.line(), clock.today() + timedelta(days=5), None, "on the telephone")


def _moves_its_day(shop: Shop) -> None:
    by_staff.change_due(shop.line(), shop.line().due + timedelta(days=3), None, "paid later")


def _erases(shop: Shop) -> None:
    personal_data.erase("payer@example.com")


def _takes_in_chunks(shop: Shop) -> None:
    _run, chunks = fan_out.plan()
    for chunk in chunks:
        fan_out.charge(chunk)


def _is_released(shop: Shop) -> None:
    """One asks, unless somebody did, and another one releases what waits."""
    if not RunRelease.objects.exists():
        dry_runs.ask_for_release(clock.today(), "GBP", _staff("one"))
    asked = RunRelease.objects.get()
    if asked.waits:
        releases.release(asked, _staff("two"))


def _takes_what_was_released(shop: Shop) -> None:
    with override_settings(CHECKOUT_RUN_RELEASE=True, CHECKOUT_RUN_CEILING={"GBP": 1}):
        _is_released(shop)
        runs.process_payments(workers=1)


def _two_see(shop: Shop, decide: Callable[[Proposal], object]) -> None:
    paid = Checkout.objects.success().taking_money().get()
    with override_settings(CHECKOUT_SECOND_PERSON_ABOVE=Decimal(20)):
        made = proposals.do_or_propose(
            Proposal.Kind.REFUND, paid, Decimal(30), _staff("one"), "twice", key=PRESSED, reason="duplicate"
        )
        if isinstance(made, Proposal) and made.waits:
            decide(made)


def _decided(state: str) -> Callable[[Shop], bool]:
    return lambda shop: Proposal.objects.filter(state=state).exists()


def _asks_by_link(shop: Shop) -> None:
    by_staff.ask_payer(shop.line(), None)


def _sends_again(shop: Shop) -> None:
    office.send_again(Notice.objects.exclude(cause__contains="-again-").latest("pk"), None)


def _was_asked_by_link(shop: Shop) -> None:
    _a_plan(shop)
    _asks_by_link(shop)


def _resumes(shop: Shop) -> None:
    disputes.resume(shop.plan(), None, "spoken with the payer")


def _was_disputed_and_lost(shop: Shop) -> None:
    _a_plan(shop)
    made = shop.emulator.bank.dispute(Checkout.objects.success().taking_money().get().payment_intent_id)["id"]
    disputes.dispute_updated_at_stripe(made)
    shop.emulator.bank.decide_dispute(made, "lost")
    disputes.dispute_updated_at_stripe(made)


def _asked_for_money(shop: Shop) -> None:
    requests.send_link(
        requests.create(email="payer@example.com", name="A Payer", description="Exam", total=Decimal(25))
    )


def _withdraws(shop: Shop) -> None:
    payment = CustomerPayment.objects.get()
    if not payment.is_withdrawn:
        requests.withdraw(payment, None, "asked twice")


def _is_on_the_page_of_a_request(shop: Shop) -> None:
    _asked_for_money(shop)
    intents.page(requests.begin(CustomerPayment.objects.get()))


def _sends_the_link_again(shop: Shop) -> None:
    requests.send_link(CustomerPayment.objects.get(), again=True)


def _a_bank_wants_the_payer_of_a_request(shop: Shop) -> None:
    """The card is of an agreement to amounts as they come up."""
    _a_plan(shop)
    agreement = Agreement.objects.latest("pk")
    Agreement.objects.create(
        kind=Agreement.Kind.PAPER, saved_card=agreement.saved_card, text="As agreed.", version="1", other_amounts=True
    )
    requests.create(email="payer@example.com", name="A Payer", description="Exam", total=Decimal(25))
    card = agreement.saved_card
    assert card is not None
    shop.emulator.bank.decline_next(card.payment_method_id, "authentication_required")


def _charges_a_request(shop: Shop) -> None:
    requests.charge(CustomerPayment.objects.get())


# -- what goes wrong -----------------------------------------------------------------------------------------


def _the_hook_refuses(shop: Shop) -> None:
    Membership.objects.update(hook_refuses=True)
    shop.row.refresh_from_db()
    shop.enters_a_card(Checkout.objects.create_checkout("payment", shop.row))


def _comes_back(shop: Shop) -> None:
    fulfillment.fulfill(Checkout.objects.latest("pk"))


def _was_refused(shop: Shop) -> None:
    _the_hook_refuses(shop)
    _comes_back(shop)
    Membership.objects.update(hook_refuses=False)


def _applies(shop: Shop) -> None:
    applying.apply(Checkout.objects.get(unapplied=True))


def _a_deposit_was_refused(shop: Shop) -> None:
    Membership.objects.update(hook_refuses=True)
    shop.agrees(with_deposit=True)
    Membership.objects.update(hook_refuses=False)


def _lets_the_plan_begin(shop: Shop) -> None:
    applying.apply(Checkout.objects.get(begun_by__isnull=False))


def _its_line_came_from_an_older_system(shop: Shop) -> None:
    """It has no debt yet; the run that takes it opens one."""
    _a_line_is_due(shop)
    line = shop.line()
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(debt=None)
    for rows in (Posting.objects.filter(debt=line.debt_id), Debt.objects.filter(pk=line.debt_id)):
        rows._raw_delete(rows.db)  # type: ignore[attr-defined]


def _its_customer_is_gone(shop: Shop) -> None:
    """And the news of it was lost: whoever hears of it first asks for nothing."""
    _a_line_is_due(shop)
    post = shop.emulator.webhooks.weather
    post.drop = 1
    shop.emulator.handle("DELETE", f"/v1/customers/{shop.plan().card.stripe_customer_id}", shop.KEY)
    post.drop = 0


def _was_given_back_in_the_dashboard(shop: Shop) -> None:
    """All of it, and we do not know yet."""
    _paid_at_once(shop)
    shop.emulator.bank.dashboard_refund(Checkout.objects.success().taking_money().get().payment_intent_id, 10_000)


def _gives_back(shop: Shop) -> None:
    paid = Checkout.objects.success().taking_money().get()
    if not Refund.objects.exists():
        refunds.refund(paid, Decimal(30))


def _another_amount_was_taken(shop: Shop) -> None:
    """Somebody changed it at Stripe."""
    begun = Checkout.objects.create_checkout("payment", shop.row)
    shop.emulator.handle(
        "POST", f"/v1/payment_intents/{begun.payment_intent_id}", shop.KEY, urlencode({"amount": 5000}).encode()
    )
    shop.tampered.add(begun.payment_intent_id)
    shop.enters_a_card(begun)


def _its_words_are_gone(shop: Shop) -> None:
    _paid_at_once(shop)
    EmailTemplate.objects.all().delete()


def _a_card_was_saved_after_all(shop: Shop) -> None:
    """The attempt was given up here, and its payer had saved the card."""
    begun = Checkout.objects.create_checkout("payment_plan", shop.row, None, payment_plan=shop.template)
    shop.enters_a_card(begun)
    ending.fail(begun, why=Why(Code.STRIPE_CANCELED), superseded=True)


def _the_deposit_was_declined(shop: Shop) -> None:
    shop.agrees("4000000000000341")
    assert shop.line(1).state_id == states.FAIL
    Membership.objects.update(can_charge=True)


def _was_stopped(shop: Shop) -> None:
    _a_plan(shop)
    plans.stop(shop.plan())
    Membership.objects.update(can_charge=True)
    shop.row.refresh_from_db()


def _asks_itself(shop: Shop) -> None:
    card = SavedCard.objects.get()
    agreements.create_object_payment_plan(shop.row, shop.template, Decimal(100), saved_card=card)


def _pays_otherwise(shop: Shop) -> None:
    plans.end_if_never_begun(shop.row)
    _pays_the_row(shop)


# -- the books -----------------------------------------------------------------------------------------------


def _month_is_over(shop: Shop) -> None:
    shop.emulator.bank.payout_schedule("daily")
    _paid_at_once(shop)
    for _week in range(6):
        shop.clock.shift(timedelta(days=7))
        shop.emulator.tick()
        for job in ("payment_intent_fulfillment", "settle_refunds", "checkout_books"):
            shop.job(job)


def _closes(shop: Shop) -> None:
    first = Checkout.objects.earliest("pk").created_at.date().replace(day=1)
    books_closing.close(first, books_intake.account(), None)


OFFICE: Final = (
    _by_a_person(
        "plan of a site that asks itself",
        _asks_itself,
        lambda shop: ObjectPaymentPlan.objects.count() == 2,
        _was_stopped,
    ),
    _by_a_person(
        "links that are revoked",
        lambda shop: office.revoke_links(shop.plan(), None, "sent to the wrong address"),
        lambda shop: shop.plan().links_revoked_at is not None,
        _a_page_of_the_line_is_open,
    ),
    _by_a_person("discount", _discount, _changed(State.IN_FORCE)),
    _by_a_person("fee, agreed", lambda shop: plan_changes.agree(_fee(shop)), _changed(State.IN_FORCE)),
    _by_a_person(
        "fee, refused", lambda shop: plan_changes.refuse(_fee(shop)), _changed(State.REFUSED), _a_fee_is_proposed
    ),
    _by_a_person(
        "fee, withdrawn", lambda shop: plan_changes.withdraw(_fee(shop)), _changed(State.WITHDRAWN), _a_fee_is_proposed
    ),
    _by_a_person(
        "fee, overtaken",
        lambda shop: plan_changes.agree(shop.plan().changes.get()),
        _changed(State.OVERTAKEN),
        _what_it_was_about_is_paid,
    ),
    _by_a_person(
        "another payer, and a payment that waits",
        _takes_over,
        lambda shop: shop.plan().taken_over_at is not None and shop.line().state_id == states.SUCCESS,
        _a_page_of_a_line_that_waits_is_open,
    ),
    _by_a_person("moved day", _moves_its_day, lambda shop: shop.line().due.day != 1),
    _by_a_person(
        "paid in cash", _in_cash, lambda shop: shop.line().state_id == states.SUCCESS, _a_page_of_the_line_is_open
    ),
    _by_a_person(
        "two that are one", _merges, lambda shop: Customer.objects.exclude(merged_into=None).exists(), _two_are_one
    ),
    _by_a_person("many at once", _stops_many, lambda shop: shop.plan().deleted),
    _by_a_person(
        "a part in cash",
        lambda shop: by_hand.part_paid(shop.line(), Decimal(6), None, "cash"),
        lambda shop: shop.line().left == Decimal("20.66"),
        _a_plan,
    ),
    _by_a_person(
        "invoice", _asks_for_an_invoice, lambda shop: Checkout.objects.success().exists(), before=lambda shop: None
    ),
    _by_a_person("for nothing", _free, lambda shop: Checkout.objects.success().exists(), _costs_nothing),
    _by_a_person("dearer since", _pays_the_row, lambda shop: shop.taken() == 120, _costs_more),
    _by_a_person("promise", _notes, lambda shop: FollowUp.objects.exists(), _a_line_was_declined),
    _by_a_person("erasure", _erases, lambda shop: not Checkout.objects.exclude(payer="").exists(), _paid_at_once),
    Flow(
        "run that was released",
        lambda shop: shop.on_a_bad_day(lambda: _takes_what_was_released(shop)),
        lambda shop: shop.taken() == Decimal("46.66"),
        _a_line_is_due,
        person=True,
    ),
    Flow(
        "line from an older system",
        lambda shop: shop.on_a_bad_day(partial(runs.process_payments, workers=1)),
        lambda shop: shop.taken() == Decimal("46.66"),
        _its_line_came_from_an_older_system,
    ),
    Flow("run in chunks", _takes_in_chunks, lambda shop: shop.taken() == Decimal("46.66"), _a_line_is_due),
    _by_a_person(
        "second person",
        lambda shop: _two_see(shop, lambda made: proposals.approve(made, _staff("two"))),
        lambda shop: shop.taken() == 70,
        _paid_at_once,
    ),
    _by_a_person(
        "turned down",
        lambda shop: _two_see(shop, lambda made: proposals.turn_down(made, _staff("two"), "no")),
        _decided(Proposal.State.TURNED_DOWN),
        _paid_at_once,
    ),
    _by_a_person(
        "taken back",
        lambda shop: _two_see(shop, lambda made: proposals.withdraw(made, _staff("one"), "no")),
        _decided(Proposal.State.WITHDRAWN),
        _paid_at_once,
    ),
    _by_a_person("asked by link", _asks_by_link, lambda shop: Notice.objects.filter(cause__contains="ask").exists()),
    _by_a_person(
        "sent again",
        _sends_again,
        lambda shop: Notice.objects.filter(cause__contains="-again-").exists(),
        _was_asked_by_link,
    ),
    _by_a_person(
        "pay day",
        lambda shop: office.set_pay_day(shop.plan(), 28, None, "said so"),
        lambda shop: shop.plan().pay_day == 28,
    ),
    _by_a_person(
        "statement by mail",
        lambda shop: papers.send_statement(shop.plan()),
        lambda shop: Letter.objects.filter(kind="plan_statement").count() == 1,
    ),
    _by_a_person(
        "asked for a new card",
        lambda shop: card_expiry.send_card_refresh_mail(Customer.objects.get()),
        lambda shop: SavedCard.objects.get().refresh,
    ),
    Flow(
        "letter to a payer whom the bank wants",
        lambda shop: shop.job("send_on_session_payment_emails"),
        lambda shop: Notice.objects.filter(template__contains="on_session").exists(),
        _the_bank_wants_the_payer,
    ),
    _by_a_person("resumed", _resumes, lambda shop: not shop.plan().paused, _was_disputed_and_lost),
    _by_a_person("link sent again", _sends_the_link_again, lambda shop: Notice.objects.count() == 2, _asked_for_money),
    _by_a_person(
        "request withdrawn",
        _withdraws,
        lambda shop: CustomerPayment.objects.get().is_withdrawn and not shop.taken(),
        _is_on_the_page_of_a_request,
    ),
    _by_a_person(
        "request that the bank wants its payer for",
        _charges_a_request,
        lambda shop: CustomerPayment.objects.get().state_id == states.PAY_ON_SESSION,
        _a_bank_wants_the_payer_of_a_request,
    ),
    _by_a_person(
        "new terms",
        lambda shop: plans.new_version(shop.template, deposit=30),
        lambda shop: PaymentPlan.objects.count() == 2,
    ),
    _by_a_person(
        "refused by the site",
        _comes_back,
        lambda shop: Problem.objects.filter(closed_at=None).exists(),
        _the_hook_refuses,
    ),
    _by_a_person(
        "applied after all", _applies, lambda shop: not Checkout.objects.filter(unapplied=True).exists(), _was_refused
    ),
    _by_a_person(
        "plan that begins after all",
        _lets_the_plan_begin,
        lambda shop: not shop.plan().deleted and shop.plan().payment_count == 4,
        _a_deposit_was_refused,
    ),
    Flow(
        "customer that is gone",
        lambda shop: shop.on_a_bad_day(partial(runs.process_payments, workers=1)),
        lambda shop: shop.line().state_id == states.FAIL,
        _its_customer_is_gone,
    ),
    _by_a_person(
        "given back before", _gives_back, lambda shop: Refund.objects.exists(), _was_given_back_in_the_dashboard
    ),
    _by_a_person(
        "another amount",
        _comes_back,
        lambda shop: Problem.objects.filter(kind=Problem.Kind.NOT_WRITTEN_DOWN).exists(),
        _another_amount_was_taken,
    ),
    Flow(
        "request still to pay",
        lambda shop: shop.later(8 * 24 * 60, "send_letters"),
        lambda shop: Notice.objects.filter(cause__endswith="-reminder").exists(),
        _asked_for_money,
    ),
    Flow(
        "letter without words",
        lambda shop: shop.job("send_letters"),
        lambda shop: Problem.objects.filter(kind=Problem.Kind.LETTER).exists(),
        _its_words_are_gone,
    ),
    Flow(
        "card that was saved after all",
        lambda shop: shop.job("audit_failed_checkout", "--repair"),
        lambda shop: shop.taken() == 20,
        _a_card_was_saved_after_all,
        person=True,
    ),
    _by_a_person("paid otherwise", _pays_otherwise, lambda shop: shop.taken() == 100, _the_deposit_was_declined),
    _by_a_person("month closed", _closes, lambda shop: BookMonth.objects.exists(), _month_is_over),
)

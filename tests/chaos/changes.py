"""A plan that staff change in every way, while its payer pays, gives other cards, gets money back, and disputes.

What must hold: lines and postings add up, every version says what was before and after it, nothing paid is ever
changed by a change, and what is charged is what the payer agreed to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import time_machine
from django.db.models import Sum
from django.test import TestCase, override_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from checkout import clock, errors, mail, states
from checkout.gateway import gateway
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan, PlanChange, Posting
from checkout.services import (
    agreements,
    booking,
    by_hand,
    charging,
    disputes,
    fulfillment,
    on_session,
    plan_changes,
    plan_previews,
    refunds,
    runs,
    take_overs,
)
from stripe_emulator import Clock, Emulator
from tests.chaos.life import START
from tests.host.models import Membership

AMOUNTS = st.sampled_from([Decimal(5), Decimal("10.01"), Decimal(25), Decimal(80)])
TERMS: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    st.integers(1, 3).map(lambda months: ("pause", {"months": months})),
    st.integers(1, 31).map(lambda day: ("pay_day", {"day": day})),
    st.tuples(st.integers(1, 6), st.integers(1, 90)).map(lambda asked: ("split", {"count": asked[0], "in": asked[1]})),
    AMOUNTS.map(lambda amount: ("discount", {"amount": amount})),
    AMOUNTS.map(lambda amount: ("fee", {"amount": amount})),
    st.just(("write_off", {})),
    st.just(("reopen", {})),
    st.integers(1, 4).map(lambda back: ("undo", {"back": back})),
    st.just(("undo", {"back": 0})),
    st.integers(1, 60).map(lambda days: ("owed_again", {"in": days})),
    st.integers(0, 60).map(lambda days: ("lines", {"in": days})),
    st.integers(0, 2).map(lambda who: ("payer", {"name": "A Payer", "email": f"payer{who}@example.com"})),
)


class ChangeLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.time = time_machine.travel(START, tick=False)
        self.clock = self.time.start()
        self.emulator = Emulator(seed=1, clock=Clock())
        self.settings = override_settings(
            CHECKOUT_STRIPE_HTTP_CLIENT=self.emulator.transport,
            CHECKOUT_RATE_LIMIT=100_000,
            CHECKOUT_BASE_URL="https://shop.example",
        )
        self.settings.enable()
        self.atomics = TestCase._enter_atomics()  # type: ignore[attr-defined]
        #: Pages for another card that the payer has open.
        self.pages: list[Checkout] = []
        self.charged: set[int] = set()

    @initialize()
    def a_plan_is_agreed(self) -> None:
        mail.install()
        template = PaymentPlan.objects.create_payment_plan("changing", "Changing", 20, 4, 1)
        row = Membership.objects.create(email="plan@example.com", total=Decimal(100))
        terms = agreements.agreement_terms(template, row, text="I agree.")
        checkout = Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=template, agreement=terms)
        self._enter(checkout, "4242424242424242")
        fulfillment.fulfill(checkout)
        self.plan = ObjectPaymentPlan.objects.for_content_object(row)
        self.charged = set(Checkout.objects.filter(action="charge").values_list("pk", flat=True))

    def teardown(self) -> None:
        TestCase._rollback_atomics(self.atomics)  # type: ignore[attr-defined]
        self.settings.disable()
        self.time.stop()

    # -- what happens --------------------------------------------------------------------------------

    @rule(what=TERMS, on_paper=st.booleans())
    def staff_change_it(self, what: tuple[str, dict[str, Any]], on_paper: bool) -> None:
        kind, terms = what[0], dict(what[1])
        if "in" in terms:
            terms["first" if kind == "split" else "due"] = clock.today() + timedelta(days=terms.pop("in"))
        if kind == "undo":
            terms = {"number": max(self.plan.changes.count() - terms["back"], 1)}
        if kind == "owed_again":
            gone = [line for line in plan_previews.lines_of(self.plan) if line.is_over and line.left > 0]
            terms["pk"] = gone[0].pk if gone else 0
        if kind == "lines":
            open_lines = [line for line in plan_previews.lines_of(self.plan) if line.is_open]
            day = terms.pop("due")
            terms["wanted"] = [
                (line.pk, day + timedelta(days=20 * place), line.to_come) for place, line in enumerate(open_lines)
            ]
        self._try(lambda: plan_changes.propose(self.plan, kind, "as agreed", on_paper=on_paper, **terms))

    @rule(agrees=st.sampled_from([True, True, False]))
    def the_payer_answers(self, agrees: bool) -> None:
        waiting = self.plan.changes.filter(state=PlanChange.State.WAITING).first()
        if waiting is not None:
            answer = plan_changes.agree if agrees else plan_changes.refuse
            self._try(lambda: answer(waiting))

    @rule()
    def staff_withdraw_what_waits(self) -> None:
        waiting = self.plan.changes.filter(state=PlanChange.State.WAITING).first()
        if waiting is not None:
            waiting.withdraw(None, "after all not")

    @rule()
    def staff_stop_it(self) -> None:
        self._money(lambda: self.plan.delete_plan())

    @rule(data=st.data(), part=st.booleans())
    def it_was_cash(self, data: Any, part: bool) -> None:
        line = self._line(data)
        if line is None:
            return
        if part:
            self._money(lambda: by_hand.part_paid(line, Decimal("3.33"), None, "cash"))
        else:
            self._money(lambda: Checkout.objects.manual(line))

    @rule(data=st.data())
    def it_was_not(self, data: Any) -> None:
        rows = [
            posting
            for line in self.plan.instalments.exclude(debt=None)
            for posting in by_hand.standing_for(line.debt_id)
        ]
        if rows:
            posting = data.draw(st.sampled_from(rows))
            self._money(lambda: by_hand.undo(posting, None, "a slip"))

    @rule(decline=st.booleans())
    def a_run(self, decline: bool) -> None:
        card = ObjectPaymentPlan.objects.get(pk=self.plan.pk).card
        if decline and card is not None:
            self.emulator.bank.decline_next(card.payment_method_id, "insufficient_funds")
        self._money(lambda: runs.process_payments(workers=1))

    @rule(data=st.data())
    def staff_charge(self, data: Any) -> None:
        line = self._line(data)
        if line is not None:
            self._money(lambda: charging.charge(line))

    @rule(days=st.sampled_from([1, 20, 45]))
    def days_pass(self, days: int) -> None:
        self.clock.shift(timedelta(days=days))
        self.emulator.clock.advance(days=days)

    @rule(data=st.data(), part=st.booleans())
    def money_goes_back(self, data: Any, part: bool) -> None:
        paid = list(Checkout.objects.success().exclude(payment_intent_id="").order_by("pk"))
        checkout = data.draw(st.sampled_from(paid)) if paid else None
        if checkout is not None and (left := refunds.left(checkout)) > 0:
            self._money(lambda: refunds.refund(checkout, Decimal("1.11") if part and left > 2 else left))

    @rule(data=st.data())
    def a_bank_takes_it_back(self, data: Any) -> None:
        paid = list(Checkout.objects.success().exclude(payment_intent_id="").filter(refunded=0).order_by("pk"))
        if paid:
            checkout = data.draw(st.sampled_from(paid))
            if not checkout.disputes.exists():
                found = self.emulator.bank.dispute(checkout.payment_intent_id)
                disputes.dispute_updated_at_stripe(found["id"])
                ObjectPaymentPlan.objects.filter(pk=self.plan.pk).update(paused=False)

    @rule()
    def the_payer_opens_a_page_for_another_card(self) -> None:
        checkout = self._money(lambda: Checkout.objects.create_checkout("card_refresh", self.plan, None))
        if checkout is not None:
            self.pages.append(checkout)

    @rule(number=st.sampled_from(["4242424242424242", "5555555555554444"]))
    def the_payer_enters_it(self, number: str) -> None:
        if self.pages:
            checkout = self.pages.pop()
            checkout.refresh_from_db()
            if checkout.is_open:
                self._enter(checkout, number)
                self._money(lambda: fulfillment.fulfill(checkout))

    @rule(number=st.sampled_from(["4242424242424242", "5555555555554444"]))
    def another_payer_takes_it_over(self, number: str) -> None:
        waiting = self.plan.changes.filter(state=PlanChange.State.WAITING, kind="payer").first()
        begun = self._money(lambda: take_overs.begin(waiting)) if waiting is not None else None
        if begun is not None:
            self._enter(begun, number)
            self._money(lambda: fulfillment.fulfill(begun))

    @rule(data=st.data(), another=st.booleans())
    def the_payer_pays_on_the_page(self, data: Any, another: bool) -> None:
        line = self._line(data)
        if line is None:
            return
        checkout = self._money(lambda: on_session.create_checkout_pay_on_session(line, another_card=another))
        if checkout is not None:
            self._enter(checkout, "4242424242424242")
            self._money(lambda: fulfillment.fulfill(checkout))

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def lines_and_postings_add_up(self) -> None:
        if not hasattr(self, "plan"):
            return
        assert not booking.wrong_counters().exists()
        self.plan.refresh_from_db()
        postings = Posting.objects.filter(debt__instalment__object_payment_plan=self.plan)
        gone = postings.filter(kind="written_off").aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
        owed = sum((line.owed for line in plan_previews.lines_of(self.plan)), Decimal(0))
        assert owed - gone == self.plan.total, "what is owed and what was written off is what was agreed"
        taken = postings.filter(kind="taken").aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
        assert self.emulator.ledger.taken_minor() == int(taken * 100)

    @invariant()
    def what_is_charged_is_what_was_agreed(self) -> None:
        if not hasattr(self, "plan"):
            return
        agreement = ObjectPaymentPlan.objects.get(pk=self.plan.pk).agreement
        assert agreement is not None
        agreed = {line["count"]: Decimal(line["amount"]) for line in agreement.lines}
        for row in self.plan.payments.select_related("debt"):
            if row.state_id in states.UNPAID and not self.plan.deleted:
                assert row.left <= agreed.get(row.count, 0), f"line {row.count} asks for more than {agreement} lists"
        for checkout in Checkout.objects.filter(action="charge", state=states.SUCCESS).exclude(pk__in=self.charged):
            self.charged.add(checkout.pk)
            line: Any = checkout.content_object
            assert checkout.total is not None
            assert checkout.total <= agreed[line.count]

    # -- helpers -------------------------------------------------------------------------------------

    def _line(self, data: Any) -> ObjectPaymentPlanInstalment | None:
        rows = list(
            self.plan.instalments.filter(state__in=states.UNPAID)
            .select_related("object_payment_plan", "debt")
            .order_by("count")
        )
        return data.draw(st.sampled_from(rows)) if rows else None

    def _enter(self, checkout: Checkout, number: str) -> None:
        intent: Any
        if checkout.by_setup_intent:
            intent = gateway().retrieve_setup_intent(checkout.setup_intent_id)
        else:
            intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
        self.emulator.pay(intent.client_secret, number=number)

    def _money(self, what: Callable[[], Any]) -> Any:
        """Something that may move money, or be refused."""
        try:
            return what()
        except errors.CheckoutError:
            return None
        finally:
            self.plan.refresh_from_db()

    def _try(self, what: Callable[[], PlanChange]) -> None:
        """A change moves no money, and its version says what was before and after it."""
        before = {line.pk: line for line in plan_previews.lines_of(self.plan)}
        try:
            change = what()
        except errors.CheckoutError:
            change = None
        self.plan.refresh_from_db()
        after = {line.count: line for line in plan_previews.lines_of(self.plan)}
        for line in after.values():
            assert line.paid == (before[line.pk].paid if line.pk in before else 0), "nothing paid is ever changed"
        if change is None or not change.is_in_force:
            return
        stood = {line.pk: (line.due, line.owed, line.paid, line.ended) for line in change.lines_before}
        for pk, line in before.items():
            assert stood[pk] == (line.due, line.owed, line.paid, line.ended), "a version knows what was before it"
        for line in change.lines_after:
            now = after[line.count]
            assert (line.due, line.owed, line.paid, line.ended) == (now.due, now.owed, now.paid, now.ended)
        if change.undoes is not None:
            for was, made in zip(change.undoes.lines_before, change.undoes.lines_after, strict=False):
                assert was.count != made.count or was == made or after[was.count].owed == was.owed

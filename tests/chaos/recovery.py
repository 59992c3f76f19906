"""Declined lines are tried again by themselves, while their payer, staff, other cards and refunds come in between."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from checkout import actions, declines, retries, states
from checkout.models import Checkout, ObjectPaymentPlanInstalment, PaymentRunItem
from checkout.services import bank_news, charging, fulfillment, on_session, plans, recovery, refunds, runs
from checkout.services.letters import writing
from stripe_emulator import faults
from tests.chaos.life import LOST
from tests.chaos.money import MoneyLife

CODES = st.sampled_from(
    ["insufficient_funds", "insufficient_funds", "do_not_honor", "issuer_not_available", "lost_card", "expired_card"]
)
#: Who comes in between, and when: before the try, when its line is due again, and while Stripe is being asked.
WHO = st.sampled_from(
    ["payer", "payer with another card", "staff", "cash", "new card", "refund", "stop", "another run"]
)
MOMENTS = st.sampled_from(["before", "released", "asking", "after"])
FAULT = st.one_of(st.none(), LOST)


#: What has no part in these stories, so that there is more of what has.
ELSEWHERE = (
    "a_backup_is_made",
    "a_call_will_fail",
    "a_night_is_lost",
    "a_part_comes_in_cash",
    "a_stranger_types_the_address_of_a_payer",
    "agree_to_a_plan",
    "an_old_event_comes_once_more",
    "buy",
    "enter_a_card",
    "months_later_a_run_in_bad_weather",
    "pay_in_two_tabs",
    "something_else_takes_the_place_of_an_open_page",
    "somebody_changes_an_amount_at_stripe",
    "stripe_is_listed",
    "the_backup_is_restored",
    "the_office_acts",
    "the_office_solves_a_problem",
    "the_post_is_like_this",
    "the_price_changes_under_an_open_page",
    "the_row_is_settled_elsewhere",
    "the_site_refuses_or_breaks",
    "visit_and_leave",
)


class RecoveryLife(MoneyLife):
    locals().update(dict.fromkeys(ELSEWHERE))

    @initialize(code=CODES, times=st.integers(1, 4))
    def open_the_shop(self, code: str, times: int) -> None:  # type: ignore[override]
        """One payer has a plan, and its first instalment is declined."""
        super().open_the_shop(number="4242424242424242", fault=None, then=None)
        self.a_line_is_declined(code=code, times=times)

    # -- the bank ------------------------------------------------------------------------------------

    @rule(code=CODES, times=st.integers(1, 4))
    def a_line_is_declined(self, code: str, times: int) -> None:
        for line in self._next_lines():
            card = line.object_payment_plan.card
            if card is not None:
                self.emulator.bank.decline_next(card.payment_method_id, code, times)
            self.on_a_bad_day(partial(plans.testing_set_pending_instalment_due, line.object_payment_plan))
        self._morning(0)

    def _next_lines(self) -> list[ObjectPaymentPlanInstalment]:
        rows = ObjectPaymentPlanInstalment.objects.filter(
            state_id=states.PENDING, deposit=False, object_payment_plan__deleted=False
        )
        first: dict[int, ObjectPaymentPlanInstalment] = {}
        for line in rows.select_related("object_payment_plan__agreement__saved_card").order_by("due"):
            first.setdefault(line.object_payment_plan_id, line)
        return list(first.values())

    # -- the days ------------------------------------------------------------------------------------

    @rule(days=st.sampled_from([1, 3, 8, 33]))
    def mornings(self, days: int) -> None:
        for _day in range(min(days, 5)):
            self._morning(1)
        if days > 5:
            self._morning(days - 5)

    def _morning(self, days: int) -> None:
        """The jobs of a day, and so many days. What was done at Stripe a month ago is found by a job that ran since."""
        self.on_a_bad_day(bank_news.look)
        self.clock.shift(timedelta(days=days))
        self.emulator.tick()
        self.on_a_bad_day(lambda: runs.process_payments(workers=1))
        self.on_a_bad_day(writing.write_waiting)

    @rule(data=st.data(), who=WHO, when=MOMENTS, fault=FAULT)
    def a_try_meets_somebody(self, data: Any, who: str, when: str, fault: faults.Fault | None) -> None:
        declined = ObjectPaymentPlanInstalment.objects.filter(state_id=states.FAIL)
        if not declined.exists():
            self.a_line_is_declined(code="insufficient_funds", times=2)
        line = self._any(data, declined)
        if line is None:
            return
        # Whoever pays on a page has had it open before.
        page = self.on_a_bad_day(partial(on_session.create_checkout_pay_on_session, line)) if who == "payer" else None
        secret = self._show(page) if page is not None else ""
        if fault is not None:
            self.emulator.weather.add(fault, path=r"POST /v1/payment_intents")
        meet = partial(self._meet, data, line, who, page, secret)
        if when in ("before", "after"):
            for act in (meet, partial(self._morning, 4)) if when == "before" else (partial(self._morning, 4), meet):
                act()
        else:
            with self._in_between(when, meet if when == "released" else partial(self._browser_only, secret)):
                self._morning(4)
        self.emulator.weather.clear()

    @contextmanager
    def _in_between(self, when: str, meet: Callable[[], None]) -> Iterator[None]:
        """Somebody acts once: when a line was found to be due again and is about to be, or when Stripe is asked."""
        room, name = (recovery, "release") if when == "released" else (charging, "ask")
        real, waiting = getattr(room, name), [meet]

        def first_meet(*args: Any, **kwargs: Any) -> Any:
            if waiting:
                waiting.pop()()
            return real(*args, **kwargs)

        with patch.object(room, name, first_meet):
            yield

    def _browser_only(self, secret: str) -> None:
        """In a thread of the run's, which has no business with the database."""
        if secret:
            self._browser(secret, "4242424242424242", True)

    def _meet(self, data: Any, line: ObjectPaymentPlanInstalment, who: str, page: Checkout | None, secret: str) -> None:
        plan = line.object_payment_plan
        match who:
            case "payer":
                self._browser_only(secret)
                if page is not None:
                    self.on_a_bad_day(partial(fulfillment.fulfill, page))
            case "payer with another card":
                begun = self.on_a_bad_day(partial(on_session.create_checkout_pay_on_session, line, another_card=True))
                if begun is not None:
                    self._pay(begun, "5555555555554444", True)
            case "staff":
                self._act(ObjectPaymentPlanInstalment.objects.get(pk=line.pk), "charge")
            case "cash":
                self._act(line, "manual")
            case "new card":
                self.give_a_new_card()
            case "refund":
                paid = self._any(data, Checkout.objects.success().exclude(payment_intent_id=""))
                if paid is not None and (left := refunds.left(paid)):
                    self.on_a_bad_day(partial(refunds.refund, paid, left))
            case "stop":
                self.on_a_bad_day(plan.delete_plan)
            case "another run":
                self.on_a_bad_day(lambda: runs.process_payments(workers=1))

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def what_is_due_is_not_being_asked_for(self) -> None:
        """A line that a run would take has no charge whose end is unknown."""
        due = ObjectPaymentPlanInstalment.objects.filter(state_id__in=[states.PENDING, states.FAIL])
        asked = Checkout.objects.filter(action_id=actions.CHARGE, state_id=states.REQUEST, instalment__in=due)
        assert not asked.exists(), f"{list(asked)} is asked for, and due again"

    @invariant()
    def runs_ask_no_card_again_after_a_no(self) -> None:
        refused: set[tuple[int | None, str]] = set()
        for checkout in self._by_runs():
            key = (checkout.debt_id, checkout.payment_method_id)
            assert key not in refused, f"{checkout} asks a card that had said no"
            declined = checkout.state_id == states.FAIL and checkout.decline_code
            if declined and recovery.verdict_of(checkout).retry not in declines.BY_ITSELF:
                refused.add(key)

    @invariant()
    def runs_keep_within_the_policy(self) -> None:
        """Four tries of one card for one debt, and of one card and amount what networks allow in 30 days."""
        for_debt: Counter[Any] = Counter()
        of_amount = defaultdict(list)
        for checkout in self._by_runs():
            if checkout.state_id != states.FAIL or not checkout.decline_code:
                continue
            for_debt[(checkout.debt_id, checkout.payment_method_id)] += 1
            of_amount[(checkout.payment_method_id, checkout.total)].append(checkout.created_at)
        assert max(for_debt.values(), default=0) <= retries.DEFAULT.most + 1
        for moments in of_amount.values():
            within = [sum(start <= at < start + timedelta(days=30) for at in moments) for start in moments]
            assert max(within) <= retries.MOST_IN_30_DAYS

    def _by_runs(self) -> list[Checkout]:
        tried = PaymentRunItem.objects.exclude(checkout=None).values("checkout")
        return list(Checkout.objects.filter(pk__in=tried, action_id=actions.CHARGE).order_by("pk"))

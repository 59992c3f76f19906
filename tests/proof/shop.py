"""A shop whose every call to Stripe can meet any weather, and whose documented jobs heal what that left."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from functools import partial, wraps
from typing import Any, Final
from unittest.mock import patch

from django.core.management import CommandError, call_command
from django.test import TestCase, override_settings
from post_office.models import Email

from checkout import mail, states
from checkout.gateway import Gateway
from checkout.models import (
    Checkout,
    Debt,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    Posting,
)
from checkout.services import fulfillment, intents, plans
from checkout.timetable import JOBS
from stripe_emulator import faults
from tests.chaos.life import SECRET, agree
from tests.chaos.money import AT_STRIPE, MoneyLife
from tests.host.models import Membership

VISA, MASTERCARD, PENDING_REFUND = "4242424242424242", "5555555555554444", "4000000000007726"

#: Every verb of the gateway that asks Stripe something.
VERBS: Final = frozenset(
    name
    for kind in Gateway.__mro__
    for name, value in vars(kind).items()
    if callable(value) and not name.startswith("_")
)


class Shop(MoneyLife):
    """One payer, one template, an office. `fault` meets the `strike_at`-th request of the server's; none by default."""

    KEY: Final = {"Authorization": "Bearer sk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"}

    def __init__(self) -> None:
        super().__init__()
        self.more_settings = override_settings(CHECKOUT_WORKERS=1, CHECKOUT_NOTIFY_EMAILS=["office@example.com"])
        self.more_settings.enable()
        mail.install()
        self.emulator.webhooks.add("https://shop.example/checkout/webhook/", SECRET)
        self.template = PaymentPlan.objects.create_payment_plan("proof", "Proof", 20, 3, 1)
        self.row = Membership.objects.create(email="payer@example.com", total=Decimal(100))
        self.members = [self.row]
        self.fault: faults.Fault | None = None
        self.strike_at = 0
        self.wherever = ""
        self.calls: list[str] = []
        #: How many requests the walk made.
        self.walked = 0
        self.verbs: set[str] = set()
        self.in_browser = False
        self.post_is_lost = False
        self.emulator.weather.strike = self._strike  # type: ignore[method-assign]

    def close(self) -> None:
        self.more_settings.disable()
        del self.template
        self.teardown()

    def _strike(self, method: str, path: str) -> faults.Fault | None:
        if self.in_browser:
            return None
        self.calls.append(f"{method} {path}")
        hit = self.wherever in self.calls[-1] if self.wherever else len(self.calls) == self.strike_at
        return self.fault if hit else None

    @contextmanager
    def weather(self, fault: faults.Fault | None, strike_at: int = 0, *, wherever: str = "") -> Iterator[None]:
        """Count the server's requests from here, and let that one of them meet the fault, or all `wherever` the text is
        in them, "POST /v1/refunds"."""
        self.calls, self.fault, self.strike_at, self.wherever = [], fault, strike_at, wherever
        with self._noting_verbs():
            yield
        self.fault, self.walked = None, len(self.calls)

    @contextmanager
    def _noting_verbs(self) -> Iterator[None]:
        def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(real)
            def verb(*args: Any, **kwargs: Any) -> Any:
                self.verbs.add(name)
                return real(*args, **kwargs)

            return verb

        patches = [patch.object(Gateway, name, noted(name, getattr(Gateway, name))) for name in VERBS]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()

    # -- people --------------------------------------------------------------------------------------

    def agrees(self, number: str = VISA, *, with_deposit: bool = False) -> None:
        """The payer chooses the plan, enters a card, and comes back to the shop."""
        begun = self.on_a_bad_day(partial(agree, self.row, self.template, with_deposit=with_deposit))
        self.pays(begun, number)

    def pays(self, checkout: Checkout | None, number: str = VISA) -> None:
        """On the page of an attempt, if it could be shown; and back in the shop."""
        if checkout is not None:
            self.enters_a_card(checkout, number)
            self.on_a_bad_day(lambda: fulfillment.fulfill(checkout))

    def enters_a_card(self, checkout: Checkout, number: str = VISA) -> None:
        page = self.on_a_bad_day(lambda: intents.page(checkout))
        if page is not None and page.client_secret:
            self.in_browser = True
            self.emulator.pay(page.client_secret, number)
            self.in_browser = False

    def plan(self) -> ObjectPaymentPlan:
        return ObjectPaymentPlan.objects.latest("pk")

    def line(self, count: int = 2) -> ObjectPaymentPlanInstalment:
        return self.plan().payments.get(count=count)

    @contextmanager
    def a_lost_night(self) -> Iterator[None]:
        """What is written inside is rolled back here, and stands at Stripe."""
        night = TestCase._enter_atomics()  # type: ignore[attr-defined]
        yield
        TestCase._rollback_atomics(night)  # type: ignore[attr-defined]

    def is_due(self) -> None:
        plans.testing_set_pending_instalment_due(self.plan())

    def taken(self) -> Decimal:
        """Pounds, net of what went back."""
        return Decimal(self.emulator.ledger.taken_minor() - self.emulator.ledger.refunded_minor()) / 100

    # -- jobs ----------------------------------------------------------------------------------------

    def days(self, number: int, what: Callable[[Shop], object]) -> None:
        """Once a day, for so many days."""
        for _day in range(number):
            self.clock.shift(timedelta(days=1))
            self.emulator.tick()
            what(self)

    def later(self, minutes: int, job: str) -> None:
        self.clock.shift(timedelta(minutes=minutes))
        self.job(job)

    def job(self, name: str, *arguments: str) -> None:
        """As cron runs it: one that finds something wrong says so with its exit code."""
        try:
            call_command(name, *arguments, stdout=io.StringIO(), stderr=io.StringIO())
        except CommandError:
            return

    def heal(self, hours: tuple[int, ...] = (1, 25, 25)) -> None:
        """An hour, a day and another day, in which every job of the timetable runs and nobody presses anything."""
        for step in hours:
            self.clock.shift(timedelta(hours=step))
            self.emulator.tick()
            if not self.post_is_lost:
                self.emulator.webhooks.deliver(self._take)
            for job in JOBS:
                if job.name != "send_queued_mail":
                    self.job(job.name)

    def no_debt_is_taken_twice(self) -> None:
        """Where one attempt pays several lines, none of them got more than it asked for."""
        if not Checkout.objects.filter(allocated=True).success().exists():
            super().no_debt_is_taken_twice()
            return
        for debt in Debt.objects.all():
            assert debt.paid <= debt.owed, f"{debt.uuid} was taken twice"

    def the_truth_is_known(self) -> None:
        """As in the stories; where one attempt pays several lines, the postings of all of them are what Stripe has."""
        if not Checkout.objects.filter(allocated=True).success().exists():
            super().the_truth_is_known()
            return
        self.no_debt_is_taken_twice()
        self.counters_are_the_sums_of_postings()
        assert not Checkout.objects.filter(state_id=states.REQUEST).exists(), "nothing is unknown any more"
        posted = Posting.objects.filter(kind__in=AT_STRIPE).values_list("amount", flat=True)
        assert sum(posted, Decimal(0)) == self.taken()

    def must_hold(self) -> None:
        """What no weather may break."""
        self.the_truth_is_known()
        self.no_card_is_charged_without_an_agreement_that_names_it()
        self.a_debt_is_settled_once()
        self.states_move_along_the_arrows()
        self.a_stopped_plan_takes_nothing_more()
        causes = list(Letter.objects.values_list("cause", flat=True))
        assert len(causes) == len(set(causes)), "a letter was asked for twice"
        sent = Email.objects.filter(to="payer@example.com").values_list("subject", "message")
        wanted = Notice.objects.filter(cause__regex=r"-again-|^customer-payment-\d+-[1-9]").count()
        assert len(sent) <= len(set(sent)) + wanted, "a letter went out twice"

"""A shop that is lived in for a year: payers, a bank, an office, jobs, the post, and the weather all along.

What each payer agreed to and which card they typed is remembered here, apart from the app; what was taken is the
emulator's ledger. `tests.soak.checks` compares the three in the end. The same seed is the same year, for every chance
comes from it and one worker asks at a time.
"""

from __future__ import annotations

import datetime
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

import time_machine
from django.db.models import Q
from django.test import override_settings

from checkout import clock, mail, states
from checkout.errors import CheckoutError
from checkout.gateway.webhooks import read_event, sign
from checkout.models import (
    Checkout,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    PlanChange,
    RecoveryStep,
    StripeEvent,
)
from checkout.services import (
    applying,
    audit,
    bank_news,
    books_intake,
    books_match,
    by_staff,
    card_expiry,
    charging,
    early,
    fulfillment,
    inbox,
    intents,
    on_session,
    plan_changes,
    polling,
    promises,
    reconcile,
    refunds,
    runs,
    stale,
)
from checkout.services.letters import due, writing
from stripe_emulator import Clock, Delivery, Emulator, faults
from tests.host.models import Membership
from tests.soak.in_order import no_threads

SECRET: Final = "whsec_soak"
#: Early autumn: the clocks go back in October and forward in March, and February is short.
START: Final = datetime.datetime(2026, 9, 28, 4, 0, tzinfo=datetime.UTC)
#: On these, and at weekends, nobody works in the office (England and Wales).
BANK_HOLIDAYS: Final = {(12, 25), (12, 28), (1, 1), (3, 26), (3, 29), (5, 3), (5, 31), (8, 30)}

#: So many threads ask on the site that is played. With one worker they are none, and ask one after the other.
THREADS: Final = 20
#: Where there are more plans, every day has something to do.
FEW: Final = 60

GOOD, ONCE, ALWAYS, POOR, NEVER = (
    "4242424242424242",
    "4000002500003155",  # authenticates once, when it is saved
    "4000002760003184",  # always authenticates
    "4000008260003178",  # saved well, then never has the money
    "4000000000000341",  # saved well, then always declined
)
CARDS: Final = (*[GOOD] * 20, *[ONCE] * 3, ALWAYS, POOR, NEVER)
ANOTHER: Final = ("5555555555554444", "4242424242424242", "4000008260000000")
#: What a call of ours may meet. Most of it leaves us without an answer.
WEATHER: Final = (
    faults.LostBefore(), faults.LostAfter(), faults.Status(500), faults.Status(500, after=True), faults.Status(429),
    faults.LockTimeout(), faults.CutBody(), faults.HtmlBody(), faults.HtmlBody(after=True), faults.Duplicate(),
    faults.KeyInUse(),
)  # fmt: skip


class World:
    def __init__(self, seed: int, plans: int, days: int, *, weather: float = 0.05, workers: int = 1) -> None:
        self.seed, self.plans, self.days, self.share, self.workers = seed, plans, days, weather, workers
        self.at_once = THREADS if workers == 1 else workers
        self.chance = random.Random(f"soak/{seed}")
        self.emulator = Emulator(seed=seed, clock=Clock())
        self.day = 0
        #: Payment methods that each payer has typed, by the row that they pay for.
        self.typed: dict[str, set[str]] = {}
        #: What happened, and what was refused by the app with an error of its own.
        self.happened: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        #: Tabs that payers left open: the row and the client secret.
        self.tabs: list[tuple[str, str]] = []
        #: Called in the evening of each day.
        self.after_a_day: Callable[[World], None] = lambda _world: None
        self.time: Any = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        settings = override_settings(
            CHECKOUT_STRIPE_HTTP_CLIENT=self.emulator.transport,
            CHECKOUT_WEBHOOK_SECRET=SECRET,
            CHECKOUT_RATE_LIMIT=100_000,
            CHECKOUT_BASE_URL="https://shop.example",
            CHECKOUT_NOTIFY_EMAILS=["office@example.com"],
            CHECKOUT_WORKERS=self.at_once,
        )
        threads = no_threads() if self.workers == 1 else nullcontext()
        with settings, threads, time_machine.travel(START, tick=False) as self.time:
            mail.install()
            # As docs/reference.md asks of an endpoint: what changes nothing here is not sent.
            self.emulator.webhooks.add("https://shop.example/checkout/webhook/", SECRET, sorted(inbox.HANDLERS))
            self.emulator.bank.payout_schedule("daily")
            self.emulator.bank.moods(0.03)
            self.templates = [
                PaymentPlan.objects.create_payment_plan(f"soak-{count}", f"In {count}", deposit, count, interval)
                for deposit, count, interval in ((10, 10, 1), (20, 4, 2), (25, 11, 1), (50, 2, 1))
            ]
            yield

    # -- time ----------------------------------------------------------------------------------------

    def moves_on(self, **step: float) -> None:
        self.time.shift(timedelta(**step))
        self.emulator.tick()

    def lives(self, until: int) -> None:
        while self.day < until:
            self._day()
            self.after_a_day(self)

    def _day(self) -> None:
        """From four in the morning to the next. A day on which nothing is to do goes by at once."""
        begin = max(1, int(self.days * 0.6))
        new = self._so_many(self.plans / begin) if self.day < begin else 0
        busy = bool(new) or self._something_waits()
        if busy:
            self._weather()
            self.job("books", self._books, every=1 if self.plans > FEW else 5)
            self.moves_on(hours=2.5)
            self.job("run", lambda: runs.process_payments(workers=self.at_once))
            self._post()
            self.moves_on(hours=5)
            self._payers(new)
            self._office()
            self._bank()
            self._post()
            self.moves_on(hours=6)
            self._post()
            self._sweeps()
            self.moves_on(hours=24 - 2.5 - 5 - 6)
        else:
            self.moves_on(hours=24)
        self.day += 1

    def _something_waits(self) -> bool:
        next_post = self.emulator.webhooks.next_due()
        return (
            self.plans > FEW
            or (next_post is not None and next_post <= clock.now().timestamp())
            or ObjectPaymentPlanInstalment.objects.due.exists()
            or Checkout.objects.open().exists()
            or RecoveryStep.objects.filter(ended="", day__lte=clock.today()).exists()
            or StripeEvent.objects.filter(handled_at=None).exists()
            or self.chance.random() < 0.1
        )

    def _weather(self) -> None:
        """Another one each day; one day in four is fair."""
        rules, post = self.emulator.weather, self.emulator.webhooks.weather
        rules.clear()
        post.duplicate = post.double_event = post.swap = post.drop = post.delay = 0
        if self.chance.random() < 0.75 and self.share:
            for fault in self.chance.sample(WEATHER, 4):
                rules.add(fault, probability=self.share / 3, times=None)
            post.duplicate, post.double_event, post.swap, post.drop = 0.05, 0.02, 0.1, 0.05
            post.delay = self.chance.choice([0, 0, 60, 4000, 90_000])

    def calm(self) -> None:
        """The weather clears, the post comes, the jobs run for some days, and nobody presses anything."""
        self.share = 0
        self.emulator.bank.moods(0)
        self._weather()
        for _day in range(12):
            self.job("run", lambda: runs.process_payments(workers=self.at_once))
            self.moves_on(hours=24)
            self._post()
            self._sweeps()
            self.day += 1
        self._books()

    # -- jobs and post -------------------------------------------------------------------------------

    def job(self, name: str, work: Callable[[], Any], *, every: int = 1) -> Any:
        """One that Stripe gave no answer to goes on at its next time."""
        if self.day % every:
            return None
        return self.tries(f"job {name}", work)

    def tries(self, name: str, what: Callable[[], Any]) -> Any:
        self.happened[name] += 1
        try:
            return what()
        except CheckoutError as refusal:
            self.refused[f"{name}: {type(refusal).__name__}"] += 1
            return None

    def _books(self) -> None:
        books_intake.take_in()
        books_match.match()

    def _sweeps(self) -> None:
        self.job("events", self._events)
        self.job("poll", polling.fulfill_open_intents)
        self.job("stale", stale.tidy)
        self.job("reconcile", reconcile.reconcile)
        self.job("refunds", refunds.resolve_all)
        self.job("bank news", bank_news.look)
        self.job("on session", on_session.send_on_session_payment_emails)
        self.job("letters", self._letters)
        self.job("audit", audit.audit_failed_checkouts, every=9)
        self.job("card expiry", card_expiry.refresh_card_expiry_dates, every=7)

    def _events(self) -> None:
        inbox.work()
        inbox.forget_old()

    def _letters(self) -> None:
        due.ask()
        writing.write_waiting()

    def _post(self) -> None:
        self.emulator.webhooks.deliver(self._take)

    def _take(self, delivery: Delivery) -> int:
        """As the view: stored, answered, worked on."""
        row = inbox.receive(read_event(delivery.body, sign(delivery.body, SECRET), [SECRET]), claimed=True)
        if row is not None:
            self.tries("event", lambda: inbox.handle_claimed(row))
        return 200

    # -- payers --------------------------------------------------------------------------------------

    def _payers(self, new: int) -> None:
        for _new in range(new):
            self._begins()
        self._those_who_wait()
        if self.tabs and self.chance.random() < 0.3:
            owner, secret = self.tabs.pop(self.chance.randrange(len(self.tabs)))
            self.types(owner, secret, GOOD)
        for _one in range(self._so_many(self.plans / 600)):
            plan = self._any(ObjectPaymentPlan.objects.filter(deleted=False))
            if plan is not None:
                self._does_something(plan)

    def _so_many(self, mean: float) -> int:
        return int(mean) + (self.chance.random() < mean - int(mean))

    def _begins(self) -> None:
        """Somebody new; one in eight lives with another payer and gives the same address, in other letters."""
        number = self.happened["begins"]
        shared = number and self.chance.random() < 0.12
        email = f"payer{self.chance.randrange(number)}@example.com" if shared else f"payer{number}@example.com"
        row = Membership.objects.create(
            id=uuid.UUID(int=self.chance.getrandbits(128), version=4),
            email=email.upper() if shared else email,
            total=Decimal(self.chance.randrange(4000, 90_000)) / 100,
        )
        self.happened["begins"] += 1
        template = self.chance.choice(self.templates)
        number_of_card = self.chance.choice(CARDS)
        for _try in range(2):
            begun = self.tries(
                "agrees", lambda: Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=template)
            )
            if begun is not None:
                self.pays(str(row.pk), begun, number_of_card)
                break

    def pays(self, owner: str, checkout: Checkout, number: str) -> None:
        """On the page of an attempt; and perhaps back in the shop."""
        page = self.tries("page", lambda: intents.page(checkout))
        if page is None or not page.client_secret:
            return
        if self.chance.random() < 0.05:
            self.tabs.append((owner, page.client_secret))
            return
        self.types(owner, page.client_secret, number)
        if self.chance.random() < 0.7:
            self.tries("comes back", lambda: fulfillment.fulfill(checkout))

    def types(self, owner: str, secret: str, number: str) -> None:
        """Whatever the weather is between Stripe and the shop, the payer's browser reaches Stripe."""
        rules, self.emulator.weather.rules = self.emulator.weather.rules, []
        try:
            self.emulator.pay(secret, number, authenticate=self.chance.choice([True] * 8 + [False, None]))
        finally:
            self.emulator.weather.rules = rules
        kind = "setup_intent" if secret.startswith("seti_") else "payment_intent"
        intent = self.emulator.world.tables[kind].get(secret.partition("_secret_")[0])
        if intent is not None and intent["payment_method"]:
            self.typed.setdefault(owner, set()).add(intent["payment_method"])

    def _those_who_wait(self) -> None:
        """Lines that want their payer: one in eight comes at a time, with the card or another one."""
        waiting = ObjectPaymentPlanInstalment.objects.filter(
            Q(state__in=[states.PAY_ON_SESSION, states.FAIL]), object_payment_plan__deleted=False
        )
        for line in waiting.select_related("object_payment_plan").order_by("pk"):
            if self.chance.random() > 0.12:
                continue
            plan, another = line.object_payment_plan, self.chance.random() < 0.5
            if line.state_id == states.FAIL and self.chance.random() < 0.6:
                self._gives_a_new_card(plan)
                continue
            begin = partial(on_session.create_checkout_pay_on_session, line, another_card=another)
            begun = self.tries("pays late", begin)
            if begun is not None:
                self.pays(plan.object_id, begun, self.chance.choice(ANOTHER))

    def _gives_a_new_card(self, plan: ObjectPaymentPlan) -> None:
        begun = self.tries("new card", lambda: Checkout.objects.create_checkout("card_refresh", plan, None))
        if begun is not None:
            self.pays(plan.object_id, begun, self.chance.choice(ANOTHER))

    def _does_something(self, plan: ObjectPaymentPlan) -> None:
        match self.chance.randrange(4):
            case 0:
                self._gives_a_new_card(plan)
            case 1:
                unpaid = self.tries("looks at what is left", lambda: early.unpaid_lines(plan)) or []
                left = sum((line.left for line in unpaid), Decimal(0))
                amount = left if self.chance.random() < 0.5 else (left / 2).quantize(Decimal("0.01"))
                begun = self.tries("pays early", lambda: early.create_checkout_early(plan, amount)) if left else None
                if begun is not None:
                    self.pays(plan.object_id, begun, GOOD)
            case 2:
                waiting = plan.changes.filter(state=PlanChange.State.WAITING).first()
                if waiting is not None:
                    self.tries("agrees to a change", lambda: plan_changes.agree(waiting))
            case 3 if plan.card is not None:
                days = self.chance.choice([2, 5, 40])
                self.emulator.bank.decline_for_days(plan.card.payment_method_id, days)

    # -- the office and the bank ---------------------------------------------------------------------

    def _office(self) -> None:
        today = clock.today()
        if today.weekday() >= 5 or (today.month, today.day) in BANK_HOLIDAYS:
            return
        for checkout in Checkout.objects.filter(unapplied=True).order_by("pk")[:5]:
            if self.chance.random() < 0.5:
                self.tries("apply", partial(applying.apply, checkout))
            elif left := refunds.left(checkout):
                self.tries("give back", partial(refunds.refund, checkout, left))
        for _one in range(self._so_many(self.plans / 300)):
            self._staff_do_something()

    def _staff_do_something(self) -> None:
        lines = ObjectPaymentPlanInstalment.objects.select_related("object_payment_plan__agreement__saved_card")
        line = self._any(lines.filter(~Q(state=states.SUCCESS), object_payment_plan__deleted=False))
        kind = self.chance.choice(["refund", "refund", "change", "change", "charge", "cash", "day", "promise", "stop"])
        if kind == "refund":
            paid = self._any(Checkout.objects.success().exclude(payment_intent_id=""))
            if paid is not None and (left := refunds.left(paid)) > 0:
                amount = left if self.chance.random() < 0.3 else min(left, Decimal("3.33"))
                self.tries("refund", lambda: refunds.refund(paid, amount))
            return
        if line is None:
            return
        plan, later = line.object_payment_plan, clock.today() + timedelta(days=self.chance.randrange(1, 40))
        match kind:
            case "change":
                kinds: list[tuple[str, dict[str, Any]]] = [
                    ("pause", {"months": 1}),
                    ("pay_day", {"day": self.chance.randrange(1, 32)}),
                    ("split", {"count": self.chance.randrange(1, 7), "first": later}),
                    ("discount", {"amount": Decimal("5.01")}),
                    ("fee", {"amount": Decimal(7)}),
                ]
                name, terms = self.chance.choice(kinds)
                paper = self.chance.random() < 0.6
                self.tries(f"change {name}", lambda: plan_changes.propose(plan, name, "asked", on_paper=paper, **terms))
            case "charge":
                self.tries("charge", lambda: charging.charge(line))
            case "cash":
                self.tries("cash", lambda: Checkout.objects.manual(line))
            case "day":
                self.tries("day", lambda: by_staff.change_due(line, later, None, "asked"))
            case "promise":
                self.tries("promise", lambda: promises.promise(line, later, None, "by phone"))
            case "stop" if self.chance.random() < 0.3:
                self.tries("stop", plan.delete_plan)

    def _bank(self) -> None:
        for _one in range(self._so_many(self.plans / 900)):
            paid = self._any(Checkout.objects.success().exclude(payment_intent_id=""))
            if paid is not None:
                try:
                    if self.chance.random() < 0.5:
                        self.emulator.bank.dispute(paid.payment_intent_id)
                    else:
                        self.emulator.bank.dashboard_refund(paid.payment_intent_id, 100)
                    self.happened["bank"] += 1
                except Exception:  # noqa: BLE001 - there is nothing left of it to take back
                    self.refused["bank"] += 1
        for dispute in list(self.emulator.world.tables["dispute"].values()):
            if dispute["status"] == "needs_response" and self.chance.random() < 0.05:
                self.emulator.bank.decide_dispute(dispute["id"], self.chance.choice(["won", "lost"]))
        if self.chance.random() < 0.03:
            self.emulator.bank.fail_next_payout()

    def _any(self, rows: Any) -> Any:
        """One of them: the first from a place on that chance names, without counting all."""
        newest = rows.order_by("-pk").values_list("pk", flat=True).first()
        if newest is None:
            return None
        return rows.filter(pk__gte=self.chance.randrange(newest) + 1).order_by("pk").first()

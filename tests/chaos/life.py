"""A shop in which anything happens in any order: payers, banks, staff, jobs, webhooks, lost answers, days that pass."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlencode

import time_machine
from django.core.cache import cache
from django.db.models import F, Q
from django.test import Client, TestCase, override_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from post_office.models import Email

from checkout import actions, errors, mail, states
from checkout.gateway.webhooks import sign
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    Refund,
    SavedCard,
    StateChange,
    StripeEvent,
)
from checkout.services import (
    agreements,
    audit,
    card_expiry,
    charging,
    ending,
    fulfillment,
    inbox,
    intents,
    on_session,
    polling,
    reconcile,
    refunds,
    runs,
    stale,
)
from stripe_emulator import Clock, Delivery, Emulator, faults
from tests.host.models import Membership

SECRET = "whsec_chaos"
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

#: What a host may see on a bad day; anything else is a bug.
EXPECTED = (errors.CheckoutError,)

CARDS = st.sampled_from(
    [
        "4242424242424242",
        "4242424242424242",
        "4242424242424242",
        "4000002500003155",  # authenticates once, when it is saved
        "4000002760003184",  # always authenticates
        "4000008260003178",  # saved well, then never has the money
        "4000000000000341",  # saved well, then always declined
        "4000000000009995",  # never has the money
    ]
)
FAULTS = st.sampled_from(
    [
        faults.LostBefore(),
        faults.LostAfter(),
        faults.Status(500),
        faults.Status(500, after=True),
        faults.Status(429),
        faults.LockTimeout(),
        faults.CutBody(),
        faults.HtmlBody(),
        faults.HtmlBody(after=True),
        faults.Duplicate(),
        faults.KeyInUse(),
    ]
)

#: Answers that a run loses, and what stands in the way when somebody asks again.
LOST = st.sampled_from(
    [faults.LostAfter(), faults.CutBody(), faults.Status(500, after=True), faults.LostBefore(), faults.Status(500)]
)
#: Most plans begin well, or there would be nothing to run.
FIRST_CARD = st.sampled_from(["4242424242424242"] * 4 + ["4000002500003155", "4000002760003184", "4000000000000341"])
LOST_REFUNDS = [faults.LostAfter(), faults.LostBefore(), faults.CutBody()]
IN_THE_WAY = st.sampled_from(
    [None, faults.Status(429), faults.Status(401), faults.LockTimeout(), faults.LostAfter(), faults.Status(500)]
)


def minor(amount: Decimal | None) -> int:
    """Pence."""
    return int((amount or 0) * 100)


def agree(row: Membership, template: PaymentPlan, *, with_deposit: bool) -> Checkout:
    """A payer agrees to a plan: on a page of the site's own, or on ours, which takes the deposit with the card."""
    terms = agreements.agreement_terms(template, row, text=agreements.wording(template, row)) if with_deposit else None
    return Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=template, agreement=terms)


class PaymentLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # Declines are counted there by the attempt, and the attempts of the next story have the same numbers.
        cache.clear()
        self.time = time_machine.travel(START, tick=False)
        self.clock = self.time.start()
        self.emulator = Emulator(seed=1, clock=Clock())
        self.settings = override_settings(
            CHECKOUT_STRIPE_HTTP_CLIENT=self.emulator.transport,
            CHECKOUT_WEBHOOK_SECRET=SECRET,
            CHECKOUT_RATE_LIMIT=100_000,
            CHECKOUT_BASE_URL="https://shop.example",
        )
        self.settings.enable()
        self.begin()
        self.client = Client()
        self.sent: list[bytes] = []
        # Client secrets that a page of the shop has shown: the tabs that payers have open, for ever if they like.
        self.tabs: list[str] = []
        self.with_deposit = False
        # Intents whose amount somebody changed at Stripe, so that what was taken is not what was agreed.
        self.tampered: set[str] = set()

    @initialize(number=FIRST_CARD, fault=st.one_of(st.none(), LOST), then=IN_THE_WAY)
    def open_the_shop(self, number: str, fault: faults.Fault | None, then: faults.Fault | None) -> None:
        """One payer has a plan already, or has tried to, and perhaps its first run went badly; others come later."""
        mail.install()
        self.emulator.webhooks.add("https://shop.example/checkout/webhook/", SECRET)
        self.template = PaymentPlan.objects.create_payment_plan("chaos", "Chaos", 20, 3, 1)
        self.members = [
            Membership.objects.create(email="once@example.com"),
            Membership.objects.create(email="plan@example.com", total=Decimal("99.99")),
        ]
        self._agree(self.members[1], number)
        Checkout.objects.stripe_intent_fulfillment()
        if fault is not None:
            self._bad_month(fault, then)

    def teardown(self) -> None:
        try:
            if hasattr(self, "template"):
                self.calm()
                self.the_truth_is_known()
        finally:
            self.end()
            self.settings.disable()
            self.time.stop()

    def begin(self) -> None:
        """As a TestCase does it: everything is rolled back at the end of the story, and our own commits are
        savepoints."""
        self.atomics = TestCase._enter_atomics()  # type: ignore[attr-defined]

    def end(self) -> None:
        TestCase._rollback_atomics(self.atomics)  # type: ignore[attr-defined]

    def on_a_bad_day(self, what: Callable[[], Any]) -> Any:
        try:
            return what()
        except EXPECTED:
            return None

    # -- the payer -----------------------------------------------------------------------------------

    @rule(data=st.data(), number=CARDS, authenticate=st.sampled_from([True, True, False, None]))
    def buy(self, data: Any, number: str, authenticate: bool | None) -> None:
        """Visit and enter a card; nobody comes back to the shop's page."""
        checkout = self._begin(data)
        if checkout is not None:
            self._pay(checkout, number, authenticate)

    @rule(data=st.data(), number=CARDS)
    def pay_in_two_tabs(self, data: Any, number: str) -> None:
        """The second one was opened before the first one had paid."""
        row = data.draw(st.sampled_from(self.members))
        for tab in [Membership.objects.get(pk=row.pk) for _ in range(2)]:
            checkout = self.on_a_bad_day(partial(Checkout.objects.create_checkout, "payment", tab))
            if checkout is not None:
                self._pay(checkout, number, True)
                self.on_a_bad_day(partial(fulfillment.fulfill, checkout))

    @rule(data=st.data(), number=CARDS)
    def agree_to_a_plan(self, data: Any, number: str) -> None:
        """Somebody new, or somebody who has a page open or has paid."""
        if data.draw(st.booleans()):
            self.members.append(
                Membership.objects.create(email=f"{len(self.members)}@example.com", total=Decimal("99.99"))
            )
        self._agree(data.draw(st.sampled_from(self.members)), number)

    @rule(data=st.data())
    def visit_and_leave(self, data: Any) -> None:
        checkout = self._begin(data)
        if checkout is not None:
            self._show(checkout)

    @rule(data=st.data(), how=st.sampled_from(["dearer", "plan", "by hand"]))
    def something_else_takes_the_place_of_an_open_page(self, data: Any, how: str) -> None:
        """The page stays open in its tab, and its payer may come back to it."""
        checkout = self._begin(data)
        if checkout is None or not self._show(checkout):
            return
        row = checkout.content_object
        match how:
            case "dearer":
                Membership.objects.filter(pk=row.pk).update(total=row.total + 1)
                row.refresh_from_db()
                self.on_a_bad_day(lambda: Checkout.objects.create_checkout("payment", row, None))
            case "plan":
                self._agree(row, "4242424242424242")
            case "by hand":
                self.on_a_bad_day(lambda: Checkout.objects.manual(row))

    @rule(data=st.data(), amount=st.sampled_from([100, 5000]))
    def somebody_changes_an_amount_at_stripe(self, data: Any, amount: int) -> None:
        """In the dashboard, or by another program with our key; and then the payer pays."""
        checkout = self._begin(data)
        if checkout is None or checkout.by_setup_intent or not (secret := self._show(checkout)):
            return
        self.tampered.add(checkout.payment_intent_id)
        headers = {
            "Authorization": "Bearer sk_test_emulator",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        path = f"/v1/payment_intents/{checkout.payment_intent_id}"
        self.emulator.handle("POST", path, headers, urlencode({"amount": amount}).encode())
        self._browser(secret, "4242424242424242", True)
        self.on_a_bad_day(lambda: fulfillment.fulfill(checkout))

    @precondition(lambda self: ObjectPaymentPlan.objects.exists())
    @rule()
    def give_a_new_card(self) -> None:
        plan = ObjectPaymentPlan.objects.latest("pk")
        checkout = self.on_a_bad_day(lambda: Checkout.objects.create_checkout("card_refresh", plan, None))
        if checkout is not None:
            self._pay(checkout, "5555555555554444", True)

    @rule(data=st.data(), number=CARDS, authenticate=st.sampled_from([True, True, False, None]))
    def enter_a_card(self, data: Any, number: str, authenticate: bool | None) -> None:
        """On any page that was ever opened, even one that was left, or in a second tab."""
        if self.tabs:
            self._browser(data.draw(st.sampled_from(self.tabs)), number, authenticate)

    @rule(data=st.data())
    def come_back_to_the_shop(self, data: Any) -> None:
        checkout = self._any(data, Checkout.objects.all())
        if checkout is not None:
            self.on_a_bad_day(lambda: fulfillment.fulfill(checkout))

    @rule(data=st.data(), another=st.booleans())
    def pay_an_instalment_on_the_page(self, data: Any, another: bool) -> None:
        line = self._any(data, ObjectPaymentPlanInstalment.objects.all())
        if line is not None:
            from checkout.services import on_session

            checkout = self.on_a_bad_day(lambda: on_session.create_checkout_pay_on_session(line, another_card=another))
            if checkout is not None:
                self._show(checkout)

    # -- the office ----------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        how=st.sampled_from(["charge", "charge", "manual", "close", "stop"]),
        before=st.sampled_from([None, "charge", "manual"]),
    )
    def the_office_acts(self, data: Any, how: str, before: str | None) -> None:
        """What they do, they do with what they saw when the page was opened; a colleague may have been there since."""
        line = self._any(data, ObjectPaymentPlanInstalment.objects.select_related("object_payment_plan"))
        if line is None:
            return
        if before is not None:
            self._act(ObjectPaymentPlanInstalment.objects.get(pk=line.pk), before)
        self._act(line, how)

    def _act(self, line: ObjectPaymentPlanInstalment, how: str) -> None:
        match how:
            case "charge":
                self.on_a_bad_day(lambda: charging.charge(line))
            case "manual":
                self.on_a_bad_day(lambda: Checkout.objects.manual(line))
            case "close":
                self.on_a_bad_day(lambda: charging.close_attempts(line, why=Why(Code.PLAN_STOPPED)))
            case "stop":
                self.on_a_bad_day(line.object_payment_plan.delete_plan)

    @rule(data=st.data(), part=st.booleans(), fault=st.sampled_from([None, *LOST_REFUNDS]))
    def the_office_refunds(self, data: Any, part: bool, fault: faults.Fault | None) -> None:
        """Stripe's answer may be lost; then the next sweep finds a key that was rolled, or Stripe too busy."""
        paid = self._any(data, Checkout.objects.success().exclude(payment_intent_id=""))
        if paid is None or not (amount := refunds.left(paid) // (2 if part else 1)):
            return
        if fault is not None:
            self.emulator.weather.add(fault, path=r"POST /v1/refunds$")
        self.on_a_bad_day(lambda: refunds.refund(paid, amount))
        if fault is not None:
            self.clock.shift(timedelta(minutes=11))
            self.emulator.weather.add(faults.Status(data.draw(st.sampled_from([401, 429]))), path=r"refunds")
            self.on_a_bad_day(refunds.resolve_all)
            self.emulator.weather.clear()

    @rule(data=st.data(), part=st.booleans())
    def refund_in_the_dashboard(self, data: Any, part: bool) -> None:
        left = [
            charge
            for charge in self.emulator.ledger.charges(succeeded=True)
            if charge["amount_captured"] > charge["amount_refunded"]
            and not charge["disputed"]
            and charge["payment_intent"] not in self.tampered
        ]
        if left:
            charge = data.draw(st.sampled_from(sorted(left, key=lambda one: str(one["id"]))))
            amount = (charge["amount_captured"] - charge["amount_refunded"]) // (2 if part else 1)
            if amount:
                self.emulator.bank.dashboard_refund(charge["payment_intent"], amount)

    @precondition(lambda self: SavedCard.objects.good().exists())
    @rule(what=st.sampled_from(["decline", "replace", "delete"]))
    def something_happens_to_the_card(self, what: str) -> None:
        card = SavedCard.objects.good().latest("pk")
        match what:
            case "decline":
                self.emulator.bank.decline_next(card.payment_method_id)
            case "replace":
                self.emulator.bank.replace_card(card.payment_method_id, 12, 2031, "1111")
            case "delete":
                headers = {"Authorization": "Bearer sk_test_emulator"}
                self.emulator.handle("DELETE", f"/v1/customers/{card.stripe_customer_id}", headers)

    # -- jobs, webhooks, time, weather ---------------------------------------------------------------

    @rule(
        job=st.sampled_from(["poll", "run", "reconcile", "stale", "events", "cards", "audit", "refunds", "mails"]),
    )
    def a_job_runs(self, job: str) -> None:
        jobs: dict[str, Callable[[], Any]] = {
            "poll": polling.fulfill_open_intents,
            "run": lambda: runs.process_payments(workers=1),
            "reconcile": reconcile.reconcile,
            "stale": stale.tidy,
            "events": inbox.work,
            "cards": card_expiry.refresh_card_expiry_dates,
            "audit": lambda: audit.audit_failed_checkouts(repair=True),
            "refunds": refunds.resolve_all,
            "mails": on_session.send_on_session_payment_emails,
        }
        self.on_a_bad_day(jobs[job])

    @rule(
        duplicate=st.booleans(),
        double=st.booleans(),
        swap=st.booleans(),
        drop=st.booleans(),
        delay=st.sampled_from([0, 0, 3600]),
    )
    def the_post_is_like_this(self, duplicate: bool, double: bool, swap: bool, drop: bool, delay: float) -> None:
        knobs = self.emulator.webhooks.weather
        knobs.duplicate, knobs.double_event, knobs.swap = duplicate / 2, double / 2, swap / 2
        knobs.drop, knobs.delay = drop / 2, delay

    @rule()
    def the_post_comes(self) -> None:
        self.emulator.webhooks.deliver(self._take)

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data())
    def an_old_event_comes_once_more(self, data: Any) -> None:
        """Under a new id, as Stripe sometimes tells of one change twice; and once more under its own."""
        body = data.draw(st.sampled_from(self.sent[-20:]))
        event = json.loads(body)
        self._post(body)
        self._post(json.dumps(event | {"id": f"{event['id']}_again"}).encode())

    @rule(hours=st.sampled_from([0.2, 1.1, 21, 25, 24 * 40]))
    def time_passes(self, hours: float) -> None:
        self.clock.shift(timedelta(hours=hours))
        self.emulator.tick()

    @rule(call=st.integers(1, 4), fault=FAULTS)
    def a_call_will_fail(self, call: int, fault: faults.Fault) -> None:
        if self.emulator.weather.fair:
            self.emulator.fail(call=call, fault=fault)

    @rule(fault=LOST, then=IN_THE_WAY)
    def months_later_a_run_in_bad_weather(self, fault: faults.Fault, then: faults.Fault | None) -> None:
        self._bad_month(fault, then)

    def _bad_month(self, fault: faults.Fault, then: faults.Fault | None) -> None:
        """The run loses an answer; the lease runs out; reconcile meets trouble of its own; the next run comes."""
        self.clock.shift(timedelta(days=75))
        self.emulator.weather.add(fault, path=r"POST /v1/payment_intents$")
        self.on_a_bad_day(lambda: runs.process_payments(workers=1))
        self.clock.shift(timedelta(minutes=11))
        if then is not None:
            self.emulator.weather.add(then, path=r"payment_intents")
        self.on_a_bad_day(reconcile.reconcile)
        self.on_a_bad_day(lambda: runs.process_payments(workers=1))
        self.emulator.weather.clear()

    # -- what must hold at any moment ----------------------------------------------------------------

    @invariant()
    def no_debt_is_taken_twice(self) -> None:
        taken: Counter[str] = Counter()
        for charge in self.emulator.ledger.charges(succeeded=True):
            taken[charge["metadata"]["checkout"]] += charge["amount_captured"]
        debts: Counter[Any] = Counter()
        owed: dict[Any, int] = {}
        for checkout in Checkout.objects.filter(uuid__in=list(taken)).prefetch_related("content_object"):
            row = checkout.content_object
            debts[row] += taken[str(checkout.uuid)]
            owed[row] = max(owed.get(row, 0), minor(checkout.total))
            if isinstance(row, ObjectPaymentPlanInstalment):
                # Paying at once and in parts is paying the same thing.
                whole = row.object_payment_plan.content_object
                debts[whole] += taken[str(checkout.uuid)]
                owed[whole] = max(owed.get(whole, 0), minor(row.object_payment_plan.total))
        lines = sum(amount for row, amount in debts.items() if isinstance(row, ObjectPaymentPlanInstalment))
        assert sum(debts.values()) - lines == sum(taken.values()), "Stripe took money that nobody asked for"
        for debt, amount in debts.items():
            assert amount <= owed[debt], f"{debt}: {amount} of {owed[debt]}"

    @invariant()
    def what_we_call_failed_can_be_paid_by_nobody(self) -> None:
        """Stripe did not take it, and in no tab that a payer has open can it be paid any more."""
        intents = {
            intent["metadata"]["checkout"]: intent for intent in self.emulator.world.tables["payment_intent"].values()
        }
        failed = Checkout.objects.filter(state=states.FAIL, action__in=[actions.PAYMENT, actions.CHARGE])
        for uuid in failed.values_list("uuid", flat=True):
            intent = intents.get(str(uuid))
            if intent is not None and intent["status"] != "canceled":
                assert intent["status"] != "succeeded", f"{intent['id']} was paid, and is called failed"
                assert intent["client_secret"] not in self.tabs, f"{intent['id']} is called failed, and can be paid"

    @invariant()
    def a_stopped_plan_takes_nothing_more(self) -> None:
        stopped = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan__deleted=True)
        assert not Checkout.objects.open().filter(instalment__in=stopped).exists()

    @invariant()
    def what_goes_back_is_reserved(self) -> None:
        back: Counter[str] = Counter()
        for refund in self.emulator.world.tables["refund"].values():
            if refund["status"] in ("succeeded", "pending") and "refund" in refund["metadata"]:
                back[refund["metadata"]["refund"]] += refund["amount"]
        ours = Refund.objects.filter(uuid__in=list(back))
        for uuid, state, amount in ours.values_list("uuid", "state", "amount"):
            assert state != Refund.FAILED, f"refund {uuid} went to the payer, and is called failed"
            assert back[str(uuid)] == minor(amount)

    @invariant()
    def every_mail_has_one_cause(self) -> None:
        assert Email.objects.count() == Notice.objects.count()
        told = Notice.objects.filter(template__contains="on_session").values_list("instalment", "checkout")
        assert max(Counter(told).values(), default=0) <= 2, "one mail and one reminder for each refusal"

    @invariant()
    def what_we_call_paid_was_paid(self) -> None:
        tables = self.emulator.world.tables["payment_intent"]
        for checkout in Checkout.objects.success().filter(action__in=[actions.PAYMENT, actions.CHARGE]):
            intent = tables.get(checkout.payment_intent_id)
            assert intent is not None
            assert intent["status"] == "succeeded"
            assert intent["amount_received"] == minor(checkout.total)
            assert intent["metadata"]["checkout"] == checkout.mark

    @invariant()
    def hooks_ran_once_for_each_success(self) -> None:
        for member in Membership.objects.all():
            told = Checkout.objects.for_content_object(member).success()
            assert member.successes == told.exclude(unapplied=True, deposit__isnull=False).count()

    @invariant()
    def lines_add_up(self) -> None:
        for plan in ObjectPaymentPlan.objects.all():
            lines = list(plan.instalments.values_list("amount", flat=True))
            assert min(lines) > 0
            assert len(lines) in (1, 4)
            if len(lines) == 4:
                assert sum(lines) == plan.total

    @invariant()
    def states_move_along_the_arrows(self) -> None:
        # What staff note where something stands is no move.
        moved = StateChange.objects.exclude(from_state="").exclude(from_state=F("to_state"))
        moved = moved.filter(
            Q(checkout__isnull=False) | Q(instalment__isnull=False), refund=None, object_payment_plan=None
        )
        for before, after in moved.values_list("from_state", "to_state").distinct():
            assert states.may_move(before, after), (before, after)
        stands: dict[tuple[int | None, int | None], str] = {}
        # What is noted about a customer or a request is about neither.
        about = Q(checkout__isnull=False) | Q(instalment__isnull=False)
        changes = StateChange.objects.filter(about, refund=None, object_payment_plan=None).order_by("pk")
        for checkout, line, before, after in changes.values_list("checkout", "instalment", "from_state", "to_state"):
            row = (checkout, line)
            assert not before or stands.get(row, before) == before, f"{row} moved from {before}, and was elsewhere"
            stands[row] = after

    @invariant()
    def a_debt_is_settled_once(self) -> None:
        paid = Checkout.objects.success().taking_money().values_list("content_type", "object_id")
        assert max(Counter(paid).values(), default=0) <= 1

    # -- what must hold when all is calm -------------------------------------------------------------

    def calm(self) -> None:
        """The weather clears, the post comes, the jobs run, a day passes and they run again."""
        self.emulator.weather.clear()
        knobs = self.emulator.webhooks.weather
        knobs.duplicate = knobs.double_event = knobs.swap = knobs.drop = knobs.delay = 0
        for hours in (1, 25, 25):
            self.clock.shift(timedelta(hours=hours))
            self.emulator.webhooks.deliver(self._take)
            reconcile.reconcile()
            polling.fulfill_open_intents()
            stale.tidy()
            refunds.resolve_all()
            inbox.work()

    def the_truth_is_known(self) -> None:
        self.no_debt_is_taken_twice()
        self.what_we_call_paid_was_paid()
        self.hooks_ran_once_for_each_success()
        self.lines_add_up()
        self.states_move_along_the_arrows()
        assert not Checkout.objects.filter(state_id=states.REQUEST).exists(), "nothing is unknown any more"
        paid = {
            intent["metadata"]["checkout"]
            for intent in self.emulator.world.tables["payment_intent"].values()
            if intent["status"] == "succeeded"
        }
        ours = Checkout.objects.success().filter(action__in=[actions.PAYMENT, actions.CHARGE])
        wrong = Checkout.objects.filter(payment_intent_id__in=self.tampered).exclude(state=states.SUCCESS)
        for checkout in wrong.filter(uuid__in=paid):
            assert checkout.error_code == ending.NOT_WRITTEN_DOWN, "staff see what does not match"
            paid.remove(str(checkout.uuid))
        assert {checkout.mark for checkout in ours.select_related("begun_by")} == paid, "success here iff success there"
        left = StripeEvent.objects.filter(handled_at=None).exclude(object_id__in=self.tampered)
        assert not list(left.values_list("event_type", "error")), "every event was understood"
        audited = audit.audit_failed_checkouts(days=4000)
        assert (audited.wrong, audited.unread) == (0, 0)
        for line in ObjectPaymentPlanInstalment.objects.all():
            # A deposit that came beside another plan is booked, and its plan does not begin.
            done = Checkout.objects.for_content_object(line).success().filter(unapplied=False).count()
            assert (line.state_id == states.SUCCESS) == (done > 0)

    # -- helpers -------------------------------------------------------------------------------------

    def _begin(self, data: Any) -> Checkout | None:
        """Somebody, new or not, wants to pay at once; a second tab holds a row that was read some time ago."""
        if data.draw(st.booleans()):
            self.members.append(Membership.objects.create(email=f"{len(self.members)}@example.com"))
        # The first ones come again and again.
        row = data.draw(st.sampled_from([*self.members[:2], *self.members]))
        if data.draw(st.booleans()):
            row.refresh_from_db()
        found: Checkout | None = self.on_a_bad_day(lambda: Checkout.objects.create_checkout("payment", row, None))
        return found

    def _agree(self, row: Membership, number: str) -> None:
        """On the site's own page, where the card is saved first, and on ours, where the deposit is paid with it, in
        turn."""
        self.with_deposit = not self.with_deposit
        checkout = self.on_a_bad_day(partial(agree, row, self.template, with_deposit=self.with_deposit))
        if checkout is not None:
            self._pay(checkout, number, True)

    def _pay(self, checkout: Checkout, number: str, authenticate: bool | None) -> None:
        secret = self._show(checkout)
        if secret:
            self._browser(secret, number, authenticate)

    def _show(self, checkout: Checkout) -> str:
        """The page of an attempt: the secret that its form was started with, or nothing."""
        page = self.on_a_bad_day(lambda: intents.page(checkout))
        if page is None or not page.client_secret:
            return ""
        self.tabs.append(page.client_secret)
        return str(page.client_secret)

    def _browser(self, secret: str, number: str, authenticate: bool | None) -> None:
        """Whatever the weather is between Stripe and the shop, the payer's browser reaches Stripe."""
        rules, self.emulator.weather.rules = self.emulator.weather.rules, []
        try:
            self.emulator.pay(secret, number, authenticate=authenticate)
        finally:
            self.emulator.weather.rules = rules

    def _any(self, data: Any, rows: Any) -> Any:
        found = list(rows.order_by("pk"))
        return data.draw(st.sampled_from(found)) if found else None

    def _take(self, delivery: Delivery) -> int:
        self.sent.append(delivery.body)
        return self._post(delivery.body)

    def _post(self, body: bytes) -> int:
        answer = self.client.post(
            "/checkout/webhook/",
            body,
            content_type="application/json",
            headers={"Stripe-Signature": sign(body, SECRET)},
        )
        assert answer.status_code == 200
        return answer.status_code

"""Random sequences of legal and illegal calls: the books agree, no status moves wrongly, a replay changes nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stripe_emulator import faults

from .helpers import bench

# docs.stripe.com/payments/paymentintents/lifecycle. One call may pass through several, so from each status all that
# can be reached without passing a final one.
PAYMENT_MOVES = {
    "requires_payment_method": {
        "requires_confirmation",
        "requires_action",
        "processing",
        "requires_capture",
        "succeeded",
        "canceled",
    },
    "requires_confirmation": {
        "requires_payment_method",
        "requires_action",
        "processing",
        "requires_capture",
        "succeeded",
        "canceled",
    },
    "requires_action": {
        "requires_payment_method",
        "requires_confirmation",
        "processing",
        "requires_capture",
        "succeeded",
        "canceled",
    },
    "requires_capture": {"succeeded", "canceled"},
    "processing": {"succeeded", "requires_payment_method", "canceled"},
    "succeeded": set(),
    "canceled": set(),
}
SETUP_MOVES = {
    status: moves - {"requires_capture"} for status, moves in PAYMENT_MOVES.items() if status != "requires_capture"
}
CARDS = (
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_chargeCustomerFail",
    "pm_card_authenticationRequired",
    "pm_card_authenticationRequiredOnSetup",
    "pm_card_createDispute",
    "pm_card_createDisputeInquiry",
    "pm_card_refundFail",
    "pm_card_pendingRefund",
)
SAVED_CARDS = (
    "pm_card_visa",
    "pm_card_createDispute",
    "pm_card_createDisputeInquiry",
    "pm_card_refundFail",
    "pm_card_pendingRefund",
)
EVIDENCE = ("winning_evidence", "losing_evidence", "escalate_inquiry_evidence")
DISPUTE_MOVES: dict[str, set[str]] = {
    "warning_needs_response": {"warning_under_review", "warning_closed", "needs_response", "lost"},
    "warning_under_review": {"warning_closed", "needs_response"},
    "needs_response": {"under_review", "won", "lost"},
    "under_review": {"won", "lost"},
    "won": set(),
    "lost": set(),
    "warning_closed": set(),
}
REFUND_MOVES: dict[str, set[str]] = {"pending": {"succeeded", "failed"}, "succeeded": {"failed"}, "failed": set()}
DIAGRAMS = {
    "payment_intent": PAYMENT_MOVES,
    "setup_intent": SETUP_MOVES,
    "refund": REFUND_MOVES,
    "dispute": DISPUTE_MOVES,
}
FAULTS = (faults.LostAfter(), faults.Status(500), faults.Status(500, after=True), faults.CutBody(), faults.Duplicate())
pick = st.integers(0, 1_000)
amounts = st.sampled_from((2000, 500, 30, 29, 0))


class Shop(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 3))
    def open(self, seed: int) -> None:
        self.bench = bench(seed)
        self.emulator = self.bench.emulator
        self.headers = {"Authorization": "Bearer sk_test_x"}
        self.number = 0
        self.seen: dict[str, str] = {}
        self.customers = [self.bench.customer() for _ in range(2)]
        for customer in self.customers:
            for card in SAVED_CARDS:
                self.bench.v1.payment_methods.attach(card, {"customer": customer})

    # -- helpers ------------------------------------------------------------------------------------
    def rows(self, kind: str) -> list[dict[str, Any]]:
        return list(self.emulator.world.tables[kind].values())

    def some(self, kind: str, number: int, **like: str) -> str:
        """One of that kind: nine times of ten one whose attributes are `like` that, if there is any."""
        rows = self.rows(kind)
        if number % 10:
            rows = [row for row in rows if all(row[name] == value for name, value in like.items())] or rows
        return rows[number % len(rows)]["id"] if rows else f"{kind}_none"

    def post(self, path: str, **form: Any) -> None:
        """Send it with a key of its own, then again: the second answer is the first, and nothing has moved."""
        self.number += 1
        body = "&".join(f"{name}={value}" for name, value in form.items() if value is not None).encode()
        headers = {**self.headers, "Idempotency-Key": f"key-{self.number}"}
        first = self.emulator.handle("POST", path, headers, body)
        assert first.status < 600
        if first.lost or first.cut or first.status >= 400:
            first = self.emulator.handle("POST", path, headers, body)
        before = self.state()
        again = self.emulator.handle("POST", path, headers, body)
        if again.headers.get("Idempotent-Replayed"):
            assert (again.status, again.body) == (first.status, first.body)
            assert self.state() == before
        else:
            assert again.status >= 400
            assert self.state()["charges"] == before["charges"]

    def state(self) -> dict[str, Any]:
        """All there is but the count of requests."""
        saved = self.emulator.snapshot()
        tables = saved["world"]["tables"]
        return {"charges": tables["charge"], "tables": tables, "due": saved["world"]["due"]}

    # -- what people do -----------------------------------------------------------------------------
    @rule(card=st.sampled_from(CARDS), who=pick)
    def attach(self, card: str, who: int) -> None:
        self.post(f"/v1/payment_methods/{card}/attach", customer=self.customers[who % 2])

    @rule(amount=amounts, who=pick, method=pick, off=st.booleans(), manual=st.booleans())
    def charge(self, amount: int, who: int, method: int, off: bool, manual: bool) -> None:
        self.post(
            "/v1/payment_intents",
            amount=amount,
            currency="gbp",
            customer=self.customers[who % 2],
            payment_method=self.some("payment_method", method, customer=self.customers[who % 2]),
            confirm="true",
            off_session="true" if off else None,
            capture_method="manual" if manual else None,
            **{"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"},
        )

    @rule(amount=amounts, who=pick, save=st.booleans())
    def begin(self, amount: int, who: int, save: bool) -> None:
        future = "off_session" if save else None
        self.post(
            "/v1/payment_intents",
            amount=amount,
            currency="gbp",
            customer=self.customers[who % 2],
            setup_future_usage=future,
        )

    @rule(who=pick)
    def begin_setup(self, who: int) -> None:
        self.post("/v1/setup_intents", customer=self.customers[who % 2])

    @rule(
        kind=st.sampled_from(("payment_intent", "setup_intent")),
        which=pick,
        number=st.sampled_from(("4242424242424242", "4000000000000002", "4000000000003220", "4000008260003178")),
        authenticate=st.sampled_from((True, False, None)),
    )
    def pay(self, kind: str, which: int, number: str, authenticate: bool | None) -> None:
        rows = self.rows(kind)
        if rows:
            self.emulator.pay(rows[which % len(rows)]["client_secret"], number, authenticate)

    @rule(which=pick, passed=st.booleans(), kind=st.sampled_from(("payment_intent", "setup_intent")))
    def at_the_bank(self, which: int, passed: bool, kind: str) -> None:
        waiting = [row for row in self.rows(kind) if row["status"] == "requires_action"]
        if waiting:
            intent = waiting[which % len(waiting)]["id"]
            (self.emulator.complete_challenge if passed else self.emulator.fail_challenge)(intent)

    @rule(which=pick, verb=st.sampled_from(("confirm", "cancel", "capture", "")), card=st.sampled_from((None, *CARDS)))
    def meddle(self, which: int, verb: str, card: str | None) -> None:
        wanted = {"capture": "requires_capture"}.get(verb, "requires_payment_method")
        path = f"/v1/payment_intents/{self.some('payment_intent', which, status=wanted)}"
        if verb == "confirm":
            self.post(f"{path}/confirm", payment_method=card, return_url="https://example.com")
        elif verb:
            self.post(f"{path}/{verb}")
        else:
            self.post(path, amount=700, payment_method=card)

    @rule(which=pick, verb=st.sampled_from(("confirm", "cancel", "")), card=st.sampled_from((None, *CARDS)))
    def meddle_with_setup(self, which: int, verb: str, card: str | None) -> None:
        path = f"/v1/setup_intents/{self.some('setup_intent', which)}"
        extra = {"return_url": "https://example.com"} if verb == "confirm" else {}
        self.post(f"{path}/{verb}".rstrip("/"), payment_method=None if verb == "cancel" else card, **extra)

    @rule(which=pick, amount=st.sampled_from((None, 1, 400, 5000)))
    def refund(self, which: int, amount: int | None) -> None:
        self.post("/v1/refunds", payment_intent=self.some("payment_intent", which, status="succeeded"), amount=amount)

    @rule(which=pick)
    def detach(self, which: int) -> None:
        self.post(f"/v1/payment_methods/{self.some('payment_method', which)}/detach")

    @rule(which=pick, submit=st.sampled_from(EVIDENCE))
    def dispute(self, which: int, submit: str) -> None:
        path = f"/v1/disputes/{self.some('dispute', which)}"
        self.post(path, **{"evidence[uncategorized_text]": submit})

    @rule(seconds=st.sampled_from((2, 60, 86_400, 8 * 86_400)))
    def time_passes(self, seconds: int) -> None:
        self.emulator.clock.advance(seconds=seconds)
        self.emulator.tick()

    @precondition(lambda self: self.emulator.weather.fair)
    @rule(fault=st.sampled_from(FAULTS))
    def bad_weather(self, fault: faults.Fault) -> None:
        self.emulator.fail(call=1, fault=fault)

    @rule()
    def restart(self) -> None:
        self.emulator.restore(self.emulator.snapshot())

    # -- what must hold -----------------------------------------------------------------------------
    @invariant()
    def the_books_agree(self) -> None:
        received = sum(i["amount_received"] for i in self.rows("payment_intent") if i["status"] == "succeeded")
        refunded = sum(r["amount"] for r in self.rows("refund") if r["status"] in ("succeeded", "pending"))
        ledger = self.emulator.ledger
        assert ledger.taken_minor("gbp") == received
        assert ledger.refunded_minor("gbp") == refunded
        assert ledger.net_minor("gbp") == received - refunded - ledger.disputed_minor("gbp")
        for charge in self.rows("charge"):
            assert 0 <= charge["amount_refunded"] <= charge["amount_captured"] <= charge["amount"]

    @invariant()
    def an_intent_is_paid_once(self) -> None:
        for intent in self.rows("payment_intent"):
            paid = [c for c in self.rows("charge") if c["payment_intent"] == intent["id"] and c["paid"]]
            assert (
                len(paid) == (intent["status"] in ("succeeded", "requires_capture")) or intent["status"] == "canceled"
            )
            assert len(paid) <= 1

    @invariant()
    def no_status_moves_against_the_diagram(self) -> None:
        for kind, moves in DIAGRAMS.items():
            for row in self.rows(kind):
                status, before = row["status"], self.seen.get(row["id"])
                assert before in (None, status) or status in moves[before], (kind, before, status)
                self.seen[row["id"]] = status


Shop.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestShop = Shop.TestCase


DEEDS = ("charge", "charge", "begin", "setup", "pay", "bank", "meddle", "refund", "dispute", "time")


@pytest.mark.parametrize("seed", range(6))
def test_long_lives(seed: int) -> None:
    """Longer sequences than hypothesis tries, not shrunk: they get to refunds of refunds and to disputes."""
    chance = random.Random(seed)
    shop = Shop()
    shop.open(seed=seed)
    flip = (True, False)
    for _ in range(120):
        number = chance.randrange(1_000)
        match chance.choice(DEEDS):
            case "charge":
                amount = chance.choice((30, 500, 2000))
                shop.charge(amount, number, chance.randrange(1_000), chance.choice(flip), manual=number % 5 == 0)
            case "begin":
                shop.begin(500, number, save=chance.choice(flip))
            case "setup":
                shop.begin_setup(number)
            case "pay":
                kind = chance.choice(("payment_intent", "setup_intent"))
                card = chance.choice(("4242424242424242", "4000000000003220", "4000000000009995"))
                shop.pay(kind, number, card, chance.choice((True, False, None)))
            case "bank":
                shop.at_the_bank(number, chance.choice(flip), chance.choice(("payment_intent", "setup_intent")))
            case "meddle":
                verb = chance.choice(("confirm", "cancel", "capture", ""))
                shop.meddle(number, verb, None if verb in ("cancel", "capture") else chance.choice(CARDS))
            case "refund":
                shop.refund(number, chance.choice((None, 1, 400)))
            case "dispute":
                shop.dispute(number, chance.choice(EVIDENCE))
            case "time":
                shop.time_passes(chance.choice((2, 60, 86_400)))
                if number % 4 == 0:
                    shop.bad_weather(chance.choice(FAULTS))
        shop.the_books_agree()
        shop.an_intent_is_paid_once()
        shop.no_status_moves_against_the_diagram()
    statuses = {(kind, row["status"]) for kind in ("payment_intent", "refund", "dispute") for row in shop.rows(kind)}
    assert {("payment_intent", "succeeded"), ("refund", "succeeded")} <= statuses
    assert shop.rows("dispute")

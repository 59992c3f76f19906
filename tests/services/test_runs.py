"""Payment runs: what is due is charged once, counted, and told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import F, Model

from checkout import clock, errors, states
from checkout.gateway import PaymentIntent
from checkout.gateway.stripe import Gateway
from checkout.journal import Why
from checkout.models import (
    Checkout,
    Customer,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    PaymentRun,
    PaymentRunItem,
    Posting,
    Problem,
    SavedCard,
    StateChange,
)
from checkout.services import charging, dry_runs, ending, problems, reconcile, runs, settling
from checkout.services.pace import Pace
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.postgres.conftest import fill_with_due
from tests.services.conftest import SavePlan, lines, make_due
from tests.soak.in_order import no_threads

pytestmark = pytest.mark.django_db
Out = pytest.CaptureFixture[str]


def taken(emulator: Emulator, plan: ObjectPaymentPlan) -> int:
    assert plan.customer is not None
    assert plan.customer is not None
    return emulator.ledger.taken_minor(customer=plan.customer.at_stripe.get().stripe_customer_id)


def test_a_run_takes_what_is_due_and_nothing_else(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    make_due(plan)
    run = ObjectPaymentPlanInstalment.objects.process_payments()
    assert runs.counts(run) == {"charged": 1}
    assert run.finished_at is not None
    assert lines(plan)[1:] == [
        (2, Decimal("26.66"), states.SUCCESS),
        (3, Decimal("26.67"), states.PENDING),
        (4, Decimal("26.67"), states.PENDING),
    ]
    assert taken(emulator, plan) == 2000 + 2666
    assert runs.counts(ObjectPaymentPlanInstalment.objects.process_payments()) == {}


def test_the_deposit_and_stopped_plans_are_left_alone(
    emulator: Emulator, save_plan: SavePlan, payment_plan: PaymentPlan
) -> None:
    waiting = ObjectPaymentPlan.objects.create_object_payment_plan(
        Membership.objects.create(email="new@example.com"), payment_plan, Decimal(100)
    )
    stopped = save_plan()
    make_due(stopped)
    stopped.delete_plan()
    assert runs.counts(runs.process_payments()) == {}
    assert lines(waiting) == [(1, Decimal(20), states.PENDING)]


@pytest.mark.parametrize(
    ("number", "outcome", "state", "code"),
    [
        ("4000000000000341", "declined", states.FAIL, "generic_decline"),
        ("4000002760003184", "pay_on_session", states.PAY_ON_SESSION, "authentication_required"),
    ],
)
def test_refusals(
    emulator: Emulator,
    save_plan: SavePlan,
    membership: Membership,
    number: str,
    outcome: str,
    state: str,
    code: str,
) -> None:
    plan = save_plan()
    swap_card(emulator, plan, number)
    (due,) = make_due(plan)
    run = runs.process_payments()
    assert runs.counts(run) == {outcome: 1}
    due.refresh_from_db()
    assert due.state_id == state
    attempt = Checkout.objects.for_content_object(due).get()
    assert (attempt.state_id, attempt.decline_code) == (state, code)
    assert attempt.payment_intent_id
    membership.refresh_from_db()
    assert (membership.failed_due == due.due) is (state == states.FAIL)
    assert membership.waits == (state == states.PAY_ON_SESSION)
    assert taken(emulator, plan) == 2000


def swap_card(emulator: Emulator, plan: ObjectPaymentPlan, number: str) -> None:
    from checkout.services import fulfillment
    from tests.services.conftest import enter_card

    checkout = Checkout.objects.create_checkout("card_refresh", plan, None)
    enter_card(emulator, checkout, number)
    assert fulfillment.fulfill(checkout).succeeded


def test_insufficient_funds_after_set_up_keeps_the_banks_reason(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    swap_card(emulator, plan, "4000008260003178")
    (due,) = make_due(plan)
    runs.process_payments()
    attempt = Checkout.objects.for_content_object(due).get()
    assert (attempt.state_id, attempt.error_code, attempt.decline_code) == (
        states.FAIL,
        "card_declined",
        "insufficient_funds",
    )


@pytest.mark.parametrize("fault", [faults.LostBefore(), faults.LostAfter(), faults.Status(500), faults.CutBody()])
def test_a_lost_reply_is_unknown_and_right_after_reconcile(
    emulator: Emulator, save_plan: SavePlan, fault: Any, capsys: Out
) -> None:
    plan = save_plan()
    (due,) = make_due(plan)
    emulator.weather.add(fault, path="POST /v1/payment_intents")
    with pytest.raises(CommandError, match="1 without an answer: run `reconcile`"):
        call_command("process_payments")
    due.refresh_from_db()
    assert due.state_id == states.REQUEST
    # A second run asks for nothing again: unknown is not fail. What Stripe did take, it finds by looking back.
    call_command("process_payments")
    assert taken(emulator, plan) in (2000, 4666)
    Checkout.objects.filter(action="charge", state="request").update(lease_until=F("created_at"))
    call_command("reconcile")
    assert capsys.readouterr().out.strip().endswith("waiting 0, errors 0")
    due.refresh_from_db()
    assert due.state_id == states.SUCCESS
    assert taken(emulator, plan) == 4666


def test_one_bad_row_is_counted_and_skipped(
    emulator: Emulator, save_plan: SavePlan, settings: Any, capsys: Out
) -> None:
    good, no_card, gone = save_plan(), save_plan(email="b@example.com"), save_plan(email="c@example.com")
    for plan in (good, no_card, gone):
        make_due(plan)
    SavedCard.objects.filter(customer=no_card.customer).update(gone=True)
    Membership.objects.filter(pk=gone.object_id).delete()
    with pytest.raises(CommandError, match="2 could not be asked"):
        call_command("process_payments")
    notes = PaymentRunItem.objects.filter(outcome="error").values_list("note", flat=True)
    assert any("no saved card" in note for note in notes)
    assert any("no longer exists" in note for note in notes)
    assert lines(good)[1][2] == states.SUCCESS
    assert lines(no_card)[1][2] == states.PENDING


def test_a_broken_hook_stops_nobody_else(emulator: Emulator, save_plan: SavePlan, monkeypatch: Any) -> None:
    broken, good = save_plan(), save_plan(email="b@example.com")
    (line,) = make_due(broken)
    make_due(good)
    emulator.weather.add(faults.Status(402), path="never", times=None)
    original = ObjectPaymentPlanInstalment.checkout_success

    def hook(self: ObjectPaymentPlanInstalment, checkout: Checkout) -> None:
        if self.pk == line.pk:
            raise RuntimeError("broken")
        original(self, checkout)

    monkeypatch.setattr(ObjectPaymentPlanInstalment, "checkout_success", hook)
    run = runs.process_payments()
    assert runs.counts(run) == {"charged": 1, "error": 1}
    assert "broken" in PaymentRunItem.objects.get(outcome="error").note


def test_an_open_attempt_of_the_payer_is_left_alone(emulator: Emulator, save_plan: SavePlan) -> None:
    plan, other = save_plan(), save_plan(email="b@example.com")
    (line,) = make_due(plan)
    make_due(other)
    open_attempt = Checkout.objects.create_checkout_pay_on_session(line, None)
    run = runs.process_payments()
    assert runs.counts(run) == {"charged": 1, "skipped": 1}
    line.refresh_from_db()
    assert line.state_id == states.PENDING
    open_attempt.refresh_from_db()
    assert open_attempt.is_open


def test_a_refused_key_stops_the_run_and_loses_nothing(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    (line,) = make_due(plan)
    emulator.weather.add(faults.Status(401), path="POST /v1/payment_intents", times=None)
    run = runs.process_payments()
    assert runs.counts(run) == {"error": 1}
    assert "key" in run.note
    line.refresh_from_db()
    assert line.state_id == states.PENDING
    emulator.weather.clear()
    assert runs.counts(runs.process_payments()) == {"charged": 1}


def test_too_many_requests_slows_the_run_down(emulator: Emulator, save_plan: SavePlan, settings: Any) -> None:
    settings.CHECKOUT_RATE_LIMIT = 1000
    plan = save_plan()
    make_due(plan)
    emulator.weather.add(faults.Status(429), path="POST /v1/payment_intents", times=2)
    assert runs.counts(runs.process_payments()) == {"charged": 1}
    assert taken(emulator, plan) == 4666


def test_the_pace_halves_on_refusal_and_recovers() -> None:
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(100, clock=lambda: now[0], sleep=sleep)
    for _ in range(101):
        pace.wait()
    assert now[0] == pytest.approx(1.0)
    pace.slow_down()
    assert pace.per_second == 50
    for _ in range(25):
        pace.went_well()
    assert pace.per_second == 100


def test_limit_and_max_total(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    make_due(plan, 3)
    assert runs.counts(runs.process_payments(limit=1)) == {"charged": 1}
    run = runs.process_payments(max_total=Decimal("30.00"))
    assert runs.counts(run) == {"charged": 1}
    assert "before the total of 30.00 was passed" in run.note
    assert runs.counts(runs.process_payments(max_total=Decimal("26.67"))) == {"charged": 1}


def test_a_largest_total_needs_one_currency(emulator: Emulator, save_plan: SavePlan) -> None:
    for plan in (save_plan(), save_plan(email="j@example.com", total=Decimal(5000), currency="JPY")):
        make_due(plan)
    with pytest.raises(errors.MoneyError, match="GBP, JPY are due"):
        runs.process_payments(max_total=Decimal(100))
    assert not PaymentRun.objects.exists()
    assert runs.counts(runs.process_payments(max_total=Decimal(100), currency="gbp")) == {"charged": 1}


def test_only_one_template(emulator: Emulator, save_plan: SavePlan, capsys: Out) -> None:
    make_due(save_plan())
    PaymentPlan.objects.create_payment_plan("other", "Other", 20, 3, 1)
    call_command("process_payments", plan="other")
    assert "charged 0" in capsys.readouterr().out
    call_command("process_payments", plan="standard")
    assert "charged 1" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no payment plan 'none'"):
        call_command("process_payments", plan="none")


def test_the_summary_counts_and_sums(emulator: Emulator, save_plan: SavePlan, capsys: Out) -> None:
    make_due(save_plan(), 2)
    call_command("process_payments")
    out = capsys.readouterr().out
    assert "charged 2, declined 0" in out
    assert "Taken: £53.33." in out


def snapshot() -> dict[str, int]:
    tables: list[type[Model]] = [Checkout, Customer, Notice, PaymentRun, PaymentRunItem, StateChange]
    return {table.__name__: table._default_manager.count() for table in tables}


def test_the_dry_run_changes_nothing_and_says_what_is_likely_to_fail(
    emulator: Emulator, save_plan: SavePlan, capsys: Out
) -> None:
    good, expired, no_card = save_plan(), save_plan(email="b@example.com"), save_plan(email="c@example.com")
    for plan in (good, expired, no_card):
        make_due(plan)
    SavedCard.objects.filter(customer=expired.customer).update(expiry_date="2020-01-31")
    SavedCard.objects.filter(customer=no_card.customer).update(gone=True)
    before, calls = snapshot(), len(emulator.requests)
    call_command("process_payments", dry_run=True)
    out = capsys.readouterr().out
    assert (snapshot(), len(emulator.requests)) == (before, calls)
    assert "£26.66  A Member <member@example.com>  (Visa ending in 4242" in out
    assert "The card has expired." in out
    assert "There is no saved card." in out
    assert (
        "Would charge 2: £53.32. 1 of them likely to fail. 1 cannot be asked for: £26.66. Nothing was changed." in out
    )


@pytest.mark.parametrize(
    ("options", "amounts"),
    [
        ({}, ["26.67", "26.67", "26.66"]),
        ({"limit": 1}, ["26.67"]),
        ({"limit": 3}, ["26.67", "26.67", "26.66"]),
        ({"max_total": Decimal(80)}, ["26.67", "26.67", "26.66"]),
        ({"max_total": Decimal("79.99")}, ["26.67", "26.67"]),
        ({"max_total": Decimal("26.66")}, []),
        ({"max_total": Decimal(80), "limit": 1}, ["26.67"]),
    ],
)
def test_the_dry_run_stops_where_the_run_does(
    emulator: Emulator, save_plan: SavePlan, options: dict[str, Any], amounts: list[str]
) -> None:
    """What cannot be asked counts towards neither the limit nor the largest total."""
    no_card, plan = save_plan(), save_plan(email="b@example.com")
    make_due(no_card)
    make_due(plan, 3)
    SavedCard.objects.filter(customer=no_card.customer).update(gone=True)
    said = [line.instalment.left for line in dry_runs.dry_run(**options) if not line.refusal]
    run = runs.process_payments(workers=1, **options)
    charged = run.items.filter(outcome="charged").order_by("pk").values_list("checkout__total", flat=True)
    assert said == list(charged) == [Decimal(amount) for amount in amounts]


def test_the_dry_run_warns_of_a_line_with_an_open_problem(emulator: Emulator, save_plan: SavePlan) -> None:
    line, other = make_due(save_plan(), 2)
    page = Checkout.objects.create_checkout_pay_on_session(line)
    problem = problems.open_problem(
        Problem.Kind.NOT_WRITTEN_DOWN, str(page.uuid), checkout=page, amount=page.total, currency=page.currency
    )
    ending.fail(page, why=Why(note="left"), superseded=True)
    assert {each.instalment: each.warning for each in dry_runs.dry_run()} == {
        line: "A problem about it is open.",
        other: "",
    }
    problems.close(problem.kind, problem.subject)
    assert [each.warning for each in dry_runs.dry_run()] == ["", ""]


def test_bad_options_are_refused() -> None:
    for option in (["--limit", "0"], ["--max-total", "-1"], ["--workers", "x"], ["--max-total", "ten"]):
        with pytest.raises(CommandError):
            call_command("process_payments", *option)


def test_queries_per_charge_are_constant(
    emulator: Emulator, save_plan: SavePlan, count_queries: Callable[[Callable[[], Any]], int]
) -> None:
    """Each further instalment of a run costs at most so many queries, even where each answer is settled by itself.

    Answers that come together are settled together, which is cheaper; how many come together depends on the
    machine's load, so only the dearest way is a promise.
    """
    make_due(save_plan(), 1)
    one = count_queries(lambda: runs.process_payments(limit=1))
    for number in range(8):
        make_due(save_plan(email=f"p{number}@example.com"))
    eight = count_queries(lambda: runs.process_payments(limit=8))
    assert PaymentRun.objects.latest("pk").items.filter(outcome="charged").count() == 8
    assert eight <= one + 7 * 24


def test_what_was_answered_together_is_settled_in_the_order_of_asking(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    for number in range(12):
        make_due(save_plan(email=f"p{number}@example.com"))
    asked: list[str] = []
    settled: list[str] = []
    ask, settle_all = charging.ask, runs.Run._settle_all

    def note_and_ask(request: charging.ChargeRequest) -> Any:
        asked.append(request.payment_method_id)
        return ask(request)

    def note_and_settle(run: runs.Run, answers: list[Any]) -> None:
        settled.extend(checkout.payment_method_id for checkout, _item, _answer in answers)
        settle_all(run, answers)

    monkeypatch.setattr(charging, "ask", note_and_ask)
    monkeypatch.setattr(runs.Run, "_settle_all", note_and_settle)
    with no_threads():
        runs.process_payments(workers=20)
    assert len(settled) == 12
    assert settled == asked


def test_a_host_that_raises_costs_its_own_row_only(emulator: Emulator, save_plan: SavePlan, monkeypatch: Any) -> None:
    broken, good, last = save_plan(), save_plan(email="b@example.com"), save_plan(email="c@example.com")
    for plan in (broken, good, last):
        make_due(plan)

    def describe(self: Membership) -> list[str]:
        if str(self.pk) == broken.object_id:
            raise ZeroDivisionError("no places left")
        return ["Membership"]

    monkeypatch.setattr(Membership, "checkout_description", property(describe))
    run = runs.process_payments()
    assert runs.counts(run) == {"charged": 2, "error": 1}
    assert "no places left" in PaymentRunItem.objects.get(outcome="error").note
    assert lines(broken)[1][2] == states.PENDING
    assert taken(emulator, broken) == 2000


def test_a_plan_of_a_model_that_was_removed_costs_its_own_row_only(emulator: Emulator, save_plan: SavePlan) -> None:
    orphan, good = save_plan(), save_plan(email="b@example.com")
    for plan in (orphan, good):
        make_due(plan)
    removed = ContentType.objects.create(app_label="gone", model="course")
    ObjectPaymentPlan.objects.filter(pk=orphan.pk).update(content_type=removed)
    run = runs.process_payments()
    assert runs.counts(run) == {"charged": 1, "error": 1}
    assert lines(orphan)[1][2] == states.PENDING


def test_a_database_error_in_a_hook_costs_its_own_row_only(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    """PostgreSQL refuses everything that follows in that transaction, whatever the hook caught."""
    broken, good = save_plan(), save_plan(email="b@example.com")
    (line,) = make_due(broken)
    make_due(good)
    original = ObjectPaymentPlanInstalment.checkout_success

    def hook(self: ObjectPaymentPlanInstalment, checkout: Checkout) -> None:
        original(self, checkout)
        if self.pk == line.pk:
            with contextlib.suppress(DatabaseError):
                Membership.objects.filter(pk=broken.object_id).update(total=None)

    monkeypatch.setattr(ObjectPaymentPlanInstalment, "checkout_success", hook)
    run = runs.process_payments()
    assert run.finished_at is not None
    assert lines(good)[1][2] == states.SUCCESS
    assert lines(broken)[1][2] in (states.SUCCESS, states.REQUEST), "SQLite goes on, PostgreSQL does not"


def test_an_answer_that_nobody_can_read_is_unknown(emulator: Emulator, save_plan: SavePlan, monkeypatch: Any) -> None:
    plan, good = save_plan(), save_plan(email="b@example.com")
    (line,) = make_due(plan)
    make_due(good)
    assert plan.customer is not None
    odd_one = plan.card.stripe_customer_id
    ask = Gateway.charge_off_session

    def odd(self: Gateway, **request: Any) -> PaymentIntent:
        intent = ask(self, **request)
        if request["customer_id"] == odd_one:
            raise KeyError("status")
        return intent

    monkeypatch.setattr(Gateway, "charge_off_session", odd)
    run = runs.process_payments()
    assert runs.counts(run) == {"charged": 1, "unknown": 1}
    line.refresh_from_db()
    assert line.state_id == states.REQUEST


def test_a_run_that_breaks_says_so(emulator: Emulator, save_plan: SavePlan, monkeypatch: Any) -> None:
    make_due(save_plan())

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the database went away")

    monkeypatch.setattr(runs.Run, "_next_page", refuse)
    with pytest.raises(OperationalError):
        runs.process_payments()
    run = PaymentRun.objects.get()
    assert run.note == "Stopped by an error: OperationalError: the database went away"


def test_a_run_whose_connection_is_gone_ends_and_tries_no_line_alone(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    make_due(save_plan())

    def gone(*args: Any) -> None:
        raise InterfaceError("the connection is closed")

    monkeypatch.setattr(runs.Run, "_claim", gone)
    with pytest.raises(InterfaceError):
        runs.process_payments(workers=1)
    assert PaymentRun.objects.get().note == "Stopped by an error: InterfaceError: the connection is closed"


def test_what_cannot_be_asked_does_not_count_towards_the_largest_total(emulator: Emulator, save_plan: SavePlan) -> None:
    no_card, good = save_plan(), save_plan(email="b@example.com")
    make_due(no_card)
    make_due(good)
    SavedCard.objects.filter(customer=no_card.customer).update(gone=True)
    assert runs.counts(runs.process_payments(max_total=Decimal("30.00"))) == {"charged": 1, "error": 1}


@pytest.mark.django_db(transaction=True)
def test_a_charge_costs_three_statements_at_most(
    emulator: Emulator, count_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debts, postings, history and the beginning of transactions included, in a run over a hundred lines."""
    fill_with_due(emulator, 100)
    # However busy the machine is, all that was asked is settled together.
    monkeypatch.setattr(runs, "GATHERED_FOR", 30)
    box: list[Any] = []
    assert count_queries(lambda: box.append(runs.process_payments())) <= 300
    assert runs.counts(box[0]) == {"charged": 100}
    assert Posting.objects.filter(kind="taken").count() == 100


def test_a_line_that_was_moved_meanwhile_spoils_no_other(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    """What came back together is written together; when one is not where it was, each is settled by itself."""
    plans = [save_plan(email=f"p{number}@example.com") for number in range(3)]
    lines = [make_due(plan)[0] for plan in plans]
    real = settling.settle_many

    def meddle(intents: Any, user: Any = None, **how: Any) -> Any:
        if len(intents) > 1:
            # Somebody has said by hand that this one was paid, just now.
            ObjectPaymentPlanInstalment.objects.filter(pk=lines[1].pk).update(state="success")
        return real(intents, user, **how)

    monkeypatch.setattr(settling, "settle_many", meddle)
    answers = []
    run = PaymentRun.objects.create()
    moving = runs.Run(run, runs.due_instalments(), None, None, None, None)
    for checkout, item in moving._claim_batch(10) or ():
        answers.append((checkout, item, charging.ask(charging.request_for(checkout))))
    moving._settle_all(answers)
    assert runs.counts(run) == {"charged": 3}
    assert {line.state_id for line in ObjectPaymentPlanInstalment.objects.filter(pk__in=[o.pk for o in lines])} == {
        "success"
    }
    assert Posting.objects.filter(kind="taken", checkout__action="charge").count() == 6


def test_what_could_not_be_written_down_at_first_is_counted_as_what_it_became(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(save_plan())

    def no_room(*args: Any, **how: Any) -> None:
        raise OperationalError("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(ObjectPaymentPlanInstalment, "checkout_success", no_room)
        ObjectPaymentPlanInstalment.objects.process_payments()
    item = PaymentRunItem.objects.get()
    assert (item.outcome, "no space left" in item.note) == (PaymentRunItem.Outcome.ERROR, True)
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        reconcile.reconcile()
    item.refresh_from_db()
    assert (item.outcome, item.note) == (PaymentRunItem.Outcome.CHARGED, "")

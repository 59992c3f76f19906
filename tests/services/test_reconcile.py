"""What became of requests whose answer was lost: every branch, and never a second charge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection

from checkout import clock, states
from checkout.errors import OutcomeUnknown
from checkout.gateway import gateway
from checkout.models import (
    Agreement,
    Checkout,
    Customer,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentRunItem,
    SavedCard,
    ScheduledJob,
)
from checkout.services import charging, fulfillment, reconcile, requests, runs, settling
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due

pytestmark = pytest.mark.django_db

CHARGES = r"POST /v1/payment_intents$"
LOST = [faults.LostBefore(), faults.LostAfter(), faults.Status(500), faults.Status(500, after=True), faults.CutBody()]
HAPPENED = (faults.LostAfter, faults.CutBody)


@pytest.fixture
def due(emulator: Emulator, save_plan: SavePlan) -> ObjectPaymentPlanInstalment:
    """An instalment of 26.66 that is due."""
    plan: ObjectPaymentPlan = save_plan()
    return make_due(plan)[0]


def taken(emulator: Emulator) -> int:
    """Minor units taken beyond the deposit."""
    return emulator.ledger.taken_minor() - 2000


def lose(emulator: Emulator, fault: Any) -> Checkout:
    """Run while the answer to the charge is lost; the attempt that is left."""
    emulator.weather.add(fault, path=CHARGES)
    runs.process_payments(workers=1)
    checkout = Checkout.objects.latest("pk")
    assert checkout.state_id == states.REQUEST
    return checkout


def later(minutes: float = 0, hours: float = 0) -> Any:
    return time_machine.travel(clock.now() + timedelta(minutes=minutes, hours=hours))


def settled(due: ObjectPaymentPlanInstalment) -> str:
    due.refresh_from_db()
    return str(due.state_id)


# -- nothing is taken twice ------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [faults.Status(429), faults.Status(401), faults.Status(403), faults.LockTimeout()])
def test_a_refusal_after_a_lost_answer_proves_nothing(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, refusal: Any
) -> None:
    """The first request was taken; that the second one was turned away says nothing about it."""
    lose(emulator, faults.LostAfter())
    emulator.weather.add(refusal, times=None)
    with later(minutes=11):
        assert reconcile.reconcile().settled == 0
    emulator.weather.clear()
    with later(minutes=30):
        reconcile.reconcile()
        runs.process_payments(workers=1)
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


@pytest.mark.parametrize("refusal", [faults.Status(429), faults.Status(401), faults.LockTimeout()])
def test_a_refused_retry_of_the_same_request_proves_nothing(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, settings: Any, monkeypatch: Any, refusal: Any
) -> None:
    """Between two answers of Stripe the same holds: lost, sent again, turned away."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    settings.CHECKOUT_STRIPE_MAX_RETRIES = 2
    emulator.weather.add(faults.LostAfter(), path=CHARGES)
    emulator.weather.add(refusal, path=CHARGES, times=None)
    runs.process_payments(workers=1)
    emulator.weather.clear()
    runs.process_payments(workers=1)
    with later(minutes=11):
        reconcile.reconcile()
        runs.process_payments(workers=1)
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def due_minor(due: ObjectPaymentPlanInstalment) -> int:
    return int(due.amount * 100)


# -- looking before asking again -------------------------------------------------------------------------


def replace_card(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    """The payer gives another card for the plan."""
    checkout = Checkout.objects.create_checkout("card_refresh", plan, None)
    enter_card(emulator, checkout, "4000056655665556")
    assert fulfillment.fulfill(checkout).succeeded


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _, plan: ObjectPaymentPlan.objects.filter(pk=plan.pk).update(paused=True), id="paused"),
        pytest.param(lambda _, plan: ObjectPaymentPlan.objects.filter(pk=plan.pk).update(deleted=True), id="stopped"),
        pytest.param(replace_card, id="another card"),
        pytest.param(lambda _, plan: SavedCard.objects.update(gone=True), id="card gone"),
        pytest.param(lambda _, plan: plan.content_object.delete(), id="row gone"),
    ],
)
def test_a_charge_that_was_never_asked_for_is_not_begun_once_the_plan_no_longer_allows_it(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, membership: Membership, change: Any
) -> None:
    held = charging.claim(due)  # and then the process was killed
    change(emulator, due.object_payment_plan)
    with later(minutes=11):
        assert reconcile.reconcile() == reconcile.Reconciled(settled=1)
    held.refresh_from_db()
    assert (settled(due), held.state_id, held.superseded) == (states.PENDING, states.FAIL, True)
    assert (taken(emulator), Membership.objects.filter(failures__gt=0).exists()) == (0, False)


@pytest.mark.parametrize("change", ["paused", "another card"])
def test_what_was_taken_is_settled_whatever_the_plan_allows_by_now(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, change: str
) -> None:
    lose(emulator, faults.LostAfter())
    if change == "paused":
        ObjectPaymentPlan.objects.update(paused=True)
    else:
        replace_card(emulator, due.object_payment_plan)
    with later(minutes=11):
        assert reconcile.reconcile().settled == 1
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def test_a_released_line_is_taken_from_the_card_that_the_payer_gave_since(
    emulator: Emulator, due: ObjectPaymentPlanInstalment
) -> None:
    lose(emulator, faults.LostBefore())
    replace_card(emulator, due.object_payment_plan)
    with later(minutes=11):
        reconcile.reconcile()
        runs.process_payments(workers=1)
    paid = Checkout.objects.for_content_object(due).success().get()
    assert gateway().retrieve_payment_method(paid.payment_method_id).card.last4 == "5556"
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def test_a_killed_claim_is_asked_for_once_while_the_plan_allows_it(
    emulator: Emulator, due: ObjectPaymentPlanInstalment
) -> None:
    charging.claim(due)
    with later(minutes=11):
        assert reconcile.reconcile().settled == 1
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def test_a_clock_that_was_ahead_at_the_claim_charges_nothing_twice(
    emulator: Emulator, due: ObjectPaymentPlanInstalment
) -> None:
    """By our row the key is still trusted; Stripe has forgotten it."""
    checkout = lose(emulator, faults.LostAfter())
    now = clock.now()
    Checkout.objects.filter(pk=checkout.pk).update(claimed_at=now + timedelta(hours=4, minutes=30), lease_until=now)
    with later(hours=24.2):
        assert reconcile.reconcile().settled == 1
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def test_whoever_slept_past_its_lease_does_not_ask_any_more(
    emulator: Emulator, due: ObjectPaymentPlanInstalment
) -> None:
    """Somebody has looked meanwhile, found nothing, and may have freed the debt: another attempt may take it."""
    held = charging.claim(due)
    asked = charging.request_for(held)
    with later(minutes=11):
        ObjectPaymentPlan.objects.update(paused=True)
        reconcile.reconcile()
        answer = charging.ask(asked)
    assert isinstance(answer, OutcomeUnknown)
    assert taken(emulator) == 0


def test_a_call_that_might_outlast_its_lease_is_not_made(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, settings: Any
) -> None:
    """It could arrive after somebody has looked and found nothing."""
    settings.CHECKOUT_STRIPE_TIMEOUT = (5, 20)
    asked = charging.request_for(charging.claim(due))
    with later(minutes=9, hours=1 / 90):  # 9 min 40 s
        assert isinstance(charging.ask(asked), OutcomeUnknown)
    with later(minutes=9):
        assert charging.ask(asked).succeeded
    assert taken(emulator) == due_minor(due)


def test_a_refusal_is_not_believed_when_the_first_request_has_arrived_since_the_look(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, monkeypatch: Any
) -> None:
    charging.claim(due)
    ask = charging.ask

    def meanwhile(request: Any) -> Any:
        assert ask(request).succeeded, "whoever claimed it asks at last"
        emulator.weather.add(faults.Status(400), path=CHARGES)
        return ask(request)

    monkeypatch.setattr(charging, "ask", meanwhile)
    with later(minutes=11):
        assert reconcile.reconcile().settled == 1
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def test_of_two_reconcilers_one_gets_the_lease(emulator: Emulator, due: ObjectPaymentPlanInstalment) -> None:
    held = charging.claim(due)
    one, other = (Checkout.objects.get(pk=held.pk) for _reconciler in range(2))
    with later(minutes=11):
        assert reconcile._renew_lease(one)
        assert not reconcile._renew_lease(other)


def test_staff_charging_a_request_for_money_is_begun_only_while_an_agreement_covers_it(
    emulator: Emulator, due: ObjectPaymentPlanInstalment
) -> None:
    card = due.object_payment_plan.card
    Agreement.objects.create(kind=Agreement.Kind.PAPER, saved_card=card, other_amounts=True, text="any amount")
    asked_for = requests.create(email=card.customer.email, name="A Member", description="Fee", total=Decimal(5))
    held = charging.claim(asked_for)
    SavedCard.objects.update(gone=True)
    with later(minutes=11):
        assert reconcile.reconcile().settled == 1
    held.refresh_from_db()
    assert (held.state_id, held.superseded, taken(emulator)) == (states.FAIL, True, 0)


# -- the branches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: type(fault).__name__ + str(getattr(fault, "after", "")))
def test_while_the_key_is_trusted_the_same_request_is_sent_again(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, fault: Any
) -> None:
    checkout = lose(emulator, fault)
    assert reconcile.reconcile() == reconcile.Reconciled(), "the lease has not run out"
    for minutes in (11, 23, 35):
        with later(minutes=minutes):
            reconcile.reconcile()
    with later(hours=25):
        # Stripe replays a 500 for as long as it keeps the key; after that the intent is looked for.
        reconcile.reconcile()
        runs.process_payments(workers=1)
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))
    sent = [one for one in emulator.requests if one.headers.get("idempotency-key") == str(checkout.uuid)]
    assert len({one.form for one in sent}) == 1, "the same to the letter"


def test_a_500_that_stripe_repeats_does_not_hide_the_payment_for_a_day(
    emulator: Emulator, due: ObjectPaymentPlanInstalment
) -> None:
    lose(emulator, faults.Status(500, after=True))
    with later(minutes=11):
        assert reconcile.reconcile().settled == 1
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def test_an_intent_that_is_known_is_read(emulator: Emulator, due: ObjectPaymentPlanInstalment) -> None:
    checkout = lose(emulator, faults.LostAfter())
    charge = emulator.ledger.charges(metadata={"checkout": str(checkout.uuid)})[0]
    Checkout.objects.filter(pk=checkout.pk).update(payment_intent_id=charge["payment_intent"])
    before = len(emulator.requests)
    with later(minutes=11):
        assert reconcile.reconcile().settled == 1
    assert [one.method for one in list(emulator.requests)[before:]] == ["GET"]
    assert settled(due) == states.SUCCESS


@pytest.mark.parametrize("hours", [20.5, 25, 24 * 40])
def test_past_the_life_of_the_key_the_intent_is_searched_for_and_found(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, hours: float
) -> None:
    lose(emulator, faults.LostAfter())
    before = len(emulator.requests)
    with later(hours=hours):
        assert reconcile.reconcile().settled == 1
    assert {one.method for one in list(emulator.requests)[before:]} == {"GET"}, "nothing is sent again"
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


def test_proven_absent_is_due_again(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, membership: Membership
) -> None:
    checkout = lose(emulator, faults.LostBefore())
    with later(hours=25):
        assert reconcile.reconcile().settled == 1
        checkout.refresh_from_db()
        membership.refresh_from_db()
        assert (settled(due), checkout.state_id, checkout.superseded) == (states.PENDING, states.FAIL, True)
        assert membership.failures == 0
        assert PaymentRunItem.objects.get(checkout=checkout).outcome == "skipped"
        runs.process_payments(workers=1)
    assert (settled(due), taken(emulator)) == (states.SUCCESS, due_minor(due))


@pytest.mark.parametrize(("fault", "state"), [(faults.LostAfter(), "success"), (faults.LostBefore(), "pending")])
@pytest.mark.parametrize("hours", [1, 25])
def test_a_customer_that_was_deleted_meanwhile(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, fault: Any, state: str, hours: float
) -> None:
    lose(emulator, fault)
    customer = Customer.objects.get()
    headers = {"Authorization": "Bearer sk_test_emulator"}
    assert emulator.handle("DELETE", f"/v1/customers/{customer.newest_card.stripe_customer_id}", headers).status == 200
    with later(hours=hours):
        reconcile.reconcile()
    if hours == 1 and state == "pending":
        # Asked again within the key's life, Stripe refuses: the card is gone. That is an answer, and staff see why.
        state = "fail"
        assert "new card" in Checkout.objects.latest("pk").failure
    assert settled(due) == state
    assert taken(emulator) == (due_minor(due) if state == "success" else 0)


def test_an_intent_that_was_made_and_never_confirmed_is_cancelled(
    emulator: Emulator, due: ObjectPaymentPlanInstalment
) -> None:
    checkout = lose(emulator, faults.LostBefore())
    made = emulator.handle(
        "POST",
        "/v1/payment_intents",
        {"Authorization": "Bearer sk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"},
        (
            f"amount={due_minor(due)}&currency=gbp&customer={checkout.stripe_customer_id}"
            f"&payment_method={checkout.payment_method_id}&metadata[checkout]={checkout.uuid}"
        ).encode(),
    )
    assert made.json()["status"] == "requires_confirmation", made.body
    with later(hours=25):
        assert reconcile.reconcile().settled == 1
    assert gateway().retrieve_payment_intent(made.json()["id"]).canceled
    assert (settled(due), taken(emulator)) == (states.FAIL, 0)


@pytest.mark.parametrize(
    ("number", "outcome"), [("4000000000000341", "declined"), ("4000002760003184", "pay_on_session")]
)
def test_a_lost_refusal_is_found_and_the_run_says_so(
    emulator: Emulator, save_plan: SavePlan, number: str, outcome: str
) -> None:
    plan = save_plan()
    SavedCard.objects.update(payment_method_id=attach(emulator, plan.card.stripe_customer_id, number))
    make_due(plan)
    checkout = lose(emulator, faults.LostAfter())
    with later(minutes=11):
        assert reconcile.reconcile().settled == 1
    assert PaymentRunItem.objects.get(checkout=checkout).outcome == outcome
    assert taken(emulator) == 0


def attach(emulator: Emulator, customer_id: str, number: str) -> str:
    """Save another card at Stripe behind our back."""
    intent = gateway().create_setup_intent(
        customer_id=customer_id, description="", metadata={}, idempotency_key=f"attach-{number}"
    )
    emulator.pay(intent.client_secret, number)
    return gateway().retrieve_setup_intent(intent.id).payment_method_id


def test_one_that_cannot_be_read_does_not_stop_the_others(
    emulator: Emulator, save_plan: SavePlan, monkeypatch: Any
) -> None:
    plans = [save_plan(email=f"{number}@example.com") for number in range(3)]
    for plan in plans:
        make_due(plan)
    emulator.weather.add(faults.LostAfter(), path=CHARGES, times=3)
    runs.process_payments(workers=1)
    bad = Checkout.objects.filter(state="request").earliest("pk").pk
    settle = settling.settle

    def broken(pk: int, *args: Any) -> Checkout:
        if pk == bad:
            raise RuntimeError("something nobody thought of")
        return settle(pk, *args)

    monkeypatch.setattr(settling, "settle", broken)
    with later(minutes=11):
        counts = reconcile.reconcile()
    assert (counts.settled, counts.errors) == (2, 1)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_reconcilers_never_share_an_attempt(emulator: Emulator, save_plan: SavePlan) -> None:
    for number in range(6):
        make_due(save_plan(email=f"{number}@example.com"))
    emulator.weather.add(faults.LostAfter(), path=CHARGES, times=6)
    runs.process_payments(workers=1)
    Checkout.objects.filter(state="request").update(lease_until=clock.now() - timedelta(minutes=1))
    before = len(emulator.requests)

    def work(_number: int) -> int:
        try:
            return reconcile.reconcile().settled
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(3))) == 6
    assert len(emulator.requests) - before == 6
    assert not Checkout.objects.filter(state="request").exists()


def test_the_command_counts_and_its_exit_code_tells(
    emulator: Emulator, due: ObjectPaymentPlanInstalment, capsys: Any
) -> None:
    lose(emulator, faults.LostAfter())
    emulator.weather.add(faults.LostBefore())
    with later(minutes=11), pytest.raises(CommandError, match="Not everything is known yet"):
        call_command("reconcile")
    assert capsys.readouterr().out.splitlines()[-1] == "settled 0, waiting 1, errors 0"
    with later(minutes=22):
        call_command("reconcile")
    out = capsys.readouterr().out.splitlines()
    # The look back of the first command has found and settled it already.
    assert out[-1] == "settled 0, waiting 0, errors 0"
    assert Checkout.objects.latest("pk").succeeded
    assert ScheduledJob.objects.get(name="reconcile").last_succeeded_at is not None


def test_a_refused_key_is_an_error_and_changes_nothing(emulator: Emulator, due: ObjectPaymentPlanInstalment) -> None:
    checkout = lose(emulator, faults.LostAfter())
    Checkout.objects.filter(pk=checkout.pk).update(payment_intent_id="pi_any")
    emulator.weather.add(faults.Status(401), times=None)
    with later(minutes=11):
        reconcile.reconcile()
    checkout.refresh_from_db()
    assert checkout.state_id == states.REQUEST


@pytest.mark.parametrize("job", ["reconcile", "settle_refunds"])
def test_a_job_that_could_not_ask_stripe_says_so_in_a_sentence(emulator: Emulator, job: str) -> None:
    """Cron mails what a job prints: not a traceback."""
    emulator.weather.add(faults.LostBefore(), path=r"GET /v1/", times=None)
    with pytest.raises(CommandError, match="Stripe could not be asked; the next run goes on there"):
        call_command(job)

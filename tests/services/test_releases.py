"""What a run may take: nothing that a second person has to release first, nothing above a ceiling, nothing once a
person has stopped runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from post_office.models import Email

from checkout import clock, errors, states
from checkout.models import (
    Checkout,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentRun,
    PaymentRunItem,
    Problem,
    RunDay,
    RunRelease,
)
from checkout.services import booking, debts, dry_runs, fan_out, releases, runs
from stripe_emulator import Emulator
from tests.kept import kept
from tests.services.conftest import SavePlan, make_due

pytestmark = pytest.mark.django_db
Out = pytest.CaptureFixture[str]
Person = Callable[[str], Any]
EACH = Decimal("26.66")


@pytest.fixture
def person(django_user_model: Any) -> Person:
    return lambda name: django_user_model.objects.get_or_create(username=name)[0]


@pytest.fixture
def due(emulator: Emulator, save_plan: SavePlan) -> list[ObjectPaymentPlanInstalment]:
    """Three instalments of three payers, £26.66 each."""
    return kept("due", lambda: [make_due(save_plan(email=f"{number}@example.com"))[0] for number in range(3)], emulator)


def taken(emulator: Emulator, deposits: int = 3) -> int:
    return emulator.ledger.taken_minor() - deposits * 2000


def counts() -> dict[str, int]:
    return runs.counts(runs.process_payments(workers=1))


def released(person: Person, day: Any = None) -> RunRelease:
    asked = dry_runs.ask_for_release(day or clock.today(), "GBP", person("ann"))
    return releases.release(asked, person("bob"))


# -- release -------------------------------------------------------------------------------------------------


def test_without_the_settings_nothing_waits(emulator: Emulator, due: Any) -> None:
    assert counts() == {"charged": 3}
    assert not RunDay.objects.exists()


def test_what_nobody_released_waits_and_staff_are_told_once(
    emulator: Emulator, due: Any, person: Person, settings: Any, capsys: Out
) -> None:
    settings.CHECKOUT_RUN_RELEASE = True
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    for _again in range(2):
        with pytest.raises(CommandError, match="3 wait for a release by a second person"):
            call_command("process_payments")
    assert "waiting 3" in capsys.readouterr().out
    assert taken(emulator) == 0
    problem = Problem.objects.get(kind="run_waits", closed_at=None)
    assert (problem.amount, problem.currency) == (3 * EACH, "GBP")
    assert Email.objects.filter(subject__contains="wait for a release").count() == 1
    assert {item.note for item in PaymentRunItem.objects.all()} == {releases.WAITS}
    made = released(person)
    assert (made.count, made.total, made.state) == (3, 3 * EACH, "released")
    assert not Problem.objects.filter(kind="run_waits", closed_at=None).exists()
    assert counts() == {"charged": 3}
    assert taken(emulator) == 3 * 2666


def test_who_asked_cannot_release(due: Any, person: Person, settings: Any) -> None:
    settings.CHECKOUT_RUN_RELEASE = True
    asked = dry_runs.ask_for_release(clock.today(), "GBP", person("ann"))
    with pytest.raises(errors.CheckoutError, match="yourself"):
        releases.release(asked, person("ann"))
    with pytest.raises(IntegrityError), transaction.atomic():
        RunRelease.objects.filter(pk=asked.pk).update(state="released", decided_by=person("ann"))
    assert counts() == {"waiting": 3}
    releases.turn_down(asked, person("ann"), "wrong day")
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
    with pytest.raises(errors.CheckoutError, match="decided"):
        releases.release(asked, person("bob"))


def test_a_release_is_for_what_was_shown(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment], save_plan: SavePlan, person: Person, settings: Any
) -> None:
    """What becomes due besides, and what has become more, waits again."""
    settings.CHECKOUT_RUN_RELEASE = True
    released(person)
    make_due(save_plan(email="late@example.com"))
    debt = debts.of(due[0], due[0].amount, "GBP")
    with transaction.atomic():
        booking.post(debt, "fee", Decimal(5), cause="late fee", day=clock.today())
    assert counts() == {"charged": 2, "waiting": 2}
    assert taken(emulator, 4) == 2 * 2666
    released(person)
    assert counts() == {"charged": 2}
    assert taken(emulator, 4) == 4 * 2666 + 500


def test_a_release_holds_for_its_day_and_the_day_after(due: Any, person: Person, settings: Any) -> None:
    settings.CHECKOUT_RUN_RELEASE = True
    row = released(person)
    RunRelease.objects.filter(pk=row.pk).update(day=clock.today() - timedelta(days=2))
    assert counts() == {"waiting": 3}
    RunRelease.objects.filter(pk=row.pk).update(day=clock.today() + timedelta(days=1))
    assert counts() == {"waiting": 3}
    RunRelease.objects.filter(pk=row.pk).update(day=clock.today() - timedelta(days=1))
    assert counts() == {"charged": 3}


@pytest.mark.parametrize(("days", "problem"), [(1, ""), (2, "Its day is over. Ask for a new release.")])
def test_a_release_can_be_given_while_it_would_hold(due: Any, person: Person, days: int, problem: str) -> None:
    asked = dry_runs.ask_for_release(clock.today(), "GBP", person("asks"))
    RunRelease.objects.filter(pk=asked.pk).update(day=clock.today() - timedelta(days=days))
    asked.refresh_from_db()
    assert releases.why_not(asked, person("gives")) == problem


def test_asking_anew_withdraws_what_waited(due: Any, person: Person) -> None:
    first = dry_runs.ask_for_release(clock.today(), "GBP", person("ann"))
    second = dry_runs.ask_for_release(clock.today(), "GBP", person("bob"))
    first.refresh_from_db()
    assert (first.state, second.state) == ("withdrawn", "waiting")
    with pytest.raises(errors.CheckoutError, match="nothing"):
        dry_runs.ask_for_release(clock.today(), "EUR", person("ann"))


# -- the ceiling ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ceiling", "outcome"), [("79.98", "charged"), ("79.97", "waiting")])
def test_a_run_up_to_the_ceiling_goes_and_one_above_waits(
    emulator: Emulator, due: Any, settings: Any, ceiling: str, outcome: str
) -> None:
    settings.CHECKOUT_RUN_CEILING = {"GBP": Decimal(ceiling)}
    assert counts() == {outcome: 3}
    assert taken(emulator) == (3 * 2666 if outcome == "charged" else 0)


def test_two_runs_of_one_day_are_one_to_the_ceiling(
    emulator: Emulator, due: Any, save_plan: SavePlan, person: Person, settings: Any
) -> None:
    settings.CHECKOUT_RUN_CEILING = {"GBP": Decimal(110), "EUR": 1}
    assert counts() == {"charged": 3}
    # One of them alone would fit; what is shown to a second person is all of it.
    for email in ("late@example.com", "latest@example.com"):
        make_due(save_plan(email=email))
    assert counts() == {"waiting": 2}
    released(person)
    assert counts() == {"charged": 2}
    # What was released has used up the day as well.
    make_due(save_plan(email="later@example.com"))
    assert counts() == {"waiting": 1}
    assert RunDay.objects.get(currency="GBP").claimed == 5 * EACH


def test_a_limit_is_no_way_around_the_ceiling(emulator: Emulator, due: Any, settings: Any) -> None:
    settings.CHECKOUT_RUN_CEILING = {"GBP": Decimal(60)}
    for _again in range(3):
        assert runs.counts(runs.process_payments(workers=1, limit=1)) == {"waiting": 3}
    assert taken(emulator) == 0


def test_a_ceiling_that_is_reached_by_somebody_else_meanwhile_holds(
    emulator: Emulator, due: Any, settings: Any, monkeypatch: Any
) -> None:
    settings.CHECKOUT_RUN_CEILING = {"GBP": Decimal(80)}
    real = releases.gate

    def meanwhile(*given: Any) -> releases.Gate:
        found = real(*given)
        RunDay.objects.update_or_create(day=clock.today(), currency="GBP", defaults={"claimed": Decimal(50)})
        return found

    monkeypatch.setattr(releases, "gate", meanwhile)
    assert counts() == {"charged": 1, "waiting": 2}
    assert taken(emulator) == 2666
    assert Problem.objects.filter(kind="run_waits", closed_at=None).exists()


# -- the brake ------------------------------------------------------------------------------------------------


def test_the_brake_in_mid_flight(emulator: Emulator, due: Any, person: Person, monkeypatch: Any, capsys: Out) -> None:
    """What is asked is settled, nothing new is claimed, no run begins; the next one takes the rest, nothing twice."""
    real = runs.Run._settle_all

    def pull(*given: Any) -> Any:
        if releases.stopped_run() is None:
            releases.stop(person("ann"), "wrong amounts")
        return real(*given)

    monkeypatch.setattr(runs.Run, "_settle_all", pull)
    monkeypatch.setattr(runs, "BATCH", 1)
    with pytest.raises(CommandError, match="A person stopped it"):
        call_command("process_payments", workers=1)
    run = PaymentRun.objects.get()
    assert run.finished_at is not None
    assert "stopped by ann: wrong amounts" in run.note
    done = Checkout.objects.filter(action="charge", state=states.SUCCESS, on_session=False).count() - 3
    assert 0 < done < 3
    assert not Checkout.objects.filter(state=states.REQUEST).exists()
    assert taken(emulator) == done * 2666
    with pytest.raises(CommandError, match="stopped by ann"):
        call_command("process_payments")
    with pytest.raises(errors.RunStopped):
        fan_out.plan()
    call_command("process_payments", dry_run=True)
    assert "was stopped, so nothing is taken" in capsys.readouterr().out
    releases.go_on(person("bob"))
    assert counts() == {"charged": 3 - done}
    assert taken(emulator) == 3 * 2666


def test_a_run_that_many_workers_share_is_stopped_and_another_one_takes_the_rest(
    emulator: Emulator, due: Any, person: Person, settings: Any
) -> None:
    settings.CHECKOUT_CHUNK = 1
    run, chunks = fan_out.plan()
    fan_out.charge(chunks[0])
    releases.stop(person("ann"), "wrong amounts")
    for chunk in chunks[1:]:
        fan_out.charge(chunk)
    assert runs.counts(run) == {"charged": 1, "skipped": 2}
    run.refresh_from_db()
    assert run.finished_at is not None
    releases.go_on(person("ann"))
    again, chunks = fan_out.plan()
    for chunk in chunks:
        fan_out.charge(chunk)
    assert runs.counts(again) == {"charged": 2}
    assert taken(emulator) == 3 * 2666


def test_there_is_nothing_to_stop_and_nothing_to_let_go(person: Person) -> None:
    with pytest.raises(errors.CheckoutError, match="under way"):
        releases.stop(person("ann"), "x")
    with pytest.raises(errors.CheckoutError, match="stopped"):
        releases.go_on(person("ann"))


def test_chunks_take_only_what_was_released(
    emulator: Emulator, due: Any, person: Person, settings: Any, save_plan: SavePlan
) -> None:
    settings.CHECKOUT_RUN_RELEASE = True
    released(person)
    make_due(save_plan(email="late@example.com"))
    run, chunks = fan_out.plan()
    for chunk in chunks:
        fan_out.charge(chunk)
    assert runs.counts(run) == {"charged": 3, "waiting": 1}
    assert taken(emulator, 4) == 3 * 2666


# -- what is shown before ---------------------------------------------------------------------------------------


def test_the_dry_run_and_what_a_release_shows_are_what_the_run_takes(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment], person: Person, settings: Any, capsys: Out
) -> None:
    settings.CHECKOUT_RUN_RELEASE = True
    ObjectPaymentPlan.objects.filter(pk=due[2].object_payment_plan_id).update(paused=True)
    call_command("process_payments", dry_run=True)
    assert (
        "Would charge 0: nothing. 0 of them likely to fail. 2 would wait for a release: £53.32."
        in capsys.readouterr().out
    )
    shown = {
        line.instalment.pk: line
        for line in dry_runs.describe(dry_runs.lines(clock.today()), releases.Gate(clock.today(), None))
    }
    assert "paused" in shown[due[2].pk].refusal
    assert [shown[row.pk].waits for row in due] == [True, True, False]
    asked = dry_runs.ask_for_release(clock.today(), "GBP", person("ann"))
    assert {line.instalment_id for line in asked.lines.all()} == {due[0].pk, due[1].pk}
    releases.release(asked, person("bob"))
    call_command("process_payments", dry_run=True)
    assert "Would charge 2: £53.32." in capsys.readouterr().out
    assert counts() == {"charged": 2}


def test_a_card_that_runs_out_before_the_day_is_pointed_out(due: list[ObjectPaymentPlanInstalment]) -> None:
    day = clock.today() + timedelta(days=20)
    card = due[0].object_payment_plan.card
    assert card is not None
    card.expiry_date = day - timedelta(days=1)
    card.save()
    lines = dry_runs.describe(dry_runs.lines(day), dry_runs.gate(day))
    warned = {line.instalment.pk: line.warning for line in lines}
    assert warned[due[0].pk] == "The card has expired."
    assert warned[due[1].pk] == ""

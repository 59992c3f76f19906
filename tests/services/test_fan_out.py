"""A run that many workers share adds up, whatever happens to the messages between them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection

from checkout import clock, states, tasks
from checkout.models import ObjectPaymentPlanInstalment, PaymentRun, PaymentRunItem, ScheduledJob
from checkout.services import fan_out, reconcile, runs, tallies
from checkout.services.pace import Pace, SharedPace, site_pace
from stripe_emulator import Emulator, faults
from tests.kept import kept
from tests.services.conftest import SavePlan, make_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def due(emulator: Emulator, save_plan: SavePlan) -> list[ObjectPaymentPlanInstalment]:
    """Seven instalments of seven payers that are due."""
    return kept("due", lambda: [make_due(save_plan(email=f"{number}@example.com"))[0] for number in range(7)], emulator)


@pytest.fixture(autouse=True)
def _small_chunks(settings: Any) -> None:
    settings.CHECKOUT_CHUNK = 3


def taken(emulator: Emulator) -> int:
    return emulator.ledger.taken_minor() - 7 * 2000


def outcomes(run: PaymentRun) -> dict[str, int]:
    return runs.counts(run)


def test_one_run_over_all_chunks_ends_when_the_last_is_done(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment]
) -> None:
    run, chunks = fan_out.plan()
    assert [chunk.last - chunk.first + 1 for chunk in chunks] == [3, 3, 1]
    assert outcomes(run) == {"planned": 7}
    assert fan_out.charge(chunks[2]).finished_at is None
    assert fan_out.charge(chunks[0]).finished_at is None
    assert fan_out.charge(chunks[1]).finished_at is not None
    assert outcomes(run) == {"charged": 7}
    assert taken(emulator) == 7 * 2666


def test_a_run_ends_although_a_line_was_moved_to_another_day_after_it_was_planned(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment]
) -> None:
    run, chunks = fan_out.plan()
    ObjectPaymentPlanInstalment.objects.filter(pk=due[0].pk).update(due=clock.today() + timedelta(days=9))
    for chunk in chunks:
        run = fan_out.charge(chunk)
    assert run.finished_at is not None
    assert outcomes(run) == {"charged": 6, "skipped": 1}


def test_the_task_does_it_all(emulator: Emulator, due: list[ObjectPaymentPlanInstalment]) -> None:
    assert tasks.process_payments.delay().get() == 3
    run = PaymentRun.objects.get()
    assert (outcomes(run), run.finished_at is not None) == ({"charged": 7}, True)
    assert taken(emulator) == 7 * 2666
    assert ScheduledJob.objects.get(name="process_payments").last_succeeded_at is not None
    assert tasks.process_payments.delay().get() == 0
    assert PaymentRun.objects.latest("pk").finished_at is not None


def test_a_chunk_that_comes_twice_charges_once(emulator: Emulator, due: list[ObjectPaymentPlanInstalment]) -> None:
    run, chunks = fan_out.plan()
    for chunk in [*chunks, *chunks]:
        fan_out.charge(chunk)
    assert outcomes(run) == {"charged": 7}
    assert taken(emulator) == 7 * 2666


def test_a_run_whose_messages_were_lost_is_gone_on_with(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment]
) -> None:
    run, chunks = fan_out.plan()
    fan_out.charge(chunks[1])
    again, left = fan_out.plan()
    assert (again.pk, len(left)) == (run.pk, 2)
    for chunk in left:
        fan_out.charge(chunk)
    run.refresh_from_db()
    assert (outcomes(run), run.finished_at is not None) == ({"charged": 7}, True)


def test_reconcile_hands_out_again_what_nobody_took(emulator: Emulator, due: list[ObjectPaymentPlanInstalment]) -> None:
    run, chunks = fan_out.plan()
    fan_out.charge(chunks[1])
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        tasks.reconcile_requests.delay().get()
    run.refresh_from_db()
    assert (outcomes(run), run.finished_at is not None) == ({"charged": 7}, True)
    assert taken(emulator) == 7 * 2666


def test_nothing_is_handed_out_again_while_the_run_goes_on_or_a_person_stopped_it(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment]
) -> None:
    run, chunks = fan_out.plan()
    begun = run.started_at
    assert fan_out.left_over() == [], "it has only just begun"
    with time_machine.travel(begun + timedelta(minutes=11), tick=False):
        assert fan_out.left_over() == chunks
        fan_out.charge(chunks[0])
        assert fan_out.left_over() == [], "a worker is at it"
    with time_machine.travel(begun + timedelta(minutes=22), tick=False):
        assert fan_out.left_over() == chunks[1:]
        stopped = PaymentRun.objects.filter(pk=run.pk)
        stopped.update(stopped_at=clock.now(), stopped_why="Look at this first.")
        assert fan_out.left_over() == []
        stopped.update(resumed_at=clock.now())
        assert fan_out.left_over() == chunks[1:]
    with time_machine.travel(begun + timedelta(days=1)):
        assert fan_out.left_over() == [], "the next run takes it, and what has become due since"


def test_the_next_days_run_takes_what_the_last_one_left_and_what_is_due_since(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment]
) -> None:
    cut_short, chunks = fan_out.plan()
    fan_out.charge(chunks[1])
    with time_machine.travel(clock.now() + timedelta(days=1)):
        make_due(due[0].object_payment_plan)
        run, left = fan_out.plan()
        assert run.pk != cut_short.pk
        # A message of yesterday's that comes late finds nothing to do.
        for chunk in [*chunks, *left]:
            fan_out.charge(chunk)
    cut_short.refresh_from_db()
    run.refresh_from_db()
    assert (outcomes(cut_short), cut_short.finished_at is not None) == ({"charged": 3, "skipped": 4}, True)
    assert (outcomes(run), run.finished_at is not None) == ({"charged": 5}, True)
    assert taken(emulator) == 8 * 2666 + 1


def test_what_was_paid_or_stopped_meanwhile_is_skipped_and_says_so(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment]
) -> None:
    run, chunks = fan_out.plan()
    due[0].object_payment_plan.delete_plan()
    ObjectPaymentPlanInstalment.objects.filter(pk=due[1].pk).update(state=states.SUCCESS)
    for chunk in chunks:
        fan_out.charge(chunk)
    run.refresh_from_db()
    assert (outcomes(run), run.finished_at is not None) == ({"charged": 5, "skipped": 2}, True)


def test_a_refused_key_ends_the_whole_run(emulator: Emulator, due: list[ObjectPaymentPlanInstalment]) -> None:
    run, chunks = fan_out.plan()
    emulator.weather.add(faults.Status(401), times=None)
    fan_out.charge(chunks[0])
    emulator.weather.clear()
    for chunk in chunks[1:]:
        fan_out.charge(chunk)
    run.refresh_from_db()
    assert run.finished_at is not None
    assert "STRIPE_SECRET_KEY" in run.note
    assert taken(emulator) == 0
    assert runs.due_instalments().count() == 7, "due again as soon as the key is right"


def test_a_worker_that_dies_between_claim_and_answer(
    emulator: Emulator, due: list[ObjectPaymentPlanInstalment], monkeypatch: Any
) -> None:
    run, chunks = fan_out.plan()

    def die(*args: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(runs.Run, "_settle_all", die)
        with pytest.raises(SystemExit):
            fan_out.charge(chunks[0])
    for chunk in chunks:
        fan_out.charge(chunk)
    run.refresh_from_db()
    assert (outcomes(run), run.finished_at) == ({"charged": 4, "claimed": 3}, None)
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        reconcile.reconcile()
    run.refresh_from_db()
    assert (outcomes(run), run.finished_at is not None) == ({"charged": 7}, True)
    assert taken(emulator) == 7 * 2666


def test_a_run_that_was_killed_before_it_claimed_anything_is_closed(db: None) -> None:
    run = PaymentRun.objects.create()
    tallies.follow_up()
    run.refresh_from_db()
    assert run.finished_at is None
    with time_machine.travel(clock.now() + timedelta(minutes=11)):
        tallies.follow_up()
    run.refresh_from_db()
    assert run.finished_at is not None


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_chunks_at_the_same_time_and_each_twice(emulator: Emulator, due: list[ObjectPaymentPlanInstalment]) -> None:
    run, chunks = fan_out.plan()

    def work(chunk: fan_out.Chunk) -> None:
        try:
            fan_out.charge(chunk)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [*chunks, *chunks]))
    # A chunk whose twin was just charging it may have left the end of the run to the other.
    tallies.follow_up([run.pk])
    run.refresh_from_db()
    assert (outcomes(run), run.finished_at is not None) == ({"charged": 7}, True)
    assert taken(emulator) == 7 * 2666
    assert PaymentRunItem.objects.count() == 7


# -- the pace --------------------------------------------------------------------------------------------


def test_without_redis_every_process_keeps_the_pace_for_itself(settings: Any) -> None:
    assert isinstance(site_pace(), Pace)
    settings.CHECKOUT_RATE_LIMIT_REDIS = "redis://127.0.0.1:1/0"
    shared = site_pace()
    assert isinstance(shared, SharedPace)
    shared.wait()
    shared.slow_down()
    shared.went_well()


@pytest.mark.redis
def test_all_workers_together_keep_one_pace(settings: Any) -> None:
    import os
    import time

    settings.CHECKOUT_RATE_LIMIT_REDIS = os.environ["REDIS_URL"]
    settings.CHECKOUT_RATE_LIMIT = 200
    workers = [site_pace() for _ in range(4)]
    for worker in workers:
        worker.wait()
    begun, count = time.monotonic(), 0
    lock = threading.Lock()

    def work(worker: Any) -> None:
        nonlocal count
        for _ in range(25):
            worker.wait()
            with lock:
                count += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, workers))
    seconds = time.monotonic() - begun
    assert count == 100
    assert seconds > 0.4, "200 a second over all of them, not each"
    workers[0].slow_down()
    begun = time.monotonic()
    for _ in range(10):
        workers[1].wait()
    assert time.monotonic() - begun > 0.07, "one is told, all are slower"


# -- the tasks ----------------------------------------------------------------------------------------


def test_every_task_is_late_to_acknowledge_and_has_a_limit() -> None:
    from example_checkout.celery import app

    app.loader.import_default_modules()
    ours = [task for name, task in app.tasks.items() if name.startswith("checkout.")]
    assert len(ours) >= 12
    for task in ours:
        assert task.acks_late, task.name
        assert task.reject_on_worker_lost, task.name
        assert task.soft_time_limit < task.time_limit <= 600, task.name

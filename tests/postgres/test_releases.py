"""Two who release at once, a brake while batches are claimed, two runs below one ceiling."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from checkout import clock, errors, states
from checkout.models import Checkout, ObjectPaymentPlanInstalment, PaymentRun, RunDay, RunRelease
from checkout.services import dry_runs, moves, releases, runs
from stripe_emulator import Emulator
from tests.postgres.conftest import FillDue, in_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def person(name: str) -> Any:
    return get_user_model().objects.create_user(name)


def test_of_two_who_release_at_once_one_decides(emulator: Emulator, fill_due: FillDue, settings: Any) -> None:
    settings.CHECKOUT_RUN_RELEASE = True
    fill_due(4)
    asked = dry_runs.ask_for_release(clock.today(), "GBP", person("ann"))
    together = threading.Barrier(2)

    def press(user: Any) -> bool:
        together.wait(10)
        try:
            releases.release(asked, user)
        except errors.CheckoutError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        pressed = [pool.submit(in_thread(lambda user=user: press(user))) for user in (person("bob"), person("cy"))]
        assert sorted(each.result() for each in pressed) == [False, True]
    assert RunRelease.objects.get().state == "released"
    assert runs.counts(runs.process_payments(workers=2)) == {"charged": 4}
    assert emulator.ledger.taken_minor() == 4000


def test_after_the_brake_nothing_is_claimed(
    emulator: Emulator, fill_due: FillDue, settings: Any, monkeypatch: Any
) -> None:
    """It waits for a batch that is being claimed, and what is claimed by then is asked and settled."""
    settings.CHECKOUT_RATE_LIMIT = 10_000
    due = fill_due(60)
    claiming, pulled = threading.Event(), threading.Event()
    real = moves.move_many

    def slowly(*given: Any, **more: Any) -> Any:
        if not claiming.is_set():
            claiming.set()
            # The brake is pulled now; its UPDATE waits for this claim.
            assert not pulled.wait(1)
        return real(*given, **more)

    monkeypatch.setattr(moves, "move_many", slowly)

    def pull() -> int:
        assert claiming.wait(30)
        releases.stop(None, "wrong amounts")
        pulled.set()
        return Checkout.objects.exclude(claimed_at=None).count()

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(in_thread(lambda: runs.process_payments(workers=2))) for _ in range(2)]
        when_pulled = pool.submit(in_thread(pull)).result()
        for run in running:
            run.exception()
    claimed = Checkout.objects.exclude(claimed_at=None).count()
    assert 0 < claimed == when_pulled < len(due)
    assert not Checkout.objects.filter(state=states.REQUEST).exists()
    assert emulator.ledger.taken_minor() == claimed * 1000
    releases.go_on(None)
    runs.process_payments(workers=2)
    assert emulator.ledger.taken_minor() == len(due) * 1000
    assert PaymentRun.objects.filter(finished_at=None).count() == 0


def test_runs_that_race_stay_below_one_ceiling(
    emulator: Emulator, fill_due: FillDue, settings: Any, monkeypatch: Any
) -> None:
    settings.CHECKOUT_RATE_LIMIT = 10_000
    settings.CHECKOUT_RUN_CEILING = {"GBP": Decimal(200)}
    due = fill_due(40)
    # Each looked when there was room: as if what is due had grown since.
    monkeypatch.setattr(releases, "gate", lambda *given: releases.Gate(clock.today()))
    with ThreadPoolExecutor(4) as pool:
        for run in [pool.submit(in_thread(lambda: runs.process_payments(workers=1))) for _ in range(4)]:
            run.result()
    assert RunDay.objects.get().claimed == 200
    assert emulator.ledger.taken_minor() == 20_000
    left = ObjectPaymentPlanInstalment.objects.filter(pk__in=[row.pk for row in due], state=states.PENDING)
    assert left.count() == 20

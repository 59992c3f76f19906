"""`--state`: whatever was answered is there again after a kill, and nothing is told twice as new."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from stripe_emulator import Clock, Emulator, faults
from stripe_emulator.journal import Journal

from .helpers import START, Bench, bench
from .test_server import start, wait_until

KILLS = int(os.environ.get("EMULATOR_KILLS", "3"))


def killed(shop: Bench, path: Path) -> Bench:
    """What is there after the process is gone without a word: the files alone."""
    again = bench(seed=99)
    Journal(again.emulator, path)
    return again


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.fixture
def shop(path: Path) -> Bench:
    made = bench()
    Journal(made.emulator, path)
    return made


def test_everything_that_can_happen_is_there_again_after_a_kill(shop: Bench, path: Path) -> None:
    emulator, v1 = shop.emulator, shop.v1
    emulator.webhooks.add("http://127.0.0.1:1/", "whsec_x")
    gone = v1.webhook_endpoints.create({"url": "http://127.0.0.1:2/", "enabled_events": ["*"]}).id
    customer, method = shop.saved("pm_card_createDispute")
    paid = shop.charge(customer, method, key="attempt-1")
    emulator.clock.advance(minutes=1)
    dispute = v1.disputes.list().data[0].id
    v1.disputes.update(dispute, {"evidence": {"uncategorized_text": "winning_evidence"}})
    emulator.bank.decline_next(method, times=2)
    with contextlib.suppress(Exception):
        shop.charge(customer, method, key="attempt-2")
    waiting = v1.setup_intents.create({"customer": shop.customer()})
    emulator.pay(waiting.client_secret, "4000002760003184", authenticate=None)
    v1.customers.delete(shop.customer())
    v1.webhook_endpoints.delete(gone)
    first, second, *_ = emulator.webhooks.due()
    emulator.webhooks.record(first, 200)
    emulator.webhooks.record(second, None)
    before = emulator.snapshot()

    after = killed(shop, path).emulator.snapshot()

    for state in (before, after):
        state["world"]["counts"].pop("req")
        state["world"]["due"].sort()
        state["webhooks"]["waiting"].sort(key=lambda one: one["number"])
        state["webhooks"].pop("count")
        state["world"].pop("job_count")
    assert after == before
    again = killed(shop, path)
    assert again.charge(customer, method, key="attempt-1").id == paid.id
    again.emulator.clock.advance(minutes=1)
    assert again.v1.disputes.retrieve(dispute).status == "won"
    assert again.emulator.complete_challenge(waiting.id)["status"] == "succeeded"


def test_a_webhook_that_was_not_answered_is_sent_after_the_kill(shop: Bench, path: Path) -> None:
    shop.emulator.webhooks.add("http://127.0.0.1:1/", "whsec_x")
    for name in ("told", "under way"):
        shop.customer(name=name)
    told, under_way = shop.emulator.webhooks.due()
    shop.emulator.webhooks.record(told, 200)
    assert [delivery.event_id for delivery in killed(shop, path).emulator.webhooks.due()] == [under_way.event_id]


def test_a_torn_last_line_is_of_a_request_that_was_never_answered(shop: Bench, path: Path) -> None:
    customer = shop.customer(name="Ada")
    shop.customer(name="Bea")
    journal = path.with_name("state.json.journal")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert [row.id for row in killed(shop, path).v1.customers.list().data] == [customer]


@pytest.mark.parametrize("other", ["snapshot", "nothing"])
def test_a_journal_without_its_snapshot_is_not_mixed_into_another(shop: Bench, path: Path, other: str) -> None:
    shop.customer(name="Ada")
    if other == "nothing":
        path.unlink()
    else:
        path.write_text(json.dumps(bench().emulator.snapshot()))
    assert killed(shop, path).v1.customers.list().data == []


@pytest.mark.parametrize("deed", ["reset", "restore"])
def test_what_was_forgotten_stays_forgotten(shop: Bench, path: Path, deed: str) -> None:
    saved = shop.emulator.snapshot()
    shop.customer(name="Ada")
    shop.emulator.reset() if deed == "reset" else shop.emulator.restore(saved)
    bea = shop.customer(name="Bea")
    assert [row.id for row in killed(shop, path).v1.customers.list().data] == [bea]


def test_after_a_stop_the_snapshot_is_alone(path: Path) -> None:
    emulator = Emulator(clock=Clock(START, frozen=True))
    journal = Journal(emulator, path)
    assert emulator.handle("POST", "/v1/customers", {"Authorization": "Bearer sk_test_x"}).status == 200
    journal.close()
    assert [one.name for one in path.parent.iterdir()] == ["state.json"]
    assert json.loads(path.read_bytes()) == emulator.snapshot()


def test_reading_writes_nothing(shop: Bench, path: Path) -> None:
    shop.customer()
    journal = path.with_name("state.json.journal")
    size = journal.stat().st_size
    for _ in range(3):
        shop.v1.customers.list()
    assert journal.stat().st_size == size


def test_a_lost_reply_is_kept_under_its_key(shop: Bench, path: Path) -> None:
    headers = {"Authorization": "Bearer sk_test_x", "Idempotency-Key": "k"}
    shop.emulator.fail(1, faults.LostAfter())
    assert shop.emulator.handle("POST", "/v1/customers", headers).lost
    again = killed(shop, path).emulator.handle("POST", "/v1/customers", headers)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_nothing_that_was_answered_is_lost_by_a_kill_under_load(tmp_path: Path) -> None:
    """`EMULATOR_KILLS=100` says it a hundred times."""
    rng = random.Random(5)
    pay = {"amount": 900, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": "true"}
    pay["allowed_payment_method_types[0]"] = "card"
    answered: list[tuple[str, str]] = []
    for kill in range(KILLS):
        if kill % 10 == 0:
            answered.clear()  # a fresh file now and then, or most of the time goes into reading a long one
        state = tmp_path / f"{kill // 10}.json"
        process, base = start("--state", str(state))
        threads = [threading.Thread(target=_work, args=(base, pay, answered)) for _ in range(3)]
        for thread in threads:
            thread.start()
        enough = len(answered) + 5
        wait_until(lambda enough=enough: len(answered) >= enough)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        for thread in threads:
            thread.join(10)
        again = Emulator()
        Journal(again, state)
        lost = [one for one in answered if not _is_there(again, *one)]
        assert lost == [], f"after kill {kill + 1}"


def _work(base: str, pay: dict[str, Any], answered: list[tuple[str, str]]) -> None:
    """Pay, and make customers, until the line breaks."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=10)
    headers = {"Authorization": "Bearer sk_test_x", "Content-Type": "application/x-www-form-urlencoded"}
    with contextlib.suppress(OSError, http.client.HTTPException):
        while True:
            for path, form in (("/v1/payment_intents", pay), ("/v1/customers", {"name": "Ada"})):
                connection.request("POST", path, urlencode(form), headers)
                row = json.loads(connection.getresponse().read())
                answered.append((f"{path}/{row['id']}", row.get("status", "")))


def _is_there(emulator: Emulator, path: str, status: str) -> bool:
    answer = emulator.handle("GET", path, {"Authorization": "Bearer sk_test_x"})
    return answer.status == 200 and answer.json().get("status", "") == status

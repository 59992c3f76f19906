"""Every flow, every call to Stripe in it, every weather: the documented jobs heal it, without a person.

The rows are made by walking each flow once in fair weather; a verb of the gateway that no flow uses turns a test in
`test_crashes` red. The suite proves a part of the table, another one for each flow, and that each flow comes to its
end; `make proof` proves all of it, or one cell of PART.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from stripe_emulator import faults
from tests.proof import sizes
from tests.proof.flows import FLOWS, Flow
from tests.proof.shop import Shop

pytestmark = pytest.mark.django_db

#: At one call. An answer slower than the time-out is one that never came, though the work was done.
WEATHERS: Final[dict[str, faults.Fault]] = {
    "lost before": faults.LostBefore(),
    "lost after, or slower than the time-out": faults.LostAfter(),
    "500 before": faults.Status(500),
    "500 after": faults.Status(500, after=True),
    "429": faults.Status(429),
    "429 lock_timeout": faults.LockTimeout(),
    "409": faults.KeyInUse(),
    "cut in the middle": faults.CutBody(),
    "a proxy's page before": faults.HtmlBody(),
    "a proxy's page after": faults.HtmlBody(after=True),
    "sent twice by the network": faults.Duplicate(),
}
#: Of the webhooks of the whole flow.
POSTS: Final = ("doubled", "late", "swapped", "never")

#: Where `make proof` has the sizes written.
SIZES: Final = os.environ.get("PROOF", "")
#: Of so many cells one is proved: always the same one in the suite.
PART: Final = int(os.environ.get("PROOF_PART", "144"))
POST_PART: Final = max(1, PART // 4)
BY_NAME: Final = {flow.name: flow for flow in FLOWS}


@contextmanager
def shop() -> Iterator[Shop]:
    made = Shop()
    try:
        yield made
    finally:
        made.close()


def walked(flow: Flow) -> int:
    """How many calls it makes in fair weather. Where no cell of it is proved now, it is followed to its end there."""
    with shop() as it:
        flow.before(it)
        with it.weather(None, 0):
            flow.walk(it)
        calls = it.walked
        if SIZES or not any(cells(flow, calls)):
            # Each flow comes to its end at least once.
            it.heal()
            assert flow.done(it), f"{flow.name} does not come to its end even in fair weather"
            it.must_hold()
        return calls


def prove(flow: Flow, fault: faults.Fault | None, strike_at: int, post: str = "") -> None:
    with shop() as it:
        flow.before(it)
        knobs = it.emulator.webhooks.weather
        knobs.duplicate, knobs.swap = float(post == "doubled"), float(post == "swapped")
        knobs.delay, it.post_is_lost = 2 * 3600 if post == "late" else 0, post == "never"
        with it.weather(fault, strike_at):
            flow.walk(it)
        it.heal()
        it.must_hold()
        if flow.person and not flow.done(it):
            flow.walk(it)
            it.heal()
            it.must_hold()
        assert flow.done(it), f"{flow.name} has not come to its end"


def cells(flow: Flow, calls: int) -> Iterator[tuple[str, int]]:
    """Those that are to be proved now."""
    for call in range(1, calls + 1):
        for name in WEATHERS:
            if zlib.crc32(f"{flow.name}/{call}/{name}".encode()) % PART == 0:
                yield name, call


@pytest.mark.parametrize("name", BY_NAME)
def test_a_flow_heals_whatever_the_weather_at_each_of_its_calls(name: str) -> None:
    flow = BY_NAME[name]
    calls = walked(flow)
    assert calls, "a flow that asks Stripe nothing proves nothing"
    proved = 0
    for weather, call in cells(flow, calls):
        try:
            prove(flow, WEATHERS[weather], call)
        except AssertionError as problem:
            raise AssertionError(f"{name}, call {call}, {weather}: {problem}") from problem
        proved += 1
    if SIZES:
        sizes.note(SIZES, name, calls, proved)


@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_flow_heals_however_its_webhooks_come(name: str, post: str) -> None:
    if zlib.crc32(f"{name}/{post}".encode()) % POST_PART == 0:
        prove(BY_NAME[name], None, 0, post)
        if SIZES:
            sizes.note(SIZES, name, 0, 1)


def test_the_sizes_of_what_was_proved_add_up(tmp_path: Path) -> None:
    path = str(tmp_path / "sizes")
    for row in (("refund", 1, 11), ("refund", 0, 4), ("one-off", 3, 33)):
        sizes.note(path, *row)
    lines = [line.split() for line in sizes.table(Path(path).read_text()).splitlines()]
    assert lines == [
        ["flow", "calls", "cells"],
        ["one-off", "3", "33"],
        ["refund", "1", "15"],
        ["2", "flows", "4", "48"],
    ]

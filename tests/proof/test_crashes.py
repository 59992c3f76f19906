"""Every flow, killed at every point: started again, the documented jobs bring it to the end that it would have had.

A process that ends after one point and before the next is the same to everybody outside it, so it is killed once
between two of them, and once before the first and after the last. The points are those that a walk in fair weather
meets (`tests.proof.points`). The suite kills some flows at some points; `make crashes` all at all.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from tests.proof import crashes, databases, sizes
from tests.proof.flows import FLOWS
from tests.proof.office_flows import OFFICE
from tests.proof.points import Points, blocks, watched
from tests.proof.shop import VERBS, Shop

#: Where `make crashes`, which kills at all points, has the sizes written.
SIZES: Final = os.environ.get("CRASHES", "")
BY_NAME: Final = {flow.name: flow for flow in (*FLOWS, *OFFICE)}
#: The suite kills these, at one of so many points.
SHORT: Final = ("one-off", "plan: card and deposit", "instalment", "refund")
PART: Final = 7

#: Transactions that no flow enters, and why nothing hangs on where a process ends in them.
ELSEWHERE: Final = {
    "services/by_hand.py": "money by other means that is undone: one commit, after open pages were ended",
    "services/books_differences.py": "notes of staff about a difference: one commit, and nothing is asked of anybody",
    "services/plans.py": "a stop that is undone, because the deposit was paid while it was being stopped: a race",
    "services/refund_settling.py": "a hook of the site that raised, run again: the books have what it is about",
}


#: What a flow does again and again, day by day, is met so often.
OFTEN: Final = 2


def instants(points: tuple[str, ...]) -> list[int]:
    """At which points to kill, by their number: they come in pairs, before something and after it."""
    seen: Counter[str] = Counter()
    numbers = []
    for number, name in enumerate(points, 1):
        seen[name] += 1
        if name.startswith("before") and seen[name] <= OFTEN:
            numbers.append(number)
    return [*numbers, len(points)]


def chosen(name: str, numbers: list[int]) -> Iterator[int]:
    for number in numbers:
        if SIZES or zlib.crc32(f"{name}/{number}".encode()) % PART == 0:
            yield number


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", BY_NAME if SIZES else SHORT)
def test_a_flow_that_is_killed_at_any_point_comes_to_the_same_end(name: str) -> None:
    flow = BY_NAME[name]
    with databases.copied("flow"):
        shop = crashes.DurableShop()
        try:
            flow.before(shop)
            fair = crashes.lived(shop, flow)
            assert fair.points, "a flow that commits nothing proves nothing"
            numbers = list(chosen(name, instants(fair.points)))
            problems = []
            for number in numbers:
                try:
                    end = crashes.lived(shop, flow, number)
                    assert end.books == fair.books, "the books are not what they would have been"
                except AssertionError as problem:
                    problems.append(f"killed at point {number}, {fair.points[number - 1]}: {problem}")
            assert not problems, "\n\n".join(problems)
        finally:
            shop.close()
    if SIZES:
        sizes.note(SIZES, name, len(fair.points), len(numbers))


@pytest.mark.django_db
def test_every_transaction_and_every_verb_has_its_points() -> None:
    """A commit, or a call to Stripe, that no flow comes by has no point at which anything was killed."""
    points, verbs = Points(), set[str]()
    for flow in BY_NAME.values():
        shop = Shop()
        try:
            with watched(points):
                flow.before(shop)
                with shop.weather(None):
                    flow.walk(shop)
            verbs |= shop.verbs
        finally:
            shop.close()
    begun = blocks()
    left = {at for at, lines in begun.items() if not any((at[0], line) in points.entered for line in lines)}
    assert {f"{file}:{line}" for file, line in left if file not in ELSEWHERE} == set()
    assert {file for file, _line in left} == ELSEWHERE.keys(), "what is explained is so still"
    assert VERBS - verbs == set()

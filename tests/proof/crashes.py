"""A flow in a process of its own that is killed at a point, and what the jobs that start afterwards make of it."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from django.db import connections
from django.test import override_settings

from checkout.models import Letter, ObjectPaymentPlanInstalment, Paper, Posting, Problem
from stripe_emulator.transport import make_transport
from tests.host.models import Membership
from tests.proof import databases
from tests.proof.flows import Flow
from tests.proof.points import Points, watched
from tests.proof.remote import AtStripe, Clock, Line, Remote, serve
from tests.proof.shop import Shop

#: What stands in memory, the emulator too, goes on in the copies of a process; the database is copied beside it.
FORK: Final = multiprocessing.get_context("fork")


class DurableShop(Shop):
    """Its commits are real ones."""

    def heal(self, hours: tuple[int, ...] = (1, 25)) -> None:
        super().heal(hours)

    def begin(self) -> None:
        """Nothing is rolled back at the end: the database is thrown away."""

    def end(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class End:
    """How a flow has ended: the points that it met, and what stands in the books."""

    points: tuple[str, ...]
    books: dict[str, Any]


def books(shop: Shop) -> dict[str, Any]:
    """What has to be the same however often the process was killed on the way."""
    return {
        "postings": sorted(map(str, Posting.objects.values_list("kind", "amount"))),
        "lines": list(ObjectPaymentPlanInstalment.objects.order_by("count", "amount").values_list("state", flat=True)),
        # Which of two letters tells of a thing may hang on when it was told.
        "letters": Counter(Letter.objects.values_list("kind", flat=True)),
        "not written": Letter.objects.filter(outcome=Letter.Outcome.WAITING).count(),
        "papers": Paper.objects.count(),
        "problems": sorted(Problem.objects.filter(closed_at=None).values_list("kind", flat=True)),
        "hooks": sorted(Membership.objects.values_list("successes", flat=True)),
    }


def _walks(shop: Shop, flow: Flow, pipe: Connection, points: Points) -> None:
    """In the process that is killed."""
    line = Line(pipe)
    shop.emulator, shop.clock = Remote(line, ("emulator",)), Clock(shop.clock, line)  # type: ignore[assignment]
    at_stripe: Any = AtStripe(line, points)
    with override_settings(CHECKOUT_STRIPE_HTTP_CLIENT=lambda: make_transport(at_stripe)), watched(points):
        flow.walk(shop)
    pipe.send(("ended", tuple(points.met)))


def _lives(shop: Shop, flow: Flow, kill_at: int) -> End:
    """In the process that keeps the emulator, and starts the jobs afterwards."""
    ours, theirs = FORK.Pipe()
    connections.close_all()
    walker = FORK.Process(target=_walks, args=(shop, flow, theirs, Points(kill_at)))
    walker.start()
    theirs.close()
    try:
        met = serve(ours, {"emulator": shop.emulator, "clock": shop.clock})
        walker.join()
    finally:
        walker.kill()
    if kill_at:
        assert walker.exitcode == -signal.SIGKILL, f"it was to be killed, and ended with {walker.exitcode}"
    else:
        assert walker.exitcode == 0, f"it ended with {walker.exitcode} though nobody killed it"
    shop.heal()
    shop.must_hold()
    if flow.person and not flow.done(shop):
        # They saw no answer, and press again.
        flow.walk(shop)
        shop.heal()
        shop.must_hold()
    for _more in range(3):
        if not flow.done(shop):
            shop.heal()
    assert flow.done(shop), "it has not come to its end"
    # What the last jobs asked for.
    shop.later(60, "send_letters")
    return End(met or (), books(shop))


def _reports(pipe: Connection, work: Callable[[], End]) -> None:
    try:
        pipe.send((work(), ""))
    except BaseException:  # noqa: BLE001 - the parent raises it
        pipe.send((None, traceback.format_exc()))


def lived(shop: Shop, flow: Flow, kill_at: int = 0) -> End:
    """The flow from here, in a copy of the database; killed at that point, or not at all.

    Raises AssertionError, with the traceback of the other process, when something that must hold does not.
    """
    with databases.copied("cell"):
        ours, theirs = FORK.Pipe()
        keeper = FORK.Process(target=_reports, args=(theirs, lambda: _lives(shop, flow, kill_at)))
        connections.close_all()
        keeper.start()
        theirs.close()
        try:
            end, problem = ours.recv()
        except EOFError:
            end, problem = None, "the process that keeps the emulator ended without a word"
        keeper.join()
    assert not problem, problem
    assert isinstance(end, End)
    return end

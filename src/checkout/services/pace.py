"""How fast Stripe is asked: a steady pace that slows down when Stripe says so, and picks up again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Lets `per_second` callers through each second, evenly, over all threads of this process.

    Stripe's live limit is 100 requests a second (https://docs.stripe.com/rate-limits); above it every call is refused.
    """

    #: After a refusal the pace is halved, but not below this.
    SLOWEST = 1.0
    #: Every undisturbed call wins back this share of the full pace.
    RECOVERY = 0.02

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._full = self._current = float(per_second)
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._lock = threading.Lock()

    @property
    def per_second(self) -> float:
        return self._current

    def wait(self) -> None:
        """Return when it is this caller's turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + 1 / self._current
        if turn > now:
            self._sleep(turn - now)

    def slow_down(self) -> None:
        """Stripe was too busy: half the pace from here."""
        with self._lock:
            self._current = max(self._current / 2, self.SLOWEST)
            self._next = max(self._next, self._clock() + 1 / self._current)

    def went_well(self) -> None:
        with self._lock:
            self._current = min(self._current + self._full * self.RECOVERY, self._full)

"""How fast Stripe is asked: a steady pace that slows down when Stripe says so, and picks up again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from checkout.conf import conf

logger = logging.getLogger("checkout.pace")


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


#: One slot per call, over every process that shares the Redis: take the next free one, answer the milliseconds until
#: it comes. The server's own clock is used, since those of many machines differ. After "too busy" a slower rate stands
#: in a second key for a while, for everybody.
_TAKE_A_SLOT: Final = """
local now = redis.call('TIME')
local at = now[1] * 1000 + now[2] / 1000
local rate = tonumber(redis.call('GET', KEYS[2]) or ARGV[1])
local turn = math.max(at, tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%.3f', turn + 1000 / rate), 'PX', 60000)
return math.floor(turn - at)
"""
_SLOW_DOWN: Final = """
local rate = tonumber(redis.call('GET', KEYS[1]) or ARGV[1]) / 2
redis.call('SET', KEYS[1], math.max(rate, tonumber(ARGV[2])), 'PX', ARGV[3])
"""


class SharedPace:
    """The same promise as `Pace`, kept over all processes and machines that share one Redis.

    Without the Redis each process keeps the pace for itself, which is faster than agreed but never stands still: Stripe
    then says "too busy", and that slows each of them down.
    """

    #: How long everybody is slower after Stripe was too busy.
    SLOW_FOR: Final = 5.0
    _KEYS: Final = ("checkout:pace:next", "checkout:pace:rate")

    def __init__(self, per_second: float, client: Any) -> None:
        from redis import RedisError

        self._full = float(per_second)
        self._trouble = RedisError
        self._take = client.register_script(_TAKE_A_SLOT)
        self._slow = client.register_script(_SLOW_DOWN)
        self._alone = Pace(per_second)

    def wait(self) -> None:
        """Return when it is this caller's turn."""
        try:
            milliseconds = self._take(keys=self._KEYS, args=[self._full])
        except self._trouble:
            logger.warning("the shared pace cannot be kept: Redis does not answer", exc_info=True)
            self._alone.wait()
            return
        if milliseconds > 0:
            time.sleep(milliseconds / 1000)

    def slow_down(self) -> None:
        """Stripe was too busy: half the pace, for everybody, for a while."""
        try:
            self._slow(keys=self._KEYS[1:], args=[self._full, Pace.SLOWEST, int(self.SLOW_FOR * 1000)])
        except self._trouble:
            self._alone.slow_down()

    def went_well(self) -> None:
        self._alone.went_well()


def site_pace() -> Pace | SharedPace:
    """The pace of CHECKOUT_RATE_LIMIT, shared by all workers when CHECKOUT_RATE_LIMIT_REDIS names a Redis."""
    if not conf.CHECKOUT_RATE_LIMIT_REDIS:
        return Pace(conf.CHECKOUT_RATE_LIMIT)
    import redis

    client = redis.Redis.from_url(conf.CHECKOUT_RATE_LIMIT_REDIS, socket_timeout=2, socket_connect_timeout=2)
    return SharedPace(conf.CHECKOUT_RATE_LIMIT, client)

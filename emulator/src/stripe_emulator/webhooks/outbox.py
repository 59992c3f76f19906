"""Webhooks: who is to be told of which event, and when (https://docs.stripe.com/webhooks).

Nothing here opens a connection: a server, or `deliver` in a test, sends what `due` returns and says how it went.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stripe_emulator.core import versions
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import compact
from stripe_emulator.resources.webhook_endpoints import make_endpoint

if TYPE_CHECKING:
    from stripe_emulator.engine import Emulator

ROLL_HOURS = 24
MOST_WAITING = 50_000
"""Deliveries that may wait for one endpoint; of more, the oldest are given up, as after three days of tries."""
_MINUTE, _HOUR = 60.0, 3600.0


def signature(body: bytes, secrets: Iterable[str], timestamp: int) -> str:
    """The Stripe-Signature header: one v1 for each secret (https://docs.stripe.com/webhooks/signature)."""
    text = f"{timestamp}.".encode() + body
    signed = [hmac.new(secret.encode(), text, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in signed)])


@dataclass(slots=True)
class WebhookWeather:
    """How badly deliveries go. Each is a chance from 0 to 1 (True is always), `delay` is in seconds of the clock."""

    duplicate: float = 0.0
    """The same event is sent twice."""
    double_event: float = 0.0
    """One change makes two events with different ids."""
    delay: float = 0.0
    swap: float = 0.0
    """The event that comes next overtakes this one."""
    drop: float = 0.0
    """Never sent; it stays in GET /v1/events with delivery_success=false."""
    old_signature: float = 0.0
    """Signed ten minutes ago: outside the tolerance."""
    wrong_secret: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST to be sent."""

    url: str
    body: bytes
    headers: dict[str, str]
    event_id: str
    attempt: int
    event_type: str = ""
    endpoint: str = ""


@dataclass(slots=True)
class Waiting:
    due: float
    number: float
    event: str
    endpoint: str
    attempt: int = 1
    counted: bool = field(default=True)
    """Whether the event's `pending_webhooks` counts it (a duplicate is not counted twice)."""

    def to_json(self) -> JSON:
        names = ("due", "number", "event", "endpoint", "attempt", "counted")
        return {name: getattr(self, name) for name in names}


class Lane:
    """What one endpoint still has to be told, so that one that is slow or dead costs the others nothing."""

    __slots__ = ("_later", "_ready", "out")

    def __init__(self) -> None:
        self._later: list[tuple[float, float, Waiting]] = []
        self._ready: list[tuple[float, float, Waiting]] = []
        self.out = 0
        """How many were handed out and have not been answered yet."""

    def add(self, waiting: Waiting) -> Waiting | None:
        """Line it up. Returns the one that has to go because there are too many, if one has to."""
        heapq.heappush(self._later, (waiting.due, waiting.number, waiting))
        if len(self._later) + len(self._ready) <= MOST_WAITING:
            return None
        return heapq.heappop(self._ready or self._later)[2]

    def take(self, now: float, room: int | None) -> list[Waiting]:
        """What is due, in the order of its numbers, and no more than there is `room` for (None: all)."""
        while self._later and self._later[0][0] <= now:
            due, number, waiting = heapq.heappop(self._later)
            heapq.heappush(self._ready, (number, due, waiting))
        count = len(self._ready) if room is None else min(room, len(self._ready))
        return [heapq.heappop(self._ready)[2] for _ in range(count)]

    def __iter__(self) -> Iterator[Waiting]:
        return (waiting for _, _, waiting in (*self._ready, *self._later))

    def next_due(self) -> float | None:
        if self._ready:
            return min(due for _, due, _ in self._ready)
        return self._later[0][0] if self._later else None


class Webhooks:
    """The endpoints and what they still have to be told."""

    def __init__(self, emulator: Emulator, seed: int) -> None:
        self._emulator = emulator
        self._random = random.Random(f"webhooks/{seed}")  # noqa: S311 - chance must be the same again  # nosec B311
        self._lanes: dict[str, Lane] = {}
        self._sent: dict[tuple[str, str, int], Waiting] = {}
        self._count = 0
        self.weather = WebhookWeather()
        self.retry_after: tuple[float, ...] = (
            _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 12 * _HOUR, 12 * _HOUR, 12 * _HOUR,
            12 * _HOUR,
        )  # fmt: skip
        """Seconds until each further try; together about three days, as in live mode."""
        self.log: deque[JSON] = deque(maxlen=500)
        """The newest attempts: at, url, event_id, type, attempt, status, again_at."""

    def reset(self, seed: int) -> None:
        """Forget what has to be sent, and fair weather again."""
        self._random = random.Random(f"webhooks/{seed}")  # noqa: S311 - chance must be the same again  # nosec B311
        self._lanes, self._sent, self._count = {}, {}, 0
        self.weather = WebhookWeather()
        self.log.clear()

    # -- endpoints -----------------------------------------------------------------------------------
    @property
    def endpoints(self) -> list[JSON]:
        with self._emulator.lock:
            return [dict(row) for row in self._emulator.world.tables["webhook_endpoint"].values()]

    def add(
        self, url: str, secret: str | None = None, events: Iterable[str] = ("*",), *, standing: bool = False
    ) -> JSON:
        """Make an endpoint; the answer holds its secret, as the API's does. A `standing` one outlives a reset.

        Raises ApiError for more than sixteen.
        """
        with self._emulator.lock:
            row = make_endpoint(self._emulator.world, url, list(events), secret=secret)
            if standing:
                self._emulator.world.hide(row["id"])["standing"] = True
            return row

    def standing(self) -> list[JSON]:
        """The endpoints that outlive a reset, with the secret that signs for them."""
        hidden = self._emulator.world.hidden
        return [
            {**row, "secret": self.secrets(row["id"])[0]} for row in self.endpoints if hidden[row["id"]].get("standing")
        ]

    def secrets(self, endpoint_id: str) -> list[str]:
        """The secrets that deliveries are signed with now: the newest, and a rolled one that is still valid."""
        world = self._emulator.world
        known = world.hidden[endpoint_id]["secrets"]
        return [s["secret"] for s in known if s["until"] is None or s["until"] > world.now()]

    def roll(self, endpoint_id: str, secret: str, hours: float = ROLL_HOURS) -> None:
        """Give the endpoint a new secret; the old one signs too for so many hours."""
        world = self._emulator.world
        with self._emulator.lock:
            kept = world.hide(endpoint_id)["secrets"]
            for old in kept:
                old["until"] = old["until"] or world.now() + hours * _HOUR
            kept.insert(0, {"secret": secret, "until": None})

    # -- events --------------------------------------------------------------------------------------
    def on_event(self, event: JSON) -> int:
        """Line up the deliveries of a new event; how many endpoints have to take it."""
        endpoints = [
            row for row in self._emulator.world.tables["webhook_endpoint"].values() if _wants(row, event["type"])
        ]
        for endpoint in endpoints:
            self._line_up(event, endpoint)
        if endpoints and self._chance(self.weather.double_event):
            twin = {**event, "id": self._emulator.world.ids.new("evt"), "pending_webhooks": len(endpoints)}
            self._emulator.world.add(twin)
            for endpoint in endpoints:
                self._line_up(twin, endpoint)
        return len(endpoints)

    def _chance(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance

    def _line_up(self, event: JSON, endpoint: JSON) -> None:
        if self._chance(self.weather.drop):
            return
        self._count += 1
        # Half a place behind the next one: it is overtaken by whatever is due together with it.
        number = self._count + (1.5 if self._chance(self.weather.swap) else 0.0)
        due = self._emulator.world.now() + self.weather.delay
        self._add(Waiting(due, number, event["id"], endpoint["id"]))
        if self._chance(self.weather.duplicate):
            self._add(Waiting(due, number + 0.1, event["id"], endpoint["id"], counted=False))

    def _add(self, waiting: Waiting) -> None:
        gone = self._lanes.setdefault(waiting.endpoint, Lane()).add(waiting)
        if self._emulator.changes is not None:
            self._emulator.changes.waiting.append(waiting.to_json())
        if gone is not None:
            self._forget(gone)

    def _forget(self, waiting: Waiting) -> None:
        """It need not be sent any more."""
        if self._emulator.changes is not None:
            self._emulator.changes.told.append(waiting.number)

    # -- sending -------------------------------------------------------------------------------------
    def due(self, at_once: int | None = None) -> list[Delivery]:
        """What has to be sent now, in order. Each is handed out once: say by `record` how it went.

        With `at_once` no endpoint gets more than so many before it has answered.
        """
        with self._emulator.lock:
            now = self._emulator.world.now()
            ready: list[Waiting] = []
            for lane in self._lanes.values():
                ready += lane.take(now, None if at_once is None else max(0, at_once - lane.out))
            ready.sort(key=lambda waiting: waiting.number)
            return [made for waiting in ready if (made := self._made(waiting)) is not None]

    def _made(self, waiting: Waiting) -> Delivery | None:
        world = self._emulator.world
        endpoint = world.tables["webhook_endpoint"].get(waiting.endpoint)
        event = world.tables["event"].get(waiting.event)
        if endpoint is None or event is None or endpoint["status"] != "enabled":
            self._forget(waiting)
            return None
        version = endpoint["api_version"]
        whole = world.archive.shown(event)
        rendered = {**whole, "api_version": version, "data": versions.render(version, whole["data"])}
        body = compact(rendered).encode()
        timestamp = world.timestamp() - (600 if self._chance(self.weather.old_signature) else 0)
        secrets = ["whsec_wrong"] if self._chance(self.weather.wrong_secret) else self.secrets(endpoint["id"])
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, secrets, timestamp),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        # Numbered apart, so that a duplicate in flight does not hide the first.
        key = (waiting.event, waiting.endpoint, waiting.attempt)
        if waiting.counted or key not in self._sent:
            self._sent[key] = waiting
        else:
            self._forget(waiting)
        self._lanes[endpoint["id"]].out += 1
        return Delivery(endpoint["url"], body, headers, event["id"], waiting.attempt, event["type"], endpoint["id"])

    def record(self, delivery: Delivery, status: int | None) -> None:
        """The endpoint answered with `status` (None: not at all). Anything but 2xx is tried again later."""
        with self._emulator.lock:
            world = self._emulator.world
            waiting = self._sent.pop((delivery.event_id, delivery.endpoint, delivery.attempt), None)
            lane = self._lanes.get(delivery.endpoint)
            if lane is not None:
                lane.out = max(0, lane.out - 1)
            if waiting is not None:
                self._forget(waiting)
            taken = status is not None and 200 <= status < 300
            again_at = None
            if waiting is not None and not taken and delivery.attempt <= len(self.retry_after):
                self._count += 1
                again_at = world.now() + self.retry_after[delivery.attempt - 1]
                self._add(
                    Waiting(
                        again_at, self._count, waiting.event, waiting.endpoint, waiting.attempt + 1, waiting.counted
                    )
                )
            event = world.tables["event"].get(delivery.event_id)
            if taken and waiting is not None and waiting.counted and event is not None:
                event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
                if self._emulator.changes is not None:
                    self._emulator.changes.pending[event["id"]] = event["pending_webhooks"]
            self.log.append(
                {
                    "at": world.now(),
                    "url": delivery.url,
                    "event_id": delivery.event_id,
                    "type": delivery.event_type,
                    "attempt": delivery.attempt,
                    "status": status,
                    "again_at": again_at,
                }
            )

    def deliver(self, send: Callable[[Delivery], int | None]) -> int:
        """Send all that is due through `send`, which returns the status of the answer; how many were sent.

        What the answers themselves set off is sent too, unless it is due later.
        """
        self._emulator.tick()
        count = 0
        while batch := self.due():
            for delivery in batch:
                self.record(delivery, send(delivery))
                count += 1
        return count

    def next_due(self) -> float | None:
        """The time (on the clock) of the next delivery, or None."""
        with self._emulator.lock:
            return min((at for lane in self._lanes.values() if (at := lane.next_due()) is not None), default=None)

    # -- snapshots -----------------------------------------------------------------------------------
    def to_json(self) -> JSON:
        waiting = [*(waiting for lane in self._lanes.values() for waiting in lane), *self._sent.values()]
        return {"count": self._count, "waiting": [one.to_json() for one in waiting]}

    def load(self, saved: JSON) -> None:
        waiting = [Waiting(**waiting) for waiting in saved["waiting"]]
        self._count, self._lanes, self._sent = saved["count"], {}, {}
        for one in waiting:
            self._lanes.setdefault(one.endpoint, Lane()).add(one)


def _wants(endpoint: JSON, kind: str) -> bool:
    events = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in events or kind in events)

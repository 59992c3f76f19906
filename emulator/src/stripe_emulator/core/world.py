"""Everything the emulator knows: objects, what is due later, and the events that tell of changes."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .archive import Archive
from .changes import Changes
from .clock import Clock
from .errors import missing
from .ids import Ids
from .sharing import share
from .tables import JSON, Table
from .versions import NEWEST

DAY = 86_400
EVENTS_KEPT_DAYS = 30
MOST_EVENTS = 200_000
"""More are not kept at once: the oldest tenth goes, younger than thirty days or not."""

# Which list requests filter on what. The order is that of the panel and of snapshots.
TABLES: dict[str, tuple[str, ...]] = {
    "customer": ("email",),
    "payment_method": ("customer",),
    "payment_intent": ("customer",),
    "setup_intent": ("customer", "payment_method"),
    "setup_attempt": ("setup_intent",),
    "charge": ("customer", "payment_intent"),
    "refund": ("charge", "payment_intent"),
    "dispute": ("charge", "payment_intent"),
    "balance_transaction": ("source",),
    "event": ("type",),
    "webhook_endpoint": (),
    "checkout.session": ("customer", "payment_intent"),
    "confirmation_token": (),
    "mandate": (),
    "payment_method_domain": ("domain_name",),
    "payment_method_configuration": (),
    "product": (),
    "price": ("lookup_key", "product"),
    "payment_link": (),
    "tax_id": ("customer",),
    "file": ("purpose",),
    "payout": (),
    "test_helpers.test_clock": (),
    "radar.early_fraud_warning": ("charge", "payment_intent"),
}


@dataclass(slots=True)
class Timings:
    """Seconds of the emulator's clock until Stripe's background work is done."""

    settle: float = 1.0
    fraud_warning: float = 1.0
    verdict: float = 3.0
    refund_reference: float = 5.0
    refund_pending: float = 10.0
    hold: float = 7 * DAY


_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def compact(value: Any) -> str:
    """JSON without spaces."""
    return _encoder.encode(value)


class World:
    """The state, and the few ways to change it that every resource shares. Not thread-safe: the engine locks."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self.ids = Ids(seed)
        self.timings = Timings()
        self.tables = {name: Table(*indexed) for name, indexed in TABLES.items()}
        # What no answer shows, by object id: a card's number, whether a method was used up, a queue of declines.
        self.hidden: dict[str, JSON] = {}
        self.archive = Archive()
        self.changes: Changes | None = None
        # Movements of the balance that are in no automatic payout yet.
        self.unpaid: dict[str, None] = {}
        self.cause: JSON | None = None
        self.on_event: Callable[[JSON], int] = lambda event: 0
        self.jobs: dict[str, Callable[[World, JSON], None]] = {}
        self.api_version = NEWEST
        """The account's own: of requests that send none, and of events."""
        self.public_url = "http://127.0.0.1:12111"
        self.bank_url = self.public_url
        """Where the bank's pages are: at Stripe they have a host of their own."""
        self._due: list[tuple[float, int, str, JSON]] = []
        self._job_count = 0
        self._at: float | None = None
        self._pruned = 0.0

    # -- time ----------------------------------------------------------------------------------------
    def now(self) -> float:
        """The time; while background work is done, the time at which it was due."""
        return self.clock.now() if self._at is None else self._at

    def timestamp(self) -> int:
        return int(self.now())

    def later(self, seconds: float, job: str, **about: Any) -> None:
        """Have the job of that name done when so many seconds have passed on the clock."""
        self._job_count += 1
        entry = (self.now() + seconds, self._job_count, job, about)
        heapq.heappush(self._due, entry)
        if self.changes is not None:
            self.changes.due[self._job_count] = list(entry)

    def run_due(self) -> int:
        """Do the background work whose time has come; how much that was."""
        done = 0
        now = self.clock.now()
        while self._due and self._due[0][0] <= now:
            at, number, job, about = heapq.heappop(self._due)
            if self.changes is not None:
                self.changes.done.append(number)
            cause, self.cause, self._at = self.cause, None, at
            try:
                self.jobs[job](self, about)
            finally:
                self.cause, self._at = cause, None
            done += 1
        if now - self._pruned > 600:
            self._pruned = now
            self.tables["event"].drop_before(now - EVENTS_KEPT_DAYS * DAY)
        return done

    @contextmanager
    def unasked(self) -> Iterator[None]:
        """What happens inside was asked for by no request, though one set it off: its events name none."""
        cause, self.cause = self.cause, None
        try:
            yield
        finally:
            self.cause = cause

    # -- objects -------------------------------------------------------------------------------------
    def add(self, row: JSON) -> JSON:
        self._touch(row["object"], row["id"])
        for name, value in row.items():
            row[name] = share(value)
        return self.tables[row["object"]].add(row)

    def remove(self, kind: str, object_id: str) -> None:
        self.tables[kind].remove(object_id)
        self._touch(kind, object_id)
        if self.hidden.pop(object_id, None) is not None and self.changes is not None:
            self.changes.hidden[object_id] = None

    def bury(self, row: JSON, kept: JSON) -> None:
        """Take an object out of every list; by its id, `kept` is all that can still be read."""
        table = self.tables[row["object"]]
        table.unlist(row)
        table.rows[row["id"]] = kept
        self._touch(row["object"], row["id"])

    def _touch(self, kind: str, object_id: str) -> None:
        if self.changes is not None:
            self.changes.rows[kind, object_id] = None

    def get(self, kind: str, object_id: str) -> JSON:
        """An object that is known to be there."""
        return self.tables[kind].rows[object_id]

    def find(self, kind: str, object_id: str, param: str, *, in_path: bool = False, name: str | None = None) -> JSON:
        """The object, or Stripe's refusal: 404 for an id of the path, 400 for one of a parameter."""
        row = self.tables[kind].get(object_id)
        if row is None:
            raise missing(name or kind, object_id[:200], param, in_path=in_path)
        return row

    def hide(self, object_id: str) -> JSON:
        """What no answer shows of that object, to be read or written."""
        if self.changes is not None:
            self.changes.hidden[object_id] = None
        return self.hidden.setdefault(object_id, {})

    def change(self, row: JSON, **changes: Any) -> JSON:
        """Write `changes` into `row` and its indexes; what was there before, for `previous_attributes`."""
        table = self.tables[row["object"]]
        before: JSON = {}
        for name, value in changes.items():
            old = row.get(name)
            if old == value:
                continue
            row[name] = share(value)
            self._touch(row["object"], row["id"])
            if name in table.indexed:
                table.reindex(row, name, old)
            before[name] = changed(old, value)
        return before

    # -- events --------------------------------------------------------------------------------------
    def emit(self, kind: str, obj: JSON, previous: JSON | None = None) -> JSON:
        """Record that something happened. The object is kept as it is at this moment, packed to save memory."""
        data: JSON = {"object": obj}
        if previous is not None:
            data["previous_attributes"] = previous
        event: JSON = {
            "id": self.ids.new("evt"),
            "object": "event",
            "api_version": self.api_version,
            "created": self.timestamp(),
            "data": self.archive.pack(kind, compact(data)),
            "livemode": False,
            "pending_webhooks": 0,
            "request": self.cause or {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self.add(event)
        if len(self.tables["event"]) > MOST_EVENTS:
            self.tables["event"].drop_oldest(MOST_EVENTS // 10)
        event["pending_webhooks"] = self.on_event(event)
        return event

    # -- snapshots -----------------------------------------------------------------------------------
    def to_json(self) -> JSON:
        return {
            "clock": self.clock.to_json(),
            "counts": dict(self.ids.counts),
            "seed": self.ids.seed,
            "tables": {name: self._plain(table.to_json()) for name, table in self.tables.items()},
            "hidden": self.hidden,
            "due": sorted(self._due),
            "job_count": self._job_count,
        }

    def _plain(self, table: JSON) -> JSON:
        rows = table["rows"]
        if rows and rows[0]["object"] == "event":
            return {**table, "rows": [self.archive.plain(row) for row in rows]}
        return table

    def load(self, saved: JSON) -> None:
        """Everything but the clock, which outlives a world."""
        for event in saved["tables"]["event"]["rows"]:
            event["data"] = self.archive.pack(event["type"], event["data"])
        self.ids = Ids(saved["seed"])
        self.ids.counts.update(saved["counts"])
        for name, table in self.tables.items():
            table.load(saved["tables"][name])
        self.hidden = saved["hidden"]
        rows = self.tables["balance_transaction"].rows
        self.unpaid = {name: None for name in rows if "payout" not in self.hidden.get(name, {})}
        self._due = [(at, number, job, about) for at, number, job, about in saved["due"]]
        self._job_count = saved["job_count"]


def changed(old: Any, new: Any) -> Any:
    """For `previous_attributes`: the old value; of a hash only what differs, with null for keys that were not there."""
    if not (isinstance(old, dict) and isinstance(new, dict)) or "id" in old:
        return old
    names = [*old, *(name for name in new if name not in old)]
    return {name: old.get(name) for name in names if old.get(name) != new.get(name)}

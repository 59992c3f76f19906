"""What can go wrong between a client and Stripe: set by `Emulator.weather` and `Emulator.fail`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Base of all faults."""


@dataclass(frozen=True, slots=True)
class LostBefore(Fault):
    """The connection breaks before Stripe does anything."""


@dataclass(frozen=True, slots=True)
class LostAfter(Fault):
    """Stripe does the work, and its answer never arrives."""


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """An answer with that status instead of the work, or, with `after`, instead of its true answer.

    With `after` the answer is remembered under the idempotency key, as Stripe remembers a 500 of a request that had
    begun; without, nothing had begun and nothing is remembered. `kept` says otherwise.
    """

    status: int = 500
    after: bool = False
    kept: bool | None = None


@dataclass(frozen=True, slots=True)
class LockTimeout(Fault):
    """429 `lock_timeout`: another request holds the object."""


@dataclass(frozen=True, slots=True)
class KeyInUse(Fault):
    """409 `idempotency_key_in_use`: the same key is in flight."""


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    """The answer takes so many seconds (of real time). The idempotency key is in flight meanwhile."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class CutBody(Fault):
    """The work is done; the connection breaks in the middle of the answer."""


@dataclass(frozen=True, slots=True)
class HtmlBody(Fault):
    """A proxy answers with a page of HTML; with `after`, the work was done all the same."""

    status: int = 502
    after: bool = False


@dataclass(frozen=True, slots=True)
class Duplicate(Fault):
    """The network sends the request twice; the client sees the second answer."""


ALL: dict[str, type[Fault]] = {
    "lost_before": LostBefore,
    "lost_after": LostAfter,
    "status": Status,
    "lock_timeout": LockTimeout,
    "key_in_use": KeyInUse,
    "slow": Slow,
    "cut_body": CutBody,
    "html_body": HtmlBody,
    "duplicate": Duplicate,
}
"""By the names that the panel and the HTTP interface use."""

"""What changed since it was last asked: kept only while somebody writes it down (`--state`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .tables import JSON


@dataclass(slots=True)
class Changes:
    """Names of what was touched, rather than its values: the last value is the one that counts."""

    rows: dict[tuple[str, str], None] = field(default_factory=dict)
    """Kind and id of each object that was made, changed or removed, in the order of the first touch."""
    hidden: dict[str, None] = field(default_factory=dict)
    due: dict[int, list[Any]] = field(default_factory=dict)
    """New background work by its number: time, number, job and what it is about."""
    done: list[int] = field(default_factory=list)
    keys: dict[str, JSON] = field(default_factory=dict)
    """Idempotency keys that have an answer now."""
    waiting: list[JSON] = field(default_factory=list)
    """New deliveries."""
    told: list[float] = field(default_factory=list)
    """Numbers of the deliveries that need not be sent any more."""
    pending: dict[str, int] = field(default_factory=dict)
    """`pending_webhooks` of events that an endpoint took."""
    whole: bool = False
    """Everything is another: a reset, or a snapshot that was restored."""

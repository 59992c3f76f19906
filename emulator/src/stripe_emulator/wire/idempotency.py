"""Idempotency keys (https://docs.stripe.com/api/idempotent_requests): kept for 24 hours of the emulator's clock."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from stripe_emulator.core.errors import ApiError, invalid

from .forms import Tree

KEPT_SECONDS = 24 * 3600
LONGEST = 255


@dataclass(slots=True)
class Entry:
    """What is known of a key: which request had it, and its answer once there is one."""

    path: str
    fingerprint: str
    at: float
    request_id: str
    status: int = 0
    body: str = ""

    @property
    def in_flight(self) -> bool:
        return self.status == 0


def fingerprint(method: str, path: str, tree: Tree) -> str:
    text = json.dumps([method, path, tree], sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def in_use() -> ApiError:
    return ApiError(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        "twice, and the other request is still going through). Please try again later.",
        code="idempotency_key_in_use",
        type="idempotency_error",
    )


class Keys:
    """The keys of the last 24 hours, oldest first."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, key: str, path: str, print_: str, now: float, request_id: str) -> Entry:
        """The key's entry: with the answer to be given again, or a new one, in flight from now on."""
        if len(key) > LONGEST:
            raise invalid(f"Idempotency keys may be at most {LONGEST} characters long; this one has {len(key)}.")
        self._prune(now)
        known = self._entries.get(key)
        if known is None:
            made = self._entries[key] = Entry(path, print_, now, request_id)
            return made
        if known.fingerprint != print_:
            where = (
                "with the same parameters they were first used with"
                if known.path == path
                else f"for the same endpoint they were first used for ('{known.path}' vs '{path}')"
            )
            raise ApiError(
                400,
                f"Keys for idempotent requests can only be used {where}. Try using a key other than '{key}' if you "
                "meant to execute a different request.",
                type="idempotency_error",
            )
        if known.in_flight:
            raise in_use()
        return known

    def release(self, key: str, entry: Entry) -> None:
        """The request is over. If nothing was begun, the key may be used again, with other parameters too."""
        if entry.in_flight and self._entries.get(key) is entry:
            del self._entries[key]

    def _prune(self, now: float) -> None:
        """Entries stand in the order they were made, so the search ends at the first young one."""
        old = []
        for key, entry in self._entries.items():
            if entry.at > now - KEPT_SECONDS:
                break
            if not entry.in_flight:
                old.append(key)
        for key in old:
            del self._entries[key]

    def to_json(self) -> dict[str, Any]:
        return {key: asdict(entry) for key, entry in self._entries.items() if not entry.in_flight}

    def load(self, saved: dict[str, Any]) -> None:
        self._entries = {key: Entry(**entry) for key, entry in saved.items()}

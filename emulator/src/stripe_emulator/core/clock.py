"""The emulator's own clock."""

from __future__ import annotations

import time


class Clock:
    """Time as the emulator sees it: the machine's time plus what `advance` added.

    `start` is a POSIX time in seconds (default: now). A `frozen` clock stands still until it is advanced. One that is
    not frozen reads `time.time()` each time, so libraries that patch it (time-machine, freezegun) move it too.
    """

    def __init__(self, start: float | None = None, frozen: bool = False) -> None:
        self.offset = 0.0
        self._fixed = (time.time() if start is None else start) if frozen else None
        if start is not None and not frozen:
            self.offset = start - time.time()
        self._first_offset = self.offset

    @property
    def frozen(self) -> bool:
        return self._fixed is not None

    def now(self) -> float:
        """POSIX time in seconds."""
        return (time.time() if self._fixed is None else self._fixed) + self.offset

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> float:
        """Move the clock forward and return the new time. It cannot go back: Stripe's time does not either."""
        step = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if step < 0:
            raise ValueError("A clock can only be moved forward.")
        self.offset += step
        return self.now()

    def reset(self) -> None:
        """Back to where it began: only for an emulator that forgets everything else too."""
        self.offset = self._first_offset

    def to_json(self) -> dict[str, float | None]:
        return {"offset": self.offset, "fixed": self._fixed}

    def load(self, saved: dict[str, float | None]) -> None:
        self.offset, self._fixed = saved["offset"] or 0.0, saved["fixed"]

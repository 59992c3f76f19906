"""`--state FILE`: what was answered is kept, whatever becomes of the process.

FILE is a snapshot. Beside it lies FILE.journal, to which each request adds one line, before it is answered, with what
it changed. At the start both are read, and written as a new snapshot with an empty journal; on stopping the snapshot is
written alone. The operating system keeps what was written when a process is killed, so nothing waits for the disk: a
power cut may cost the last lines.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

from .core.changes import Changes
from .core.tables import JSON
from .core.world import compact
from .engine import Emulator

# Requests that only read are not written down, though each takes an id: after a restart those go on from further on.
REQUEST_IDS_SKIPPED = 1_000_000


class CommittingLock:
    """A re-entrant lock that calls `commit` whenever its outermost holder is about to let go of it."""

    def __init__(self, commit: Callable[[], None]) -> None:
        self._lock = threading.RLock()
        self._commit = commit
        self._depth = 0
        self._committing = False

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._depth == 1 and not self._committing:
                self._committing = True
                try:
                    self._commit()
                finally:
                    self._committing = False
        finally:
            self._depth -= 1
            self._lock.release()


class Journal:
    """Keeps the state of one emulator in a file and its journal."""

    def __init__(self, emulator: Emulator, path: Path) -> None:
        """Bring the emulator to where it was, and write down from now on. Call it before any other thread is there.

        Raises OSError, ValueError, KeyError, TypeError or AttributeError for files that cannot be read.
        """
        self.emulator = emulator
        self.path = path
        self.journal = path.with_name(f"{path.name}.journal")
        self._load()
        self._file = self._begin()
        self._counts = dict(emulator.world.ids.counts)
        self._clock = emulator.clock.to_json()
        emulator.changes = emulator.world.changes = Changes()
        emulator.lock = CommittingLock(self.commit)

    def _load(self) -> None:
        state = json.loads(self.path.read_bytes()) if self.path.exists() else None
        lines = self.journal.read_bytes().split(b"\n") if self.journal.exists() else []
        # The last line may be torn: its request was never answered.
        header, *rest = [json.loads(line) for line in lines[:-1]] or [{}]
        if state is not None and rest and header["after"] == state.get("journal"):
            state = fold(state, rest)
        if state is not None:
            self.emulator.restore(state)
            if rest:
                self.emulator.world.ids.counts["req"] += REQUEST_IDS_SKIPPED

    def _begin(self) -> int:
        """Write the snapshot and an empty journal. A kill in between leaves a journal that follows no snapshot."""
        name = token_hex(8)
        _replace(self.path, json.dumps({**self.emulator.snapshot(), "journal": name}))
        _replace(self.journal, compact({"after": name}) + "\n")
        return os.open(self.journal, os.O_WRONLY | os.O_APPEND)

    def commit(self) -> None:
        """Write down what changed since the last time."""
        line = self._line()
        if line:
            data = (compact(line) + "\n").encode("utf-8", "surrogatepass")
            while data:
                data = data[os.write(self._file, data) :]

    def _line(self) -> JSON:
        emulator, changes = self.emulator, self.emulator.changes
        clock = emulator.clock.to_json()
        if changes is None or (changes == _NOTHING and clock == self._clock):
            return {}
        world = emulator.world
        emulator.changes = world.changes = Changes()
        counts = {name: count for name, count in world.ids.counts.items() if count != self._counts.get(name)}
        self._counts, self._clock = dict(world.ids.counts), clock
        if changes.whole:
            return {"whole": emulator.snapshot()}
        rows, unlisted, gone = [], [], []
        for kind, object_id in changes.rows:
            table = world.tables[kind]
            row = table.get(object_id)
            if row is None:
                gone.append([kind, object_id])
                continue
            rows.append([kind, world.archive.plain(row) if kind == "event" else row])
            if not table.listed(object_id):
                unlisted.append([kind, object_id])
        line: JSON = {
            "rows": rows,
            "unlisted": unlisted,
            "gone": gone,
            "hidden": {object_id: world.hidden.get(object_id) for object_id in changes.hidden},
            "counts": counts,
            "clock": clock,
            "due": list(changes.due.values()),
            "done": changes.done,
            "keys": changes.keys,
            "waiting": changes.waiting,
            "told": changes.told,
            "pending": changes.pending,
        }
        return {name: value for name, value in line.items() if value}

    def close(self) -> None:
        """Write the snapshot alone: this is the end."""
        with self.emulator.lock:
            self.emulator.changes = self.emulator.world.changes = None
            os.close(self._file)
            _replace(self.path, json.dumps(self.emulator.snapshot()))
            self.journal.unlink()


_NOTHING = Changes()


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all: a half-written one would lose the former too."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8", errors="surrogatepass")
    draft.replace(path)


def fold(state: JSON, lines: Iterable[JSON]) -> JSON:
    """The snapshot that `state` has become by the lines of a journal."""
    folded = _Folded(state)
    for line in lines:
        if "whole" in line:
            folded = _Folded(line["whole"])
        else:
            folded.take(line)
    return folded.state()


class _Folded:
    """A snapshot in a shape that is quick to change."""

    def __init__(self, state: JSON) -> None:
        world = state["world"]
        self._saved = state
        self._clock, self._counts, self._hidden = world["clock"], world["counts"], world["hidden"]
        self._rows = {kind: {row["id"]: row for row in table["rows"]} for kind, table in world["tables"].items()}
        self._unlisted = {kind: dict.fromkeys(table["unlisted"]) for kind, table in world["tables"].items()}
        self._due = {entry[1]: entry for entry in world["due"]}
        self._keys = state["keys"]
        self._waiting = {one["number"]: one for one in state["webhooks"]["waiting"]}

    def take(self, line: JSON) -> None:
        def of(name: str) -> Any:
            return line.get(name, ())

        for kind, row in of("rows"):
            self._rows[kind][row["id"]] = row
        for kind, object_id in of("unlisted"):
            self._unlisted[kind][object_id] = None
        for kind, object_id in of("gone"):
            self._rows[kind].pop(object_id, None)
            self._unlisted[kind].pop(object_id, None)
        for object_id, hidden in dict(of("hidden")).items():
            if hidden is None:
                self._hidden.pop(object_id, None)
            else:
                self._hidden[object_id] = hidden
        self._counts |= dict(of("counts"))
        self._clock = line.get("clock", self._clock)
        self._due |= {entry[1]: entry for entry in of("due")}
        for number in of("done"):
            self._due.pop(number, None)
        for key, entry in dict(of("keys")).items():
            self._keys.pop(key, None)  # a key that lapsed and was used again is the youngest now
            self._keys[key] = entry
        self._waiting |= {one["number"]: one for one in of("waiting")}
        for number in of("told"):
            self._waiting.pop(number, None)
        for event_id, pending in dict(of("pending")).items():
            if event_id in self._rows["event"]:
                self._rows["event"][event_id]["pending_webhooks"] = pending

    def state(self) -> JSON:
        saved, world = self._saved, self._saved["world"]
        numbers = [one["number"] for one in self._waiting.values()]
        return {
            **saved,
            "keys": self._keys,
            "webhooks": {
                "count": int(max([saved["webhooks"]["count"], *numbers], default=0)) + 2,
                "waiting": list(self._waiting.values()),
            },
            "world": {
                **world,
                "clock": self._clock,
                "counts": self._counts,
                "hidden": self._hidden,
                "due": list(self._due.values()),
                "job_count": max([world["job_count"], *self._due], default=0) + 1,
                "tables": {
                    kind: {"rows": list(rows.values()), "unlisted": list(self._unlisted[kind])}
                    for kind, rows in self._rows.items()
                },
            },
        }

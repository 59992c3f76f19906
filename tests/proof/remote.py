"""The emulator as another process sees it: it lives on when that one is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from stripe_emulator import Delivery
from tests.proof.points import Points


class Line:
    """The one connection of a shop's process to the emulator's."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        # The threads of a run ask one after another; whoever takes the post may ask while it is being delivered.
        self.lock = threading.RLock()

    def ask(self, path: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        take = next((each for each in args if callable(each)), None)
        sent = tuple(None if each is take else each for each in args) if take else args
        with self.lock:
            self.pipe.send(("do", path, sent, kwargs))
            while True:
                kind, value = self.pipe.recv()
                if kind == "take":
                    assert take is not None
                    self.pipe.send(("taken", take(value)))
                elif kind == "raise":
                    raise value
                else:
                    return value


class Remote:
    """`Remote(line).bank.dispute(intent)` does it there. Nothing can be read from it but what a call returns."""

    def __init__(self, line: Line, path: tuple[str, ...] = ()) -> None:
        self._line, self._path = line, path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Remote(self._line, (*self._path, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._line.ask(self._path, args, kwargs)


class Clock:
    """Moves the time here and there."""

    def __init__(self, here: Any, line: Line) -> None:
        self.here, self.line = here, line

    def shift(self, step: timedelta) -> None:
        self.here.shift(step)
        self.line.ask(("clock", "shift"), (step,), {})


class AtStripe:
    """The side of the server's SDK: its requests are points. A payer's browser goes another way, and is none."""

    def __init__(self, line: Line, points: Points) -> None:
        self.line, self.points = line, points

    def handle(self, method: str, path: str, headers: Any, body: bytes) -> Any:
        with self.points.around(f"{method} {path.partition('?')[0].removeprefix('/v1/')}"):
            return self.line.ask(("emulator", "handle"), (method, path, dict(headers), body), {})


class _Gone(Exception):
    pass


def serve(pipe: Connection, rooms: dict[str, Any]) -> Any:
    """Do what is asked for until the other process ends: the value that it ended with, or None if it was killed."""

    def take(delivery: Delivery) -> int:
        pipe.send(("take", delivery))
        try:
            return int(listen())
        except EOFError as gone:
            raise _Gone from gone

    def listen() -> Any:
        while True:
            kind, *what = pipe.recv()
            if kind != "do":
                return what[0]
            pipe.send(_do(rooms, what, take))

    try:
        return listen()
    except (EOFError, _Gone, ConnectionError):
        return None


def _do(rooms: dict[str, Any], what: list[Any], take: Callable[[Delivery], int]) -> tuple[str, Any]:
    path, args, kwargs = what
    found = rooms[path[0]]
    for name in path[1:]:
        found = getattr(found, name)
    given = tuple(take if each is None and path[-1] == "deliver" else each for each in args)
    try:
        return "value", found(*given, **kwargs)
    except _Gone:
        raise
    except Exception as problem:  # noqa: BLE001 - raised there
        return "raise", problem

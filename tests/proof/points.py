"""Where a process may end: before and after each commit that wrote something, and each request to Stripe.

Nothing in the app knows of it. While `watched`, the database's own commit, each statement that writes outside a
transaction (it is a commit by itself) and the client under Stripe's SDK are looked at, whoever calls them, so that no
list of points has to be kept.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import Atomic

import checkout

HOME: Final = Path(checkout.__file__).parent
WRITES: Final = ("INSERT", "UPDATE", "DELETE")
#: Rooms whose commits move money, or say something about it.
ROOMS: Final = ("services", "office", "gateway")


def where() -> tuple[str, int]:
    """The file (below the app, `services/runs.py`) and line of the nearest caller inside the app."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        # The gateway asks for others.
        if path.is_relative_to(HOME) and path.parent.name != "gateway":
            return str(path.relative_to(HOME)), frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return "outside", 0


def blocks() -> dict[tuple[str, int], set[int]]:
    """Every `transaction.atomic` of the rooms: file and first line, and the lines on which its `with` may be found to
    stand when it is entered."""
    found: dict[tuple[str, int], set[int]] = {}
    for room in ROOMS:
        for path in sorted((HOME / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.With) and any("atomic(" in ast.unparse(each) for each in node.items):
                    last = max(each.context_expr.end_lineno or 0 for each in node.items)
                    found[(str(path.relative_to(HOME)), node.lineno)] = set(range(node.lineno, last + 1))
    return found


@dataclass
class Points:
    """What was met, in order. At the `kill_at`-th the process ends; 0 lets it live."""

    kill_at: int = 0
    met: list[str] = field(default_factory=list)
    #: File and line of each transaction that was begun.
    entered: set[tuple[str, int]] = field(default_factory=set)

    def meet(self, name: str) -> None:
        self.met.append(name)
        if len(self.met) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def around(self, what: str) -> Iterator[None]:
        file, line = where()
        self.meet(f"before {what} at {file}:{line}")
        yield
        self.meet(f"after {what} at {file}:{line}")


@contextmanager
def watched(points: Points) -> Iterator[Points]:
    wrote: set[int] = set()
    commit, enter = BaseDatabaseWrapper.commit, Atomic.__enter__

    def committing(connection: BaseDatabaseWrapper) -> None:
        if id(connection) not in wrote:
            return commit(connection)
        wrote.discard(id(connection))
        with points.around("a commit"):
            return commit(connection)

    def entering(block: Atomic) -> None:
        points.entered.add(where())
        return enter(block)

    def executing(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(cursor: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
            writes = str(sql).lstrip().upper().startswith(WRITES)
            if writes and not cursor.db.get_autocommit():
                wrote.add(id(cursor.db))
            if not writes or not cursor.db.get_autocommit():
                return real(cursor, sql, *args, **kwargs)
            with points.around("a statement that commits"):
                return real(cursor, sql, *args, **kwargs)

        return run

    with (
        patch.object(BaseDatabaseWrapper, "commit", committing),
        patch.object(Atomic, "__enter__", entering),
        patch.object(CursorWrapper, "_execute", executing(CursorWrapper._execute)),
        patch.object(CursorWrapper, "_executemany", executing(CursorWrapper._executemany)),
    ):
        yield points

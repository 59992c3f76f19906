"""What is written at the end of a transaction, because nobody looks at it before: rows of several tables at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models, router

from checkout.services import insert_each, update_each
from checkout.services.update_each import LostRace, Values


@dataclass(frozen=True, slots=True)
class _New:
    rows: list[Any]
    ignore_conflicts: bool


@dataclass(frozen=True, slots=True)
class _Changed:
    model: type[models.Model]
    changes: Mapping[int, Values]
    only_if: Mapping[int, Values] | None


@dataclass(slots=True)
class Pile:
    """New rows, and changes to rows that are there."""

    new: list[_New] = field(default_factory=list)
    changed: list[_Changed] = field(default_factory=list)

    def add(self, rows: Iterable[models.Model], *, ignore_conflicts: bool = False) -> None:
        """As `insert_each`, later. The rows get no primary keys."""
        if rows := list(rows):
            self.new.append(_New(rows, ignore_conflicts))

    def change(
        self, model: type[models.Model], changes: Mapping[int, Values], *, only_if: Mapping[int, Values] | None = None
    ) -> None:
        """As `update_each`, later: LostRace when one of these rows is not there, or not as `only_if` says."""
        if changes:
            self.changed.append(_Changed(model, changes, only_if))

    def write(self) -> None:
        """On PostgreSQL in one statement, which tells how many rows each change found."""
        new, changed, self.new, self.changed = self.new, self.changed, [], []
        if not new and not changed:
            return
        connection = connections[router.db_for_write(changed[0].model if changed else type(new[0].rows[0]))]
        if connection.vendor == "postgresql":
            found = _write_at_once(new, changed, connection)
        else:
            found = [update_each.update_each(each.model, each.changes, only_if=each.only_if) for each in changed]
            for each in new:
                insert_each.insert_each(each.rows, ignore_conflicts=each.ignore_conflicts)
        if found != [len(each.changes) for each in changed]:
            raise LostRace


def _write_at_once(new: list[_New], changed: list[_Changed], connection: Any) -> list[int]:
    """How many rows each change found. Every part of the statement sees the rows as they were before it."""
    parts: list[tuple[str, list[Any]]] = []
    for change in changed:
        sql, parameters = update_each.statement(change.model, change.changes, connection, change.only_if)
        parts.append((f"{sql} RETURNING 1", parameters))
    parts += [insert_each.statement(each.rows, connection, each.ignore_conflicts) for each in new]
    # Names are the models' own, and every value is a parameter.
    within = ", ".join(f"w{number} AS ({sql})" for number, (sql, _parameters) in enumerate(parts))
    counts = ", ".join(f"(SELECT COUNT(*) FROM w{number})" for number in range(len(changed))) or "1"  # noqa: S608  # nosec B608
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {within} SELECT {counts}", [value for _sql, values in parts for value in values])
        return [int(count) for count in cursor.fetchone()][: len(changed)]


@contextmanager
def pile() -> Iterator[Pile]:
    """A pile that is written at the end of the transaction that the caller holds."""
    collected = Pile()
    yield collected
    collected.write()

"""Rows in the order they were made, with indexes, so that no list request scans what it does not show."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

JSON = dict[str, Any]


class Table:
    """Objects of one kind by id. `indexed` names the attributes that list requests filter on."""

    def __init__(self, *indexed: str) -> None:
        self.rows: dict[str, JSON] = {}
        self.indexed = indexed
        self._number = 0
        self._numbers: dict[str, int] = {}
        # Where unlisted rows stood: a list can still be asked for from there on.
        self._former: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._order: list[int] = []
        self._index: dict[str, dict[Any, list[int]]] = {name: {} for name in indexed}
        # Whether `created` never went back. It may when a test moves the machine's clock; then ranges are scanned.
        self._sorted = True
        self._newest = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, object_id: str) -> bool:
        return object_id in self.rows

    def get(self, object_id: str) -> JSON | None:
        return self.rows.get(object_id)

    def values(self) -> Iterator[JSON]:
        return iter(self.rows.values())

    def add(self, row: JSON) -> JSON:
        self._number += 1
        number, object_id = self._number, row["id"]
        self.rows[object_id] = row
        self._numbers[object_id] = number
        self._ids[number] = object_id
        self._order.append(number)
        created = row.get("created", self._newest)  # a deleted customer has none
        if created < self._newest:
            self._sorted = False
        self._newest = max(self._newest, created)
        for name in self.indexed:
            value = row.get(name)
            if value is not None:
                self._index[name].setdefault(value, []).append(number)
        return row

    def reindex(self, row: JSON, name: str, old: Any) -> None:
        """Say that the indexed attribute `name` of `row` was `old` before."""
        number, new = self._numbers[row["id"]], row.get(name)
        if old == new:
            return
        if old is not None:
            numbers = self._index[name][old]
            del numbers[bisect_left(numbers, number)]
            if not numbers:
                del self._index[name][old]
        if new is not None:
            numbers = self._index[name].setdefault(new, [])
            numbers.insert(bisect_left(numbers, number), number)

    def unlist(self, row: JSON) -> None:
        """Leave it readable by id, but out of every list (a deleted customer)."""
        number = self._former[row["id"]] = self._numbers.pop(row["id"])
        del self._ids[number]
        del self._order[bisect_left(self._order, number)]
        for name in self.indexed:
            value = row.get(name)
            if value is not None:
                numbers = self._index[name][value]
                del numbers[bisect_left(numbers, number)]
                if not numbers:
                    del self._index[name][value]

    def remove(self, object_id: str) -> None:
        row = self.rows[object_id]
        if object_id in self._numbers:
            self.unlist(row)
        self._former.pop(object_id, None)
        del self.rows[object_id]

    def drop_before(self, created: float) -> None:
        """Forget the oldest rows, those made before `created`."""
        count = 0
        for number in self._order:
            if self.rows[self._ids[number]]["created"] >= created:
                break
            count += 1
        self.drop_oldest(count)

    def drop_oldest(self, count: int) -> None:
        """Forget so many of the oldest rows."""
        for number in self._order[:count]:
            object_id = self._ids[number]
            row = self.rows[object_id]
            del self.rows[object_id], self._numbers[object_id], self._ids[number]
            for name in self.indexed:
                value = row.get(name)
                if value is not None:
                    numbers = self._index[name][value]
                    numbers.pop(0)
                    if not numbers:
                        del self._index[name][value]
        del self._order[:count]

    def listed(self, object_id: str) -> bool:
        return object_id in self._numbers

    def placed(self, object_id: str) -> bool:
        """Whether a list can be asked for from that row on: it is listed, or was until it was deleted."""
        return object_id in self._numbers or object_id in self._former

    def _place(self, object_id: str) -> int:
        return self._numbers.get(object_id) or self._former[object_id]

    def _numbers_for(self, filters: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
        """The shortest index that serves `filters`, and the filters that it leaves to be checked."""
        best, used = self._order, None
        for name, value in filters.items():
            if name in self._index:
                numbers = self._index[name].get(value, [])
                if used is None or len(numbers) < len(best):
                    best, used = numbers, name
        return best, {name: value for name, value in filters.items() if name != used}

    def newest_first(
        self,
        filters: dict[str, Any],
        created: tuple[int | None, int | None] = (None, None),
        *,
        after: str | None = None,
        before: str | None = None,
    ) -> Iterator[JSON]:
        """Rows that match, newest first; with `before`, oldest first, beginning next to that row.

        `after` and `before` are ids of rows that are or were listed (Stripe's starting_after and ending_before).
        """
        numbers, rest = self._numbers_for(filters)
        low, high = 0, len(numbers)
        least, most = created
        if self._sorted:
            made = lambda number: self.rows[self._ids[number]]["created"]  # noqa: E731
            low = bisect_left(numbers, least, key=made) if least is not None else 0
            high = bisect_right(numbers, most, key=made) if most is not None else high
        if after is not None:
            high = min(high, bisect_left(numbers, self._place(after)))
        if before is not None:
            low = max(low, bisect_right(numbers, self._place(before)))
        places = range(low, high) if before is not None else range(high - 1, low - 1, -1)
        for place in places:
            row = self.rows[self._ids[numbers[place]]]
            if not self._sorted and not _within(row["created"], least, most):
                continue
            if all(row.get(name) == value for name, value in rest.items()):
                yield row

    def to_json(self) -> JSON:
        return {"rows": list(self.rows.values()), "unlisted": [i for i in self.rows if i not in self._numbers]}

    def load(self, saved: JSON) -> None:
        self.__init__(*self.indexed)  # type: ignore[misc]
        for row in saved["rows"]:
            self.add(row)
        for object_id in saved["unlisted"]:
            self.unlist(self.rows[object_id])


def _within(created: int, least: int | None, most: int | None) -> bool:
    return (least is None or created >= least) and (most is None or created <= most)

"""Tables against a naive list: whatever is added, moved, unlisted or dropped, pages are the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_emulator.core.tables import Table

owners = st.sampled_from((None, "a", "b"))
steps = st.lists(
    st.tuples(st.sampled_from(("add", "move", "unlist", "remove", "reload")), st.integers(0, 50), owners),
    max_size=40,
)


def naive(rows: list[dict[str, Any]], owner: str | None, low: int | None, high: int | None) -> list[str]:
    return [
        row["id"]
        for row in reversed(rows)
        if (owner is None or row["owner"] == owner)
        and (low is None or row["created"] >= low)
        and (high is None or row["created"] <= high)
    ]


@settings(max_examples=150, deadline=None)
@given(steps, owners, st.none() | st.integers(0, 50), st.none() | st.integers(0, 50), st.booleans())
def test_lists_are_those_of_a_naive_table(
    sent: list[tuple[str, int, str | None]], owner: str | None, low: int | None, high: int | None, forward: bool
) -> None:
    table, rows = Table("owner"), []
    clock = 0
    for number, (verb, amount, who) in enumerate(sent):
        if verb == "add":
            clock = clock + amount % 3 if forward else amount  # a clock that may go back is the harder case
            rows.append(table.add({"id": f"x{number}", "created": clock, "owner": who}))
        elif verb == "reload":
            table.load(json.loads(json.dumps(table.to_json())))
            rows = [table.rows[row["id"]] for row in rows]
        elif rows:
            row = rows[amount % len(rows)]
            if verb == "move":
                old, row["owner"] = row["owner"], who
                table.reindex(row, "owner", old)
            else:
                rows.remove(row)
                if verb == "unlist":
                    table.unlist(row)
                    assert table.get(row["id"]) is row
                else:
                    table.remove(row["id"])
    filters = {} if owner is None else {"owner": owner}
    wanted = naive(rows, owner, low, high)
    assert [row["id"] for row in table.newest_first(filters, (low, high))] == wanted
    if rows:
        middle = rows[len(rows) // 2]["id"]
        all_ids = [row["id"] for row in rows]
        older, newer = set(all_ids[: all_ids.index(middle)]), set(all_ids[all_ids.index(middle) + 1 :])
        after = [row["id"] for row in table.newest_first(filters, (low, high), after=middle)]
        assert after == [i for i in wanted if i in older]
        before = [row["id"] for row in table.newest_first(filters, (low, high), before=middle)]
        assert before == [i for i in wanted[::-1] if i in newer]


def test_the_oldest_rows_are_dropped() -> None:
    table = Table("type")
    for number in range(10):
        table.add({"id": f"e{number}", "created": number, "type": "ab"[number % 2]})
    table.drop_before(4)
    assert [row["id"] for row in table.newest_first({"type": "a"})] == ["e8", "e6", "e4"]
    assert len(table) == 6

"""One UPDATE that gives each of many rows values of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections, models, router

from checkout.services.columns import Term, column, table

Values = Mapping[str, Any]


class LostRace(Exception):
    """Somebody changed one of many rows between looking and changing; the caller's transaction has to be rolled back,
    so that nothing is changed."""


def update_each(
    model: type[models.Model], changes: Mapping[int, Values], *, only_if: Mapping[int, Values] | None = None
) -> int:
    """Set the fields of each row, by primary key; how many rows were changed.

    Every row sets the same fields. With `only_if`, a row changes only while its fields have these values; every row
    names the same ones, and none is None. The rows travel as one table: a CASE for each column, as `bulk_update` writes
    it, costs a run more time than everything else that it does with the database.
    """
    if not changes:
        return 0
    connection = connections[router.db_for_write(model)]
    with connection.cursor() as cursor:
        cursor.execute(*statement(model, changes, connection, only_if))
        return int(cursor.rowcount)


def statement(
    model: type[models.Model],
    changes: Mapping[int, Values],
    connection: Any,
    only_if: Mapping[int, Values] | None = None,
) -> tuple[str, list[Any]]:
    """The UPDATE of `update_each`, and its parameters."""
    meta = model._meta
    expected = only_if or {pk: {} for pk in changes}
    first = next(iter(changes))
    sets: list[Any] = [meta.get_field(name) for name in changes[first]]
    conditions: list[Any] = [meta.get_field(name) for name in expected[first]]
    given: list[tuple[Any, list[Any]]] = [(meta.pk, list(changes))]
    given += [(field, [values[field.name] for values in changes.values()]) for field in sets]
    given += [(field, [expected[pk][field.name] for pk in changes]) for field in conditions]
    terms, source = (_as_arrays if connection.vendor == "postgresql" else _as_values)(given, connection)
    quote = connection.ops.quote_name
    target = quote(meta.db_table)
    assigned, tested = terms[1 : len(sets) + 1], [terms[0], *terms[len(sets) + 1 :]]
    changed = ", ".join(f"{quote(field.column)} = {term.sql}" for field, term in zip(sets, assigned, strict=True))
    tests = " AND ".join(
        f"{target}.{quote(field.column)} = {term.sql}"
        for field, term in zip([meta.pk, *conditions], tested, strict=True)
    )
    from_given = f"FROM {source.sql} " if source.sql else ""
    # Names are the models' own, and every value is a parameter.
    sql = f"UPDATE {target} SET {changed} {from_given}WHERE {tests}"  # noqa: S608  # nosec B608
    return sql, [value for term in (*assigned, source, *tested) for value in term.parameters]


def _as_arrays(given: list[tuple[Any, list[Any]]], connection: Any) -> tuple[list[Term], Term]:
    return table([column(field, values, connection) for field, values in given])


def _as_values(given: list[tuple[Any, list[Any]]], connection: Any) -> tuple[list[Term], Term]:
    """SQLite has no arrays, and its columns give their type to what they take. It calls the columns of a table of
    VALUES column1, column2 and so on."""
    columns = [[field.get_db_prep_save(value, connection) for value in values] for field, values in given]
    row = f"({', '.join(['%s'] * len(columns))})"
    rows = list(zip(*columns, strict=True))
    source = Term(f"(VALUES {', '.join([row] * len(rows))}) AS given", [value for each in rows for value in each])
    return [Term(f"given.column{number}", []) for number in range(1, len(columns) + 1)], source

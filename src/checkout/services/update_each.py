"""One UPDATE that gives each of many rows values of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections, models, router

Values = Mapping[str, Any]


def update_each(
    model: type[models.Model], changes: Mapping[int, Values], *, only_if: Mapping[int, Values] | None = None
) -> int:
    """Set the fields of each row, by primary key; how many rows were changed.

    Every row sets the same fields. With `only_if`, a row changes only while its fields have these values; every row
    names the same ones, and none is None. The rows travel as one table of VALUES: a CASE for each column, as
    `bulk_update` writes it, costs a run more time than everything else that it does with the database.
    """
    if not changes:
        return 0
    connection = connections[router.db_for_write(model)]
    quote = connection.ops.quote_name
    meta = model._meta
    expected = only_if or {pk: {} for pk in changes}
    first = next(iter(changes))
    sets: list[Any] = [meta.get_field(name) for name in changes[first]]
    conditions: list[Any] = [meta.get_field(name) for name in expected[first]]
    rows: list[Any] = []
    for pk, values in changes.items():
        rows.append(pk)
        rows += [field.get_db_prep_save(values[field.name], connection) for field in sets]
        rows += [field.get_db_prep_save(expected[pk][field.name], connection) for field in conditions]
    given = [_typed(field, number, connection) for number, field in enumerate([meta.pk, *sets, *conditions], start=1)]
    assignments = ", ".join(
        f"{quote(field.column)} = {value}" for field, value in zip(sets, given[1 : len(sets) + 1], strict=True)
    )
    table = quote(meta.db_table)
    tests = " AND ".join(
        f"{table}.{quote(field.column)} = {value}"
        for field, value in zip([meta.pk, *conditions], [given[0], *given[len(sets) + 1 :]], strict=True)
    )
    row = f"({', '.join(['%s'] * len(given))})"
    # Both databases call the columns of a table of VALUES column1, column2 and so on.
    table_of_values = f"(VALUES {', '.join([row] * len(changes))}) AS given"
    # Names are the models' own, and every value is a parameter.
    sql = f"UPDATE {table} SET {assignments} FROM {table_of_values} WHERE {tests}"  # noqa: S608  # nosec B608
    with connection.cursor() as cursor:
        cursor.execute(sql, rows)
        return int(cursor.rowcount)


def _typed(field: Any, number: int, connection: Any) -> str:
    """PostgreSQL does not know the type of a column of VALUES by itself; SQLite's columns give it to what they take."""
    column = f"given.column{number}"
    return f"CAST({column} AS {field.cast_db_type(connection)})" if connection.vendor == "postgresql" else column

"""One INSERT of many rows, as `bulk_create` makes it, for less than half of its time on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from django.db import connections, models, router, transaction

from checkout.services.columns import column, table

Row = TypeVar("Row", bound=models.Model)


def insert_each(
    rows: Iterable[Row], *, ignore_conflicts: bool = False, or_update: tuple[Sequence[str], Sequence[str]] | None = None
) -> list[Row]:
    """Write new rows of one table of ours, and give them their primary keys (not with `ignore_conflicts`, which leaves
    out what is there). `or_update` names the fields that are unique together, and those that a row which is there takes
    over. What the rows point at has been written before.

    Raises IntegrityError as `bulk_create`. No signal is sent.
    """
    new = list(rows)
    if not new:
        return new
    model = type(new[0])
    connection = connections[router.db_for_write(model)]
    if connection.vendor != "postgresql":
        on_conflict: dict[str, Any] = {"ignore_conflicts": ignore_conflicts}
        if or_update is not None:
            on_conflict = {"update_conflicts": True, "unique_fields": or_update[0], "update_fields": or_update[1]}
        return list(model._default_manager.bulk_create(new, **on_conflict))
    meta: Any = model._meta
    sql, parameters = statement(new, connection, ignore_conflicts, or_update)
    if not ignore_conflicts:
        sql += f" RETURNING {connection.ops.quote_name(meta.pk.column)}"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        keys = [] if ignore_conflicts else [key for (key,) in cursor.fetchall()]
    for row, key in zip(new, keys, strict=bool(keys)):
        row.pk = key
        row._state.adding, row._state.db = False, connection.alias
    return new


def one_statement(model: type[models.Model]) -> AbstractContextManager[None]:
    """Around a single statement that writes, and may fail. By itself it is a transaction: to begin and end one would
    cost two more round trips. Within somebody's transaction it stands in a savepoint, so that theirs goes on."""
    database = router.db_for_write(model)
    return transaction.atomic(using=database) if connections[database].in_atomic_block else nullcontext()


def statement(
    new: Sequence[models.Model],
    connection: Any,
    ignore_conflicts: bool = False,
    or_update: tuple[Sequence[str], Sequence[str]] | None = None,
) -> tuple[str, list[Any]]:
    """The INSERT of new rows for PostgreSQL, and its parameters."""
    meta: Any = type(new[0])._meta
    fields: list[Any] = [each for each in meta.local_concrete_fields if not each.primary_key]
    known = [vars(row) for row in new]
    columns = [column(one, [each[one.attname] for each in known], connection) for one in fields]
    names, source = table(columns)
    parameters = [value for name in names for value in name.parameters]
    given = ", ".join(name.sql for name in names)
    if source.sql:
        what = f"SELECT {given} FROM {source.sql}"  # noqa: S608  # nosec B608 - see below
        parameters += source.parameters
    else:
        # One row, or several that are the same.
        what = f"VALUES {', '.join([f'({given})'] * len(new))}"
        parameters *= len(new)
    quote = connection.ops.quote_name
    columns_filled = ", ".join(quote(one.column) for one in fields)
    # Names are the models' own, and every value is a parameter.
    sql = f"INSERT INTO {quote(meta.db_table)} ({columns_filled}) {what}"  # nosec B608
    if ignore_conflicts:
        sql += " ON CONFLICT DO NOTHING"
    elif or_update is not None:
        unique, updated = ([quote(meta.get_field(name).column) for name in part] for part in or_update)
        taken_over = ", ".join(f"{name} = EXCLUDED.{name}" for name in updated)
        sql += f" ON CONFLICT ({', '.join(unique)}) DO UPDATE SET {taken_over}"  # nosec B608
    return sql, parameters

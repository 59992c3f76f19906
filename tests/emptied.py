"""After a test that committed: only the tables that it wrote to are emptied.

Django empties every table, and then makes permissions, content types and our lookup rows anew. That takes longer than
most of the tests themselves. Here the rows that a database has from its migrations stay, unless a test has changed
them: then it is done Django's way.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.test import TransactionTestCase

Rows = list[tuple[Any, ...]]
#: The tables that have rows from the start, and those rows.
_from_the_start: dict[str, Rows] = {}
_as_django_does = TransactionTestCase._fixture_teardown


def remember() -> None:
    """Once the database is there, and again when Django has filled it anew."""
    with connection.cursor() as cursor:
        _from_the_start.clear()
        for table in _with_rows(cursor):
            _from_the_start[table] = _rows(cursor, table)


def _with_rows(cursor: Any) -> list[str]:
    tables = connection.introspection.table_names(cursor)
    cursor.execute(" UNION ALL ".join(f"SELECT '{each}' WHERE EXISTS (SELECT 1 FROM \"{each}\")" for each in tables))
    return [row[0] for row in cursor.fetchall()]


def _rows(cursor: Any, table: str) -> Rows:
    cursor.execute(f'SELECT * FROM "{table}" ORDER BY 1')
    return list(cursor.fetchall())


def after_a_test(case: TransactionTestCase) -> None:
    """Stands in for `TransactionTestCase._fixture_teardown`."""
    plain = set(case._databases_names(include_mirrors=False)) == {DEFAULT_DB_ALIAS} and not case.serialized_rollback
    if not (plain and case.available_apps is None and _from_the_start and _emptied()):
        _as_django_does(case)
        if _from_the_start and plain:
            remember()


def _emptied() -> bool:
    """True if the database is as it was at the start."""
    # Foreign keys are looked at when it commits, so that the order does not matter.
    with transaction.atomic(), connection.cursor() as cursor:
        there = _with_rows(cursor)
        if any(table not in there or _rows(cursor, table) != rows for table, rows in _from_the_start.items()):
            return False
        for table in there:
            if table not in _from_the_start:
                cursor.execute(f'DELETE FROM "{table}"')
    return True

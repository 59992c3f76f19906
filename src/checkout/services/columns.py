"""Many values of one column as one parameter of a statement.

Django makes a placeholder for each value of each row, and asks each field about each value; a run writes nine rows for
a charge, and that took more of its time than everything that it does itself. PostgreSQL takes a column as an array.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.db import connections

#: What the driver takes as it is, by the kind of field. Whatever else a row holds there is left to its field.
_TAKEN: Final[dict[str, type]] = {
    "BigAutoField": int,
    "AutoField": int,
    "BigIntegerField": int,
    "IntegerField": int,
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "BooleanField": bool,
    "DateField": datetime.date,
    "DateTimeField": datetime.datetime,
    "DecimalField": Decimal,
    "UUIDField": UUID,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of several rows: its values, and what they are to PostgreSQL."""

    values: list[Any]
    type: str

    @property
    def is_the_same(self) -> bool:
        """True when every row has the same value there."""
        return self.values.count(self.values[0]) == len(self.values)


def column(field: Any, values: Sequence[Any], connection: Any) -> Column:
    """A column of a table of ours, ready for the driver."""
    target = field.target_field if field.is_relation else field
    kind = target.get_internal_type()
    if kind in ("CharField", "TextField"):
        # Names of choices and translated texts are not the plain texts that they stand for.
        ready: list[Any] = [value if value is None or type(value) is str else str(value) for value in values]
    elif kind == "JSONField":
        ready = [None if value is None else json.dumps(value, cls=target.encoder) for value in values]
    else:
        taken = _TAKEN.get(kind)
        ready = [
            value if value is None or type(value) is taken else field.get_db_prep_save(value, connection)
            for value in values
        ]
    return Column(ready, _type(field, connection.alias))


@cache
def _type(field: Any, alias: str) -> str:
    """What PostgreSQL calls the field's type. Django makes a new field for each time that it is asked about a key."""
    # Without its size: to cast to varchar(20) would cut a text that is too long, where to store it is refused.
    return str(field.db_type(connections[alias])).partition("(")[0]


@dataclass(frozen=True, slots=True)
class Term:
    """How a statement names a column: as one of the table `given`, or as the one value that every row has."""

    sql: str
    parameters: list[Any]


def table(columns: Sequence[Column]) -> tuple[list[Term], Term]:
    """The names of these columns, and what stands in FROM for them (nothing, when every row is the same)."""
    names, arrays = [], []
    for number, each in enumerate(columns, start=1):
        if each.is_the_same:
            names.append(Term(f"%s::{each.type}", each.values[:1]))
        else:
            names.append(Term(f"given.column{number}", []))
            arrays.append((f"column{number}", f"%s::{each.type}[]", each.values))
    if not arrays:
        return names, Term("", [])
    unnest = f"UNNEST({', '.join(array for _name, array, _values in arrays)})"
    given = f"{unnest} AS given ({', '.join(name for name, _array, _values in arrays)})"
    return names, Term(given, [values for _name, _array, values in arrays])

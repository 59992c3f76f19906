"""Copies of a whole PostgreSQL database, so that many ends can follow one beginning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection, connections


def name() -> str:
    return str(connection.settings_dict["NAME"])


def use(database: str) -> None:
    """From the next statement on."""
    connections.close_all()
    connection.settings_dict["NAME"] = database


def on_the_server(*statements: str) -> None:
    # A database is copied only while nobody is connected to it.
    connections.close_all()
    parameters = connection.get_connection_params() | {"dbname": "postgres"}
    known = {key: value for key, value in parameters.items() if key in ("dbname", "host", "port", "user", "password")}
    with psycopg.connect(**known, autocommit=True) as server:
        for statement in statements:
            server.execute(statement)  # type: ignore[arg-type]


@contextmanager
def copied(suffix: str) -> Iterator[str]:
    """A copy of the database in use, which is used inside, and dropped afterwards."""
    original = name()
    copy = f"{original}_{suffix}"
    on_the_server(f'DROP DATABASE IF EXISTS "{copy}"', f'CREATE DATABASE "{copy}" TEMPLATE "{original}"')
    use(copy)
    try:
        yield copy
    finally:
        use(original)
        on_the_server(f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')

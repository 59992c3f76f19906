"""A copy of the whole database, which is put in its place later: a backup that is restored."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from django.db import connection, connections


def backup() -> Callable[[], None]:
    """Copy it now; what comes back puts the copy in its place, and may be called once."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        copy = f"{name}.copy"
        _copy_file(name, copy)

        def restore_file() -> None:
            _copy_file(copy, name)
            Path(copy).unlink()

        return restore_file
    copy = f"{name}_copy"
    _on_server(f'DROP DATABASE IF EXISTS "{copy}"', f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')

    def restore() -> None:
        _on_server(f'DROP DATABASE "{name}"', f'ALTER DATABASE "{copy}" RENAME TO "{name}"')

    return restore


def _copy_file(source: str, target: str) -> None:
    connections.close_all()
    one, other = sqlite3.connect(source), sqlite3.connect(target)
    try:
        one.backup(other)
    finally:
        one.close()
        other.close()


def _on_server(*statements: str) -> None:
    import psycopg

    # A database is copied only while nobody is connected to it.
    connections.close_all()
    known = connection.get_connection_params() | {"dbname": "postgres"}
    names = ("dbname", "host", "port", "user", "password")
    with psycopg.connect(**{name: known[name] for name in names if name in known}, autocommit=True) as server:
        for statement in statements:
            server.execute(statement)

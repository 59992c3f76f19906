"""A database with all its tables, made once and copied by whoever needs one.

To make the tables takes seconds, and each process of a run needs a database of its own, as does each run. So the first
one that makes them leaves a copy: on SQLite a file, for the runs that follow too; on PostgreSQL a database on the same
server, for this run. A copy is found by what it was made from, so that no change of a migration or a model meets tables
from before it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.db import connection

FOLDER: Final = Path(tempfile.gettempdir()) / f"checkout-tests-{os.getuid()}"
#: Nobody wants a file that was not used for so long.
SECONDS_KEPT: Final = 7 * 24 * 3600


@cache
def made_from() -> str:
    """A digest of everything that can change what is in the tables: migrations, models, and what these two import."""
    digest = hashlib.sha256(f"{version('django')} {version('django-post-office')} {settings.INSTALLED_APPS}".encode())
    for app in apps.get_app_configs():
        home = Path(app.path)
        # The libraries' other files change with their versions; of our own, only pages, services and the like do not
        # matter to the tables.
        ours = "site-packages" not in home.parts
        patterns = ("*.py", "models/*.py", "migrations/*.py") if ours else ("migrations/*.py",)
        for path in sorted({path for pattern in patterns for path in home.glob(pattern)}):
            digest.update(f"{app.label} {path.relative_to(home)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process of this machine at a time."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Copied:
    """Stands in for Django's `create_test_db` until `undo`."""

    def __init__(self) -> None:
        self.original = connection.creation.create_test_db
        self.left_there = ""
        connection.creation.create_test_db = self  # type: ignore[method-assign]

    def __call__(self, *, keepdb: bool = False, **options: Any) -> str:
        def make() -> str:
            return self.original(keepdb=keepdb, **options)

        if keepdb:
            return make()
        with alone(f"{connection.vendor}-{made_from()}"):
            return _on_sqlite(make) if connection.vendor == "sqlite" else self._on_postgres(make)

    def _on_postgres(self, make: Any) -> str:
        kept = f"checkout_migrated_{made_from()}"
        name = connection.creation._get_test_db_name()
        with connection.creation._nodb_cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [kept])
            if cursor.fetchone():
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
                cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{kept}"')
                return _use(name)
        make()
        # A database is copied only while nobody is connected to it.
        connection.close()
        with connection.creation._nodb_cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{kept}" TEMPLATE "{name}"')
        self.left_there = kept
        return name

    def undo(self) -> None:
        """Leave nothing on a server that may be somebody's."""
        del connection.creation.create_test_db
        if self.left_there:
            with connection.creation._nodb_cursor() as cursor:
                cursor.execute(f'DROP DATABASE IF EXISTS "{self.left_there}"')


def _on_sqlite(make: Any) -> str:
    kept = FOLDER / f"migrated-{made_from()}.sqlite3"
    name = connection.creation._get_test_db_name()
    if kept.exists():
        os.utime(kept)
        shutil.copyfile(kept, name)
        return _use(name)
    make()
    connection.close()  # the last one to leave brings everything into the one file
    half = kept.with_suffix(".half")
    shutil.copyfile(name, half)
    half.replace(kept)
    for other in FOLDER.glob("migrated-*.sqlite3"):
        if time.time() - other.stat().st_mtime > SECONDS_KEPT:
            other.unlink(missing_ok=True)
    return name


def _use(name: str) -> str:
    connection.close()
    settings.DATABASES[connection.alias]["NAME"] = connection.settings_dict["NAME"] = name
    return name

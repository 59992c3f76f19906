"""What a fixture has made is put there again for the next test, instead of being made again.

A fixture that pays, declines and disputes its way to an office full of rows takes a hundred times as long as writing
those rows. So the first test to want it makes it, by the real services, and what that changed is kept: the rows,
Stripe's side of them, and the cache. The next test gets the same, if it begins where that one began: with the same
rows, settings, language and listeners, on a Stripe that was asked nothing yet, and within a minute, so that no lease
has run out meanwhile. Whoever begins elsewhere has it made, and so has whoever says `anew`, because lines of the log or
spans are looked at. On PostgreSQL, whose sequences do not go back, it is always made.
"""

from __future__ import annotations

import copy
import hashlib
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.dispatch import Signal
from django.utils import translation

from checkout import signals
from checkout.gateway import gateway
from stripe_emulator import Emulator

T = TypeVar("T")
#: Of a table: its columns, and its rows by their `rowid`.
Table = dict[int, tuple[Any, ...]]
SECONDS: Final = 60
#: What differs from test to test and means nothing to a fixture: when, and what was drawn by lot, if no row is known
#: by it.
BY_CHANCE: Final = ("datetime", "char(32)")
NOT_KEYS: Final = {"password"}
#: Who is logged in where: a key that was drawn by lot, for no row that a fixture makes.
NOT_ASKED_FOR: Final = {"django_session"}
SETTINGS: Final = ("CHECKOUT_", "STRIPE_", "LANGUAGE", "TIME_ZONE", "USE_", "SITE", "POST_OFFICE", "DEFAULT_FROM")


@dataclass(frozen=True, slots=True)
class Made:
    at: float
    #: Per table: rows that came, and for rows that changed the numbers of their columns and the new values.
    came: dict[str, list[tuple[Any, ...]]]
    changed: dict[str, list[tuple[int, dict[str, Any]]]]
    gone: dict[str, list[int]]
    counters: list[tuple[Any, ...]]
    result: bytes
    stripe: Any
    weather: Any
    requests: Any
    cache: tuple[dict[str, Any], dict[str, Any]]


_made: dict[tuple[str, str], Made] = {}
_anew = False


@contextmanager
def anew() -> Iterator[None]:
    """Everything is made, for somebody who looks at more than rows, Stripe and the cache."""
    global _anew
    _anew = True
    try:
        yield
    finally:
        _anew = False


def kept(name: object, make: Callable[[], T], emulator: Emulator | None = None) -> T:
    """What `make()` returns and does, made or put there again."""
    fresh = emulator is None or (not emulator.requests and emulator.weather.fair)
    # What is in a cache of files, say, cannot be put there again.
    in_memory = hasattr(cache, "_cache")
    if connection.vendor != "sqlite" or not fresh or not in_memory or _anew:
        return make()
    before = _everything()
    key = (repr(name), _digest(before, emulator))
    there = _made.get(key)
    if there is not None and 0 <= time.time() - there.at < SECONDS:
        _put(there, emulator)
    else:
        at = time.time()
        result = make()
        there = _made[key] = _compared(at, before, _everything(), result, emulator)
    return pickle.loads(there.result)


def _compared(at: float, before: dict[str, Table], after: dict[str, Table], result: Any, emulator: Any) -> Made:
    came, changed, gone = {}, {}, {}
    for table, rows in after.items():
        old, columns = before[table], [column for column, _kind, _key in _columns(table)]
        came[table] = [(rowid, *row) for rowid, row in rows.items() if rowid not in old]
        changed[table] = [
            (rowid, {c: new for c, new, was in zip(columns, row, old[rowid], strict=True) if new != was})
            for rowid, row in rows.items()
            if rowid in old and row != old[rowid]
        ]
        gone[table] = [rowid for rowid in old if rowid not in rows]
    return Made(
        at, came, changed, gone, _counters(), pickle.dumps(result),
        emulator and emulator.snapshot(), emulator and copy.deepcopy(emulator.weather),
        emulator and list(emulator.requests), (dict(cache._cache), dict(cache._expire_info)),
    )  # fmt: skip


def _put(made: Made, emulator: Emulator | None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for table, rowids in made.gone.items():
            cursor.executemany(f'DELETE FROM "{table}" WHERE rowid = %s', [(rowid,) for rowid in rowids])
        for table, rows in made.came.items():
            if rows:
                names = ", ".join(["rowid", *(f'"{column}"' for column, _kind, _key in _columns(table))])
                marks = ", ".join(["%s"] * len(rows[0]))
                cursor.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)
        for table, changes in made.changed.items():
            for rowid, values in changes:
                sets = ", ".join(f'"{column}" = %s' for column in values)
                cursor.execute(f'UPDATE "{table}" SET {sets} WHERE rowid = %s', [*values.values(), rowid])
        cursor.execute("DELETE FROM sqlite_sequence")
        cursor.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", made.counters)
    values, ends = made.cache
    cache._cache.update(values)
    cache._expire_info.update(ends)
    if emulator is not None:
        if any(request.path == "/v1/account" for request in made.requests):
            # Whoever speaks to Stripe asked once whose account it is, and remembers it.
            gateway().account_id()
            emulator.requests.clear()
        emulator.restore(made.stripe)
        emulator.weather = copy.deepcopy(made.weather)
        emulator.requests.extend(made.requests)


#: Of each table its columns: name, kind, and whether it is the key.
_tables: dict[str, list[tuple[str, str, bool]]] = {}


def _columns(table: str) -> list[tuple[str, str, bool]]:
    return _tables[table]


def _everything() -> dict[str, Table]:
    with connection.cursor() as cursor:
        if not _tables:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f'PRAGMA table_info("{table}")')
                _tables[table] = [(row[1], row[2], bool(row[5])) for row in cursor.fetchall()]
        found = {}
        for table, columns in _tables.items():
            # A plus keeps the driver from reading a date out of what is a text to SQLite.
            names = ", ".join(f'+"{column}"' for column, _kind, _key in columns)
            cursor.execute(f'SELECT rowid, {names} FROM "{table}"')
            found[table] = {row[0]: row[1:] for row in cursor.fetchall()}
    return found


def _counters() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        return cursor.fetchall()


def _digest(everything: dict[str, Table], emulator: Emulator | None) -> str:
    # Not only who asked: a test may have told it of an address for webhooks, or moved its clock.
    digest = hashlib.blake2b(repr(emulator and emulator.snapshot()).encode(), digest_size=16)
    for table, rows in everything.items():
        if table in NOT_ASKED_FOR:
            continue
        columns = enumerate(_columns(table))
        told = [n for n, (name, kind, key) in columns if key or (kind not in BY_CHANCE and name not in NOT_KEYS)]
        digest.update(repr([(rowid, *(row[n] for n in told)) for rowid, row in rows.items()]).encode())
    # The emulator is another object each time.
    known = {name: getattr(settings, name) for name in dir(settings) if name.startswith(SETTINGS)}
    known.pop("CHECKOUT_STRIPE_HTTP_CLIENT", None)
    listen = {name: signal.receivers for name, signal in vars(signals).items() if isinstance(signal, Signal)}
    digest.update(repr((_counters(), sorted(known.items()), translation.get_language(), listen)).encode())
    return digest.hexdigest()

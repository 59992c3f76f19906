"""What it would bring to partition the history by year, or to move its oldest year into an archive; PostgreSQL.

    make bench BENCH=archive BENCH_ARGS="--rows 1000000 --years 4"

Neither is built. Two copies of the table of histories, with its indexes, are filled with the same rows: a plain one, as
it is, and one in partitions. Prints what a new row, the history of one attempt and the end of the oldest year cost in
each, and what that year weighs as a compressed file. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")

TABLE: Final = "checkout_statechange"
FIRST_YEAR: Final = 2020
#: So many moves an attempt makes.
MOVES: Final = 3


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--years", type=int, default=4)
    options.add_argument("--times", type=int, default=200)
    chosen = options.parse_args()

    import django

    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with connection.cursor() as cursor:
            make_tables(cursor, chosen.years)
            found = {}
            for name in ("plain", "parted"):
                fill(cursor, name, chosen.rows, chosen.years)
                found[name] = measure(cursor, name, chosen.rows, chosen.times)
            weigh_archive(cursor, found["plain"])
            for name, figures in found.items():
                figures["end of the oldest year, s"] = end_oldest_year(cursor, name)
        show(found)
        connection.close()
    finally:
        teardown_databases(databases, verbosity=0)
    return 0


def make_tables(cursor: Any, years: int) -> None:
    cursor.execute(f"CREATE TABLE plain (LIKE {TABLE} INCLUDING ALL)")
    cursor.execute(f"CREATE TABLE parted (LIKE {TABLE} INCLUDING DEFAULTS) PARTITION BY RANGE (at)")
    for year in range(FIRST_YEAR, FIRST_YEAR + years):
        cursor.execute(
            f"CREATE TABLE parted_{year} PARTITION OF parted FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
    # A unique index of a partitioned table has to contain what it is partitioned by.
    cursor.execute("ALTER TABLE parted ADD PRIMARY KEY (id, at)")
    cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s AND indexdef NOT LIKE '%%UNIQUE%%'", [TABLE])
    for (definition,) in cursor.fetchall():
        cursor.execute(f"CREATE INDEX ON parted {definition[definition.index('USING') :]}")


def fill(cursor: Any, name: str, rows: int, years: int) -> None:
    cursor.execute(
        f"""INSERT INTO {name} (id, checkout_id, from_state, to_state, at, code, facts, note)
        SELECT n, n / {MOVES}, 'pending', 'request',
               '{FIRST_YEAR}-01-01'::timestamptz + n * ((interval '365 days') * {years} / {rows}), 'run', '{{}}', ''
        FROM generate_series(1, {rows - 1}) AS n"""
    )
    cursor.execute(f"VACUUM ANALYZE {name}")


def measure(cursor: Any, name: str, rows: int, times: int) -> dict[str, float]:
    """Medians in milliseconds; and megabytes."""

    def history(number: int) -> None:
        attempt = rows // MOVES * number // times
        cursor.execute(f"SELECT * FROM {name} WHERE checkout_id = %s ORDER BY id", [attempt])
        cursor.fetchall()

    def add(number: int) -> None:
        cursor.execute(
            f"INSERT INTO {name} (id, checkout_id, from_state, to_state, at, code, facts, note) "
            "SELECT %s, checkout_id, from_state, to_state, at, code, facts, note FROM "
            f"{name} WHERE checkout_id = %s LIMIT 1",
            [rows + number, rows // MOVES - 1 - number],
        )

    cursor.execute("SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname ~ %s", [name])
    size = int(cursor.fetchone()[0] or 0)
    return {
        "weight, MB": size / 2**20,
        "history of one attempt, ms": median(history, times),
        "a new row, ms": median(add, times),
    }


def median(what: Callable[[int], None], times: int) -> float:
    taken = []
    for number in range(times):
        started = time.perf_counter()
        what(number)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def weigh_archive(cursor: Any, found: dict[str, float]) -> None:
    """The oldest year as a compressed file of comma-separated values."""
    started, packer = time.perf_counter(), zlib.compressobj(6)
    weight = 0
    oldest = f"SELECT * FROM plain WHERE at < '{FIRST_YEAR + 1}-01-01'"
    with cursor.connection.cursor() as plainly, plainly.copy(f"COPY ({oldest}) TO STDOUT WITH CSV HEADER") as copy:
        for block in copy:
            weight += len(packer.compress(block))
    found["oldest year as a file, MB"] = (weight + len(packer.flush())) / 2**20
    found["to write it, s"] = time.perf_counter() - started


def end_oldest_year(cursor: Any, name: str) -> float:
    """Seconds until its rows are gone and their space can be used again."""
    started = time.perf_counter()
    if name == "plain":
        cursor.execute(f"DELETE FROM plain WHERE at < '{FIRST_YEAR + 1}-01-01'")
        cursor.execute("VACUUM plain")
    else:
        cursor.execute(f"ALTER TABLE parted DETACH PARTITION parted_{FIRST_YEAR}")
        cursor.execute(f"DROP TABLE parted_{FIRST_YEAR}")
    return time.perf_counter() - started


def show(found: dict[str, dict[str, float]]) -> None:
    print(f"{'':<28}{'as it is':>12}{'partitioned':>14}")
    for what in found["plain"] | found["parted"]:
        cells = [f"{found[name][what]:.3f}" if what in found[name] else "" for name in ("plain", "parted")]
        print(f"{what:<28}{cells[0]:>12}{cells[1]:>14}")


if __name__ == "__main__":
    sys.exit(main())

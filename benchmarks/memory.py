"""The memory of the process that charges, while one run goes through 100,000 lines; PostgreSQL.

    make bench BENCH=memory BENCH_ARGS="--count 100000 --threads 8"

The lines are written by a process of their own, and the emulator is another, so what is measured is a process that has
only charged. Prints its resident memory before the run, at each tenth of it and at the end: after the first tenth it
should grow no more. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.charging import emulator, fill, make_customers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")
CUSTOMERS, AT_ONCE = 50, 5_000


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--threads", type=int, default=8)
    options.add_argument("--fill", default="", help="only write the lines, for cards of the emulator at this address")
    chosen = options.parse_args()

    import django

    django.setup()
    if chosen.fill:
        write(chosen.fill, chosen.count)
        return 0
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with emulator(0) as base:
        filling = [sys.executable, "-m", "benchmarks.memory", "--fill", base, "--count", str(chosen.count)]
        subprocess.run(filling, check=True)
        settings.CHECKOUT_STRIPE_HTTP_CLIENT, settings.CHECKOUT_STRIPE_API_BASE = "", base
        settings.CHECKOUT_RATE_LIMIT = 100_000
        charge(chosen.count, chosen.threads)
    return 0


def write(base: str, count: int) -> None:
    for number, begin in enumerate(range(0, count, AT_ONCE)):
        fill(make_customers(base, CUSTOMERS), min(AT_ONCE, count - begin), f"memory-{number}")


def charge(count: int, threads: int) -> None:
    from checkout.models import PaymentRunItem
    from checkout.services import runs

    before = resident()
    print(f"before the run: {before:.0f} MiB", flush=True)
    over = threading.Event()

    def watch() -> None:
        from django.db import connection

        tenth = 1
        while not over.wait(1):
            done = PaymentRunItem.objects.exclude(outcome="").count()
            if done >= tenth * count / 10:
                print(
                    f"{done:>9,} lines: {resident():.0f} MiB, {done / (time.perf_counter() - started):.0f}/s",
                    flush=True,
                )
                tenth = int(done * 10 / count) + 1
        connection.close()

    started = time.perf_counter()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run = runs.process_payments(workers=threads)
    finally:
        over.set()
        watcher.join()
    seconds = time.perf_counter() - started
    counts = runs.counts(run)
    if counts != {"charged": count}:
        raise SystemExit(f"expected {count} charged, got {counts}")
    more = resident() - before
    print(f"{count:>9,} lines: {resident():.0f} MiB, {count / seconds:.0f}/s; {more:.0f} MiB more than before")


def resident() -> float:
    """MiB of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())

"""One process against two Celery workers that share a run, with the same number of requests at a time; PostgreSQL.

    make bench BENCH=scale BENCH_ARGS="--count 600 --latency-ms 350 --rounds 3"

Real processes: PostgreSQL, Redis, the emulator over HTTP, and two workers of two processes with eight threads each, by
the real fan-out. At the pace of the settings (100 charges a second at most, shared over Redis). The time of the workers
is from the message that begins the run until the last line is settled; they are up before. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from benchmarks.charging import charge_with_run, emulator, fill, make_customers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")

WORKERS, PROCESSES, THREADS = 2, 2, 8


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=600)
    options.add_argument("--latency-ms", type=int, default=350)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()

    import django

    django.setup()
    from django.db import connection
    from django.test.utils import override_settings, setup_databases, teardown_databases

    at_once = WORKERS * PROCESSES * THREADS
    databases = setup_databases(verbosity=0, interactive=False)
    one, many = [], []
    try:
        for number in range(chosen.rounds):
            with (
                emulator(chosen.latency_ms) as base,
                override_settings(CHECKOUT_STRIPE_HTTP_CLIENT="", CHECKOUT_STRIPE_API_BASE=base),
            ):
                customers = make_customers(base, at_once)
                fill(customers, chosen.count, f"one-{number}")
                one.append(charge_with_run(chosen.count, at_once)[0])
                fill(make_customers(base, at_once), chosen.count, f"many-{number}")
                many.append(charge_with_workers(base, chosen.count))
            print(f"round {number + 1}: one process {one[-1]:.1f}/s, {WORKERS} workers {many[-1]:.1f}/s", flush=True)
        connection.close()
    finally:
        teardown_databases(databases, verbosity=0)
    print(f"{chosen.count} charges, {at_once} requests at a time, {chosen.latency_ms} ms latency; medians")
    print(f"one process          {statistics.median(one):6.1f} charges/s")
    print(f"two Celery workers   {statistics.median(many):6.1f} charges/s")
    return 0


def charge_with_workers(base: str, count: int) -> float:
    from checkout.models import ObjectPaymentPlanInstalment, PaymentRun
    from checkout.services import runs
    from tests.postgres.celery_chaos import celery_workers, wait_for

    before = PaymentRun.objects.count()
    with celery_workers(base, PROCESSES) as (workers, sender):
        workers.environment["CHECKOUT_TEST_CHUNK"] = "50"
        workers.start(WORKERS)
        wait_for(lambda: len(sender.control.ping(timeout=1)) == WORKERS, 120, "the start of the workers")
        started = time.perf_counter()
        sender.send_task("checkout.tasks.process_payments")
        wait_for(lambda: not ObjectPaymentPlanInstalment.objects.filter(state="request").exists()
                 and not ObjectPaymentPlanInstalment.objects.due.exists()
                 and PaymentRun.objects.count() > before, 600, "the run")  # fmt: skip
        seconds = time.perf_counter() - started
    charged = runs.counts(PaymentRun.objects.latest("pk"))
    if charged != {"charged": count}:
        raise SystemExit(f"expected {count} charged, got {charged}")
    return count / seconds


if __name__ == "__main__":
    sys.exit(main())

"""2,000 due instalments, two Celery workers killed and started again twice in the middle, and bad weather at Stripe.

    make bench BENCH=chaos_celery BENCH_ARGS="--count 2000"

Real processes: PostgreSQL, Redis, two workers, the emulator over HTTP. 5 % of the answers are lost (half of them after
the work was done) and 5 % are a 500; with the last kill Redis loses every message. Afterwards each instalment is
charged exactly once, the one payment run adds up and `audit_failed_checkout` finds nothing, or this ends with an error.
Prints the figures.
"""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--kills", type=int, default=2)
    chosen = options.parse_args()

    import django

    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    from stripe_emulator import Clock, Emulator
    from tests.postgres.celery_chaos import chaos

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        emulator = Emulator(seed=1, clock=Clock())
        settings.CHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport
        kill_after = [chosen.count * (number + 1) // (chosen.kills + 1) for number in range(chosen.kills)]
        figures = chaos(emulator, chosen.count, kill_after=kill_after, chunk=100)
        connection.close()
    finally:
        teardown_databases(databases, verbosity=0)
    print(f"instalments due           {figures.instalments:,}")
    print(f"workers killed (SIGKILL)  both, after {' and '.join(map(str, figures.kills))} charges")
    print(f"messages lost             at the last kill; {figures.handed_out_again:,} handed out again by reconcile")
    print(f"requests to Stripe        {figures.requests:,}; {figures.lost:,} lost before any work or answered 500")
    print(f"unknown before reconcile  {figures.unknown_before_reconcile:,}")
    print(f"payment run               {', '.join(f'{name} {number:,}' for name, number in figures.outcomes.items())}")
    print(f"time                      {figures.seconds:.0f} s, starts of workers included")
    print("Each was charged exactly once; the run adds up; the audit found nothing.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

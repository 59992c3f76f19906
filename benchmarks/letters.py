"""How many letters a minute one process writes and hands to the mail server, after a run; PostgreSQL.

    make bench BENCH=letters BENCH_ARGS="--count 600"

A run charges so many lines, which asks for a letter each. Timed are the two jobs that follow: the one that words each
letter from its rows and queues it, and post_office's `send_queued_mail`, with a mail server that takes everything at
once: the server's own pace comes on top. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from benchmarks.charging import charge_with_run, emulator, fill, make_customers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=600)
    chosen = options.parse_args()

    import django

    django.setup()
    from django.test.utils import override_settings, setup_databases, setup_test_environment, teardown_databases
    from post_office.mail import get_queued, send_queued

    from checkout import mail
    from checkout.services.letters import writing

    setup_test_environment()
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with (
            emulator(0) as base,
            override_settings(
                CHECKOUT_STRIPE_HTTP_CLIENT="", CHECKOUT_STRIPE_API_BASE=base, CHECKOUT_RATE_LIMIT=100_000
            ),
        ):
            mail.install()
            fill(make_customers(base, chosen.count), chosen.count, "letters")
            charge_with_run(chosen.count, 8)
            started = time.perf_counter()
            written = writing.write_waiting()
            writing_took = time.perf_counter() - started
            queued = get_queued().count()
            started = time.perf_counter()
            sent, failed, _again = send_queued(processes=1)
            sending_took = time.perf_counter() - started
    finally:
        teardown_databases(databases, verbosity=0)
    if written.mailed != chosen.count or failed:
        raise SystemExit(f"{written} were written of {chosen.count}; {queued} queued, {failed} not sent")
    print(f"{written.mailed} letters written, {written.mailed / writing_took * 60:,.0f} a minute")
    print(f"{sent} mails sent, {sent / sending_took * 60:,.0f} a minute, to a server that takes them at once")
    return 0


if __name__ == "__main__":
    sys.exit(main())

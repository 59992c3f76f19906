"""Stripe limits an account: what one site charges at that limit, and what several with an account each do together.

    make bench BENCH=accounts BENCH_ARGS="--count 500 --limit 25 --sites 1 2 4"

Each site is a process of its own with a database and an emulator of its own, which refuses what goes beyond the limit
within a second, as Stripe does (https://docs.stripe.com/rate-limits). CHECKOUT_RATE_LIMIT is the same number. Sites are
filled first and begin together. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from benchmarks.charging import charge_with_run, emulator, fill, make_customers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=500, help="lines of each site")
    options.add_argument("--limit", type=int, default=25, help="requests a second that an account may make")
    options.add_argument("--latency-ms", type=int, default=350)
    options.add_argument("--sites", type=int, nargs="+", default=[1, 2, 4])
    options.add_argument("--one", default="", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        return one_site(chosen)
    for sites in chosen.sites:
        seconds = side_by_side(sites, sys.argv[1:])
        print(
            f"{sites} sites at {chosen.limit} requests/s each: {sites * chosen.count / seconds:.1f} charges/s together",
            flush=True,
        )
    return 0


def side_by_side(sites: int, arguments: list[str]) -> float:
    """Seconds from the start of all until the last one has charged everything."""
    command = [sys.executable, "-m", "benchmarks.accounts", *arguments]
    children = [
        subprocess.Popen(
            [*command, "--one", f"site_{sites}_{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(sites)
    ]
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "filled\n":
            raise SystemExit("A site could not be filled.")
    started = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("begin\n")
        child.stdin.flush()
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "charged\n":
            raise SystemExit("A site did not charge everything.")
    seconds = time.perf_counter() - started
    if any(child.wait() for child in children):
        raise SystemExit("A site did not end well.")
    return seconds


def one_site(chosen: argparse.Namespace) -> int:
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import override_settings, setup_databases, teardown_databases

    connection.settings_dict["TEST"]["NAME"] = f"test_{chosen.one}"
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with (
            emulator(chosen.latency_ms, "--rate-limit", str(chosen.limit)) as base,
            override_settings(
                CHECKOUT_STRIPE_HTTP_CLIENT="", CHECKOUT_STRIPE_API_BASE=base, CHECKOUT_RATE_LIMIT=chosen.limit
            ),
        ):
            # Few enough to be made within the limit of a second.
            fill(make_customers(base, chosen.limit // 2), chosen.count, chosen.one)
            print("filled", flush=True)
            sys.stdin.readline()
            charge_with_run(chosen.count, 40)
            print("charged", flush=True)
        connection.close()
    finally:
        teardown_databases(databases, verbosity=0)
    return 0


if __name__ == "__main__":
    sys.exit(main())

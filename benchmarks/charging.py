"""How fast a payment run charges, against a bare SDK loop with the same threads; both in this one run.

    make bench BENCH=charging BENCH_ARGS="--count 600 --threads 40 --latency-ms 350"

Starts an emulator of its own with that latency, fills PostgreSQL with instalments due today, and prints calls per
second of both, their ratio, and the CPU time of this process per charged instalment. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def emulator(latency_ms: int) -> Iterator[str]:
    """A server with that latency; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "stripe_emulator", "--port", str(port), "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{base}/emulator/health", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        yield base
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=600)
    options.add_argument("--threads", type=int, default=40)
    options.add_argument("--latency-ms", type=int, default=350)
    chosen = options.parse_args()

    import django
    from django.conf import settings
    from django.test.runner import DiscoverRunner

    django.setup()
    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        with emulator(chosen.latency_ms) as base:
            settings.CHECKOUT_STRIPE_HTTP_CLIENT = ""
            settings.CHECKOUT_STRIPE_API_BASE = base
            settings.CHECKOUT_RATE_LIMIT = 100_000
            customers = make_customers(base, chosen.threads)
            fill(customers, chosen.count)
            # The run first: it would read the bare loop's intents when it looks back over the last minutes.
            ours, cpu_ms = charge_with_run(chosen.count, chosen.threads)
            bare = charge_bare(base, customers, chosen.count, chosen.threads)
        print(f"bare SDK loop     {bare:7.1f} calls/s  ({chosen.threads} threads, {chosen.latency_ms} ms latency)")
        print(f"process_payments  {ours:7.1f} charges/s  ratio {ours / bare:.2f}")
        print(f"CPU per charged instalment {cpu_ms:.1f} ms (SDK, claim, hook, log rows and settling included)")
    finally:
        runner.teardown_databases(databases)


def make_customers(base: str, count: int) -> list[tuple[str, str]]:
    """(customer id, payment method id), one per thread."""
    import stripe

    stripe.enable_telemetry = False
    client = stripe.StripeClient("sk_test_emulator", base_addresses={"api": base})

    def make(number: int) -> tuple[str, str]:
        customer = client.v1.customers.create({"email": f"payer{number}@example.com"})
        method = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        return customer.id, method.id

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(make, range(count)))


def charge_bare(base: str, customers: list[tuple[str, str]], count: int, threads: int) -> float:
    """Calls per second of the SDK alone."""
    import stripe

    client = stripe.StripeClient("sk_test_emulator", base_addresses={"api": base})

    def charge(number: int) -> None:
        customer, method = customers[number % len(customers)]
        client.v1.payment_intents.create(
            {
                "amount": 1000,
                "currency": "gbp",
                "customer": customer,
                "payment_method": method,
                "confirm": True,
                "off_session": True,
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            },
            {"idempotency_key": str(uuid.uuid4())},
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(charge, range(threads)))
        started = time.perf_counter()
        list(pool.map(charge, range(count)))
        return count / (time.perf_counter() - started)


def fill(customers: list[tuple[str, str]], count: int) -> None:
    from django.contrib.contenttypes.models import ContentType

    from checkout import clock, states
    from checkout.models import (
        Agreement,
        Customer,
        ObjectPaymentPlan,
        ObjectPaymentPlanInstalment,
        PaymentPlan,
        SavedCard,
    )
    from checkout.services import debts
    from tests.host.models import Membership

    template = PaymentPlan.objects.create_payment_plan("bulk", "Bulk", 50, 1, 1)
    rows = Customer.objects.bulk_create(
        Customer(email=f"payer{number}@example.com") for number in range(len(customers))
    )
    cards = SavedCard.objects.bulk_create(
        SavedCard(customer=row, stripe_customer_id=customer, payment_method_id=method, set_up_at=clock.now())
        for row, (customer, method) in zip(rows, customers, strict=True)
    )
    agreements = Agreement.objects.bulk_create(
        Agreement(kind=Agreement.Kind.PAPER, saved_card=card, text="As agreed.", version="1") for card in cards
    )
    members = Membership.objects.bulk_create(Membership(total=Decimal(20)) for _ in range(count))
    content_type = ContentType.objects.get_for_model(Membership)
    plans = ObjectPaymentPlan.objects.bulk_create(
        ObjectPaymentPlan(
            content_type=content_type,
            object_id=str(member.pk),
            payment_plan=template,
            customer=rows[number % len(rows)],
            agreement=agreements[number % len(rows)],
            total=Decimal(20),
        )
        for number, member in enumerate(members)
    )
    today = clock.today()
    paid = {"count": 1, "deposit": True, "amount": Decimal(10), "state_id": states.SUCCESS}
    ObjectPaymentPlanInstalment.objects.bulk_create(
        ObjectPaymentPlanInstalment(object_payment_plan=plan, due=today - timedelta(days=30), **paid) for plan in plans
    )
    lines = ObjectPaymentPlanInstalment.objects.bulk_create(
        ObjectPaymentPlanInstalment(object_payment_plan=plan, count=2, amount=Decimal(10), due=today) for plan in plans
    )
    debts.open_lines(lines)


def charge_with_run(count: int, threads: int) -> tuple[float, float]:
    """(charges per second, CPU milliseconds per charge) of one payment run."""
    from checkout.services import look_back, runs

    # Every reconcile keeps it up to date, so a nightly run finds little left to compare.
    look_back.look_back()
    cpu, started = time.process_time(), time.perf_counter()
    run = runs.process_payments(workers=threads)
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    counts = runs.counts(run)
    if counts != {"charged": count}:
        raise SystemExit(f"expected {count} charged, got {counts}")
    return count / seconds, spent / count * 1000


if __name__ == "__main__":
    main()

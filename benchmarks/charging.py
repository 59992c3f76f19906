"""How fast a payment run charges, against a bare SDK loop and an honest floor with the same threads; all in this run.

    make bench BENCH=charging BENCH_ARGS="--count 600 --threads 40 --latency-ms 350 --rounds 3"

Starts an emulator of its own with that latency, fills PostgreSQL with instalments due today, and prints calls per
second and the CPU time of this process per charge: of the bare loop, of a floor in stages (claim in batches, ask,
settle; `benchmarks/_floor.py`) and of our run; the median of the rounds. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
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
def emulator(latency_ms: int, *options: str) -> Iterator[str]:
    """A server with that latency, and more options of its own; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "stripe_emulator", "--port", str(port), "--latency-ms", str(latency_ms), *options]
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
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--profile", default="", help="write what cProfile says of one more run into this file")
    chosen = options.parse_args()

    import django
    from django.test.runner import DiscoverRunner

    django.setup()
    from benchmarks import _floor

    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        _floor.create_tables()
        rounds = [one_round(chosen, f"bulk-{number}") for number in range(chosen.rounds)]
        if chosen.profile:
            import cProfile

            with cProfile.Profile() as looked:
                one_round(chosen, "profiled")
            looked.dump_stats(chosen.profile)
        print(f"{chosen.count} charges, {chosen.threads} threads, {chosen.latency_ms} ms latency; medians of rounds")
        for name in ("bare", "floor", "ours"):
            speed, cpu_ms = (statistics.median(each[name][part] for each in rounds) for part in (0, 1))
            faster = statistics.median(each[name][0] / each["bare"][0] for each in rounds)
            dearer = statistics.median(each[name][1] / each["bare"][1] for each in rounds)
            print(
                f"{name:<6} {speed:7.1f} charges/s, {faster:.2f} of the bare loop; "
                f"{cpu_ms:5.1f} ms of CPU a charge, {dearer:.2f} bare calls"
            )
    finally:
        runner.teardown_databases(databases)


def one_round(chosen: argparse.Namespace, name: str) -> dict[str, tuple[float, float]]:
    """Of each way (charges per second, CPU milliseconds per charge), at an emulator that knows nothing yet."""
    from django.test import override_settings

    with (
        emulator(chosen.latency_ms) as base,
        override_settings(CHECKOUT_STRIPE_HTTP_CLIENT="", CHECKOUT_STRIPE_API_BASE=base, CHECKOUT_RATE_LIMIT=100_000),
    ):
        customers = make_customers(base, chosen.threads)
        fill(customers, chosen.count, name)
        # Ours first: it would read the other loops' intents when it looks back over the last minutes.
        ours = charge_with_run(chosen.count, chosen.threads)
        floor = charge_with_floor(base, customers, chosen.count, chosen.threads)
        return {"bare": charge_bare(base, customers, chosen.count, chosen.threads), "floor": floor, "ours": ours}


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


def asker(base: str) -> Callable[[str, str, str], str]:
    """One call of the SDK: customer, payment method, idempotency key; the intent's id."""
    import stripe

    client = stripe.StripeClient("sk_test_emulator", base_addresses={"api": base})

    def ask(customer: str, method: str, key: str) -> str:
        made = client.v1.payment_intents.create(
            {
                "amount": 1000,
                "currency": "gbp",
                "customer": customer,
                "payment_method": method,
                "confirm": True,
                "off_session": True,
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            },
            {"idempotency_key": key},
        )
        return made.id if made.status == "succeeded" else ""

    return ask


def charge_bare(base: str, customers: list[tuple[str, str]], count: int, threads: int) -> tuple[float, float]:
    """(calls per second, CPU milliseconds per call) of the SDK alone."""
    ask = asker(base)

    def charge(number: int) -> None:
        ask(*customers[number % len(customers)], str(uuid.uuid4()))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(charge, range(threads)))
        cpu, started = time.process_time(), time.perf_counter()
        list(pool.map(charge, range(count)))
        return count / (time.perf_counter() - started), (time.process_time() - cpu) / count * 1000


def charge_with_floor(base: str, customers: list[tuple[str, str]], count: int, threads: int) -> tuple[float, float]:
    from benchmarks import _floor

    ask = asker(base)
    _floor.FloorPayment.objects.bulk_create(
        _floor.FloorPayment(customer_id=customer, payment_method_id=method, amount_minor=1000)
        for customer, method in (customers[number % len(customers)] for number in range(count))
    )
    cpu, started = time.process_time(), time.perf_counter()
    paid = _floor.run(lambda row: ask(row.customer_id, row.payment_method_id, str(row.key)), threads=threads)
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    if paid != count:
        raise SystemExit(f"expected {count} paid, got {paid}")
    return count / seconds, spent / count * 1000


def fill(customers: list[tuple[str, str]], count: int, slug: str = "bulk") -> None:
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

    template = PaymentPlan.objects.create_payment_plan(slug, "Bulk", 50, 1, 1)
    rows = Customer.objects.bulk_create(
        Customer(email=f"payer{number}@{slug}.example.com") for number in range(len(customers))
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

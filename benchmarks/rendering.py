"""What the server works on a page that a payer opens, against Django's own log-in page in the same process; PostgreSQL.

    make bench BENCH=rendering BENCH_ARGS="--times 40"

In turn, so that a busy machine slows all alike, at an emulator without latency in this process. Prints the median and
the CPU time of each page in milliseconds, its statements, and its CPU time as a multiple of the log-in page's.
Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--times", type=int, default=40)
    chosen = options.parse_args()

    import django

    django.setup()
    from django.test.utils import override_settings, setup_databases, setup_test_environment, teardown_databases

    from benchmarks.handled import counted
    from checkout import mail
    from stripe_emulator import Emulator

    setup_test_environment()
    databases = setup_databases(verbosity=0, interactive=False)
    emulator = Emulator(seed=1)
    try:
        with override_settings(CHECKOUT_STRIPE_HTTP_CLIENT=emulator.transport, CHECKOUT_RATE_LIMIT=100_000):
            mail.install()
            pages = open_pages(emulator)
            statements = {}
            for name, open_ in pages.items():
                open_()
                with counted() as sent:
                    open_()
                statements[name] = len(sent)
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in pages}
            for _round in range(chosen.times):
                for name, open_ in pages.items():
                    started, began = time.perf_counter(), time.process_time()
                    open_()
                    found[name].append((time.perf_counter() - started, time.process_time() - began))
    finally:
        teardown_databases(databases, verbosity=0)
    wall = {name: statistics.median(one[0] for one in times) * 1000 for name, times in found.items()}
    cpu = {name: statistics.median(one[1] for one in times) * 1000 for name, times in found.items()}
    floor = cpu[next(iter(pages))]
    print(f"{'page':<32} {'median':>9} {'CPU':>9} {'log-in pages':>13} {'statements':>11}")
    for name in pages:
        print(
            f"{name:<32} {wall[name]:>6.1f} ms {cpu[name]:>6.1f} ms {cpu[name] / floor:>13.2f} {statements[name]:>11}"
        )
    return 0


def open_pages(emulator: Any) -> dict[str, Callable[[], None]]:
    """By its name, what opens each page; the first is Django's own."""
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import reverse

    from checkout.models import Checkout
    from checkout.services import fulfillment
    from example_checkout.models import SalesLedger
    from tests.views.shop import logged_in, order, pay_page, return_page

    users = get_user_model().objects
    payer = users.create_user("payer", email="pat@payer.example", password="correct horse battery staple")
    client, staff = logged_in(payer), logged_in(users.create_superuser("bench"))
    sale = order(payer)
    paid_on = pay_page(client, sale)
    paid = Checkout.objects.latest("pk")
    emulator.pay(str(client.get(paid_on).context["client_secret"]))
    fulfillment.fulfill(paid)
    paid.refresh_from_db()
    open_page = pay_page(client, SalesLedger.objects.create(contact=sale.contact, product=sale.product))

    def opens(who: Client, address: str) -> Callable[[], None]:
        def open_() -> None:
            answer = who.get(address)
            if answer.status_code != 200:
                raise SystemExit(f"{address} answered {answer.status_code}")

        return open_

    receipt = reverse("checkout.receipt", args=[paid.uuid])
    return {
        "Django's log-in page": opens(Client(), reverse("admin:login")),
        "payment page": opens(client, open_page),
        "come back without paying": opens(client, return_page(Checkout.objects.latest("pk"))),
        "receipt": opens(client, receipt),
        "receipt as a PDF": opens(client, f"{receipt}pdf/"),
        "a payer's plans": opens(client, reverse("checkout.plan.list")),
        "office: story of a payment": opens(staff, reverse("checkout.detail", args=[paid.uuid])),
        "office: list of payments": opens(staff, reverse("checkout.list")),
    }


if __name__ == "__main__":
    sys.exit(main())

"""What a charge, a webhook and the office's pages cost as the books grow: 10,000, 100,000 and 1,000,000 lines.

    make bench BENCH=growth BENCH_ARGS="--sizes 10000 100000 1000000 --count 200"

Each size has a database of its own, filled by `_fill.py`, with a fifth as many payments; charges and webhooks go to an
emulator without latency, in a process of its own. Prints medians in milliseconds, and each as a multiple of what it was
in the smallest books: that stays near 1 where a look-up in an index is all that grows. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.charging import emulator, fill, make_customers
from benchmarks.handled import SECRET, paid_ours, post

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")

SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "CHECKOUT_BACKGROUND": "inline",
    "CHECKOUT_RATE_LIMIT": 100_000,
    "CHECKOUT_STRIPE_HTTP_CLIENT": "",
}
PAGES = {
    "list of payments": ("checkout.list", ""),
    "list of plans": ("checkout.object.payment.plan.list", ""),
    "list of what is overdue": ("checkout.overdue.list", ""),
    "search by name": ("checkout.search", "?q=ann%20smith100"),
    "search by amount": ("checkout.search", "?q=100.00"),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--count", type=int, default=200)
    chosen = options.parse_args()

    import django

    django.setup()
    found = {size: measure(size, chosen.count) for size in chosen.sizes}
    first = found[chosen.sizes[0]]
    print(f"{'medians in ms':<28}" + "".join(f"{size:>22,}" for size in chosen.sizes))
    for name in first:
        cells = (f"{found[size][name]:.1f} ({found[size][name] / first[name]:.2f})" for size in chosen.sizes)
        print(f"{name:<28}" + "".join(f"{cell:>22}" for cell in cells))
    return 0


def measure(lines: int, count: int) -> dict[str, float]:
    """What each thing costs in books of so many lines, in milliseconds."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings, setup_databases, teardown_databases

    from benchmarks import _fill
    from checkout.models import ObjectPaymentPlanInstalment
    from checkout.services import charging, runs

    print(f"filling {lines:,} lines", flush=True)
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        _fill.fill(lines, lines // 5, say=lambda words: None)
        with (
            emulator(0) as base,
            override_settings(CHECKOUT_STRIPE_API_BASE=base, CHECKOUT_WEBHOOK_SECRET=SECRET, **SETTINGS),
        ):
            known = set(ObjectPaymentPlanInstalment.objects.due.values_list("pk", flat=True))
            _fill.restart_numbers()
            fill(make_customers(base, 20), count, "growth")
            _fill.analyze()
            due = [line for line in ObjectPaymentPlanInstalment.objects.due if line.pk not in known]
            handler = WSGIHandler()
            found = {
                "picking 100 of what is due": median(lambda: list(runs.due_instalments()[:100]), 20),
                "one charge": median(lambda: charging.charge(due.pop(), if_due=True), count),
            }
            events: list[Any] = [paid_ours(_client(base)) for _one in range(count)]
            found["one webhook, in full"] = median(lambda: post(handler, "/checkout/webhook/", events.pop()), count)
            found |= {name: median(open_, 9) for name, open_ in _pages().items()}
            return found
    finally:
        teardown_databases(databases, verbosity=0)


def median(do: Callable[[], Any], times: int) -> float:
    taken = []
    for _one in range(times):
        started = time.perf_counter()
        do()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def _client(base: str) -> Any:
    import stripe

    return stripe.StripeClient("sk_test_emulator", base_addresses={"api": base})


def _pages() -> dict[str, Callable[[], Any]]:
    from django.contrib.auth import get_user_model
    from django.core.cache import cache
    from django.test import Client
    from django.urls import reverse

    from checkout.models import Customer

    user, _made = get_user_model().objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)

    def opens(address: str, before: Callable[[], Any] = lambda: None) -> Callable[[], Any]:
        def open_() -> None:
            before()
            answer = client.get(address)
            if answer.status_code != 200:
                raise SystemExit(f"{address} answered {answer.status_code}")

        open_()
        return open_

    pages = {name: opens(reverse(url) + query) for name, (url, query) in PAGES.items()}
    someone = Customer.objects.order_by("pk").values_list("pk", flat=True)[100]
    pages["page of a customer"] = opens(reverse("checkout.customer.detail", args=[someone]))
    pages["overview"] = opens(reverse("checkout.dashboard"))
    pages["overview, read anew"] = opens(reverse("checkout.dashboard"), cache.clear)
    return pages


if __name__ == "__main__":
    sys.exit(main())

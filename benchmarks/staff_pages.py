"""How long the server works on each staff list and the overview, with a million instalments.

    make bench BENCH=staff_pages BENCH_ARGS="--instalments 1000000 --times 9"

Prints the median in ms and the queries of each page; the
overview twice: from its cache, and read anew. On a busy machine "quickest" and "python" (CPU of this process) tell
more. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")

PAGES = [
    ("checkout.dashboard", ""),
    ("checkout.search", "?q=ann%20smith100"),
    ("checkout.search", "?q=ann"),
    ("checkout.search", "?q=course"),
    ("checkout.search", "?q=4242"),
    ("checkout.search", "?q=100.00"),
    ("checkout.search", "?q=pi_4242"),
    ("checkout.search", "?q=ch_1001"),
    ("checkout.search", "?q=R-2024-04242"),
    ("checkout.change.list", ""),
    ("checkout.change.list", "?show=jobs"),
    ("checkout.change.list", "?show=all&since=2024-01-01"),
    ("checkout.many.list", ""),
    ("checkout.list", ""),
    ("checkout.list", "?state=fail"),
    ("checkout.list", "?action=payment&state=fail"),
    ("checkout.list", "?at=a100000"),
    ("checkout.list", "?q=smith100"),
    ("checkout.list", "?q=ann"),
    ("checkout.list", "?since=2026-11-01"),
    ("checkout.list", "?until=2022-12-01"),
    ("checkout.list.success", ""),
    ("checkout.list.audit", ""),
    ("checkout.list.audit", "?state=pay_on_session"),
    ("checkout.object.payment.plan.list", ""),
    ("checkout.object.payment.plan.list", "?show=overdue"),
    ("checkout.overdue.list", ""),
    ("checkout.ahead.list", ""),
    ("checkout.object.payment.plan.list", "?show=waiting"),
    ("checkout.object.payment.plan.list", "?show=paused"),
    ("checkout.object.payment.plan.list", "?show=finished"),
    ("checkout.object.payment.plan.list", "?show=finished&at=a50000"),
    ("checkout.object.payment.plan.list", "?show=stopped"),
    ("checkout.object.payment.plan.list", "?q=wright"),
    ("checkout.object.payment.plan.card.expiry.list", ""),
    ("checkout.object.payment.plan.card.expiry.list", "?at=a50000"),
    ("checkout.card.refresh.list", ""),
    ("checkout.customer.list", ""),
    ("checkout.customer.list", "?q=evans%20iris"),
    ("checkout.customer.payment.list", ""),
    ("checkout.customer.payment.list", "?state=pending"),
    ("checkout.payment.run.list", ""),
    ("checkout.refund.list", ""),
    ("checkout.dispute.list", ""),
    ("checkout.event.list", ""),
    ("checkout.doctor", ""),
    ("checkout.payment.plan.list", ""),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--instalments", type=int, default=1_000_000)
    options.add_argument("--checkouts", type=int, default=200_000)
    options.add_argument("--times", type=int, default=9)
    options.add_argument("--filled", action="store_true", help="DATABASE_URL names a database that _fill.py has filled")
    chosen = options.parse_args()
    if chosen.filled:
        chosen.instalments = 0
    measure(chosen.instalments, chosen.checkouts, chosen.times)


def measure(instalments: int, checkouts: int, times: int) -> None:
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.cache import cache
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse

    from benchmarks._fill import analyze, fill
    from checkout.models import Customer, PaymentRun

    if instalments:
        print(f"filling {instalments:,} instalments and {checkouts:,} checkouts", flush=True)
        call_command("migrate", verbosity=0)
        fill(instalments, checkouts)
        analyze()
    user, _made = get_user_model().objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    pages: list[tuple[str, str, Any]] = [(name, reverse(name) + query, None) for name, query in PAGES]
    pages.append(("overview read anew", reverse("checkout.dashboard"), cache.clear))
    newest = Customer.objects.order_by("-pk").values_list("pk", flat=True)[0]
    pages += [("one customer", reverse("checkout.customer.detail", args=[pk]), None) for pk in (1, newest)]
    run = PaymentRun.objects.order_by("-pk")[900]
    pages.append(("one run", reverse("checkout.payment.run.detail", args=[run.pk]), None))
    ids, rows = _pick_due()
    print(f"picking 100 of what is due: {ids:.2f} ms, with plans and customers as objects {rows:.2f} ms", flush=True)
    print(f"{'page':<84} {'median':>8} {'quickest':>9} {'python':>8} queries")
    slow = 0
    for name, url, before in pages:
        wall, cpu, queries = _time(client, url, before, times)
        median = statistics.median(wall)
        slow += median >= 100
        label = f"{name} {url}" if not name.startswith("checkout.") else url
        print(
            f"{label:<84} {median:>6.1f}ms {min(wall):>7.1f}ms {statistics.median(cpu):>6.1f}ms {queries:>4}",
            flush=True,
        )
    print(f"{slow} of {len(pages)} pages at 100 ms or more; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _pick_due() -> tuple[float, float]:
    """Milliseconds to pick the next 100 instalments of a run: their ids, and with all that their charges need."""
    from checkout.services import runs

    due = runs.due_instalments()
    return _milliseconds(lambda: due.values_list("pk", flat=True)[:100]), _milliseconds(lambda: due[:100])


def _milliseconds(pick: Any, times: int = 20) -> float:
    started = time.perf_counter()
    for _ in range(times):
        picked = list(pick())
    assert len(picked) == 100, "there is something due"
    return (time.perf_counter() - started) / times * 1000


def _time(client: Any, url: str, before: Any, times: int) -> tuple[list[float], list[float], int]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url)
        assert answer.status_code == 200, (url, answer.status_code)
    queries = len(captured)
    wall, cpu = [], []
    for _ in range(times):
        if before is not None:
            before()
        started, began = time.perf_counter(), time.process_time()
        client.get(url)
        wall.append((time.perf_counter() - started) * 1000)
        cpu.append((time.process_time() - began) * 1000)
    return wall, cpu, queries


if __name__ == "__main__":
    main()

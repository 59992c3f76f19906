"""Each question of the search has an index on PostgreSQL: it is as quick in a large office as in a small one."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks._fill import fill
from checkout.models import Checkout, Customer
from checkout.office import accounts, everywhere

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

#: These stay small: a row a day.
SMALL = {"checkout_payout", "django_content_type"}


def tables_read_whole(plan: dict[str, Any]) -> set[str]:
    found = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return found.union(*(tables_read_whole(each) for each in plan.get("Plans", ())))


def test_no_search_reads_a_table_from_end_to_end() -> None:
    fill(2000, 400)
    whole: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        # Tables of a test are small enough to be read whole: only where no index helps it still is.
        cursor.execute("SET LOCAL enable_seqscan = off")
        for text in ("ann smith", "17", "4242", "£100.00", "pi_17", "ch_17", "txn_1", "R-2026-00017",
                     "0b2a1a9e-9a52-4a3c-8f3f-2d7b7d1a0c11"):  # fmt: skip
            with CaptureQueriesContext(connection) as captured:
                everywhere.find(everywhere.Asked(text), lambda permission: True)
            for query in captured.captured_queries:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {query['sql']}")
                [[[row]]] = cursor.fetchall()
                if found := tables_read_whole(row["Plan"]) - SMALL:
                    whole.setdefault(text, set()).update(found)
    assert whole == {}


@pytest.mark.parametrize(
    "address", ["ann.o'brien+shop@example-mail.com", "x@example.com", "a_b-c.d@sub.example.co.uk", "1e5@3.example"]
)
def test_a_payer_without_a_login_is_found_by_their_whole_address(address: str) -> None:
    fill(20, 20)
    theirs, longer, bare = Checkout.objects.order_by("pk")[:3]
    for row, payer in ((theirs, f"Ann <{address}>"), (longer, f"Ann <{address}s>"), (bare, address.upper())):
        Checkout.objects.filter(pk=row.pk).update(payer=payer, customer=None)
    customer = Customer.objects.create(pk=10_000, name="Ann", email=address)
    assert set(accounts.attempts_of(customer)) == {theirs, bare}

"""A webhook handled in full, against an honest floor: signature, store, read the intent, settle, log; PostgreSQL.

    make bench BENCH=handled BENCH_ARGS="--count 200 --rounds 3"

A payer has paid on the page, and `payment_intent.succeeded` arrives. Both read the intent from the same emulator (a
process of its own) in the same process of Django, in turn, so that a busy machine slows both alike. The floor
(`benchmarks/_floor.py`) has no postings, letters, receipts, hooks or retries. Prints the median of the rounds, and the
statements that ours takes. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from benchmarks._post import environment
from benchmarks.charging import emulator

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")
SECRET = "whsec_bench"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--profile", default="", help="write what cProfile says of ours into this file")
    options.add_argument("--statements", action="store_true", help="print the statements of one event")
    chosen = options.parse_args()

    import django

    django.setup()
    import stripe
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections, connection
    from django.test.utils import setup_databases, teardown_databases
    from django.urls import path

    from benchmarks import _floor
    from example_checkout import urls

    settings.CHECKOUT_WEBHOOK_SECRET, settings.ALLOWED_HOSTS = SECRET, ["*"]
    settings.CHECKOUT_BACKGROUND, settings.CHECKOUT_STRIPE_HTTP_CLIENT = "inline", ""
    # As in a site with CONN_MAX_AGE: the connection stays.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    databases = setup_databases(verbosity=0, interactive=False)
    _floor.create_tables()
    handler = WSGIHandler()
    try:
        with emulator(0) as base:
            settings.CHECKOUT_STRIPE_API_BASE = base
            client = stripe.StripeClient("sk_test_emulator", base_addresses={"api": base})
            urls.urlpatterns.insert(0, path("floor/", _floor.event_view(client, SECRET)))
            rounds: list[tuple[float, float]] = []
            for number in range(chosen.rounds):
                events = [(paid_floor(client), paid_ours(client)) for _one in range(chosen.count)]
                times: list[tuple[float, float]] = []
                for floor, ours in events:
                    times.append((post(handler, "/floor/", floor), post(handler, "/checkout/webhook/", ours)))
                rounds.append((statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)))
                print(f"round {number + 1}: floor {rounds[-1][0] * 1000:.2f} ms, ours {rounds[-1][1] * 1000:.2f} ms")
            every: list[int] = []
            for number in range(20):
                event = paid_ours(client)
                with counted() as statements:
                    post(handler, "/checkout/webhook/", event)
                every.append(len(statements))
                if chosen.statements and number == 19:
                    print("\n".join(statements))
            check_all_settled()
            if chosen.profile:
                profile(chosen.profile, [paid_ours(client) for _one in range(200)], handler)
        connection.close()
    finally:
        teardown_databases(databases, verbosity=0)
    ratio = statistics.median(ours / floor for floor, ours in rounds)
    print(f"handled in full {ratio:.2f} times the floor (median of {len(rounds)} rounds)")
    print(f"statements      {statistics.mean(every):.1f} for an event handled ({dict(Counter(every))})")
    return 0


def profile(name: str, events: list[dict[str, Any]], handler: Callable[..., Any]) -> None:
    import cProfile

    with cProfile.Profile() as looked:
        for event in events:
            post(handler, "/checkout/webhook/", event)
    looked.dump_stats(name)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that are sent meanwhile; the beginning and end of a transaction are none."""
    from django.db import connection

    seen: list[str] = []

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield seen


def confirmed(client: Any, intent_id: str) -> dict[str, Any]:
    """The payer pays on the page; the event that Stripe sends of it."""
    confirmed = client.v1.payment_intents.confirm(
        intent_id, {"payment_method": "pm_card_visa", "return_url": "https://shop.example/"}
    )
    return {
        "id": f"evt_{intent_id}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": confirmed.to_dict()},
    }


def paid_floor(client: Any) -> dict[str, Any]:
    from benchmarks._floor import FloorPayment

    made = client.v1.payment_intents.create(
        {"amount": 2000, "currency": "gbp", "automatic_payment_methods": {"enabled": True}}
    )
    FloorPayment.objects.create(intent_id=made.id, amount_minor=2000, state="asked")
    return confirmed(client, made.id)


def paid_ours(client: Any) -> dict[str, Any]:
    from checkout.models import Checkout
    from tests.host.models import Membership

    row = Membership.objects.create(total=Decimal(20))
    begun = Checkout.objects.create_checkout("payment", row, None)
    return confirmed(client, begun.payment_intent_id)


def check_all_settled() -> None:
    from checkout.models import Checkout

    if left := Checkout.objects.exclude(state="success").count():
        raise SystemExit(f"{left} payments were not settled.")


def post(handler: Callable[..., Any], address: str, event: dict[str, Any]) -> float:
    """Seconds until the event was worked on, which ours does after the answer."""
    asked = environment(address, event, SECRET)
    started = time.perf_counter()
    answer = handler(asked, lambda status, headers: None)
    answer.close()
    taken = time.perf_counter() - started
    if answer.status_code != 200:
        raise SystemExit(f"{address} answered {answer.status_code}: {answer.content!r}")
    return taken


if __name__ == "__main__":
    sys.exit(main())

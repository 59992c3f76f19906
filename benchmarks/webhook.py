"""How fast a webhook is checked, stored and answered, against a Django view that stores one such row; PostgreSQL.

    make bench BENCH=webhook BENCH_ARGS="--count 2000"

One process, through Django's whole WSGI handler. The time is until the answer is ready to be sent; what is done for the
event comes after that (CHECKOUT_BACKGROUND). Measured, never asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from benchmarks._post import environment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=2000)
    chosen = options.parse_args()

    import django

    django.setup()
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections, connection
    from django.http import HttpRequest, HttpResponse
    from django.test.utils import setup_databases, teardown_databases
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    from checkout import clock
    from checkout.models import StripeEvent
    from example_checkout import urls

    settings.CHECKOUT_WEBHOOK_SECRET = "whsec_bench"
    settings.ALLOWED_HOSTS = ["*"]
    # As in a site with CONN_MAX_AGE: the connection stays.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)

    @csrf_exempt
    def baseline(request: HttpRequest) -> HttpResponse:
        event = json.loads(request.body)
        StripeEvent.objects.create(
            event_id=event["id"], event_type=event["type"], livemode=False, created_at=clock.now(), payload=event
        )
        return HttpResponse()

    urls.urlpatterns.insert(0, path("baseline/", baseline))
    databases = setup_databases(verbosity=0, interactive=False)
    handler = WSGIHandler()

    def post(address: str, number: int) -> float:
        event: dict[str, Any] = {
            "id": f"evt_{address}_{number}",
            "object": "event",
            "type": "payment_intent.succeeded",
            "api_version": "2026-10-28.endive",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": {"id": f"pi_{number}", "object": "payment_intent", "metadata": {}, "amount": 1000}},
        }
        asked = environment(address, event, "whsec_bench")
        started = time.perf_counter()
        answer = handler(asked, lambda status, headers: None)
        taken = time.perf_counter() - started
        assert answer.status_code == 200
        answer.close()
        return taken

    try:
        figures: dict[str, list[float]] = {"baseline": [], "sweep": [], "inline": []}
        for number in range(chosen.count):
            # In turn, so that a busy machine slows all of them alike.
            figures["baseline"].append(post("/baseline/", number))
            for way in ("sweep", "inline"):
                settings.CHECKOUT_BACKGROUND = way
                figures[way].append(post("/checkout/webhook/", number + chosen.count * (way == "inline")))
        connection.close()
    finally:
        teardown_databases(databases, verbosity=0)
    usual = {name: sorted(times)[len(times) // 2] for name, times in figures.items()}
    for name, seconds in usual.items():
        share = usual["baseline"] / seconds
        print(f"{name:<9} {seconds * 1000:.2f} ms to the answer, {1 / seconds:,.0f}/s, {share:.2f} of the baseline")
    return 0


if __name__ == "__main__":
    sys.exit(main())

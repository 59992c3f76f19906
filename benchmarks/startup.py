"""What the app adds to the start of a site: `django.setup()` and the addresses, with it and without it.

    make bench BENCH=startup BENCH_ARGS="--rounds 7"

Each start is a process of its own, in turn: a site of Django's own apps with the admin; the same with `post_office`,
which the app needs; the same with `checkout` and all its addresses. Prints the medians of CPU seconds and of resident
memory. Measured, never asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

DJANGOS = ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
SITE = """
import resource, sys, time
began = time.process_time()
import django
from django.conf import settings
from django.urls import include, path
apps = {apps!r}
checkout = "checkout" in apps
settings.configure(
    SECRET_KEY="bench", INSTALLED_APPS=apps, ROOT_URLCONF=__name__, USE_TZ=True, STATIC_URL="/static/",
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    STRIPE_SECRET_KEY="sk_test_bench", STRIPE_PUBLISH_KEY="pk_test_bench", STRIPE_CURRENCY="GBP",
)
django.setup()
from django.contrib import admin
urlpatterns = [path("admin/", admin.site.urls)]
if checkout:
    urlpatterns.append(path("checkout/", include("checkout.urls")))
from django.urls import get_resolver
get_resolver().url_patterns
get_resolver().reverse_dict
print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    django = [f"django.contrib.{name}" for name in DJANGOS]
    sites = {
        "Django with its admin": django,
        "and post_office": [*django, "post_office"],
        "and checkout": [*django, "post_office", "checkout"],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sites}
    # What Python compiled is kept, as on a server.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for number in range(chosen.rounds + 1):
        for name, apps in sites.items():
            command = [sys.executable, "-c", SITE.format(apps=apps)]
            told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            seconds, memory = told.stdout.split()[-2:]
            if number:
                found[name].append((float(seconds), float(memory)))
    print(f"{'site':<24} {'CPU':>8} {'memory':>10}")
    for name, starts in found.items():
        cpu, memory = (statistics.median(start[part] for start in starts) for part in (0, 1))
        print(f"{name:<24} {cpu:>6.2f} s {memory:>6.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

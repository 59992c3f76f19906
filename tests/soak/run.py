"""Live for a while and compare: `make soak SEED=1 PLANS=2000 DAYS=365`. Prints how fast, and what does not hold.

    python -m tests.soak.run --seed 1 --plans 2000 --days 365 [--seeds 4] [--weather 0.05] [--workers 1]

On SQLite, or on PostgreSQL with DJANGO_SETTINGS_MODULE=tests.settings_postgres. With one worker the same seed is the
same life. In its middle a day is lost: the database is put back as it was on the morning before.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def live(seed: int, plans: int, days: int, *, weather: float, workers: int, say: Callable[[str], None]) -> list[str]:
    """One life, in an empty database. What does not hold in the end."""
    from tests.soak import checks, copies
    from tests.soak.world import World

    world = World(seed, plans, days, weather=weather, workers=workers)
    started = time.perf_counter()
    with world.opened():
        world.lives(days // 2)
        restore = copies.backup()
        world.lives(days // 2 + 1)
        restore()
        world.lives(days)
        world.calm()
        lived = time.perf_counter() - started
        found = checks.faults(world)
        charges = len(world.emulator.world.tables["charge"])
        say(
            f"seed {seed}: {world.happened['begins']:,} plans, {days} days, {charges:,} charges, "
            f"{world.emulator.weather.seen:,} requests, {sum(world.refused.values()):,} refused or unanswered, "
            f"{lived:.0f} s, {charges / lived:.1f} charges/s, checked in {time.perf_counter() - started - lived:.0f} s"
        )
        if os.environ.get("SOAK_MORE"):
            say(f"{dict(world.happened)}\n{dict(world.refused)}")
    return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seeds", type=int, default=1, help="so many lives, from that seed on")
    options.add_argument("--plans", type=int, default=2000)
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--weather", type=float, default=0.05, help="the share of requests that meet a fault")
    options.add_argument("--workers", type=int, default=1)
    chosen = options.parse_args()

    import django
    from django.test.runner import DiscoverRunner

    django.setup()
    # What is refused and lost is looked at in the end; millions of lines would only be slow.
    logging.disable(logging.CRITICAL)
    bad = 0
    for seed in range(chosen.seed, chosen.seed + chosen.seeds):
        runner = DiscoverRunner(verbosity=0, interactive=False)
        databases = runner.setup_databases()
        try:
            found = live(
                seed, chosen.plans, chosen.days, weather=chosen.weather, workers=chosen.workers,
                say=lambda words: print(words, flush=True),
            )  # fmt: skip
        except Exception:  # noqa: BLE001 - whatever it is, it is told how to see it again
            found = [traceback.format_exc()]
        finally:
            runner.teardown_databases(databases)
        for words in found[:40]:
            print(f"  {words}")
        if found:
            bad += 1
            print(
                f"{len(found)} things do not hold. The same life again: "
                f"make soak SEED={seed} PLANS={chosen.plans} DAYS={chosen.days} SOAK_ARGS='--weather {chosen.weather}'",
                flush=True,
            )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

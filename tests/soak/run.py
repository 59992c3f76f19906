"""Live for a while and compare: `make soak SEED=1 PLANS=2000 DAYS=365`. Prints how fast, and what does not hold.

    python -m tests.soak.run --seed 1 --plans 2000 --days 365 [--seeds 4] [--processes 2] [--weather 0.05] [--workers 1]
    python -m tests.soak.run --charges 1000000 --seeds 3 --processes 2

On SQLite, or on PostgreSQL with DJANGO_SETTINGS_MODULE=tests.settings_postgres. With one worker the same seed is the
same life. In its middle a day is lost: the database is put back as it was on the morning before. `--charges` says how
many are wanted of all seeds together, and chooses the plans. With `--processes` that many seeds are lived side by side,
each in a process and a database of its own. How far a life has come is told on standard error.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.soak.world import World

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

#: So many charges a plan brings in a year, those that are declined among them; it begins on any of the first 219 days.
CHARGES_OF_A_PLAN: Final = 5.1
#: How often it is told how far a life has come, in seconds of real time.
TOLD_EVERY: Final = 120.0


class Progress:
    """Tells now and then how far a life has come, and how fast it was since the last time."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.began = self.told = time.perf_counter()
        self.charges = 0

    def __call__(self, world: World) -> None:
        now = time.perf_counter()
        if now - self.told < TOLD_EVERY:
            return
        charges = charges_of(world)
        rate = (charges - self.charges) / (now - self.told)
        self.tell(
            f"seed {world.seed}: day {world.day} of {world.days}, {charges:,} charges after {now - self.began:.0f} s, "
            f"{rate:.1f} charges/s now, {memory():,} MiB"
        )
        self.told, self.charges = now, charges


def charges_of(world: World) -> int:
    return len(world.emulator.world.tables["charge"])


def memory() -> int:
    """The most that this process has held, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts KiB, macOS bytes.
    return most // (2**20 if sys.platform == "darwin" else 2**10)


def live(
    seed: int,
    plans: int,
    days: int,
    *,
    weather: float,
    workers: int,
    say: Callable[[str], None],
    tell: Callable[[str], None] = lambda _words: None,
) -> list[str]:
    """One life, in an empty database. What does not hold in the end. `say` gets the result, `tell` how far it has
    come."""
    from tests.soak import checks, copies
    from tests.soak.world import World

    world = World(seed, plans, days, weather=weather, workers=workers)
    world.after_a_day = Progress(tell)
    started = time.perf_counter()
    with world.opened():
        world.lives(days // 2)
        restore = copies.backup()
        world.lives(days // 2 + 1)
        restore()
        world.lives(days)
        world.calm()
        lived = time.perf_counter() - started
        charges = charges_of(world)
        tell(f"seed {seed}: lived through after {lived:.0f} s with {charges:,} charges, and compared now")
        found = checks.faults(world)
        say(
            f"seed {seed}: {world.happened['begins']:,} plans, {days} days, {charges:,} charges, "
            f"{world.emulator.weather.seen:,} requests, {sum(world.refused.values()):,} refused or unanswered, "
            f"{lived:.0f} s, {charges / lived:.1f} charges/s, {memory():,} MiB, "
            f"checked in {time.perf_counter() - started - lived:.0f} s: "
            + (f"{len(found)} differences" if found else "no difference")
        )
        if os.environ.get("SOAK_MORE"):
            say(f"{dict(world.happened)}\n{dict(world.refused)}")
    return found


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seeds", type=int, default=1, help="so many lives, from that seed on")
    options.add_argument("--plans", type=int, default=2000)
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--charges", type=int, help="about so many in a year of all seeds together, instead of PLANS")
    options.add_argument("--processes", type=int, default=1, help="so many seeds side by side")
    options.add_argument("--weather", type=float, default=0.05, help="the share of requests that meet a fault")
    options.add_argument("--workers", type=int, default=1)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parser().parse_args(arguments)
    if chosen.charges is not None:
        chosen.days, chosen.plans = 365, math.ceil(chosen.charges / chosen.seeds / CHARGES_OF_A_PLAN)
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    if chosen.processes > 1 and chosen.seeds > 1:
        return _side_by_side(chosen, seeds)

    import django

    django.setup()
    # What is refused and lost is looked at in the end; millions of lines would only be slow.
    logging.disable(logging.CRITICAL)
    return max([_one(chosen, seed) for seed in seeds])


def _side_by_side(chosen: argparse.Namespace, seeds: Sequence[int]) -> int:
    """Each seed in a process of its own. Results are printed in the order of the seeds."""

    def begin(seed: int) -> subprocess.CompletedProcess[str]:
        options = {name: getattr(chosen, name) for name in ("plans", "days", "weather", "workers")}
        given = [f"--{name}={value}" for name, value in (options | {"seed": seed}).items()]
        # On PostgreSQL the name is the database's.
        mine = os.environ | {"SOAK_DATABASE": f"soak_{seed}"}
        command = [sys.executable, "-m", "tests.soak.run", *given]
        return subprocess.run(command, env=mine, stdout=subprocess.PIPE, text=True, check=False)

    worst = 0
    with ThreadPoolExecutor(chosen.processes) as pool:
        for ended in pool.map(begin, seeds):
            print(ended.stdout, end="", flush=True)
            worst = max(worst, abs(ended.returncode))
    return min(worst, 1)


def _one(chosen: argparse.Namespace, seed: int) -> int:
    from django.conf import settings
    from django.test.runner import DiscoverRunner

    if name := os.environ.get("SOAK_DATABASE"):
        for database in settings.DATABASES.values():
            if "postgresql" in database["ENGINE"]:
                database["TEST"] = {"NAME": f"test_{name}"}
    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        found = live(
            seed, chosen.plans, chosen.days, weather=chosen.weather, workers=chosen.workers,
            say=lambda words: print(words, flush=True), tell=lambda words: print(words, file=sys.stderr, flush=True),
        )  # fmt: skip
    except Exception:  # noqa: BLE001 - whatever it is, it is told how to see it again
        found = [traceback.format_exc()]
    finally:
        runner.teardown_databases(databases)
    for words in found[:40]:
        print(f"  {words}")
    if found:
        print(
            f"{len(found)} things do not hold. The same life again: "
            f"make soak SEED={seed} PLANS={chosen.plans} DAYS={chosen.days} SOAK_ARGS='--weather {chosen.weather}'",
            flush=True,
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Taking in an account of 100,000 movements and matching them: calls, minutes, memory; and a day's match as it grows.

    make bench BENCH=books BENCH_ARGS="--rows 100000"

Charges are put into the emulator's balance directly, 30 days of them with a payout each day, because asking for each
would take longer than what is measured. They are another site's: the match looks for each among our attempts.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import os
import resource
import time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")

DAYS = 30


def fill(emulator: Any, clock: Any, rows: int) -> None:
    """So many charges, spread over the days; each day what is available is paid out."""
    import stripe

    from stripe_emulator.resources import balance

    client = stripe.StripeClient("sk_test_x", http_client=emulator.transport(), max_network_retries=0)
    made = client.v1.payment_intents.create(
        {
            "amount": 5000, "currency": "gbp", "confirm": True, "payment_method": "pm_card_gb",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )  # fmt: skip
    emulator.bank.payout_schedule("daily")
    world = emulator.world
    for _day in range(DAYS):
        for _row in range(rows // DAYS):
            charge = copy.deepcopy(world.get("charge", made.latest_charge))
            charge |= {"id": world.ids.new("ch"), "payment_intent": world.ids.new("pi"), "created": world.timestamp()}
            world.add(charge)
            charge["balance_transaction"] = balance.post_charge(world, charge)["id"]
        for _ in range(4):
            clock.shift(datetime.timedelta(hours=6))
            emulator.tick()


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    rows = options.parse_args().rows

    import django

    django.setup()
    import time_machine
    from django.core.management import call_command
    from django.test.utils import override_settings

    from checkout.models import BalanceTransaction, Payout
    from checkout.services import books_intake, books_match
    from stripe_emulator import Clock, Emulator

    call_command("migrate", verbosity=0)
    call_command("flush", interactive=False, verbosity=0)
    begin = datetime.datetime(2027, 1, 4, 9, tzinfo=datetime.UTC)
    with time_machine.travel(begin, tick=False) as clock:
        emulator = Emulator(seed=1, clock=Clock())
        override_settings(CHECKOUT_STRIPE_HTTP_CLIENT=emulator.transport).enable()
        fill(emulator, clock, rows)
        before, memory, asked = time.monotonic(), megabytes(), len(emulator.requests)
        taken = books_intake.take_in(since=begin - datetime.timedelta(hours=1))
        seconds = time.monotonic() - before
        calls = len(emulator.requests) - asked
        print(f"taken in: {taken.rows} movements, {taken.payouts} payouts, {taken.held} with their content")
        print(f"  {calls} calls, {seconds / 60:.1f} minutes, {megabytes() - memory:.0f} MB more at the most")
        before = time.monotonic()
        matched = books_match.match()
        print(f"matched: {matched.compared} in {(time.monotonic() - before) / 60:.1f} minutes, open {matched.left}")
        before = time.monotonic()
        books_intake.take_in()
        books_match.match()
        print(f"again, with nothing new: {time.monotonic() - before:.1f} s")
        whose = books_intake.account()
        for day in (begin.date() + datetime.timedelta(days=1), begin.date() + datetime.timedelta(days=DAYS - 3)):
            before = time.monotonic()
            books_match.days(day, day, whose)
            print(f"a day's match, {day}: {(time.monotonic() - before) * 1000:.1f} ms")
        assert BalanceTransaction.objects.count() >= rows // DAYS * DAYS
        assert Payout.objects.exclude(held_at=None).exists()


if __name__ == "__main__":
    main()

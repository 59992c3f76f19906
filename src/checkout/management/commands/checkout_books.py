"""Take in the account's books at Stripe, and match them with ours."""

from __future__ import annotations

import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout import clock, money
from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand, day, moment
from checkout.services import books_intake, books_match, jobs


class Command(BaseCommand):
    help = (
        "Take in balance transactions and payouts from Stripe, match them with our postings, and print the match of a "
        "day. Safe to run at any time, again, and twice at once. Exits 1 when something could not be taken in. "
        "Differences are listed on the page Differences of the office."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since", type=moment, help="take in from then on once more: an age (90m, 36h, 7d) or a date"
        )
        parser.add_argument("--day", type=day, help="print the match of that day; default: yesterday")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with jobs.recorded("checkout_books"):
                taken = books_intake.take_in(options["since"])
                matched = books_match.match()
            self._print(options["day"] or clock.today() - datetime.timedelta(days=1))
        except CheckoutError as problem:
            raise CommandError(f"The books could not be taken in; the next run goes on there: {problem}") from problem
        self.stdout.write(
            f"taken in {taken.rows} and {taken.payouts} payouts, compared {matched.compared}, "
            f"differences opened {matched.opened}, gone {matched.closed}, open {matched.left}, errors {taken.errors}"
        )
        if taken.errors:
            raise CommandError("Not everything could be taken in; the log says why (logger checkout.books).")

    def _print(self, day: datetime.date) -> None:
        for each in books_match.days(day, day, books_intake.account()):
            parts = [
                f"{name} {money.tidy(amount, each.currency)}"
                for name, amount in (
                    ("at Stripe", each.at_stripe),
                    ("in our books", each.here),
                    ("not ours", each.foreign),
                    ("Stripe's own", each.stripes_own),
                    ("on the way", each.on_the_way),
                    ("differences", each.differences),
                    ("unnamed", each.unnamed),
                )
                if amount or name in ("at Stripe", "in our books", "unnamed")
            ]
            self.stdout.write(f"{day} {each.currency}: {', '.join(parts)}")

"""Find out what became of requests whose answer was lost."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand, positive
from checkout.services import jobs, look_back, reconcile


class Command(BaseCommand):
    help = (
        "Ask Stripe about every charge whose answer was lost, and settle it. Safe to run at any time, again, and twice "
        "at once. Exits 1 when something is still without an answer or needs a person."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=positive, help="look at so many at most")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with jobs.recorded("reconcile"):
                counts = reconcile.reconcile(options["limit"])
                looked = look_back.look_back()
        except CheckoutError as problem:
            raise CommandError(f"Stripe could not be asked; the next run goes on there: {problem}") from problem
        self.stdout.write(
            f"compared with Stripe {looked.compared}, settled {looked.settled}, adopted {looked.adopted}, "
            f"problems {looked.problems}, errors {looked.errors}"
        )
        self.stdout.write(f"settled {counts.settled}, waiting {counts.waiting}, errors {counts.errors}")
        if counts.waiting or counts.errors or looked.errors:
            raise CommandError("Not everything is known yet; the log says why (logger checkout.reconcile).")

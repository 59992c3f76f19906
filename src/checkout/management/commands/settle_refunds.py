"""Find out what became of refunds that are on their way, and what banks did."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand, positive
from checkout.services import bank_news, jobs, refunds


class Command(BaseCommand):
    help = (
        "Ask Stripe about every refund without an answer or on its way, finish what it does to its plan, and list "
        "refunds, disputes and warnings of fraud that no event told of. Safe to run at any time, and again. Exits 1 "
        "when something needs a person."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=positive, help="look at so many at most")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with jobs.recorded("settle_refunds"):
                counts = refunds.resolve_all(options["limit"])
                news = bank_news.look()
        except CheckoutError as problem:
            raise CommandError(f"Stripe could not be asked; the next run goes on there: {problem}") from problem
        self.stdout.write(f"compared with Stripe {news.compared}, found {news.found}, errors {news.errors}")
        self.stdout.write(f"settled {counts.settled}, waiting {counts.waiting}, errors {counts.errors}")
        if counts.errors or news.errors:
            raise CommandError(
                "Not everything could be settled; the log says why (checkout.refunds, checkout.look_back)."
            )

"""Work on webhook events that wait."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout.management.base import BaseCommand, positive
from checkout.services import inbox, jobs, personal_data


class Command(BaseCommand):
    help = (
        "Work on every webhook event that waits to be tried (again), and forget those that were worked on long ago. "
        "Safe to run at any time, again, and twice at once. Exits 1 when an event was given up."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=positive, help="at most so many events")

    def handle(self, *args: Any, **options: Any) -> None:
        with jobs.recorded("process_events"):
            worked = inbox.work(options["limit"])
            inbox.forget_old()
            personal_data.forget_old()
        self.stdout.write(f"done {worked.done}, failed {worked.failed}, given up {worked.given_up}")
        if worked.given_up:
            raise CommandError(
                f"{worked.given_up} events failed to the end. Each holds its error (Staff > Events, or table "
                "checkout_stripeevent); fix the cause and try them again."
            )

"""What the commands share."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from checkout.errors import GatewayError
from checkout.services.polling import Swept


class SweepCommand(BaseCommand):
    """A command that looks at open attempts: prints counts, exits 1 when something could not be settled."""

    def sweep(self) -> Swept:
        raise NotImplementedError  # each command says what it sweeps

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            swept = self.sweep()
        except GatewayError as problem:
            raise CommandError(
                f"Stripe could not be asked, so nothing is known to have changed: {problem}"
            ) from problem
        self.stdout.write(f"looked at {swept.looked_at}, changed {swept.changed}, errors {swept.errors}")
        if swept.errors:
            raise CommandError(
                f"{swept.errors} could not be settled; the log says why (logger checkout.polling). They stay open and "
                "the next run tries again."
            )

"""Look at the cards that instalments are taken from."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand
from checkout.services import card_expiry, jobs


class Command(BaseCommand):
    help = (
        "Read the cards of outstanding payment plans at Stripe; a card that runs out within a month is flagged, and "
        "its payer gets one mail. Safe to run at any time, again. Exits 1 when a card could not be read or "
        "a mail not queued."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with jobs.recorded("refresh_card_expiry_dates"):
                done = card_expiry.refresh_card_expiry_dates()
        except CheckoutError as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(f"read {done.read}, flagged {done.flagged}, mailed {done.mailed}, errors {done.errors}")
        if done.errors:
            raise CommandError(
                f"{done.errors} could not be dealt with; the log says why (logger checkout.cards). The next run tries "
                "again."
            )

"""Ask Stripe about open attempts at saving a card."""

from checkout.management.base import SweepCommand
from checkout.services import polling


class Command(SweepCommand):
    help = (
        "Ask Stripe about every open attempt at saving a card and settle the answers. Safe to run at any time, again."
    )

    def sweep(self) -> polling.Swept:
        return polling.fulfill_setup_intents(since=self.since, progress=self.progress)

"""Ask Stripe about open payment attempts."""

from checkout.management.base import SweepCommand
from checkout.services import polling


class Command(SweepCommand):
    help = "Ask Stripe about every open payment attempt and settle the answers. Safe to run at any time, again."

    def sweep(self) -> polling.Swept:
        return polling.fulfill_payment_intents(since=self.since, progress=self.progress)

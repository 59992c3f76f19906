"""Ask Stripe about instalments whose payer is awaited or on the page."""

from checkout.management.base import SweepCommand
from checkout.services import polling


class Command(SweepCommand):
    help = (
        "Ask Stripe about every instalment whose payer is awaited or on the page, and settle the answers. Safe to run "
        "at any time, again."
    )

    def sweep(self) -> polling.Swept:
        waiting = polling.waiting_for_payer(polling.open_payment_attempts())
        return polling.fulfill_payment_intents(waiting, since=self.since, progress=self.progress)

"""Ask Stripe about open payment attempts, and end those that nobody finished."""

from checkout.management.base import SweepCommand
from checkout.services import polling, stale


class Command(SweepCommand):
    help = (
        "Ask Stripe about every open payment attempt and settle the answers; then cancel payments that nobody finished "
        "within CHECKOUT_STALE_MINUTES. Safe to run at any time, again."
    )

    def sweep(self) -> polling.Swept:
        swept = polling.fulfill_payment_intents(since=self.since, progress=self.progress)
        return swept + self.tell(stale.end_payments())

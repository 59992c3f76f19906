"""Ask Stripe about open attempts at saving a card, and end those that nobody finished."""

from checkout.management.base import SweepCommand
from checkout.services import polling, stale


class Command(SweepCommand):
    help = (
        "Ask Stripe about every open attempt at saving a card and settle the answers; then cancel those that nobody "
        "finished within CHECKOUT_STALE_MINUTES, take deposits whose card was saved when the process died, and take "
        "off cards that were replaced. Safe to run at any time, again."
    )

    def sweep(self) -> polling.Swept:
        swept = polling.fulfill_setup_intents(since=self.since, progress=self.progress)
        return swept + self.tell(stale.end_setups())

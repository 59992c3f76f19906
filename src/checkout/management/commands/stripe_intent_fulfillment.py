"""Ask Stripe about everything that is open, and end what nobody finished."""

from __future__ import annotations

from checkout.management.base import SweepCommand
from checkout.services import polling, stale


class Command(SweepCommand):
    help = (
        "Ask Stripe about every open attempt (payments, instalments that wait for their payer, cards to be saved) and "
        "settle the answers; then cancel attempts that nobody finished within CHECKOUT_STALE_MINUTES, take deposits "
        "whose card was saved when the process died, and take off cards that were replaced. Safe to run at any time, "
        "again."
    )
    also = (
        "payment_intent_fulfillment",
        "payment_intent_on_session_fulfillment",
        "setup_intent_fulfillment",
    )

    def sweep(self) -> polling.Swept:
        swept = polling.fulfill_open_intents(since=self.since, progress=self.progress)
        return swept + self.tell(stale.tidy())

"""Ask Stripe about everything that is open, and end what nobody finished."""

from __future__ import annotations

from checkout.management.base import SweepCommand
from checkout.services import polling, stale


class Command(SweepCommand):
    help = (
        "Ask Stripe about every open attempt (payments, instalments that wait for their payer, cards to be saved) and "
        "settle the answers; then cancel attempts that nobody finished within CHECKOUT_STALE_MINUTES, and take deposits"
        " whose card was saved when the process died. Safe to run at any time, again."
    )
    also = (
        "payment_intent_fulfillment",
        "payment_intent_on_session_fulfillment",
        "setup_intent_fulfillment",
        "close_stale_checkouts",
    )

    def sweep(self) -> polling.Swept:
        swept = polling.fulfill_open_intents(since=self.since, progress=self.progress)
        tidied = stale.tidy()
        self.stdout.write(
            f"stale: closed {tidied.closed}, paid after all {tidied.paid}, left {tidied.left}; "
            f"deposits taken {tidied.deposits}"
        )
        return swept + polling.Swept(0, tidied.paid, tidied.errors)

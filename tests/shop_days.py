"""A shop whose days pass: payers pay, the account pays out, the jobs of the books run."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import time_machine

from checkout.gateway import gateway
from checkout.models import Checkout
from checkout.services import books_intake, fulfillment
from stripe_emulator import Emulator
from tests.host.models import Membership

#: A Monday.
START = datetime.datetime(2027, 1, 4, 9, 0, tzinfo=datetime.UTC)


class Shop:
    def __init__(self, emulator: Emulator, clock: Any) -> None:
        self.emulator = emulator
        self.bank = emulator.bank
        self.clock = clock

    def pass_days(self, count: float) -> None:
        """Let them pass, six hours at a time."""
        for _ in range(round(count * 4)):
            self.clock.shift(datetime.timedelta(hours=6))
            self.emulator.tick()

    def pay(self, total: str = "100", card: str = "pm_card_gb", currency: str = "GBP") -> Checkout:
        """Somebody pays at once, and the money is in the balance."""
        row = Membership.objects.create(total=Decimal(total), currency=currency)
        checkout = Checkout.objects.create_checkout("payment", row)
        self.emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret, number=card)
        paid = fulfillment.fulfill(checkout)
        assert paid.succeeded
        self.clock.shift(datetime.timedelta(seconds=5))
        self.emulator.tick()
        return paid

    def take_in(self) -> books_intake.TakenIn:
        self.clock.shift(datetime.timedelta(seconds=2))
        self.emulator.tick()
        return books_intake.take_in()


@contextmanager
def open_shop(emulator: Emulator, schedule: str = "daily") -> Iterator[Shop]:
    with time_machine.travel(START, tick=False) as clock:
        emulator.bank.payout_schedule(schedule)
        yield Shop(emulator, clock)

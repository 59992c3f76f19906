"""What the emulator's tests share: the real SDK on an emulator whose clock stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import stripe

from stripe_emulator import Clock, Emulator

START = 1_790_000_000.0
ONLY_CARDS = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}


@dataclass
class Bench:
    """An emulator and the real SDK on it."""

    emulator: Emulator
    client: stripe.StripeClient

    @property
    def v1(self) -> Any:
        return self.client.v1

    def customer(self, **params: Any) -> str:
        return str(self.v1.customers.create(params).id)

    def saved(self, card: str = "pm_card_visa") -> tuple[str, str]:
        """A customer with that card attached: their ids."""
        customer = self.customer()
        return customer, self.v1.payment_methods.attach(card, {"customer": customer}).id

    def set_up(self, number: str) -> tuple[str, str]:
        """A customer who saved that card in the browser, passing the challenge if there is one: their ids."""
        customer = self.customer()
        intent = self.v1.setup_intents.create({"customer": customer})
        assert self.emulator.pay(intent.client_secret, number)["status"] == "succeeded"
        return customer, self.v1.setup_intents.retrieve(intent.id).payment_method

    def charge(self, customer: str, method: str, amount: int = 2000, key: str | None = None, **params: Any) -> Any:
        """Charge a saved card while the payer is away."""
        form = {
            "amount": amount,
            "currency": "gbp",
            "customer": customer,
            "payment_method": method,
            "off_session": True,
            "confirm": True,
            **ONLY_CARDS,
            **params,
        }
        return self.v1.payment_intents.create(form, {"idempotency_key": key} if key else {})

    def events(self) -> list[str]:
        """The types of all events, oldest first."""
        return [event.type for event in self.v1.events.list({"limit": 100}).data][::-1]


def bench(seed: int = 0) -> Bench:
    emulator = Emulator(seed=seed, clock=Clock(START, frozen=True))
    client = stripe.StripeClient("sk_test_emulator", http_client=emulator.transport(), max_network_retries=0)
    return Bench(emulator, client)

"""Things that happen at banks and in the Dashboard, which no test card offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cards import card_for
from .resources import disputes, payment_methods, refunds
from .tables import JSON

if TYPE_CHECKING:
    from .engine import Emulator


def legacy_card(method: JSON) -> JSON:
    """A `card_…` as the old Cards API shows it; the emulator keeps it as a payment method."""
    card, address = method["card"], method["billing_details"]["address"]
    checks = card["checks"]
    return {
        "id": method["id"],
        "object": "card",
        "address_city": address["city"],
        "address_country": address["country"],
        "address_line1": address["line1"],
        "address_line1_check": checks["address_line1_check"],
        "address_line2": address["line2"],
        "address_state": address["state"],
        "address_zip": address["postal_code"],
        "address_zip_check": checks["address_postal_code_check"],
        "brand": {"visa": "Visa", "mastercard": "MasterCard", "amex": "American Express"}.get(card["brand"], "Unknown"),
        "country": card["country"],
        "customer": method["customer"],
        "cvc_check": checks["cvc_check"],
        "dynamic_last4": None,
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "last4": card["last4"],
        "metadata": method["metadata"],
        "name": method["billing_details"]["name"],
        "regulated_status": card["regulated_status"],
        "tokenization_method": None,
    }


class Bank:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def replace_card(self, payment_method_id: str, exp_month: int, exp_year: int, last4: str | None = None) -> JSON:
        """The bank sent the payer a new card, and the network told Stripe: `payment_method.automatically_updated`.

        With `last4` the number is new too, and so is the fingerprint; the card behaves as it did.
        """
        with self._emulator.lock:
            world = self._emulator.world
            method = world.get("payment_method", payment_method_id)
            card = {**method["card"], "exp_month": exp_month, "exp_year": exp_year}
            if last4 is not None:
                card |= {"last4": last4, "fingerprint": world.ids.of(f"fingerprint/{payment_method_id}/{last4}")}
            previous = world.change(method, card=card)
            if payment_method_id.startswith("pm_"):
                world.emit("payment_method.automatically_updated", method, previous)
            else:
                world.emit("customer.source.updated", legacy_card(method), previous["card"])
            return dict(method)

    def decline_next(self, payment_method_id: str, decline_code: str = "insufficient_funds", times: int = 1) -> None:
        """Decline the next `times` charges of a card that otherwise works."""
        with self._emulator.lock:
            facts = self._emulator.world.hide(payment_method_id)
            facts.setdefault("declines", []).extend([decline_code] * times)

    def add_legacy_card(self, customer_id: str, number: str = "4242424242424242") -> str:
        """A `card_…` saved by the old Cards API: it can be charged and read like a payment method."""
        with self._emulator.lock:
            world = self._emulator.world
            customer = world.get("customer", customer_id)
            row = payment_methods.make(world, card_for(number), prefix="card", customer=customer_id)
            payment_methods.facts(world, row)["set_up"] = True
            if customer["default_source"] is None:
                world.change(customer, default_source=row["id"])
            return str(row["id"])

    def dashboard_refund(self, payment_intent_id: str, amount_minor: int | None = None) -> JSON:
        """Staff refund a payment in Stripe's Dashboard: our server hears of it by webhook only."""
        with self._emulator.lock:
            world = self._emulator.world
            intent = world.get("payment_intent", payment_intent_id)
            charge = world.get("charge", intent["latest_charge"])
            amount = refunds.left(charge) if amount_minor is None else amount_minor
            refunds.check_refundable(world, charge, amount)
            return dict(refunds.make(world, charge, amount, "requested_by_customer", {}))

    def dispute(self, payment_intent_id: str, reason: str = "fraudulent", *, inquiry: bool = False) -> JSON:
        """The payer disputes a payment of any card; the dispute as it stands then."""
        with self._emulator.lock:
            world = self._emulator.world
            charge = world.get("charge", world.get("payment_intent", payment_intent_id)["latest_charge"])
            return dict(disputes.open_dispute(world, charge, reason, inquiry=inquiry))

    def decide_dispute(self, dispute_id: str, status: str) -> JSON:
        """End a dispute as "won", "lost" or "warning_closed"."""
        with self._emulator.lock:
            world = self._emulator.world
            row = world.get("dispute", dispute_id)
            disputes.decide(world, row, status)
            return dict(row)

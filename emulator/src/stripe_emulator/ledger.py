"""What was really taken, whatever any client believes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .core.tables import JSON

if TYPE_CHECKING:
    from .engine import Emulator


class Ledger:
    """Sums in minor units over all charges, or those of a currency, a customer, or with certain metadata.

    `metadata` selects charges that have at least those keys and values; a charge has the metadata that its
    PaymentIntent had when it was confirmed. Sums over several currencies mean little: name one.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def charges(
        self,
        customer: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        currency: str | None = None,
        succeeded: bool | None = None,
    ) -> list[JSON]:
        """Charges, oldest first; failed ones too unless `succeeded` is true."""
        with self._emulator.lock:
            found = [dict(charge) for charge in self._select(customer, metadata, currency)]
        found.reverse()
        return [c for c in found if succeeded is None or (c["status"] == "succeeded") == succeeded]

    def taken_minor(
        self, currency: str | None = None, customer: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> int:
        """What succeeded charges captured, before refunds and disputes."""
        with self._emulator.lock:
            return sum(charge["amount_captured"] for charge in self._select(customer, metadata, currency))

    def refunded_minor(
        self, currency: str | None = None, customer: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> int:
        """What was given back, or is on its way; a refund that failed in the end does not count."""
        with self._emulator.lock:
            return sum(
                refund["amount"]
                for charge in self._select(customer, metadata, currency)
                for refund in self._about("refund", charge)
                if refund["status"] in ("succeeded", "pending")
            )

    def disputed_minor(
        self, currency: str | None = None, customer: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> int:
        """What banks took back and did not return: disputes that are open or lost, not inquiries, without fees."""
        with self._emulator.lock:
            hidden = self._emulator.world.hidden
            return sum(
                hidden.get(dispute["id"], {}).get("withdrawn", 0)
                for charge in self._select(customer, metadata, currency)
                for dispute in self._about("dispute", charge)
            )

    def net_minor(
        self, currency: str | None = None, customer: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Taken, less refunded, less disputed."""
        with self._emulator.lock:
            return (
                self.taken_minor(currency, customer, metadata)
                - self.refunded_minor(currency, customer, metadata)
                - self.disputed_minor(currency, customer, metadata)
            )

    def _about(self, kind: str, charge: JSON) -> Iterator[JSON]:
        return self._emulator.world.tables[kind].newest_first({"charge": charge["id"]})

    def _select(self, customer: str | None, metadata: Mapping[str, Any] | None, currency: str | None) -> Iterator[JSON]:
        wanted = {key: str(value) for key, value in (metadata or {}).items()}
        filters = {"customer": customer, "currency": currency and currency.lower()}
        chosen = {name: value for name, value in filters.items() if value is not None}
        for charge in self._emulator.world.tables["charge"].newest_first(chosen):
            if wanted.items() <= charge["metadata"].items():
                yield charge

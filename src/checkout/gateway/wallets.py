"""The domains whose pages may show wallets.

https://docs.stripe.com/payments/payment-methods/pmd-registration
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stripe._v1_services import V1Services

WALLETS = ("apple_pay", "google_pay")


@dataclass(frozen=True, slots=True)
class PaymentDomain:
    """A domain as Stripe has it. `wallets` are those of WALLETS with what keeps each from being shown, empty for one
    that may be."""

    id: str
    name: str
    enabled: bool
    livemode: bool
    wallets: dict[str, str]


class WalletVerbs:
    """The part of the gateway that registers domains."""

    _v1: V1Services
    _call: Callable[..., Any]

    def find_payment_domain(self, name: str) -> PaymentDomain | None:
        """The domain of that name, or None when it is not registered."""
        found = self._call(
            "payment_method_domains.list", lambda: self._v1.payment_method_domains.list({"domain_name": name})
        )
        return _domain(found.data[0]) if found.data else None

    def register_payment_domain(self, name: str) -> PaymentDomain:
        """Register it. Stripe keeps one for each name, and answers with the one that is there."""
        made = self._call(
            "payment_method_domains.create", lambda: self._v1.payment_method_domains.create({"domain_name": name})
        )
        return _domain(made)

    def enable_payment_domain(self, domain_id: str) -> PaymentDomain:
        """Switch on one that was switched off: no domain is ever deleted."""
        changed = self._call(
            "payment_method_domains.update",
            lambda: self._v1.payment_method_domains.update(domain_id, {"enabled": True}),
        )
        return _domain(changed)

    def validate_payment_domain(self, domain_id: str) -> PaymentDomain:
        """Let Stripe look at the domain again."""
        seen = self._call(
            "payment_method_domains.validate", lambda: self._v1.payment_method_domains.validate(domain_id)
        )
        return _domain(seen)


def _domain(source: Any) -> PaymentDomain:
    plain = source.to_dict()
    return PaymentDomain(
        id=plain["id"],
        name=plain["domain_name"],
        enabled=bool(plain.get("enabled")),
        livemode=bool(plain.get("livemode")),
        wallets={wallet: _trouble(plain.get(wallet) or {}) for wallet in WALLETS},
    )


def _trouble(wallet: dict[str, Any]) -> str:
    if wallet.get("status") == "active":
        return ""
    details = wallet.get("status_details") or {}
    return str(details.get("error_message") or "inactive")

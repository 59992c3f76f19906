"""The domains of the payment pages, registered at Stripe for wallets."""

from __future__ import annotations

from dataclasses import dataclass

from checkout.gateway import PaymentDomain, gateway


@dataclass(frozen=True, slots=True)
class Registered:
    """`what` was done, or would be, in English for whoever runs the site, and the domain as Stripe has it now."""

    what: str
    domain: PaymentDomain | None


def register(name: str, *, dry_run: bool = False) -> Registered:
    """Register a domain (`pay.example.org`), or let Stripe look at it again when it is registered. Raises what the
    gateway raises: GatewayRefused for a name that is none."""
    found = gateway().find_payment_domain(name)
    if found is None:
        if dry_run:
            return Registered("would be registered", None)
        return Registered("registered", gateway().register_payment_domain(name))
    if dry_run:
        return Registered("is registered" if found.enabled else "would be switched on", found)
    if not found.enabled:
        gateway().enable_payment_domain(found.id)
    seen = gateway().validate_payment_domain(found.id)
    return Registered("was registered" if found.enabled else "switched on", seen)

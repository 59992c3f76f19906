"""Asking Stripe about an id that stands on a bank statement, in a mail or in its dashboard, and not in our rows."""

from __future__ import annotations

from checkout.errors import NotFoundAtStripe
from checkout.gateway import SERVICES, Thing, gateway

__all__ = ["Thing", "is_id", "look_up"]


def is_id(text: str) -> bool:
    """True for an id of a kind that Stripe can be asked about.

    >>> is_id("ch_3Pq"), is_id("ch_"), is_id("R-2026-00017")
    (True, False, False)
    """
    kind, _underscore, rest = text.partition("_")
    return kind in SERVICES and rest.replace("_", "").isalnum()


def look_up(thing_id: str) -> Thing | None:
    """What Stripe says of it; None when our account has no such thing. One read, which changes nothing.

    Raises a GatewayError when Stripe gave no answer, or our key may not read it.
    """
    try:
        return gateway().look_up(thing_id)
    except NotFoundAtStripe:
        return None

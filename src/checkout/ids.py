"""Identifiers that come from outside: an address, a search, metadata that Stripe gives back."""

from __future__ import annotations

from uuid import UUID


def uuid_or_none(text: str) -> UUID | None:
    """The uuid that `text` spells, or None.

    >>> uuid_or_none("5f0c9a30-6f0e-4b6f-9d60-3c1f0f7b2a11")
    UUID('5f0c9a30-6f0e-4b6f-9d60-3c1f0f7b2a11')
    >>> uuid_or_none("pi_123") is None
    True
    """
    try:
        return UUID(text)
    except ValueError:
        return None

"""Identifiers that come from outside: an address, a search, metadata that Stripe gives back."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from uuid import UUID

#: "203.0.113.9:5678" and "[2001:db8::1]:443", as some front ends write it.
_WITH_PORT: Final = re.compile(r"\[(?P<six>[^\]]*)\](?::\d+)?|(?P<four>[^:\s]+):\d+")


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


def ip_address_or_none(text: str) -> str | None:
    """The visitor's IP address in any form that a proxy or server writes, or None when there is none in it.

    Of a list (X-Forwarded-For copied into REMOTE_ADDR) it is the first; a port, brackets and a scope are left out.

    >>> ip_address_or_none("1.2.3.4:5678"), ip_address_or_none("[2001:db8::1]:443"), ip_address_or_none("fe80::1%eth0")
    ('1.2.3.4', '2001:db8::1', 'fe80::1')
    >>> ip_address_or_none("1.2.3.4, 5.6.7.8"), ip_address_or_none("::ffff:1.2.3.4"), ip_address_or_none("unix:")
    ('1.2.3.4', '1.2.3.4', None)
    """
    first = text.split(",", 1)[0].strip()
    if match := _WITH_PORT.fullmatch(first):
        first = match["six"] if match["four"] is None else match["four"]
    try:
        address = ipaddress.ip_address(first.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def network_of(address: str) -> str:
    """What is counted as one visitor: an IPv4 address, or a /64 of IPv6, for one home has a whole one.

    >>> network_of("1.2.3.4:5678"), network_of("2001:db8::1"), network_of("garbage")
    ('1.2.3.4', '20010db8000000000000000000000000', 'unknown')
    """
    known = ip_address_or_none(address)
    if known is None:
        return "unknown"
    parsed = ipaddress.ip_address(known)
    if parsed.version == 4:
        return known
    return ipaddress.ip_network((parsed, 64), strict=False).network_address.exploded.replace(":", "")


def storable(text: str) -> str:
    """The text without what no database takes: NUL, and halves of characters (lone surrogates).

    >>> storable("a\\x00b\\ud800c")
    'abc'
    """
    return "".join(letter for letter in text if letter != "\x00" and not "\ud800" <= letter <= "\udfff")

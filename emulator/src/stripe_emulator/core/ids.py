"""Ids that look like Stripe's and are the same again for the same seed."""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b

ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LONGEST = 64
# Each byte of a hash becomes a letter. A little uneven, which matters to nobody here, and ten times as fast as base 62.
_LETTERS = bytes(ALPHABET[byte % 62] for byte in range(256))


class Ids:
    """One stream of ids per prefix, so a poll more or less does not change the ids of payments.

    An id is a hash of seed, prefix and count: nothing but the counts has to be saved with a snapshot.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: defaultdict[str, int] = defaultdict(int)

    def text(self, stream: str, length: int = 24) -> str:
        self.counts[stream] += 1
        return self.of(f"{stream}/{self.counts[stream]}", length)

    def of(self, value: str, length: int = 16) -> str:
        """Always the same text (of at most 64 letters) for the same value, such as a card's fingerprint."""
        digest = blake2b(f"{self.seed}/{value}".encode(), digest_size=LONGEST).digest()
        return digest.translate(_LETTERS)[:length].decode()

    def account(self) -> str:
        """The id of the one account."""
        return "acct_" + self.of("account", 16)

    def new(self, prefix: str, length: int = 24) -> str:
        return f"{prefix}_{self.text(prefix, length)}"

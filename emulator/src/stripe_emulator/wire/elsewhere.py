"""What Stripe has and the emulator has not: said in so many words, never taken for a URL that nobody knows.

`stripe_urls.txt` holds every path of Stripe's API with its methods, as stripe-python knows them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from stripe_emulator.core.errors import ApiError, invalid, no_such_url

_FILE = Path(__file__).with_name("stripe_urls.txt")


@cache
def stripe_urls() -> frozenset[tuple[str, str]]:
    """Method and pattern of every request that Stripe answers; `*` stands for an id."""
    lines = (line.split() for line in _FILE.read_text().splitlines())
    return frozenset((method, pattern) for pattern, *methods in lines for method in methods)


@cache
def _by_length() -> dict[tuple[str, int], list[list[str]]]:
    found: dict[tuple[str, int], list[list[str]]] = {}
    for method, pattern in stripe_urls():
        parts = pattern.strip("/").split("/")
        found.setdefault((method, len(parts)), []).append(parts)
    return found


def at_stripe(method: str, path: str) -> str | None:
    """The pattern by which Stripe answers such a request, or None."""
    parts = path.strip("/").split("/")
    for pattern in _by_length().get((method, len(parts)), ()):
        if all(known in ("*", part) for known, part in zip(pattern, parts, strict=True)):
            return "/" + "/".join(pattern)
    return None


def unknown(method: str, path: str) -> ApiError:
    """The error for a request that no route answers."""
    pattern = at_stripe(method, path)
    if pattern is None:
        return no_such_url(method, path[:200])
    return invalid(
        f'The emulator does not have {method} {pattern}; Stripe does. Its README says under "What it does not do" what '
        "it leaves out. (An answer of the emulator's own.)"
    )

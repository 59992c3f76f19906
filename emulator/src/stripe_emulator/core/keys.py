"""API keys (https://docs.stripe.com/keys)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from .errors import ApiError


def sent_key(headers: Mapping[str, str]) -> str | None:
    """The key of the Authorization header: Bearer, or the user name of Basic. `headers` in lower case."""
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return rest or None
    if scheme.lower() == "basic":
        try:
            name = base64.b64decode(rest, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return rest or None
        return name.partition(":")[0] or None
    return rest or scheme or None


def is_publishable(key: str | None) -> bool:
    """Whether it is a publishable key; raises the 401 for what is no key of the emulator's."""
    if not key:
        raise ApiError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
            "https://stripe.com/docs/api#authentication for details, or we can help at https://support.stripe.com/.",
            headers={"WWW-Authenticate": 'Bearer realm="Stripe"'},
        )
    if key.startswith(("sk_live_", "rk_live_", "pk_live_")):
        raise ApiError(
            401,
            "This is an emulator of Stripe for tests and it refuses live keys. Point live keys at "
            "https://api.stripe.com, and use a key that begins with sk_test_ or pk_test_ here.",
        )
    if key.startswith("pk_test_"):
        return True
    if key.startswith(("sk_test_", "rk_test_")):
        return False
    shown = key[:4] + "*" * min(12, max(0, len(key) - 8)) + key[-4:] if len(key) > 8 else "****"
    raise ApiError(401, f"Invalid API Key provided: {shown}")

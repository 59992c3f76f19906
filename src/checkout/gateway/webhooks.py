"""Reading what was sent to the webhook address: is it Stripe's, is it fresh, and what is it about."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import stripe

from checkout.errors import EventRefused
from checkout.ids import storable

#: Seconds that a signature is good for (https://docs.stripe.com/webhooks#replay-attacks); the retries are signed anew.
TOLERANCE: Final = 300

#: Left out of what is stored, at any depth. A client secret gives power over an intent, a receipt's address shows the
#: payment to anyone, and what is personal is the host's to keep, not ours to copy: handlers need ids only.
NOT_STORED: Final = frozenset(
    {
        "address",
        "billing_details",
        "client_secret",
        "customer_details",
        "email",
        "evidence",
        "name",
        "next_action",
        "phone",
        "receipt_email",
        "receipt_url",
        "shipping",
        "source",
        "tax_id",
        "tax_ids",
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """A genuine event. `account` is set when it is about somebody else's account (Stripe Connect)."""

    id: str
    type: str
    object_id: str
    livemode: bool
    api_version: str
    created_at: datetime.datetime
    account: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


def read_event(body: bytes, signature: str, secrets: Sequence[str]) -> Event:
    """The event in `body`, if one of `secrets` signed it less than five minutes ago.

    The signature is over the raw bytes, so they are checked before anything is parsed. Raises EventRefused.
    """
    if not any(_signed(body, signature, secret) for secret in secrets):
        raise EventRefused("The signature is missing, wrong or too old.")
    try:
        # NaN and Infinity are no JSON, and no database's either.
        data = json.loads(body, parse_constant=lambda name: None)
        about = data["data"]["object"]
        if data["object"] != "event" or not isinstance(about, dict):
            raise EventRefused("This is signed, but it is not an event. Send snapshot events here, not thin ones.")
        return Event(
            id=_text(data["id"]),
            type=_text(data["type"])[:100],
            object_id=storable(str(about.get("id") or ""))[:255],
            livemode=bool(data.get("livemode")),
            api_version=storable(str(data.get("api_version") or ""))[:50],
            created_at=datetime.datetime.fromtimestamp(data["created"], tz=datetime.UTC),
            account=str(data.get("account") or ""),
            payload=_stored(data["data"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError) as problem:
        raise EventRefused("This is signed, but it cannot be read as an event.") from problem


def sign(body: bytes, secret: str, timestamp: int | None = None) -> str:
    """The Stripe-Signature header that Stripe would send with `body`: for the doctor's self-test, and for tests."""
    return stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp)


def _signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE))
    except (stripe.SignatureVerificationError, UnicodeDecodeError, TypeError):
        # TypeError: the SDK compares text, and Python refuses to compare it in constant time when it is not ASCII.
        return False


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 255 or storable(value) != value:
        raise ValueError
    return value


def _stored(value: Any) -> Any:
    """`value` without what must not be stored."""
    match value:
        case dict():
            return {storable(name): _stored(inner) for name, inner in value.items() if name not in NOT_STORED}
        case list():
            return [_stored(inner) for inner in value]
        case str():
            return storable(value)
        case _:
            return value

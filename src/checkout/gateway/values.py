"""What Stripe told us, as frozen values. Nothing outside this room sees an SDK object."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: The bank requires the payer there. Either of the two codes may say so
#: (https://docs.stripe.com/declines/codes; some replies carry card_declined with the reason in decline_code).
WANTS_PAYER: Final = frozenset(
    {"authentication_required", "authentication_not_handled", "mobile_device_authentication_required"}
)


@dataclass(frozen=True, slots=True)
class Card:
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None
    fingerprint: str
    #: apple_pay, google_pay, link; empty for a card that was typed.
    wallet: str = ""


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A saved card. `card` is None for another kind of method."""

    id: str
    customer_id: str
    card: Card | None


@dataclass(frozen=True, slots=True)
class Decline:
    """Why an attempt was refused. `message` is Stripe's sentence for the payer, for card errors only."""

    code: str
    decline_code: str = ""
    message: str = ""
    advice_code: str = ""
    network_advice_code: str = ""
    network_decline_code: str = ""
    payment_method_id: str = ""

    @property
    def wants_payer(self) -> bool:
        return self.code in WANTS_PAYER or self.decline_code in WANTS_PAYER


@dataclass(frozen=True, slots=True)
class PaymentIntent:
    """A PaymentIntent as it was at Stripe when it was read. Amounts in minor units, currency in capitals."""

    id: str
    status: str
    amount_minor: int
    amount_received_minor: int
    currency: str
    customer_id: str
    payment_method_id: str
    created_at: datetime.datetime
    livemode: bool
    metadata: Mapping[str, str]
    decline: Decline | None = None
    #: What was paid with; None where it was not paid, or the answer was not asked to tell.
    card: Card | None = None
    client_secret: str = field(default="", repr=False)
    request_id: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    @property
    def processing(self) -> bool:
        return self.status in ("processing", "requires_capture")

    @property
    def canceled(self) -> bool:
        return self.status == "canceled"

    @property
    def wants_payer(self) -> bool:
        """True if only the payer can bring it further."""
        return self.status == "requires_action" or bool(self.decline and self.decline.wants_payer)


@dataclass(frozen=True, slots=True)
class SetupIntent:
    """A SetupIntent as it was at Stripe when it was read, with the card it saved."""

    id: str
    status: str
    customer_id: str
    payment_method_id: str
    card: Card | None
    created_at: datetime.datetime
    livemode: bool
    metadata: Mapping[str, str]
    decline: Decline | None = None
    client_secret: str = field(default="", repr=False)
    request_id: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    @property
    def processing(self) -> bool:
        return self.status == "processing"

    @property
    def canceled(self) -> bool:
        return self.status == "canceled"


@dataclass(frozen=True, slots=True)
class Probe:
    """How Stripe answered a small question. `clock` is None when the answer had no date."""

    api_version: str
    clock: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where Stripe sends events. `events` may hold "*" for all; an empty `api_version` is the account's."""

    id: str
    url: str
    enabled: bool
    events: frozenset[str]
    api_version: str

"""Outside: the only room that imports stripe. Frozen values come out, never an SDK object."""

from checkout.gateway.stripe import API_VERSION, Gateway, assert_no_transaction, gateway
from checkout.gateway.values import WANTS_PAYER, Card, Decline, PaymentIntent, PaymentMethod, SetupIntent

__all__ = [
    "API_VERSION",
    "WANTS_PAYER",
    "Card",
    "Decline",
    "Gateway",
    "PaymentIntent",
    "PaymentMethod",
    "SetupIntent",
    "assert_no_transaction",
    "gateway",
]

"""Outside: the only room that imports stripe. Frozen values come out, never an SDK object.

Private: names here change without notice.
"""

from checkout.gateway.books import BalanceRow, PayoutAnswer
from checkout.gateway.money_back import ChargeEvidence, DisputeAnswer, FraudWarning, RefundAnswer
from checkout.gateway.sending import longest_call
from checkout.gateway.stripe import (
    API_VERSION,
    INSTALMENT_USAGE,
    UNSCHEDULED_USAGE,
    Gateway,
    assert_no_transaction,
    gateway,
)
from checkout.gateway.things import SERVICES, Thing
from checkout.gateway.values import WANTS_PAYER, Card, Decline, PaymentIntent, PaymentMethod, SetupIntent
from checkout.gateway.wallets import PaymentDomain

__all__ = [
    "API_VERSION",
    "INSTALMENT_USAGE",
    "SERVICES",
    "UNSCHEDULED_USAGE",
    "WANTS_PAYER",
    "BalanceRow",
    "Card",
    "ChargeEvidence",
    "Decline",
    "DisputeAnswer",
    "FraudWarning",
    "Gateway",
    "PaymentDomain",
    "PaymentIntent",
    "PaymentMethod",
    "PayoutAnswer",
    "RefundAnswer",
    "SetupIntent",
    "Thing",
    "assert_no_transaction",
    "gateway",
    "longest_call",
]

"""Stripe's test cards and what each one does (https://docs.stripe.com/testing)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from .declines import BLOCKED, CODES, Decline, decline_for

OffSession = Literal["ok", "ok_if_set_up", "refuse", "bank_refuses"]
"""`refuse`: Stripe stops it before any bank is asked; `bank_refuses`: the bank does, and there is a failed charge."""


@dataclass(frozen=True, slots=True)
class Card:
    """One test card. The defaults are a card that just works."""

    number: str
    names: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    decline: Decline | None = None
    """What every charge meets (after the challenge, if there is one)."""
    saves: bool = True
    """Whether it can be attached or set up although it declines."""
    challenge: bool = False
    """On-session the bank requires 3-D Secure: payments and set-ups."""
    challenge_if_asked: bool = False
    """Only with request_three_d_secure `any` or `challenge`."""
    off_session: OffSession = "ok"
    lookup_fails: Literal["", "always", "if_asked"] = ""
    """3-D Secure itself breaks down."""
    frictionless: bool = False
    three_d_secure: bool = True
    risk: Literal["normal", "elevated", "highest"] = "normal"
    failed_checks: tuple[str, ...] = ()
    dispute: str | None = None
    inquiry: bool = False
    fraud_warning: bool = False
    refund: Literal["", "pending", "fails"] = ""
    available_at_once: bool = False
    cvc_length: int = field(default=3)
    second_network: str | None = None
    """Besides that of its brand."""
    address_unavailable: bool = False
    """Its bank cannot check an address."""

    @property
    def last4(self) -> str:
        return self.number[-4:]


def _declining(number: str, code: str, *names: str, tokens: tuple[str, ...] = ()) -> Card:
    return Card(number, names, tokens, decline=decline_for(code), saves=False)


_FUNDS = decline_for("insufficient_funds")
# Visa cards that just work, by the country of their bank (docs.stripe.com/testing#international-cards)
_COUNTRIES = {
    "ar": "4000000320000021", "br": "4000000760000002", "ca": "4000001240000000", "cl": "4000001520000001",
    "co": "4000001700000003", "cr": "4000001880000005", "ec": "4000002180000000", "mx": "4000004840008001",
    "pa": "4000005910000000", "py": "4000006000000066", "pe": "4000006040000068", "uy": "4000008580000003",
    "ae": "4000007840000001", "at": "4000000400000008", "be": "4000000560000004", "bg": "4000001000000000",
    "by": "4000001120000005", "hr": "4000001910000009", "cy": "4000001960000008", "cz": "4000002030000002",
    "dk": "4000002080000001", "ee": "4000002330000009", "fi": "4000002460000001", "fr": "4000002500000003",
    "de": "4000002760000016", "gi": "4000002920000005", "gr": "4000003000000030", "hu": "4000003480000005",
    "ie": "4000003720000005", "it": "4000003800000008", "lv": "4000004280000005", "li": "4000004380000004",
    "lt": "4000004400000000", "lu": "4000004420000006", "mt": "4000004700000007", "nl": "4000005280000002",
    "no": "4000005780000007", "pl": "4000006160000005", "pt": "4000006200000007", "ro": "4000006420000001",
    "sa": "4000006820000007", "si": "4000007050000006", "sk": "4000007030000001", "es": "4000007240000007",
    "se": "4000007520000008", "ch": "4000007560000009", "au": "4000000360000006", "cn": "4000001560000002",
    "hk": "4000003440000004", "in": "4000003560000008", "jp": "4000003920000003", "my": "4000004580000002",
    "nz": "4000005540000008", "sg": "4000007020000003", "tw": "4000001580000008",
}  # fmt: skip

CARDS: tuple[Card, ...] = (
    Card("4242424242424242", ("pm_card_visa", "pm_card_us"), ("tok_visa", "tok_us")),
    Card("4000056655665556", ("pm_card_visa_debit",), ("tok_visa_debit",), funding="debit"),
    Card("5555555555554444", ("pm_card_mastercard",), ("tok_mastercard",), "mastercard"),
    Card("2223003122003222", (), (), "mastercard"),
    Card("5200828282828210", ("pm_card_mastercard_debit",), ("tok_mastercard_debit",), "mastercard", "debit"),
    Card("5105105105105100", ("pm_card_mastercard_prepaid",), ("tok_mastercard_prepaid",), "mastercard", "prepaid"),
    Card("378282246310005", ("pm_card_amex", "pm_card_amex_threeDSecureNotSupported"), ("tok_amex",), "amex",
         three_d_secure=False, cvc_length=4),
    Card("371449635398431", (), (), "amex", cvc_length=4),
    Card("6011111111111117", ("pm_card_discover",), ("tok_discover",), "discover"),
    Card("6011000990139424", (), (), "discover"),
    Card("6011981111111113", (), (), "discover", "debit"),
    Card("6555900000604105", (), (), "discover"),
    Card("3056930009020004", ("pm_card_diners",), ("tok_diners",), "diners"),
    Card("36227206271667", (), (), "diners"),
    Card("3566002020360505", ("pm_card_jcb",), ("tok_jcb",), "jcb", country="JP"),
    Card("3530111333300000", (), (), "jcb", country="JP"),
    Card("6200000000000005", ("pm_card_unionpay",), ("tok_unionpay",), "unionpay", country="CN"),
    Card("6200000000000047", (), (), "unionpay", "debit", country="CN"),
    Card("6205500000000000004", (), (), "unionpay", country="CN"),
    # Two networks on one card
    Card("4000002500001001", ("pm_card_visa_cartesBancaires",), (), country="FR", second_network="cartes_bancaires"),
    Card("5555552500001001", ("pm_card_mastercard_cartesBancaires",), (), "mastercard", country="FR",
         second_network="cartes_bancaires"),
    Card("4000050360000001", (), (), funding="debit", country="AU", second_network="eftpos_au"),
    Card("5555050360000080", (), (), "mastercard", "debit", country="AU", second_network="eftpos_au"),
    # The world
    *(Card(number, (f"pm_card_{code}",), (f"tok_{code}",), country=code.upper())
      for code, number in _COUNTRIES.items()),
    Card("5200007840000022", (), (), "mastercard", country="AE"),
    Card("4000007640000003", ("pm_card_th_credit",), ("tok_th_credit",), country="TH"),
    Card("4000057640000008", ("pm_card_th_debit",), ("tok_th_debit",), funding="debit", country="TH"),
    # Europe, without 3-D Secure
    Card("4000008260000000", ("pm_card_gb",), ("tok_gb",), country="GB"),
    Card("4000058260000005", ("pm_card_gb_debit",), ("tok_gb_debit",), funding="debit", country="GB"),
    Card("5555558265554449", ("pm_card_gb_mastercard",), ("tok_gb_mastercard",), "mastercard", country="GB"),
    # 3-D Secure and off-session rules (docs.stripe.com/testing#regulatory-cards)
    Card("4000002500003155", ("pm_card_authenticationRequiredOnSetup",), ("tok_threeDSecureRequiredOnSetup",),
         country="FR", challenge=True, off_session="ok_if_set_up"),
    Card("4000002760003184", ("pm_card_authenticationRequired",), (), country="DE",
         challenge=True, off_session="refuse"),
    Card("4000003800000446", ("pm_card_authenticationRequiredSetupForOffSession",), (), country="IT", challenge=True),
    Card("4000008260003178", ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",), (), country="GB",
         challenge=True, off_session="ok_if_set_up", decline=_FUNDS),
    Card("4000000000003220", ("pm_card_threeDSecure2Required",), ("tok_threeDSecure2Required",),
         challenge=True, off_session="refuse"),
    Card("4000000000003063", ("pm_card_threeDSecureRequired",), ("tok_threeDSecureRequired",),
         challenge=True, off_session="refuse"),
    Card("4000008400001629", ("pm_card_threeDSecureRequiredChargeDeclined",),
         ("tok_threeDSecureRequiredChargeDeclined",), challenge=True, off_session="refuse",
         decline=decline_for("generic_decline"), saves=False),
    Card("4000008400001280", ("pm_card_threeDSecureRequiredProcessingError",),
         ("tok_threeDSecureRequiredProcessingError",), lookup_fails="always", saves=False),
    Card("4000000000003055", ("pm_card_threeDSecureOptional",), ("tok_threeDSecureOptional",), challenge_if_asked=True),
    Card("4000000000003097", ("pm_card_threeDSecureOptionalProcessingError",),
         ("tok_threeDSecureOptionalProcessingError",), lookup_fails="if_asked"),
    Card("4000000032200000", (), (), frictionless=True),
    # The emulator's own: off session the bank itself asks for the payer, so that there is a failed charge
    Card("4000002760009009", ("pm_card_emulator_bankRequiresAuthentication",), (), country="DE",
         challenge=True, off_session="bank_refuses"),
    # Declined at once
    _declining("4000000000000002", "generic_decline", "pm_card_visa_chargeDeclined", "pm_card_chargeDeclined",
               tokens=("tok_visa_chargeDeclined", "tok_chargeDeclined")),
    _declining("4000000000009995", "insufficient_funds", "pm_card_visa_chargeDeclinedInsufficientFunds",
               "pm_card_chargeDeclinedInsufficientFunds", tokens=("tok_visa_chargeDeclinedInsufficientFunds",)),
    _declining("4000000000009987", "lost_card", "pm_card_visa_chargeDeclinedLostCard",
               "pm_card_chargeDeclinedLostCard", tokens=("tok_visa_chargeDeclinedLostCard",)),
    _declining("4000000000009979", "stolen_card", "pm_card_visa_chargeDeclinedStolenCard",
               "pm_card_chargeDeclinedStolenCard", tokens=("tok_visa_chargeDeclinedStolenCard",)),
    _declining("4000000000000069", "expired_card", "pm_card_chargeDeclinedExpiredCard",
               "pm_card_visa_chargeDeclinedExpiredCard", tokens=("tok_chargeDeclinedExpiredCard",)),
    _declining("4000000000000127", "incorrect_cvc", "pm_card_chargeDeclinedIncorrectCvc",
               "pm_card_visa_chargeDeclinedIncorrectCvc", tokens=("tok_chargeDeclinedIncorrectCvc",)),
    _declining("4000000000000119", "processing_error", "pm_card_chargeDeclinedProcessingError",
               "pm_card_visa_chargeDeclinedProcessingError", tokens=("tok_chargeDeclinedProcessingError",)),
    _declining("4000000000006975", "card_velocity_exceeded", "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
               "pm_card_chargeDeclinedVelocityLimitExceeded",
               tokens=("tok_visa_chargeDeclinedVelocityLimitExceeded",)),
    # Saves, then every charge fails: the card to test instalments with
    Card("4000000000000341", ("pm_card_chargeCustomerFail",), ("tok_chargeCustomerFail",),
         decline=decline_for("generic_decline")),
    # Fraud prevention and checks
    Card("4100000000000019", ("pm_card_radarBlock",), ("tok_radarBlock",), decline=BLOCKED, risk="highest"),
    Card("4000000000004954", ("pm_card_riskLevelHighest",), ("tok_riskLevelHighest",), risk="highest"),
    Card("4000000000009235", ("pm_card_riskLevelElevated",), ("tok_riskLevelElevated",), risk="elevated"),
    Card("4000000000000101", ("pm_card_cvcCheckFail",), ("tok_cvcCheckFail",), failed_checks=("cvc_check",)),
    Card("4000000000000036", ("pm_card_avsZipFail",), ("tok_avsZipFail",),
         failed_checks=("address_postal_code_check",)),
    Card("4000000000000028", ("pm_card_avsLine1Fail",), ("tok_avsLine1Fail",), failed_checks=("address_line1_check",)),
    Card("4000000000000010", ("pm_card_avsFail",), ("tok_avsFail",),
         failed_checks=("address_line1_check", "address_postal_code_check")),
    Card("4000058400307872", ("pm_card_cvcCheckFailElevatedRisk",), ("tok_cvcCheckFailElevatedRisk",),
         failed_checks=("cvc_check",), risk="elevated"),
    Card("4000058400306072", ("pm_card_avsZipFailElevatedRisk",), ("tok_avsZipFailElevatedRisk",),
         failed_checks=("address_postal_code_check",), risk="elevated"),
    Card("4000000000000044", ("pm_card_avsUnchecked",), ("tok_avsUnchecked",), address_unavailable=True),
    # Disputes
    Card("4000000000000259", ("pm_card_createDispute",), ("tok_createDispute",), dispute="fraudulent"),
    Card("4000000000002685", ("pm_card_createDisputeProductNotReceived",), ("tok_createDisputeProductNotReceived",),
         dispute="product_not_received"),
    Card("4000000000001976", ("pm_card_createDisputeInquiry",), ("tok_createDisputeInquiry",),
         dispute="general", inquiry=True),
    Card("4000000000005423", ("pm_card_createIssuerFraudRecord",), ("tok_createIssuerFraudRecord",),
         fraud_warning=True),
    # Refunds and balance
    Card("4000000000007726", ("pm_card_pendingRefund",), ("tok_pendingRefund",), refund="pending"),
    Card("4000000000005126", ("pm_card_refundFail",), ("tok_refundFail",), refund="fails"),
    Card("4000000000000077", ("pm_card_bypassPending",), ("tok_bypassPending",), available_at_once=True),
    Card("4000003720000278", ("pm_card_bypassPendingInternational",), ("tok_bypassPendingInternational",),
         country="IE", available_at_once=True),
)  # fmt: skip


def luhn(number: str) -> bool:
    """Whether the check digit of a card number is right.

    >>> luhn("4242424242424242"), luhn("4242424242424241")
    (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _with_check_digit(number: str) -> str:
    return next(number + digit for digit in "0123456789" if luhn(number + digit))


def _issued() -> Iterator[Card]:
    """The emulator's own: for each decline code a Visa and a Mastercard that can be saved, and is declined by it."""
    for place, code in enumerate(sorted(CODES)):
        declined = decline_for(code)
        for brand, begin, word in (("visa", "40000099000", ""), ("mastercard", "55555599000", "mastercard_")):
            names = (f"pm_card_emulator_{word}declines_{code}",)
            yield Card(_with_check_digit(f"{begin}{place:04}"), names, (), brand, country="GB", decline=declined)


ISSUED = tuple(_issued())
BY_NUMBER = {card.number: card for card in (*CARDS, *ISSUED)}


def _words(card: Card) -> set[str]:
    """What comes after `pm_card_` and `tok_`: Stripe says much with and without the brand, as visa_createDispute."""
    said = {name.removeprefix("pm_card_") for name in card.names} | {name.removeprefix("tok_") for name in card.tokens}
    found = set(said)
    for word in said:
        brand, _, rest = word.partition("_")
        if brand == card.brand and rest not in ("", "debit", "prepaid", "cartesBancaires"):
            found.add(rest)
        elif brand not in (card.brand, "emulator") and len(brand) > 2:
            found.add(f"{card.brand}_{word}")
    return found


BY_NAME = {f"pm_card_{word}": card for card in (*CARDS, *ISSUED) for word in _words(card)}
BY_TOKEN = {f"tok_{word}": card for card in (*CARDS, *ISSUED) for word in _words(card)}

_BRANDS = (
    ("34", "amex"), ("37", "amex"), ("6011", "discover"), ("65", "discover"), ("35", "jcb"), ("62", "unionpay"),
    ("30", "diners"), ("36", "diners"), ("38", "diners"), ("4", "visa"), ("5", "mastercard"), ("2", "mastercard"),
)  # fmt: skip


def card_for(number: str) -> Card:
    """The test card with that number; any other is declined, as a real card is in test mode."""
    known = BY_NUMBER.get(number)
    if known is not None:
        return known
    brand = next((brand for prefix, brand in _BRANDS if number.startswith(prefix)), "unknown")
    return Card(number, brand=brand, decline=decline_for("test_mode_live_card"), saves=False)

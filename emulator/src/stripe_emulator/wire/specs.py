"""Specifications of parameters that several requests share."""

from __future__ import annotations

from .params import (
    AnyHash,
    Boolean,
    Choice,
    Email,
    Hash,
    Integer,
    Kind,
    List,
    Metadata,
    NotEmulated,
    Text,
    TimeRange,
)

METADATA = Metadata()
ID = Text(255)
SECRET = Text(500)

OTHER_METHODS = (
    "acss_debit", "affirm", "afterpay_clearpay", "alipay", "alma", "amazon_pay", "au_becs_debit", "bacs_debit",
    "bancontact", "billie", "bizum", "blik", "boleto", "cashapp", "crypto", "customer_balance", "eps", "fpx",
    "giropay", "grabpay", "ideal", "kakao_pay", "klarna", "konbini", "kr_card", "link", "mb_way", "mobilepay",
    "multibanco", "naver_pay", "nz_bank_account", "oxxo", "p24", "pay_by_bank", "payco", "paynow", "paypal", "paypay",
    "payto", "pix", "promptpay", "revolut_pay", "samsung_pay", "satispay", "scalapay", "sepa_debit", "sequra",
    "sofort", "sunbit", "swish", "twint", "upi", "us_bank_account", "wechat_pay", "zip",
)  # fmt: skip
METHOD_TYPE = Choice("card", "card_present", "interac_present", *OTHER_METHODS)
ACCEPTED_METHODS = ("card",)
"""The methods that the emulator's account has switched on."""


def address(*, unset: bool = True) -> Hash:
    parts = ("city", "country", "line1", "line2", "postal_code", "state")
    return Hash({part: Text(unset=True) for part in parts}, unset=unset)


SHIPPING = Hash(
    {
        "address": address(),
        "carrier": Text(unset=True),
        "name": Text(unset=True),
        "phone": Text(unset=True),
        "tracking_number": Text(unset=True),
    },
    ("address", "name"),
    unset=True,
)
BILLING = Hash(
    {
        "address": address(),
        "email": Email(unset=True),
        "name": Text(unset=True),
        "phone": Text(unset=True),
        "tax_id": Text(unset=True),
    }
)
CARD_DATA = Hash(
    {
        "cvc": Text(20),
        "exp_month": Text(20),
        "exp_year": Text(20),
        "networks": Hash({"preferred": Text(unset=True)}),
        "number": Text(40),
        "token": ID,
    }
)
RADAR = Hash({"session": Text(), "referrer": Text(unset=True)})
METHOD_DATA = Hash(
    {
        **{name: AnyHash() for name in OTHER_METHODS},
        "allow_redisplay": Choice("always", "limited", "unspecified"),
        "billing_details": BILLING,
        "card": CARD_DATA,
        "metadata": METADATA,
        "radar_options": RADAR,
        "type": METHOD_TYPE,
    },
    ("type",),
)
AUTOMATIC_METHODS = Hash({"allow_redirects": Choice("always", "never"), "enabled": Boolean()}, ("enabled",))
ALLOWED_METHODS = List(METHOD_TYPE, unset=True)

_NETWORK = Choice(
    "amex", "cartes_bancaires", "diners", "discover", "eftpos_au", "girocard", "interac", "jcb", "link",
    "mastercard", "unionpay", "unknown", "visa",
)  # fmt: skip
_IF_AVAILABLE = Choice("if_available", "never")
_CREDENTIAL_USE = Choice("installment", "recurring", "unscheduled")
_CARD_OPTIONS: dict[str, Kind] = {
    "mandate_options": AnyHash(),
    "moto": Boolean(),
    "network": _NETWORK,
    "request_three_d_secure": Choice("any", "automatic", "challenge"),
    "setup_credential_usage": _CREDENTIAL_USE,
    "three_d_secure": AnyHash(),
}
_PAYMENT_CARD_OPTIONS = Hash(
    {
        **_CARD_OPTIONS,
        "capture_method": Choice("manual", unset=True),
        "cvc_token": Text(),
        "installments": AnyHash(),
        "request_extended_authorization": _IF_AVAILABLE,
        "request_incremental_authorization": _IF_AVAILABLE,
        "request_multicapture": _IF_AVAILABLE,
        "request_overcapture": _IF_AVAILABLE,
        "require_cvc_recollection": Boolean(),
        "setup_future_usage": Choice("none", "off_session", "on_session", unset=True),
        "statement_descriptor_suffix_kana": Text(22, unset=True),
        "statement_descriptor_suffix_kanji": Text(17, unset=True),
        "stored_credential_usage": _CREDENTIAL_USE,
    },
    unset=True,
)
_OTHER_OPTIONS: dict[str, Kind] = {name: AnyHash() for name in (*OTHER_METHODS, "card_present", "interac_present")}
PAYMENT_OPTIONS = Hash({**_OTHER_OPTIONS, "card": _PAYMENT_CARD_OPTIONS})
SETUP_OPTIONS = Hash({**_OTHER_OPTIONS, "card": Hash(_CARD_OPTIONS)})
MANDATE_DATA = Hash(
    {
        "customer_acceptance": Hash(
            {
                "accepted_at": Integer(),
                "offline": AnyHash(),
                "online": Hash({"ip_address": Text(unset=True), "user_agent": Text(unset=True)}),
                "type": Choice("offline", "online"),
            }
        )
    },
    unset=True,
)
AMOUNT_DETAILS = AnyHash()
CONNECT = NotEmulated("it has no connected accounts")
SOURCE = NotEmulated("tokens and sources are no longer attached to customers; use payment methods")

PAGE: dict[str, Kind] = {
    "ending_before": ID,
    "limit": Integer(),
    "starting_after": ID,
}
CREATED_PAGE: dict[str, Kind] = {**PAGE, "created": TimeRange()}

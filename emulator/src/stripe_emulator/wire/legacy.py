"""Cards and sources of Stripe's old APIs (https://docs.stripe.com/payments/older-apis).

The emulator keeps each as a payment method, by which name it can be charged and read; as a default and in events it
looks the way the old API showed it.
"""

from __future__ import annotations

from stripe_emulator.core.tables import JSON

CARD, SOURCE = "card", "src"
_BRANDS = {"visa": "Visa", "mastercard": "MasterCard", "amex": "American Express"}


def is_legacy(method_id: str) -> bool:
    return method_id.startswith((f"{CARD}_", f"{SOURCE}_"))


def shown(method: JSON) -> JSON:
    return _card(method) if method["id"].startswith(f"{CARD}_") else _source(method)


def _card(method: JSON) -> JSON:
    card, address = method["card"], method["billing_details"]["address"]
    checks = card["checks"]
    return {
        "id": method["id"],
        "object": "card",
        "address_city": address["city"],
        "address_country": address["country"],
        "address_line1": address["line1"],
        "address_line1_check": checks["address_line1_check"],
        "address_line2": address["line2"],
        "address_state": address["state"],
        "address_zip": address["postal_code"],
        "address_zip_check": checks["address_postal_code_check"],
        "brand": _BRANDS.get(card["brand"], "Unknown"),
        "country": card["country"],
        "customer": method["customer"],
        "cvc_check": checks["cvc_check"],
        "dynamic_last4": None,
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "last4": card["last4"],
        "metadata": method["metadata"],
        "name": method["billing_details"]["name"],
        "regulated_status": card["regulated_status"],
        "tokenization_method": None,
    }


def _source(method: JSON) -> JSON:
    card, billing = method["card"], method["billing_details"]
    same = ("country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    return {
        "id": method["id"],
        "object": "source",
        "amount": None,
        "card": {
            **{name: card[name] for name in same},
            **card["checks"],
            "brand": _BRANDS.get(card["brand"], "Unknown"),
            "dynamic_last4": None,
            "name": billing["name"],
            "three_d_secure": "optional" if card["three_d_secure_usage"]["supported"] else "not_supported",
            "tokenization_method": None,
        },
        "created": method["created"],
        "currency": None,
        "customer": method["customer"],
        "flow": "none",
        "livemode": False,
        "metadata": method["metadata"],
        "owner": {
            **{name: billing[name] for name in ("address", "email", "name", "phone")},
            **dict.fromkeys(("verified_address", "verified_email", "verified_name", "verified_phone")),
        },
        "statement_descriptor": None,
        "status": "chargeable" if method["customer"] else "consumed",
        "type": "card",
        "usage": "reusable",
    }

"""Currencies and amounts as Stripe treats them (https://docs.stripe.com/currencies)."""

from __future__ import annotations

from .errors import invalid

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# No decimals in life, yet two in the API, always "00".
ALWAYS_WHOLE = frozenset(["isk", "ugx"])

_TWO_DECIMALS = frozenset([
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bmd", "bnd", "bob",
    "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "cny", "cop", "crc", "cve", "czk", "dkk", "dop", "dzd",
    "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip", "gmd", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr",
    "ils", "inr", "jmd", "kes", "kgs", "khr", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl", "mkd",
    "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr", "nzd", "pab",
    "pen", "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub", "sar", "sbd", "scr", "sek", "sgd", "shp", "sle",
    "sos", "srd", "std", "szl", "thb", "tjs", "top", "try", "ttd", "twd", "tzs", "uah", "usd", "uyu", "uzs", "wst",
    "xcd", "yer", "zar", "zmw",
])  # fmt: skip
SUPPORTED = _TWO_DECIMALS | ZERO_DECIMAL | THREE_DECIMAL | ALWAYS_WHOLE

# Minor units. Currencies not named here have no published minimum.
MINIMUM = {
    "usd": 50, "aed": 200, "ars": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50, "jpy": 50,
    "krw": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "rub": 50,
    "sek": 300, "sgd": 50, "thb": 1000, "zar": 50,
}  # fmt: skip
DIGITS = {"cop": 10, "idr": 12, "inr": 9}
_SIGNS = {"usd": "$", "gbp": "£", "eur": "€", "aud": "$", "cad": "$", "nzd": "$", "jpy": "¥"}


def shown(amount: int, currency: str) -> str:
    """An amount in minor units as Stripe's messages write it: "$40.00", "kr"-like currencies without a sign."""
    sign = _SIGNS.get(currency, "")
    if currency in ZERO_DECIMAL:
        return f"{sign}{amount:,}"
    if currency in THREE_DECIMAL:
        return f"{sign}{amount / 1000:,.3f}"
    return f"{sign}{amount / 100:,.2f}"


def check_currency(currency: str, param: str = "currency") -> str:
    """The currency in lower case, or the refusal that Stripe gives for one it does not know."""
    lower = currency.lower()
    if lower not in SUPPORTED:
        offer = ", ".join(sorted(SUPPORTED))
        raise invalid(f"Invalid currency: {currency[:20]}. Stripe currently supports these currencies: {offer}", param)
    return lower


def check_amount(amount: int, currency: str, param: str = "amount") -> None:
    """Refuse an amount that cannot be charged. `amount` in minor units, `currency` in lower case."""
    least = MINIMUM.get(currency, 1)
    if amount < least:
        message = f"Amount must be at least {shown(least, currency)} {currency}"
        raise invalid(message, param, "amount_too_small")
    most = 10 ** DIGITS.get(currency, 8) - 1
    if amount > most:
        message = f"Amount must be no more than {shown(most, currency)} {currency}"
        raise invalid(message, param, "amount_too_large")
    step = 10 if currency in THREE_DECIMAL else 100 if currency in ALWAYS_WHOLE else 1
    if amount % step:
        raise invalid(f"Amounts in {currency} must be divisible by {step}.", param)


_EEA = frozenset([
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI", "LT",
    "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
])  # fmt: skip


def fee(amount: int, currency: str, country: str | None) -> int:
    """What Stripe keeps of a charge of a British account: a share by the country of the card, and 20 minor units.

    1.5 % for cards of the United Kingdom, 2.5 % of the European Economic Area, 3.25 % of elsewhere; never all of it.
    """
    share = 0.015 if country == "GB" else 0.025 if country in _EEA else 0.0325
    fixed = 0 if currency in ZERO_DECIMAL else 200 if currency in THREE_DECIMAL else 20
    return min(amount, round(amount * share) + fixed)

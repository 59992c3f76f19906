"""Money: which currencies Stripe takes, in which units, and how an amount is written for a reader.

Our rows hold `Decimal` and an ISO code; the gateway speaks integer minor units. The tables below are Stripe's own
(https://docs.stripe.com/currencies): they differ from ISO 4217 and from CLDR, so nothing here is derived from those.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.numbers import NumberFormatError, get_decimal_symbol, parse_decimal, parse_pattern
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from checkout.errors import MoneyError

ZERO_DECIMAL: Final = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905
)
THREE_DECIMAL: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
#: No decimals in daily life, yet the API wants two of them, always 00 (5 UGX = 500).
WHOLE_UNITS_SENT_AS_HUNDREDTHS: Final = frozenset(["ISK", "UGX"])

_TWO_DECIMAL: Final = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BWP BYN BZD CAD CDF
    CHF CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF
    IDR ILS INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN
    MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP
    SLE SOS SRD STD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW
    """.split()  # noqa: SIM905 - one text reads better than a hundred quoted codes
)

CURRENCIES: Final = frozenset(_TWO_DECIMAL | ZERO_DECIMAL | THREE_DECIMAL | WHOLE_UNITS_SENT_AS_HUNDREDTHS)

#: Smallest charge in minor units (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts). Stripe
#: judges it in the settlement currency, so this guards against the sure refusals only.
MINIMUM_MINOR: Final[dict[str, int]] = {
    "AED": 200, "ARS": 50, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "COP": 50, "CZK": 1500, "DKK": 250,
    "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "IDR": 50, "ILS": 50, "INR": 50, "JPY": 50, "KRW": 50,
    "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PHP": 50, "PLN": 200, "RON": 200, "RUB": 50, "SEK": 300,
    "SGD": 50, "THB": 1000, "USD": 50, "ZAR": 50,
}  # fmt: skip

#: Eight digits unless said otherwise (same page).
MAXIMUM_MINOR: Final = 99_999_999
MAXIMUM_MINOR_BY_CURRENCY: Final[dict[str, int]] = {
    "COP": 9_999_999_999,
    "IDR": 999_999_999_999,
    "INR": 999_999_999,
}


def check_currency(currency: str) -> str:
    """The ISO code in capitals.

    >>> check_currency("gbp")
    'GBP'

    Raises MoneyError for a code that Stripe does not take.
    """
    code = currency.upper() if isinstance(currency, str) else currency
    if code not in CURRENCIES:
        raise MoneyError(
            _("“%(currency)s” is not a currency that Stripe takes. Use an ISO code such as GBP or EUR.")
            % {"currency": currency}
        )
    return code


def exponent(currency: str) -> int:
    """How many decimals the API's minor unit stands for: 2 for GBP, 0 for JPY, 3 for KWD, 2 for ISK."""
    code = check_currency(currency)
    if code in ZERO_DECIMAL:
        return 0
    return 3 if code in THREE_DECIMAL else 2


def step_minor(currency: str) -> int:
    """Every charge is a multiple of this many minor units: 1 nearly always, 100 for ISK and UGX, 10 for KWD and kin.

    Three-decimal amounts must end in 0 (https://docs.stripe.com/currencies#three-decimal).
    """
    code = check_currency(currency)
    if code in WHOLE_UNITS_SENT_AS_HUNDREDTHS:
        return 100
    return 10 if code in THREE_DECIMAL else 1


def smallest_unit(currency: str) -> Decimal:
    """The smallest amount one can owe.

    >>> smallest_unit("GBP"), smallest_unit("JPY"), smallest_unit("ISK"), smallest_unit("KWD")
    (Decimal('0.01'), Decimal('1'), Decimal('1'), Decimal('0.01'))
    """
    return Decimal(step_minor(currency)).scaleb(-exponent(currency)).quantize(Decimal(1).scaleb(-digits(currency)))


def digits(currency: str) -> int:
    """Decimals that a reader sees: 2 for GBP, 0 for JPY and ISK; 2 for KWD too, whose third is always 0."""
    code = check_currency(currency)
    if code in ZERO_DECIMAL or code in WHOLE_UNITS_SENT_AS_HUNDREDTHS:
        return 0
    return 2


def minimum_minor(currency: str) -> int:
    """The smallest charge in minor units; one step where Stripe publishes no minimum."""
    return max(MINIMUM_MINOR.get(check_currency(currency), 0), step_minor(currency))


def maximum_minor(currency: str) -> int:
    """The largest charge in minor units that fits the step."""
    limit = MAXIMUM_MINOR_BY_CURRENCY.get(check_currency(currency), MAXIMUM_MINOR)
    return limit - limit % step_minor(currency)


def to_minor(amount: Decimal, currency: str) -> int:
    """`amount` in the integer that Stripe wants.

    >>> to_minor(Decimal("85.00"), "GBP"), to_minor(Decimal("5"), "UGX"), to_minor(Decimal("5.120"), "KWD")
    (8500, 500, 5120)

    Raises MoneyError when the amount is finer than the currency's smallest unit, no finite number, or no Decimal: a
    float has lost pennies before it gets here.
    """
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise MoneyError(f"An amount is a finite Decimal, not {amount!r}.")
    try:
        minor = amount.scaleb(exponent(currency))
        exact = minor == minor.to_integral_value() and int(minor) % step_minor(currency) == 0
    except InvalidOperation:
        exact = False
    if not exact:
        unit = smallest_unit(currency)
        raise MoneyError(
            _("%(amount)s %(currency)s is not a multiple of %(unit)s, the smallest amount of that currency.")
            % {"amount": number_format(amount), "currency": currency, "unit": number_format(unit)}
        )
    return int(minor)


def from_minor(minor: int, currency: str) -> Decimal:
    """The amount that `minor` stands for, with as many decimals as a reader sees (more only if it needs them).

    >>> from_minor(8500, "gbp"), from_minor(500, "JPY"), from_minor(500, "UGX")
    (Decimal('85.00'), Decimal('500'), Decimal('5'))
    """
    return tidy(Decimal(minor).scaleb(-exponent(currency)), currency)


def tidy(amount: Decimal, currency: str) -> Decimal:
    """The same amount with the currency's own number of decimals; our columns hold three.

    >>> tidy(Decimal("85.000"), "GBP"), tidy(Decimal("0.001"), "GBP")
    (Decimal('85.00'), Decimal('0.001'))
    """
    shown = amount.quantize(Decimal(1).scaleb(-digits(currency)))
    return shown if shown == amount else amount


def round_minor(exact: Decimal, currency: str) -> int:
    """`exact` minor units rounded half up to the currency's step.

    >>> round_minor(Decimal("3333.5"), "GBP"), round_minor(Decimal("150"), "ISK")
    (3334, 200)
    """
    step = step_minor(currency)
    return int((exact / step).quantize(Decimal(1), rounding=ROUND_HALF_UP)) * step


def check_chargeable(amount: Decimal, currency: str) -> int:
    """`amount` in minor units, if Stripe would take a charge of it.

    Raises MoneyError when it is not positive, below the currency's minimum or above its maximum.
    """
    minor = to_minor(amount, currency)
    code = check_currency(currency)
    if minor < minimum_minor(code):
        least = from_minor(minimum_minor(code), code)
        raise MoneyError(
            _("%(amount)s %(currency)s cannot be paid by card: the least is %(least)s %(currency)s.")
            % {"amount": number_format(tidy(amount, code)), "currency": code, "least": number_format(least)}
        )
    if minor > maximum_minor(code):
        most = from_minor(maximum_minor(code), code)
        raise MoneyError(
            _("%(amount)s %(currency)s cannot be paid in one go: the most is %(most)s %(currency)s.")
            % {"amount": number_format(tidy(amount, code)), "currency": code, "most": number_format(most)}
        )
    return minor


def format_money(amount: Decimal, currency: str, locale: str = "en_GB") -> str:
    """The amount as a reader of `locale` writes it; an unknown locale reads British English.

    >>> format_money(Decimal("1085"), "GBP"), format_money(Decimal("1085.00"), "JPY")
    ('£1,085.00', 'JP¥1,085')
    """
    try:
        parsed = Locale.parse(locale.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        parsed = Locale("en", "GB")
    pattern = parse_pattern(parsed.currency_formats["standard"].pattern)
    code = check_currency(currency)
    # CLDR hides the pennies of some currencies that Stripe charges with two decimals, so the count is ours.
    decimals = max(digits(code), -int(tidy(amount, code).as_tuple().exponent))
    pattern.frac_prec = (decimals, decimals)
    return str(pattern.apply(amount, parsed, currency=code, currency_digits=False))


#: What an amount may be typed with: digits, and the separators of any language.
_TYPED: Final = re.compile(r"[0-9.,'\u2019\u00a0\u202f ]+")


def write_amount(amount: Decimal, language: str) -> str:
    """An amount as the readers of `language` type it, for a field that `parse_amount` reads: to the last digit, and
    without separators of thousands.

    >>> write_amount(Decimal("1000.50"), "de"), write_amount(Decimal("1000.50"), "en-gb")
    ('1000,50', '1000.50')
    """
    try:
        symbol = get_decimal_symbol(language.replace("-", "_"))
    except UnknownLocaleError:
        symbol = "."
    return f"{amount:f}".replace(".", symbol)


def parse_amount(text: str, language: str) -> Decimal:
    """An amount that somebody typed, as the readers of `language` write it.

    >>> parse_amount("1.000,50", "de"), parse_amount("1,000.50", "en-gb")
    (Decimal('1000.50'), Decimal('1000.50'))

    Raises MoneyError for what is no amount, or could be read in two ways: a thousands separator that stands elsewhere.
    """
    typed = text.strip()
    if _TYPED.fullmatch(typed):
        try:
            return parse_decimal(typed, locale=language.replace("-", "_"), strict=True)
        except (NumberFormatError, UnknownLocaleError):
            pass
    example = number_format(Decimal("1234.50"), 2, use_l10n=True, force_grouping=True)
    raise MoneyError(
        _("“%(typed)s” is not an amount. Write it like this: %(example)s") % {"typed": typed[:40], "example": example}
    )

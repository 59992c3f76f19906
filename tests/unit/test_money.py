from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout import money
from checkout.errors import MoneyError

currencies = st.sampled_from(sorted(money.CURRENCIES))


@st.composite
def chargeable(draw: st.DrawFn) -> tuple[int, str]:
    """(minor units, currency) that Stripe would take."""
    currency = draw(currencies)
    step = money.step_minor(currency)
    least, most = money.minimum_minor(currency), money.maximum_minor(currency)
    return draw(st.integers(-(-least // step), most // step)) * step, currency


@given(chargeable())
def test_minor_units_there_and_back_are_the_same(case: tuple[int, str]) -> None:
    minor, currency = case
    amount = money.from_minor(minor, currency)
    assert money.to_minor(amount, currency) == minor
    assert money.check_chargeable(amount, currency) == minor


@given(chargeable())
def test_tidy_never_changes_the_amount(case: tuple[int, str]) -> None:
    minor, currency = case
    stored = money.from_minor(minor, currency).quantize(Decimal("0.001"))
    assert money.tidy(stored, currency) == stored


@given(currencies, st.decimals(min_value=0, max_value=10**9, places=6))
def test_an_amount_finer_than_the_smallest_unit_is_refused(currency: str, amount: Decimal) -> None:
    unit = money.smallest_unit(currency)
    if amount % unit:
        with pytest.raises(MoneyError, match="smallest amount"):
            money.to_minor(amount, currency)
    else:
        assert money.to_minor(amount, currency) % money.step_minor(currency) == 0


@given(currencies, st.decimals(min_value=0, max_value=10**9, places=4))
def test_rounding_is_half_up_to_the_step(currency: str, exact: Decimal) -> None:
    step = money.step_minor(currency)
    rounded = money.round_minor(exact, currency)
    assert rounded % step == 0
    assert -step < 2 * (exact - rounded) <= step or 2 * (rounded - exact) == step


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("85.00", "GBP", 8500),
        ("85", "eur", 8500),
        ("500", "JPY", 500),
        ("5", "UGX", 500),
        ("5", "ISK", 500),
        ("5.12", "KWD", 5120),
        ("100", "HUF", 10000),
        ("100", "TWD", 10000),
    ],
)
def test_factors_are_stripes_own(amount: str, currency: str, minor: int) -> None:
    assert money.to_minor(Decimal(amount), currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency"), [("0.001", "GBP"), ("0.5", "JPY"), ("5.50", "UGX"), ("5.125", "KWD"), ("0.5", "ISK")]
)
def test_amounts_that_do_not_exist_are_refused(amount: str, currency: str) -> None:
    with pytest.raises(MoneyError, match="smallest amount"):
        money.to_minor(Decimal(amount), currency)


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity"), 1.5, 10, "10", None])
def test_only_a_finite_decimal_is_an_amount(amount: object) -> None:
    with pytest.raises(MoneyError, match="finite Decimal"):
        money.to_minor(amount, "GBP")  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", ["", "XXX", "GB", "pounds", None, 5])
def test_an_unknown_currency_is_refused_with_a_hint(currency: object) -> None:
    with pytest.raises(MoneyError, match="ISO code"):
        money.check_currency(currency)  # type: ignore[arg-type]


def test_below_the_minimum_says_what_the_least_is() -> None:
    with pytest.raises(MoneyError, match=r"the least is 0\.30 GBP"):
        money.check_chargeable(Decimal("0.29"), "GBP")


def test_above_the_maximum_says_what_the_most_is() -> None:
    with pytest.raises(MoneyError, match=r"the most is 999999\.99 GBP"):
        money.check_chargeable(Decimal("1000000.00"), "GBP")


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        ("85.000", "GBP", "en-gb", "£85.00"),
        ("1085", "EUR", "de", "1.085,00\xa0€"),
        ("1085", "JPY", "ja", "￥1,085"),
        ("5", "ISK", "en-gb", "ISK5"),
        ("10.50", "LAK", "en-gb", "LAK10.50"),
        ("5.12", "KWD", "en-gb", "KWD5.12"),
        ("85", "GBP", "xx", "£85.00"),
    ],
)
def test_money_is_written_as_the_reader_writes_it(amount: str, currency: str, locale: str, text: str) -> None:
    assert money.format_money(Decimal(amount), currency, locale) == text


@given(chargeable(), st.sampled_from(["en-gb", "de", "fr", "ja", "pl", "sv"]))
def test_no_digit_is_hidden_from_the_reader(case: tuple[int, str], locale: str) -> None:
    minor, currency = case
    amount = money.from_minor(minor, currency)
    shown = "".join(char for char in money.format_money(amount, currency, locale) if char.isdigit())
    assert shown == str(amount).replace(".", "")


@pytest.mark.parametrize(
    ("language", "text", "meant"),
    [
        ("de", "6,95", "6.95"),
        ("de", "1.000", "1000"),
        ("de", "1.000,00", "1000.00"),
        ("en-gb", "17,000", "17000"),
        ("en-gb", "1,000.00", "1000.00"),
        ("fr", "1\u202f000,5", "1000.5"),
    ],
)
def test_an_amount_is_read_as_its_reader_writes_it(language: str, text: str, meant: str) -> None:
    assert money.parse_amount(text, language) == Decimal(meant)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "6.95"),
        ("en-gb", "6,95"),
        ("en-gb", "1_000"),
        ("en-gb", "\u0661\u0662"),
        ("en-gb", "1e3"),
        ("en-gb", "-"),
    ],
)
def test_an_amount_that_can_be_read_in_two_ways_is_refused(language: str, text: str) -> None:
    with pytest.raises(MoneyError, match="Write it like this"):
        money.parse_amount(text, language)

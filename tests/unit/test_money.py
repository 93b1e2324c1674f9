"""Money: exact or refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.money import (
    LARGEST,
    AmountProblem,
    advised,
    decimal_text,
    minor_units,
    parse_amount,
)


def test_exponents_are_those_of_iso_4217() -> None:
    codes = ("NGN", "CNY", "JPY", "UGX", "HUF", "IQD", "KWD", "CLF", "XXX", "ngn", "")
    assert [minor_units(code) for code in codes] == [2, 2, 0, 0, 2, 3, 3, 4, None, None, None]


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [
        ("6500.00", "NGN", 650000),
        ("6500", "NGN", 650000),
        ("6500.5", "NGN", 650050),
        ("0.01", "NGN", 1),
        ("-5.00", "NGN", -500),
        ("5000", "UGX", 5000),
        ("1.234", "KWD", 1234),
        (6500, "NGN", 650000),
        (Decimal("6500.0"), "NGN", 650000),
        (Decimal("6.5E+3"), "NGN", 650000),
        (Decimal("0E+999999"), "NGN", 0),
        ("90071992547409.92", "NGN", LARGEST),
        ("0000000000000001.00", "NGN", 100),
    ],
)
def test_amount_is_read_exactly(value: object, currency: str, minor: int) -> None:
    assert parse_amount(value, currency) == minor


@pytest.mark.parametrize(
    ("value", "currency", "problem"),
    [
        ("1.00", "XXX", AmountProblem.UNKNOWN_CURRENCY),
        (6500.0, "NGN", AmountProblem.FLOAT),
        (True, "NGN", AmountProblem.NOT_DECIMAL),
        (None, "NGN", AmountProblem.NOT_DECIMAL),
        ("", "NGN", AmountProblem.NOT_DECIMAL),
        ("NaN", "NGN", AmountProblem.NOT_DECIMAL),
        ("inf", "NGN", AmountProblem.NOT_DECIMAL),
        ("1e309", "NGN", AmountProblem.NOT_DECIMAL),
        ("1,000.00", "NGN", AmountProblem.NOT_DECIMAL),
        (" 5", "NGN", AmountProblem.NOT_DECIMAL),
        ("5\n", "NGN", AmountProblem.NOT_DECIMAL),
        ("+5", "NGN", AmountProblem.NOT_DECIMAL),
        ("٥", "NGN", AmountProblem.NOT_DECIMAL),
        (Decimal("NaN"), "NGN", AmountProblem.NOT_DECIMAL),
        (Decimal("-Infinity"), "NGN", AmountProblem.NOT_DECIMAL),
        ("1.000", "NGN", AmountProblem.TOO_MANY_DIGITS),
        ("5.000", "VND", AmountProblem.TOO_MANY_DIGITS),
        (Decimal("1.001"), "NGN", AmountProblem.TOO_MANY_DIGITS),
        ("90071992547409.93", "NGN", AmountProblem.TOO_LARGE),
        ("9" * 4000, "NGN", AmountProblem.TOO_LARGE),
        (10**400, "NGN", AmountProblem.TOO_LARGE),
        (Decimal("1e309"), "NGN", AmountProblem.TOO_LARGE),
        (Decimal("1e999999"), "JPY", AmountProblem.TOO_LARGE),
    ],
)
def test_what_is_no_amount_is_refused(value: object, currency: str, problem: AmountProblem) -> None:
    assert parse_amount(value, currency) is problem


@given(st.integers(-LARGEST, LARGEST), st.sampled_from(["NGN", "JPY", "KWD", "CLF"]), st.booleans())
def test_text_of_an_amount_reads_back(minor: int, currency: str, as_decimal: bool) -> None:
    text = decimal_text(minor, currency)
    assert parse_amount(Decimal(text) if as_decimal else text, currency) == minor


@given(st.text(max_size=30) | st.floats() | st.decimals() | st.binary() | st.integers())
def test_anything_is_read_or_refused(value: object) -> None:
    assert isinstance(parse_amount(value, "NGN"), int | AmountProblem)


def test_decimal_text_has_all_digits_of_the_currency() -> None:
    assert decimal_text(650000, "NGN") == "6500.00"
    assert decimal_text(-5, "NGN") == "-0.05"
    assert decimal_text(6500, "JPY") == "6500"
    assert decimal_text(1, "KWD") == "0.001"


@pytest.mark.parametrize(
    ("value", "currency", "advice"),
    [
        (16005.5, "NGN", 'number-with-a-point-write-it-as-text; right is text such as "1600.50"'),
        (16005.5, "JPY", 'number-with-a-point-write-it-as-text; right is text such as "1600"'),
        ("1.2345", "KWD", 'more-digits-than-the-currency-has; right is text such as "1600.500"'),
        ("5 000", "VND", 'not-a-decimal; right is text such as "1600"'),
        (2**60, "JPY", 'too-large; the largest is "9007199254740992"'),
        ("1.00", "XXX", "unknown-currency"),
    ],
)
def test_a_refusal_shows_what_would_be_right(value: object, currency: str, advice: str) -> None:
    problem = parse_amount(value, currency)
    assert isinstance(problem, AmountProblem)
    assert advised(problem, currency) == advice
    shown = advice.partition('"')[2].strip('"')
    assert not shown or isinstance(parse_amount(shown, currency), int)

"""Money is integer minor units and an ISO 4217 code. Nothing here rounds.

Exponents are those of ISO 4217, not of CLDR: the latter says how people write a price, the former
what a ledger's digits mean.
"""

import re
from decimal import Decimal
from enum import StrEnum

# Amounts travel as JSON numbers somewhere in every lender's house: stay exact in a double.
LARGEST = 2**53
_DECIMAL = re.compile(r"(-?)([0-9]{1,16})(?:\.([0-9]{1,16}))?")

_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP "
        "BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR "
        "FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR "
        "KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV "
        "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR "
        "SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH "
        "USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {code: digits for digits, codes in _BY_EXPONENT.items() for code in codes.split()}


class AmountProblem(StrEnum):
    """Why a value is no amount of money."""

    UNKNOWN_CURRENCY = "unknown-currency"
    NOT_DECIMAL = "not-a-decimal"
    FLOAT = "number-with-a-point-write-it-as-text"
    TOO_MANY_DIGITS = "more-digits-than-the-currency-has"
    TOO_LARGE = "too-large"


def advised(problem: AmountProblem, currency: str) -> str:
    """A problem and what would have been right: an example of ours, never the value itself."""
    if problem is AmountProblem.UNKNOWN_CURRENCY:
        return f"{problem}"
    if problem is AmountProblem.TOO_LARGE:
        return f'{problem}; the largest is "{decimal_text(LARGEST, currency)}"'
    return f'{problem}; right is text such as "{example_amount(currency)}"'


def example_amount(currency: str) -> str:
    """Sixteen hundred and a half, as far as a currency has halves: `1600.50`."""
    digits = _EXPONENTS.get(currency, 2)
    return decimal_text(16005 * 10**digits // 10, currency)


def minor_units(currency: str) -> int | None:
    """Decimal digits of a currency by ISO 4217; None if it is not an active currency code."""
    return _EXPONENTS.get(currency)


def parse_amount(value: object, currency: str) -> int | AmountProblem:
    """Minor units of an amount in major units: text `6500.00`, a Decimal or an int.

    A float is refused, it has lost its digits already. More digits than the currency has are
    refused even if they are zeros: `5.000` VND is somebody's five thousand.
    """
    exponent = minor_units(currency)
    if exponent is None:
        return AmountProblem.UNKNOWN_CURRENCY
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(value * 10**exponent)
    if isinstance(value, Decimal):
        return _from_decimal(value, exponent)
    if isinstance(value, float):
        return AmountProblem.FLOAT
    return _from_text(value, exponent) if isinstance(value, str) else AmountProblem.NOT_DECIMAL


def _from_text(value: str, exponent: int) -> int | AmountProblem:
    found = _DECIMAL.fullmatch(value)
    if found is None:
        too_long = re.fullmatch(r"-?[0-9]{17,}(\.[0-9]+)?", value) is not None
        return AmountProblem.TOO_LARGE if too_long else AmountProblem.NOT_DECIMAL
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if len(fraction) > exponent:
        return AmountProblem.TOO_MANY_DIGITS
    minor = int(whole + fraction.ljust(exponent, "0"))
    return _bounded(-minor if sign else minor)


def _from_decimal(value: Decimal, exponent: int) -> int | AmountProblem:
    sign, digits, power = value.as_tuple()
    if not isinstance(power, int):  # NaN and infinities
        return AmountProblem.NOT_DECIMAL
    if -power > exponent:
        return AmountProblem.TOO_MANY_DIGITS
    if len(digits) + power > len(str(LARGEST)):
        return AmountProblem.TOO_LARGE if any(digits) else 0
    minor = int("".join(map(str, digits))) * 10 ** (power + exponent)
    return _bounded(-minor if sign else minor)


def _bounded(minor: int) -> int | AmountProblem:
    return minor if -LARGEST <= minor <= LARGEST else AmountProblem.TOO_LARGE


def decimal_text(minor: int, currency: str) -> str:
    """An amount as ledgers write it: `6500.00`, no grouping, all digits of the currency."""
    exponent = _EXPONENTS.get(currency, 2)
    if exponent == 0:
        return str(minor)
    whole, fraction = divmod(abs(minor), 10**exponent)
    return f"{'-' if minor < 0 else ''}{whole}.{fraction:0{exponent}d}"

"""Amounts and dates as their readers write them, in characters that a phone has and everybody sees."""

import re
from copy import copy
from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import NumberPattern

from agent.domain.money import minor_units
from agent.domain.segments import forcing

# Whose habits a reader of an unknown locale is thought to have.
LAST_RESORT = "en"
# What Babel writes and a phone's basic alphabet lacks, or what no reader can see.
_PLAIN = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2019": "'", "\u200e": "", "\u200f": "", "\u2212": "-"}
)


@lru_cache(maxsize=1024)
def language_of(locale: str) -> str:
    """The language of a locale."""
    return re.split("[-_]", locale)[0].lower()


# What readers call a currency where a sign would cost UCS-2 or be refused by a gateway.
_UNITS = {
    ("zh", "CNY"): "{}元",
    ("zh", "TWD"): "{}元",
    ("zh", "HKD"): "{}港元",
    ("id", "IDR"): "Rp{}",
    ("en", "USD"): "${}",
}


@lru_cache(maxsize=16384)
def amount_text(minor: int, currency: str, locale: str, form: str = "code") -> str:
    """An amount for a reader, `NGN 6,500.00`: the code, grouped digits, plain characters only."""
    exponent, before, after, habit = _manner(currency, locale, form)
    if form == "whole" and minor % 10**exponent == 0:
        minor, exponent = minor // 10**exponent, 0
    if habit is None or minor < 0:
        return before + _spelled(minor, locale, exponent).translate(_PLAIN) + after
    group, point = habit
    whole, rest = divmod(minor, 10**exponent)
    fraction = f"{point}{rest:0{exponent}d}" if exponent else ""
    return before + f"{whole:,}".replace(",", group) + fraction + after


@lru_cache(maxsize=1024)
def _manner(currency: str, locale: str, form: str) -> tuple[int, str, str, tuple[str, str] | None]:
    """How a reader writes amounts: decimals, what stands before and after the digits, and two marks."""
    digits = minor_units(currency)
    unit = _UNITS.get((language_of(locale), currency)) if form == "unit" else None
    before, _, after = (unit or f"{currency} {{}}").partition("{}")
    return 2 if digits is None else digits, before, after, _thousands(locale)


def _spelled(minor: int, locale: str, exponent: int) -> str:
    amount = Decimal(minor).scaleb(-exponent)
    return str(_pattern(locale, exponent).apply(amount, _locale(locale)))


@lru_cache(maxsize=1024)
def _thousands(locale: str) -> tuple[str, str] | None:
    """The two marks of a reader who writes plain digits in threes; None for every other habit.

    Most do, and putting in two marks is thirty times quicker than asking what their habit is.
    """
    few, many = (
        _spelled(minor, locale, 2).translate(_PLAIN) for minor in (123_456, 123_456_789_012)
    )
    found = re.fullmatch(r"1(\D)234(\D)56", few)
    if found is None or not few.isascii():
        return None
    group, point = found[1], found[2]
    return (group, point) if many == f"1{group}234{group}567{group}890{point}12" else None


@lru_cache(maxsize=1024)
def _pattern(locale: str, exponent: int) -> NumberPattern:
    pattern: NumberPattern = copy(_locale(locale).decimal_formats[None])
    pattern.frac_prec = (exponent, exponent)
    return pattern


@lru_cache(maxsize=4096)
def date_text(day: date, locale: str, form: str = "medium") -> str:
    """A date for a reader, its month in words wherever digits alone could be read two ways."""
    if form == "iso":
        return day.isoformat()
    place = _locale(locale)
    text = format_date(day, "long" if form == "long" else "medium", locale=place)
    if not any(c.isalpha() for c in text):
        text = format_date(day, "long", locale=place)
    if form == "weekday":
        text = _with_weekday(text, format_date(day, "EEE", locale=place), place.language)
    return _cheap(text.translate(_PLAIN))


def _cheap(text: str) -> str:
    """`sab` for `sáb`: without its accents, where that is all that costs the costlier encoding."""
    plain = {each.character: each.replacement for each in forcing(text)}
    if None in plain.values():
        return text
    return "".join(plain.get(character) or character for character in text)


def _with_weekday(text: str, weekday: str, language: str) -> str:
    return f"{text}({weekday})" if language == "zh" else f"{weekday.rstrip('.')} {text}"


@lru_cache(maxsize=1024)
def _locale(tag: str) -> Locale:
    for candidate in (tag.replace("_", "-"), language_of(tag), LAST_RESORT):
        try:
            return Locale.parse(candidate, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale(LAST_RESORT)

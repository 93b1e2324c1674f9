"""Amounts and dates as their readers write them, in characters that a phone has and everybody sees."""

import re
import unicodedata
from copy import copy
from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import NumberPattern

from agent.domain.links import links
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


# Who reads traditional characters.
TRADITIONAL = ("TW", "HK", "MO")


@lru_cache(maxsize=1024)
def is_traditional_reader(locale: str) -> bool:
    """The script decides before the region: zh-Hans-HK reads simplified characters."""
    subtags = re.split("[-_]", locale)[1:]
    scripts = {part.title() for part in subtags}
    return "Hant" in scripts or (
        "Hans" not in scripts and any(part.upper() in TRADITIONAL for part in subtags)
    )


# What readers call a currency where a sign would cost UCS-2 or be refused by a gateway. A word that means
# the money of several countries stands alone only for those who use it every day.
_SIMPLIFIED_UNITS = {
    "CNY": "{}元", "HKD": "{}港元", "MOP": "{}澳门元", "TWD": "新台币{}元", "USD": "{}美元", "EUR": "{}欧元",
    "GBP": "{}英镑", "JPY": "{}日元", "SGD": "{}新加坡元",
}  # fmt: skip
_TRADITIONAL_UNITS = {
    "TWD": "{}元", "HKD": "{}港元", "MOP": "{}澳門元", "CNY": "人民幣{}元", "USD": "{}美元", "EUR": "{}歐元",
    "GBP": "{}英鎊", "JPY": "{}日圓", "SGD": "{}新加坡元",
}  # fmt: skip
_ENGLISH_DOLLARS = ("en", "en-US")


def _unit(currency: str, locale: str) -> str | None:
    match language_of(locale):
        case "zh":
            traditional = is_traditional_reader(locale)
            return (_TRADITIONAL_UNITS if traditional else _SIMPLIFIED_UNITS).get(currency)
        case "id":
            return "Rp{}" if currency == "IDR" else None
        case "en":
            dollars = currency == "USD" and locale.replace("_", "-") in _ENGLISH_DOLLARS
            return "${}" if dollars else None
    return None


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
    unit = _unit(currency, locale) if form == "unit" else None
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
    """The habits of a reader; of scripts only those that texts are written in."""
    language = language_of(tag)
    subtags = [part for part in re.split("[-_]", tag)[1:] if len(part) in (2, 3)]
    if language == "zh":
        subtags.insert(0, "Hant" if is_traditional_reader(tag) else "Hans")
    for candidate in ("-".join((language, *subtags[:2])), language, LAST_RESORT):
        try:
            return Locale.parse(candidate, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale(LAST_RESORT)


# ---- names


_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")


@lru_cache(maxsize=4096)
def name_text(name: str) -> str:
    """A name on one line: no line break, no invisible character, nothing that turns its direction."""
    kept = (c for c in name if unicodedata.category(c) != "Cf")
    seen = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in kept)
    return " ".join(seen.split())


def reference_text(reference: str) -> str:
    """A ledger's reference on one line, never as an address that a phone makes a link of."""
    plain = name_text(reference)
    return re.sub(r"[.。:/@]+", "-", plain) if any(links(plain)) else plain

"""What borrowers read: texts with placeholders, filled with amounts and dates in their language.

A text knows `{name}` and `{name:format}` for the names in `NAMES` and the formats in `FORMATS`, and
nothing else: no expression, no condition, no nesting. So whatever can go wrong with one is found
when it is read, not when it is sent. Who writes and how to stop it is not part of a text: see
`agent.domain.frame`.

A push shows on a lock screen. Its text, `<message>.push` or else `neutral.push`, may say who writes
and nothing of the debt; its first line is the title.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from agent.domain.frame import PLAIN, Country, Frame, Setting, framing
from agent.domain.ladder import Action, Ladder, Problem
from agent.domain.spelling import (
    LAST_RESORT,
    amount_text,
    date_text,
    is_traditional_reader,
    language_of,
    name_text,
    reference_text,
)

NAMES = ("lender", "loan", "amount", "due_date", "days_late", "days_left")
# `code` is NGN 6,500.00; `unit` is 6,500.00元 where the language has a word for the currency;
# `whole` leaves out decimals that are all zero. Every one of them is exact.
AMOUNT_FORMATS = ("code", "unit", "whole")
DATE_FORMATS = ("medium", "long", "weekday", "iso")
FORMATS = {"amount": AMOUNT_FORMATS, "due_date": DATE_FORMATS}
OF_ONE_LOAN = frozenset({"loan", "amount"})
PUSH_NAMES = ("lender",)
PUSH_SUFFIX = ".push"
NEUTRAL = "neutral"
NOWHERE = Setting()
TEXT_MAX = 1000
_PLACEHOLDER = re.compile(r"\{([a-z_]+(?::[a-z]+)?)\}")
_BRACED = re.compile(r"\{[^{}\n]{0,40}\}|[{}]")
# What stands for a value in other systems, and would be read by borrowers here.
_FOREIGN = re.compile(
    r"%(?:\(\w*\))?[sdif](?![a-z])|\$(?=\{)|\$[a-z_]{3,}|<%|%>|<[a-z_]+>|\[\[|\]\]|\(\(|\)\)|[｛｝]"
)
_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literals, and between each two of them one of the `names`."""

    literals: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Every text, parsed, with what goes around it. Keys are (locale, message) and locale.

    A push is its title and its body. Compared as the very object: texts are read once a process.
    """

    sms: Mapping[tuple[str, str], Template]
    push: Mapping[tuple[str, str], tuple[Template, Template]]
    frames: Mapping[str, Frame] = field(default_factory=dict)
    countries: Mapping[str, Country] = field(default_factory=dict)

    def locales(self) -> tuple[str, ...]:
        return tuple(sorted({locale for locale, _ in self.sms}))


class Wording(NamedTuple):
    """The facts that a message states. `today` is the borrower's local date of sending."""

    lender: str
    loan: str
    amount_minor: int
    currency: str
    due_on: date
    today: date


class _Outline(NamedTuple):
    """What messages of one text in one setting have in common: only what is of one loan is left open."""

    title: str | None
    body: Template
    locale: str
    version: str
    reader: str


class Composed(NamedTuple):
    """A message ready to send, and the locale whose text it is.

    `version` tells apart what its words were: it changes with the text and with all that is put around it.
    """

    title: str | None
    body: str
    locale: str
    version: str = ""


@lru_cache(maxsize=1024)
def parse(text: str) -> Template | Problem:
    """Read a text; a brace that belongs to no known placeholder refuses it."""
    text = text.strip()
    if (fault := _fault(text)) is not None:
        return fault[1]
    pieces = _PLACEHOLDER.split(text)
    return Template(tuple(pieces[::2]), tuple(pieces[1::2]))


def fault_at(text: str, *, push: bool = False) -> int | None:
    """Where a text, or the title and body of a push, cannot be read: at which of its characters, from 0."""
    title, _, body = text.strip().partition("\n")
    parts = (title.strip(), body.strip()) if push else (text.strip(),)
    begins = 0
    for part in parts:
        if (fault := _fault(part)) is not None:
            return begins + fault[0]
        begins += len(part) + 1
    return None


def line_at(text: str, position: int, *, push: bool = False) -> int:
    """The line of a file that a place in its text is on, both counted from 1; blank lines count."""
    ahead = text[: len(text) - len(text.lstrip())].count("\n")
    title, _, body = text.strip().partition("\n")
    told = f"{title.strip()}\n{body.strip()}" if push else text.strip()
    line = told[: position - 1].count("\n")
    blank = body[: len(body) - len(body.lstrip())].count("\n") if push and line else 0
    return 1 + ahead + line + blank


def _fault(text: str) -> tuple[int, Problem] | None:
    """The first thing for which a text is refused, and its place."""
    if not text or len(text) > TEXT_MAX:
        return 0, Problem("text", f"{len(text)} characters", f"write 1 to {TEXT_MAX}")
    for braced in _BRACED.finditer(text):
        if (wrong := _misnamed(braced[0])) is not None:
            return braced.start(), wrong
    if (foreign := _FOREIGN.search(text)) is not None:
        what = f"{foreign[0]} looks like a placeholder of another kind"
        return foreign.start(), Problem("text", what, "write {amount}, or leave it out")
    for at, character in enumerate(text):
        if unicodedata.category(character) == "Cc" and character != "\n":
            fix = "remove it; only line breaks may stay"
            return at, Problem("text", "a control character", fix)
    return None


def _misnamed(braced: str) -> Problem | None:
    named = _PLACEHOLDER.fullmatch(braced)
    if named is not None:
        return _unknown(named[1])
    what = f"{braced}: a brace that is no placeholder"
    fix = "write {amount} or {amount:unit}: no attribute, expression or brace within braces"
    return Problem("text", what, fix)


def _unknown(placeholder: str) -> Problem | None:
    name, colon, wanted = placeholder.partition(":")
    if name not in NAMES:
        return Problem("text", f"unknown {{{placeholder}}}", f"use one of: {', '.join(NAMES)}")
    formats = FORMATS.get(name, ())
    if not colon or wanted in formats:
        return None
    fix = f"use one of: {', '.join(formats)}" if formats else f"write {{{name}}}"
    return Problem("text", f"unknown format {{{placeholder}}}", fix)


def render(template: Template, values: Mapping[str, str]) -> str:
    """Fill a text. `wording` gives every name a value; a name without one is left empty."""
    parts = [template.literals[0]]
    for name, literal in zip(template.names, template.literals[1:], strict=True):
        parts += (values.get(name, ""), literal)
    return "".join(parts)


def parse_push(text: str) -> tuple[Template, Template] | Problem:
    """A push text's title and body; refused if it could show the debt on a lock screen."""
    title, _, body = text.strip().partition("\n")
    first, second = parse(title), parse(body)
    if isinstance(first, Problem):
        return first
    if isinstance(second, Problem):
        return second
    told = [name for name in (*first.names, *second.names) if name not in PUSH_NAMES]
    if told:
        what = f"{{{told[0]}}} would show on a lock screen"
        return Problem("text", what, f"a push may use: {', '.join(PUSH_NAMES)}")
    return first, second


def compile_texts(raw: Mapping[tuple[str, str], str]) -> Texts | tuple[Problem, ...]:
    """Parse all texts, keyed by (locale, name); every problem at once."""
    problems: list[Problem] = []
    sms: dict[tuple[str, str], Template] = {}
    push: dict[tuple[str, str], tuple[Template, Template]] = {}
    for (locale, name), text in raw.items():
        found = parse_push(text) if name.endswith(PUSH_SUFFIX) else parse(text)
        match found:
            case Problem():
                problems.append(replace(found, where=f"{locale}/{name}"))
            case Template():
                sms[locale, name] = found
            case _:
                push[locale, name.removesuffix(PUSH_SUFFIX)] = found
    return tuple(problems) if problems else Texts(sms, push)


def misfits(ladder: Ladder, texts: Texts) -> Iterator[Problem]:
    """What a ladder and a set of texts miss of each other.

    Every message must exist in the last-resort locale, so that every borrower gets one; days left
    are only said before the due date, days late only after it.
    """
    pushes = any("push" in stage.channels for stage in ladder.stages)
    if pushes and (LAST_RESORT, NEUTRAL) not in texts.push:
        where = f"{LAST_RESORT}/{NEUTRAL}{PUSH_SUFFIX}"
        yield Problem(where, "missing", "write a push text that tells nothing of the debt")
    for stage in ladder.stages:
        if stage.action is not Action.MESSAGE or stage.message is None:
            continue
        if (LAST_RESORT, stage.message) not in texts.sms:
            fix = f"write it; {LAST_RESORT} is what a borrower of any other language gets"
            yield Problem(f"{LAST_RESORT}/{stage.message}", f"missing for stage {stage.id}", fix)
        wrong = "days_late" if stage.offset_days <= 0 else "days_left"
        for (locale, message), template in texts.sms.items():
            if message == stage.message and wrong in template.names:
                what = f"{{{wrong}}} makes no sense for stage {stage.id}"
                yield Problem(f"{locale}/{message}", what, "say {due_date}")


def compose(
    texts: Texts,
    message: str,
    channel: str,
    locale: str,
    wording: Wording,
    setting: Setting = NOWHERE,
) -> Composed | Problem:
    """One message in the first locale of the borrower's chain that has a text for it, framed."""
    outline = _outline(
        texts, message, channel, locale, wording.lender, wording.due_on, wording.today, setting
    )
    if isinstance(outline, Problem):
        return outline
    values = {asked: _value(asked, wording, outline.reader) for asked in outline.body.names}
    return Composed(outline.title, render(outline.body, values), outline.locale, outline.version)


@lru_cache(maxsize=4096)
def text_sent(
    texts: Texts, message: str, channel: str, locale: str, country: str | None
) -> str | None:
    """The name of the text that `compose` would fill for this reader; None if there is none."""
    for candidate in chain(locale):
        parts = _parts(texts, message, channel, candidate, country)
        if parts is not None:
            return text_name(candidate, message, _version(*parts))
    return None


def text_names(texts: Texts, locale: str, message: str) -> frozenset[str]:
    """Every name that a text of one locale goes by now, by channel and by country of the number."""
    found = (
        text_sent(texts, message, channel, locale, country)
        for channel in ("sms", "push")
        for country in (None, *texts.countries)
    )
    return frozenset(name for name in found if name is not None and name.startswith(f"{locale}/"))


def text_name(locale: str, message: str, version: str) -> str:
    """One version of one text, as attempts, cases and kill switches name it."""
    return f"{locale}/{message}@{version}"


@lru_cache(maxsize=4096)
def _outline(
    texts: Texts,
    message: str,
    channel: str,
    locale: str,
    lender: str,
    due_on: date,
    today: date,
    setting: Setting,
) -> _Outline | Problem:
    shared = Wording(lender, "", 0, "", due_on, today)
    for candidate in chain(locale):
        reader = _reader(locale, candidate)
        match _parts(texts, message, channel, candidate, setting.country):
            case (pair,):
                title, body = (_partly(template, shared, reader) for template in pair)
                told = "".join(title.literals)
                return _Outline(told, body, candidate, _version(pair), reader)
            case (template, frame, country):
                around = framing(name_text(lender), frame, country, setting)
                whole = _partly(template, shared, reader, *around)
                return _Outline(None, whole, candidate, _version(template, frame, country), reader)
    return Problem(
        f"{message} ({channel})", "no text in any locale", f"write {LAST_RESORT} at least"
    )


_Pair = tuple[Template, Template]


def _parts(
    texts: Texts, message: str, channel: str, locale: str, country: str | None
) -> tuple[_Pair] | tuple[Template, Frame, Country | None] | None:
    """What a text of one locale is made of, title and body of a push; None if that locale has none."""
    if channel == "push":
        pair = texts.push.get((locale, message)) or texts.push.get((locale, NEUTRAL))
        return None if pair is None else (pair,)
    template = texts.sms.get((locale, message))
    if template is None:
        return None
    frame = texts.frames.get(locale) or _near_frame(texts, locale)
    return template, frame, texts.countries.get(country or "")


@lru_cache(maxsize=1024)
def _digest(parts: str) -> str:
    return hashlib.sha256(parts.encode()).hexdigest()[:8]


def _version(*parts: object) -> str:
    """Of a text, with its frame and what the country of the number wants around it."""
    return _digest(repr(parts))


def _partly(
    template: Template, shared: Wording, reader: str, before: str = "", after: str = ""
) -> Template:
    """A text with what is around it and with all filled in but what is of one loan."""
    literals, names = [before + template.literals[0]], []
    for name, literal in zip(template.names, template.literals[1:], strict=True):
        if name.partition(":")[0] in OF_ONE_LOAN:
            names.append(name)
            literals.append(literal)
        else:
            literals[-1] += _value(name, shared, reader) + literal
    literals[-1] += after
    return Template(tuple(literals), tuple(names))


def _near_frame(texts: Texts, locale: str) -> Frame:
    """A regional text without a frame of its own is signed as its language is: `es-MX` as `es`."""
    language = language_of(locale)
    near = (one for one in chain(locale) if language_of(one) == language)
    return next((texts.frames[one] for one in near if one in texts.frames), PLAIN)


@lru_cache(maxsize=1024)
def chain(locale: str) -> tuple[str, ...]:
    """Locales to look for, nearest first: `en-NG`, `en`; `zh-HK`, `zh-TW`, `zh-CN`, `en`; `sw`, `en`."""
    if not _LOCALE.fullmatch(locale):
        return (LAST_RESORT,)
    language, rest = language_of(locale), re.split("[-_]", locale)[1:]
    regions = [part.upper() for part in rest if len(part) == 2]
    found = [f"{language}-{region}" for region in regions]
    found += _chinese(locale) if language == "zh" else [language]
    return tuple(dict.fromkeys((*found, LAST_RESORT)))


def _chinese(locale: str) -> list[str]:
    return ["zh-TW", "zh-CN"] if is_traditional_reader(locale) else ["zh-CN", "zh-TW"]


def _reader(locale: str, text_locale: str) -> str:
    # values are in the language of the text and in the habits of the reader
    same_language = language_of(locale) == language_of(text_locale)
    return locale if same_language else text_locale


def _value(asked: str, wording: Wording, reader: str) -> str:
    name, _, form = asked.partition(":")
    match name:
        case "lender":
            return name_text(wording.lender)
        case "loan":
            return reference_text(wording.loan)
        case "amount":
            return amount_text(wording.amount_minor, wording.currency, reader, form or "code")
        case "due_date":
            return date_text(wording.due_on, reader, form or "medium")
    late = (wording.today - wording.due_on).days
    return str(max(0, late if name == "days_late" else -late))

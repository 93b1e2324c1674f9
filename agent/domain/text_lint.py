"""What is wrong with a text before anybody gets it. Every finding at once, each with a fix.

A `problem` must be put right; a `warning` costs money or needs a second look. Lengths are those of
the finished message, frame included, at the longest values that are plausible.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from functools import cache

from agent.domain.content import THREATS
from agent.domain.folding import is_traditional
from agent.domain.frame import Country, Setting
from agent.domain.ladder import Action, Ladder, Problem, Stage
from agent.domain.links import links
from agent.domain.message import (
    DATE_FORMATS,
    NEUTRAL,
    PUSH_SUFFIX,
    Composed,
    Template,
    Texts,
    Wording,
    chain,
    compile_texts,
    compose,
    fault_at,
    misfits,
)
from agent.domain.segments import GSM_7, Encoding, forcing, segments
from agent.domain.spelling import LAST_RESORT, date_text
from agent.domain.wordlists import Said, WordList, said

PARTS_MAX = 2
# what is wrong with the name that signs, and with no text
SIGNATURE = "signature"
# A long name and a large amount; the day is the longest of each language.
LONGEST = Wording(
    "Superlender Ltd", "L" * 20, 123456789, "NGN", date(2026, 9, 28), date(2026, 9, 28)
)
_MARK = "\ufffc"  # stands for a placeholder where only the author's own words are read
_SHOUT = re.compile(
    r"\b[A-ZÁÉÍÓÚÑÜ]{5,}\b|\b[A-ZÁÉÍÓÚÑÜ]{3,}(?: +[A-ZÁÉÍÓÚÑÜ]{3,})+\b|[!！](?: ?[!！])+"
)


class Severity(StrEnum):
    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one text. `position` counts characters from 1 where it has one."""

    rule: str
    severity: Severity
    locale: str
    message: str
    what: str
    fix: str
    position: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What texts are held to. `words` by the locale of a text; `allowed` are hosts of the lender."""

    words: Mapping[str, tuple[WordList, ...]]
    shorteners: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    countries: tuple[str, ...] = ()
    longest: Wording = LONGEST
    # languages that readers must find, whether there is a text in them or not
    locales: frozenset[str] = frozenset()


def lint(
    raw: Mapping[tuple[str, str], str], around: Texts, ladder: Ladder, rules: Rules
) -> list[Finding]:
    """Everything that is wrong with a set of texts for a ladder; `around` gives frames and countries."""
    good, found = _parsed(raw)
    texts = replace(good, frames=around.frames, countries=around.countries)
    found += (_of(problem, "fit") for problem in misfits(ladder, texts))
    found += _missing(texts, ladder, rules)
    for (locale, message), template in sorted(texts.sms.items()):
        stage = next((s for s in ladder.stages if s.message == message), None)
        found += lint_text(texts, locale, message, template, stage, rules)
    for (locale, message), (title, body) in sorted(texts.push.items()):
        found += lint_push(locale, message, f"{_words(title)}\n{_words(body)}", rules)
    return sorted(dict.fromkeys(found), key=lambda f: (f.locale, f.message, f.severity, f.rule))


def _parsed(raw: Mapping[tuple[str, str], str]) -> tuple[Texts, list[Finding]]:
    good: dict[tuple[str, str], str] = {}
    found = []
    for key, text in raw.items():
        compiled = compile_texts({key: text})
        if isinstance(compiled, Texts):
            good[key] = text
        else:
            at = fault_at(text, push=key[1].endswith(PUSH_SUFFIX))
            place = None if at is None else at + 1
            found += [replace(_of(each, "placeholder"), position=place) for each in compiled]
    texts = compile_texts(good)
    assert isinstance(texts, Texts)
    return texts, found


def _of(problem: Problem, rule: str) -> Finding:
    locale, _, message = problem.where.partition("/")
    return Finding(rule, Severity.PROBLEM, locale, message, problem.what, problem.fix)


def _missing(texts: Texts, ladder: Ladder, rules: Rules) -> Iterator[Finding]:
    wanted = sorted({s.message for s in ladder.stages if s.action is Action.MESSAGE and s.message})
    pushed = any("push" in stage.channels for stage in ladder.stages)
    for locale in texts.locales():
        near = near_locales(locale)
        for message in wanted:
            if locale != LAST_RESORT and not any((one, message) in texts.sms for one in near):
                what = "missing: its readers get another language here"
                yield Finding("missing", Severity.PROBLEM, locale, message, what, "write it")
        if (
            pushed
            and locale != LAST_RESORT
            and not any((one, NEUTRAL) in texts.push for one in near)
        ):
            what = "missing: a push to its readers is in another language"
            name = f"{NEUTRAL}{PUSH_SUFFIX}"
            yield Finding("missing", Severity.PROBLEM, locale, name, what, "write it")
        if not any(one in texts.frames for one in near):
            what = "no frame: nobody signs, nobody may stop it"
            yield Finding("missing", Severity.PROBLEM, locale, "frame.toml", what, "write it")
    for locale in sorted(rules.locales):
        if not any(one in texts.locales() for one in near_locales(locale)):
            what = "no text at all: its readers get another language"
            fix = "write every message in it"
            yield Finding("missing", Severity.PROBLEM, locale, "*", what, fix)


def near_locales(locale: str) -> tuple[str, ...]:
    """A locale and those of the same language and script that stand in for it: `es-MX`, `es`."""
    language = locale.partition("-")[0].lower()
    near = [one for one in chain(locale) if one.partition("-")[0] == language]
    # the first of the two is the script of the reader; the other is a makeshift
    scripts = [one for one in near if one in ("zh-CN", "zh-TW")]
    return tuple(dict.fromkeys((locale, *(one for one in near if one not in scripts[1:]))))


def _unstated(texts: Texts, locale: str, message: str, template: Template) -> Iterator[Finding]:
    """A text that asks for no amount; wrong at once where it does in another language."""
    if _states_amount(template):
        return
    others = [one for (_, name), one in texts.sms.items() if name == message]
    elsewhere = any(map(_states_amount, others))
    severity = Severity.PROBLEM if elsewhere else Severity.WARNING
    fix = "say {amount}: a reader must know what is asked for"
    yield Finding("placeholder", severity, locale, message, "no {amount}", fix)


def _states_amount(template: Template) -> bool:
    return any(name.partition(":")[0] == "amount" for name in template.names)


def lint_text(
    texts: Texts, locale: str, message: str, template: Template, stage: Stage | None, rules: Rules
) -> list[Finding]:
    """One text: its words, its links, its length, and what countries want of it."""
    written = _words(template)
    found = [*_wording(locale, message, written, rules), *_links(locale, message, written, rules)]
    if "lender" in template.names:
        fix = "leave {lender} out; the signature says who writes"
        found.append(Finding("frame", Severity.PROBLEM, locale, message, "it signs itself", fix))
    if stage is not None:
        found += _unstated(texts, locale, message, template)
    found += _length(texts, locale, message, written, stage, rules)
    for code in _countries(locale, rules):
        if (country := texts.countries.get(code)) is not None:
            found += _country(texts, locale, message, template, stage, rules, country)
    return found


def _words(template: Template) -> str:
    """The author's own words, each where it stands in the file."""
    parts = [template.literals[0]]
    for name, literal in zip(template.names, template.literals[1:], strict=True):
        parts += (_MARK * len(f"{{{name}}}"), literal)
    return "".join(parts)


def _wording(locale: str, message: str, written: str, rules: Rules) -> Iterator[Finding]:
    lists = words_for(locale, rules)
    if not lists:
        what = "nobody wrote word lists for this language: what it threatens or sells is not read"
        fix = "let somebody who speaks it read it, and write schedules/content/words-….toml"
        yield Finding("words", Severity.WARNING, locale, message, what, fix)
    for each in said(written, lists):
        match each.tag:
            case "debt":
                continue
            case "opt_out":
                yield _word("frame", locale, message, each, "leave it out; the frame adds it")
            case "solicitation":
                fix = "leave it out, or send it as a commercial message with consent"
                yield _word("solicitation", locale, message, each, fix)
            case tag:
                kind = "threat" if tag in THREATS else tag
                yield _word(kind, locale, message, each, "say what is open and what can be done")
    addresses = [(each.position - 1, len(each.written)) for each in links(written)]
    for match in _SHOUT.finditer(written):
        if any(start <= match.start() < start + length for start, length in addresses):
            continue
        fix, at = "write it in small letters", match.start() + 1
        what = f"shouts: {match[0]}"
        yield Finding("urgency", Severity.PROBLEM, locale, message, what, fix, at)


def words_for(locale: str, rules: Rules) -> tuple[WordList, ...]:
    """The lists of the nearest locale of the same language: `es-MX` is read for `es`."""
    return next((rules.words[one] for one in near_locales(locale) if one in rules.words), ())


def _word(rule: str, locale: str, message: str, each: Said, fix: str) -> Finding:
    what = f"“{each.words}” {each.why}"
    return Finding(rule, Severity.PROBLEM, locale, message, what, fix, each.position, each.source)


def _links(locale: str, message: str, written: str, rules: Rules) -> Iterator[Finding]:
    for link in links(written):
        short = any(link.host == s or link.host.endswith(f".{s}") for s in rules.shorteners)
        if short:
            what, fix = f"{link.written} hides where it leads", "use the lender's own full address"
            rule = "shortener"
        elif not link.plain:
            what = f"{link.written} does not show where it leads"
            rule, fix = "link", "write https:// and the lender's own host in plain letters"
        elif not any(link.host == a or link.host.endswith(f".{a}") for a in rules.allowed):
            what, fix = f"{link.host} is not on the list", "leave it out, or --allow-link HOST"
            rule = "link"
        elif not link.secure:
            rule, what, fix = "link", f"{link.written} is not https", f"write https://{link.host}"
        else:
            continue
        yield Finding(rule, Severity.PROBLEM, locale, message, what, fix, link.position)


def finished(
    texts: Texts,
    locale: str,
    message: str,
    stage: Stage | None,
    rules: Rules,
    country: str | None = None,
) -> str:
    """The message as it would leave with the longest plausible values."""
    offset = 0 if stage is None else stage.offset_days
    # the region whose dates are longest: es-CO writes the month in full
    reader = {"es": "es-CO"}.get(locale, locale)
    due_on = _longest_day(reader, rules.longest.due_on.year)
    wording = rules.longest._replace(due_on=due_on, today=due_on + timedelta(days=offset))
    found = compose(texts, message, "sms", reader, wording, Setting(country))
    return found.body if isinstance(found, Composed) else ""


@cache
def _longest_day(reader: str, year: int) -> date:
    """A day whose date takes most room in every format: in September in English, in December in Chinese."""
    days = [date(year, month, day) for month in range(1, 13) for day in range(22, 29)]
    return max(days, key=lambda day: [len(date_text(day, reader, form)) for form in DATE_FORMATS])


def _length(
    texts: Texts, locale: str, message: str, written: str, stage: Stage | None, rules: Rules
) -> Iterator[Finding]:
    measured = segments(finished(texts, locale, message, stage, rules))
    if not _needs_ucs2(written):
        for forced in forcing(written.replace(_MARK, "")):
            at = written.index(forced.character) + 1
            fix = f"write {forced.replacement!r}" if forced.replacement else "write it otherwise"
            what = f"{forced.character} ({forced.name}) makes the whole message UCS-2"
            yield Finding("ucs2", Severity.PROBLEM, locale, message, what, fix, at)
        if (costly := next(forcing(rules.longest.lender), None)) is not None:
            what = f"{costly.character} ({costly.name}) of the signature makes every message UCS-2"
            fix = f"sign with {costly.replacement!r}" if costly.replacement else "sign otherwise"
            yield Finding(SIGNATURE, Severity.PROBLEM, locale, message, what, fix)
    if measured.count > PARTS_MAX:
        what = f"{measured.count} parts ({measured.units} units, {measured.encoding})"
        yield Finding(
            "segments", Severity.PROBLEM, locale, message, what, f"keep to {PARTS_MAX} parts"
        )


def _needs_ucs2(written: str) -> bool:
    """A text in another script: most of its letters are outside the basic alphabet."""
    letters = [c for c in written if c.isalpha()]
    return sum(c not in GSM_7 for c in letters) * 2 > len(letters)


def _countries(locale: str, rules: Rules) -> tuple[str, ...]:
    region = locale.partition("-")[2]
    return tuple(dict.fromkeys((*([region] if region else []), *rules.countries)))


def _country(
    texts: Texts,
    locale: str,
    message: str,
    template: Template,
    stage: Stage | None,
    rules: Rules,
    country: Country,
) -> Iterator[Finding]:
    written = _words(template)

    def finding(what: str, fix: str, position: int | None = None) -> Finding:
        said_of = f"{what} ({country.code})"
        return Finding(
            "country", Severity.PROBLEM, locale, message, said_of, fix, position, country.source
        )

    for at, character in enumerate(written, 1):
        if character in country.forbidden:
            yield finding(f"{character} is refused by gateways", "leave it out", at)
    strange = _strange(written, country.script) if locale.startswith("zh") else []
    if strange:
        what = f"{''.join(dict.fromkeys(strange))[:20]} not in {country.script}"
        yield finding(what, "use the other script", written.index(strange[0]) + 1)
    if not country.links:
        yield from (
            finding(f"{k.written}: no links", "leave it out", k.position) for k in links(written)
        )
    if not country.adjacent_placeholders and "" in template.literals[1:-1]:
        yield finding("two placeholders touch", "put a word between them")
    if country.signature_length is not None:
        wrong = _signature(rules.longest.lender, country)
        yield from (replace(finding(*each), rule=SIGNATURE) for each in wrong)
    whole = finished(texts, locale, message, stage, rules, country.code)
    if country.max_characters is not None and len(whole) > country.max_characters:
        yield finding(f"{len(whole)} characters", f"keep to {country.max_characters}")
    yield from (finding(what, fix) for what, fix in _phones(written, country))


def _signature(lender: str, country: Country) -> Iterator[tuple[str, str]]:
    shortest, longest = country.signature_length or (0, 0)
    if not shortest <= len(lender) <= longest:
        yield f"a signature of {len(lender)} characters", f"sign with {shortest} to {longest}"
    for character in dict.fromkeys(lender):
        if character in country.forbidden:
            yield f"{character} in the signature", "sign without it"


def _strange(written: str, script: str | None) -> list[str]:
    """The characters that a legacy character set lacks: traditional ones are not in GB 2312."""
    if script is None:
        return []
    strange = is_traditional if script == "gb2312" else (lambda _: False)
    return [c for c in written if c != _MARK and (strange(c) or not c.encode(script, "ignore"))]


def _phones(written: str, country: Country) -> Iterator[tuple[str, str]]:
    if country.phone is None:
        return
    numbers = re.findall(r"\d[\d-]{6,}\d", written)
    for number in numbers:
        if re.fullmatch(country.phone, number) is None:
            yield f"{number} is no number of the company's own", "name a 400, 95 or landline number"
    if country.phones is not None and len(numbers) > country.phones:
        yield f"{len(numbers)} numbers", f"name at most {country.phones}"


def lint_push(locale: str, message: str, written: str, rules: Rules) -> list[Finding]:
    """A push shows on a lock screen: it may not tell of a debt, whatever its placeholders are."""
    name = f"{message}{PUSH_SUFFIX}"
    found = [*_wording(locale, name, written, rules), *_links(locale, name, written, rules)]
    found += (
        _word("lock-screen", locale, name, each, "say that there is a message")
        for each in said(written, words_for(locale, rules))
        if each.tag == "debt"
    )
    if any((c.isnumeric() and not c.isalpha()) or unicodedata.category(c) == "Sc" for c in written):
        what, fix = "a number or amount shows on the lock screen", "leave numbers to the app"
        found.append(Finding("lock-screen", Severity.PROBLEM, locale, name, what, fix))
    return found


def costs(
    texts: Texts, ladder: Ladder, rules: Rules
) -> Iterable[tuple[str, str, Encoding, int, int]]:
    """(locale, message, encoding, units, parts) of every text at the longest plausible values."""
    for locale, message in sorted(texts.sms):
        stage = next((s for s in ladder.stages if s.message == message), None)
        counted = segments(finished(texts, locale, message, stage, rules))
        yield locale, message, counted.encoding, counted.units, counted.count

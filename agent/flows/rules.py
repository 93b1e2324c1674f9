"""The shipped rules and texts, compiled once a process: packs by name, and what borrowers read."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from agent.domain.calendar import ZONE_DATA
from agent.domain.conduct import Calendars, Pack, PackProblem, compile_pack
from agent.domain.conduct_compile import file_problems, head_problems
from agent.domain.frame import Country, Frame, compile_countries, compile_frame
from agent.domain.message import Texts, compile_texts
from agent.domain.spelling import LAST_RESORT
from agent.domain.wordlists import WordList, compile_words
from agent.flows.calendars import (
    calendars_in_force,
    edition,
    shipped_calendars,
    stored_versions,
)
from schedules import conduct_names, conduct_text, content_names, content_text
from templates import all_texts, frame_text, locales

# Named by a portfolio instead of packs: where each person may live selects them.
BY_PLACE = "by-place"
# Between the places of a person who may be in several.
BETWEEN = "+"


class BadRules(Exception):
    """A pack or text cannot be used; the message names each problem and its fix."""


def pack(name: str) -> Pack:
    """One shipped pack; raises `BadRules` for an unknown name or a rule that cannot be enforced."""
    return _pack(name, edition())


@lru_cache(maxsize=1024)
def _pack(name: str, _edition: str) -> Pack:
    shipped = name.lower()
    if shipped not in conduct_names():
        raise BadRules(f"there is no pack {name}; there are: {', '.join(conduct_names())}")
    found = read_pack(conduct_text(shipped), calendars_in_force())
    if isinstance(found, Pack):
        return found
    where = f"schedules/conduct/{shipped}.toml"
    raise BadRules("; ".join(_told(where, conduct_text(shipped), problem) for problem in found))


def read_pack(text: str, calendars: Calendars) -> Pack | tuple[PackProblem, ...]:
    """A pack from its file: valid in all it says, or refused as a whole with every problem."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        return (PackProblem("file", str(wrong), "write TOML 1.0"),)
    if misread := file_problems(raw):
        return misread
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    found = compile_pack(raw, version, calendars)
    problems = (*head_problems(raw), *(() if isinstance(found, Pack) else found))
    return problems or found


def line_of(text: str, rule: str) -> int:
    """Where a rule begins in its file; the top for what is about the whole."""
    begins = re.compile(rf'\s*id\s*=\s*"{re.escape(rule)}"')
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if begins.match(line)), 1)


def _told(where: str, text: str, problem: PackProblem) -> str:
    line = line_of(text, problem.rule)
    return f"{where}:{line}: {problem.rule}: {problem.what} ({problem.fix})"


def problems_of(where: str, text: str, problems: Sequence[PackProblem]) -> tuple[str, ...]:
    """Each problem with file, line and fix."""
    return tuple(_told(where, text, problem) for problem in problems)


def packs(names: Iterable[str]) -> tuple[Pack, ...]:
    """Several packs, in the order a portfolio names them; where people live selects no pack here."""
    return tuple(pack(name) for name in names if name != BY_PLACE)


def installed(names: Iterable[str]) -> tuple[Pack, ...]:
    """Those of the named packs that can be used; whoever needs another is held, not sent to."""
    found = (name for name in names if name != BY_PLACE and name.lower() in conduct_names())
    return tuple(pack(name) for name in found)


def every_pack() -> tuple[Pack, ...]:
    """All shipped packs."""
    return _every_pack(edition())


@lru_cache(maxsize=8)
def _every_pack(_edition: str) -> tuple[Pack, ...]:
    return tuple(pack(name) for name in conduct_names())


@cache
def granted_packs() -> tuple[Pack, ...]:
    """All shipped packs, their calendars taken for confirmed: what vectors and measurements presuppose."""
    calendars = {name: one.granted() for name, one in shipped_calendars().items()}
    found = (read_pack(conduct_text(name), calendars) for name in conduct_names())
    return tuple(pack for pack in found if isinstance(pack, Pack))


def packs_of_place(place: str) -> tuple[Pack, ...]:
    """What protects people of a place: `US-NY-NYC` asks the packs of US, US-NY and US-NY-NYC."""
    return _packs_of_place(place, edition())


@lru_cache(maxsize=4096)
def _packs_of_place(place: str, _edition: str) -> tuple[Pack, ...]:
    parts = place.split("-")
    within = {"-".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return tuple(one for one in every_pack() if within.intersection(one.places))


@dataclass(frozen=True, slots=True)
class Binding:
    """The packs that a decision asks, those that it needs and has not, and what is stored of it."""

    packs: tuple[Pack, ...]
    missing: tuple[str, ...]
    versions: str


def binding(chosen: tuple[Pack, ...], named: tuple[str, ...], region: str | None) -> Binding:
    """What binds a contact with a person of a region, under the packs that a portfolio names.

    Who may be in several places is protected by the packs of all of them.
    A pack that is named and not installed is missing. Where places select packs, so is the pack of a
    place that has none, and of a person whose place is not known: that is a hold, never a guess.
    """
    return _binding(chosen, named, region, edition())


@lru_cache(maxsize=4096)
def _binding(
    chosen: tuple[Pack, ...], named: tuple[str, ...], region: str | None, _edition: str
) -> Binding:
    known = {pack.id for pack in chosen}
    missing = [name for name in named if name != BY_PLACE and name.lower() not in known]
    placed: tuple[Pack, ...] = ()
    if BY_PLACE in named:
        places = region.split(BETWEEN) if region else []
        found = [pack for place in places for pack in packs_of_place(place)]
        placed = tuple(dict.fromkeys(found))
        missing += [place for place in places if not packs_of_place(place)]
        missing += [] if places else ["place-unknown"]
    bound = (*chosen, *(pack for pack in placed if pack.id not in known))
    versions = [f"{pack.id}@{pack.version}" for pack in bound]
    counted = [f"calendar:{name}@{version}" for name, version in _counted(bound)]
    return Binding(bound, tuple(missing), " ".join((*versions, *counted, f"tzdata@{ZONE_DATA}")))


def _counted(bound: Iterable[Pack]) -> list[tuple[str, int]]:
    """The stored calendars that rules of these packs count by, each with its version."""
    kept = stored_versions()
    if not kept:
        return []
    rules = (rule for one in bound for rule in (*one.rules, *one.states))
    named = (getattr(rule, "calendar", None) for rule in rules)
    found = {calendar.name for calendar in named if calendar is not None and calendar.name in kept}
    return [(name, kept[name]) for name in sorted(found)]


@cache
def frames() -> Mapping[str, Frame]:
    """What stands around the texts, by locale."""
    raw = {locale: frame_text(locale) for locale in locales()}
    return {at: compile_frame(tomllib.loads(text)) for at, text in raw.items() if text is not None}


@cache
def countries() -> Mapping[str, Country]:
    """What countries want of a message."""
    return compile_countries(tomllib.loads(content_text("countries")))


@cache
def word_lists() -> Mapping[str, tuple[WordList, ...]]:
    """The words that texts are read for, by locale.

    Chinese texts are read for both scripts' words, and every text for English threats and pressure: a
    text in one language may threaten in another.
    """
    own = {locale: _own_words(locale) for locale in locales()}
    found = {}
    for locale, lists in own.items():
        language = locale.partition("-")[0]
        others = [own[o] for o in own if o != locale and o.partition("-")[0] == language]
        foreign = () if language == LAST_RESORT else own[LAST_RESORT]
        pressing = tuple(one for one in foreign if one.tag != "solicitation")
        found[locale] = tuple(one for part in (lists, *others, pressing) for one in part)
    return {locale: lists for locale, lists in found.items() if own[locale]}


def _own_words(locale: str) -> tuple[WordList, ...]:
    name = f"words-{locale.lower()}"
    return compile_words(tomllib.loads(content_text(name))) if name in content_names() else ()


@cache
def shorteners() -> frozenset[str]:
    """Hosts that hide where a link leads."""
    return frozenset(tomllib.loads(content_text("links"))["shorteners"])


@cache
def texts() -> Texts:
    """Every shipped text, parsed, with the frames and countries that complete it."""
    found = compile_texts(all_texts())
    if isinstance(found, Texts):
        return replace(found, frames=frames(), countries=countries())
    raise BadRules("; ".join(f"{p.where}: {p.what} ({p.fix})" for p in found))

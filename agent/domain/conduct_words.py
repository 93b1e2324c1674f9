"""The closed vocabularies of packs. A word that is not in them would be a rule that never binds.

A slip of the pen (`thirdparty`, `smss`, a key of another type) must not loosen anything in silence.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from agent.domain.conduct_base import BOTH_ROLES, EVERY_CHANNEL

OUTCOMES = (
    "sent", "unknown", "conversation", "connected", "ring_no_answer", "voicemail", "not_connected",
)  # fmt: skip
LEVELS = (
    "house", "policy", "federal", "national", "national_standard", "self_regulation", "state", "city",
    "contract",
)  # fmt: skip
MARKS_OF_SOURCES = ("read", "quoted", "secondary", "memory", "policy", "house")
HEAD = (
    "id", "version", "name", "level", "places", "effective_from", "effective_to", "checked_on",
    "reviewed_by", "notice",
)  # fmt: skip
# What every rule may say.
COMMON = (
    "id", "type", "who", "channels", "source", "verified", "when", "waivable_by", "exempt",
    "effective_from", "effective_to",
)  # fmt: skip
# What rules that the clock decides may say besides, by type.
_CLOCK: Mapping[str, tuple[str, ...]] = {
    "contact_window": ("windows", "clock", "calendar"),
    "quiet_preference": (),
    "frequency_cap": ("count", "period", "scope", "counts", "excludes", "unit"),
    "channel_cap": ("max_distinct", "period", "scope", "excludes"),
    "cooldown": ("after", "days", "first_day_counts", "scope", "excludes"),
}
_IDENTITY = re.compile(r"[A-Z0-9][A-Z0-9.-]*")
_PLACE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3}){0,2}")
_WORDS: Mapping[str, Collection[str]] = {
    "who": BOTH_ROLES, "channels": EVERY_CHANNEL, "counts": OUTCOMES, "reset_by": OUTCOMES,
}  # fmt: skip


def wrong_words(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a rule says that no rule of its type can say, each with its fix."""
    more = _CLOCK.get(str(raw.get("type")))
    if more is not None:
        for key in raw.keys() - {*COMMON, *more}:
            yield f"{raw['type']} has no {key}", f"use {', '.join((*more, *COMMON))}"
    for key, known in _WORDS.items():
        said = raw.get(key)
        if not isinstance(said, list) or not all(isinstance(word, str) for word in said):
            continue
        if unknown := [word for word in said if word not in known]:
            yield f"{key} = {unknown} is not known", f"use {', '.join(known)}"
        if not said:
            yield f"{key} is empty", f"leave it out, or use {', '.join(known)}"
    after = raw.get("after")
    if isinstance(after, str) and after not in OUTCOMES:
        yield f"after = {after!r} is not known", f"use {', '.join(OUTCOMES)}"


def wrong_file(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What keeps a file from being read as a pack at all: a misspelt table loses every rule in it."""
    for key in raw.keys() - {"pack", "rule"}:
        yield f"a pack file has no {key}", "use [pack] and [[rule]]"
    if not isinstance(raw.get("pack"), Mapping):
        yield "no [pack] table", "write one with id, name, level, checked_on"
    rules = raw.get("rule")
    if not isinstance(rules, list) or not rules or not all(isinstance(r, Mapping) for r in rules):
        yield "no [[rule]] tables", "write at least one"


def wrong_rule(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a rule of a file must say, though it could be enforced without."""
    if not isinstance(rule.get("id"), str) or _IDENTITY.fullmatch(rule["id"]) is None:
        yield "its id is no name of a rule", "use capitals, digits, dots and hyphens: US-MA-940-3"
    if _CLOCK.get(str(rule.get("type"))) and "channels" not in rule:
        yield "no channels", f"use {', '.join(EVERY_CHANNEL)}"


def wrong_head(head: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a pack that is shipped or loaded says wrongly of itself."""
    for key in head.keys() - set(HEAD):
        yield f"a pack has no {key}", f"use {', '.join(HEAD)}"
    if isinstance(head.get("level"), str) and head["level"] not in LEVELS:
        yield f"level = {head['level']!r} is not known", f"use {', '.join(LEVELS)}"
    places = head.get("places", [])
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        yield f"places = {places!r} is no list of strings", 'write places = ["US-NY"]'
    elif odd := [place for place in places if _PLACE.fullmatch(place) is None]:
        yield f"places = {odd} are no places", 'write countries and regions: ["US", "US-NY-NYC"]'


def wrong_source(source: Mapping[str, Any]) -> tuple[str, str] | None:
    """How a source was checked must be one of the marks that readers know."""
    mark = source.get("mark")
    if not isinstance(mark, str) or mark in MARKS_OF_SOURCES:
        return None
    return f"mark = {mark!r} is not known", f"use {', '.join(MARKS_OF_SOURCES)}"


def out_of_order(starts: date | None, ends: date | None) -> bool:
    """A rule that ends before it begins is never in force."""
    return starts is not None and ends is not None and ends < starts

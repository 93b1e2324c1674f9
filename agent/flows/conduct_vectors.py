"""Run rule test vectors: a situation, the answer that is expected, and the difference if there is one.

A file may bring its own packs and calendars; names that it does not bring are the shipped ones, and the
calendars among them are taken for confirmed. What a vector expects is compared key by key; the order of
rules does not matter, everything else does.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from importlib import import_module
from pathlib import Path
from typing import Any

from agent.domain.calendar import BusinessCalendar
from agent.domain.conduct import (
    PACK_MISSING,
    Calendars,
    Contact,
    ContactFacts,
    Pack,
    Quiet,
    StateRule,
    compile_pack,
    consult,
)
from agent.domain.conduct_base import WEEK, minute_of
from agent.domain.conduct_ledger import ledger_answer
from agent.domain.conduct_ruling import Judgement, Ruling
from agent.domain.conduct_situation import situation
from agent.domain.conduct_state import judge
from agent.domain.inbound import read_reply
from agent.domain.retention import RETENTION_CONFLICT, Keeping, keeping_of
from agent.domain.zonetime import seconds_of
from agent.flows.calendars import shipped_calendars
from agent.flows.rules import granted_packs
from schedules import calendar_names

Vector = Mapping[str, Any]
Answer = dict[str, Any]
_UTC = "%Y-%m-%dT%H:%M:%SZ"
# Levels whose rules bind without a place being named: federal and house rules, contracts.
_EVERYWHERE = frozenset({"federal", "contract", "policy", "house"})


class BadVectors(Exception):
    """A file that holds no vectors; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The packs and calendars that vectors name."""

    packs: Mapping[str, Pack]
    calendars: Calendars

    def states(self, name: str | None, country: str | None = None) -> tuple[StateRule, ...]:
        """The rules that apply where a pack is named, or where none is: those of no one place.

        Where a country is named, the federal rules of another one do not.
        """
        everywhere = [
            pack
            for pack in self.packs.values()
            if pack.level in _EVERYWHERE
            and (country is None or not pack.places or country in pack.places)
        ]
        if name is None:
            elsewhere = [pack for pack in self.packs.values() if pack.level not in _EVERYWHERE]
            holds = (r for p in elsewhere for r in p.states if r.head.type == "hold")
            return (*(rule for pack in everywhere for rule in pack.states), *holds)
        named = [pack for pack in self.packs.values() if pack.id.lower() == name.lower()]
        house = [pack for pack in everywhere if pack.level != "federal"]
        return tuple(rule for pack in (*named, *house) for rule in pack.states)


@dataclass(frozen=True, slots=True)
class Ran:
    """One vector: passed, or what was expected and what came."""

    id: str
    kind: str
    title: str
    passed: bool
    expected: Mapping[str, Any] = field(default_factory=dict)
    got: Mapping[str, Any] = field(default_factory=dict)

    def differing(self) -> list[str]:
        """What was expected and did not come, by key; rules in another order are the same."""
        asked = [k for k, wanted in self.expected.items() if not _same(k, wanted, self.got.get(k))]
        return [*asked, *(["problem"] if "problem" in self.got else [])]


def run_file(path: Path) -> list[Ran]:
    """Every vector of a file, in order; a file that is not of the format is refused as a whole."""
    raw = _read(path)
    vectors = raw.get("vectors") if isinstance(raw, dict) else None
    if not isinstance(vectors, list):
        raise BadVectors(f'{path}: write {{"vectors": [{{"id": …, "kind": …, "expect": …}}]}}')
    if not vectors:
        raise BadVectors(f"{path} holds no vectors: nothing was checked")
    odd = next((n for n, one in enumerate(vectors, 1) if not _is_vector(one)), None)
    if odd is not None:
        needs = "id and kind as text, expect (not empty) and given as objects"
        raise BadVectors(f"{path}: vector {odd} must be an object with {needs}")
    try:
        shelf = _shelf(raw)
    except BadVectors as wrong:
        raise BadVectors(f"{path}: {wrong}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as wrong:
        what = f"{type(wrong).__name__}: {wrong}"
        raise BadVectors(f"{path}: its packs or calendars cannot be read ({what})") from None
    return [run(vector, shelf) for vector in vectors]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except OSError as wrong:
        raise BadVectors(f"{path} cannot be read: {wrong.strerror or wrong}") from None
    except ValueError as wrong:
        raise BadVectors(f"{path} is no JSON: {wrong}") from None


def _is_vector(vector: object) -> bool:
    # one that expects nothing could not fail
    if not isinstance(vector, dict) or not isinstance(vector.get("expect"), dict):
        return False
    if not vector["expect"]:
        return False
    named = isinstance(vector.get("id"), str) and isinstance(vector.get("kind"), str)
    return named and isinstance(vector.get("given", {}), dict)


def run(vector: Vector, shelf: Shelf) -> Ran:
    """Ask the rules what a vector asks; a kind or situation that is not understood has not passed."""
    ask = KINDS.get(vector["kind"])
    try:
        got = {"problem": f"unknown kind {vector['kind']}"} if ask is None else ask(vector, shelf)
    except KeyError as wrong:
        got = {"problem": f"it does not say {wrong}"}
    except (AttributeError, TypeError, ValueError) as wrong:
        got = {"problem": f"{type(wrong).__name__}: {wrong}"}
    expected = vector["expect"]
    passed = all(_same(key, value, got.get(key)) for key, value in expected.items())
    return Ran(
        vector["id"], vector["kind"], str(vector.get("title", "")), passed and "problem" not in got,
        expected, got,
    )  # fmt: skip


def _same(key: str, wanted: Any, got: Any) -> bool:
    if key in ("rules", "effect") and isinstance(got, list) and isinstance(wanted, list):
        return sorted(map(str, wanted)) == sorted(map(str, got))
    return bool(wanted == got)


def shipped_shelf() -> Shelf:
    """All shipped packs and calendars, under the names that vectors use too."""
    return _shelf({})


def _shelf(raw: Mapping[str, Any]) -> Shelf:
    calendars = {name: shipped_calendars()[name].granted() for name in calendar_names()}
    named = {**calendars, **_Dated(calendars)}
    named.update({name: _calendar(name, one) for name, one in raw.get("calendars", {}).items()})
    packs = {pack.id: pack for pack in granted_packs()}
    for item in raw.get("packs", ()):
        found = compile_pack({"pack": item, "rules": item.get("rules", ())}, "given", named)
        if not isinstance(found, Pack):
            raise BadVectors("; ".join(f"{p.rule}: {p.what} ({p.fix})" for p in found))
        shipped = packs.get(found.id.lower())
        if shipped is not None and not found.states:
            # a file that words the clocks of a pack says nothing of its other rules
            found = replace(
                found, states=shipped.states, level=shipped.level, places=shipped.places
            )
        packs[found.id.lower()] = found
    return Shelf(packs, named)


class _Dated(dict[str, BusinessCalendar]):
    """Calendars under the names that vectors give them: `US-FEDERAL-2026`, `ID-2026-SAMPLE`."""

    def __init__(self, calendars: Calendars) -> None:
        for name, calendar in calendars.items():
            for year in range(calendar.covers[0].year, calendar.covers[1].year + 1):
                place, sample, _ = name.partition("-sample")
                self[f"{place}-{year}{sample}".upper()] = calendar
        super().__init__(self)


def _calendar(name: str, raw: Mapping[str, Any]) -> BusinessCalendar:
    first, last = (date.fromisoformat(day) for day in raw["covers"])
    off = frozenset(map(date.fromisoformat, raw["off"]))
    made_up = frozenset(map(date.fromisoformat, raw.get("weekend_workdays", ())))
    return BusinessCalendar(name, frozenset({6, 7}), off, made_up, (first, last))


# ---- contact


def _contact(vector: Vector, shelf: Shelf) -> Answer:
    given, action = vector.get("given", {}), vector["action"]
    at = datetime.fromisoformat(action["at"])
    missing = [name for name in vector["packs"] if name.lower() not in shelf.packs]
    packs = tuple(shelf.packs[name.lower()] for name in vector["packs"] if name not in missing)
    answer = consult(packs, _contact_facts(given, action), at)
    rules = [*(PACK_MISSING for _ in missing[:1]), *answer.rules]
    if not rules:
        return {"decision": "allow", "rules": []}
    if missing or answer.until is None:
        return {"decision": "hold", "rules": rules}
    return {"decision": "defer", "until": answer.until.strftime(_UTC), "rules": rules}


def _contact_facts(given: Mapping[str, Any], action: Mapping[str, Any]) -> ContactFacts:
    return ContactFacts(
        zones=tuple(given.get("zones", ())),
        history=(),
        contacts=tuple(_past(contact) for contact in given.get("history", ())),
        role=given.get("role"),
        channel=action["channel"],
        content_class=action.get("content_class", given.get("content_class", "collection")),
        dpd=given.get("dpd"),
        debt=action.get("debt"),
        number=action.get("number"),
        flags=frozenset(action.get("flags", ())),
        consents=frozenset(given.get("consents", ())),
        quiet=tuple(_quiet(one) for one in given.get("quiet_preferences", ())),
    )


def _past(raw: Mapping[str, Any]) -> Contact:
    return Contact(
        seconds_of(datetime.fromisoformat(raw["at"])),
        raw["channel"],
        raw.get("outcome", "unknown"),
        raw.get("debt"),
        raw.get("number"),
        frozenset(raw.get("flags", ())),
    )


def _quiet(raw: Mapping[str, Any]) -> Quiet:
    days = frozenset(WEEK.index(day) for day in raw.get("days", WEEK))
    begins, ends = (time.fromisoformat(raw[key]) for key in ("from", "to"))
    return Quiet(days, minute_of(begins), minute_of(ends))


# ---- what the state of things decides


def _state(vector: Vector, shelf: Shelf) -> Answer:
    given = situation(vector.get("given", {}))
    # a deferral is an instant on somebody's clock: the answer may name whose
    if "zones" not in given and "zones" in vector["expect"]:
        given = {**given, "zones": vector["expect"]["zones"]}
    rules = shelf.states(given.get("pack"), given.get("country"))
    return _told(judge(rules, given, shelf.calendars)) | {"zones": given.get("zones")}


def _told(judgement: Judgement) -> Answer:
    detail = {key: _text(value) for key, value in judgement.detail.items()}
    return {"decision": judgement.ruling.word, "rules": list(judgement.rules), **detail}


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime(_UTC)
    return value.isoformat() if isinstance(value, date) else value


def _ledger(vector: Vector, _: Shelf) -> Answer:
    return ledger_answer(vector["given"], str(vector.get("title", "")))


def _retention(vector: Vector, shelf: Shelf) -> Answer:
    given = vector["given"]
    if "purged" in given:
        # an opt-out outlives the data that caused it, as a keyed hash
        return {"suppression_kept": True}
    if "min_until" in given or "max_until" in given:
        keeping = Keeping(_day(given.get("min_until")), _day(given.get("max_until")))
        if keeping.conflict:
            return {"decision": Ruling.HOLD.word, "rules": [RETENTION_CONFLICT]}
        return {"decision": "allow", "rules": [], "keep_through": _text(keeping.keep_through)}
    anchors = {name: _day(day) for name, day in given.items() if name != "pack"}
    asked = list(_retention_rules(shelf, given.get("pack")))
    keeping, rules = keeping_of(asked, anchors, legal_hold=False)
    told = {"keep_through": keeping.keep_through, "delete_after": keeping.delete_by}
    return {key: _text(day) for key, day in told.items() if day} | {"rules": list(rules)}


def _retention_rules(shelf: Shelf, pack: str | None) -> Iterable[StateRule]:
    chosen = shelf.packs.values() if pack is None else [shelf.packs[pack.lower()]]
    return [rule for one in chosen for rule in one.states if rule.head.type == "retention"]


def _day(value: Any) -> date | None:
    return None if value is None else date.fromisoformat(value)


def _inbound(vector: Vector, _: Shelf) -> Answer:
    given = vector["given"]
    reading = read_reply(given["text"], given.get("locale", "en"))
    return {"intent": reading.intent, "effect": list(reading.effects)}


def _sms_length(vector: Vector, _: Shelf) -> Answer:
    found = import_module("agent.domain.segments").segments(vector["given"]["text"])
    return {"encoding": found.encoding, "units": found.units, "segments": found.count}


KINDS: Mapping[str, Callable[[Vector, Shelf], Answer]] = {
    "contact": _contact,
    "contact_state": _state,
    "bureau": _state,
    "content": _state,
    "ledger": _ledger,
    "retention": _retention,
    "inbound": _inbound,
    "sms_length": _sms_length,
}

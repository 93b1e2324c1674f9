"""The ladder as people write it: its stages, and how a schedule file becomes them.

`compile_ladder` is the whole door: what it returns as a Ladder can be planned, what cannot comes back
as problems, all of them at once, each with what to write instead.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

from agent.domain.calendar import BusinessCalendar, Shift

OFFSET_MIN, OFFSET_MAX = -366, 1095
NOT_AFTER_HOURS_MAX = 24 * 366
FALLBACK_MINUTES_MAX = 24 * 60
STAGES_MAX = 500
CHANNELS = ("push", "sms")
# What a ladder may tell the credit ledger by itself.
OUTCOMES = ("account.charge_off_recommended", "account.delinquent")
# What the law wants people to be told before: a conduct rule of type `prior_notice` names it.
BUREAU_REPORT = "bureau_report"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NAME_MAX = 64


class Grade(StrEnum):
    """How firm a stage is."""

    REMINDER = "reminder"
    FRIENDLY = "friendly"
    FIRM = "firm"
    FORMAL = "formal"
    FINAL = "final"


class Action(StrEnum):
    """What a stage does."""

    MESSAGE = "message"
    CASE = "case"
    OUTCOME = "outcome"


class CatchUp(StrEnum):
    """What a loan that enters after the stage's moment gets: nothing, or this stage late."""

    SKIP = "skip"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a ladder, `offset_days` after the anchor at a local clock time."""

    id: str
    grade: Grade
    offset_days: int
    at: time
    action: Action
    channels: tuple[str, ...]
    fallback_after: timedelta | None
    message: str | None
    catch_up: CatchUp
    not_after: timedelta
    shift: Shift = Shift.NONE
    case: str | None = None
    outcome: str | None = None
    ends_contact: bool = False
    notice_before: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Stages in the order (offset, clock time, place in the file).

    Compared by identity, which makes it a cheap cache key: compile a version once and keep it.
    """

    name: str
    buckets: tuple[int, ...]
    stages: tuple[Stage, ...]
    calendar: BusinessCalendar | None = None

    def stage(self, stage_id: str) -> Stage | None:
        """The stage of that id, None if this version of the ladder has none."""
        return _by_id(self).get(stage_id)


@lru_cache(maxsize=1024)
def _by_id(ladder: Ladder) -> Mapping[str, Stage]:
    return {stage.id: stage for stage in ladder.stages}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file cannot be used: where, what is wrong, what to write instead."""

    where: str
    what: str
    fix: str


W = TypeVar("W", bound=StrEnum)
Problems = list[Problem]
_Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a table: whether it must be there, how to read it (None: unusable), what fits."""

    read: Callable[[Any], Any]
    fits: str
    required: bool = True


def compile_ladder(
    raw: Mapping[str, Any], calendars: Mapping[str, BusinessCalendar] | None = None
) -> Ladder | tuple[Problem, ...]:
    """Compile a parsed schedule file; returns every problem found, never raises on bad content.

    A stage with `repeat` stands for several: the first keeps its id, the one k days later is called
    `id+k`, up to and including `until_offset_days`.
    """
    out: Problems = []
    head = _read(raw, _HEAD, "", out)
    calendar = _calendar(head.get("calendar"), calendars or {}, out)
    stages: list[Stage] = []
    for number, table in enumerate(head.get("stage", ()), start=1):
        stages += _stage(table, number, out)
    stages.sort(key=lambda stage: (stage.offset_days, stage.at))
    out += _together(stages, calendar)
    if out:
        return tuple(out)
    return Ladder(head["name"], head["buckets"], tuple(stages), calendar)


def _read(table: Mapping[str, Any], keys: Mapping[str, _Key], at: str, out: Problems) -> _Values:
    """The usable values of a table; what is unknown, missing or unusable becomes a problem."""
    values: _Values = {}
    for name in table:
        if name not in keys:
            out.append(Problem(f"{at}{name}", "unknown key", f"use one of: {', '.join(keys)}"))
    for name, key in keys.items():
        if name not in table:
            if key.required:
                out.append(Problem(f"{at}{name}", "missing", f"write {key.fits}"))
            continue
        value = key.read(table[name])
        if value is None:
            shown = repr(table[name])[:60]
            out.append(Problem(f"{at}{name}", f"cannot use {shown}", f"write {key.fits}"))
        else:
            values[name] = value
    return values


def _calendar(
    name: str | None, calendars: Mapping[str, BusinessCalendar], out: Problems
) -> BusinessCalendar | None:
    if name is not None and name not in calendars:
        known = ", ".join(sorted(calendars)) or "none is loaded"
        out.append(Problem("calendar", f"no calendar {name!r}", f"use one of: {known}"))
    return calendars.get(name) if name else None


def _stage(table: Mapping[str, Any], number: int, out: Problems) -> list[Stage]:
    """The stages that one table stands for; none if anything in it is wrong."""
    at = f"stage {_name(table.get('id')) or number}: "
    found: Problems = []
    values = _read(table, _STAGE, at, found)
    repeat: _Values = {}
    if "repeat" in values:
        repeat = _read(values["repeat"], _REPEAT, f"{at}repeat.", found)
    if not found:
        found += _fits_action(values, at)
        found += _repeats(values, repeat, at)
    out += found
    return [] if found else _expand(_build(values), repeat)


def _build(values: _Values) -> Stage:
    fallback = values.get("fallback_after_minutes")
    return Stage(
        id=values["id"],
        grade=values["grade"],
        offset_days=values["offset_days"],
        at=values["at"],
        action=values.get("action", Action.MESSAGE),
        channels=values.get("channels", ()),
        fallback_after=timedelta(minutes=fallback) if fallback else None,
        message=values.get("message"),
        catch_up=values["catch_up"],
        not_after=timedelta(hours=values["not_after_hours"]),
        shift=values.get("shift", Shift.NONE),
        case=values.get("case"),
        outcome=values.get("outcome"),
        ends_contact=values.get("ends_contact", False),
        notice_before=values.get("notice_before"),
    )


def _expand(first: Stage, repeat: _Values) -> list[Stage]:
    if not repeat:
        return [first]
    every, until = repeat["every_days"], repeat["until_offset_days"]
    later = range(every, until - first.offset_days + 1, every)
    return [first] + [
        replace(first, id=f"{first.id}+{days}", offset_days=first.offset_days + days)
        for days in later
    ]


def _fits_action(values: _Values, at: str) -> Iterator[Problem]:
    """Each action needs its own keys and none of the others'."""
    action = values.get("action", Action.MESSAGE)
    needed = {
        Action.MESSAGE: ("message", "channels"),
        Action.CASE: ("case",),
        Action.OUTCOME: ("outcome",),
    }[action]
    speaks = action is Action.MESSAGE
    allowed = (*needed, "fallback_after_minutes", "notice_before") if speaks else needed
    for key in needed:
        if key not in values:
            yield Problem(f"{at}{key}", f"missing for action {action.value}", f"write {key} = …")
    for key in (
        "message",
        "channels",
        "fallback_after_minutes",
        "case",
        "outcome",
        "notice_before",
    ):
        if key in values and key not in allowed:
            yield Problem(f"{at}{key}", f"means nothing for action {action.value}", "leave it out")
    if values.get("ends_contact") and action is Action.MESSAGE:
        fix = 'end contact with a stage whose action is "outcome" or "case"'
        yield Problem(f"{at}ends_contact", "a message cannot end contact", fix)
    if action is Action.MESSAGE:
        yield from _fallback(values, at)


def _fallback(values: _Values, at: str) -> Iterator[Problem]:
    minutes, where = values.get("fallback_after_minutes"), f"{at}fallback_after_minutes"
    several = len(values.get("channels", ())) > 1
    if several and minutes is None:
        yield Problem(where, "missing for several channels", "write fallback_after_minutes = 120")
    if not several and minutes is not None and "channels" in values:
        yield Problem(where, "there is no second channel", "leave it out or name two channels")
    if minutes is not None and minutes >= values["not_after_hours"] * 60:
        fix = "make it shorter, or not_after_hours longer"
        yield Problem(where, "falls back only after not_after_hours", fix)


def _repeats(values: _Values, repeat: _Values, at: str) -> Iterator[Problem]:
    if not repeat:
        return
    first, every = values["offset_days"], repeat["every_days"]
    if repeat["until_offset_days"] < first + every:
        fix = f"write at least {first + every}, or leave repeat out"
        yield Problem(f"{at}repeat.until_offset_days", "it never comes to a repeat", fix)
    if values.get("ends_contact") or "outcome" in values:
        yield Problem(f"{at}repeat", "an end happens once", "leave repeat out")


def _together(stages: Sequence[Stage], calendar: BusinessCalendar | None) -> Iterator[Problem]:
    """What only shows when all stages are seen, in ladder order."""
    if len(stages) > STAGES_MAX:
        yield Problem("stage", f"{len(stages)} stages", f"keep to {STAGES_MAX}, repeats included")
    seen: set[str] = set()
    moments: dict[tuple[int, time], str] = {}
    for stage in stages:
        if stage.id in seen:
            yield Problem(f"stage {stage.id}: id", "used twice", "give every stage its own id")
        elif stage.action is Action.MESSAGE:
            other = moments.setdefault((stage.offset_days, stage.at), stage.id)
            if other != stage.id:
                fix = "send one message, or move one to another day"
                yield Problem(f"stage {stage.id}: at", f"same moment as stage {other}", fix)
        seen.add(stage.id)
        if stage.shift is not Shift.NONE and calendar is None:
            fix = "name one at the top, calendar = …, or leave shift out"
            yield Problem(f"stage {stage.id}: shift", "the ladder has no calendar", fix)
    for stage in stages[:-1]:
        if stage.ends_contact:
            fix = "make it the last stage"
            yield Problem(f"stage {stage.id}: ends_contact", "stages after it never come", fix)


def _name(value: object) -> str | None:
    fits = isinstance(value, str) and len(value) <= _NAME_MAX and _NAME.fullmatch(value)
    return str(value) if fits else None


def _int(low: int, high: int) -> Callable[[object], int | None]:
    def read(value: object) -> int | None:
        return value if type(value) is int and low <= value <= high else None

    return read


def _word(kind: type[W]) -> Callable[[object], W | None]:
    def read(value: object) -> W | None:
        return kind(value) if isinstance(value, str) and value in list(kind) else None

    return read


def _clock(value: object) -> time | None:
    return value if isinstance(value, time) and value.tzinfo is None else None


def _buckets(value: object) -> tuple[int, ...] | None:
    days = value if isinstance(value, list) else []
    if not days or not all(type(day) is int and 1 <= day <= OFFSET_MAX for day in days):
        return None
    rises = all(low < high for low, high in pairwise(days))
    return tuple(days) if rises else None


def _channels(value: object) -> tuple[str, ...] | None:
    names = value if isinstance(value, list) else []
    if not names or not all(isinstance(name, str) and name in CHANNELS for name in names):
        return None
    return tuple(names) if len(set(names)) == len(names) else None


def _tables(value: object) -> list[Any] | None:
    if not isinstance(value, list) or not value:
        return None
    return value if all(isinstance(item, Mapping) for item in value) else None


def _table(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) and value else None


def _outcome(value: object) -> str | None:
    return value if isinstance(value, str) and value in OUTCOMES else None


def _announced(value: object) -> str | None:
    return BUREAU_REPORT if value == BUREAU_REPORT else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_SLUG = "lower-case letters, digits and hyphens"
_HEAD = {
    "name": _Key(_name, f'name = "…" in {_SLUG}'),
    "buckets": _Key(_buckets, "buckets = [1, 8, 31], first days past due, rising, from 1 on"),
    "calendar": _Key(_name, f'calendar = "…" in {_SLUG}', required=False),
    "stage": _Key(_tables, "at least one [[stage]]"),
}
_STAGE = {
    "id": _Key(_name, f'id = "…" in {_SLUG}'),
    "grade": _Key(_word(Grade), f"grade = one of {', '.join(Grade)}"),
    "offset_days": _Key(
        _int(OFFSET_MIN, OFFSET_MAX), f"offset_days from {OFFSET_MIN} to {OFFSET_MAX}"
    ),
    "at": _Key(_clock, "at = 10:00:00, a local time without quotes"),
    "action": _Key(_word(Action), f"action = one of {', '.join(Action)}", required=False),
    "channels": _Key(_channels, f"channels from {', '.join(CHANNELS)}, each once", required=False),
    "fallback_after_minutes": _Key(
        _int(1, FALLBACK_MINUTES_MAX), "fallback_after_minutes from 1 to 1440", required=False
    ),
    "message": _Key(_name, f'message = "…", a template name in {_SLUG}', required=False),
    "catch_up": _Key(_word(CatchUp), f"catch_up = one of {', '.join(CatchUp)}"),
    "not_after_hours": _Key(
        _int(1, NOT_AFTER_HOURS_MAX), f"not_after_hours from 1 to {NOT_AFTER_HOURS_MAX}"
    ),
    "shift": _Key(_word(Shift), f"shift = one of {', '.join(Shift)}", required=False),
    "case": _Key(_name, f'case = "…", a kind of case in {_SLUG}', required=False),
    "outcome": _Key(_outcome, f"outcome = {' or '.join(OUTCOMES)}", required=False),
    "ends_contact": _Key(_flag, "ends_contact = true or false", required=False),
    "notice_before": _Key(_announced, f'notice_before = "{BUREAU_REPORT}"', required=False),
    "repeat": _Key(_table, "repeat = { every_days = 7, until_offset_days = 60 }", required=False),
}
_REPEAT = {
    "every_days": _Key(_int(1, 366), "every_days from 1 to 366"),
    "until_offset_days": _Key(
        _int(OFFSET_MIN, OFFSET_MAX), f"until_offset_days from {OFFSET_MIN} to {OFFSET_MAX}"
    ),
}

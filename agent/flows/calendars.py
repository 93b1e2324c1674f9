"""The calendars in force: those that are shipped, and in their place those that staff stored.

Nobody but staff can say that a list of holidays is the official one. What they stored is in the database,
each version with who and why; every process takes it over before its next piece of work.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache

import asyncpg

from agent.domain.calendar import BusinessCalendar, compile_calendar, wrong_file
from agent.flows.unclear import Unclear
from agent.store import calendars as stored
from agent.store.calendars import StoredCalendar
from agent.store.sql import Connection
from agent.store.waking import wake_held
from schedules import calendar_names, calendar_text

# What a notice waits for while nobody confirmed a calendar.
_WAITING = ("ENGINE-CALENDAR-MISSING%",)


@dataclass(slots=True)
class _InForce:
    """What this process has taken over last; empty: the shipped files alone."""

    digest: str = ""
    kept: Mapping[str, StoredCalendar] | None = None


_IN_FORCE = _InForce()


@cache
def shipped_calendars() -> Mapping[str, BusinessCalendar]:
    """The calendars of this release."""
    compiled = {
        name: compile_calendar(tomllib.loads(calendar_text(name))) for name in calendar_names()
    }
    return {name: found for name, found in compiled.items() if isinstance(found, BusinessCalendar)}


def edition() -> str:
    """Names the calendars in force: whatever was compiled under another edition is compiled anew."""
    return _IN_FORCE.digest


def calendars_in_force() -> Mapping[str, BusinessCalendar]:
    """The calendars that rules and ladders count by, stored ones first."""
    kept = _IN_FORCE.kept or {}
    return {**shipped_calendars(), **{name: calendar_of(one) for name, one in kept.items()}}


def stored_versions() -> Mapping[str, int]:
    """The version of every stored calendar, by name."""
    return {name: one.id for name, one in (_IN_FORCE.kept or {}).items()}


def calendar_of(one: StoredCalendar) -> BusinessCalendar:
    """A stored calendar; of its years those are relied on that somebody confirmed."""
    found = compile_calendar(tomllib.loads(one.source))
    if not isinstance(found, BusinessCalendar):
        raise BadCalendar(f"stored calendar {one.name} (version {one.id}): {found}")
    return _relied_on(found, one.confirmed_years)


class BadCalendar(Exception):
    """A stored calendar does not compile: it was written by another version or by hand."""


def _relied_on(calendar: BusinessCalendar, years: Sequence[int]) -> BusinessCalendar:
    unknown = frozenset(years_of(calendar)) - frozenset(years)
    return replace(calendar, confirmed=bool(years), seeded=unknown)


def years_of(calendar: BusinessCalendar) -> range:
    """The years that it lists, confirmed or not."""
    first, last = calendar.covers
    return range(first.year, last.year + 1)


async def take_over(conn: Connection, digest: str | None = None) -> None:
    """Let the calendars bind that staff stored; costs one question while nothing has changed."""
    told = await stored.digest(conn) if digest is None else digest
    if told == _IN_FORCE.digest:
        return
    kept = {one.name: one for one in await stored.stored(conn)} if told else {}
    for one in kept.values():
        calendar_of(one)
    _IN_FORCE.digest, _IN_FORCE.kept = told, kept


@dataclass(frozen=True, slots=True)
class Listed:
    """One calendar as it binds now. `unconfirmed`: years that it lists and rules do not rely on."""

    name: str
    covers: tuple[date, date]
    confirmed: tuple[int, ...]
    unconfirmed: tuple[int, ...]
    holidays: Mapping[int, int]
    source: str
    # of a stored one: its version, who stored it, when and why
    version: int | None = None
    by: str | None = None
    at: datetime | None = None
    reason: str | None = None


async def listed(conn: Connection) -> list[Listed]:
    """Every calendar in force, by name."""
    await take_over(conn)
    kept = _IN_FORCE.kept or {}
    return [
        _listed(name, one, kept.get(name)) for name, one in sorted(calendars_in_force().items())
    ]


def _listed(name: str, calendar: BusinessCalendar, kept: StoredCalendar | None) -> Listed:
    raw = tomllib.loads(calendar_text(name) if kept is None else kept.source)
    known = [year for year in years_of(calendar) if _is_known(calendar, year)]
    unknown = [year for year in years_of(calendar) if year not in known]
    holidays = {
        year: sum(day.year == year for day in calendar.holidays) for year in years_of(calendar)
    }
    about = () if kept is None else (kept.id, kept.stored_by, kept.stored_at, kept.reason)
    return Listed(
        name, calendar.covers, tuple(known), tuple(unknown), holidays, str(raw.get("source", "")),
        *about,
    )  # fmt: skip


def _is_known(calendar: BusinessCalendar, year: int) -> bool:
    return calendar.confirmed and year not in calendar.seeded


@dataclass(frozen=True, slots=True)
class Stored:
    """A new version of a calendar. `woken`: notices that waited for it, to be looked at again."""

    name: str
    version: int
    confirmed: tuple[int, ...]
    woken: int


async def confirm(
    pool: "asyncpg.Pool[asyncpg.Record]",
    name: str,
    years: Sequence[int],
    *,
    by: str,
    reason: str,
    now: datetime,
) -> Stored | Unclear:
    """Somebody compared the dates that are listed for these years with the official list."""
    async with pool.acquire() as conn, conn.transaction():
        await stored.lock(conn)
        await take_over(conn)
        calendar = calendars_in_force().get(name)
        if calendar is None:
            return Unclear(
                f"there is no calendar {name}", f"there are: {', '.join(calendars_in_force())}"
            )
        if missing := [year for year in years if year not in years_of(calendar)]:
            fix = "store a file that lists them: `duly conduct calendars store FILE --year …`"
            return Unclear(f"{name} lists no holidays of {_words(missing)}", fix)
        kept = (_IN_FORCE.kept or {}).get(name)
        known = {year for year in years_of(calendar) if _is_known(calendar, year)}
        source = calendar_text(name) if kept is None else kept.source
        return await _store(conn, name, source, sorted(known | set(years)), by, reason, now)


async def store(
    pool: "asyncpg.Pool[asyncpg.Record]",
    source: str,
    years: Sequence[int],
    *,
    by: str,
    reason: str,
    now: datetime,
) -> Stored | Unclear:
    """A calendar file in place of the one in force; of its years those named were compared."""
    try:
        raw = tomllib.loads(source)
    except tomllib.TOMLDecodeError as wrong:
        return Unclear(f"this is no TOML: {wrong}", "write it like a file of schedules/calendars")
    found = wrong_file(raw) or compile_calendar(raw)
    if not isinstance(found, BusinessCalendar):
        return Unclear(found, "write it like a file of schedules/calendars")
    if missing := [year for year in years if year not in years_of(found)]:
        return Unclear(
            f"it lists no holidays of {_words(missing)}", "widen covers, or leave the year out"
        )
    async with pool.acquire() as conn, conn.transaction():
        await stored.lock(conn)
        await take_over(conn)
        return await _store(conn, found.name, source, sorted(set(years)), by, reason, now)


def _words(years: Sequence[int]) -> str:
    return ", ".join(map(str, years))


async def _store(
    conn: Connection,
    name: str,
    source: str,
    years: Sequence[int],
    by: str,
    reason: str,
    now: datetime,
) -> Stored:
    version = await stored.store(conn, name, source, years, by=by, reason=reason, now=now)
    woken = await wake_held(conn, _WAITING, now)
    return Stored(name, version, tuple(years), woken)

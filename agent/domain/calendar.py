"""Local dates, local times and business days.

The only place that knows time zones. Everything else speaks in UTC instants and local dates; the
functions here are called for every loan and every decision, so zones and instants are cached.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

from tzdata import IANA_VERSION  # type: ignore[import-untyped]

# Zone rules come from the locked `tzdata` package, not from whatever this machine has installed: two
# processes must not disagree about when a window closes.
reset_tzpath(())
# Stored with decisions: the same instant may be another local time under other rules.
ZONE_DATA: str = IANA_VERSION

ONE_DAY = timedelta(days=1)
# Names that a machine may resolve and that are no place: its own zone, leap-second tables.
_NO_PLACE = ("localtime", "posixrules", "Factory", "posix/", "right/")
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*){0,3}")
_ZONE_NAME_MAX = 64


class Shift(StrEnum):
    """Which day to use when a date is not a business day."""

    NONE = "none"
    NEXT = "next"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """The days on which a place does business.

    `weekend` holds ISO weekdays (6 = Saturday); `workdays` are weekend days worked to make up for a
    holiday. Outside `covers` no holiday is known: there only the weekend counts. `seeded` years were
    computed ahead of the official list; `confirmed` says that somebody compared the others with it.
    """

    name: str
    weekend: frozenset[int]
    holidays: frozenset[date]
    workdays: frozenset[date]
    covers: tuple[date, date]
    confirmed: bool = True
    seeded: frozenset[int] = frozenset()

    def is_business_day(self, day: date) -> bool:
        """A holiday never is one, a made-up weekend day is, else the weekday decides."""
        if day in self.holidays:
            return False
        return day in self.workdays or day.isoweekday() not in self.weekend

    def is_covered(self, day: date) -> bool:
        """Whether the holidays of that day's year are listed, confirmed or not."""
        return self.covers[0] <= day <= self.covers[1]

    def is_known(self, day: date) -> bool:
        """Whether a rule may rely on it: that year is listed, and somebody confirmed the list."""
        return self.is_covered(day) and self.confirmed and day.year not in self.seeded

    def granted(self) -> "BusinessCalendar":
        """The same taken for confirmed, without the seeded years: what a test vector presupposes."""
        first, last = self.covers
        until = date(min(self.seeded) - 1, 12, 31) if self.seeded else last
        return replace(self, confirmed=True, covers=(first, min(last, until)), seeded=frozenset())


def known_zone(name: str) -> bool:
    """Whether `name` is an IANA zone that we can compute with; safe for any text."""
    return len(name) <= _ZONE_NAME_MAX and _loads(name)


@lru_cache(maxsize=4096)
def _loads(name: str) -> bool:
    if name.startswith(_NO_PLACE) or _ZONE_NAME.fullmatch(name) is None:
        return False
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder, a file that is no zone
        return False
    return True


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """A known zone; ask `known_zone` first."""
    return ZoneInfo(name)


@lru_cache(maxsize=32768)
def instant(day: date, clock: time, zone: str) -> datetime:
    """The instant at which a local clock shows `clock` on `day`.

    A time that a zone skips is the first instant after the gap; one that comes twice is the first.
    """
    place = zone_of(zone)
    local = datetime.combine(day, clock, place)
    before, after = _offset(local.replace(fold=0)), _offset(local.replace(fold=1))
    wall = datetime.combine(day, clock, UTC)
    if before >= after:
        return wall - before
    return _end_of_gap(wall - after, wall - before, place)


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta(0)


def _end_of_gap(early: datetime, late: datetime, place: ZoneInfo) -> datetime:
    """The transition in (early, late], to the second, found by halving."""
    offset = _offset(late.astimezone(place))
    low, high = 0, int((late - early).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        at = (early + timedelta(seconds=middle)).astimezone(place)
        low, high = (low, middle) if _offset(at) == offset else (middle, high)
    return (early + timedelta(seconds=high)).replace(microsecond=0)


def local_date(at: datetime, zone: str) -> date:
    """The date on a local calendar at an instant."""
    return at.astimezone(zone_of(zone)).date()


def local_time(at: datetime, zone: str) -> time:
    """What a local clock shows at an instant, without its zone."""
    return at.astimezone(zone_of(zone)).time()


def shift(day: date, calendar: BusinessCalendar | None, how: Shift) -> date:
    """`day`, or the nearest business day on the side that `how` names."""
    if calendar is None or how is Shift.NONE:
        return day
    step = ONE_DAY if how is Shift.NEXT else -ONE_DAY
    while not calendar.is_business_day(day):
        day += step
    return day


def shifted_from(day: date, calendar: BusinessCalendar | None, how: Shift) -> tuple[date, ...]:
    """Every date that `shift` turns into `day`; none if `day` is no business day."""
    if calendar is None or how is Shift.NONE:
        return (day,)
    if not calendar.is_business_day(day):
        return ()
    step = -ONE_DAY if how is Shift.NEXT else ONE_DAY
    sources = [day]
    while not calendar.is_business_day(sources[-1] + step):
        sources.append(sources[-1] + step)
    return tuple(sources)


def compile_calendar(raw: Mapping[str, Any]) -> BusinessCalendar | str:
    """A calendar from its file, or what is wrong with it in one sentence."""
    try:
        weekend = frozenset(_WEEKDAYS[day] for day in raw["weekend"])
        first, last = raw["covers"]
        holidays, workdays = frozenset(raw["off"]), frozenset(raw.get("weekend_workdays", ()))
        seeded, name = frozenset(raw.get("seeded", ())), raw["name"]
    except (KeyError, TypeError, ValueError) as wrong:
        return f"a calendar needs name, weekend, covers and off as its schema says ({wrong!r})"
    if not isinstance(name, str) or len(weekend) == len(_WEEKDAYS):
        return "a calendar needs a name and at least one weekday that is no weekend"
    if not all(type(day) is date for day in (*holidays, *workdays, first, last)) or first > last:
        return "off, weekend_workdays and covers are dates (2026-01-01, without quotes), in order"
    confirmed = raw.get("confirmed", False)
    if type(confirmed) is not bool or not all(type(year) is int for year in seeded):
        return "confirmed is true or false, seeded is a list of years"
    if not all(first.year < year <= last.year for year in seeded):
        return "seeded names later years of covers than the first"
    return BusinessCalendar(name, weekend, holidays, workdays, (first, last), confirmed, seeded)


def wrong_file(raw: Mapping[str, Any]) -> str | None:
    """What a calendar file says that no calendar can say, or leaves out, in one sentence.

    A misspelt key (`weekend_workday`) would lose its days in silence. What is stored already is not
    asked this again.
    """
    if unknown := sorted(raw.keys() - set(_KEYS)):
        return f"a calendar has no {', '.join(unknown)}; use {', '.join(_KEYS)}"
    lists = ("weekend", "covers", "off", "weekend_workdays", "seeded")
    if odd := [key for key in lists if not isinstance(raw.get(key, []), list)]:
        return f"{', '.join(odd)}: write a list"
    if not isinstance(raw.get("name"), str) or not _CALENDAR_NAME.fullmatch(raw["name"]):
        return "name is small letters, digits and hyphens, such as us-federal"
    if not isinstance(raw.get("source"), str) or not raw["source"]:
        return 'no source: write where the dates come from, source = "…"'
    if type(raw.get("checked_on")) is not date:
        return "checked_on is the day somebody last compared them, a date without quotes"
    return None if "confirmed" in raw else "confirmed is missing: write true or false"


_KEYS = (
    "name", "weekend", "covers", "source", "checked_on", "confirmed", "seeded", "off",
    "weekend_workdays",
)  # fmt: skip
_CALENDAR_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_WEEKDAYS = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7}

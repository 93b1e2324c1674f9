"""Local clocks in whole seconds: what the rules of conduct compute with, thousands of times a second.

A zone's day is cut where its clock is changed, so a skipped hour is never open, a repeated one is two
stretches, and nobody adds 24 hours to a local time. Seconds count from 1970 in UTC; a day is a count
of days from 1970-01-01, and a minute of the day counts from midnight on the local clock.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from agent.domain.calendar import zone_of

DAY_SECONDS = 86_400
_HOUR = 3_600
_FIRST_DAY = date(1970, 1, 1).toordinal()

# Half-open stretches of time, in order.
Spans = tuple[tuple[int, int], ...]


def seconds_of(at: datetime) -> int:
    """An instant in whole seconds, rounded down."""
    return int(at.timestamp() // 1)


def instant_of(seconds: int) -> datetime:
    """The instant, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def day_of(day: date) -> int:
    """The count of days from 1970."""
    return day.toordinal() - _FIRST_DAY


def date_of(day: int) -> date:
    """The calendar date of a count of days."""
    return date.fromordinal(day + _FIRST_DAY)


def weekday_of(day: int) -> int:
    """0 is Monday."""
    return (day + 3) % 7


@lru_cache(maxsize=65_536)
def stretches(zone: str, utc_day: int) -> tuple[tuple[int, int, int], ...]:
    """A UTC day as stretches (from, to, offset) during which the zone's clock runs evenly."""
    place, start = zone_of(zone), utc_day * DAY_SECONDS
    found: list[tuple[int, int, int]] = []
    begun, offset = start, _offset(place, start)
    for hour in range(start + _HOUR, start + DAY_SECONDS + 1, _HOUR):
        later = _offset(place, hour)
        if later != offset:
            change = _change(place, hour - _HOUR, hour, later)
            found.append((begun, change, offset))
            begun, offset = change, later
    if begun < start + DAY_SECONDS:
        found.append((begun, start + DAY_SECONDS, offset))
    return tuple(found)


def _offset(place: ZoneInfo, at: int) -> int:
    shift = datetime.fromtimestamp(at, place).utcoffset()
    return int(shift.total_seconds()) if shift is not None else 0


def _change(place: ZoneInfo, low: int, high: int, offset: int) -> int:
    """The first second in (low, high] on the new offset."""
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(place, middle) == offset:
            high = middle
        else:
            low = middle
    return high


def offset_at(seconds: int, zone: str) -> int:
    """How far the zone's clock is ahead of UTC."""
    parts = stretches(zone, seconds // DAY_SECONDS)
    if len(parts) == 1:
        return parts[0][2]
    return next(offset for begun, ended, offset in parts if begun <= seconds < ended)


def local_day(seconds: int, zone: str) -> int:
    """The day that the zone's calendar shows."""
    return (seconds + offset_at(seconds, zone)) // DAY_SECONDS


@lru_cache(maxsize=65_536)
def day_start(day: int, zone: str) -> int:
    """The first second that the zone's calendar shows this day, or a later one where it skips it."""
    earliest = day * DAY_SECONDS - DAY_SECONDS
    for utc_day in range(earliest // DAY_SECONDS, earliest // DAY_SECONDS + 4):
        for begun, ended, offset in stretches(zone, utc_day):
            first = max(begun, day * DAY_SECONDS - offset)
            if first < ended:
                return first
    raise AssertionError("a local day begins within two days of its date in UTC")

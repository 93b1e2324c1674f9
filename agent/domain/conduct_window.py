"""Hours: contact windows by weekday and holiday, and the quiet hours that a person asked for.

Bounds are exclusive at both ends on a one-minute grid: 08:00-21:00 admits 08:01 to 20:59. A window is
open only where it is open in every candidate zone of the person, and in the rule's own zone if it has
one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, reduce

from agent.domain.calendar import BusinessCalendar
from agent.domain.conduct_base import (
    HORIZON_SECONDS,
    Asker,
    ContactFacts,
    Head,
    Memo,
    Quiet,
    Source,
    Unknowable,
    answered,
    passes,
)
from agent.domain.zonetime import (
    DAY_SECONDS,
    Spans,
    date_of,
    local_day,
    stretches,
    weekday_of,
)

CALENDAR_MISSING = "ENGINE-CALENDAR-MISSING"
# The horizon, and the days that a zone may be ahead or behind.
_DAYS_AHEAD = 17
_MINUTE = 60

# Opening and closing in minutes of the local day, None for a closed day.
Hours = tuple[int, int] | None


@dataclass(frozen=True, slots=True, eq=False)
class WeekWindow:
    """Contact only inside the hours of the weekday, or those of a holiday.

    `holiday_same` keeps a holiday's weekday hours: then no calendar is asked.
    """

    head: Head
    week: tuple[Hours, ...]
    holiday: Hours = None
    holiday_same: bool = True
    clock: str | None = None
    calendar: BusinessCalendar | None = None

    @property
    def id(self) -> str:
        """As decisions name it."""
        return self.head.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels it binds."""
        return self.head.channels

    @property
    def source(self) -> Source:
        """Where it stands and how that was checked."""
        return self.head.source

    def hours(self, day: int) -> Hours:
        """The hours of a local day; one whose holidays are not known is not open."""
        if self.holiday_same:
            return self.week[weekday_of(day)]
        date = date_of(day)
        if self.calendar is None or not self.calendar.is_known(date):
            return None
        return self.holiday if date in self.calendar.holidays else self.week[weekday_of(day)]

    def local(self, day: int) -> Spans:
        """The open seconds of a local day."""
        hours = self.hours(day)
        if hours is None:
            return ()
        opens, closes = hours
        return (((opens + 1) * _MINUTE, closes * _MINUTE),)

    def zones_of(self, facts: ContactFacts) -> tuple[str, ...]:
        """Where it must be open: everywhere the person may be, and in its own zone."""
        if self.clock is None or self.clock in facts.zones:
            return facts.zones
        return (*facts.zones, self.clock)

    def prepare(self, facts: ContactFacts, _memo: Memo) -> Asker:
        """Open when every clock is inside the hours, else the next minute at which all are."""
        return open_asker((self,), self.zones_of(facts), guard_of(facts))

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """`start` if every clock is inside the hours, else the next minute at which all are."""
        return answered(self.prepare(facts, {}), start)

    def require(self, zones: tuple[str, ...], now: int, end: int) -> None:
        """A day on the way whose holidays are not known might be a working one: nobody can say."""
        if not _is_known(self.calendar, zones, now, end):
            raise Unknowable(CALENDAR_MISSING)


@lru_cache(maxsize=4096)
def _is_known(
    calendar: BusinessCalendar | None, zones: tuple[str, ...], now: int, end: int
) -> bool:
    """A batch is decided at one instant, so few are asked and many want to know."""
    days = [date_of(local_day(at, zone)) for zone in zones for at in (now, end)]
    return calendar is not None and all(map(calendar.is_known, days))


@dataclass(frozen=True, slots=True, eq=False)
class QuietPreference:
    """No contact in the hours that the person called inconvenient, on any clock they may live by."""

    head: Head

    @property
    def id(self) -> str:
        """As decisions name it."""
        return self.head.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels it binds."""
        return self.head.channels

    @property
    def source(self) -> Source:
        """Where it stands and how that was checked."""
        return self.head.source

    def prepare(self, facts: ContactFacts, _memo: Memo) -> Asker:
        """Passes where nobody asked for quiet, else at the first minute after it."""
        quiet, zones, guard = facts.quiet, facts.zones, guard_of(facts)
        if not quiet:
            return passes
        return lambda now: _first_in(lambda day: _unasked(quiet, zones, day), guard, now)

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """`start` if nobody asked for quiet now, else the first minute after it."""
        return answered(self.prepare(facts, {}), start)


def is_open(window: WeekWindow, facts: ContactFacts, guard: int, now: int) -> bool:
    """Whether one window is open now; a day whose holidays are not known cannot be said."""
    zones = window.zones_of(facts)
    for begun, ended in open_together((window,), zones, now // DAY_SECONDS):
        if begun <= now < ended - guard:
            return True
    if not window.holiday_same:
        window.require(zones, now, now)
    return False


def guard_of(facts: ContactFacts) -> int:
    """How long a contact may take to leave, in seconds."""
    return int(facts.guard.total_seconds())


def open_asker(windows: tuple[WeekWindow, ...], zones: tuple[str, ...], guard: int) -> Asker:
    """Several windows as one: when all are open in all zones at once."""
    fenced = [window for window in windows if not window.holiday_same]

    def first(now: int) -> int | None:
        for begun, ended in open_together(windows, zones, now // DAY_SECONDS):
            if begun <= now < ended - guard:
                return now
        found = _first_in(lambda day: open_together(windows, zones, day), guard, now)
        for window in fenced:
            window.require(zones, now, now + HORIZON_SECONDS if found is None else found)
        return found

    return first


def _first_in(spans_on: Callable[[int], Spans], guard: int, now: int) -> int | None:
    """The first second ≥ `now` inside a span that lasts for the guard, on the minute if later."""
    today = now // DAY_SECONDS
    for day in range(today, today + _DAYS_AHEAD):
        for begun, ended in spans_on(day):
            if begun <= now < ended - guard:
                return now
            first = -(-begun // _MINUTE) * _MINUTE
            if now < first < ended - guard:
                return first
    return None


@lru_cache(maxsize=65_536)
def open_together(windows: tuple[WeekWindow, ...], zones: tuple[str, ...], utc_day: int) -> Spans:
    """When all windows are open in all zones, on a UTC day and on into the next."""
    today = [_opens(window, zone, utc_day) for window in windows for zone in zones]
    ours = reduce(common, today)
    if not ours or ours[-1][1] < (utc_day + 1) * DAY_SECONDS:
        return ours
    tomorrow = [_opens(window, zone, utc_day + 1) for window in windows for zone in zones]
    return onward(today, tomorrow, utc_day)


@lru_cache(maxsize=65_536)
def _opens(window: WeekWindow, zone: str, utc_day: int) -> Spans:
    return on_utc_day(zone, utc_day, window.local)


@lru_cache(maxsize=16_384)
def _unasked(quiet: tuple[Quiet, ...], zones: tuple[str, ...], utc_day: int) -> Spans:
    today = [_free(quiet, zone, utc_day) for zone in zones]
    return onward(today, [_free(quiet, zone, utc_day + 1) for zone in zones], utc_day)


def _free(quiet: tuple[Quiet, ...], zone: str, utc_day: int) -> Spans:
    def local(day: int) -> Spans:
        return tuple(span for one in quiet for span in _quiet_on(one, day))

    start = utc_day * DAY_SECONDS
    taken = on_utc_day(zone, utc_day, local)
    edges = [start, *(edge for span in taken for edge in span), start + DAY_SECONDS]
    return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)


def _quiet_on(quiet: Quiet, day: int) -> Spans:
    begins, ends = quiet.begins * _MINUTE, (quiet.ends + 1) * _MINUTE
    today, yesterday = weekday_of(day) in quiet.days, weekday_of(day - 1) in quiet.days
    if quiet.begins <= quiet.ends:
        return ((begins, ends),) if today else ()
    late = ((begins, DAY_SECONDS),) if today else ()
    return (*late, (0, ends)) if yesterday else late


def on_utc_day(zone: str, utc_day: int, local: Callable[[int], Spans]) -> Spans:
    """The parts of a UTC day whose local clock shows a second that `local` names."""
    found: list[tuple[int, int]] = []
    for begun, ended, offset in stretches(zone, utc_day):
        first, last = (begun + offset) // DAY_SECONDS, (ended + offset - 1) // DAY_SECONDS
        for day in range(first, last + 1):
            midnight = day * DAY_SECONDS - offset
            for opens, closes in local(day):
                span = (max(begun, midnight + opens), min(ended, midnight + closes))
                if span[0] < span[1]:
                    found.append(span)
    return joined(found)


def joined(spans: Sequence[tuple[int, int]]) -> Spans:
    """In order, and what touches or overlaps made one."""
    found: list[tuple[int, int]] = []
    for begun, ended in sorted(spans):
        if found and begun <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((begun, ended))
    return tuple(found)


def common(one: Spans, other: Spans) -> Spans:
    """What both have."""
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple(sorted((a, b) for a, b in pairs if a < b))


def onward(today: Sequence[Spans], tomorrow: Sequence[Spans], utc_day: int) -> Spans:
    """What all have today; what runs over midnight goes on to its end tomorrow."""
    midnight = (utc_day + 1) * DAY_SECONDS
    ours = reduce(common, today)
    if not ours or ours[-1][1] < midnight:
        return ours
    theirs = reduce(common, tomorrow)
    if not theirs or theirs[0][0] > midnight:
        return ours
    return (*ours[:-1], (ours[-1][0], theirs[0][1]))

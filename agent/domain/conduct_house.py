"""The house's own clock rules: hours for every day, and caps that count notices.

Their bounds are exclusive at both ends on a one-minute grid: a window 08:00-20:00 admits 08:01 to
19:59, and a deferral lands one minute after opening.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from agent.domain.conduct_base import (
    BOTH_ROLES,
    Asker,
    ContactFacts,
    Head,
    Memo,
    Source,
    answered,
    minute_of,
    passes,
)
from agent.domain.conduct_window import WeekWindow
from agent.domain.zonetime import day_start, local_day, seconds_of


@dataclass(frozen=True, slots=True)
class ContactWindow:
    """Contact only inside the local hours of every candidate zone of the person."""

    id: str
    channels: tuple[str, ...]
    source: Source
    opens: time
    closes: time

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """`start` if it is open in every zone, else the next minute at which all are."""
        return self.weekly().first_allowed(facts, start)

    def weekly(self) -> WeekWindow:
        """The same hours, day by day."""
        hours = (minute_of(self.opens), minute_of(self.closes))
        head = Head(self.id, "contact_window", BOTH_ROLES, self.channels, self.source)
        return WeekWindow(head, (hours,) * 7)


@dataclass(frozen=True, slots=True)
class DailyCap:
    """At most `count` notices a person in any `days` consecutive local dates ending today."""

    id: str
    channels: tuple[str, ...]
    source: Source
    count: int
    days: int

    def prepare(self, facts: ContactFacts, _memo: Memo) -> Asker:
        """Passes from the midnight after enough notices have left the window, in every zone."""
        if len(facts.history) < self.count:
            return passes
        told = [seconds_of(at) for at in facts.history]
        days = {zone: sorted(local_day(at, zone) for at in told) for zone in facts.zones}

        def first(now: int) -> int:
            at, before = now, None
            while at != before:
                before = at
                for zone in facts.zones:
                    at = max(at, self._free(days[zone], at, zone))
            return at

        return first

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """Midnight after enough earlier notices have left the window, in every candidate zone."""
        return answered(self.prepare(facts, {}), start)

    def _free(self, days: list[int], now: int, zone: str) -> int:
        earliest = local_day(now, zone) - self.days + 1
        counted = [day for day in days if day >= earliest]
        if len(counted) < self.count:
            return now
        return max(now, day_start(counted[len(counted) - self.count] + self.days, zone))


@dataclass(frozen=True, slots=True)
class RollingCap:
    """At most `count` notices a person in any rolling `period`."""

    id: str
    channels: tuple[str, ...]
    source: Source
    count: int
    period: timedelta

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """The instant at which the earliest notice that still counts leaves the period."""
        counted = sorted(h for h in facts.history if h > start - self.period)
        if len(counted) < self.count:
            return start
        return max(start, counted[len(counted) - self.count] + self.period)

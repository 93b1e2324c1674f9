"""The house's own clock rules: hours for every day, and caps that count notices.

Their bounds are exclusive at both ends on a one-minute grid: a window 08:00-20:00 admits 08:01 to
19:59, and a deferral lands one minute after opening.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from agent.domain.calendar import instant, local_date, local_time
from agent.domain.conduct_base import HORIZON, MINUTE, ContactFacts, Source


@dataclass(frozen=True, slots=True)
class ContactWindow:
    """Contact only inside the local hours of every candidate zone of the person."""

    id: str
    channels: tuple[str, ...]
    source: Source
    opens: time
    closes: time

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """Moves on to the next opening of whichever zone is shut, until all are open at once."""
        at, limit = start, start + HORIZON
        while at <= limit:
            shut = next((z for z in facts.zones if not self._open(at, z, facts.guard)), None)
            if shut is None:
                return at
            at = self._next_opening(at, shut)
        return None

    def _open(self, at: datetime, zone: str, guard: timedelta) -> bool:
        now = local_time(at, zone).replace(second=0, microsecond=0)
        if not self.opens < now < self.closes:
            return False
        if not guard:
            return True
        # a send may take `guard` to leave: its last byte must fall inside the window too
        end = local_time(at + guard, zone).replace(second=0, microsecond=0)
        return self.opens < end < self.closes

    def _next_opening(self, at: datetime, zone: str) -> datetime:
        first = (datetime.combine(date.min, self.opens) + MINUTE).time()
        day = local_date(at, zone)
        opening = instant(day, first, zone)
        return opening if opening > at else instant(day + timedelta(days=1), first, zone)


@dataclass(frozen=True, slots=True)
class DailyCap:
    """At most `count` notices a person in any `days` consecutive local dates ending today."""

    id: str
    channels: tuple[str, ...]
    source: Source
    count: int
    days: int

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """Midnight after enough earlier notices have left the window, in every candidate zone."""
        at = start
        for _ in range(len(facts.zones) + 1):
            latest = max((self._free(facts, at, zone) for zone in facts.zones), default=at)
            if latest == at:
                return at
            at = latest
        return at

    def _free(self, facts: ContactFacts, at: datetime, zone: str) -> datetime:
        first = local_date(at, zone) - timedelta(days=self.days - 1)
        counted = sorted(d for h in facts.history if (d := local_date(h, zone)) >= first)
        if len(counted) < self.count:
            return at
        leaves = counted[len(counted) - self.count]
        return max(at, instant(leaves + timedelta(days=self.days), time(0), zone))


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

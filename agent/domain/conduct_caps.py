"""How often: caps on contacts and channels over local dates, rolling hours or ISO weeks; cool-downs.

A period is counted in every candidate zone of the person and the strictest counts. A contact whose
outcome, debt or number is not known counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from agent.domain.conduct_base import (
    Asker,
    Contact,
    ContactFacts,
    Head,
    Memo,
    Source,
    answered,
    passes,
)
from agent.domain.zonetime import (
    DAY_SECONDS,
    day_start,
    local_day,
    weekday_of,
)

UNKNOWN = "unknown"
_MINUTE = 60
# What the person agreed to is said of the coming contact; earlier ones happened all the same.
_AGREED = frozenset({"prior_consent_7d", "requested_callback", "reply_to_request"})


class Scope(StrEnum):
    PERSON = "person"
    DEBT = "debt"
    NUMBER = "number"


class Span(StrEnum):
    LOCAL_DATES = "local_dates"
    ROLLING = "rolling"
    ISO_WEEK = "iso_week"


@dataclass(frozen=True, slots=True)
class Period:
    """`length` is days for local dates, seconds for a rolling period."""

    span: Span
    length: int = 7

    @property
    def reach(self) -> int:
        """No contact longer ago than this counts, in whatever zone."""
        if self.span is Span.ROLLING:
            return self.length
        return (self.length + 2) * DAY_SECONDS

    def begins(self, now: int, zone: str) -> int:
        """The first second of the period that is running at `now`."""
        if self.span is Span.ROLLING:
            return now - self.length + 1
        return _begins(None if self.span is Span.ISO_WEEK else self.length, now, zone)

    def leaves(self, at: int, zone: str) -> int:
        """The first second at which a contact at `at` counts no more."""
        match self.span:
            case Span.ROLLING:
                return at + self.length
            case Span.LOCAL_DATES:
                return day_start(local_day(at, zone) + self.length, zone)
            case Span.ISO_WEEK:
                day = local_day(at, zone)
                return day_start(day - weekday_of(day) + 7, zone)


@lru_cache(maxsize=16_384)
def _begins(dates: int | None, now: int, zone: str) -> int:
    """Of a number of local dates, or of the ISO week; a batch is decided at one instant, so few are asked."""
    today = local_day(now, zone)
    first = today - weekday_of(today) if dates is None else today - dates + 1
    return day_start(first, zone)


@dataclass(frozen=True, slots=True, eq=False)
class Cap:
    """At most `count` contacts of the counted kinds in the period."""

    head: Head
    count: int
    period: Period
    scope: Scope
    counts: frozenset[str]
    excludes: frozenset[str]

    @property
    def id(self) -> str:
        """As decisions name it."""
        return self.head.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are counted together."""
        return self.head.channels

    @property
    def source(self) -> Source:
        """Where it stands and how that was checked."""
        return self.head.source

    def prepare(self, facts: ContactFacts, memo: Memo) -> Asker:
        """Passes from the first minute at which one more contact stays within the cap, in every zone."""

        if len(facts.contacts) < self.count or facts.flags & self.excludes:
            return passes
        counted: list[int] | None = None

        def first(now: int) -> int:
            nonlocal counted
            if counted is None:
                # asked first for the earliest second: whatever counts later is among these
                recent = _recent(facts, self.period, now, memo)
                few = len(recent) < self.count
                counted = [] if few else sorted(c.at for c in recent if self._counts(c, facts))
            if len(counted) < self.count:
                return now
            return _settled(lambda at, zone: self._free(counted or [], at, zone), facts.zones, now)

        return first

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """The first minute at which one more contact stays within the cap, in every zone."""
        return answered(self.prepare(facts, {}), start)

    def _counts(self, contact: Contact, facts: ContactFacts) -> bool:
        if contact.channel not in self.head.channels or not concerns(self.scope, contact, facts):
            return False
        if contact.outcome in self.excludes or contact.flags & self.excludes:
            return False
        return contact.outcome == UNKNOWN or contact.outcome in self.counts

    def _free(self, counted: list[int], now: int, zone: str) -> int:
        begins = self.period.begins(now, zone)
        inside = [at for at in counted if at >= begins]
        if len(inside) < self.count:
            return now
        return max(now, self.period.leaves(inside[len(inside) - self.count], zone))


@dataclass(frozen=True, slots=True, eq=False)
class ChannelCap:
    """At most `most` different channels in the period; the coming contact's is one of them."""

    head: Head
    most: int
    period: Period
    scope: Scope
    excludes: frozenset[str]

    @property
    def id(self) -> str:
        """As decisions name it."""
        return self.head.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are told apart."""
        return self.head.channels

    @property
    def source(self) -> Source:
        """Where it stands and how that was checked."""
        return self.head.source

    def prepare(self, facts: ContactFacts, memo: Memo) -> Asker:
        """Passes from the first minute at which this channel is not one too many, in every zone."""

        if not facts.contacts or facts.flags & self.excludes:
            return passes

        def first(now: int) -> int:
            recent = _recent(facts, self.period, now, memo)
            used = sorted((c.at, c.channel) for c in recent if self._counts(c, facts))
            if not used:
                return now
            return _settled(
                lambda at, zone: self._free(used, facts.channel, at, zone), facts.zones, now
            )

        return first

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """The first minute at which this channel is not one too many, in every zone."""
        return answered(self.prepare(facts, {}), start)

    def _counts(self, contact: Contact, facts: ContactFacts) -> bool:
        if contact.channel not in self.head.channels or not concerns(self.scope, contact, facts):
            return False
        return contact.outcome not in self.excludes and not contact.flags & self.excludes

    def _free(self, used: list[tuple[int, str]], channel: str, now: int, zone: str) -> int:
        begins = self.period.begins(now, zone)
        inside = [(at, by) for at, by in used if at >= begins]
        while len({channel, *(by for _, by in inside)}) > self.most and inside:
            now = max(now, self.period.leaves(inside[0][0], zone))
            inside = [(at, by) for at, by in inside if self.period.leaves(at, zone) > now]
        return now


@dataclass(frozen=True, slots=True, eq=False)
class Cooldown:
    """No contact for some days after an outcome, whoever started that one."""

    head: Head
    after: str
    days: int
    first_day_counts: bool
    scope: Scope
    excludes: frozenset[str]

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
        """Passes from the first midnight after the last of the days, in every zone."""
        agreed = facts.flags & self.excludes
        last = None if agreed else max(self._cooling(facts), default=None)
        if last is None:
            return passes
        days = self.days if self.first_day_counts else self.days + 1

        def free(now: int, zone: str) -> int:
            return max(now, day_start(local_day(last, zone) + days, zone))

        return lambda now: _settled(free, facts.zones, now)

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """The first midnight after the last of the days, in every zone."""
        return answered(self.prepare(facts, {}), start)

    def _cooling(self, facts: ContactFacts) -> Iterator[int]:
        undone = self.excludes - _AGREED
        for contact in facts.contacts:
            if contact.channel in self.head.channels and concerns(self.scope, contact, facts):
                happened = contact.outcome in (self.after, UNKNOWN)
                if happened and not contact.flags & undone:
                    yield contact.at


def concerns(scope: Scope, contact: Contact, facts: ContactFacts) -> bool:
    """Whether an earlier contact counts towards this debt or number; not knowing which, it does."""
    match scope:
        case Scope.PERSON:
            return True
        case Scope.DEBT:
            return contact.debt is None or facts.debt is None or contact.debt == facts.debt
        case Scope.NUMBER:
            return contact.number is None or facts.number is None or contact.number == facts.number


_Free = Callable[[int, str], int]


def _settled(free: _Free, zones: tuple[str, ...], start: int) -> int:
    """The first whole minute at which every zone agrees; `start` itself if it is free."""
    now = start
    while True:
        latest = now
        for zone in zones:
            latest = max(latest, free(now, zone))
        if latest == now:
            return now
        now = -(-latest // _MINUTE) * _MINUTE


def _recent(facts: ContactFacts, period: Period, now: int, memo: Memo) -> tuple[Contact, ...]:
    """The contacts that a period of this length can still see; a zone's day may begin a day off."""
    key = (period.reach, now)
    found: tuple[Contact, ...] | None = memo.get(key)
    if found is None:
        earliest = now - period.reach
        found = memo[key] = tuple(c for c in facts.contacts if c.at >= earliest)
    return found

"""Conduct rules: jurisdiction rules as data that the gate enforces.

A pack is a dated list of rules with their sources. A rule of a clock kind answers one question,
`first_allowed`: the earliest instant, not before a given one, at which it alone would let the
contact happen. Its bounds are exclusive at both ends on a one-minute grid: a window 08:00-20:00
admits 08:01 to 19:59, and a deferral lands one minute after opening.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

from agent.domain.calendar import instant, local_date, local_time

HORIZON = timedelta(days=15)
MINUTE = timedelta(minutes=1)
ALL_CHANNELS = ("sms", "push")


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What clock rules look at. `history` holds the instants of the person's counted notices."""

    zones: tuple[str, ...]
    history: tuple[datetime, ...]
    guard: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Source:
    clause: str
    phrase: str
    mark: str


class ConductRule(Protocol):
    """A rule that can be asked when a contact may happen."""

    @property
    def id(self) -> str: ...

    @property
    def channels(self) -> tuple[str, ...]: ...

    @property
    def source(self) -> Source: ...

    def first_allowed(self, facts: ContactFacts, start: datetime) -> datetime | None:
        """Earliest instant ≥ `start` at which this rule passes; None beyond the horizon."""


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


@dataclass(frozen=True, slots=True)
class Pack:
    id: str
    version: str
    effective_from: date | None
    effective_to: date | None
    rules: tuple[ConductRule, ...]

    def in_force(self, day: date) -> bool:
        """Both bounds are inclusive local dates."""
        starts = self.effective_from is None or self.effective_from <= day
        return starts and (self.effective_to is None or day <= self.effective_to)


@dataclass(frozen=True, slots=True)
class PackProblem:
    rule: str
    what: str
    fix: str


def compile_pack(raw: Mapping[str, Any], version: str) -> Pack | tuple[PackProblem, ...]:
    """Compile a pack; one rule that cannot be enforced refuses the whole pack."""
    head = raw["pack"]
    rules: list[ConductRule] = []
    problems: list[PackProblem] = []
    for item in raw.get("rules", raw.get("rule", ())):
        rule = _compile_rule(item)
        if isinstance(rule, PackProblem):
            problems.append(rule)
        else:
            rules.append(rule)
    if problems:
        return tuple(problems)
    start, end = _date(head.get("effective_from")), _date(head.get("effective_to"))
    return Pack(str(head["id"]), version, start, end, tuple(rules))


def _date(value: object) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) and value else None


def _compile_rule(raw: Mapping[str, Any]) -> ConductRule | PackProblem:
    identity = str(raw.get("id", "?"))
    match raw.get("type"):
        case "contact_window":
            return _window(identity, raw)
        case "frequency_cap":
            return _cap(identity, raw)
        case other:
            fix = "use contact_window or frequency_cap, or upgrade Duly"
            return PackProblem(identity, f"this version cannot enforce rule type {other!r}", fix)


def _about(raw: Mapping[str, Any]) -> tuple[tuple[str, ...], Source]:
    source = raw.get("source", {})
    channels = tuple(raw.get("channels") or ALL_CHANNELS)
    return channels, Source(
        str(source.get("clause", "")), str(source.get("phrase", "")), str(source.get("mark", ""))
    )


def _window(identity: str, raw: Mapping[str, Any]) -> ConductRule | PackProblem:
    hours = raw.get("windows", {}).get("all_days")
    if not isinstance(hours, list) or len(hours) != 2:
        return PackProblem(
            identity, "no hours", 'write windows = { all_days = ["08:00", "20:00"] }'
        )
    opens, closes = (time.fromisoformat(str(hour)) for hour in hours)
    if opens >= closes:
        return PackProblem(identity, "the window closes before it opens", "swap the two times")
    channels, source = _about(raw)
    return ContactWindow(identity, channels, source, opens, closes)


def _cap(identity: str, raw: Mapping[str, Any]) -> ConductRule | PackProblem:
    count, period = raw.get("count"), raw.get("period")
    if not isinstance(count, int) or count < 1:
        return PackProblem(identity, "no count", "write count = 1 or more")
    channels, source = _about(raw)
    if isinstance(period, dict) and isinstance(period.get("local_dates"), int):
        return DailyCap(identity, channels, source, count, period["local_dates"])
    rolling = period.get("rolling") if isinstance(period, dict) else None
    if isinstance(rolling, str) and rolling.startswith("PT") and rolling.endswith("H"):
        return RollingCap(identity, channels, source, count, timedelta(hours=int(rolling[2:-1])))
    fix = 'write period = { local_dates = 7 } or { rolling = "PT24H" }'
    return PackProblem(identity, "no period", fix)


@dataclass(frozen=True, slots=True)
class ClockAnswer:
    """Every clock rule that fails now, and when all of them pass together (None: not in sight)."""

    failing: tuple[ConductRule, ...]
    until: datetime | None


def rules_in_force(packs: Iterable[Pack], day: date, channel: str) -> tuple[ConductRule, ...]:
    """The rules that bind a contact on this channel on this local day, in pack order."""
    return tuple(
        rule
        for pack in packs
        if pack.in_force(day)
        for rule in pack.rules
        if channel in rule.channels
    )


def ask(rules: Sequence[ConductRule], facts: ContactFacts, now: datetime) -> ClockAnswer:
    """All failing rules, and the first instant at which all rules pass together."""
    firsts = [rule.first_allowed(facts, now) for rule in rules]
    failing = tuple(rule for rule, at in zip(rules, firsts, strict=True) if at != now)
    return ClockAnswer(failing, _together(rules, facts, now) if failing else now)


def _together(rules: Sequence[ConductRule], facts: ContactFacts, now: datetime) -> datetime | None:
    at = now
    while at <= now + HORIZON:
        latest = at
        for rule in rules:
            first = rule.first_allowed(facts, at)
            if first is None:
                return None
            latest = max(latest, first)
        if latest == at:
            return at
        at = latest
    return None

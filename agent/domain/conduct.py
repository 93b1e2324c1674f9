"""Conduct rules: jurisdiction rules as data that the gate enforces.

A pack is a dated list of rules with their sources. A rule of a clock kind answers one question,
`first_allowed`: the earliest instant, not before a given one, at which it alone would let the
contact happen. All rules of all packs are asked; none can loosen another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from agent.domain.calendar import known_zone
from agent.domain.conduct_base import (
    ALL_CHANNELS,
    ALWAYS,
    HORIZON,
    HORIZON_SECONDS,
    Asker,
    Calendars,
    ConductRule,
    Contact,
    ContactFacts,
    Head,
    Memo,
    Pack,
    PackProblem,
    Quiet,
    Source,
    StateRule,
    Unknowable,
    When,
    passes,
)
from agent.domain.conduct_caps import Cap, ChannelCap, Cooldown
from agent.domain.conduct_compile import compile_pack
from agent.domain.conduct_house import ContactWindow, DailyCap, RollingCap
from agent.domain.conduct_window import (
    CALENDAR_MISSING,
    QuietPreference,
    WeekWindow,
    guard_of,
    is_open,
    open_asker,
)
from agent.domain.zonetime import (
    day_of,
    day_start,
    instant_of,
    local_day,
    seconds_of,
)

__all__ = [
    "ALL_CHANNELS", "BAD_ZONE", "CALENDAR_MISSING", "FACT_MISSING", "HORIZON", "NO_COMMON_WINDOW",
    "PACK_MISSING", "Calendars", "Cap", "ChannelCap", "ClockAnswer", "ConductRule", "Contact",
    "ContactFacts", "ContactWindow", "Cooldown", "DailyCap", "Head", "Pack", "PackProblem", "Quiet",
    "QuietPreference", "RollingCap", "Source", "StateRule", "WeekWindow", "ask", "compile_pack",
    "consult", "rules_in_force",
]  # fmt: skip

# The engine's own safe stops.
BAD_ZONE = "ENGINE-BAD-ZONE"
FACT_MISSING = "ENGINE-FACT-MISSING"
NO_COMMON_WINDOW = "ENGINE-NO-COMMON-WINDOW"
PACK_MISSING = "ENGINE-PACK-MISSING"


class ClockAnswer(NamedTuple):
    """Every clock rule that fails now, and when all of them pass together (None: not in sight).

    `stops` are the engine's own reasons to hold: what it could not know, or not find.
    """

    failing: tuple[ConductRule, ...]
    until: datetime | None
    stops: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """All of it by name, the engine's stops first."""
        return (*self.stops, *(rule.id for rule in self.failing))


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
    bound = tuple(_bound(rule, None, None) for rule in rules)
    asked = _askers(bound, facts, now, {})
    return _ask(asked, [], facts, now, seconds_of(now), guard_of(facts))


def consult(packs: tuple[Pack, ...], facts: ContactFacts, now: datetime) -> ClockAnswer:
    """Ask every rule of every pack that binds this contact, at `now` and, if it fails, later.

    The answer is complete: all failing rules, and the first whole minute within 15 days at which
    all rules pass together. What cannot be known is a stop, never a pass.
    """
    if not facts.zones or not all(map(known_zone, facts.zones)):
        return ClockAnswer((), None, (BAD_ZONE,))
    binding = _binding(packs, facts.channel, facts.role, facts.content_class)
    memo: Memo = {}
    begun, guard = seconds_of(now), guard_of(facts)
    if facts.flags or facts.consents:
        return _ask(_askers(binding.all, facts, now, memo), [], facts, now, begun, guard)
    together = [
        open_asker(windows, _with(facts.zones, clock), guard) for clock, windows in binding.groups
    ]
    others = _askers(binding.others, facts, now, memo)
    closed = () if _all_open(together, begun) else binding.windows
    return _ask(others, together, facts, now, begun, guard, closed)


def _with(zones: tuple[str, ...], clock: str | None) -> tuple[str, ...]:
    return zones if clock is None or clock in zones else (*zones, clock)


def _all_open(together: Sequence[Asker], now: int) -> bool:
    """Whether all plain windows are open now: the common case, one look-up."""
    try:
        return all(asker(now) == now for asker in together)
    except Unknowable:
        return False


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """A rule with the dates on which it binds: the narrower of its pack's and its own.

    `asked` is what answers for it: house hours are asked day by day like all others.
    """

    rule: ConductRule
    asked: ConductRule
    starts: int | None
    ends: int | None
    when: When
    waivable_by: str | None
    exempt: frozenset[str]

    @property
    def plain(self) -> bool:
        """Whether it is a window that binds always: no dates, no days past due."""
        undated = self.starts is None and self.ends is None
        dated = self.when.dpd_lte is not None or self.when.dpd_gte is not None
        return undated and not dated and isinstance(self.asked, WeekWindow)


@dataclass(frozen=True, slots=True, eq=False)
class _Binding:
    """The rules of some packs that bind one kind of contact; plain windows are asked as one a clock."""

    all: tuple[_Bound, ...]
    windows: tuple[_Bound, ...]
    groups: tuple[tuple[str | None, tuple[WeekWindow, ...]], ...]
    others: tuple[_Bound, ...]


@lru_cache(maxsize=4096)
def _binding(
    packs: tuple[Pack, ...], channel: str, role: str | None, content_class: str
) -> _Binding:
    bound = tuple(
        _bound(rule, pack.effective_from, pack.effective_to)
        for pack in packs
        for rule in pack.rules
        if channel in rule.channels and _concerns(rule, role, content_class)
    )
    plain = tuple(one for one in bound if one.plain)
    groups: dict[str | None, list[WeekWindow]] = {}
    for one in plain:
        if isinstance(one.asked, WeekWindow):
            groups.setdefault(one.asked.clock, []).append(one.asked)
    together = tuple((clock, tuple(windows)) for clock, windows in groups.items())
    return _Binding(bound, plain, together, tuple(one for one in bound if one not in plain))


def _concerns(rule: ConductRule, role: str | None, content_class: str) -> bool:
    head: Head | None = getattr(rule, "head", None)
    if head is None:
        return True
    who = role is None or role in head.who
    return who and head.when.content_class in (None, content_class)


def _bound(rule: ConductRule, starts: date | None, ends: date | None) -> _Bound:
    head: Head | None = getattr(rule, "head", None)
    asked = rule.weekly() if isinstance(rule, ContactWindow) else rule
    if head is None:
        return _Bound(rule, asked, _day(starts), _day(ends), ALWAYS, None, frozenset())
    firsts = [day for day in (starts, head.effective_from) if day is not None]
    lasts = [day for day in (ends, head.effective_to) if day is not None]
    return _Bound(
        rule, asked, _day(max(firsts, default=None)), _day(min(lasts, default=None)), head.when,
        head.waivable_by, head.exempt,
    )  # fmt: skip


def _day(day: date | None) -> int | None:
    return None if day is None else day_of(day)


_Asked = tuple[_Bound, Asker]


def _askers(
    bound: Iterable[_Bound], facts: ContactFacts, now: datetime, memo: Memo
) -> list[_Asked]:
    """The rules that bind this contact, each with its facts."""
    return [(one, _asker(one, facts, now, memo)) for one in bound if not _is_free(one, facts)]


def _is_free(one: _Bound, facts: ContactFacts) -> bool:
    """Exempt, waived, or under a condition that does not hold."""
    if one.exempt and one.exempt & facts.flags:
        return True
    if one.waivable_by is not None and one.waivable_by in facts.consents:
        return True
    return one.when is not ALWAYS and one.when.holds(facts) is False


def _asker(one: _Bound, facts: ContactFacts, now: datetime, memo: Memo) -> Asker:
    prepare = getattr(one.asked, "prepare", None)
    asker: Asker = _by_instants(one, facts, now) if prepare is None else prepare(facts, memo)
    if one.starts is None and one.ends is None:
        return asker
    return lambda at: _dated(one, asker, facts.zones, at)


def _by_instants(one: _Bound, facts: ContactFacts, now: datetime) -> Asker:
    """A rule that computes with instants: the fraction of the first second is kept."""
    begun = seconds_of(now)

    def first(at: int) -> int | None:
        start = now if at == begun else instant_of(at)
        found = one.asked.first_allowed(facts, start)
        if found is None or found == start:
            return None if found is None else at
        return ceil(found.timestamp())

    return first


def _dated(one: _Bound, asker: Asker, zones: tuple[str, ...], now: int) -> int | None:
    """A rule binds while any of the person's calendars shows one of its dates, both inclusive."""
    days = [local_day(now, zone) for zone in zones]
    if one.starts is not None and max(days) < one.starts:
        return now
    if one.ends is not None and min(days) > one.ends:
        return now
    first = asker(now)
    if first == now or one.ends is None:
        return first
    over = max(day_start(one.ends + 1, zone) for zone in zones)
    return over if first is None else min(first, over)


def _ask(
    asked: Sequence[_Asked],
    together: Sequence[Asker],
    facts: ContactFacts,
    now: datetime,
    begun: int,
    guard: int,
    windows: Sequence[_Bound] = (),
) -> ClockAnswer:
    """Ask every rule now; if one fails, look for when all pass.

    Of `windows` each says whether it is open; `together` says when all of them are.
    """
    asked = [(one, asker) for one, asker in asked if asker is not passes]
    failing: list[ConductRule] = []
    stops: dict[str, None] = {}
    for one in windows:
        try:
            if isinstance(one.asked, WeekWindow) and not is_open(one.asked, facts, guard, begun):
                failing.append(one.rule)
        except Unknowable as missing:
            stops[missing.stop] = None
    for one, asker in asked:
        try:
            if asker(begun) != begun:
                failing.append(one.rule)
                if one.when is not ALWAYS and one.when.holds(facts) is None:
                    stops[FACT_MISSING] = None
        except Unknowable as missing:
            stops[missing.stop] = None
    return _answer(failing, stops, [*together, *(asker for _, asker in asked)], now)


def _answer(
    failing: Sequence[ConductRule], stops: dict[str, None], askers: Sequence[Asker], now: datetime
) -> ClockAnswer:
    rules = tuple(failing)
    if stops:
        return ClockAnswer(rules, None, tuple(stops))
    if not rules:
        return ClockAnswer((), now)
    try:
        until = _together(askers, seconds_of(now))
    except Unknowable as missing:
        return ClockAnswer(rules, None, (missing.stop,))
    if until is None:
        return ClockAnswer(rules, None, (NO_COMMON_WINDOW,))
    return ClockAnswer(rules, instant_of(until))


def _together(askers: Sequence[Asker], now: int) -> int | None:
    """Each rule's own first second is never later than the common one, so the latest closes in."""
    at = now
    while at <= now + HORIZON_SECONDS:
        latest = at
        for asker in askers:
            first = asker(latest)
            if first is None:
                return None
            latest = first
        if latest == at:
            return at
        at = latest
    return None

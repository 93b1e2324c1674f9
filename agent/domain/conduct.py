"""Conduct rules: jurisdiction rules as data that the gate enforces.

A pack is a dated list of rules with their sources. A rule of a clock kind answers one question,
`first_allowed`: the earliest instant, not before a given one, at which it alone would let the
contact happen. All rules of all packs are asked; none can loosen another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from agent.domain.calendar import known_zone
from agent.domain.conduct_base import (
    ALL_CHANNELS,
    ALWAYS,
    HORIZON,
    Calendars,
    ConductRule,
    Contact,
    ContactFacts,
    Head,
    Pack,
    PackProblem,
    Quiet,
    Source,
    StateRule,
    Unknowable,
    When,
)
from agent.domain.conduct_caps import Cap, ChannelCap, Cooldown
from agent.domain.conduct_compile import compile_pack
from agent.domain.conduct_house import ContactWindow, DailyCap, RollingCap
from agent.domain.conduct_window import CALENDAR_MISSING, QuietPreference, WeekWindow, open_together
from agent.domain.zonetime import (
    DAY_SECONDS,
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


@dataclass(frozen=True, slots=True)
class ClockAnswer:
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
    return _ask(tuple(_bound(rule, None, None) for rule in rules), facts, now)


def consult(packs: tuple[Pack, ...], facts: ContactFacts, now: datetime) -> ClockAnswer:
    """Ask every rule of every pack that binds this contact, at `now` and, if it fails, later.

    The answer is complete: all failing rules, and the first whole minute within 15 days at which
    all rules pass together. What cannot be known is a stop, never a pass.
    """
    if not facts.zones or not all(known_zone(zone) for zone in facts.zones):
        return ClockAnswer((), None, (BAD_ZONE,))
    binding = _binding(packs, facts.channel, facts.role, facts.content_class)
    if (
        binding.windows
        and not facts.flags
        and not facts.consents
        and _all_open(binding, facts, now)
    ):
        return _ask(binding.others, facts, now, binding.all)
    return _ask(binding.all, facts, now)


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """A rule with the dates on which it binds: the narrower of its pack's and its own."""

    rule: ConductRule
    starts: int | None
    ends: int | None
    when: When
    waivable_by: str | None
    exempt: frozenset[str]

    @property
    def plain(self) -> bool:
        """Whether it binds always: no dates, no days past due."""
        undated = self.starts is None and self.ends is None
        return undated and self.when.dpd_lte is None and self.when.dpd_gte is None


@dataclass(frozen=True, slots=True, eq=False)
class _Binding:
    """The rules of some packs that bind one kind of contact; its plain windows are asked as one."""

    all: tuple[_Bound, ...]
    windows: tuple[WeekWindow, ...]
    others: tuple[_Bound, ...]
    clocks: tuple[str, ...]


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
    plain = [one for one in bound if one.plain and isinstance(one.rule, WeekWindow)]
    windows = tuple(one.rule for one in plain if isinstance(one.rule, WeekWindow))
    clocks = tuple(dict.fromkeys(w.clock for w in windows if w.clock is not None))
    return _Binding(bound, windows, tuple(one for one in bound if one not in plain), clocks)


def _concerns(rule: ConductRule, role: str | None, content_class: str) -> bool:
    head: Head | None = getattr(rule, "head", None)
    if head is None:
        return True
    who = role is None or role in head.who
    return who and head.when.content_class in (None, content_class)


def _bound(rule: ConductRule, starts: date | None, ends: date | None) -> _Bound:
    head: Head | None = getattr(rule, "head", None)
    if head is None:
        return _Bound(rule, _day(starts), _day(ends), ALWAYS, None, frozenset())
    firsts = [day for day in (starts, head.effective_from) if day is not None]
    lasts = [day for day in (ends, head.effective_to) if day is not None]
    return _Bound(
        rule, _day(max(firsts, default=None)), _day(min(lasts, default=None)), head.when,
        head.waivable_by, head.exempt,
    )  # fmt: skip


def _day(day: date | None) -> int | None:
    return None if day is None else day_of(day)


def _all_open(binding: _Binding, facts: ContactFacts, now: datetime) -> bool:
    """Whether every plain window is open at once in every zone: the common case, one look-up."""
    zones = facts.zones
    if binding.clocks:
        zones = tuple(dict.fromkeys((*zones, *binding.clocks)))
    at, guard = seconds_of(now), int(facts.guard.total_seconds())
    try:
        spans = open_together(binding.windows, zones, at // DAY_SECONDS)
    except Unknowable:
        return False
    return any(begun <= at < ended - guard for begun, ended in spans)


def _ask(
    bound: tuple[_Bound, ...],
    facts: ContactFacts,
    now: datetime,
    later: tuple[_Bound, ...] | None = None,
) -> ClockAnswer:
    """Ask `bound` now; if one fails, look with `later` for when all pass (default: the same)."""
    failing: list[ConductRule] = []
    stops: dict[str, None] = {}
    for one in bound:
        try:
            if _passes_at(one, facts, now) is not now:
                failing.append(one.rule)
                if _unsure(one, facts):
                    stops[FACT_MISSING] = None
        except Unknowable as missing:
            stops[missing.stop] = None
    if stops or not failing:
        return ClockAnswer(tuple(failing), None if stops else now, tuple(stops))
    try:
        until = _together(bound if later is None else later, facts, now)
    except Unknowable as missing:
        return ClockAnswer(tuple(failing), None, (missing.stop,))
    return ClockAnswer(tuple(failing), until, () if until is not None else (NO_COMMON_WINDOW,))


def _unsure(one: _Bound, facts: ContactFacts) -> bool:
    return one.when.holds(facts) is None


def _passes_at(one: _Bound, facts: ContactFacts, start: datetime) -> datetime | None:
    """When this rule passes first: at once where it does not bind or is waived."""
    if one.exempt and one.exempt & facts.flags:
        return start
    if one.waivable_by is not None and one.waivable_by in facts.consents:
        return start
    if one.when is not ALWAYS and one.when.holds(facts) is False:
        return start
    if one.starts is None and one.ends is None:
        first = one.rule.first_allowed(facts, start)
        return start if first == start else first
    return _dated(one, facts, start)


def _dated(one: _Bound, facts: ContactFacts, start: datetime) -> datetime | None:
    """A rule binds while any of the person's calendars shows one of its dates, both inclusive."""
    now = seconds_of(start)
    days = [local_day(now, zone) for zone in facts.zones]
    if one.starts is not None and max(days) < one.starts:
        return start
    if one.ends is not None and min(days) > one.ends:
        return start
    first = one.rule.first_allowed(facts, start)
    if first == start or one.ends is None:
        return start if first == start else first
    over = instant_of(max(day_start(one.ends + 1, zone) for zone in facts.zones))
    return over if first is None else min(first, over)


def _together(bound: tuple[_Bound, ...], facts: ContactFacts, now: datetime) -> datetime | None:
    """Each rule's own first instant is never later than the common one, so the latest closes in."""
    at = now
    while at <= now + HORIZON:
        latest = at
        for one in bound:
            first = _passes_at(one, facts, at)
            if first is None:
                return None
            latest = max(latest, first)
        if latest == at:
            return at
        at = latest
    return None

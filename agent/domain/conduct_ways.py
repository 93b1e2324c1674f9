"""State rules at the moment of sending: may this message go to this person by this way?

Here nothing is left open: a condition that cannot be answered because a fact is missing is a hold that
names the fact. So a rule holds, denies or defers a way, or has nothing against it; none opens one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from agent.domain.conduct_base import Pack, StateRule
from agent.domain.conduct_state import Ruling, finding, meets, unknown_of
from agent.domain.conduct_window import QuietPreference
from agent.domain.zonetime import day_of, local_day, seconds_of

# A fact that a rule needs and that nobody told: the rest of the name says which.
FACT_UNKNOWN = "ENGINE-FACT-MISSING:"
# What a rule may want before something else than a message, such as a report to a bureau.
MESSAGE = "message"

Named = tuple[tuple[str, Any], ...]


class Way(NamedTuple):
    """What is known of one way to a person, by the names that rules use; a name left out is not known.

    `evidence` is of the person's number: consents, and the days since it was known to be theirs.
    """

    point: int
    evidence: Named = ()


class Objection(NamedTuple):
    """A rule that is against it; `missing` names the fact for want of which it has to be."""

    rule: str
    ruling: Ruling
    until: datetime | None = None
    missing: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """As decisions store it."""
        return (self.rule,) if self.missing is None else (FACT_UNKNOWN + self.missing, self.rule)


@dataclass(frozen=True, slots=True, eq=False)
class _Dated:
    rule: StateRule
    starts: int | None
    ends: int | None


@dataclass(frozen=True, slots=True, eq=False)
class _Binding:
    """The state rules that bind messages by one channel, by what they look at."""

    evidence: tuple[_Dated, ...]
    holds: tuple[_Dated, ...]


_EVIDENCE = frozenset({"consent_required", "revalidate"})
_HOLD = "hold"


@lru_cache(maxsize=4096)
def _binding(packs: tuple[Pack, ...], channel: str, role: str | None) -> _Binding | None:
    bound = [
        _dated(pack, rule)
        for pack in packs
        for rule in pack.states
        if channel in rule.channels and (role is None or role in rule.head.who)
    ]
    evidence = tuple(
        one
        for one in bound
        if one.rule.head.type in _EVIDENCE and one.rule.params.get("before", MESSAGE) == MESSAGE
    )
    holds = tuple(one for one in bound if one.rule.head.type == _HOLD)
    return _Binding(evidence, holds) if evidence or holds else None


def _dated(pack: Pack, rule: StateRule) -> _Dated:
    firsts = [day for day in (pack.effective_from, rule.head.effective_from) if day is not None]
    lasts = [day for day in (pack.effective_to, rule.head.effective_to) if day is not None]
    starts, ends = max(firsts, default=None), min(lasts, default=None)
    return _Dated(
        rule, None if starts is None else day_of(starts), None if ends is None else day_of(ends)
    )


def _in_force(rules: Iterable[_Dated], zones: Sequence[str], now: datetime) -> Iterator[StateRule]:
    """A rule binds while any of the person's calendars shows one of its dates."""
    for one in rules:
        if one.starts is None and one.ends is None:
            yield one.rule
            continue
        days = [local_day(seconds_of(now), zone) for zone in zones]
        begun = one.starts is None or (days != [] and max(days) >= one.starts)
        if begun and (one.ends is None or days == [] or min(days) <= one.ends):
            yield one.rule


@lru_cache(maxsize=1024)
def facts_asked(packs: tuple[Pack, ...], role: str | None) -> frozenset[str]:
    """The names of the facts that rules of these packs may ask for at dispatch."""
    names: set[str] = set()
    for pack in packs:
        for rule in pack.states:
            if role is None or role in rule.head.who:
                names.update(_asked_by(rule))
        for clock in pack.rules:
            head = getattr(clock, "head", None)
            if isinstance(clock, QuietPreference):
                names.add("quiet")
            if head is not None and head.waivable_by is not None:
                names.add("waivers")
    return frozenset(names)


def _asked_by(rule: StateRule) -> Iterator[str]:
    match rule.head.type:
        case "consent_required" if rule.params.get("before", MESSAGE) == MESSAGE:
            yield rule.params["fact"]
        case "revalidate":
            yield from rule.params["evidence_days"]


def objections(
    packs: tuple[Pack, ...],
    channel: str,
    role: str | None,
    way: Way,
    zones: Sequence[str],
    now: datetime,
) -> Iterator[Objection]:
    """Every rule that is against this way now."""
    bound = _binding(packs, channel, role)
    if bound is None:
        return
    if bound.evidence:
        facts = dict(way.evidence)
        for rule in _in_force(bound.evidence, zones, now):
            if (against := _against(rule, facts)) is not None:
                yield _for_role(against, rule, role)


def held_by(
    packs: tuple[Pack, ...],
    channel: str,
    role: str | None,
    held: Sequence[Mapping[str, Any]],
    zones: Sequence[str],
    now: datetime,
) -> Iterator[Objection]:
    """What rules make of the holds on a person: they may deny what a hold only puts off."""
    bound = _binding(packs, channel, role)
    if bound is None or not held:
        return
    facts = {"holds": held, "at": now, "message_type": MESSAGE}
    for rule in _in_force(bound.holds, zones, now):
        found = finding(rule, facts, {})
        if found is not None and found.ruling > Ruling.DEADLINE:
            against = Objection(rule.id, found.ruling, found.detail.get("until"))
            yield _for_role(against, rule, role)


def _for_role(against: Objection, rule: StateRule, role: str | None) -> Objection:
    """Whose debt it is not being known, a rule for one side only may bind: nobody can say."""
    if role is not None or len(rule.head.who) > 1:
        return against
    if against.ruling is Ruling.DEFER:
        return against
    return Objection(rule.id, Ruling.HOLD, None, against.missing or "role")


def _against(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    match rule.head.type:
        case "consent_required":
            return _without_consent(rule, facts)
        case "revalidate":
            return _out_of_date(rule, facts)
        case other:
            raise AssertionError(f"{other} is not asked at dispatch")


def _without_consent(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    conditions, fact = rule.params.get("when", {}), rule.params["fact"]
    if meets(conditions, facts) is False or facts.get(fact):
        return None
    missing = unknown_of(conditions, facts) or (None if fact in facts else fact)
    if missing is not None:
        return Objection(rule.id, Ruling.HOLD, None, missing)
    return Objection(rule.id, Ruling.DENY)


def _out_of_date(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    """No evidence at all is none that is recent enough: it waits until somebody checks."""
    told = [facts.get(name) for name in rule.params["evidence_days"]]
    ages = [age for age in told if age is not None]
    if ages and min(ages) <= rule.params["max_age_days"]:
        return None
    return Objection(rule.id, Ruling.HOLD)


def days_since(then: date | None, today: date) -> int | None:
    """Whole days since a date; what is dated in the future is no evidence yet."""
    if then is None or then > today:
        return None
    return (today - then).days

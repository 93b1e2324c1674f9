"""State rules at the moment of sending: may this message go to this person by this way?

Here nothing is left open: a condition that cannot be answered because a fact is missing is a hold that
names the fact. So a rule holds, denies or defers a way, or has nothing against it; none opens one.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from agent.domain.calendar import instant, local_date
from agent.domain.conduct_asked import TEXT_RULES, Binding, binding_of, done_fact
from agent.domain.conduct_base import Pack, StateRule
from agent.domain.conduct_ruling import (
    AGENT_CONTACT,
    MESSAGE,
    Finding,
    Ruling,
    meets,
    unknown_of,
)
from agent.domain.conduct_state import finding, speaks_of_any
from agent.domain.content import MARKS

# A fact that a rule needs and that nobody told: the rest of the name says which.
FACT_UNKNOWN = "ENGINE-FACT-MISSING:"
BORROWER = "borrower"

Named = tuple[tuple[str, Any], ...]


class Way(NamedTuple):
    """What is known of one way to a person, by the names that rules use; a name left out is not known.

    `evidence` is of the person's number: consents, and the days since it was known to be theirs. `said`
    is of the message and its route, with the text as `body`; few of them differ, so answers are kept.
    `text` names the text (`en/overdue-1`), `content_class` is what its words make of it.
    """

    point: int
    evidence: Named = ()
    said: Named = ()
    content_class: str = "collection"
    text: str | None = None


class Tried(NamedTuple):
    """How an earlier attempt ended, and whether it was about this debt and to this number."""

    outcome: str
    this_debt: bool = True
    this_number: bool = True


class Objection(NamedTuple):
    """A rule that is against it; `missing` names the fact for want of which it has to be."""

    rule: str
    ruling: Ruling
    until: datetime | None = None
    missing: str | None = None
    # the text breaks it, whoever would get it
    of_text: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """As decisions store it."""
        return (self.rule,) if self.missing is None else (FACT_UNKNOWN + self.missing, self.rule)


def objections(
    packs: tuple[Pack, ...],
    channel: str,
    role: str | None,
    way: Way,
    zones: Sequence[str],
    now: datetime,
) -> Iterator[Objection]:
    """Every rule that is against this way now."""
    bound = binding_of(packs, channel, role)
    if bound is None:
        return
    if bound.said:
        yield from _against_said(bound.said.on(zones, now), way.said, role)
    running = bool(bound.deadlines) and any(name in bound.starts for name, _ in way.evidence)
    if bound.notices or bound.evidence or running:
        found = _of_person(bound, way, zones, now, overdue_too=running)
        yield from (_for_role(against, rule, role) for rule, against in found)


def _of_person(
    bound: Binding, way: Way, zones: Sequence[str], now: datetime, *, overdue_too: bool
) -> Iterator[tuple[StateRule, Objection]]:
    """What speaks against it by what is known of this person and loan."""
    facts = dict(way.evidence)
    for rule in bound.notices.on(zones, now):
        if (against := _untold(rule, facts, zones, now)) is not None:
            yield rule, against
    if not bound.evidence and not overdue_too:
        return
    # what a consent is wanted for may depend on what the text says
    facts = dict(way.said)
    facts.update(way.evidence)
    for rule in bound.evidence.on(zones, now):
        if (against := _against(rule, facts)) is not None:
            yield rule, against
    for rule in bound.deadlines.on(zones, now) if overdue_too else ():
        if (against := overdue(rule, facts, zones, now)) is not None:
            yield rule, against


@lru_cache(maxsize=65_536)
def _against_said(
    rules: tuple[StateRule, ...], said: Named, role: str | None
) -> tuple[Objection, ...]:
    facts = dict(said)
    found = ((rule, _against(rule, facts)) for rule in rules)
    return tuple(
        _for_role(against, rule, role)._replace(of_text=rule.head.type in TEXT_RULES)
        for rule, against in found
        if against is not None
    )


def held_by(
    packs: tuple[Pack, ...],
    channel: str,
    role: str | None,
    held: Sequence[Mapping[str, Any]],
    zones: Sequence[str],
    now: datetime,
    stated: Named = (),
) -> Iterator[Objection]:
    """What rules make of the holds on a person: they may deny what a hold only puts off."""
    bound = binding_of(packs, channel, role)
    if bound is None or not held:
        return
    facts = {**dict(stated), "holds": held, "at": now, "message_type": MESSAGE}
    for rule in bound.holds.on(zones, now):
        found = finding(rule, facts, {})
        if found is not None and found.ruling > Ruling.DEADLINE:
            against = Objection(rule.id, found.ruling, found.detail.get("until"))
            yield _for_role(against, rule, role)


def closed_by_opt_out(
    packs: tuple[Pack, ...], channel: str, role: str | None, zones: Sequence[str], now: datetime
) -> Iterator[Objection]:
    """The rules by which an opt-out of this address closes it; the house closes it without any."""
    bound = binding_of(packs, channel, role)
    if bound is not None and bound.opt_outs:
        for rule in bound.opt_outs.on(zones, now):
            yield Objection(rule.id, Ruling.DENY)


def _for_role(against: Objection, rule: StateRule, role: str | None) -> Objection:
    """Whose debt it is not being known, a rule for one side only may bind: nobody can say."""
    if role is not None:
        return against
    if rule.params.get("before") == AGENT_CONTACT:
        return Objection(rule.id, Ruling.HOLD, None, "role")
    if len(rule.head.who) > 1:
        return against
    if against.ruling is Ruling.DEFER:
        return against
    return Objection(rule.id, Ruling.HOLD, None, against.missing or "role")


def against_text(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    """What a rule about texts says of one; whoever looks back asks it as dispatch did."""
    return _against(rule, facts)


def _against(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    match rule.head.type:
        case "consent_required":
            return _without_consent(rule, facts)
        case "revalidate":
            return _out_of_date(rule, facts)
        case "required_content":
            return _unsaid(rule, facts)
        case "third_party_contact":
            return _told_to_others(rule, facts)
        case "forbidden_content" | "deliverability" | "step_gate" | "accuracy" | "amount_limit":
            return under_conditions(rule, facts)
        case "attempt_limit":
            return _tried_too_often(rule, facts)
        case other:
            raise AssertionError(f"{other} is not asked at dispatch")


def under_conditions(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    """It is against what its conditions describe; `allows` and words that are not said lift it."""
    conditions, allows = rule.params["when"], rule.params.get("allows")
    if meets(conditions, facts) is False or (allows is not None and meets(allows, facts)):
        return None
    missing = unknown_of(conditions, facts)
    words = rule.params.get("words_from")
    if words is not None and {words, "body"} <= facts.keys():
        if not speaks_of_any(facts[words], facts["body"]):
            return None
    elif words is not None:
        missing = words if words not in facts else "body"
    if missing is not None:
        return Objection(rule.id, Ruling.HOLD, None, missing)
    # a step that something must come before waits for it; what a text says stays said
    mildest = "hold" if rule.head.type == "step_gate" else "deny"
    return Objection(rule.id, Ruling[str(rule.params.get("effect", mildest)).upper()])


def _tried_too_often(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    """Too many of the outcomes that the rule counts, one after the other, since one that resets it."""
    if "when" in rule.params and (against := under_conditions(rule, facts)) is not None:
        return against
    if "counts" not in rule.params:
        return None
    if "tries" not in facts:
        return Objection(rule.id, Ruling.HOLD, None, "tries")
    allows = rule.params.get("allows")
    if allows is not None and meets(allows, facts):
        return None
    in_a_row = failed_in_a_row(rule, facts["tries"])
    if in_a_row < rule.params["max"]:
        return None
    return Objection(rule.id, Ruling[str(rule.params.get("effect", "deny")).upper()])


def failed_in_a_row(rule: StateRule, tries: Sequence[Tried]) -> int:
    """How many of these tries, oldest first, count since the newest that resets the count."""
    counts, resets, scope = (rule.params.get(name) for name in ("counts", "reset_by", "scope"))
    found = 0
    for one in tries:
        if (scope == "debt" and not one.this_debt) or (scope == "number" and not one.this_number):
            continue
        if one.outcome in (counts or ()):
            found += 1
        elif resets is None or one.outcome in resets:
            found = 0
    return found


def _untold(
    rule: StateRule, facts: Mapping[str, Any], zones: Sequence[str], now: datetime
) -> Objection | None:
    """Before the person was told, and had the days that the rule gives, nobody writes to them.

    A notice that is dated in the future was not given yet. A day is over when it is in every zone.
    """
    told, days = facts.get(rule.params["fact"]), rule.params.get("min_days", 0)
    if told is None:
        return Objection(rule.id, Ruling.HOLD, None, rule.params["fact"])
    if told is False:
        return Objection(rule.id, Ruling.DENY)
    if not isinstance(told, date):
        # it was, and nobody says when: that is enough only where no days are given
        return Objection(rule.id, Ruling.HOLD, None, rule.params["fact"]) if days else None
    free = told + timedelta(days=days)
    until = max(instant(free, time(0), zone) for zone in zones or ("UTC",))
    return None if until <= now else Objection(rule.id, Ruling.DEFER, until)


def _unsaid(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    """Read from the text that would leave: that somebody states what it says makes no text say it."""
    conditions = rule.params.get("when", {})
    if meets(conditions, facts) is False:
        return None
    body = facts.get("body")
    if body is not None and MARKS[rule.params["element"]](body):
        return None
    missing = unknown_of(conditions, facts) or ("body" if body is None else None)
    if missing is not None:
        return Objection(rule.id, Ruling.HOLD, None, missing)
    return Objection(rule.id, Ruling.DENY)


def overdue(
    rule: StateRule, facts: Mapping[str, Any], zones: Sequence[str], now: datetime
) -> Objection | None:
    """Past the deadline of a duty nothing goes out until somebody says that it was done."""
    done = done_fact(rule)
    if facts.get(rule.params["from"]) is None or facts.get(done):
        return None
    found = _deadline_of(rule, facts)
    if found is None:
        return None
    if found.ruling is not Ruling.DEADLINE:
        return Objection(found.rule, found.ruling)
    if max(local_date(now, zone) for zone in zones or ("UTC",)) <= found.detail["deadline"]:
        return None
    missing = unknown_of(rule.params.get("when", {}), facts) or (None if done in facts else done)
    return Objection(rule.id, Ruling.DENY if missing is None else Ruling.HOLD, None, missing)


def _deadline_of(rule: StateRule, facts: Mapping[str, Any]) -> Finding | None:
    calendars = {} if rule.calendar is None else {str(rule.params["calendar"]): rule.calendar}
    return finding(rule, facts, calendars)


def _told_to_others(rule: StateRule, facts: Mapping[str, Any]) -> Objection | None:
    """Somebody else may be written to only if the rule has nothing against it; not knowing whom, nobody."""
    if "target" not in facts:
        return Objection(rule.id, Ruling.HOLD, None, "target")
    if facts["target"] in (BORROWER, *rule.params.get("not_for", ())):
        return None
    if meets(rule.params.get("unless", {"never": True}), facts):
        return None
    conditions: Mapping[str, Any] = rule.params["deny_if"]
    if any(meets({name: value}, facts) for name, value in conditions.items()):
        return Objection(rule.id, Ruling.DENY)
    missing = unknown_of(conditions, facts)
    return None if missing is None else Objection(rule.id, Ruling.HOLD, None, missing)


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

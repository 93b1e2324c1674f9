"""Prior notice: nothing adverse leaves before the person was told, and had the days that a rule gives.

A day is over when it is over in every zone the person may be in. What is not proven sent told nobody,
and a message that bounced told nobody: the days begin with the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from agent.domain.calendar import instant, local_date
from agent.domain.conduct import Pack, StateRule
from agent.domain.conduct_asked import LOAN_FACTS
from agent.domain.conduct_ruling import REPORTING, Finding, Ruling, facts_named
from agent.domain.conduct_state import finding
from agent.domain.conduct_ways import overdue, under_conditions
from agent.domain.delivery import AttemptState
from agent.domain.outcome import OutcomeType

# What the ledger may pass on to a bureau against the person.
ADVERSE = frozenset({OutcomeType.DELINQUENT.value, OutcomeType.CHARGE_OFF.value})

_REACHED = frozenset({AttemptState.ACCEPTED, AttemptState.SENT, AttemptState.DELIVERED})
_BOUNCED = frozenset({AttemptState.UNDELIVERED, AttemptState.FAILED})


@dataclass(frozen=True, slots=True)
class Given:
    """A notice on its way to the person, or given to them by staff."""

    on: date
    bounced: bool = False


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Why something adverse may not leave yet; `until` is None while nothing brings the end nearer."""

    rules: tuple[str, ...]
    until: datetime | None = None
    # no date and nobody's word lets it go: it is not to be told at all
    never: bool = False


def given_by(state: str, at: datetime, zones: Sequence[str]) -> Given | None:
    """What an attempt of the notice amounts to; None if nothing shows that it went out.

    It counts from the latest of the dates that it bears where the person may be.
    """
    if state not in _REACHED and state not in _BOUNCED:
        return None
    return Given(max(local_date(at, zone) for zone in zones), state in _BOUNCED)


def notice_rules(packs: Iterable[Pack], day: date) -> tuple[StateRule, ...]:
    """The rules in force that want a notice before an adverse report."""
    return _rules_of(packs, day, "prior_notice")


def _rules_of(packs: Iterable[Pack], day: date, kind: str) -> tuple[StateRule, ...]:
    return tuple(
        rule
        for pack in packs
        if pack.in_force(day)
        for rule in pack.states
        if rule.head.type == kind
        and rule.params.get("before") in REPORTING
        and _in_force(rule, day)
    )


def _in_force(rule: StateRule, day: date) -> bool:
    starts, ends = rule.head.effective_from, rule.head.effective_to
    return (starts is None or starts <= day) and (ends is None or day <= ends)


def held_back(
    packs: Iterable[Pack],
    given: Sequence[Given],
    zones: Sequence[str],
    now: datetime,
    role: str | None = None,
) -> HeldBack | None:
    """Why something adverse may not leave now, with every rule that says so; None if it may.

    While nobody said whose debt it is, the rules for the lender's own and for others' both bind.

    Today is the earliest date that any zone of the person shows: there the days are over last.
    """
    today = min(local_date(now, zone) for zone in zones)
    rules = [r for r in notice_rules(packs, today) if role is None or role in r.head.who]
    found = [_asked(rule, given, today) for rule in rules]
    against = [one for one in found if one is not None and one.ruling is not Ruling.ALLOW]
    if not against:
        return None
    names = tuple(dict.fromkeys(one.rule for one in against))
    days = [one.detail.get("until_date") for one in against]
    ends = [_free(day, zones) for day in days if day is not None]
    return HeldBack(names, max(ends) if len(ends) == len(against) else None)


def lacking_consent(
    packs: Iterable[Pack],
    stated: Mapping[str, Any],
    zones: Sequence[str],
    now: datetime,
    role: str | None = None,
) -> tuple[str, ...]:
    """The rules without whose consent nothing is reported; one that nobody told of is none."""
    today = min(local_date(now, zone) for zone in zones)
    return tuple(
        rule.id
        for rule in _rules_of(packs, today, "consent_required")
        if (role is None or role in rule.head.who) and stated.get(rule.params["fact"]) is not True
    )


# Rules that look at what is reported, and not at what was done before it.
_OF_CONTENT = ("accuracy", "amount_limit", "attempt_limit", "step_gate")
# What Duly itself knows of an account that is reported; the ledger states the rest.
OWN_OF_REPORT = LOAN_FACTS | {"status", "grade", "stage", "role"}


def objected(
    packs: Iterable[Pack],
    facts: Mapping[str, Any],
    zones: Sequence[str],
    now: datetime,
    role: str | None = None,
) -> HeldBack | None:
    """What speaks against telling this of this account: an amount, a status, an open dispute, a step.

    A fact that a rule needs and nobody states holds it back by name. What only Duly's own figures decide
    nobody can put right: that is never told.
    """
    today = min(local_date(now, zone) for zone in zones)
    bound = list(packs)
    asked = [
        *((rule, under_conditions(rule, facts)) for rule in _of_content(bound, today, role)),
        # what should have been done about this account by now comes first
        *((rule, overdue(rule, facts, zones, now)) for rule in _deadlines(bound, today, role)),
    ]
    found = [(rule, against) for rule, against in asked if against is not None]
    if not found:
        return None
    names = dict.fromkeys(name for _, against in found for name in against.names)
    never = any(against.ruling is Ruling.DENY and _is_final(rule) for rule, against in found)
    return HeldBack(tuple(names), None, never)


def _of_content(packs: Sequence[Pack], day: date, role: str | None) -> Iterator[StateRule]:
    for kind in _OF_CONTENT:
        yield from (r for r in _rules_of(packs, day, kind) if role is None or role in r.head.who)


def _deadlines(packs: Sequence[Pack], day: date, role: str | None) -> Iterator[StateRule]:
    for pack in packs:
        for rule in pack.states if pack.in_force(day) else ():
            bound = role is None or role in rule.head.who
            if bound and rule.head.type == "deadline" and _in_force(rule, day):
                yield rule


def _is_final(rule: StateRule) -> bool:
    if "when" not in rule.params or rule.head.type == "deadline":
        return False
    return all(name in OWN_OF_REPORT for name in facts_named(rule.params["when"]))


def both(one: HeldBack | None, other: HeldBack | None) -> HeldBack | None:
    """Held back by either: until the later end, if both have one."""
    if one is None or other is None:
        return one or other
    ends = None if one.until is None or other.until is None else max(one.until, other.until)
    rules = tuple(dict.fromkeys((*one.rules, *other.rules)))
    return HeldBack(rules, ends, one.never or other.never)


def _asked(rule: StateRule, given: Sequence[Given], today: date) -> Finding | None:
    """Put to one rule the notice that speaks most for letting go: the oldest that did not bounce."""
    arrived = sorted(one.on for one in given if not one.bounced)
    bounced = sorted(one.on for one in given if one.bounced)
    told: Any = arrived[0] if arrived else bounced[-1] if bounced else None
    if "min_days" not in rule.params:
        told = bool(arrived)
    facts = {
        rule.params["fact"]: told,
        rule.params.get("act_on", "furnish_on"): today,
        "bounced": bool(bounced and not arrived),
    }
    return finding(rule, facts, {})


def _free(day: date, zones: Sequence[str]) -> datetime:
    return max(instant(day, time(0), zone) for zone in zones)

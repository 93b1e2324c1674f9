"""Prior notice: nothing adverse leaves before the person was told, and had the days that a rule gives.

A day is over when it is over in every zone the person may be in. What is not proven sent told nobody,
and a message that bounced told nobody: the days begin with the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from agent.domain.calendar import instant, local_date
from agent.domain.conduct import Pack, StateRule
from agent.domain.conduct_ruling import Finding, Ruling
from agent.domain.conduct_state import finding
from agent.domain.delivery import AttemptState
from agent.domain.ladder_compile import BUREAU_REPORT
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
        and rule.params.get("before") == BUREAU_REPORT
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

"""By when the law wants something done: the rules of a person's packs, from the day that it began.

A calendar that nobody confirmed cannot tell the holidays, so none is counted: whoever keeps the earlier
date keeps the law's. The last day ends first where the person's day ends first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from agent.domain.calendar import instant
from agent.domain.conduct_asked import done_fact
from agent.domain.conduct_base import Pack, StateRule
from agent.domain.conduct_ruling import Ruling
from agent.domain.conduct_state import finding

# What Duly itself learns of a fact that deadlines count from: a flag, or what a reply is about.
FACT_OF = {"dispute": "objection_received", "complaint": "complaint_received"}
FIRST_WORD = "initial_communication"


@dataclass(frozen=True, slots=True)
class Due:
    """A duty with its last day. `guessed`: the calendar could not be relied on, so the day is earlier."""

    rule: str
    duty: str
    done: str
    on: date
    guessed: bool = False


def deadline_rules(packs: Iterable[Pack], role: str | None) -> Iterator[tuple[Pack, StateRule]]:
    """The deadlines of some packs that bind whoever collects here."""
    for pack in packs:
        for rule in pack.states:
            if rule.head.type == "deadline" and (role is None or role in rule.head.who):
                yield pack, rule


def facts_counted_from(packs: Iterable[Pack], role: str | None) -> frozenset[str]:
    """The facts that start a deadline."""
    return frozenset(str(rule.params["from"]) for _, rule in deadline_rules(packs, role))


def duties(
    packs: Iterable[Pack], role: str | None, fact: str, began_on: date, facts: Mapping[str, Any]
) -> Iterator[Due]:
    """What has to be done since a fact, and by when, under the rules in force on that day."""
    for pack, rule in deadline_rules(packs, role):
        if rule.params["from"] == fact and _in_force(pack, rule, began_on):
            due = _due(rule, began_on, facts)
            if due is not None:
                yield due


def _in_force(pack: Pack, rule: StateRule, day: date) -> bool:
    starts, ends = rule.head.effective_from, rule.head.effective_to
    dated = (starts is None or starts <= day) and (ends is None or day <= ends)
    return dated and pack.in_force(day)


def _due(rule: StateRule, began_on: date, facts: Mapping[str, Any]) -> Due | None:
    calendars = {} if rule.calendar is None else {str(rule.params["calendar"]): rule.calendar}
    found = finding(rule, {**facts, rule.params["from"]: began_on}, calendars)
    if found is None:
        return None
    duty, done = str(rule.params["duty"]), done_fact(rule)
    if found.ruling is Ruling.DEADLINE:
        return Due(rule.id, duty, done, found.detail["deadline"])
    return Due(
        rule.id, duty, done, began_on + timedelta(days=int(rule.params["days"])), guessed=True
    )


def ends_at(day: date, zones: Sequence[str]) -> datetime:
    """When the last day is over, in the first of the zones where it is."""
    return min(instant(day + timedelta(days=1), time(0), zone) for zone in zones or ("UTC",))

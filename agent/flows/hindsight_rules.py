"""Hours and texts, held anew against the packs that the decision of each attempt recorded.

Hours are read here from local clocks, minute by minute, and not by the code that the gate asks. A text is
read as it was sent. What only counted by a fact of that time which is not kept is not judged: that would be
a guess.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from agent.domain.calendar import zone_of
from agent.domain.conduct import Pack, WeekWindow
from agent.domain.conduct_asked import TEXT_RULES
from agent.domain.conduct_base import StateRule
from agent.domain.conduct_ruling import Ruling
from agent.domain.conduct_ways import BORROWER, against_text
from agent.domain.content import facts_said
from agent.domain.ladder import Ladder
from agent.flows.calendars import stored_versions
from agent.flows.hindsight_caps import Known, Tried, binds
from agent.flows.rules import word_lists

_BOTH = ("sms", "push")


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt with what was said, as far as it can still be read."""

    tried: Tried
    deadline_at: datetime
    waivers_told_at: datetime | None
    first: bool
    stage: str
    template: str
    body: str | None
    ladder: Ladder | None


@lru_cache(maxsize=4096)
def windows_of(recorded: str, known: Known) -> tuple[tuple[Pack, WeekWindow], ...]:
    """The hours of the recorded packs that bind some people, days or contacts only, or by place."""
    return tuple(
        (pack, rule)
        for pack in _recorded(recorded, known)
        for rule in pack.rules
        if isinstance(rule, WeekWindow) and _counts_by(rule, recorded)
    )


@lru_cache(maxsize=4096)
def texts_of(recorded: str, known: Known) -> tuple[tuple[Pack, StateRule], ...]:
    """The rules about what a text says of the recorded packs."""
    return tuple(
        (pack, rule)
        for pack in _recorded(recorded, known)
        for rule in pack.states
        if rule.head.type in TEXT_RULES and not set(rule.channels).isdisjoint(_BOTH)
    )


def _recorded(recorded: str, known: Known) -> list[Pack]:
    installed = dict(known)
    return [installed[name] for name in recorded.split() if name in installed]


def _counts_by(rule: WeekWindow, recorded: str) -> bool:
    """Whether the calendar that binds now is the one that the decision counted by."""
    if rule.calendar is None or rule.holiday_same:
        return True
    name = rule.calendar.name
    then = next((part for part in recorded.split() if part.startswith(f"calendar:{name}@")), None)
    version = stored_versions().get(name)
    return then == (None if version is None else f"calendar:{name}@{version}")


def outside(sent: Sent, known: Known) -> Iterator[str]:
    """The hours, by zone and rule, that were closed from its beginning to its deadline."""
    tried = sent.tried
    for pack, rule in windows_of(tried.packs, known):
        waived = rule.head.waivable_by is not None and sent.waivers_told_at is not None
        if waived or not binds(pack, rule.head, tried, waivable=True):
            continue
        zones = tried.zones if rule.clock is None else (*tried.zones, rule.clock)
        for zone in zones:
            if not all(_inside(rule, at, zone) for at in (tried.begun_at, sent.deadline_at)):
                clock = tried.begun_at.astimezone(zone_of(zone))
                yield f"{tried.channel} at {clock:%Y-%m-%d %H:%M} in {zone}, rule {rule.id}"
                break


def _inside(rule: WeekWindow, at: datetime, zone: str) -> bool:
    clock = at.astimezone(zone_of(zone))
    hours = rule.week[clock.weekday()]
    if not rule.holiday_same:
        if rule.calendar is None or not rule.calendar.is_known(clock.date()):
            return False
        if clock.date() in rule.calendar.holidays:
            hours = rule.holiday
    return hours is not None and hours[0] < clock.hour * 60 + clock.minute < hours[1]


def unsaid(sent: Sent, known: Known) -> Iterator[str]:
    """The rules about texts that what was sent breaks."""
    tried, body = sent.tried, sent.body
    rules = texts_of(tried.packs, known)
    if body is None or not rules:
        return
    facts = _facts(sent, body)
    for pack, rule in rules:
        if not binds(pack, rule.head, tried, waivable=True):
            continue
        against = against_text(rule, facts)
        if against is not None and against.ruling is Ruling.DENY:
            yield f"{sent.template} by {tried.channel}, rule {rule.id}"


def _facts(sent: Sent, body: str) -> Mapping[str, Any]:
    """What the text says and what its step was; the class of a message is what its words make it."""
    tried, locale = sent.tried, sent.template.partition("/")[0]
    facts: dict[str, Any] = {
        "channel": tried.channel, "target": BORROWER, "stage": sent.stage, "body": body,
        "first_communication": sent.first,
        **facts_said(body, tried.channel, word_lists().get(locale, ())),
    }  # fmt: skip
    if tried.role is not None:
        facts["role"] = tried.role
    stage = None if sent.ladder is None else sent.ladder.stage(sent.stage)
    if stage is not None:
        facts["grade"] = stage.grade.value
    return facts


Reads = Callable[[Any], str | None]


def sent_of(
    rows: list[Any], tried: list[Tried], ladders: Callable[[Any], Ladder | None], reads: Reads
) -> list[Sent]:
    """The attempts of a person in order; the first of a loan is whichever came first."""
    seen: set[int] = set()
    found = []
    for row, one in zip(rows, tried, strict=True):
        first = one.loan_id not in seen
        seen.add(one.loan_id)
        found.append(
            Sent(
                one, row["deadline_at"], row["waivers_told_at"], first, row["stage"], row["template"],
                reads(row), ladders(row),
            )
        )  # fmt: skip
    return found

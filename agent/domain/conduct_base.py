"""What every conduct rule shares: the facts it looks at, whom it binds, when, and where it stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple, Protocol

from agent.domain.calendar import BusinessCalendar
from agent.domain.zonetime import instant_of, seconds_of

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HORIZON = timedelta(days=15)
HORIZON_SECONDS = 15 * 86_400
MINUTE = timedelta(minutes=1)
ALL_CHANNELS = ("sms", "push")
EVERY_CHANNEL = ("sms", "push", "email", "call", "ai_voice", "social_dm")
BOTH_ROLES = ("first_party", "third_party")


class Contact(NamedTuple):
    """An earlier contact. What is not known of it counts against the lender.

    `notice` names the notice it belonged to: house caps count notices, the law counts contacts.
    """

    at: int
    channel: str
    outcome: str = "sent"
    debt: str | None = None
    number: str | None = None
    flags: frozenset[str] = frozenset()
    notice: object = None


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours at which a person asked not to be contacted, on the weekdays on which they begin.

    Both ends belong to it, to the minute; one that ends before it begins runs over midnight.
    """

    days: frozenset[int]
    begins: int
    ends: int


class ContactFacts(NamedTuple):
    """What clock rules look at. `history` holds the instants of the person's counted notices.

    `contacts` are all contacts of the person, `role` says whose debt it is (unknown: every rule
    binds), `dpd` may be unknown: a rule that depends on it is then a hold.
    """

    zones: tuple[str, ...]
    history: tuple[datetime, ...]
    guard: timedelta = timedelta(0)
    contacts: tuple[Contact, ...] = ()
    role: str | None = None
    channel: str = "sms"
    content_class: str = "collection"
    dpd: int | None = None
    debt: str | None = None
    number: str | None = None
    flags: frozenset[str] = frozenset()
    consents: frozenset[str] = frozenset()
    quiet: tuple[Quiet, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    clause: str
    phrase: str
    mark: str


class Unknowable(Exception):
    """A rule cannot be asked: a fact it needs is missing. Never a reason to send."""

    def __init__(self, stop: str) -> None:
        super().__init__(stop)
        self.stop = stop


# A rule with its facts: the first second, not before a given one, at which it passes.
Asker = Callable[[int], int | None]
# What the rules of one decision need more than once.
Memo = dict[object, Any]


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
class When:
    """The condition of a rule; what is None does not matter."""

    content_class: str | None = None
    dpd_lte: int | None = None
    dpd_gte: int | None = None

    def holds(self, facts: ContactFacts) -> bool | None:
        """Whether the rule binds; None if the days past due decide and are not known."""
        if self.content_class is not None and self.content_class != facts.content_class:
            return False
        if self.dpd_lte is None and self.dpd_gte is None:
            return True
        if facts.dpd is None:
            return None
        above = self.dpd_gte is None or facts.dpd >= self.dpd_gte
        return above and (self.dpd_lte is None or facts.dpd <= self.dpd_lte)


ALWAYS = When()


@dataclass(frozen=True, slots=True)
class Head:
    """What a rule of a jurisdiction says of itself, whatever its type."""

    id: str
    type: str
    who: tuple[str, ...]
    channels: tuple[str, ...]
    source: Source
    when: When = ALWAYS
    waivable_by: str | None = None
    exempt: frozenset[str] = frozenset()
    effective_from: date | None = None
    effective_to: date | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StateRule:
    """A rule that the state of things decides, not the clock: consent, holds, content, duties."""

    head: Head
    params: Mapping[str, Any]
    # of its business days, if it counts in them
    calendar: BusinessCalendar | None = None

    @property
    def id(self) -> str:
        """As decisions name it."""
        return self.head.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels it is about."""
        return self.head.channels

    @property
    def source(self) -> Source:
        """Where it stands and how that was checked."""
        return self.head.source


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A dated list of rules; compared as the very object, for one is compiled once a process."""

    id: str
    version: str
    effective_from: date | None
    effective_to: date | None
    rules: tuple[ConductRule, ...]
    states: tuple[StateRule, ...] = ()
    places: tuple[str, ...] = ()
    name: str = ""
    level: str = ""

    def in_force(self, day: date) -> bool:
        """Both bounds are inclusive local dates."""
        starts = self.effective_from is None or self.effective_from <= day
        return starts and (self.effective_to is None or day <= self.effective_to)


@dataclass(frozen=True, slots=True)
class PackProblem:
    rule: str
    what: str
    fix: str


Calendars = Mapping[str, BusinessCalendar]


def minute_of(clock: time) -> int:
    """The minute of the day."""
    return clock.hour * 60 + clock.minute


def passes(now: int) -> int:
    """The answer of a rule that has nothing against it."""
    return now


def answered(asker: Asker, start: datetime) -> datetime | None:
    """What an asker says of an instant: that very instant if the rule passes."""
    second = seconds_of(start)
    first = asker(second)
    return start if first == second else None if first is None else instant_of(first)

"""What a state rule can say of a situation, and how its conditions are read from named facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from typing import Any

Facts = Mapping[str, Any]

# What a rule may want something before. A message is a contact by electronic means, and by an agent where
# somebody else than the lender collects; what the ledger is told against a person may be listed by a bureau.
MESSAGE = "message"
ELECTRONIC_CONTACT = "electronic_contact"
AGENT_CONTACT = "agent_contact"
REPORTING = frozenset({"bureau_report", "listing"})
# Nothing that Duly does: such a rule answers whoever asks it.
ELSEWHERE = frozenset({"debit", "assign_to_agent", "default_judgment"})
ACTS = frozenset({MESSAGE, ELECTRONIC_CONTACT, AGENT_CONTACT}) | REPORTING | ELSEWHERE


class Ruling(IntEnum):
    """What a rule says, mildest first. A deadline allows, and says until when something is due."""

    ALLOW = 0
    DEADLINE = 1
    DEFER = 2
    HOLD = 3
    DENY = 4

    @property
    def word(self) -> str:
        """As answers and files write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of a situation. `detail` tells when, by when, or what is needed."""

    rule: str
    ruling: Ruling
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    ruling: Ruling
    rules: tuple[str, ...]
    detail: Mapping[str, Any] = field(default_factory=dict)


def meets(conditions: Mapping[str, Any], facts: Facts) -> bool | None:
    """Whether all conditions hold; None if one of their facts was not given.

    `x = 1`, `x = ["a", "b"]` (one of), `x_gte = 2`, `x_lte = 2`, `x_missing = true` (told to be empty).
    """
    known = True
    for key, wanted in conditions.items():
        name, compare = _comparison(key, wanted)
        if name not in facts:
            known = False
        elif not compare(facts[name]):
            return False
    return True if known else None


def unknown_of(conditions: Mapping[str, Any], facts: Facts) -> str | None:
    """The first fact that the conditions name and nobody told."""
    return next((name for name in facts_named(conditions) if name not in facts), None)


def facts_named(conditions: Mapping[str, Any]) -> tuple[str, ...]:
    """The facts that conditions are about."""
    return tuple(_comparison(key, wanted)[0] for key, wanted in conditions.items())


def _comparison(key: str, wanted: Any) -> tuple[str, Any]:
    if key.endswith("_gte"):
        return key[:-4], lambda value: value is not None and float(value) >= wanted
    if key.endswith("_lte"):
        return key[:-4], lambda value: value is not None and float(value) <= wanted
    if key.endswith("_missing"):
        return key[:-8], lambda value: (value in (None, "")) == wanted
    if isinstance(wanted, list):
        return key, lambda value: value in wanted
    return key, lambda value: value == wanted


def date_of(value: Any) -> date | None:
    """A stated date, whatever it was stated as; None stays None."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date) or value is None:
        return value
    return date.fromisoformat(str(value)[:10])


def instant_of(value: Any) -> datetime | None:
    """A stated instant, whatever it was stated as; None stays None."""
    if isinstance(value, datetime) or value is None:
        return value
    return datetime.fromisoformat(str(value))

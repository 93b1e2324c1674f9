"""Notices that are alike: whose they are differs, and nothing else that a decision looks at.

A batch is full of them. A decision is a pure function of its facts, so that each kind is decided once.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from operator import itemgetter
from typing import Any

import orjson

from agent.domain.conduct import ContactFacts, Pack
from agent.domain.gate import Decision, NoticeFacts, Point, decide

# All facts but whose they are.
Kind = tuple[Any, ...]


def _all_but(fields: Sequence[str], *names: str) -> "itemgetter[Any]":
    return itemgetter(*(at for at, name in enumerate(fields) if name not in names))


_OF_NOTICE = _all_but(NoticeFacts._fields, "loan", "points", "contact")
_OF_CONTACT = _all_but(ContactFacts._fields, "debt")
_OF_POINT = _all_but(Point._fields, "id")


def kind_of(facts: NoticeFacts) -> Kind:
    """What a decision looks at; fields that are added to the facts belong to it by themselves."""
    points = tuple([_OF_POINT(point) for point in facts.points])
    return _OF_NOTICE(facts), _OF_CONTACT(facts.contact), points


def is_singular(facts: NoticeFacts) -> bool:
    """Whether more than its kind decides it: which debt a contact was about, since when a hold lasts,
    of which number something is known.
    """
    return bool(facts.holds or facts.ways or facts.contact.contacts)


class Common:
    """What the notices of one kind have in common at one instant: the answer, and most of the facts."""

    __slots__ = ("_decision", "_kind", "_now", "_packs", "_place", "_print")

    def __init__(self, kind: Kind, packs: tuple[Pack, ...], now: datetime) -> None:
        self._kind = kind
        self._print: bytes | None = None
        self._packs = packs
        self._now = now
        self._decision: Decision | None = None
        self._place: int | None = None

    def decide(self, facts: NoticeFacts) -> Decision:
        """The answer to one of them, which names a point of its own."""
        known, place = self._decision, self._place
        if known is None:
            return self._decide(facts)
        if place is None:
            return known
        verdict, rules, until, _, texts = known
        return Decision(verdict, rules, until, facts.points[place], texts)

    def _decide(self, facts: NoticeFacts) -> Decision:
        found = decide(facts, self._packs, self._now)
        places = (at for at, point in enumerate(facts.points) if point is found.point)
        self._decision, self._place = found, next(places, None)
        return found

    def fingerprint(self, facts: NoticeFacts) -> bytes:
        """A hash of all that the decision of one of them looked at: the same facts, the same hash."""
        if self._print is None:
            self._print = sha256(orjson.dumps(self._kind, default=_plain)).digest()
        points = [point.id for point in facts.points]
        whose = orjson.dumps((facts.loan, facts.contact.debt, points))
        return sha256(self._print + whose).digest()


def _plain(value: object) -> object:
    """What JSON has no form for: a named tuple is its values, a set has one order."""
    if isinstance(value, tuple):
        return tuple(value)
    return sorted(value) if isinstance(value, frozenset) else str(value)


class Kinds:
    """The kinds of notice that come up at one instant."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._known: dict[tuple[tuple[Pack, ...], Kind], Common] = {}

    def of(self, facts: NoticeFacts, packs: tuple[Pack, ...]) -> Common:
        """What this notice has in common with others of its kind; a singular one, with nobody."""
        kind = kind_of(facts)
        if is_singular(facts):
            return Common(kind, packs, self.now)
        key = (packs, kind)
        common = self._known.get(key)
        if common is None:
            common = self._known[key] = Common(kind, packs, self.now)
        return common

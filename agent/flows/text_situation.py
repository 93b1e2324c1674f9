"""Where a portfolio's texts will run: its ladder, who signs, its people's countries, the packs that bind."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import NamedTuple

from agent.domain.conduct import Pack
from agent.domain.conduct_asked import TEXT_RULES
from agent.domain.conduct_ruling import Ruling
from agent.domain.conduct_ways import Way, objections
from agent.domain.frame import MessageClass, Role, Setting
from agent.domain.ladder import Action, Grade, Ladder, Stage
from agent.domain.message import NEUTRAL, PUSH_SUFFIX, Texts
from agent.domain.text_files import KnownTexts, TextId
from agent.domain.text_lint import LONGEST, Finding, Rules, Severity
from agent.flows.dispatch_texts import Profile, Sender, profile, said_of
from agent.flows.portfolios import Portfolio
from agent.flows.rules import (
    BETWEEN,
    BY_PLACE,
    binding,
    countries,
    frames,
    installed,
    shorteners,
    word_lists,
)
from agent.store import own_texts as stored
from agent.store.own_texts import TextVersion
from agent.store.sql import Connection
from templates import all_texts

# Rules that only the words of a message decide.
_OF_WORDS = TEXT_RULES | {"accuracy"}


class _Place(NamedTuple):
    """A country that a message may go to, the packs that bind it there, and whether who collects is told."""

    country: str
    packs: tuple[Pack, ...]
    discloses: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """What the texts of a portfolio are judged by, as it was read."""

    portfolio: Portfolio
    own: Mapping[TextId, TextVersion]
    regions: tuple[str, ...]

    @property
    def before(self) -> dict[TextId, str]:
        """The texts in force."""
        return {**all_texts(), **stored.sources(self.own)}

    def countries(self) -> tuple[str, ...]:
        """The countries with a profile of their own that the packs are of, or that people may be in."""
        places = [place for pack in installed(self.portfolio.packs) for place in pack.places]
        places += [place for region in self.regions for place in region.split(BETWEEN)]
        found = {place.partition("-")[0] for place in places}
        return tuple(code for code in countries() if code in found)

    def rules(self, hosts: Sequence[str], more: Sequence[str]) -> Rules:
        """What the lint asks: `hosts` are allowed besides those of texts in force, `more` are countries."""
        kept = [one for one in self.own.values() if one.source is not None]
        allowed = frozenset((*hosts, *(host for one in kept for host in one.allowed_hosts)))
        there = tuple(dict.fromkeys((*self.countries(), *more)))
        signed = LONGEST._replace(lender=self.portfolio.lender)
        own = frozenset({self.portfolio.locale})
        return Rules(word_lists(), shorteners(), allowed, there, signed, own)


def known_texts(ladder: Ladder) -> KnownTexts:
    """What a text may be named: as a shipped one, or as the ladder calls it."""
    named = {name for _, name in all_texts()}
    named |= {str(stage.message) for stage in _messages(ladder)}
    named |= {f"{name}{PUSH_SUFFIX}" for name in named if not name.endswith(PUSH_SUFFIX)}
    return KnownTexts(frozenset(named), frozenset(frames()))


async def read_situation(conn: Connection, portfolio: Portfolio) -> Situation:
    """Read what a portfolio's texts are judged by."""
    own = await stored.newest(conn, portfolio.id)
    return Situation(portfolio, own, tuple(await stored.regions(conn, portfolio.id)))


def _messages(ladder: Ladder) -> list[Stage]:
    return [
        stage
        for stage in ladder.stages
        if stage.action is Action.MESSAGE and stage.message is not None
    ]


def kept_back(
    situation: Situation, before: Texts, after: Texts, changed: Sequence[TextId], now: datetime
) -> list[Finding]:
    """Rules of packs by which dispatch would never begin a changed text; each a problem.

    Where the text before was kept back by the same rule, that is no fault of the words: a warning.
    """
    found: dict[Finding, None] = {}
    for key in changed:
        for stage, place, first in _uses(situation, key):
            against = _rules_against(situation, after, key, stage, place, now, first=first)
            known = _rules_against(situation, before, key, stage, place, now, first=first)
            for rule, source in against.items():
                severity = Severity.WARNING if rule in known else Severity.PROBLEM
                where = f" ({place.country})" if place.country else ""
                what = f"rule {rule} keeps it from going out{where}"
                fix = "say what the rule wants; `duly template render` shows the whole message"
                found[Finding("conduct", severity, *key, what, fix, None, source)] = None
    return list(found)


def _uses(situation: Situation, key: TextId) -> Iterator[tuple[Stage, _Place, bool]]:
    """The steps that say a text, with the places where, and as a first or a later message."""
    message = key[1].removesuffix(PUSH_SUFFIX)
    push = key[1].endswith(PUSH_SUFFIX)
    stages = [
        stage
        for stage in _messages(situation.portfolio.ladder)
        if stage.message == message or (push and message == NEUTRAL and "push" in stage.channels)
    ]
    yield from product(stages, _places(situation), (True, False))


def _places(situation: Situation) -> list[_Place]:
    portfolio = situation.portfolio
    chosen = installed(portfolio.packs)
    found = [
        _Place(code, chosen, _discloses(portfolio, [code]))
        for code in situation.countries() or ("",)
    ]
    if BY_PLACE in portfolio.packs:
        for region in situation.regions:
            bound = binding(chosen, portfolio.packs, region).packs
            codes = [place.partition("-")[0] for place in region.split(BETWEEN)]
            told = _discloses(portfolio, codes)
            found += [_Place(code, bound, told) for code in codes]
    return list(dict.fromkeys(found))


def _discloses(portfolio: Portfolio, codes: Sequence[str]) -> bool:
    """Whether any country where a person may be wants to be told who collects for others."""
    third = portfolio.role is Role.THIRD_PARTY
    known = [countries()[code] for code in codes if code in countries()]
    return third and any(Role.THIRD_PARTY.value in one.discloses for one in known)


def _rules_against(
    situation: Situation,
    texts: Texts,
    key: TextId,
    stage: Stage,
    place: _Place,
    now: datetime,
    *,
    first: bool,
) -> dict[str, str]:
    """The rules that deny this text, each with its source; what hangs on facts of a person is left out."""
    portfolio, channel = situation.portfolio, "push" if key[1].endswith(PUSH_SUFFIX) else "sms"
    text = _profile(portfolio, texts, key, stage, channel, place, first=first)
    if text is None:
        return {}
    step = (stage.id, stage.grade.value)
    said = said_of(
        text, channel, step, portfolio.role, Sender(country=place.country or None), first=first
    )
    role = None if portfolio.role is None else portfolio.role.value
    way = Way(0, (), said, text.content_class, text.name)
    sources = {
        rule.id: rule.head.source.clause
        for pack in place.packs
        for rule in pack.states
        if rule.head.type in _OF_WORDS
    }
    return {
        one.rule: sources[one.rule]
        for one in objections(place.packs, channel, role, way, (portfolio.zone,), now)
        if one.ruling is Ruling.DENY and one.rule in sources
    }


def _profile(
    portfolio: Portfolio,
    texts: Texts,
    key: TextId,
    stage: Stage,
    channel: str,
    place: _Place,
    *,
    first: bool,
) -> Profile | None:
    role = portfolio.role or Role.FIRST_PARTY
    kind = MessageClass.REMINDER if stage.grade is Grade.REMINDER else MessageClass.COLLECTION
    country = place.country if place.country in texts.countries and channel == "sms" else None
    setting = Setting(country, role, kind, first, place.discloses and channel == "sms")
    assert stage.message is not None
    return profile(texts, stage.message, channel, key[0], portfolio.lender, setting)

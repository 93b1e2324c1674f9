"""A lender changes what its borrowers read: each change a new version, checked whole and signed by two.

Checking reads a snapshot and holds nobody up. Writing waits for the begins under way, so that whatever
begins after its commit says the new words, and what was begun before keeps the old ones.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from agent.domain.ladder import Ladder
from agent.domain.message import NEUTRAL, PUSH_SUFFIX, Texts
from agent.domain.text_change import Signed, judge, legible, unsigned
from agent.domain.text_files import Folder, TextFile, TextId, Told, digest_of, read_folder, told_of
from agent.domain.text_lint import Finding, Rules, Severity
from agent.flows.pause import no_portfolio, raise_portfolio
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.flows.rules import countries, texts
from agent.flows.text_situation import Situation, kept_back, known_texts, read_situation
from agent.flows.unclear import Unclear
from agent.store import own_texts as stored
from agent.store import registered
from agent.store.registered import TextKey
from agent.store.sql import Connection
from agent.store.waking import wake_held
from templates import all_texts

# What the ways out say of texts, which is composed where channels are.
Routes = Callable[[Texts, Ladder, Rules], Iterable[Finding]]


def no_routes(_texts: Texts, _ladder: Ladder, _rules: Rules) -> Iterable[Finding]:
    """Where nothing leaves the building."""
    return ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a change is judged by besides its portfolio: where links may lead, more countries, routes."""

    hosts: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    routes: Routes = no_routes


@dataclass(frozen=True, slots=True)
class Written:
    """A new version of a text. `own` is false for one that is the shipped text again."""

    locale: str
    message: str
    version: int
    own: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """What came of a change. `refused`: nothing was stored; neither was it by a dry run.

    `unregistered` are texts whose ids no longer hold: their messages wait for new ones. `woken` notices
    waited because the words before were stopped.
    """

    portfolio: str
    refused: bool
    told: tuple[Told, ...]
    written: tuple[Written, ...] = ()
    unchanged: tuple[TextId, ...] = ()
    unregistered: tuple[TextKey, ...] = ()
    woken: int = 0


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to become of texts: a source, or none for the shipped text again."""

    wanted: Mapping[TextId, str | None]
    folder: Folder
    unchanged: tuple[TextId, ...] = ()

    def after(self, situation: Situation) -> dict[TextId, str]:
        """All texts once the change is made."""
        own = {**stored.sources(situation.own), **self.wanted}
        kept = {key: source for key, source in own.items() if source is not None}
        return {**all_texts(), **kept}


async def save(
    pool: "asyncpg.Pool[asyncpg.Record]",
    name: str,
    files: Sequence[TextFile],
    signed: Signed,
    *,
    now: datetime,
    terms: Terms = Terms(),
    dry_run: bool = False,
) -> Changed | Unclear:
    """Take a folder of texts over, all of them or none; a text that says what it said is left alone."""
    found = await _situation(pool, name, signed, now)
    if isinstance(found, Unclear):
        return found
    folder = read_folder(files, known_texts(found.portfolio.ladder))
    said = found.before
    same = [key for key, text in folder.texts.items() if said.get(key, "").strip() == text.strip()]
    wanted = {key: text for key, text in folder.texts.items() if key not in same}
    change = _Change(wanted, folder, tuple(same))
    return await _make(pool, found, change, signed, terms, now, dry_run=dry_run)


async def withdraw(
    pool: "asyncpg.Pool[asyncpg.Record]",
    name: str,
    message: str,
    locales: Sequence[str],
    signed: Signed,
    *,
    now: datetime,
    terms: Terms = Terms(),
    dry_run: bool = False,
) -> Changed | Unclear:
    """Return to the shipped text of a message, in these locales or in all in which it is the lender's own."""
    found = await _situation(pool, name, signed, now)
    if isinstance(found, Unclear):
        return found
    own = [locale for locale, known in stored.sources(found.own) if known == message]
    if strange := sorted(set(locales) - set(own)) or ([] if own else ["any locale"]):
        there = ", ".join(f"{locale}/{known}" for locale, known in stored.sources(found.own))
        why = f"{name} has no text of its own for {message} in {', '.join(strange)}"
        return Unclear(why, f"its own texts are: {there or 'none'}")
    wanted: dict[TextId, str | None] = {(locale, message): None for locale in locales or own}
    change = _Change(wanted, Folder({}, {}, ()))
    return await _make(pool, found, change, signed, terms, now, dry_run=dry_run)


async def _situation(
    pool: "asyncpg.Pool[asyncpg.Record]", name: str, signed: Signed, now: datetime
) -> Situation | Unclear:
    """What a change that is signed as it must be finds."""
    if (lacking := unsigned(signed)) is not None:
        return Unclear(*lacking)
    async with pool.acquire() as conn:
        known = await load_portfolios(conn, now)
        if name not in known:
            return no_portfolio(name, known)
        return await read_situation(conn, known[name])


async def _make(
    pool: "asyncpg.Pool[asyncpg.Record]",
    situation: Situation,
    change: _Change,
    signed: Signed,
    terms: Terms,
    now: datetime,
    *,
    dry_run: bool,
) -> Changed | Unclear:
    # a fifth of a second of reading words: others who wait for this process are answered meanwhile
    judged = await asyncio.to_thread(_judged, situation, change, terms, now)
    told = (*change.folder.told, *judged)
    refused = any(one.severity is Severity.PROBLEM for one in told)
    portfolio = situation.portfolio.name
    if refused or dry_run or not change.wanted:
        planned = () if refused else _planned(situation, change)
        return Changed(portfolio, refused, told, planned, change.unchanged)
    async with pool.acquire() as conn, conn.transaction():
        rev = await raise_portfolio(conn, situation.portfolio.id)
        if await stored.newest(conn, situation.portfolio.id) != situation.own:
            return Unclear("somebody else changed texts at this moment", "look at them, try again")
        written = await _write(conn, situation, change, signed, terms, now, rev=rev)
        taken_back = await _take_back(conn, situation.portfolio.id, written, signed, now)
        woken = await wake_held(conn, _stopped(written), now, portfolio_id=situation.portfolio.id)
    return Changed(portfolio, refused, told, written, change.unchanged, taken_back, woken)


def _judged(situation: Situation, change: _Change, terms: Terms, now: datetime) -> list[Told]:
    """All that is to be said of the texts once they are so."""
    if not change.wanted:
        return []
    before, after = situation.before, change.after(situation)
    found = _findings(situation, before, after, change.wanted.keys(), terms, now)
    rules = situation.rules(terms.hosts, terms.countries)
    found += _to_register(situation.portfolio.name, change, rules)
    return [told_of(one, after, change.folder.files) for one in found]


def _findings(
    situation: Situation,
    before: Mapping[TextId, str],
    after: Mapping[TextId, str],
    changed: Collection[TextId],
    terms: Terms,
    now: datetime,
) -> list[Finding]:
    ladder, rules = situation.portfolio.ladder, situation.rules(terms.hosts, terms.countries)
    found = judge(before, after, changed, texts(), ladder, rules)
    was, becomes = legible(before, texts()), legible(after, texts())
    known = frozenset(terms.routes(was, ladder, rules))
    found += [
        one
        for one in terms.routes(becomes, ladder, rules)
        if (one.locale, one.message) in changed or one not in known
    ]
    return found + kept_back(situation, was, becomes, sorted(changed), now)


async def examine(
    conn: Connection, portfolio: Portfolio, *, now: datetime, terms: Terms = Terms()
) -> list[Told]:
    """What a save of the portfolio's own texts would say today: a release or a pack may know more."""
    situation = await read_situation(conn, portfolio)
    own, after = stored.sources(situation.own), situation.before
    found = _findings(situation, all_texts(), after, own.keys(), terms, now)
    return [told_of(one, after, {}) for one in found]


def _to_register(portfolio: str, change: _Change, rules: Rules) -> list[Finding]:
    """Gateways of a country know a text by the id of its very words: a new version has none yet."""
    asking = [code for code in rules.countries if countries()[code].registration]
    return [
        Finding(
            "registration", Severity.WARNING, locale, message,
            f"its messages to {code} wait until the new words are registered",
            f"duly template register {message} --portfolio {portfolio} --country {code}"
            f" --locale {locale} --id … --reason …",
        )
        for code in asking
        for locale, message in change.wanted
        if not message.endswith(PUSH_SUFFIX)
    ]  # fmt: skip


def _planned(situation: Situation, change: _Change) -> tuple[Written, ...]:
    """The versions that a change makes, each the next of its text."""
    found = []
    for (locale, message), source in sorted(change.wanted.items()):
        before = situation.own.get((locale, message))
        version = 1 if before is None else before.version + 1
        found.append(Written(locale, message, version, source is not None))
    return tuple(found)


async def _write(
    conn: Connection,
    situation: Situation,
    change: _Change,
    signed: Signed,
    terms: Terms,
    now: datetime,
    *,
    rev: int,
) -> tuple[Written, ...]:
    portfolio = situation.portfolio.id
    written = _planned(situation, change)
    for one in written:
        key = (one.locale, one.message)
        await stored.keep(
            conn, portfolio, key, one.version, change.wanted[key], terms.hosts, signed,
            rev=rev, now=now,
        )  # fmt: skip
    own = stored.sources(await stored.newest(conn, portfolio))
    await stored.set_in_force(conn, portfolio, digest_of(own))
    return written


def _stopped(written: Sequence[Written]) -> list[str]:
    """The rules by which notices wait while words of these messages are stopped, in whatever language."""
    names = {one.message.removesuffix(PUSH_SUFFIX) for one in written}
    # it stands for every message that has no push of its own
    return ["paused:template:%"] if NEUTRAL in names else [
        f"paused:template:%/{name}@%" for name in sorted(names)
    ]  # fmt: skip


async def _take_back(
    conn: Connection, portfolio: int, written: Sequence[Written], signed: Signed, now: datetime
) -> tuple[TextKey, ...]:
    """The ids of the words that were: under them a gateway would carry others."""
    versions = {(one.locale, one.message): one.version for one in written}
    known = await registered.read_registered(conn, portfolio)
    gone = sorted(key for key in known if (key.locale, key.message) in versions)
    for key in gone:
        reason = f"version {versions[key.locale, key.message]} of the text: {signed.reason}"
        await registered.register(conn, portfolio, key, None, by=signed.by, reason=reason, now=now)
    return tuple(gone)

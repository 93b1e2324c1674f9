"""Which texts are in force for a portfolio: shipped or its own, since when, by whom and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.domain.message import PUSH_SUFFIX, Texts, text_sent
from agent.domain.text_change import legible
from agent.flows.pause import no_portfolio
from agent.flows.portfolios import load_portfolios
from agent.flows.rules import texts
from agent.flows.text_situation import Situation, read_situation
from agent.flows.unclear import Unclear
from agent.store import own_texts as stored
from agent.store.own_texts import TextVersion
from agent.store.sql import Connection


@dataclass(frozen=True, slots=True)
class ListedText:
    """One text. One that was never changed has no version; of one that was withdrawn the last act is told.

    `words` name it as attempts do, by the country of a number; empty for every other country.
    """

    portfolio: str
    locale: str
    message: str
    own: bool
    words: Mapping[str, str]
    version: int | None = None
    since: datetime | None = None
    by: str | None = None
    approved_by: str | None = None
    reason: str | None = None


async def listed(
    conn: Connection, now: datetime, name: str | None = None
) -> list[ListedText] | Unclear:
    """The texts in force of a portfolio, or of every one."""
    known = await load_portfolios(conn, now)
    if name is not None and name not in known:
        return no_portfolio(name, known)
    wanted = [known[name]] if name is not None else list(known.values())
    return [row for one in wanted for row in _of(await read_situation(conn, one))]


async def history(conn: Connection, now: datetime, name: str) -> Sequence[TextVersion] | Unclear:
    """Every version that a portfolio's texts ever had."""
    known = await load_portfolios(conn, now)
    if name not in known:
        return no_portfolio(name, known)
    return await stored.history(conn, known[name].id)


def _of(situation: Situation) -> Iterator[ListedText]:
    in_force = situation.before
    read = legible(in_force, texts())
    countries = situation.countries()
    for locale, message in sorted(in_force.keys() | situation.own.keys()):
        last = situation.own.get((locale, message))
        about = () if last is None else (
            last.version, last.active_from, last.author, last.approved_by, last.reason,
        )  # fmt: skip
        yield ListedText(
            situation.portfolio.name, locale, message,
            last is not None and last.source is not None,
            dict(_words(read, locale, message, countries)), *about,
        )  # fmt: skip


def _words(
    read: Texts, locale: str, message: str, countries: Sequence[str]
) -> Iterator[tuple[str, str]]:
    channel = "push" if message.endswith(PUSH_SUFFIX) else "sms"
    name = message.removesuffix(PUSH_SUFFIX)
    if (locale, name) not in (read.push if channel == "push" else read.sms):
        return
    for country in ("", *(countries if channel == "sms" else ())):
        found = text_sent(read, name, channel, locale, country or None)
        if found is not None:
            yield country, found

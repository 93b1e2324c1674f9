"""Texts that a country's gateways must know before they carry them: their ids, and which are missing."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from agent.domain.conduct_asked import facts_asked
from agent.domain.ladder import Action
from agent.domain.text_files import TextId
from agent.flows.pause import no_portfolio, raise_portfolio
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.flows.rules import BY_PLACE, countries, every_pack, installed, texts
from agent.flows.unclear import Unclear
from agent.store import own_texts, registered
from agent.store.registered import TextKey
from agent.store.sql import Connection
from agent.store.waking import wake_held
from templates import locales

FACT = "template_id"
_WAITING = (f"ENGINE-FACT-MISSING:{FACT}",)


@dataclass(frozen=True, slots=True)
class Registered:
    """What is known from here on. `woken`: notices that waited for it."""

    portfolio: str
    key: TextKey
    template_id: str | None
    woken: int


async def register(
    pool: "asyncpg.Pool[asyncpg.Record]",
    name: str,
    key: TextKey,
    template_id: str | None,
    *,
    by: str,
    reason: str,
    now: datetime,
) -> Registered | Unclear:
    """Keep the id of a text with who registered it; what waited for it is looked at again."""
    async with pool.acquire() as conn, conn.transaction():
        known = await load_portfolios(conn, now)
        if name not in known:
            return no_portfolio(name, known)
        portfolio = known[name].id
        if (problem := _unusable(key, await own_texts.newest(conn, portfolio))) is not None:
            return problem
        await raise_portfolio(conn, portfolio)
        await registered.register(conn, portfolio, key, template_id, by=by, reason=reason, now=now)
        woken = await wake_held(conn, _WAITING, now, portfolio_id=portfolio)
    return Registered(name, key, template_id, woken)


def _unusable(key: TextKey, own: Collection[TextId]) -> Unclear | None:
    if key.country not in countries():
        return Unclear(f"there is no country {key.country}", f"there are: {', '.join(countries())}")
    text = (key.locale, key.message)
    if text not in texts().sms and text not in own:
        there = ", ".join(locales())
        return Unclear(f"there is no text {key.locale}/{key.message}", f"locales are: {there}")
    return None


async def missing(conn: Connection, portfolio: Portfolio) -> tuple[TextKey, ...]:
    """Texts of its ladder, in its language, that people wait for in vain: no id is known of them."""
    named = portfolio.packs
    packs = every_pack() if BY_PLACE in named else installed(named)
    asking = [pack for pack in packs if FACT in facts_asked((pack,), portfolio.role)]
    places = {
        place.partition("-")[0]
        for pack in asking
        for place in pack.places
        if pack.id in named or await registered.may_write_to(conn, portfolio.id, place[:2])
    }
    if not places:
        return ()
    known = await registered.read_registered(conn, portfolio.id)
    own = own_texts.sources(await own_texts.newest(conn, portfolio.id))
    wanted = [
        TextKey(country, message, locale)
        for country in sorted(places)
        for locale in _locales(portfolio, known)
        for message in _messages(portfolio)
    ]
    # a text for the readers of one region stands for that of their language
    wanted += [
        TextKey(country, message, locale)
        for country in sorted(places)
        for locale, message in sorted(own)
        if locale.endswith(f"-{country}") and message in _messages(portfolio)
    ]
    return tuple(key for key in dict.fromkeys(wanted) if key not in known)


def _locales(portfolio: Portfolio, known: dict[TextKey, str]) -> list[str]:
    """The portfolio's own language, and those that somebody began to register."""
    own = next((one for one in locales() if portfolio.locale.lower().startswith(one.lower())), "en")
    return sorted({own, *(key.locale for key in known)})


def _messages(portfolio: Portfolio) -> list[str]:
    stages = (stage for stage in portfolio.ladder.stages if stage.action is Action.MESSAGE)
    return list(dict.fromkeys(stage.message for stage in stages if stage.message is not None))

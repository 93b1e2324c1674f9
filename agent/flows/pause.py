"""Kill switches: stop contact for all, a portfolio, a channel, a stage, a loan, a person, or by a text.

A pause and a begin exclude each other: it waits for begins under way, and raises the `rev` that the
next begin reads. Whatever is begun after its commit knows of it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from agent.domain.ladder_compile import CHANNELS
from agent.domain.message import text_names
from agent.flows.own_texts import texts_of
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.flows.rules import texts
from agent.flows.unclear import Unclear
from agent.store.sql import Connection, execute, fetch, fetch_value
from agent.store.waking import wake_held

EVERYWHERE = 0
_TEXT = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{8}")


class Scope(StrEnum):
    """What a kill switch covers."""

    ALL = "all"
    PORTFOLIO = "portfolio"
    CHANNEL = "channel"
    STAGE = "stage"
    LOAN = "loan"
    PERSON = "person"
    # one version of a text, as cases name it; carriers that filter a text stop it
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Switch:
    """What is asked for: `portfolio` narrows a channel, stage, loan, person or text down."""

    scope: Scope
    subject: str | None = None
    portfolio: str | None = None


@dataclass(frozen=True, slots=True)
class Switched:
    """What was done. Not `changed`: it was so already. `woken`: notices to be looked at again."""

    scope: Scope
    subject: str
    portfolio: str | None
    changed: bool
    woken: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    portfolio_id: int
    portfolio: str | None
    subject: str


async def pause(
    pool: "asyncpg.Pool[asyncpg.Record]", switch: Switch, *, reason: str, by: str, now: datetime
) -> Switched | Unclear:
    """Stop contact; the next begin knows. Pausing again changes nothing, the first reason stands."""
    async with pool.acquire() as conn, conn.transaction():
        place = await _place(conn, switch, now)
        if isinstance(place, _Place) and switch.scope is Scope.TEMPLATE:
            place = await _in_use(conn, place)
        if isinstance(place, Unclear):
            return place
        opened = await fetch_value(
            conn,
            "insert_pause",
            portfolio=place.portfolio_id,
            scope=switch.scope.value,
            subject=place.subject,
            reason=reason,
            by=by,
            now=now,
            rev=await raise_portfolio(conn, place.portfolio_id),
        )
    return Switched(switch.scope, place.subject, place.portfolio, opened is not None)


async def resume(
    pool: "asyncpg.Pool[asyncpg.Record]",
    switch: Switch,
    *,
    reason: str | None,
    by: str,
    now: datetime,
) -> Switched | Unclear:
    """End a kill switch; what it held back is looked at again at once."""
    async with pool.acquire() as conn, conn.transaction():
        place = await _place(conn, switch, now)
        if isinstance(place, Unclear):
            return place
        if switch.scope is Scope.TEMPLATE and switch.portfolio is None:
            place = await _where_stopped(conn, place, now)
            if isinstance(place, Unclear):
                return place
        closed = await fetch_value(
            conn,
            "close_pause",
            portfolio=place.portfolio_id,
            scope=switch.scope.value,
            subject=place.subject,
            reason=reason,
            by=by,
            now=now,
            rev=await raise_portfolio(conn, place.portfolio_id),
        )
        woken = 0
        if closed is not None:
            if switch.scope is Scope.TEMPLATE:
                await execute(
                    conn, "close_filtered_cases", portfolio=place.portfolio_id,
                    subject=place.subject, by=by, reason=reason, now=now,
                )  # fmt: skip
            woken = await wake_held(
                conn, [_held_by(switch.scope, place)], now, portfolio_id=place.portfolio_id
            )
    return Switched(switch.scope, place.subject, place.portfolio, closed is not None, woken)


def _held_by(scope: Scope, place: _Place) -> str:
    """The rule of what it held back; one text is named, for others may be stopped besides."""
    return f"paused:{scope}:{place.subject}" if scope is Scope.TEMPLATE else f"paused:{scope}"


async def raise_portfolio(conn: Connection, portfolio_id: int) -> int:
    """Wait for the begins under way, then raise what later ones compare with."""
    ids = [portfolio_id]
    if portfolio_id == EVERYWHERE:
        ids = [row["id"] for row in await fetch(conn, "portfolios_in_order")]
    for each in ids:
        await fetch(conn, "take_turn", portfolio=each)
    rows = await fetch(conn, "raise_portfolio", portfolio=portfolio_id)
    revs: dict[int, int] = {row["id"]: row["rev"] for row in rows}
    return revs[portfolio_id]


async def _place(conn: Connection, switch: Switch, now: datetime) -> _Place | Unclear:
    known = await load_portfolios(conn, now)
    if switch.scope is Scope.ALL:
        if switch.subject is None and switch.portfolio is None:
            return _Place(EVERYWHERE, None, "")
        return Unclear("all means everything", "leave out the subject and the portfolio")
    if not switch.subject:
        return Unclear(f"which {switch.scope}?", f"name the {switch.scope} after its scope")
    if switch.portfolio is not None and switch.portfolio not in known:
        return no_portfolio(switch.portfolio, known)
    return await _named(conn, switch, switch.subject, known)


async def _named(
    conn: Connection, switch: Switch, subject: str, known: dict[str, Portfolio]
) -> _Place | Unclear:
    home = known[switch.portfolio].id if switch.portfolio is not None else EVERYWHERE
    match switch.scope:
        case Scope.PORTFOLIO:
            found = known.get(subject)
            return _Place(found.id, subject, "") if found else no_portfolio(subject, known)
        case Scope.CHANNEL if subject not in CHANNELS:
            return Unclear(f"there is no channel {subject}", f"use one of: {', '.join(CHANNELS)}")
        case Scope.STAGE if not any(p.ladder.stage(subject) for p in known.values()):
            return Unclear(f"no schedule has a stage {subject}", "see the ids in the schedule file")
        case Scope.TEMPLATE if not _TEXT.fullmatch(subject):
            fix = "write locale/message@version, as its case and the attempts name it"
            return Unclear(f"{subject} names no text", fix)
        case Scope.LOAN | Scope.PERSON:
            statement = "loans_named" if switch.scope is Scope.LOAN else "borrowers_named"
            rows = await fetch(conn, statement, refs=[subject])
            return _one_home(switch, subject, {row["portfolio_id"] for row in rows}, known)
        case _:
            return _Place(home, switch.portfolio, subject)


async def _in_use(conn: Connection, place: _Place) -> _Place | Unclear:
    """A text of that version that may go out there: to stop another would stop nothing, unnoticed."""
    locale, _, rest = place.subject.partition("/")
    message, homes = rest.partition("@")[0], [place.portfolio_id]
    if place.portfolio_id == EVERYWHERE:
        homes = [row["id"] for row in await fetch(conn, "portfolios_in_order")]
    known: set[str] = set()
    for home in homes:
        known |= text_names(await texts_of(conn, home, texts()), locale, message)
    if place.subject in known:
        return place
    there = f"it is now one of: {', '.join(sorted(known))}" if known else "see `duly template list`"
    return Unclear(f"no text in use is {place.subject}", there)


async def _where_stopped(conn: Connection, place: _Place, now: datetime) -> _Place | Unclear:
    """The one place where a text is stopped: a carrier's word stops it in a portfolio."""
    rows = await fetch(conn, "template_stops", subject=place.subject)
    homes = [row["portfolio_id"] for row in rows]
    if not homes or homes[0] == EVERYWHERE:
        return place
    known = await load_portfolios(conn, now)
    names = sorted(name for name, portfolio in known.items() if portfolio.id in homes)
    if len(names) != 1:
        return Unclear(f"it is stopped in {', '.join(names)}", "name the portfolio")
    return _Place(homes[0], names[0], place.subject)


def _one_home(
    switch: Switch, subject: str, homes: set[int], known: dict[str, Portfolio]
) -> _Place | Unclear:
    names = [
        name
        for name, portfolio in known.items()
        if portfolio.id in homes and switch.portfolio in (None, name)
    ]
    match names:
        case [name]:
            return _Place(known[name].id, name, subject)
        case []:
            return Unclear(f"there is no {switch.scope} {subject}", "write the ledger's reference")
        case _:
            why = f"{', '.join(sorted(names))} each know a {switch.scope} {subject}"
            return Unclear(why, "name the portfolio")


def no_portfolio(name: str, known: dict[str, Portfolio]) -> Unclear:
    """Which portfolios there are instead."""
    there = ", ".join(sorted(known)) or "none yet"
    return Unclear(f"there is no portfolio {name}", f"use one of: {there}")

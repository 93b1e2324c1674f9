"""What binds a portfolio: who collects, which packs, where its people live. Each choice leaves a trace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from agent.domain.frame import Role
from agent.flows.intake_places import weigh_again
from agent.flows.pause import no_portfolio, raise_portfolio
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.flows.rules import BY_PLACE
from agent.flows.unclear import Unclear
from agent.flows.whereabouts import country_zones
from agent.store.sql import fetch_value
from agent.store.waking import wake_held
from schedules import conduct_names

# What a notice waits for where a pack is not there, or a fact that one asks for, or a place.
_WAITING_FOR_RULES = ("pack-missing:%", "ENGINE-FACT-MISSING%", "zone-unknown")
# takes a country back that was named: nobody knows again
NOWHERE = "none"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to change; None leaves it as it is."""

    role: Role | None = None
    packs: tuple[str, ...] | None = None
    # where people live of whom nothing tells; `NOWHERE` takes it back
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What binds the portfolio from here on. `woken`: notices to be looked at again; `moved`: people who
    may now be elsewhere than was thought."""

    portfolio: str
    role: Role | None
    packs: tuple[str, ...]
    woken: int
    country: str | None = None
    moved: int = 0


async def choose(
    pool: "asyncpg.Pool[asyncpg.Record]",
    name: str,
    wanted: Wanted,
    *,
    reason: str,
    by: str,
    now: datetime,
) -> Chosen | Unclear:
    """Choose role, packs and country of a portfolio; the next begin asks them."""
    if (problem := _unusable(wanted)) is not None:
        return problem
    async with pool.acquire() as conn, conn.transaction():
        known = await load_portfolios(conn, now)
        if name not in known:
            return no_portfolio(name, known)
        portfolio: Portfolio = known[name]
        role, packs = wanted.role or portfolio.role, wanted.packs or portfolio.packs
        country = wanted.country or portfolio.country
        country = None if country == NOWHERE else country
        await raise_portfolio(conn, portfolio.id)
        await fetch_value(
            conn, "choose_rules", portfolio=portfolio.id, role=role, packs=list(packs),
            country=country, reason=reason, by=by, now=now,
        )  # fmt: skip
    # named again, it finishes what was interrupted
    moved = await weigh_again(pool, portfolio.id, country, now) if wanted.country else 0
    async with pool.acquire() as conn, conn.transaction():
        woken = await wake_held(conn, _WAITING_FOR_RULES, now, portfolio_id=portfolio.id)
    return Chosen(name, role, packs, woken, country, moved)


def _unusable(wanted: Wanted) -> Unclear | None:
    country = wanted.country
    if country is not None and country != NOWHERE and country not in country_zones():
        return Unclear(f"there is no country {country}", "write its two letters, such as NG")
    return None if wanted.packs is None else _unusable_packs(wanted.packs)


def _unusable_packs(packs: Sequence[str]) -> Unclear | None:
    if not packs:
        return Unclear("no packs are named", "name at least `house`")
    unknown = [name for name in packs if name != BY_PLACE and name not in conduct_names()]
    if unknown:
        there = ", ".join((*conduct_names(), BY_PLACE))
        return Unclear(f"there is no pack {', '.join(unknown)}", f"there are: {there}")
    return None

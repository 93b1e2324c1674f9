"""Which rules bind a portfolio: who collects, and which packs were chosen. Each choice leaves a trace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from agent.domain.frame import Role
from agent.flows.pause import no_portfolio, raise_portfolio
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.flows.rules import BY_PLACE
from agent.flows.unclear import Unclear
from agent.store.sql import fetch_value
from agent.store.waking import wake_held
from schedules import conduct_names

# What a notice waits for where a pack is not there, or a fact that one asks for.
_WAITING_FOR_RULES = ("pack-missing:%", "ENGINE-FACT-MISSING%")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to change; None leaves it as it is."""

    role: Role | None = None
    packs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What binds the portfolio from here on. `woken`: notices to be looked at again."""

    portfolio: str
    role: Role | None
    packs: tuple[str, ...]
    woken: int


async def choose(
    pool: "asyncpg.Pool[asyncpg.Record]",
    name: str,
    wanted: Wanted,
    *,
    reason: str,
    by: str,
    now: datetime,
) -> Chosen | Unclear:
    """Choose role and packs of a portfolio; the next begin asks them."""
    packs = wanted.packs
    if packs is not None and (problem := _unusable(packs)) is not None:
        return problem
    async with pool.acquire() as conn, conn.transaction():
        known = await load_portfolios(conn, now)
        if name not in known:
            return no_portfolio(name, known)
        portfolio: Portfolio = known[name]
        role, packs = wanted.role or portfolio.role, packs or portfolio.packs
        await raise_portfolio(conn, portfolio.id)
        await fetch_value(
            conn, "choose_rules", portfolio=portfolio.id, role=role, packs=list(packs),
            reason=reason, by=by, now=now,
        )  # fmt: skip
        woken = await wake_held(conn, _WAITING_FOR_RULES, now, portfolio_id=portfolio.id)
    return Chosen(name, role, packs, woken)


def _unusable(packs: Sequence[str]) -> Unclear | None:
    if not packs:
        return Unclear("no packs are named", "name at least `house`")
    unknown = [name for name in packs if name != BY_PLACE and name not in conduct_names()]
    if unknown:
        there = ", ".join((*conduct_names(), BY_PLACE))
        return Unclear(f"there is no pack {', '.join(unknown)}", f"there are: {there}")
    return None

"""Time passes: loans enter their next bucket at local midnight, holds end."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from agent.domain.account import crossed
from agent.flows.intake_loans import outcome_row
from agent.flows.passed_over import derive_holds
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.store.intake import insert_outcomes, load_loans, update_loans
from agent.store.sql import Connection, execute, fetch

BATCH = 2_000


async def pass_time(pool: "asyncpg.Pool[asyncpg.Record]", now: datetime) -> int:
    """Tell the ledger of every bucket entered by `now`; returns how many outcomes that made."""
    made = 0
    while True:
        async with pool.acquire() as conn, conn.transaction():
            rows = await fetch(conn, "loans_crossing", now=now, batch=BATCH)
            if rows:
                made += await _cross(conn, rows, now)
        if len(rows) < BATCH:
            return made


async def _cross(conn: Connection, rows: Sequence[Any], now: datetime) -> int:
    """Whoever changes a loan holds its person's row; what changed meanwhile is seen after the lock."""
    portfolios = {p.id: p for p in (await load_portfolios(conn, now)).values()}
    await fetch(
        conn,
        "lock_people",
        portfolios=[row["portfolio_id"] for row in rows],
        ids=[row["borrower_id"] for row in rows],
    )
    loans = await load_loans(conn, [(row["portfolio_id"], row["id"]) for row in rows], frozenset())
    stored, outcomes = [], []
    for at in loans.values():
        applied = crossed(at.loan, now, _buckets(portfolios, at.portfolio_id))
        assert applied.loan is not None
        stored.append(at._replace(loan=applied.loan))
        outcomes += [outcome_row(at.portfolio_id, at.id, one, now) for one in applied.outcomes]
    await update_loans(conn, stored)
    await insert_outcomes(conn, outcomes)
    return len(outcomes)


def _buckets(portfolios: dict[int, Portfolio], portfolio_id: int) -> tuple[int, ...]:
    return portfolios[portfolio_id].ladder.buckets


async def lift_holds(pool: "asyncpg.Pool[asyncpg.Record]", now: datetime) -> int:
    """End the holds whose time is over; their loans count anew from now. Returns how many."""
    lifted = 0
    while True:
        async with pool.acquire() as conn, conn.transaction():
            rows = await fetch(conn, "ended_holds", now=now, batch=BATCH)
            if rows:
                lifted += await _lift(conn, rows, now)
        if len(rows) < BATCH:
            return lifted


async def _lift(conn: Connection, rows: Sequence[Any], now: datetime) -> int:
    held = [row for row in rows if row["borrower_id"] is not None]
    people = {
        "portfolios": [row["portfolio_id"] for row in held],
        "ids": [row["borrower_id"] for row in held],
    }
    await fetch(conn, "lock_people", **people)
    portfolios, ids = [row["portfolio_id"] for row in rows], [row["id"] for row in rows]
    count = await execute(conn, "lift_holds", portfolios=portfolios, ids=ids, now=now)
    await derive_holds(conn, people["portfolios"], people["ids"], now)
    return count

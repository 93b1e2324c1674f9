"""What providers say later: receipts raise attempts, and end or start the wait for a fallback."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from agent.domain.delivery import NextStep, NoticeState, Settled, after_attempt
from agent.domain.ladder import Stage
from agent.flows.consequences import follow_faults, retire_numbers
from agent.flows.lane import ladder_for
from agent.flows.portfolios import Portfolio
from agent.store.dispatch import Move, move_notices
from agent.store.sql import Connection, fetch
from channels.base import Receipt
from channels.crash_points import CrashPoint, reached

BATCH = 2_000
AT_ONCE = 2
TRIES = 3


@dataclass(frozen=True, slots=True)
class Applied:
    """How many receipts were taken, and how many notices moved on because of them."""

    receipts: int = 0
    notices: int = 0


async def apply_receipts(
    pool: "asyncpg.Pool[asyncpg.Record]",
    portfolio: Portfolio,
    receipts: Sequence[Receipt],
    now: datetime,
) -> Applied:
    """Apply receipts in batches, two at a time; doing it again changes nothing.

    A receipt's effect does not depend on which other one comes first, so neither does a batch's.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def apply(batch: Sequence[Receipt]) -> int:
        async with turns:
            return await _again_on_deadlock(pool, portfolio, batch, now)

    batches = [receipts[start : start + BATCH] for start in range(0, len(receipts), BATCH)]
    return Applied(len(receipts), sum(await asyncio.gather(*map(apply, batches))))


async def _again_on_deadlock(
    pool: "asyncpg.Pool[asyncpg.Record]",
    portfolio: Portfolio,
    receipts: Sequence[Receipt],
    now: datetime,
) -> int:
    """Two batches may lock the same attempts in another order; nothing is lost by starting over."""
    for _ in range(TRIES - 1):
        try:
            return await _transact(pool, portfolio, receipts, now)
        except asyncpg.DeadlockDetectedError:
            continue
    return await _transact(pool, portfolio, receipts, now)


async def _transact(
    pool: "asyncpg.Pool[asyncpg.Record]",
    portfolio: Portfolio,
    receipts: Sequence[Receipt],
    now: datetime,
) -> int:
    async with pool.acquire() as conn, conn.transaction():
        await follow_faults(conn, portfolio, receipts, now)
        rows = await fetch(
            conn,
            "apply_receipts",
            portfolio=portfolio.id,
            now=now,
            channels=[receipt.channel for receipt in receipts],
            providers=[receipt.provider_id for receipt in receipts],
            statuses=[receipt.status.value for receipt in receipts],
            tokens=[receipt.token for receipt in receipts],
            codes=[receipt.code for receipt in receipts],
            ats=[receipt.at for receipt in receipts],
            faults=[receipt.fault for receipt in receipts],
        )
        await retire_numbers(conn, portfolio, receipts)
        moves = await _moves(conn, portfolio, rows, now)
        moved = await move_notices(conn, portfolio.id, moves, now)
        reached(CrashPoint.RECEIPTS_WRITTEN)
    reached(CrashPoint.RECEIPTS_COMMITTED)
    return len(moved)


async def _moves(
    conn: Connection, portfolio: Portfolio, rows: Sequence[Any], now: datetime
) -> list[Move]:
    moves = []
    for row in rows:
        ladder = await ladder_for(conn, portfolio, row["version"])
        stage = ladder.stage(row["stage"]) if ladder else None
        step = next_step(row["state"], row["notice_state"], row["route"], stage, now)
        key = (row["loan_id"], row["anchor"], row["stage"])
        moves.append(Move(key, row["fence"], step.state, step.next_at, step.route, step.reason))
    return moves


def next_step(
    state: str, notice_state: str, route: int, stage: Stage | None, now: datetime
) -> NextStep:
    """What a receipt that raised an attempt to `state` makes of its open notice.

    Delivered ends the wait. Undelivered sends it on to the next channel, or ends it where there is
    none. A receipt that was faster than our own record does what the record would have done.
    """
    routes = len(stage.channels) if stage else 1
    waits_for_fallback = notice_state == NoticeState.AWAITING_RECEIPT
    upcoming = route if waits_for_fallback else route + 1
    match state:
        case "delivered":
            return NextStep(NoticeState.SENT, route=route)
        case "undelivered" | "failed" if upcoming < routes:
            return NextStep(NoticeState.WAITING, now, upcoming)
        case "undelivered" | "failed":
            return NextStep(NoticeState.SENT, route=route)
        case _ if waits_for_fallback:
            return NextStep(NoticeState.AWAITING_RECEIPT, route=route)
        case _:
            fallback = stage.fallback_after if stage else None
            return after_attempt(
                Settled.ACCEPTED, now, route=route, routes=routes, fallback_after=fallback
            )

"""What providers say later: receipts raise attempts, and end or start the wait for a fallback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import asyncpg

from agent.domain.ladder import Ladder
from agent.flows.consequences import follow_faults, retire_numbers
from agent.flows.filtered import filtered_by_receipt, stop_filtered
from agent.flows.portfolios import Portfolio, ladder_of
from agent.store.sql import Connection, column, fetch, fetch_value
from channels.base import Fault, Receipt, Status
from channels.crash_points import CrashPoint, reached

BATCH = 1_000
AT_ONCE = 2
TRIES = 3
# A receipt without a token may be faster than our record of the id that it names; not by a day.
JOIN_WITHIN = timedelta(days=1)


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
        async with turns, pool.acquire() as conn:
            return await apply_batch(conn, portfolio, batch, now)

    batches = [receipts[start : start + BATCH] for start in range(0, len(receipts), BATCH)]
    return Applied(len(receipts), sum(await asyncio.gather(*map(apply, batches))))


async def apply_batch(
    conn: Connection, portfolio: Portfolio, receipts: Sequence[Receipt], now: datetime
) -> int:
    """Apply receipts in one transaction of their own; returns how many notices moved on.

    Two batches may lock the same attempts in another order; nothing is lost by starting over.
    """
    known = _ladder_ways(portfolio.version, portfolio.ladder)
    for _ in range(TRIES - 1):
        try:
            return await _apply(conn, portfolio, receipts, known, now)
        except asyncpg.DeadlockDetectedError:
            continue
        except asyncpg.NotNullViolationError:
            # a notice of another version of the schedule: the statement refuses to guess its channels
            known = await _all_ways(conn, portfolio)
    return await _apply(conn, portfolio, receipts, known, now)


@asynccontextmanager
async def receiving(
    pool: "asyncpg.Pool[asyncpg.Record]", portfolio: Portfolio, now: Callable[[], datetime]
) -> AsyncIterator[Callable[[Sequence[Receipt]], Awaitable[int]]]:
    """Where receipts go as they come in, group after group on one connection."""
    async with pool.acquire() as conn:
        yield lambda receipts: apply_batch(conn, portfolio, receipts, now())


async def join_late(
    pool: "asyncpg.Pool[asyncpg.Record]", portfolio: Portfolio, now: datetime
) -> int:
    """Apply receipts that came before the record of their message did, now that it is there."""
    async with pool.acquire() as conn, conn.transaction():
        rows = await fetch(
            conn, "take_unmatched", portfolio=portfolio.id, since=now - JOIN_WITHIN, batch=BATCH
        )
        if rows:
            known = await _with_tokens(conn, portfolio, [_receipt(row) for row in rows])
            await stop_filtered(conn, portfolio.id, filtered_by_receipt(known), now)
            await _write(conn, portfolio, known, await _all_ways(conn, portfolio), now)
        reached(CrashPoint.RECEIPTS_WRITTEN)
    reached(CrashPoint.RECEIPTS_COMMITTED)
    return len(rows)


def _receipt(row: Any) -> Receipt:
    channel, provider_id, status, token, code, at, fault = row
    return Receipt(
        channel, provider_id, Status(status), token, code, at, Fault(fault) if fault else None
    )


class _Ways(NamedTuple):
    """How many channels each stage has, and when the next is tried, by `version stage`."""

    versions: Sequence[int] | None
    stages: Sequence[str]
    routes: Sequence[int]
    fallbacks: Sequence[timedelta | None]


@lru_cache(maxsize=64)
def _ladder_ways(version: int, ladder: Ladder) -> _Ways:
    stages = ladder.stages
    return _Ways(
        [version],
        [f"{version} {stage.id}" for stage in stages],
        [len(stage.channels) for stage in stages],
        [stage.fallback_after for stage in stages],
    )


def _joined(parts: Sequence[_Ways]) -> _Ways:
    return _Ways(
        None,
        [stage for part in parts for stage in part.stages],
        [routes for part in parts for routes in part.routes],
        [fallback for part in parts for fallback in part.fallbacks],
    )


async def _all_ways(conn: Connection, portfolio: Portfolio) -> _Ways:
    rows = await fetch(conn, "schedule_sources", portfolio=portfolio.id)
    return _joined([_ladder_ways(row["version"], ladder_of(row["source"])) for row in rows])


async def _apply(
    conn: Connection, portfolio: Portfolio, receipts: Sequence[Receipt], ways: _Ways, now: datetime
) -> int:
    known = await _with_tokens(conn, portfolio, receipts)
    await stop_filtered(conn, portfolio.id, filtered_by_receipt(known), now)
    rounds = _rounds(known)
    if len(rounds) == 1 and not any(one.fault for one in known):
        moved = await _one_round(conn, portfolio, rounds[0], ways, now)
    else:
        async with conn.transaction():
            moved = await _write(conn, portfolio, known, ways, now)
            reached(CrashPoint.RECEIPTS_WRITTEN)
    reached(CrashPoint.RECEIPTS_COMMITTED)
    return moved


async def _write(
    conn: Connection, portfolio: Portfolio, receipts: Sequence[Receipt], ways: _Ways, now: datetime
) -> int:
    await follow_faults(conn, portfolio, receipts, now)
    moved = 0
    for each in _rounds(receipts):
        moved += await _one_round(conn, portfolio, each, ways, now)
    await retire_numbers(conn, portfolio, receipts)
    return moved


def _rounds(receipts: Sequence[Receipt]) -> list[list[Receipt]]:
    """Split so that a round names no attempt and no message twice; each in the order of locking."""
    tokens, messages = {one.token for one in receipts}, {one.provider_id for one in receipts}
    if len(tokens) == len(messages) == len(receipts):
        return [sorted(receipts, key=_lock_order)]
    rounds: list[list[Receipt]] = []
    places: dict[str, int] = {}
    for one in receipts:
        names = {one.provider_id, one.token or one.provider_id}
        place = max(places.get(name, 0) for name in names)
        places |= dict.fromkeys(names, place + 1)
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(one)
    return [sorted(each, key=_lock_order) for each in rounds]


def _lock_order(one: Receipt) -> str:
    return one.token or ""


async def _with_tokens(
    conn: Connection, portfolio: Portfolio, receipts: Sequence[Receipt]
) -> Sequence[Receipt]:
    """Receipts that name only the provider's id, with the token of the attempt that got it."""
    bare = [one for one in receipts if one.token is None]
    if not bare:
        return receipts
    rows = await fetch(
        conn,
        "tokens_of_messages",
        portfolio=portfolio.id,
        channels=[one.channel for one in bare],
        providers=[one.provider_id for one in bare],
    )
    tokens = {(row["channel"], row["provider_id"]): row["token"] for row in rows}
    return [
        one if one.token else one._replace(token=tokens.get((one.channel, one.provider_id)))
        for one in receipts
    ]


async def _one_round(
    conn: Connection, portfolio: Portfolio, receipts: Sequence[Receipt], ways: _Ways, now: datetime
) -> int:
    channels, providers, statuses, tokens, codes, ats, faults, _ = zip(*receipts, strict=True)
    moved = await fetch_value(
        conn,
        "apply_receipts",
        portfolio=portfolio.id,
        now=now,
        channels=column(channels),
        providers=column(providers),
        statuses=column(statuses),
        tokens=column(tokens),
        codes=column(codes),
        ats=ats,
        faults=column(faults),
        versions=ways.versions,
        stages=ways.stages,
        routes=ways.routes,
        fallbacks=ways.fallbacks,
    )
    return int(moved)

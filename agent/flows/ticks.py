"""Background duties: each run claims its slot (duty, instant) in PostgreSQL and leaves its counts.

Two schedulers do no harm: a slot has one owner. An owner that dies leaves a stranded slot, which is
taken over after the duty's rescue time, or closed when a later slot has done its work.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from agent.clock import Clock
from agent.store import ticks

# One bounded pass of a duty at an instant; it says what it did.
Work = Callable[[datetime], Awaitable[Mapping[str, int]]]

KEEP_SLOTS = timedelta(days=2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Duty:
    """A duty, how often it is due, and when an owner that says nothing is taken for dead."""

    name: str
    every: timedelta
    rescue_after: timedelta = timedelta(minutes=2)


DUTIES = (
    Duty("sweep", timedelta(seconds=1), timedelta(seconds=30)),
    Duty("feed", timedelta(seconds=2)),
    Duty("rescue", timedelta(seconds=15)),
    Duty("confirmations", timedelta(seconds=5), timedelta(seconds=60)),
    Duty("inbound", timedelta(minutes=1)),
    Duty("pass_time", timedelta(minutes=1)),
    Duty("plan", timedelta(minutes=1), timedelta(minutes=10)),
    Duty("prune", timedelta(hours=1)),
    Duty("archive", timedelta(hours=1), timedelta(minutes=30)),
    Duty("partitions", timedelta(days=1)),
    Duty("deadlines", timedelta(minutes=5), timedelta(minutes=10)),
    Duty("held", timedelta(hours=6), timedelta(minutes=30)),
    Duty("retention", timedelta(hours=6), timedelta(minutes=30)),
)


@dataclass(frozen=True, slots=True)
class Ran:
    """The duty ran in this slot; `counts` is what it did."""

    slot: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else has this slot, or has done it, or is still busy with an earlier one."""

    slot: datetime


Tick = Ran | Taken


def due_slot(duty: Duty, now: datetime) -> datetime:
    """The latest slot that has begun: slots are whole multiples of the period since the epoch."""
    return now - (now - _EPOCH) % duty.every


async def tick(pool: asyncpg.Pool, clock: Clock, duty: Duty, work: Work, owner: str) -> Tick:
    """Run the duty's present slot unless it is taken.

    When the work raises, its slot is free again at once and the exception goes on to the caller.
    """
    return await _run_slot(pool, clock, duty, work, owner, due_slot(duty, clock.now()))


async def rescue_slots(
    pool: asyncpg.Pool, clock: Clock, duty: Duty, work: Work, owner: str
) -> Tick | None:
    """Make good what dead owners left: close what later slots have done, run the last other one.

    Duties catch up by themselves, so that the newest stranded slot does the work of those before it.
    """
    now = clock.now()
    stale = now - duty.rescue_after
    async with pool.acquire() as conn:
        found = await ticks.stranded(conn, duty.name, stale)
        done = [one.slot for one in found if one.superseded]
        if done:
            await ticks.close_stranded(conn, duty.name, done, now, stale)
    left = [one.slot for one in found if not one.superseded]
    return await _run_slot(pool, clock, duty, work, owner, left[-1]) if left else None


async def prune(pool: asyncpg.Pool, now: datetime) -> Mapping[str, int]:
    """Forget slots that nobody will ask about; a duty like the others."""
    async with pool.acquire() as conn:
        return {"slots": await ticks.prune(conn, now - KEEP_SLOTS)}


async def _run_slot(
    pool: asyncpg.Pool, clock: Clock, duty: Duty, work: Work, owner: str, slot: datetime
) -> Tick:
    now = clock.now()
    async with pool.acquire() as conn, conn.transaction():
        mine = await ticks.claim(conn, duty.name, slot, owner, now, now - duty.rescue_after)
    if not mine:
        return Taken(slot)
    try:
        counts = await work(now)
    except BaseException:
        async with pool.acquire() as conn:
            await ticks.release(conn, duty.name, slot, owner, now - duty.rescue_after)
        raise
    async with pool.acquire() as conn:
        await ticks.finish(conn, duty.name, slot, owner, clock.now(), counts)
    return Ran(slot, counts)

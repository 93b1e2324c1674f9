"""The scheduler process: a few fixed UTC intervals from memory, nothing per loan.

APScheduler only says "now"; what is due stands in PostgreSQL. Each trigger claims its slot there, so
that two schedulers do no harm and a missed trigger costs nothing.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta

import asyncpg
import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from agent.clock import Clock
from agent.flows.ticks import DUTIES, Duty, Ran, Work, rescue_slots, tick
from agent.store import ticks

RESCUE_EVERY = timedelta(seconds=15)
DRAIN_SECONDS = 20.0

_log = structlog.get_logger("duly.scheduler")


class Leadership:
    """One scheduler of several ticks, the others stand by. An optimisation: nothing depends on it.

    The lock is held by the session of one connection kept for it, and ends with that connection.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._asking = asyncio.Lock()
        self._held_by: asyncpg.pool.PoolConnectionProxy | None = None

    async def held(self) -> bool:
        """True for the scheduler that ticks."""
        async with self._asking:
            return self._held_by is not None or await self._ask()

    async def _ask(self) -> bool:
        conn = await self._pool.acquire()
        try:
            leads = await ticks.try_lead(conn)
        except BaseException:
            # it may have been given the lock, which must not lie in the pool
            conn.terminate()
            raise
        if leads:
            self._held_by = conn
            conn.add_termination_listener(self._lose)
        else:
            await self._pool.release(conn)
        return leads

    def _lose(self, _conn: object) -> None:
        """The connection ended, and the lock with it; the pool has taken it back already."""
        self._held_by = None

    async def _let_go(self) -> None:
        conn, self._held_by = self._held_by, None
        if conn is not None:
            conn.remove_termination_listener(self._lose)
            await conn.close()

    async def release(self) -> None:
        """Let another one lead: the lock ends with its connection."""
        async with self._asking:
            await self._let_go()


class Ticker:
    """Runs duties when their triggers say so."""

    def __init__(
        self, pool: asyncpg.Pool, clock: Clock, owner: str, leadership: Leadership | None = None
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._owner = owner
        self._leadership = leadership
        self._running: set[asyncio.Task[None]] = set()
        self._skipped: Counter[str] = Counter()

    def skip(self, event: JobSubmissionEvent) -> None:
        """A trigger came while its job still ran: nothing is lost, the next slot does the work of both."""
        self._skipped[event.job_id] += 1

    async def run(self, duty: Duty, work: Work, *, rescue: bool = False) -> None:
        """One tick of a duty; a failure is logged and the next trigger tries again."""
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            await self._tick(duty, work, rescue=rescue)
        finally:
            if times := self._skipped.pop(_job_id(duty, rescue=rescue), 0):
                _log.info("tick_overran", duty=duty.name, rescue=rescue, triggers_skipped=times)

    async def _tick(self, duty: Duty, work: Work, *, rescue: bool) -> None:
        try:
            if self._leadership is not None and not await self._leadership.held():
                return
            one = rescue_slots if rescue else tick
            done = await one(self._pool, self._clock, duty, work, self._owner)
        except Exception:  # noqa: BLE001 - a duty may fail in any way, the others go on
            _log.exception("tick_failed", duty=duty.name)
            return
        if isinstance(done, Ran) and any(done.counts.values()):
            _log.info("tick", duty=duty.name, slot=done.slot.isoformat(), **done.counts)

    async def drain(self) -> bool:
        """Wait for running ticks; what has to be cut off gives its slot back."""
        if not self._running:
            return True
        _, left = await asyncio.wait(self._running, timeout=DRAIN_SECONDS)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return not left


def triggers(
    ticker: Ticker, clock: Clock, works: Mapping[str, Work], duties: Sequence[Duty] = DUTIES
) -> AsyncIOScheduler:
    """A scheduler that ticks each duty it has work for, first now and then in its period."""
    scheduler = AsyncIOScheduler(
        timezone=UTC,
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    # it would warn at each of them; `tick_overran` says once how many there were
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    scheduler.add_listener(ticker.skip, EVENT_JOB_MAX_INSTANCES)
    for duty in duties:
        if duty.name not in works:
            continue
        arguments = [duty, works[duty.name]]
        scheduler.add_job(
            ticker.run, _every(duty.every), arguments, id=_job_id(duty, rescue=False),
            next_run_time=clock.now(),
        )  # fmt: skip
        scheduler.add_job(
            ticker.run, _every(RESCUE_EVERY), arguments, {"rescue": True},
            id=_job_id(duty, rescue=True),
        )  # fmt: skip
    return scheduler


def _job_id(duty: Duty, *, rescue: bool) -> str:
    return f"{duty.name}:rescue" if rescue else duty.name


def _every(period: timedelta) -> IntervalTrigger:
    return IntervalTrigger(seconds=period.total_seconds(), timezone=UTC)


async def serve_scheduler(
    pool: asyncpg.Pool,
    clock: Clock,
    works: Mapping[str, Work],
    stop: asyncio.Event,
    *,
    owner: str,
) -> int:
    """Tick until `stop`; 0 when every running tick could end, else 1."""
    leadership = Leadership(pool)
    ticker = Ticker(pool, clock, owner, leadership)
    scheduler = triggers(ticker, clock, works)
    scheduler.start()
    try:
        await stop.wait()
    finally:
        scheduler.pause()
        finished = await ticker.drain()
        scheduler.shutdown(wait=False)
        await leadership.release()
    return 0 if finished else 1

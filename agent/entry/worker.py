"""The worker process: wakes lanes and lets them run until they come back empty.

A lane is woken by the doorbell (Redis), by NOTIFY for urgent messages, and once a second by looking
into PostgreSQL. Each of the three is enough by itself, so that none of them has to be reliable.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import structlog

from agent.adapters import queue
from agent.clock import Clock
from agent.entry.collector import quiet_collector
from agent.flows.dispatch import Stop
from agent.store import ticks
from agent.store.connect import AWAY
from agent.store.sql import Connection

SWEEP_SECONDS = 1.0
RECONNECT_SECONDS = 0.5
# Longer than the dispatch window: what is in flight at SIGTERM can end and be recorded.
DRAIN_SECONDS = 20.0
# Runs that only wait for answers; beyond so many their lanes wait with them.
WAITING_MAX = 32

# The database is away, restarting, or somebody else's primary now: try again a moment later.
DATABASE_AWAY = (*AWAY, asyncpg.PostgresError)

_log = structlog.get_logger("duly.worker")

RunLane = Callable[[int, Stop], Awaitable[object]]


@dataclass(slots=True)
class _Run:
    """One run of a lane. It holds a turn until it ends or only waits for answers."""

    lane: int
    stop: Stop = field(default_factory=Stop)
    holds_turn: bool = False


@dataclass(slots=True)
class Lanes:
    """One run of a lane begins messages at a time; a ring meanwhile makes it look once more.

    `at_once` lanes run together, the others wait their turn. A run that only waits for answers keeps
    nobody waiting: a provider that says nothing for a while must not hold up what is due next.
    """

    run_lane: RunLane
    at_once: int = 4
    stop: Stop = field(default_factory=Stop)
    drain_seconds: float = DRAIN_SECONDS
    _beginning: set[int] = field(default_factory=set)
    _again: set[int] = field(default_factory=set)
    _runs: dict[asyncio.Task[None], _Run] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.at_once)

    def wake(self, lane: int) -> None:
        """Look at this lane, now or once more after the present look."""
        if self.stop.asked:
            return
        if lane in self._beginning:
            self._again.add(lane)
            return
        self._beginning.add(lane)
        run = _Run(lane)
        run.stop.only_waits = partial(self._only_waits, run)
        run.stop.aside = partial(self._aside, run)
        task = asyncio.create_task(self._run(run), name=f"lane-{lane}")
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)

    async def _run(self, run: _Run) -> None:
        try:
            await self._slots.acquire()
            run.holds_turn = True
            await self._look(run)
        except DATABASE_AWAY as problem:
            _log.warning("lane_interrupted", lane=run.lane, problem=type(problem).__name__)
        except Exception:  # noqa: BLE001
            # One lane's fault must not stop the others; the sweep tries this one again.
            _log.exception("lane_failed", lane=run.lane)
        finally:
            self._leave_turn(run)

    async def _look(self, run: _Run) -> None:
        looking = not self.stop.asked
        while looking:
            self._again.discard(run.lane)
            await self.run_lane(run.lane, run.stop)
            looking = run.holds_turn and run.lane in self._again and not self.stop.asked

    def _only_waits(self, run: _Run) -> None:
        """Told by a run: who was rung for meanwhile need not wait with it."""
        if len(self._runs) - len(self._beginning) >= WAITING_MAX:
            return
        self._leave_turn(run)
        if run.lane in self._again:
            self._again.discard(run.lane)
            self.wake(run.lane)

    async def _aside(self, run: _Run, waiting: Awaitable[None]) -> None:
        """A run that waits for its place in a line gives others its turn, and stays the one of its lane."""
        run.holds_turn = False
        self._slots.release()
        await waiting
        await self._slots.acquire()
        run.holds_turn = True

    def _leave_turn(self, run: _Run) -> None:
        if run.holds_turn:
            run.holds_turn = False
            self._slots.release()
            self._beginning.discard(run.lane)

    @property
    def busy(self) -> list[asyncio.Task[None]]:
        """The runs there are."""
        return list(self._runs)

    async def drain(self) -> bool:
        """Start nothing more and wait for what runs; False when something had to be cut off.

        What is cut off is safe: its attempts become unknown and are settled by receipt or list.
        """
        self.stop.asked = True
        for run in self._runs.values():
            run.stop.asked = True
        running = self.busy
        if not running:
            return True
        _, left = await asyncio.wait(running, timeout=self.drain_seconds)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return not left


async def sweep(
    pool: asyncpg.Pool, clock: Clock, lanes: Lanes, every: float = SWEEP_SECONDS
) -> None:
    """Every second wake the lanes that have due notices, whether or not Redis is there."""
    while True:
        try:
            async with pool.acquire() as conn:
                for lane in await ticks.due_lanes(conn, clock.now()):
                    lanes.wake(lane)
        except DATABASE_AWAY as problem:
            _log.warning("sweep_failed", problem=type(problem).__name__)
        await asyncio.sleep(every)


async def hear_urgent(pool: asyncpg.Pool, lanes: Lanes) -> None:
    """Wake a lane within a millisecond of the commit that made an urgent message."""

    def heard(_conn: object, _pid: int, _channel: str, payload: object) -> None:
        with suppress(ValueError):
            lanes.wake(int(str(payload)))

    while True:
        try:
            async with pool.acquire() as conn:
                await _listen(conn, heard)
        except DATABASE_AWAY as problem:
            _log.warning("listener_lost", problem=type(problem).__name__)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _listen(conn: Connection, heard: Callable[..., None]) -> None:
    """Until the connection ends."""
    lost = asyncio.Event()
    conn.add_termination_listener(lambda _conn: lost.set())
    await conn.add_listener(ticks.URGENT, heard)
    try:
        await lost.wait()
    finally:
        await conn.remove_listener(ticks.URGENT, heard)


async def hear_doorbell(redis_url: str, lanes: Lanes) -> None:
    """Answer the doorbell for ever: arq's worker ends when Redis goes, this loop starts it again."""
    there = True
    while True:
        try:
            await queue.answer_doorbell(redis_url, lanes.wake)
        except queue.AWAY as problem:
            if there:
                _log.warning("doorbell_away", problem=type(problem).__name__)
            there = False
        else:
            there = True
        await asyncio.sleep(RECONNECT_SECONDS)


async def serve_worker(
    pool: asyncpg.Pool,
    clock: Clock,
    lanes: Lanes,
    stop: asyncio.Event,
    *,
    redis_url: str | None,
    sweep_seconds: float = SWEEP_SECONDS,
) -> int:
    """Work until `stop`; 0 when everything in flight was finished and recorded, else 1."""
    quiet_collector()
    loops: list[asyncio.Task[None]] = [
        asyncio.create_task(sweep(pool, clock, lanes, sweep_seconds), name="sweep"),
        asyncio.create_task(hear_urgent(pool, lanes), name="urgent"),
    ]
    if redis_url is not None:
        loops.append(asyncio.create_task(hear_doorbell(redis_url, lanes), name="doorbell"))
    stopped = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
    crashed = [task for task in loops if task in done]
    for task in crashed:
        _log.error("loop_crashed", loop=task.get_name(), exc_info=task.exception())
    for loop in loops:
        loop.cancel()
    stopped.cancel()
    await asyncio.gather(stopped, *loops, return_exceptions=True)
    finished = await lanes.drain()
    return 0 if finished and not crashed else 1

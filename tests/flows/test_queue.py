"""The doorbell is heard when Redis is there, and missed by nobody when it is not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio as redis
from aiohttp.test_utils import unused_port

from agent.adapters.embedded import embedded_valkey
from agent.adapters.queue import QUEUE, Doorbell
from agent.clock import SystemClock
from agent.entry.worker import Lanes, hear_doorbell, hear_urgent, serve_worker, sweep
from agent.flows.dispatch import Stop
from agent.store import ticks
from tests.support.waiting import until

CLOCK = SystemClock()


def bell(url: str, at: datetime | None = None) -> Doorbell:
    return Doorbell(url, (lambda: at) if at else CLOCK.now, CLOCK.monotonic)


@asynccontextmanager
async def background(*doing: object) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in doing]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Looked:
    """A lane function that says which lanes were looked at."""

    def __init__(self) -> None:
        self.at: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, lane: int, _stop: Stop | None = None) -> None:
        await self.at.put(lane)

    async def next(self, seconds: float = 30) -> int:
        async with asyncio.timeout(seconds):
            return await self.at.get()


async def test_a_ring_wakes_the_lane_and_leaves_nothing_behind(redis_url: str) -> None:
    looked, doorbell = Looked(), bell(redis_url)
    async with background(hear_doorbell(redis_url, Lanes(looked))):
        assert await doorbell.ring(7)
        assert await looked.next() == 7
        client = redis.Redis.from_url(redis_url)

        async def empty() -> bool:
            return [key for key in await client.keys() if b"health" not in key] == []

        await until(empty, 5, "no job and no result left in Redis")
        await client.aclose()
    await doorbell.close()


async def test_rings_of_one_second_are_one_job_and_the_next_second_is_another(
    redis_url: str,
) -> None:
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    for second in (0, 0, 0, 1):
        doorbell = bell(redis_url, at + timedelta(seconds=second))
        assert await doorbell.ring(1)
        await doorbell.close()
    client = redis.Redis.from_url(redis_url)
    jobs = await client.zrange(QUEUE, 0, -1)
    assert sorted(jobs) == [f"lane:1:{int(at.timestamp()) + n}".encode() for n in (0, 1)]
    await client.aclose()


async def test_without_redis_a_ring_is_false_at_once() -> None:
    doorbell = bell(f"redis://127.0.0.1:{unused_port()}")
    started = time.monotonic()
    assert not any([await doorbell.ring(n) for n in range(50)])
    assert time.monotonic() - started < 0.5


async def test_a_silent_redis_costs_a_quarter_second_once() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        doorbell = bell(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        started = time.monotonic()
        assert not any([await doorbell.ring(n) for n in range(20)])
        assert 0.2 < time.monotonic() - started < 0.7
        await ended.wait()


async def test_the_loop_survives_a_flush_and_a_redis_that_comes_and_goes(tmp_path: Path) -> None:
    looked = Looked()
    async with AsyncExitStack() as stack:
        async with embedded_valkey(tmp_path) as url:
            await stack.enter_async_context(background(hear_doorbell(url, Lanes(looked))))
            doorbell = bell(url)
            assert await doorbell.ring(1)
            assert await looked.next() == 1
            client = redis.Redis.from_url(url)
            await client.flushall()
            await client.aclose()
            assert await doorbell.ring(2)
            assert await looked.next() == 2
        assert not await doorbell.ring(3)
        await doorbell.close()
        async with embedded_valkey(tmp_path) as again:
            assert again == url
            doorbell = bell(url)
            assert await doorbell.ring(4)
            assert await looked.next() == 4
            await doorbell.close()


async def make_due(pool: asyncpg.Pool, name: str, at: datetime) -> int:
    lane: int = await pool.fetchval(
        "insert into portfolio (name, lender, zone, locale, created_at)"
        " values ($1, 'L', 'Africa/Lagos', 'en', $2) returning id",
        name,
        at,
    )
    await pool.execute(
        "insert into notice (portfolio_id, loan_id, anchor, stage, borrower_id, schedule_version,"
        " due_at, not_after, next_at, planned_at)"
        " values ($1, 1, $2::date, 'due', 1, 1, $3, $3, $3, $3)",
        lane,
        at.date(),
        at,
    )
    return lane


async def test_the_sweep_finds_due_lanes_without_redis(pool: asyncpg.Pool) -> None:
    now, looked = CLOCK.now(), Looked()
    due = await make_due(pool, "due", now - timedelta(seconds=1))
    await make_due(pool, "later", now + timedelta(hours=1))
    async with background(sweep(pool, CLOCK, Lanes(looked))):
        assert await looked.next() == due
        assert await looked.next() == due


async def test_an_urgent_commit_wakes_its_lane(pool: asyncpg.Pool) -> None:
    looked = Looked()
    async with background(hear_urgent(pool, Lanes(looked))):

        async def listening() -> bool:
            return bool(
                await pool.fetchval(
                    "select count(*) from pg_stat_activity where query ilike 'listen%'"
                    " and datname = current_database()"
                )
            )

        await until(listening, 5, "the worker listens")
        async with pool.acquire() as conn:
            async with conn.transaction():
                await ticks.ring_urgent(conn, 4)
                assert looked.at.empty()
            assert await looked.next() == 4
        # its connection is cut: it listens again
        await pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%'"
            " and datname = current_database()"
        )

        async def heard() -> bool:
            async with pool.acquire() as conn:
                await ticks.ring_urgent(conn, 5)
            return not looked.at.empty()

        await until(heard, 10, "the worker listens again")


async def test_a_lane_runs_in_one_task_and_looks_again_when_rung_meanwhile() -> None:
    begun, gate, log = asyncio.Event(), asyncio.Event(), []

    async def run(lane: int, stop: Stop) -> None:  # noqa: ARG001
        log.append(lane)
        begun.set()
        await gate.wait()

    lanes = Lanes(run)
    lanes.wake(1)
    await begun.wait()
    for _ in range(5):
        lanes.wake(1)
    lanes.wake(2)
    gate.set()
    while lanes.busy:
        await asyncio.wait(lanes.busy)
    assert log == [1, 2, 1]


async def test_only_so_many_lanes_run_together_and_all_get_their_turn() -> None:
    running, most, gate = set(), [], asyncio.Event()

    async def run(lane: int, stop: Stop) -> None:  # noqa: ARG001
        running.add(lane)
        most.append(len(running))
        await gate.wait()
        running.discard(lane)

    lanes = Lanes(run, at_once=2)
    for lane in range(6):
        lanes.wake(lane)
    await asyncio.wait(lanes.busy, timeout=0.05)
    assert running == {0, 1}
    gate.set()
    await asyncio.wait(lanes.busy)
    assert len(most) == 6
    assert max(most) == 2


async def test_a_run_that_only_waits_keeps_neither_its_lane_nor_another_waiting() -> None:
    gate, log, left = asyncio.Event(), [], asyncio.Event()

    async def run(lane: int, stop: Stop) -> None:
        log.append(lane)
        if log.count(1) == 1 and lane == 1:
            stop.only_waits()
            left.set()
            await gate.wait()
            log.append(-1)

    lanes = Lanes(run, at_once=1)
    lanes.wake(1)
    lanes.wake(2)
    await left.wait()
    lanes.wake(1)
    await asyncio.wait(lanes.busy, timeout=0.05)
    assert log == [1, 2, 1]
    draining = asyncio.create_task(lanes.drain())
    gate.set()
    assert await draining
    assert log == [1, 2, 1, -1]
    assert not lanes.busy


async def test_a_ring_before_it_only_waits_is_not_forgotten() -> None:
    gate, log, begun = asyncio.Event(), [], asyncio.Event()

    async def run(lane: int, stop: Stop) -> None:
        log.append(lane)
        if len(log) == 1:
            begun.set()
            await gate.wait()
            stop.only_waits()
            await asyncio.Event().wait()

    lanes = Lanes(run, drain_seconds=0.05)
    lanes.wake(1)
    await begun.wait()
    lanes.wake(1)
    gate.set()
    await asyncio.wait(lanes.busy, timeout=0.05)
    assert log == [1, 1]
    assert not await lanes.drain()


async def test_one_broken_lane_stops_no_other() -> None:
    looked = Looked()

    async def run(lane: int, stop: Stop) -> None:  # noqa: ARG001
        if lane == 1:
            raise ValueError("broken")
        await looked(lane)

    lanes = Lanes(run)
    for lane in (1, 2, 1, 3):
        lanes.wake(lane)
    assert {await looked.next(), await looked.next()} == {2, 3}


@pytest.mark.parametrize(("ends", "code"), [(True, 0), (False, 1)])
async def test_a_stop_lets_lanes_end_and_says_whether_they_did(
    pool: asyncpg.Pool, *, ends: bool, code: int
) -> None:
    stop, begun, gate, ended = asyncio.Event(), asyncio.Event(), asyncio.Event(), []

    async def run(lane: int, stop: Stop) -> None:  # noqa: ARG001
        begun.set()
        await gate.wait()
        ended.append(lane)

    lanes = Lanes(run, drain_seconds=0.2)
    serving = asyncio.create_task(serve_worker(pool, CLOCK, lanes, stop, redis_url=None))
    lanes.wake(1)
    await begun.wait()
    stop.set()
    if ends:
        gate.set()
    assert await serving == code
    assert ended == ([1] if ends else [])
    lanes.wake(1)
    assert not lanes.busy

"""Two schedulers do no harm, and one that dies is replaced by the other."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import asyncpg
import pytest
import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES

from agent.clock import SystemClock
from agent.entry.scheduler import Leadership, Ticker, serve_scheduler, triggers
from agent.flows.ticks import DUTIES, Duty
from tests.support.waiting import until

CLOCK = SystemClock()
FAST = Duty("fast", timedelta(seconds=1))
SLOW = Duty("slow", timedelta(days=1))
BROKEN = Duty("broken", timedelta(days=1))


async def fine(_now: datetime) -> Mapping[str, int]:
    return {"made": 1}


async def broken(_now: datetime) -> Mapping[str, int]:
    raise ValueError("broken")


async def slots(pool: asyncpg.Pool) -> Counter[str]:
    rows = await pool.fetch("select duty from tick_slot where finished_at is not null")
    return Counter(row["duty"] for row in rows)


async def test_two_without_a_leader_do_each_slot_once(pool: asyncpg.Pool) -> None:
    works = {"fast": fine, "slow": fine, "broken": broken}
    schedulers = [
        triggers(Ticker(pool, CLOCK, owner), CLOCK, works, (FAST, SLOW, BROKEN))
        for owner in ("a", "b")
    ]
    for scheduler in schedulers:
        scheduler.start()

    async def three() -> bool:
        return (await slots(pool))["fast"] >= 3

    await until(three, 10, "the fast duty ran in three slots")
    for scheduler in schedulers:
        scheduler.shutdown(wait=False)
    done = await slots(pool)
    assert done["slow"] == 1
    assert done["broken"] == 0


async def test_the_leader_ticks_and_its_successor_follows(pool: asyncpg.Pool) -> None:
    first, second = Leadership(pool), Leadership(pool)
    assert await asyncio.gather(*(first.held() for _ in range(5))) == [True] * 5
    assert await asyncio.gather(*(second.held() for _ in range(5))) == [False] * 5
    await pool.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    await until(second.held, 5, "the other one leads")
    # what the server did reaches the first one's socket a moment later
    await until(lambda: _not(first.held), 5, "the first one knows that it lost")
    await second.release()
    assert await first.held()
    await first.release()


async def _not(held: Callable[[], Awaitable[bool]]) -> bool:
    return not await held()


async def test_a_stop_lets_ticks_end(pool: asyncpg.Pool) -> None:
    stop, begun = asyncio.Event(), asyncio.Event()

    async def plan(_now: datetime) -> Mapping[str, int]:
        begun.set()
        await stop.wait()
        return {"planned": 7}

    serving = asyncio.create_task(serve_scheduler(pool, CLOCK, {"plan": plan}, stop, owner="a"))
    await begun.wait()
    stop.set()
    assert await serving == 0
    assert await pool.fetchval("select counts from tick_slot where duty = 'plan'") == {"planned": 7}


async def test_triggers_neither_pile_up_nor_go_stale(pool: asyncpg.Pool) -> None:
    works = {duty.name: fine for duty in DUTIES}
    scheduler = triggers(Ticker(pool, CLOCK, "a"), CLOCK, works)
    scheduler.start(paused=True)
    jobs = {job.id: job for job in scheduler.get_jobs()}
    scheduler.shutdown(wait=False)
    assert jobs.keys() == {name for duty in DUTIES for name in (duty.name, f"{duty.name}:rescue")}
    settings = {(job.coalesce, job.max_instances, job.misfire_grace_time) for job in jobs.values()}
    assert settings == {(True, 1, None)}


async def test_a_tick_that_takes_long_is_one_line_and_no_warning(
    pool: asyncpg.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    late, ended = asyncio.Event(), asyncio.Event()

    async def slow(_now: datetime) -> Mapping[str, int]:
        await late.wait()
        ended.set()
        return {}

    with structlog.testing.capture_logs() as said:
        ticker = Ticker(pool, CLOCK, "a")
        scheduler = triggers(ticker, CLOCK, {"fast": slow}, (FAST,))
        scheduler.add_listener(lambda _: late.set(), EVENT_JOB_MAX_INSTANCES)
        scheduler.start()
        await asyncio.wait_for(ended.wait(), 10)
        scheduler.pause()
        assert await ticker.drain()
        scheduler.shutdown(wait=False)
    lines = [line for line in said if line["event"] == "tick_overran"]
    assert [(line["duty"], line["rescue"], line["log_level"]) for line in lines][:1] == [
        ("fast", False, "info")
    ]
    assert lines[0]["triggers_skipped"] >= 1
    assert not [one for one in caplog.records if one.name.startswith("apscheduler")]

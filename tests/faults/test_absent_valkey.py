"""Valkey is flushed, stopped and started again while notices go out: the same messages are sent."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import asyncpg
import pytest
import redis.asyncio as redis

from agent.adapters.embedded import embedded_valkey
from agent.adapters.queue import Doorbell
from agent.clock import SystemClock
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from tests.conftest import TEST_MASTER_KEY
from tests.support.crew import Crew, crew
from tests.support.phone_process import Phone, phone_process
from tests.support.stores import SessionStores
from tests.support.village import settle
from tests.support.waiting import until
from tests.support.worker_process import WorkerConfig

PEOPLE = 150
CLOCK = SystemClock()


@pytest.fixture
def quiet_url(stores: SessionStores) -> Iterator[str]:
    """A second database: the same day without any disturbance."""
    url = stores.create_database()
    yield url
    stores.drop_database(url)


@asynccontextmanager
async def ringing(redis_url: str, lane: int) -> AsyncIterator[list[bool]]:
    """Ring the lane all the time, as a scheduler does; what each ring came to."""
    doorbell, rung = Doorbell(redis_url, CLOCK.now, CLOCK.monotonic), []

    async def ring() -> None:
        while True:
            rung.append(await doorbell.ring(lane))
            await asyncio.sleep(0.05)

    task = asyncio.create_task(ring())
    try:
        yield rung
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await doorbell.close()


async def flush(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    await client.flushall()
    await client.aclose()


async def all_sent(pool: asyncpg.Pool, phone: Phone, workers: Crew) -> None:
    async def sent() -> bool:
        done = await pool.fetchval("select count(*) from notice where state = 'sent'")
        return bool(done == PEOPLE)

    await until(sent, 30, "everybody has their message")
    for pid in tuple(workers.pids):
        assert await workers.end(pid, signal.SIGTERM) == 0
    assert len(phone.accepted()) == PEOPLE


async def out(phone: Phone, share: float) -> None:
    async def far() -> bool:
        return len(phone.accepted()) >= PEOPLE * share

    await until(far, 20, f"{share:.0%} of the messages are out")


def told(phone: Phone) -> set[tuple[str, str]]:
    return {(one.address, one.body) for one in phone.accepted()}


async def a_quiet_day(url: str, keyring: Keyring, folder: Path) -> set[tuple[str, str]]:
    pool = await open_pool(url)
    await settle(pool, keyring, PEOPLE, CLOCK.now())
    async with phone_process(folder, script={}) as phone:
        config = WorkerConfig(url, None, phone.url, TEST_MASTER_KEY.hex())
        async with crew(folder, config) as workers:
            await workers.hire()
            await all_sent(pool, phone, workers)
        await pool.close()
        return told(phone)


async def test_flushed_stopped_and_started_again_nothing_changes(
    pool: asyncpg.Pool,
    database_url: str,
    quiet_url: str,
    keyring: Keyring,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    village = await settle(pool, keyring, PEOPLE, CLOCK.now())
    quiet_folder = tmp_path_factory.mktemp("quiet")
    rng = Random(5)  # noqa: S311
    async with AsyncExitStack() as stack:
        valkey = await stack.enter_async_context(AsyncExitStack())
        url = await valkey.enter_async_context(embedded_valkey(tmp_path))
        phone = await stack.enter_async_context(phone_process(tmp_path, script={}, latency_ms=60))
        config = WorkerConfig(
            database_url, url, phone.url, TEST_MASTER_KEY.hex(), batch=5, sweep_seconds=0.5
        )
        workers = await stack.enter_async_context(crew(tmp_path, config))
        rung = await stack.enter_async_context(ringing(url, village.portfolio.id))
        await workers.hire()
        await workers.hire()

        while len(phone.accepted()) < PEOPLE * 0.3:
            await flush(url)
            await asyncio.sleep(rng.uniform(0.01, 0.15))  # this is the random moment
        await valkey.aclose()
        assert True in rung
        rung.clear()
        await out(phone, 0.6)
        assert rung
        assert not any(rung), "Valkey was away and a ring came through"
        assert await valkey.enter_async_context(embedded_valkey(tmp_path)) == url
        await out(phone, 0.8)
        await all_sent(pool, phone, workers)
        assert told(phone) == await a_quiet_day(quiet_url, keyring, quiet_folder)

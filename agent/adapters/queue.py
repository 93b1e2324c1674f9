"""The doorbell: arq carries "look at lane X" and nothing else. Only this module knows arq.

Nothing depends on a ring arriving. Redis may be flushed, stopped or absent; due work is found by the
sweep in PostgreSQL a second later. So there are no retries, no results, no cron and no payload here.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

import orjson
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker, func
from redis.exceptions import RedisError

QUEUE = "duly:lanes"
JOB = "lane"
JOB_TIMEOUT_SECONDS = 60
RING_SECONDS = 0.25
# After a ring that failed nobody waits for Redis again until this many seconds later.
QUIET_SECONDS = 1.0
# A bell that nobody answered is worth nothing a minute later: the sweep has been there.
_EXPIRES_SECONDS = 60
_POLL_DELAY = 0.02
_READ_LIMIT = 1000

AWAY = (RedisError, OSError, TimeoutError)


class Doorbell:
    """Rings lanes; never raises for Redis being away and never waits longer than a quarter second."""

    def __init__(
        self, redis_url: str, now: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self._settings = _settings(redis_url)
        self._now = now
        self._monotonic = monotonic
        self._redis: ArqRedis | None = None
        self._quiet_until = 0.0

    async def ring(self, lane: int) -> bool:
        """Ask a worker to look at this lane; False when that could not be passed on."""
        if self._monotonic() < self._quiet_until:
            return False
        try:
            async with asyncio.timeout(RING_SECONDS):
                await self._enqueue(lane)
        except AWAY:
            self._quiet_until = self._monotonic() + QUIET_SECONDS
            return False
        return True

    async def _enqueue(self, lane: int) -> None:
        if self._redis is None:
            self._redis = await _connect(self._settings)
        # A dead worker's job id stays taken until its timeout, so that the bare lane would block its
        # successor: with the second in it, rings of one second are one job and no more is blocked.
        job_id = f"{JOB}:{lane}:{int(self._now().timestamp())}"
        await self._redis.enqueue_job(JOB, lane, _job_id=job_id, _expires=_EXPIRES_SECONDS)

    async def ping(self) -> bool:
        """The queue answers; for the readiness page, which may wait a quarter second."""
        try:
            async with asyncio.timeout(RING_SECONDS):
                if self._redis is None:
                    self._redis = await _connect(self._settings)
                return bool(await self._redis.ping())
        except AWAY:
            return False

    async def close(self) -> None:
        """Let go of the connection."""
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None


async def answer_doorbell(redis_url: str, wake: Callable[[int], object]) -> None:
    """Run an arq worker that calls `wake(lane)` for each ring; ends by an exception of `AWAY`.

    The job only wakes and returns: how long a lane takes is no business of arq's timeouts, and a
    worker killed in a lane leaves no job behind that would be run again.
    """

    async def lane(ctx: dict[Any, Any], number: int) -> None:  # noqa: ARG001 - arq passes it
        wake(number)

    worker = Worker(
        functions=[
            func(
                cast("Any", lane), name=JOB, keep_result=0, timeout=JOB_TIMEOUT_SECONDS, max_tries=1
            )
        ],
        queue_name=QUEUE,
        redis_settings=_settings(redis_url),
        handle_signals=False,
        max_jobs=100,
        job_timeout=JOB_TIMEOUT_SECONDS,
        keep_result=0,
        max_tries=1,
        retry_jobs=False,
        poll_delay=_POLL_DELAY,
        queue_read_limit=_READ_LIMIT,
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
        log_results=False,
    )
    try:
        await worker.async_run()
    finally:
        await _close(worker)


async def _close(worker: Worker) -> None:
    # Worker.close() waits for Redis to delete a health key, which is no use when Redis is why we
    # are here; end its tasks and drop its connections instead.
    ending = [task for task in (worker.main_task, *worker.tasks.values()) if task is not None]
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
    redis: ArqRedis | None = worker.ctx.get("redis")
    if redis is not None:
        with suppress(*AWAY):
            async with asyncio.timeout(RING_SECONDS):
                await redis.aclose(close_connection_pool=True)


def _settings(redis_url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(redis_url)
    settings.conn_retries = 0
    return settings


async def _connect(settings: RedisSettings) -> ArqRedis:
    return await create_pool(
        settings,
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
        default_queue_name=QUEUE,
    )

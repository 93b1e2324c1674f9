"""One arq job a message, arq tuned, as a part.

The jobs lie in Valkey before the clock starts. A job names its row, takes it by compare-and-set, makes
one plain aiohttp POST and writes what came back: arq runs a job again whose worker died, so a job that
does not take its row sends twice. `lean` is the job that carries all that is to be sent and only writes
at the end: what can be had when that does not matter. `python -m benchmarks.job_process` (a part).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic, process_time
from typing import Any, cast

import aiohttp
import asyncpg
import orjson
from arq.connections import RedisSettings, create_pool
from arq.constants import default_queue_name, job_key_prefix
from arq.jobs import serialize_job
from arq.worker import Worker, func

from benchmarks import outbox
from benchmarks.parts import Answering, Said, play

AT_ONCE = 100
POLL = 0.01
_DAY_MS = 86_400_000
_PIPELINE = 500


async def enqueue(
    redis_url: str, database_url: str, *, lean: bool = False, at_most: int | None = None
) -> int:
    """A job for every waiting message, by pipeline: the same keys that arq's own client writes."""
    name = "send_carried" if lean else "send"
    conn = await asyncpg.connect(database_url)
    rows = await conn.fetch(outbox.WAITING, at_most)
    await conn.close()
    redis = await create_pool(RedisSettings.from_dsn(redis_url))
    await redis.flushdb()
    for start in range(0, len(rows), _PIPELINE):
        async with redis.pipeline(transaction=False) as pipe:
            for number, address, body in rows[start : start + _PIPELINE]:
                carried = (number, address, body) if lean else (number,)
                said = serialize_job(name, carried, {}, None, 0, serializer=orjson.dumps)
                pipe.psetex(f"{job_key_prefix}m{number}", _DAY_MS, said)
                pipe.zadd(default_queue_name, {f"m{number}": number})
            await pipe.execute()
    await redis.aclose()
    return len(rows)


class Jobs:
    """The worker and what its jobs share."""

    def __init__(self, pool: asyncpg.Pool, session: aiohttp.ClientSession, config: Said) -> None:
        self._pool, self._session = pool, session
        self._url = f"{config['provider_url']}/messages"
        self._redis_url = config["redis_url"]
        self._left = 0
        self._done = asyncio.Event()

    async def send(self, _ctx: dict[Any, Any], number: int) -> None:
        """The job: nothing is sent but by whoever took the row."""
        taken = await self._pool.fetchrow(outbox.TAKE, number)
        if taken is not None:
            await self._post(number, taken["address"], taken["body"])
        self._count()

    async def send_carried(
        self, _ctx: dict[Any, Any], number: int, address: str, body: str
    ) -> None:
        """The lean job."""
        await self._post(number, address, body)
        self._count()

    async def _post(self, number: int, address: str, body: str) -> None:
        said = {"to": address, "body": body, "channel": "sms"}
        async with self._session.post(self._url, json=said) as response:
            answer = await response.json()
        await self._pool.execute(outbox.ONE, number, answer["id"])

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self._done.set()

    async def run(self, jobs: int) -> float:
        """Until the last of these jobs has written its answer; that instant."""
        self._left = jobs
        worker = Worker(
            functions=[
                func(cast("Any", job), name=job.__name__, keep_result=0, max_tries=1)
                for job in (self.send, self.send_carried)
            ],
            redis_settings=RedisSettings.from_dsn(self._redis_url),
            handle_signals=False,
            max_jobs=AT_ONCE,
            keep_result=0,
            poll_delay=POLL,
            queue_read_limit=1000,
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
            log_results=False,
        )
        working = asyncio.create_task(worker.async_run())
        await self._done.wait()
        ended = monotonic()
        # arq still looks at its queue and writes down that the last jobs are done: cutting that off is a
        # loud end
        worker.allow_pick_jobs = False
        await asyncio.sleep(10 * POLL)
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await worker.close()
        return ended


async def _nothing_to_reset(_conn: asyncpg.Connection) -> None:
    """A job leaves nothing behind in a session; asking the server to tidy up is a round trip each."""


@asynccontextmanager
async def jobs(config: Said) -> AsyncIterator[Answering]:
    """One run a question: `jobs` says how many lie there."""
    pool = await asyncpg.create_pool(
        config["database_url"], min_size=8, max_size=16, reset=_nothing_to_reset
    )
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE))
    async with pool, session:

        async def answer(said: Said) -> Mapping[str, Any]:
            running = Jobs(pool, session, config)
            begun, cpu = monotonic(), process_time()
            ended = await running.run(said["jobs"])
            return {
                "sent": said["jobs"],
                "begun": begun,
                "ended": ended,
                "cpu": process_time() - cpu,
            }

        yield answer


if __name__ == "__main__":
    play(jobs)

"""The limit of dispatch as a part: prebuilt aiohttp POSTs and batch SQL; no rules and no queue.

256 in flight, 500 a claim, answers written every 200 or 50 ms, the next claim while this one is sent.
`python -m benchmarks.limit_process` (a part).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic, process_time
from typing import Any

import aiohttp
import asyncpg
import orjson
from yarl import URL

from agent.clock import SystemClock
from benchmarks import outbox
from benchmarks.parts import Answering, Said, play

BATCH = 500
AT_ONCE = 256
RECORD_EVERY = 200
RECORD_WITHIN = 0.05
HEADERS = {"Content-Type": "application/json"}


class Limit:
    """Everything that one run needs."""

    def __init__(self, pool: asyncpg.Pool, session: aiohttp.ClientSession, url: str) -> None:
        self._pool, self._session, self._url = pool, session, URL(url) / "messages"
        self._answers: list[tuple[int, str]] = []
        self._writing: set[asyncio.Task[str]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.sent = 0

    async def run(self, *, once: bool = False) -> None:
        """Until a claim comes back short, or a single batch."""
        claimed = await self._claim()
        while claimed:
            more = len(claimed) == BATCH and not once
            following = asyncio.create_task(self._claim()) if more else None
            waiting = iter(claimed)
            await asyncio.gather(*(self._send(waiting) for _ in range(AT_ONCE)))
            claimed = await following if following is not None else []
        self._flush()
        await asyncio.gather(*self._writing)

    async def _claim(self) -> Sequence[asyncpg.Record]:
        found: Sequence[asyncpg.Record] = await self._pool.fetch(
            outbox.CLAIM, SystemClock().now(), BATCH
        )
        return found

    async def _send(self, waiting: "Any") -> None:
        for number, address, body in waiting:
            said = orjson.dumps({"to": address, "body": body, "channel": "sms"})
            async with self._session.post(self._url, data=said, headers=HEADERS) as response:
                answer = orjson.loads(await response.read())
            self._note(number, answer["id"])

    def _note(self, number: int, sid: str) -> None:
        self.sent += 1
        self._answers.append((number, sid))
        if len(self._answers) >= RECORD_EVERY:
            self._flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(RECORD_WITHIN, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answers:
            batch, self._answers = self._answers, []
            numbers, sids = zip(*batch, strict=True)
            task = asyncio.create_task(self._pool.execute(outbox.RECORD, numbers, sids))
            self._writing.add(task)


@asynccontextmanager
async def limit(config: Said) -> AsyncIterator[Answering]:
    """One run a question."""
    pool = await asyncpg.create_pool(config["database_url"], min_size=4, max_size=8)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=AT_ONCE),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    )
    async with pool, session:

        async def answer(said: Said) -> Mapping[str, Any]:
            running = Limit(pool, session, config["provider_url"])
            begun, cpu = monotonic(), process_time()
            await running.run(once=said.get("do") == "first")
            ended = monotonic()
            return {
                "sent": running.sent,
                "begun": begun,
                "ended": ended,
                "cpu": process_time() - cpu,
            }

        yield answer


if __name__ == "__main__":
    play(limit)

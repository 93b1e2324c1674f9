"""The production worker as a part: one lane to its end, or the loop that `duly serve` runs.

`python -m benchmarks.lane_process` (a part).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import monotonic, process_time
from typing import Any

import asyncpg

from agent.adapters.deadman import dead_man
from agent.clock import SystemClock
from agent.entry.collector import quiet_collector
from agent.entry.worker import Lanes, serve_worker
from agent.flows.dispatch import Stop, run_lane
from agent.flows.lane import Lane
from agent.flows.rules import packs, texts
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from benchmarks.parts import Answering, Said, play
from benchmarks.village import portfolio
from channels.base import PUSH, SMS
from channels.sandbox.client import SandboxHttpChannel, open_session


@asynccontextmanager
async def open_lane(config: Said) -> AsyncIterator[tuple[Lane, "asyncpg.Pool[asyncpg.Record]"]]:
    """The lane of the village with the limits, guard and channels of production."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(await open_pool(config["database_url"], min_size=4))
        session = await stack.enter_async_context(open_session())
        home = await portfolio(pool, clock.now())
        channels = {
            name: SandboxHttpChannel(session, config["provider_url"], name, clock.monotonic)
            for name in (SMS, PUSH)
        }
        yield (
            Lane(
                pool,
                Keyring(bytes(range(32))),
                clock,
                home,
                packs(home.packs),
                texts(),
                channels,
                guard=dead_man(clock.monotonic),
                status_url="http://127.0.0.1:8080/webhooks/sandbox/1",
            ),
            pool,
        )


def _ask(stop: Stop) -> None:
    stop.asked = True


@asynccontextmanager
async def worker(config: Said) -> AsyncIterator[Answering]:
    """`serve` starts the worker loop, `first` runs one batch; all else runs until nothing is due."""
    async with open_lane(config) as (lane, pool):
        quiet_collector()
        serving: list[asyncio.Task[int]] = []

        async def answer(said: Said) -> Mapping[str, Any]:
            if said.get("do") == "serve":
                lanes = Lanes(lambda _, stop: run_lane(lane, stop))
                served = serve_worker(
                    pool, lane.clock, lanes, asyncio.Event(), redis_url=config["redis_url"]
                )
                serving.append(asyncio.create_task(served))
                return {}
            stop = Stop()
            if said.get("do") == "first":
                # by then it has begun a batch, which it finishes
                asyncio.get_running_loop().call_soon(_ask, stop)
            begun, cpu = monotonic(), process_time()
            counts = await run_lane(lane, stop)
            return {
                "sent": counts.sent,
                "begun": begun,
                "ended": monotonic(),
                "cpu": process_time() - cpu,
            }

        yield answer
        for task in serving:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


if __name__ == "__main__":
    play(worker)

"""Real worker processes for fault tests: `python -m tests.support.worker_process CONFIG.json`.

This process imports everything once and then forks a worker for each line on its standard input,
answering with the worker's process id: a killed worker has a successor within milliseconds, as on a
machine with several workers. The workers run the production loop against real stores.
"""

import asyncio
import json
import os
import signal
import sys
import tomllib
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg

from agent.adapters.deadman import SendGuard, dead_man
from agent.clock import Clock, SystemClock
from agent.domain.conduct import Pack, compile_pack
from agent.domain.delivery import DISPATCH_WINDOW
from agent.domain.message import Texts, compile_texts
from agent.entry.worker import Lanes, serve_worker
from agent.flows import dispatch_begin
from agent.flows.dispatch import Stop, run_lane
from agent.flows.lane import Lane, Limits
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from agent.telemetry import set_up_logging
from channels.base import Channel
from channels.sandbox.client import SandboxHttpChannel, open_session
from schedules import conduct_text
from templates import all_texts


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker of a test needs to know."""

    database_url: str
    redis_url: str | None
    phone_url: str
    master_key: str
    status_url: str | None = None
    batch: int = 20
    at_once: int = 2
    record_every: int = 5
    sweep_seconds: float = 0.05
    window_seconds: float = DISPATCH_WINDOW.total_seconds()
    dead_man: bool = True

    def write(self, path: Path) -> Path:
        """As a file for the process."""
        path.write_text(json.dumps(asdict(self)))
        return path


def shipped_texts() -> Texts:
    """The texts of this repository."""
    found = compile_texts(all_texts())
    assert isinstance(found, Texts)
    return found


def house_pack() -> Pack:
    """The house rules of this repository."""
    found = compile_pack(tomllib.loads(conduct_text("house")), "test")
    assert isinstance(found, Pack)
    return found


def lane_of(
    config: WorkerConfig,
    pool: asyncpg.Pool,
    portfolio: Portfolio,
    clock: Clock,
    channel: Channel,
    guard: SendGuard,
) -> Lane:
    """A lane with one SMS phone."""
    return Lane(
        pool=pool,
        keyring=Keyring(bytes.fromhex(config.master_key)),
        clock=clock,
        portfolio=portfolio,
        packs=(house_pack(),),
        texts=shipped_texts(),
        channels={"sms": channel},
        limits=Limits(config.batch, config.at_once, config.record_every),
        guard=guard,
        status_url=config.status_url,
    )


async def work(config: WorkerConfig) -> int:
    """The production worker loop, until SIGTERM."""
    # tests of stopped clocks would otherwise wait a quarter of a minute each
    setattr(dispatch_begin, "DISPATCH_WINDOW", timedelta(seconds=config.window_seconds))  # noqa: B010
    clock, stop = SystemClock(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(await open_pool(config.database_url))
        session = await stack.enter_async_context(open_session())
        async with pool.acquire() as conn:
            found = await load_portfolios(conn, clock.now())
        channel = SandboxHttpChannel(session, config.phone_url, "sms", clock.monotonic)
        guard = dead_man(clock.monotonic, real_clock=config.dead_man)
        lanes_of = {
            one.id: lane_of(config, pool, one, clock, channel, guard) for one in found.values()
        }

        async def run(lane: int, stopping: Stop) -> None:
            await run_lane(lanes_of[lane], stopping)

        return await serve_worker(
            pool,
            clock,
            Lanes(run),
            stop,
            redis_url=config.redis_url,
            sweep_seconds=config.sweep_seconds,
        )


def main() -> None:
    """Fork a worker for each line of input; they die with this process's parent."""
    set_up_logging("error")
    config = WorkerConfig(**json.loads(Path(sys.argv[1]).read_text()))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for line in sys.stdin:
        if line.startswith("wait "):
            _, status = os.waitpid(int(line.split()[1]), 0)
            print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201
            continue
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            code = asyncio.run(work(config))
            os._exit(code)
        print(pid, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

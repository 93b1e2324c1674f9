"""A crew of real worker processes that a test may kill, stop and replace."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGKILL, Signals

from tests.support.worker_process import WorkerConfig

ROOT = Path(__file__).parents[2]


class Crew:
    """Workers forked from one process that has everything imported."""

    def __init__(self, nursery: asyncio.subprocess.Process) -> None:
        self._nursery = nursery
        self.pids: list[int] = []

    async def _ask(self, line: str) -> int:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{line}\n".encode())
        return int(await self._nursery.stdout.readline())

    async def hire(self) -> int:
        """One more worker; its process id."""
        pid = await self._ask("fork")
        self.pids.append(pid)
        return pid

    def signal(self, pid: int, how: Signals) -> None:
        """Send a signal that a worker survives."""
        os.kill(pid, how)

    async def end(self, pid: int, how: Signals) -> int:
        """Send a signal that ends a worker; its exit code."""
        os.kill(pid, how)
        return await self.ended(pid)

    async def ended(self, pid: int) -> int:
        """Wait for a worker to end by itself; its exit code."""
        self.pids.remove(pid)
        return await self._ask(f"wait {pid}")


@asynccontextmanager
async def crew(folder: Path, config: WorkerConfig) -> AsyncIterator[Crew]:
    """A crew without anybody in it yet; nobody of it outlives the context."""
    nursery = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.worker_process",
        str(config.write(folder / "worker.json")), cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    hired = Crew(nursery)
    try:
        yield hired
    finally:
        for pid in hired.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        nursery.kill()
        await nursery.wait()

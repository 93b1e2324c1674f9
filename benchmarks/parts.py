"""Processes that a measurement needs: started here, spoken to in JSON lines, ended with us.

A part reads its configuration, says that it is ready (imports, connections and statements are no part
of what is measured), then answers each line it is asked. It ends when its input does, so that it
cannot outlive a bench that was killed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import uvloop

ROOT = Path(__file__).parents[1]
_LINE_MAX = 64 * 1024 * 1024

Said = dict[str, Any]
Answering = Callable[[Said], Awaitable[Mapping[str, Any]]]
Part = Callable[[Said], AbstractAsyncContextManager[Answering]]


class PartFailed(Exception):
    """A process of the benchmark ended before it answered."""


class Process:
    """A part, from the side of whoever asks."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process, self._name = process, name

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, **said: Any) -> Said:
        """One question, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps(said) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise PartFailed(f"{self._name} ended without an answer")
        answer: Said = orjson.loads(line)
        return answer


@asynccontextmanager
async def part(name: str, **config: Any) -> AsyncIterator[Process]:
    """Run `benchmarks.<name>` as a process that is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"benchmarks.{name}", cwd=ROOT, limit=_LINE_MAX,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        playing = Process(process, name)
        await playing.ask(**config)
        yield playing
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def play(make: Part) -> None:
    """What a part's module runs."""
    uvloop.run(_play(make))


async def _play(make: Part) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader(limit=_LINE_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with make(orjson.loads(await asked.readline())) as answer:
        _say({"ready": True})
        while line := await asked.readline():
            _say(await answer(orjson.loads(line)))


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()

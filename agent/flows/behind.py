"""Statements of one transaction that run in order while the next ones are still being worked out.

Python derives and PostgreSQL writes: done in turns, each would wait for the other most of the time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

Statement = Coroutine[Any, Any, object]


class Behind:
    """Statements on their way; nothing else may use their connection before they are settled."""

    def __init__(self) -> None:
        self._waiting: deque[Statement] = deque()
        self._running: asyncio.Task[None] | None = None

    def add(self, statement: Statement) -> None:
        """Run it once those before it are done; never, if one of them failed."""
        self._waiting.append(statement)
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def settle(self) -> None:
        """Wait for all that was added; raises what the first one that failed raised."""
        while self._running is not None:
            await self._running

    async def abandon(self) -> None:
        """Stop where it is, so that the transaction can be rolled back."""
        if self._running is not None:
            self._running.cancel()
            with suppress(Exception, asyncio.CancelledError):
                await self._running
        for statement in self._waiting:
            statement.close()

    async def _run(self) -> None:
        while self._waiting:
            await self._waiting.popleft()
        self._running = None


@asynccontextmanager
async def write_behind() -> AsyncIterator[Behind]:
    """All that is added is done at the end, or has stopped if anything failed."""
    behind = Behind()
    try:
        yield behind
        await behind.settle()
    finally:
        await behind.abandon()


class Turns:
    """Who goes first: work that an open transaction waits for, before what is only prepared ahead."""

    def __init__(self) -> None:
        self._urgent = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Nothing is prepared meanwhile, unless it had begun."""
        self._urgent += 1
        self._free.clear()
        try:
            yield
        finally:
            self._urgent -= 1
            if not self._urgent:
                self._free.set()

    async def last(self) -> None:
        """Between slices of what is prepared: goes on once nothing goes first."""
        await breathe()
        await self._free.wait()


async def breathe() -> None:
    """Between slices of work: lets statements go on, and whatever else this process does."""
    await asyncio.sleep(0)

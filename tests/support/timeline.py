"""A clock on which several workers live at once: it moves on when all of them wait for it.

Somebody works while a connection of the pool is in use or the loop has something to do; the test's
provider lives on the same clock. Real time plays no part, so that a minute takes a second.
"""

import asyncio
import heapq
import itertools
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

import asyncpg

from agent.clock import VirtualClock

T = TypeVar("T")
# Turns of the loop in which nobody did anything: what a finished task leaves behind has run by then.
_QUIET = 8


class Timeline(VirtualClock):
    """Sleepers are woken in order of time, each once all the others sleep or have ended."""

    def __init__(self, start: datetime, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        super().__init__(start)
        self._pool = pool
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        """Until the clock stands there."""
        woken = asyncio.get_running_loop().create_future()
        at = self.now() + timedelta(seconds=max(seconds, 0.0))
        heapq.heappush(self._sleepers, (at, next(self._order), woken))
        await woken

    async def live(self, *lives: Coroutine[Any, Any, T]) -> list[T]:
        """Until all of them have ended; what each of them returned."""
        tasks = [asyncio.create_task(life) for life in lives]
        while not all(task.done() for task in tasks):
            await self._settled()
            if self._sleepers:
                at, _, woken = heapq.heappop(self._sleepers)
                self.advance_to(max(at, self.now()))
                if not woken.done():
                    woken.set_result(None)
        return [task.result() for task in tasks]

    async def _settled(self) -> None:
        quiet = 0
        while quiet < _QUIET:
            await asyncio.sleep(0)  # gives the loop its turn; takes no time
            busy = self._pool.get_size() - self._pool.get_idle_size()
            quiet = 0 if busy else quiet + 1

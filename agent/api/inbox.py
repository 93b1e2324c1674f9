"""Group commit for webhooks: whatever arrives while one commit runs shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar, cast

from channels.base import Receipt

Item = TypeVar("Item")
Store = Callable[[Sequence[Item]], Awaitable[object]]
_GROUP_MAX = 500
# While one group is committed another is read, answered, and committed in its turn.
_AT_ONCE = 2
# A connection is kept for whoever comes in the next moment, but goes round: others wait for one too.
_IDLE_SECONDS = 0.003
_GROUPS = 50
# Twilio waits 15 s in all: an item waits for at most one other commit, and then for its own.
_PATIENCE_SECONDS = 4.0


class Inbox(Generic[Item]):
    """Stores items of a lane in groups; whoever puts one waits until it is committed.

    `opens` gives the store of a lane, for as long as somebody waits: a connection, say.
    """

    def __init__(self, opens: Callable[[int], AbstractAsyncContextManager[Store[Item]]]) -> None:
        self._opens = opens
        self._waiting: dict[int, list[tuple[Item, asyncio.Future[None]]]] = {}
        self._busy: dict[int, set[asyncio.Task[None]]] = {}
        self._idle: dict[int, list[asyncio.Future[None]]] = {}

    def put(self, lane: int, item: Item) -> "asyncio.Future[None]":
        """Done when this item is committed; raises what kept it from being so."""
        stored = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(lane, [])
        waiting.append((item, stored))
        if len(waiting) == 1:
            self._call(lane)
        return stored

    def _call(self, lane: int) -> None:
        """Somebody is to look after who began to wait: who is idle, one more, or the next to be free."""
        for idle in self._idle.get(lane, ()):
            if not idle.done():
                return idle.set_result(None)
        busy = self._busy.setdefault(lane, set())
        if len(busy) < _AT_ONCE:
            busy.add(asyncio.create_task(self._work(lane, busy)))
        return None

    async def _work(self, lane: int, busy: "set[asyncio.Task[None]]") -> None:
        while lane in self._waiting:
            await self._groups(lane)
        # at once: whoever comes next must not count on us
        busy.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _groups(self, lane: int) -> None:
        """Commit group after group; what goes wrong is told to whoever waits for it."""
        taken: list[tuple[Item, asyncio.Future[None]]] = []
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS) as patience, self._opens(lane) as store:
                for _ in range(_GROUPS):
                    if lane not in self._waiting and not await self._somebody_comes(lane):
                        break
                    taken = self._take(lane)
                    if not taken:
                        continue  # another connection was faster
                    await store([item for item, _ in taken])
                    _tell(taken, None)
                    taken = []
                    patience.reschedule(asyncio.get_running_loop().time() + _PATIENCE_SECONDS)
        except Exception as problem:  # noqa: BLE001 - it is handed to each of those who wait
            if isinstance(problem, TimeoutError) or not taken:
                taken += self._waiting.pop(lane, [])
            _tell(taken, problem)

    async def _somebody_comes(self, lane: int) -> bool:
        came = asyncio.get_running_loop().create_future()
        idle = self._idle.setdefault(lane, [])
        idle.append(came)
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await came
        except TimeoutError:
            return False
        finally:
            idle.remove(came)
        return True

    def _take(self, lane: int) -> list[tuple[Item, "asyncio.Future[None]"]]:
        waiting = self._waiting.pop(lane, [])
        if len(waiting) > _GROUP_MAX:
            self._waiting[lane] = waiting[_GROUP_MAX:]
        return waiting[:_GROUP_MAX]


def _tell(
    taken: Sequence[tuple[object, "asyncio.Future[None]"]], problem: Exception | None
) -> None:
    for _, stored in taken:
        if stored.done():
            continue
        if problem is None:
            stored.set_result(None)
        else:
            stored.set_exception(problem)


class ReceiptInbox(Inbox[Receipt]):
    """Receipts on their way into the database."""

"""Group commit for webhooks: whatever arrives while one commit runs shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from channels.base import Receipt

Item = TypeVar("Item")
_BATCH_MAX = 500
# A commit costs more than this wait, and shares it with whoever arrives meanwhile.
_LINGER = 0.0015


class Inbox(Generic[Item]):
    """Stores items of a lane in groups; whoever puts one waits until it is committed."""

    def __init__(self, apply: Callable[[int, Sequence[Item]], Awaitable[object]]) -> None:
        self._apply = apply
        self._waiting: dict[int, list[tuple[Item, asyncio.Future[None]]]] = {}
        self._flushing: dict[int, asyncio.Task[None]] = {}

    async def put(self, lane: int, item: Item) -> None:
        """Return when this item is committed; raise what kept it from being so."""
        stored = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(lane, []).append((item, stored))
        if lane not in self._flushing:
            self._flushing[lane] = asyncio.create_task(self._flush(lane))
        await stored

    async def _flush(self, lane: int) -> None:
        try:
            while lane in self._waiting:
                await asyncio.sleep(_LINGER)
                waiting = self._waiting.pop(lane)
                batch, rest = waiting[:_BATCH_MAX], waiting[_BATCH_MAX:]
                if rest:
                    self._waiting[lane] = rest
                await self._commit(lane, batch)
        finally:
            del self._flushing[lane]

    async def _commit(self, lane: int, batch: Sequence[tuple[Item, asyncio.Future[None]]]) -> None:
        problem: Exception | None = None
        try:
            await self._apply(lane, [item for item, _ in batch])
        except Exception as raised:  # noqa: BLE001 - it is handed to each of those who wait
            problem = raised
        for _, stored in batch:
            if stored.done():
                continue
            if problem is None:
                stored.set_result(None)
            else:
                stored.set_exception(problem)


class ReceiptInbox(Inbox[Receipt]):
    """Receipts on their way into the database."""

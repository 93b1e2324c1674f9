"""Receipts that an HTTP sandbox phone posts: signed, stored before the answer, many in one commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web

from channels.base import Receipt
from channels.sandbox.wire import SIGNATURE_HEADER, read_receipt, signed_by, status_url

Apply = Callable[[int, Sequence[Receipt]], Awaitable[object]]

_BATCH_MAX = 500
_log = structlog.get_logger("duly.receipts")


class ReceiptInbox:
    """Applies receipts in groups: whatever arrives while one commit runs shares the next one."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply
        self._waiting: dict[int, list[tuple[Receipt, asyncio.Future[None]]]] = {}
        self._flushing: dict[int, asyncio.Task[None]] = {}

    async def put(self, lane: int, receipt: Receipt) -> None:
        """Return when this receipt is committed; raise what kept it from being so."""
        stored = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(lane, []).append((receipt, stored))
        if lane not in self._flushing:
            self._flushing[lane] = asyncio.create_task(self._flush(lane))
        await stored

    async def _flush(self, lane: int) -> None:
        try:
            while waiting := self._waiting.pop(lane, None):
                batch, rest = waiting[:_BATCH_MAX], waiting[_BATCH_MAX:]
                if rest:
                    self._waiting[lane] = rest
                await self._commit(lane, batch)
        finally:
            del self._flushing[lane]

    async def _commit(
        self, lane: int, batch: Sequence[tuple[Receipt, asyncio.Future[None]]]
    ) -> None:
        problem: Exception | None = None
        try:
            await self._apply(lane, [receipt for receipt, _ in batch])
        except Exception as raised:  # noqa: BLE001 - it is handed to each of those who wait
            problem = raised
        for _, stored in batch:
            if stored.done():
                continue
            if problem is None:
                stored.set_result(None)
            else:
                stored.set_exception(problem)


def add_sandbox_callbacks(
    app: web.Application, inbox: ReceiptInbox, *, public_url: str, secret: bytes
) -> None:
    """Add `POST /webhooks/sandbox/{lane}/{token}`.

    The signature covers our public address from the settings, never what the `Host` header says.
    """

    async def take(request: web.Request) -> web.Response:
        lane, token = int(request.match_info["lane"]), request.match_info["token"]
        body = await request.read()
        signature = request.headers.get(SIGNATURE_HEADER, "")
        if not signed_by(secret, status_url(public_url, lane, token), body, signature):
            return web.Response(status=403)
        receipt = read_receipt(body, token)
        if receipt is None:
            return web.Response(status=400)
        try:
            await inbox.put(lane, receipt)
        except Exception:  # noqa: BLE001 - whatever kept it from being stored, the sender hears it
            _log.exception("receipt_not_stored", lane=lane)
            return web.Response(status=503)
        return web.Response(status=204)

    app.router.add_post(r"/webhooks/sandbox/{lane:\d{1,9}}/{token:[0-9a-f]{32}}", take)

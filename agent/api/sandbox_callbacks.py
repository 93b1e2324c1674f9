"""Receipts that an HTTP sandbox phone posts: signed, stored before the answer, many in one commit."""

import structlog
from aiohttp import web

from agent.api.inbox import ReceiptInbox
from channels.sandbox.wire import SIGNATURE_HEADER, read_receipt, signed_by, status_url

_log = structlog.get_logger("duly.receipts")


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

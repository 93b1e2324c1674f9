"""Our own receipt address, served by the test: workers may die, the web server lives on."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from agent.api.inbox import ReceiptInbox, Store
from agent.api.sandbox_callbacks import add_sandbox_callbacks
from agent.flows.portfolios import Portfolio
from agent.flows.receipts import receiving
from channels.base import Receipt


@asynccontextmanager
async def post_office(
    pool: asyncpg.Pool, portfolio: Portfolio, now: Callable[[], datetime]
) -> AsyncIterator[str]:
    """Take receipts from the phone while the context lasts; the lane's `status_url`."""

    def opens(lane: int) -> AbstractAsyncContextManager[Store[Receipt]]:
        assert lane == portfolio.id
        return receiving(pool, portfolio, now)

    app, port = web.Application(), unused_port()
    public = f"http://127.0.0.1:{port}"
    add_sandbox_callbacks(app, ReceiptInbox(opens), public_url=public, secret=b"sandbox")
    async with TestServer(app, port=port):
        yield f"{public}/webhooks/sandbox/{portfolio.id}"

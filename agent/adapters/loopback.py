"""An HTTP application on this machine's own address, reachable from nowhere else."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

HOST = "127.0.0.1"


class PortTaken(Exception):
    """Another process listens on that port."""


@asynccontextmanager
async def serve_loopback(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """The address of the application while the context lasts; port 0 is any free one."""
    # pages poll: a connection that is kept must not keep us when we go
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(f"port {port} is taken") from problem
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()

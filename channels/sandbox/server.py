"""The sandbox phone network as its own process: `python -m channels.sandbox.server --port 8090`.

It outlives the workers that tests kill, writes each accepted message to its log file before it
answers, and posts signed receipts to the address each message named.
"""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web

from channels.base import Accepted, Listed, Refusal, Refused, Unknown
from channels.sandbox.network import Lost, Posted, Reply, SandboxNetwork
from channels.sandbox.script import DEFAULT_SCRIPT, Loss, Script, read_script, script_from
from channels.sandbox.wire import (
    SIGNATURE_HEADER,
    heard_line,
    read_heard,
    read_message,
    receipt_body,
    sign,
)

_PAGE = 50
_PUMP_SECONDS = 0.02
_POST_TIMEOUT = aiohttp.ClientTimeout(total=5)
_STATUS = {
    Refusal.TRANSIENT: 429,
    Refusal.PERMANENT: 400,
    Refusal.OPTED_OUT: 400,
    Refusal.CONFIGURATION: 401,
}


class SandboxServer:
    """HTTP around a `SandboxNetwork`: messages in, a list, receipts out, controls for tests."""

    def __init__(
        self,
        network: SandboxNetwork,
        now: Callable[[], datetime],
        *,
        latency: float = 0.0,
        secret: bytes = b"sandbox",
        log: Path | None = None,
    ) -> None:
        self._network = network
        self._now = now
        self._latency = latency
        self._secret = secret
        self._log = _open_log(network, log) if log else None

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application()
        app.router.add_post("/messages", self._take)
        app.router.add_get("/messages", self._list)
        app.router.add_put("/control/script", self._set_script)
        app.router.add_get("/control/log", self._truth)
        app.cleanup_ctx.append(self._pump)
        return app

    async def _take(self, request: web.Request) -> web.StreamResponse:
        message = read_message(await request.read())
        if message is None:
            return _json(400, {"code": "malformed", "kind": Refusal.CONFIGURATION})
        reply = self._network.accept(message, self._now())
        if self._log is not None and reply.heard is not None:
            os.write(self._log, heard_line(reply.heard))
        delay = self._latency + reply.after
        if delay > 0:
            await asyncio.sleep(delay)
        return await _answer(request, reply)

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            since, after = datetime.fromisoformat(query["since"]), int(query.get("after", "0"))
            channel, address = query["channel"], query["to"]
        except (KeyError, ValueError):
            return _json(400, {"code": "malformed"})
        listing = self._network.listing(channel, address, since, self._now())
        page = listing.messages[after : after + _PAGE]
        more = after + _PAGE < len(listing.messages)
        return _json(
            200,
            {
                "complete": listing.complete,
                "messages": [_listed(one) for one in page],
                "next": str(after + _PAGE) if more else None,
            },
        )

    async def _set_script(self, request: web.Request) -> web.Response:
        try:
            self._network.script = script_from(orjson.loads(await request.read()))
        except (ValueError, TypeError) as problem:
            return _json(400, {"code": "script", "detail": str(problem)})
        return web.Response(status=204)

    async def _truth(self, request: web.Request) -> web.Response:
        start = int(request.query.get("from", "0"))
        return _json(200, [asdict(heard) for heard in self._network.accepted[start:]])

    async def _pump(self, _app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=_POST_TIMEOUT) as session:
            pump = asyncio.create_task(self._post_for_ever(session))
            yield
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump

    async def _post_for_ever(self, session: aiohttp.ClientSession) -> None:
        posting: set[asyncio.Task[None]] = set()
        while True:
            for posted in self._network.post(self._now()):
                task = asyncio.create_task(self._post(session, posted))
                posting.add(task)
                task.add_done_callback(posting.discard)
            await asyncio.sleep(_PUMP_SECONDS)

    async def _post(self, session: aiohttp.ClientSession, posted: Posted) -> None:
        # A receipt that finds nobody is lost, as with real providers: the list settles it then.
        if posted.status_url is None:
            return
        body = receipt_body(posted.receipt)
        headers = {
            SIGNATURE_HEADER: sign(self._secret, posted.status_url, body),
            "Content-Type": "application/json",
        }
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with session.post(posted.status_url, data=body, headers=headers):
                pass


async def _answer(request: web.Request, reply: Reply) -> web.StreamResponse:
    match reply.answer:
        case Accepted(provider_id):
            return _json(201, {"id": provider_id})
        case Refused(code, kind):
            return _json(_STATUS[kind], {"code": code, "kind": kind})
        case Lost(Loss.ERROR):
            return _json(503, {"code": "unavailable"})
        case Lost(Loss.WITHOUT_ID):
            return _json(201, {})
        case Lost(loss):
            return await _cut(request, half=loss is Loss.HALF)
        case Unknown(why):
            return _json(500, {"code": why})


async def _cut(request: web.Request, *, half: bool) -> web.StreamResponse:
    """Break the connection, before the answer or in the middle of it."""
    response = web.StreamResponse(status=201, headers={"Content-Length": "64"})
    if half:
        await response.prepare(request)
        await response.write(b'{"id":"SM')
    if request.transport is not None:
        request.transport.close() if half else request.transport.abort()
    return response


def _json(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def _listed(one: Listed) -> dict[str, object]:
    return {"id": one.provider_id, "to": one.address, "body": one.body, "at": one.at}


def _open_log(network: SandboxNetwork, path: Path) -> int:
    """Append to the log, after taking back what an earlier process of this server accepted."""
    if path.exists():
        for line in path.read_bytes().splitlines():
            network.restore(read_heard(line))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m channels.sandbox.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--log", type=Path, help="file that accepted messages are appended to")
    parser.add_argument("--script", type=Path, help="TOML file with [[rule]] tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--secret", default=os.environ.get("SANDBOX_SECRET", "sandbox"))
    return parser.parse_args()


def _now() -> datetime:
    # A process of its own has a clock of its own; nothing of Duly's rules runs here.
    return datetime.now(UTC)  # noqa: TID251


def main() -> None:
    """Serve until a signal comes."""
    given = _arguments()
    script: Script = read_script(given.script) if given.script else DEFAULT_SCRIPT
    server = SandboxServer(
        SandboxNetwork(script, given.seed),
        _now,
        latency=given.latency_ms / 1000,
        secret=given.secret.encode(),
        log=given.log,
    )
    web.run_app(server.app(), host=given.host, port=given.port, access_log=None, print=None)


if __name__ == "__main__":
    main()

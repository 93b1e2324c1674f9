"""Twilio's published OpenAPI description as a judge: Prism, where `../shared/peers/start.sh` runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

PRISM = "http://127.0.0.1:4010"
_PASSED_ON = ("Authorization", "Content-Type", "Accept")


async def prism_runs() -> bool:
    """Whether it listens."""
    try:
        async with aiohttp.ClientSession() as http, http.get(PRISM):
            return True
    except aiohttp.ClientConnectionError:
        return False


async def need_prism() -> None:
    """Skip the test where it does not run."""
    if not await prism_runs():
        pytest.skip(
            f"no Prism with Twilio's OpenAPI at {PRISM}; ../shared/peers/start.sh starts it"
        )


def _of_request(violations: str) -> bool:
    """Prism also finds fault with the examples that it answers with itself."""
    return any(one["location"][0] == "request" for one in orjson.loads(violations))


@dataclass(slots=True)
class Judge:
    """What was asked, and what Prism said of it."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=list)


@asynccontextmanager
async def judging() -> AsyncIterator[Judge]:
    """A server in front of Prism that passes every request on and keeps the judgement."""
    judge = Judge()

    async def pass_on(request: web.Request) -> web.Response:
        sent = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                request.method, PRISM + request.path_qs, data=await request.read(), headers=sent
            ) as said,
        ):
            body = await said.read()
        what = f"{request.method} {request.path}"
        judge.asked.append(what)
        if said.status >= 400 or _of_request(said.headers.get("sl-violations", "[]")):
            judge.against.append(f"{what}: {said.status} {body.decode()}")
        return web.Response(status=said.status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    async with TestServer(app) as running:
        judge.url = str(running.make_url("/"))
        yield judge

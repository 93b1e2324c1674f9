"""Google's token endpoint, on loopback: checks the assertion, hands out tokens, fails when told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from channels.jwt import unbase64url
from tests.support.push_keys import rsa_key


@dataclass(slots=True)
class Google:
    """How it answers, and every assertion that it was shown."""

    url: str = ""
    status: int = 200
    body: bytes | None = None
    seconds: int = 3600
    claims: list[dict[str, object]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def google() -> AsyncIterator[Google]:
    """Run it while the context lasts."""
    state = Google()
    state.gate.set()

    async def token(request: web.Request) -> web.Response:
        form = await request.post()
        head, claims, signature = str(form["assertion"]).split(".")
        signed = f"{head}.{claims}".encode()
        rsa_key().public_key().verify(unbase64url(signature), signed, padding.PKCS1v15(), SHA256())
        state.claims.append(orjson.loads(unbase64url(claims)))
        await state.gate.wait()
        value = f"token-{len(state.claims)}"
        said = {"access_token": value, "expires_in": state.seconds, "token_type": "Bearer"}
        return web.Response(status=state.status, body=state.body or orjson.dumps(said))

    app = web.Application()
    app.router.add_post("/token", token)
    async with TestServer(app) as server:
        state.url = str(server.make_url("/token"))
        yield state

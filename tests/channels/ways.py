"""Every channel that speaks HTTP/1.1, built against a server of the test's choice."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from agent.clock import SystemClock, random_bytes
from channels.base import Channel, Message
from channels.google_token import GoogleTokens, read_service_account
from channels.push import Life
from channels.push_fcm import FcmChannel
from channels.push_web import Vapid, WebPushChannel
from channels.sandbox.client import SandboxHttpChannel
from tests.support.google import google
from tests.support.push_keys import p256_key, service_account, subscription

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TOKEN = "0195a1b2c3d4e5f60718293a4b5c6d7e"
Monotonic = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Way:
    """A channel: how it is built, whom it writes to, what a good answer is and the id in it."""

    name: str
    build: Callable[[aiohttp.ClientSession, str, Monotonic], AbstractAsyncContextManager[Channel]]
    address: Callable[[str], str]
    ok: bytes
    accepted: str

    def message(self, url: str, deadline: float) -> Message:
        """A message to somebody behind that server."""
        return Message(
            TOKEN, "push", self.name, self.address(url), "Kobo Credit", "You have a new message.",
            deadline, None, 3600, AT, "notice-1", "loan-1",
        )  # fmt: skip


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def _sandbox(
    session: aiohttp.ClientSession, url: str, monotonic: Monotonic
) -> AsyncIterator[Channel]:
    yield SandboxHttpChannel(session, url, "push", monotonic)


@asynccontextmanager
async def _fcm(
    session: aiohttp.ClientSession, url: str, monotonic: Monotonic
) -> AsyncIterator[Channel]:
    async with google() as state, aiohttp.ClientSession() as own:
        account = read_service_account(service_account(state.url))
        tokens = GoogleTokens(own, account, SystemClock().now, monotonic)
        assert await tokens.bearer(monotonic() + 5) == "token-1"
        life = Life(SystemClock().now, 14400)
        yield FcmChannel(session, account.project, tokens, life, monotonic, url)


@asynccontextmanager
async def _web(
    session: aiohttp.ClientSession, url: str, monotonic: Monotonic
) -> AsyncIterator[Channel]:
    vapid, now = Vapid(p256_key(), "mailto:ops@kobo.example"), SystemClock().now
    yield WebPushChannel(session, vapid, Life(now, 14400), now, monotonic, random_bytes, (url,))


FCM_NAME = "projects/demo-loans/messages/0:1%2"
WAYS = (
    Way("sandbox", _sandbox, lambda _: "device-1", _answer("201 Created", b'{"id":"SM1"}'), "SM1"),
    Way(
        "fcm",
        _fcm,
        lambda _: "device-1",
        _answer("200 OK", b'{"name":"%s"}' % FCM_NAME.encode()),
        FCM_NAME,
    ),
    Way(
        "web",
        _web,
        lambda url: subscription(f"{url}/wpush/v2/gAAA"),
        _answer("201 Created", b"{}", "Location: https://push.example/m/1"),
        "https://push.example/m/1",
    ),
)

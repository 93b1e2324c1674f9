"""The sandbox phone over HTTP: one POST, no retry, no redirect, nothing after the deadline."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from channels.base import (
    NO_CONNECTION,
    TOO_LATE,
    Answer,
    Listed,
    Listing,
    Message,
    Unknown,
    classify,
)
from channels.sandbox.wire import message_body, read_listed

# An answer is waited for until shortly before the deadline, so that recording it fits in too.
_MARGIN = 0.5
_CONNECT = 5.0
_STEP = 0.05
_LIST_TIMEOUT = aiohttp.ClientTimeout(total=10)
_PAGES_MAX = 20


class LastStep(aiohttp.BytesPayload):
    """A body that looks at the deadline in the same step that hands it to the socket.

    aiohttp buffers the headers until the body is written, so that no byte of the request has left
    before `write_with_length` runs, and nothing awaits between the check below and
    `transport.write`. What `handed_over` says afterwards is exact: False means not sent.
    """

    def __init__(self, body: bytes, deadline: float, monotonic: Callable[[], float]) -> None:
        super().__init__(body, content_type="application/json")
        self._deadline = deadline
        self._monotonic = monotonic
        self._revoked = False
        self.handed_over = False
        self.too_late = False

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Write, unless the time is over or the sender has already given up."""
        if self._revoked:
            raise aiohttp.ClientConnectionError("revoked")
        if self._monotonic() >= self._deadline:
            self.too_late = True
            raise aiohttp.ClientConnectionError("deadline")
        self.handed_over = True
        await super().write_with_length(writer, content_length)

    def never_sent(self) -> bool:
        """True when no byte left, and from now on none can: a body is never written after this."""
        self._revoked = True
        return not self.handed_over


def open_session(connections: int = 256) -> aiohttp.ClientSession:
    """The one session of a process: keep-alive shorter than the server's, no cookies, no extras."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=15, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        auto_decompress=False,
    )


class SandboxHttpChannel:
    """One channel of a sandbox server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        channel: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._session = session
        self.url = URL(base_url)
        self._messages = self.url / "messages"
        self._channel = channel
        self._monotonic = monotonic

    async def send(self, message: Message) -> Answer:
        """One POST. A failure before its first byte is a refusal, a failure after it unknown."""
        left = message.deadline - self._monotonic() - _MARGIN
        if left < _STEP:
            return TOO_LATE
        payload = LastStep(message_body(message), message.deadline - _MARGIN, self._monotonic)
        try:
            async with self._session.post(
                self._messages, data=payload, allow_redirects=False, timeout=_within(left)
            ) as response:
                return classify(response.status, await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            return _after_failure(payload, problem)

    async def listing(self, address: str, since: datetime) -> Listing:
        """Every page of the list, or an incomplete one: half a list proves no absence."""
        found: list[Listed] = []
        query = {"channel": self._channel, "to": address, "since": since.isoformat()}
        try:
            for _ in range(_PAGES_MAX):
                page = await self._page(query)
                found += [read_listed(one) for one in page["messages"]]
                if page["next"] is None:
                    return Listing(complete=bool(page["complete"]), messages=tuple(found))
                query = query | {"after": page["next"]}
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            return Listing(complete=False, messages=tuple(found))
        return Listing(complete=False, messages=tuple(found))

    async def _page(self, query: dict[str, str]) -> dict[str, Any]:
        async with self._session.get(
            self._messages, params=query, allow_redirects=False, timeout=_LIST_TIMEOUT
        ) as response:
            response.raise_for_status()
            page: dict[str, Any] = orjson.loads(await response.read())
            return page


def _within(left: float) -> aiohttp.ClientTimeout:
    """A timeout of at most this, rounded down so that the sends of a batch share one object."""
    return _timeout(int(left / _STEP))


@cache
def _timeout(steps: int) -> aiohttp.ClientTimeout:
    # aiohttp rounds long timeouts up to whole seconds unless told not to; that could pass the deadline
    return aiohttp.ClientTimeout(total=steps * _STEP, sock_connect=_CONNECT, ceil_threshold=3600)


def _after_failure(payload: LastStep, problem: Exception) -> Answer:
    if payload.never_sent():
        return TOO_LATE if payload.too_late else NO_CONNECTION
    if isinstance(problem, TimeoutError):
        return Unknown("timeout")
    return Unknown(type(problem).__name__)

"""POSTs to one address over kept connections, each handed over at most once.

A general HTTP client hides what the send protocol lives on: whether a byte may have left. Here the
look at the deadline and `transport.write` are one step without a pause, a request has a connection of
its own until its answer is complete, and nothing repeats, redirects or guesses. Whatever is not
exactly one well-formed answer to exactly one request is unknown, and its connection is closed.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple, cast

import aiohttp
import httptools
from yarl import URL

from channels.base import NO_CONNECTION, TOO_LATE, Refused, Unknown
from channels.crash_points import CrashPoint, reached

# How many bytes an answer may have in all, head and body; providers say a few hundred.
ANSWER_MAX = 64 * 1024
# Shorter than servers keep a quiet connection: one that they close just now makes an unknown.
KEEP_SECONDS = 15.0
CONNECT_SECONDS = 5.0
# With less time than this nothing is begun.
LEAST_SECONDS = 0.05

Monotonic = Callable[[], float]


class Reply(NamedTuple):
    """A complete HTTP answer."""

    status: int
    body: bytes


class Posts:
    """All POSTs to one URL: up to `connections` at once, each on a connection of its own."""

    def __init__(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        connections: int = 256,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port = url.raw_host or "", url.port or 0
        self._tls = (tls or ssl.create_default_context()) if url.scheme == "https" else None
        self._head = _head(url, headers)
        self._free = connections
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[Line] = []
        self._open: set[Line] = set()
        self._all_gone = asyncio.Event()

    async def post(
        self, body: bytes, deadline: float, monotonic: Monotonic
    ) -> Reply | Refused | Unknown:
        """One POST. A refusal says that no byte left, and none can any more; unknown that some may have.

        Nothing is written at or after `deadline`, and nobody waits for an answer beyond it.
        """
        left = deadline - monotonic()
        if left < LEAST_SECONDS:
            return TOO_LATE
        now = asyncio.get_running_loop().time()
        due = now + left
        if self._free:
            self._free -= 1
        elif not await self._turn(due):
            return NO_CONNECTION
        try:
            line = self._kept(now) or await self.connect(due)
            if line is None:
                return NO_CONNECTION
            asked = line.ask(
                b"%b%d\r\n\r\n%b" % (self._head, len(body), body), due, deadline, monotonic
            )
            if isinstance(asked, Refused):
                return asked
            try:
                return await asked
            except asyncio.CancelledError:
                line.forsake(asked)
                raise
        finally:
            self._leave()

    async def _turn(self, due: float) -> bool:
        """Wait until somebody leaves, who hands over his turn; False if nobody does by `due`."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(due):
                await turn
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()
            raise
        # it may have come in the same moment
        return turn.done() and not turn.cancelled()

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _kept(self, now: float) -> "Line | None":
        """The connection that was quiet for the shortest time, if it is still good."""
        while self._idle:
            line = self._idle.pop()
            if line.fresh(now):
                return line
            line.drop()
        return None

    async def connect(self, due: float) -> "Line | None":
        """A new connection; None if there is none by `due`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(due, loop.time() + CONNECT_SECONDS)):
                _, line = await loop.create_connection(
                    lambda: Line(self), self._host, self._port, ssl=self._tls
                )
        except (OSError, TimeoutError):
            return None
        return line

    def opened(self, line: "Line") -> None:
        """Told by a line that it is connected."""
        self._open.add(line)

    def keep(self, line: "Line") -> None:
        """Told by a line that it may be used again."""
        self._idle.append(line)

    def gone(self, line: "Line") -> None:
        """Told by a line that its connection is closed."""
        self._open.discard(line)
        if line in self._idle:
            self._idle.remove(line)
        if not self._open:
            self._all_gone.set()

    def drop(self) -> None:
        """Close every connection; what is still being waited for becomes unknown."""
        self._idle.clear()
        for line in tuple(self._open):
            line.drop()

    async def close(self) -> None:
        """Drop every connection and wait until the loop has closed it."""
        self.drop()
        while self._open:
            self._all_gone.clear()
            await self._all_gone.wait()


class Connector(aiohttp.TCPConnector):
    """The connections of a session; those for posts are kept beside them and closed with them."""

    def __init__(self, *, limit: int = 256) -> None:
        super().__init__(limit=limit, keepalive_timeout=KEEP_SECONDS, ttl_dns_cache=60)
        self._posts: dict[URL, Posts] = {}

    def posts(self, url: URL, headers: Mapping[str, str]) -> Posts:
        """Those for posts to one URL, the same for every channel that sends there."""
        if url not in self._posts:
            self._posts[url] = self.new_posts(url, headers)
        return self._posts[url]

    def new_posts(self, url: URL, headers: Mapping[str, str]) -> Posts:
        """As many at once as there are connections."""
        return Posts(url, headers, connections=self.limit)

    def close(self, *, abort_ssl: bool = False) -> Coroutine[Any, Any, None]:
        """Close everything."""
        for posts in self._posts.values():
            posts.drop()
        return super().close(abort_ssl=abort_ssl)


def posts_of(session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str]) -> Posts:
    """The connections for posts that belong to a session of `channels.handover.open_session`."""
    connector = session.connector
    assert isinstance(connector, Connector), "a session of open_session has its own connector"
    return connector.posts(url, headers)


def _head(url: URL, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"POST {url.raw_path_qs} HTTP/1.1",
        f"Host: {url.host_port_subcomponent}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header has a line break in it")
    return "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")


class Line(asyncio.Protocol):
    """One connection: idle, or waiting for the answer to one request."""

    __slots__ = (
        "_asked", "_body", "_due", "_idle_since", "_keeps", "_loop", "_parser", "_posts", "_reply",
        "_size", "_surplus", "_timer", "_transport",
    )  # fmt: skip

    def __init__(self, posts: Posts) -> None:
        self._posts = posts
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._asked: asyncio.Future[Reply | Unknown] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._idle_since = 0.0
        self._forget()

    def _forget(self) -> None:
        self._size = 0
        self._body = b""
        self._reply: Reply | None = None
        self._keeps = self._surplus = False

    def ask(
        self, request: bytes, due: float, deadline: float, monotonic: Monotonic
    ) -> "asyncio.Future[Reply | Unknown] | Refused":
        """Write the request, unless its deadline is over; the answer is there by `due`, or unknown.

        The two say the same, the one by the caller's clock and the other by the loop's. Whoever does not
        wait for the answer says so by `forsake`.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return NO_CONNECTION
        if monotonic() >= deadline:
            self._rest()
            return TOO_LATE
        transport.write(request)
        reached(CrashPoint.SEND_WRITTEN)
        self._forget()
        asked = self._asked = self._loop.create_future()
        if self._timer is None or due < self._timer.when():
            self._watch(due)
        self._due = due
        return asked

    def forsake(self, asked: "asyncio.Future[Reply | Unknown]") -> None:
        """Nobody waits for this answer any more: were it still to come, it would come to nobody."""
        if self._asked is asked:
            self._asked = None
            self.drop()

    def fresh(self, now: float) -> bool:
        """Open, and not quiet for so long that the server may be closing it."""
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and now - self._idle_since < KEEP_SECONDS
        )

    def drop(self) -> None:
        """Close at once, whatever is still on its way."""
        if self._transport is not None:
            self._transport.abort()

    def _rest(self) -> None:
        self._idle_since = self._loop.time()
        self._posts.keep(self)

    # one timer a connection: requests follow each other with later and later ends, so it is seldom moved

    def _watch(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._asked is None:
            return
        if self._loop.time() < self._due:
            self._watch(self._due)
        else:
            self._end(Unknown("timeout"))

    def _end(self, answer: Reply | Unknown, *, keeps: bool = False) -> None:
        asked, self._asked = self._asked, None
        if keeps:
            self._rest()
        else:
            self.drop()
        if asked is not None and not asked.done():
            asked.set_result(answer)

    # what the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._posts.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        why = "connection-closed" if exc is None else type(exc).__name__
        self._end(Unknown(why))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        self._posts.gone(self)

    def data_received(self, data: bytes) -> None:
        if self._asked is None:
            self.drop()  # it speaks unasked: whose answer would the next one be?
            return
        self._size += len(data)
        if self._size > ANSWER_MAX:
            self._end(Unknown("answer-too-long"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end(Unknown("answer-garbled"))
            return
        if self._surplus:
            self._end(Unknown("two-answers"))
        elif self._reply is not None:
            self._end(self._reply, keeps=self._keeps)

    # what the parser says

    def on_message_begin(self) -> None:
        self._surplus = self._reply is not None

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # "100 Continue" and its like come before the answer
            self._reply = Reply(status, self._body)
            self._keeps = self._parser.should_keep_alive()

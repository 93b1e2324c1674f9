"""A server of raw bytes, for everything that a well-behaved HTTP server would never do."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from channels.http_post import Connector, Line, Posts

ABORT = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Raw:
    """What it answers; what it was sent, one entry a connection that sent anything."""

    answer: bytes
    # hear only this much of a request and then break the connection
    hears: int | None = None
    # after its answer: keep the connection open and silent
    hangs: bool = False
    url: str = ""
    got: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def raw_server(
    answer: bytes = b"", *, hears: int | None = None, hangs: bool = False
) -> AsyncIterator[Raw]:
    """Answer each request with exactly these bytes, then close."""
    raw = Raw(answer, hears, hangs)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            if raw.hears is not None:
                await _hear_a_part(raw, reader, writer)
                return
            raw.got.append(await _whole_request(reader))
            writer.write(raw.answer)
        if not raw.hangs:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield raw
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _whole_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(size)


async def _hear_a_part(
    raw: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    assert raw.hears is not None
    heard = await reader.readexactly(raw.hears)
    if heard:
        raw.got.append(heard)
    # a reset rather than a close: the client may not even read what was on its way
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()


class JumpingClock:
    """A monotonic clock that a test moves on: time that passed while the process slept."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.offset


class SleepingConnector(Connector):
    """The process sleeps after it has connected, and wakes up when its deadline is long past."""

    def __init__(self, clock: JumpingClock) -> None:
        super().__init__()
        self._clock = clock

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own name
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        self._clock.offset += 100.0
        return connection

    def new_posts(self, url: URL, headers: Mapping[str, str]) -> Posts:
        return _SleepingPosts(self._clock, url, headers)


class _SleepingPosts(Posts):
    def __init__(self, clock: JumpingClock, url: URL, headers: Mapping[str, str]) -> None:
        super().__init__(url, headers)
        self._clock = clock

    async def connect(self, due: float) -> Line | None:
        line = await super().connect(due)
        self._clock.offset += 100.0
        return line

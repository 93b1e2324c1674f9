"""A provider that is never the limit: HTTP/1.1 on a bare protocol, in a process of its own.

It answers each POST after a fixed time with an id, as the sandbox phone does, and remembers when each
message came and for whom. `python -m benchmarks.provider` (a part).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic
from typing import Any, cast

from agent.entry.collector import quiet_collector
from benchmarks.parts import Answering, Said, play

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"Content-Length:"
_TO = b'"to":'


class Arrivals:
    """What came, in order: (monotonic instant, address)."""

    def __init__(self) -> None:
        self.all: list[tuple[float, bytes]] = []
        self.numbers = count(1)


class Answers:
    """Answers to come, each after the same time: what came first is due first, and one timer does."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, Phone]] = deque()

    def to_come(self, phone: "Phone") -> None:
        """This phone answers in its time."""
        due = self._loop.time() + self._latency
        self._due.append((due, phone))
        if len(self._due) == 1:
            self._loop.call_at(due, self._give)

    def _give(self) -> None:
        # the loop counts in milliseconds, and half of one is less than it can tell
        now = self._loop.time() + 0.0005
        while self._due and self._due[0][0] <= now:
            self._due.popleft()[1].answer()
        if self._due:
            self._loop.call_at(self._due[0][0], self._give)


class Phone(asyncio.Protocol):
    """One connection, which may carry many requests."""

    def __init__(self, arrivals: Arrivals, answers: Answers) -> None:
        self._arrivals, self._answers = arrivals, answers
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer and self._take_one():
            pass

    def _take_one(self) -> bool:
        said = self._buffer
        head = said.find(_HEAD_END)
        if head < 0:
            return False
        begin = head + len(_HEAD_END)
        end = begin + _length(said, head)
        if len(said) < end:
            return False
        self._buffer = said[end:]
        at = said.find(b'"', said.find(_TO, begin) + len(_TO)) + 1
        self._arrivals.all.append((monotonic(), said[at : said.find(b'"', at)]))
        self._answers.to_come(self)
        return True

    def answer(self) -> None:
        """With an id that nobody else gets."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_RESPONSE % next(self._arrivals.numbers))


_BODY = b'{"id":"SM%030d"}'
_RESPONSE = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(_BODY % 0)
    + _BODY
)


def _length(said: bytes, head: int) -> int:
    """Most clients write the header in this way; looking for it in any way costs a copy."""
    at = said.find(_LENGTH, 0, head)
    if at < 0:
        at = said[:head].lower().find(_LENGTH.lower())
    if at < 0:
        return 0
    return int(said[at + len(_LENGTH) : said.find(b"\r", at)])


@asynccontextmanager
async def provider(config: Said) -> AsyncIterator[Answering]:
    """Listens on a port that the system chooses."""
    arrivals = Arrivals()
    answers = Answers(config["latency_ms"] / 1000)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Phone(arrivals, answers), "127.0.0.1", 0, backlog=1024
    )
    quiet_collector()
    port = server.sockets[0].getsockname()[1]

    async def answer(said: Said) -> Mapping[str, Any]:
        """`take`: what came since the last time; else where it listens."""
        if said.get("do") != "take":
            return {"url": f"http://127.0.0.1:{port}"}
        taken, arrivals.all = arrivals.all, []
        return {"at": [at for at, _ in taken], "to": [to.decode() for _, to in taken]}

    async with server:
        yield answer


if __name__ == "__main__":
    play(provider)

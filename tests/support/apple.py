"""An HTTP/2 server for push tests: answers as told, breaks off where told, keeps what it was sent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import orjson
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings


@dataclass(slots=True)
class Pushed:
    """One whole request."""

    stream: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Apple:
    """What it does with each request, and what it was sent."""

    act: "Callable[[Talk, Pushed], None]"
    url: str = ""
    pushed: list[Pushed] = field(default_factory=list)
    connections: int = 0
    streams: int = 1000
    window: int = 65_535
    # break the connection after so many bytes of it were heard, or of an answer were written
    hears: int | None = None
    tells: int | None = None
    heard: int = 0
    told: int = 0
    deaf: bool = False


class Talk:
    """One connection, from the server's side."""

    def __init__(self, apple: Apple, writer: asyncio.StreamWriter) -> None:
        self.apple = apple
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.writer = writer
        self._open: dict[int, Pushed] = {}

    def begin(self) -> None:
        self.h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: self.apple.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: self.apple.window,
            },
        )
        self.h2.initiate_connection()
        self.flush()

    def take(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case RequestReceived():
                    headers = {str(name): str(value) for name, value in event.headers}
                    self._open[event.stream_id] = Pushed(event.stream_id, headers, b"")
                case DataReceived():
                    self._open[event.stream_id].body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    pushed = self._open.pop(event.stream_id)
                    self.apple.pushed.append(pushed)
                    self.flush()
                    self.apple.act(self, pushed)
        self.flush()

    def answer(self, stream: int, status: int, said: object = None) -> None:
        """A whole answer, or as much of it as is to be told."""
        self.flush()
        headers = [(":status", str(status)), ("apns-id", f"id-{stream}")]
        self.h2.send_headers(stream, headers, end_stream=said is None)
        if said is not None:
            self.h2.send_data(stream, orjson.dumps(said), end_stream=True)
        data = self.h2.data_to_send()
        self.apple.told = len(data)
        if self.apple.tells is None:
            self.writer.write(data)
        else:
            self.writer.write(data[: self.apple.tells])
            self.writer.close()

    def reset(self, stream: int, code: ErrorCodes) -> None:
        self.h2.reset_stream(stream, code)
        self.flush()

    def go_away(self, last: int) -> None:
        """As a frame of our own making, because `h2` would then answer nothing any more."""
        payload = last.to_bytes(4) + (0).to_bytes(4) + b'{"reason":"Shutdown"}'
        self.flush()
        self.writer.write(len(payload).to_bytes(3) + b"\x07\x00" + (0).to_bytes(4) + payload)

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.writer.is_closing():
            self.writer.write(data)


def accept(talk: Talk, pushed: Pushed) -> None:
    """What Apple does with most."""
    talk.answer(pushed.stream, 200)


@asynccontextmanager
async def apple(act: Callable[[Talk, Pushed], None] = accept) -> AsyncIterator[Apple]:
    """Run it while the context lasts, without TLS."""
    state = Apple(act)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        state.connections += 1
        talk = Talk(state, writer)
        talk.begin()
        with suppress(ConnectionError, H2Error):
            while data := await reader.read(65_536):
                state.heard += len(data)
                if state.hears is not None and state.heard >= state.hears:
                    writer.transport.abort()
                    return
                if not state.deaf:
                    talk.take(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield state
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

"""One HTTP/2 connection: requests handed over whole and at most once, with `h2` as the codec.

A request goes out whole, headers and body, in the step that looks at the deadline. The protocol then
proves more than HTTP/1.1 can: a stream above the last one of a GOAWAY, or one that was refused, was
never processed. Everything else that breaks off is unknown.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from channels.base import TOO_LATE, Refusal, Refused, Unknown
from channels.http_once import HttpAnswer

NOT_PROCESSED = Refused("not-processed", Refusal.TRANSIENT)
Outcome = HttpAnswer | Refused | Unknown

# A connection that was silent for so long is asked whether it still lives before it is used.
_SILENT = 30.0
_PING = 2.0
_STREAMS_MAX = 500
_ANSWER_BYTES_MAX = 16 * 1024
_HEADERS_MAX = 16 * 1024
_FRAME_HEAD = 9
_FRAME_MAX = 16 * 1024
_GOAWAY = 7
_CLOSED = Unknown("connection-lost")


class _Stream:
    """One request under way and what has come back of it."""

    __slots__ = ("answer", "body", "headers")

    def __init__(self, answer: "asyncio.Future[Outcome]") -> None:
        self.answer = answer
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def settle(self, outcome: Outcome) -> None:
        if not self.answer.done():
            self.answer.set_result(outcome)


class Connection(asyncio.Protocol):
    """One connection. It takes nothing new once it drains, and ends when its last stream does."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_FRAME_SIZE: _FRAME_MAX,
                SettingCodes.MAX_HEADER_LIST_SIZE: _HEADERS_MAX,
            },
        )
        self._streams: dict[int, _Stream] = {}
        self._inbox = bytearray()
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pong: asyncio.Future[None] | None = None
        self._heard = monotonic()
        self.draining = False

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        # uvloop's transports behave as this one and derive from nothing
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take frames in. GOAWAY is read here: `h2` would close at once, earlier streams go on."""
        self._heard = self._monotonic()
        self._inbox += data
        try:
            self._take_frames()
        except (H2Error, UnicodeDecodeError, ValueError):
            self.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """What had no whole answer by now may or may not have been processed."""
        self.draining = True
        for stream in self._streams.values():
            stream.settle(_CLOSED)
        self._streams.clear()
        if not self._ready.done():
            self._ready.set_exception(ConnectionResetError("closed before it began"))
            self._ready.exception()
        self._wake()

    def pause_writing(self) -> None:
        """The socket is full: what were written now would leave who knows when."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._wake()

    # what the client calls

    async def ready(self) -> None:
        """Wait for the server's settings: from then on it is known to speak HTTP/2."""
        await asyncio.shield(self._ready)

    def room(self, size: int) -> bool:
        """A body of this size can leave at once and whole."""
        h2 = self._h2
        streams = min(h2.remote_settings.max_concurrent_streams, _STREAMS_MAX)
        window = min(h2.outbound_flow_control_window, h2.remote_settings.initial_window_size)
        return (
            not self._paused
            and self._transport is not None
            and not self._transport.is_closing()
            and len(self._streams) < streams
            and size <= min(window, h2.max_outbound_frame_size)
        )

    async def change(self) -> None:
        """Wait until there may be room."""
        await self._changed.wait()

    def hand_over(
        self, headers: list[tuple[str, str]], body: bytes, deadline: float
    ) -> "tuple[int, asyncio.Future[Outcome]] | Refused":
        """Send a whole request now, or nothing: no step in here waits."""
        number = self._h2.get_next_available_stream_id()
        if self._monotonic() >= deadline:
            return TOO_LATE
        try:
            self._h2.send_headers(number, headers)
            self._h2.send_data(number, body, end_stream=True)
        except H2Error:
            # half a request must not stay behind in the codec and leave with the next one
            self.abort()
            raise
        stream = _Stream(asyncio.get_running_loop().create_future())
        self._streams[number] = stream
        self._flush()
        return number, stream.answer

    @property
    def busy(self) -> bool:
        """Some answer is still waited for."""
        return bool(self._streams)

    def waits_for(self, number: int) -> bool:
        """This stream has no outcome yet."""
        return number in self._streams

    def give_up(self, number: int) -> None:
        """Nobody waits for this answer any more, and nothing new goes to so slow a server."""
        self.draining = True
        self._streams.pop(number, None)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > 0:
            # part of the request is still ours: it must not leave after its deadline
            self.abort()
            return
        self._h2.reset_stream(number, ErrorCodes.CANCEL)
        self._flush()
        self._close_if_done()

    async def lives(self) -> bool:
        """True unless a connection that was silent for long does not answer a ping."""
        if self._monotonic() - self._heard < _SILENT:
            return True
        if self._pong is None or self._pong.done():
            self._pong = asyncio.get_running_loop().create_future()
            self._h2.ping(b"duly-ask")
            self._flush()
        await asyncio.wait([self._pong], timeout=_PING)
        return self._pong.done()

    def drain(self) -> None:
        """Take nothing new; end when the last stream has ended."""
        self.draining = True
        self._close_if_done()

    def abort(self) -> None:
        """End at once."""
        self.draining = True
        if self._transport is not None:
            self._transport.abort()

    def _take_frames(self) -> None:
        """Whole frames only, so that a GOAWAY among them is seen before `h2` sees it."""
        inbox, start = self._inbox, 0
        while len(inbox) - start >= _FRAME_HEAD:
            length = int.from_bytes(inbox[start : start + 3])
            if length > _FRAME_MAX:
                raise ValueError("frame too long")
            end = start + _FRAME_HEAD + length
            if len(inbox) < end:
                break
            frame = bytes(inbox[start:end])
            start = end
            if frame[3] == _GOAWAY:
                self._go_away(frame[_FRAME_HEAD:])
            else:
                for event in self._h2.receive_data(frame):
                    self._follow(event)
        del inbox[:start]
        self._flush()
        self._close_if_done()

    def _go_away(self, payload: bytes) -> None:
        if len(payload) < 8:
            raise ValueError("GOAWAY too short")
        last = int.from_bytes(payload[:4]) & 0x7FFF_FFFF
        self.draining = True
        for number in [number for number in self._streams if number > last]:
            self._streams.pop(number).settle(NOT_PROCESSED)

    def _follow(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                _done(self._ready)
            case PingAckReceived():
                _done(self._pong)
            case ResponseReceived():
                if stream := self._streams.get(event.stream_id):
                    stream.headers = {str(name): str(value) for name, value in event.headers}
            case DataReceived():
                self._read(event)
            case StreamEnded():
                self._end(event.stream_id, None)
            case StreamReset():
                self._end(event.stream_id, event.error_code)
            case _:
                pass

    def _read(self, event: DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is not None and len(stream.body) <= _ANSWER_BYTES_MAX:
            stream.body += event.data

    def _end(self, number: int, error: int | None) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        status = stream.headers.get(":status", "")
        if error is not None:
            refused = error == ErrorCodes.REFUSED_STREAM and not status
            stream.settle(NOT_PROCESSED if refused else Unknown("stream-reset"))
        elif not (status.isascii() and status.isdigit()):
            stream.settle(Unknown("http2-without-status"))
        elif len(stream.body) > _ANSWER_BYTES_MAX:
            stream.settle(Unknown(f"http-{status}-too-long"))
        else:
            stream.settle(HttpAnswer(int(status), stream.headers, bytes(stream.body)))

    def _close_if_done(self) -> None:
        if self.draining and not self._streams and self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _done(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)

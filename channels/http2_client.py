"""One server over HTTP/2: connections come and go, a request is handed to one of them at most once."""

import asyncio
import ssl
from collections.abc import Callable, Mapping

from h2.exceptions import H2Error
from yarl import URL

from channels.base import NO_CONNECTION, TOO_LATE, Refused, Unknown
from channels.crash_points import CrashPoint, reached
from channels.handover import MARGIN, STEP
from channels.http2 import Connection, Outcome

_CONNECT = 5.0
_CONNECT_TRIES = 2


class Http2Client:
    """One server, one connection at a time: a draining one ends beside its successor."""

    def __init__(
        self, origin: URL, monotonic: Callable[[], float], trust: ssl.SSLContext | None = None
    ) -> None:
        self._origin = origin
        self._host, self._port = origin.host or "", origin.port or 443
        self._monotonic = monotonic
        self._tls = _tls(trust) if origin.scheme == "https" else None
        self._current: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._old: list[Connection] = []

    async def post(
        self, path: str, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Outcome:
        """One POST. Never sent twice, nothing of it after the deadline."""
        left = deadline - self._monotonic() - MARGIN
        if left < STEP:
            return TOO_LATE
        fields = [
            (":method", "POST"),
            (":scheme", self._origin.scheme),
            (":authority", self._origin.authority),
            (":path", path),
            *headers.items(),
        ]
        handed: tuple[Connection, int] | None = None
        try:
            async with asyncio.timeout(left):
                connection = await self._with_room(len(body))
                # no step waits between here and the socket
                given = connection.hand_over(fields, body, deadline - MARGIN)
                if isinstance(given, Refused):
                    return given
                handed = connection, given[0]
                reached(CrashPoint.SEND_WRITTEN)
                return await given[1]
        except TimeoutError:
            if handed is None:
                return NO_CONNECTION
            return Unknown("timeout")
        except (OSError, H2Error):
            # raised by connecting, or by `h2` before it gave any byte away
            return NO_CONNECTION
        finally:
            if handed is not None:
                connection, number = handed
                if connection.waits_for(number):
                    connection.give_up(number)

    async def close(self) -> None:
        """End all connections; whoever still waits for an answer gets an unknown one."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        for connection in [*self._old, self._current]:
            if connection is not None:
                connection.abort()

    async def _with_room(self, size: int) -> Connection:
        tries = _CONNECT_TRIES
        while True:
            connection = self._current
            if connection is None or connection.draining:
                if not tries:
                    # a server that greets and hangs up is not to be stormed
                    raise ConnectionResetError("closed again and again")
                tries -= 1
                connection = await self._connect()
            if not await connection.lives():
                connection.drain()
            elif not connection.draining and connection.room(size):
                return connection
            elif not connection.draining:
                await connection.change()

    async def _connect(self) -> Connection:
        """Senders that come together share one attempt to connect."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(_retrieve)
        return await asyncio.shield(self._connecting)

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT):
            _, connection = await loop.create_connection(
                lambda: Connection(self._monotonic), self._host, self._port, ssl=self._tls
            )
            try:
                await connection.ready()
            except BaseException:
                connection.abort()
                raise
        self._old = [one for one in (*self._old, self._current) if one is not None and one.busy]
        self._current = connection
        return connection


def _retrieve(task: "asyncio.Task[Connection]") -> None:
    # whoever asked may have gone when connecting fails; that is no error of its own
    if not task.cancelled():
        task.exception()


def _tls(trust: ssl.SSLContext | None) -> ssl.SSLContext:
    context = trust or ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    return context

"""Handing one HTTP request over at most once: deadline and write are one step, and nothing retries.

What every HTTP channel shares. A client library that retries, follows redirects or waits without end
would undo what the send protocol is for; so would a deadline that is looked at before the write.
"""

from collections.abc import Callable
from functools import cache

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from channels.base import NO_CONNECTION, TOO_LATE, Answer, Unknown
from channels.crash_points import CrashPoint, reached
from channels.http_post import Connector

# An answer is waited for until shortly before the deadline, so that recording it fits in too.
MARGIN = 0.5
STEP = 0.05
_CONNECT = 5.0


class LastStep(aiohttp.BytesPayload):
    """A body that looks at the deadline in the same step that hands it to the socket.

    aiohttp buffers the headers until the body is written, so that no byte of the request has left
    before `write_with_length` runs, and nothing awaits between the check below and
    `transport.write`. What `handed_over` says afterwards is exact: False means not sent.
    """

    def __init__(
        self,
        body: bytes,
        deadline: float,
        monotonic: Callable[[], float],
        content_type: str = "application/json",
    ) -> None:
        super().__init__(body, content_type=content_type)
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
        reached(CrashPoint.SEND_WRITTEN)

    def never_sent(self) -> bool:
        """True when no byte left, and from now on none can: a body is never written after this."""
        self._revoked = True
        return not self.handed_over


def open_session(connections: int = 256) -> aiohttp.ClientSession:
    """The one session of a process: keep-alive shorter than the server's, no cookies, no extras."""
    return aiohttp.ClientSession(
        connector=Connector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        # without this header a server may choose: what we cannot read would be an unknown each time
        headers={"Accept-Encoding": "identity"},
        skip_auto_headers=("User-Agent", "Accept"),
        auto_decompress=False,
    )


def within(left: float) -> aiohttp.ClientTimeout:
    """A timeout of at most this, rounded down so that the sends of a batch share one object."""
    return _timeout(int(left / STEP))


@cache
def _timeout(steps: int) -> aiohttp.ClientTimeout:
    # aiohttp rounds long timeouts up to whole seconds unless told not to; that could pass the deadline
    return aiohttp.ClientTimeout(total=steps * STEP, sock_connect=_CONNECT, ceil_threshold=3600)


def after_failure(payload: LastStep, problem: BaseException) -> Answer:
    """What a request that raised was: provably not sent, or unknown."""
    if payload.never_sent():
        return TOO_LATE if payload.too_late else NO_CONNECTION
    if isinstance(problem, TimeoutError):
        return Unknown("timeout")
    return Unknown(type(problem).__name__)

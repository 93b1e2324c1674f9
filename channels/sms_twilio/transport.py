"""The transport under Twilio's library: one shared session, explicit timeouts, no retry, no redirect.

The library asks of an HTTP client only `is_async` and `request`. Ours keeps what the library's own
drops: the headers of the answer, and whether a byte of the request may have left. It does so in an
`Exchange` that the caller opens around a call of the library, so that the answer is sorted by what
came over the wire and not by which exception the library made of it.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from twilio.http.response import Response
from yarl import URL

from channels.handover import LastStep, within

BODY_MAX = 1_048_576
# A page of a list has hundreds of texts, each character of which may take six: backslash, u, four digits.
PAGE_MAX = 16 * BODY_MAX
_FORM = "application/x-www-form-urlencoded"


class Oversized(ValueError):
    """The answer is longer than any real one."""


class Misdirected(ValueError):
    """The library was told to go to another server than ours; credentials stay at home."""


@dataclass(slots=True)
class Exchange:
    """One call over the wire: what it may cost in time, and what came of it."""

    deadline: float
    left: float
    payload: LastStep | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    problem: BaseException | None = None


_open: ContextVar[Exchange] = ContextVar("twilio_exchange")


@contextmanager
def exchanging(exchange: Exchange) -> Iterator[Exchange]:
    """Calls of the library inside this context go over the wire as this exchange."""
    kept = _open.set(exchange)
    try:
        yield exchange
    finally:
        _open.reset(kept)


class Transport:
    """What Twilio's library sends through."""

    is_async = True

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, monotonic: Callable[[], float]
    ) -> None:
        self._session = session
        self._base = base_url.rstrip("/") + "/"
        self._monotonic = monotonic

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the exchange has its own
        allow_redirects: bool = False,  # noqa: ARG002, FBT001, FBT002 - never
    ) -> Response:
        """One request, as the open exchange allows; its answer is kept there too."""
        exchange = _open.get()
        if not uri.startswith(self._base):
            raise Misdirected(method)
        sent = {**(headers or {}), "Authorization": _basic(auth)} if auth else dict(headers or {})
        if method == "POST":
            exchange.payload = self._payload(exchange, data)
        try:
            async with self._session.request(
                method,
                _url(uri, params),
                data=exchange.payload,
                headers=sent,
                allow_redirects=False,
                timeout=within(exchange.left),
            ) as response:
                exchange.headers = response.headers
                exchange.body = await _bounded(response, BODY_MAX if method == "POST" else PAGE_MAX)
                # last: an answer without its whole body is none
                exchange.status = response.status
        except BaseException as problem:
            exchange.problem = problem
            raise
        return Response(exchange.status, exchange.body.decode(), exchange.headers)

    def _payload(self, exchange: Exchange, data: Mapping[str, object] | None) -> LastStep:
        form = urlencode(dict(data or {}), doseq=True).encode()
        return LastStep(form, exchange.deadline, self._monotonic, _FORM)


def _url(uri: str, params: Mapping[str, object] | None) -> URL:
    # encoded here: what the server reads as `+` must be sent as `%2B`
    query = urlencode(dict(params or {}), doseq=True)
    return URL(f"{uri}?{query}" if query else uri, encoded=True)


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > most:
            raise Oversized(response.method)
        parts.append(part)
    return b"".join(parts)


def _basic(auth: tuple[str, str]) -> str:
    return "Basic " + b64encode(":".join(auth).encode()).decode()

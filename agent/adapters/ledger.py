"""The ways an outcome leaves for the credit ledger: a signed POST, or a line in a file.

Both are safe to repeat, because the outcome's id is the idempotency key. Neither decides anything:
what an answer means is in `agent.domain.feed`.
"""

import asyncio
import base64
import binascii
import fcntl
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import aiohttp
import orjson
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from agent.clock import Clock
from agent.domain.feed import (
    Acknowledged,
    Answer,
    Delayed,
    Told,
    answer_of,
    line,
    read_retry_after,
)

SECRET_PREFIX = "whsec_"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
CALL_SECONDS = 10.0
CONNECT_SECONDS = 3.0
CONNECTION_TRIES = 3
CONNECTIONS_MAX = 100
ANSWER_BYTES_MAX = 8192
TAIL_BYTES = 16 * 1024 * 1024
REMEMBERED_MAX = 100_000


class Ledger(Protocol):
    """Takes one outcome and says what became of it; never raises for what a ledger can do."""

    async def deliver(self, told: Told) -> Answer:
        """Hand over one outcome."""


class BadSecret(ValueError):
    """A signing secret that is not `whsec_` and base64."""


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The signing keys in a setting: one, or several separated by blanks while one replaces another."""
    return tuple(_read_secret(word) for word in text.split())


def _read_secret(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise BadSecret(f"a ledger secret is {SECRET_PREFIX} and base64") from None
    if not key:
        raise BadSecret("the ledger secret is empty")
    return key


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """`webhook-signature` as Standard Webhooks specifies: v1 of id.timestamp.body, one for each key."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    digests = (hmac.digest(key, content, hashlib.sha256) for key in keys)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


class HttpLedger:
    """Posts outcomes over one shared session; use as an asynchronous context manager."""

    def __init__(
        self, url: str, keys: Sequence[bytes], clock: Clock, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        if not url.startswith(("https://", "http://")):
            raise ValueError("the ledger's address must be http or https")
        if not keys:
            raise BadSecret("a ledger address needs a signing secret")
        self._url, self._keys, self._clock = url, tuple(keys), clock
        self._call_seconds = call_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"content-type": CONTENT_TYPE, "user-agent": "duly"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def deliver(self, told: Told) -> Answer:
        """One outcome, again at once if the connection failed: the id makes a repeat harmless."""
        body = line(told)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(aiohttp.ClientConnectionError),
            stop=stop_after_attempt(CONNECTION_TRIES),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._call_seconds):
                return await retrying(self._post, told.id, body)
        except TimeoutError:
            return Delayed("timeout")
        except (aiohttp.ClientError, OSError) as failure:
            return Delayed(f"connection: {type(failure).__name__}")

    async def _post(self, message_id: str, body: bytes) -> Answer:
        if self._session is None:
            raise RuntimeError("HttpLedger is used outside its context")
        now = self._clock.now()
        timestamp = int(now.timestamp())
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._keys, message_id, timestamp, body),
        }
        async with self._session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            await _drain(response)
            wait = read_retry_after(response.headers.get("retry-after"), now)
            return answer_of(response.status, wait)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a short answer so that the connection can be used again; give up on a long one."""
    answer = await response.content.read(ANSWER_BYTES_MAX)
    if answer and not response.content.at_eof():
        response.close()


class FileBusy(RuntimeError):
    """Another process writes this outcome file."""


class FileLedger:
    """Appends outcomes to an NDJSON file; a line is acknowledged when it is on the disk.

    Many outcomes share one fsync. After a crash between fsync and acknowledgement the same outcomes
    come again: the ids in the file's tail, which is longer than all that can be under way, tell them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._seen: dict[str, None] = {}
        self._waiting: list[_Line] = []
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._seen = _mend_tail(fd)
        except BlockingIOError:
            os.close(fd)
            raise FileBusy(f"another process writes {self._path.name}") from None
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    async def deliver(self, told: Told) -> Answer:
        """One line, durable before it is acknowledged, and once."""
        if told.id in self._seen:
            return Acknowledged()
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Line(told.id, line(told) + b"\n", done))
        async with self._writing:
            if not done.done():
                await self._write_waiting()
        return await done

    async def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        text = b"".join(each.text for each in batch)
        append = asyncio.ensure_future(asyncio.to_thread(_append, self._fd, text))
        append.add_done_callback(lambda ended: self._answer(batch, ended))
        # a thread cannot be called back: whoever is cancelled keeps the file until it has ended
        interrupted: asyncio.CancelledError | None = None
        while not append.done():
            try:
                await asyncio.wait([append])
            except asyncio.CancelledError as cancelled:
                interrupted = cancelled
        if interrupted is not None:
            raise interrupted

    def _answer(self, batch: Sequence["_Line"], ended: "asyncio.Future[None]") -> None:
        """What is in the file is remembered even if nobody waits for the answer any more."""
        answer: Answer = Acknowledged()
        if ended.cancelled():
            answer = Delayed("file: interrupted")
        elif (failure := ended.exception()) is not None:
            answer = Delayed(f"file: {type(failure).__name__}")
        for each in batch:
            if isinstance(answer, Acknowledged):
                self._remember(each.id)
            if not each.done.done():
                each.done.set_result(answer)

    def _remember(self, outcome_id: str) -> None:
        self._seen[outcome_id] = None
        if len(self._seen) > REMEMBERED_MAX:
            del self._seen[next(iter(self._seen))]


class _Line(NamedTuple):
    """An outcome on its way into the file."""

    id: str
    text: bytes
    done: "asyncio.Future[Answer]"


def _append(fd: int, data: bytes) -> None:
    """All of it or none: a part left by a full disk is cut off again."""
    start = os.fstat(fd).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, start)
        raise


def _mend_tail(fd: int) -> dict[str, None]:
    """Cut off a line that a crash left unfinished; the ids in the last lines."""
    size = os.fstat(fd).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(fd, size - start, start)
    whole = tail.rfind(b"\n") + 1
    if whole < len(tail):
        os.ftruncate(fd, start + whole)
    lines = tail[:whole].splitlines()
    found = map(_id_in, lines[1:] if start else lines)
    return dict.fromkeys(outcome_id for outcome_id in found if outcome_id is not None)


def _id_in(text: bytes) -> str | None:
    try:
        return str(orjson.loads(text)["id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None

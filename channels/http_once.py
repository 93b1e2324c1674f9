"""One HTTP POST, handed over at most once, and its whole answer within bounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from channels.base import TOO_LATE, Accepted, Refused, Unknown
from channels.handover import MARGIN, STEP, LastStep, after_failure, within

_ANSWER_BYTES_MAX = 64 * 1024
_RETRY_AFTER_MAX = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer, as it came; what it means is for the channel's own table to say."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def post_once(
    session: aiohttp.ClientSession,
    url: URL,
    body: bytes,
    content_type: str,
    *,
    headers: Mapping[str, str] | None = None,
    deadline: float,
    monotonic: Callable[[], float],
) -> HttpAnswer | Refused | Unknown:
    """One POST. A failure before its first byte is a refusal, a failure after it unknown."""
    left = deadline - monotonic() - MARGIN
    if left < STEP:
        return TOO_LATE
    payload = LastStep(body, deadline - MARGIN, monotonic, content_type)
    try:
        async with session.post(
            url, data=payload, headers=headers, allow_redirects=False, timeout=within(left)
        ) as response:
            read = await _bounded(response)
            if read is None:
                return Unknown(f"http-{response.status}-too-long")
            return HttpAnswer(response.status, response.headers, read)
    except (aiohttp.ClientError, OSError, TimeoutError) as problem:
        failed = after_failure(payload, problem)
        assert not isinstance(failed, Accepted)
        return failed


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server wants us to wait; a date counts from the server's own `Date`."""
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), _RETRY_AFTER_MAX)
    until, sent = _date(said), _date(headers.get("Date", ""))
    if until is None or sent is None:
        return None
    return min(max((until - sent).total_seconds(), 0.0), _RETRY_AFTER_MAX)


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None when it is longer than any answer of a provider's API."""
    whole = bytearray()
    async for chunk in response.content.iter_any():
        whole += chunk
        if len(whole) > _ANSWER_BYTES_MAX:
            return None
    return bytes(whole)

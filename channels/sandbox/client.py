"""The sandbox phone over HTTP: one POST, no retry, no redirect, nothing after the deadline."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import aiohttp
import orjson
from yarl import URL

from channels.base import Answer, Listed, Listing, Message, classify
from channels.handover import MARGIN, open_session
from channels.http_post import Reply, posts_of
from channels.sandbox.wire import message_body, read_listed

__all__ = ["SandboxHttpChannel", "open_session"]

_LIST_TIMEOUT = aiohttp.ClientTimeout(total=10)
_PAGES_MAX = 20


class SandboxHttpChannel:
    """One channel of a sandbox server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        channel: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._session = session
        self.url = URL(base_url)
        self._messages = self.url / "messages"
        self._posts = posts_of(session, self._messages, {"Content-Type": "application/json"})
        self._channel = channel
        self._monotonic = monotonic

    async def send(self, message: Message) -> Answer:
        """One POST. A failure before its first byte is a refusal, a failure after it unknown."""
        deadline = message.deadline - MARGIN
        said = await self._posts.post(message_body(message), deadline, self._monotonic)
        return classify(said.status, said.body) if isinstance(said, Reply) else said

    async def listing(self, address: str, since: datetime) -> Listing:
        """Every page of the list, or an incomplete one: half a list proves no absence."""
        found: list[Listed] = []
        query = {"channel": self._channel, "to": address, "since": since.isoformat()}
        try:
            for _ in range(_PAGES_MAX):
                page = await self._page(query)
                found += [read_listed(one) for one in page["messages"]]
                if page["next"] is None:
                    return Listing(complete=bool(page["complete"]), messages=tuple(found))
                query = query | {"after": page["next"]}
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            return Listing(complete=False, messages=tuple(found))
        return Listing(complete=False, messages=tuple(found))

    async def _page(self, query: dict[str, str]) -> dict[str, Any]:
        async with self._session.get(
            self._messages, params=query, allow_redirects=False, timeout=_LIST_TIMEOUT
        ) as response:
            response.raise_for_status()
            page: dict[str, Any] = orjson.loads(await response.read())
            return page

"""A credit ledger for tests and the demo: it keeps its own truth and can be told to misbehave.

It shares no code with the sender: signatures are verified by an implementation of its own, so that a
mistake made twice would have to be made in two ways.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from aiohttp import web

TOLERANCE_SECONDS = 300
RETRY_AFTER_SECONDS = 30
PATH = "/outcomes"


class Fault(StrEnum):
    """What the ledger does instead of answering well."""

    ERROR = "error"  # 500, nothing applied
    LOST_ANSWER = "lost-answer"  # applied, then the connection is cut
    CUT = "cut"  # the connection is cut, nothing applied
    HANG = "hang"  # no answer while the hang lasts, nothing applied
    REFUSE = "refuse"  # 422, for good
    CONFLICT = "conflict"  # 409, nothing applied
    BUSY = "busy"  # 429 with Retry-After
    UNAUTHORIZED = "unauthorized"  # 401
    REDIRECT = "redirect"  # 307 to another address
    CHATTER = "chatter"  # applied, answered with an endless body


@dataclass(frozen=True, slots=True)
class Receipt:
    """One arrival, as it came: applied or not, first or again."""

    id: str
    loan: str
    sequence: int
    type: str
    applied: bool
    again: bool


_BAD_ANSWERS: dict[Fault, tuple[HTTPStatus, dict[str, str]]] = {
    Fault.ERROR: (HTTPStatus.INTERNAL_SERVER_ERROR, {}),
    Fault.CONFLICT: (HTTPStatus.CONFLICT, {}),
    Fault.REFUSE: (HTTPStatus.UNPROCESSABLE_ENTITY, {}),
    Fault.BUSY: (HTTPStatus.TOO_MANY_REQUESTS, {"retry-after": str(RETRY_AFTER_SECONDS)}),
    Fault.UNAUTHORIZED: (HTTPStatus.UNAUTHORIZED, {}),
    Fault.REDIRECT: (HTTPStatus.TEMPORARY_REDIRECT, {"location": "/elsewhere"}),
}

# loan, sequence, how often this id arrived before → what to do with it
Script = Callable[[str, int, int], Fault | None]


def behave(_loan: str, _sequence: int, _before: int) -> Fault | None:
    """A ledger without faults."""
    return None


@dataclass
class LedgerStandIn:
    """Truth log and order book of the stand-in. `now` gives its own idea of the time, in seconds."""

    secret: str
    now: Callable[[], float]
    script: Script = behave
    log: list[Receipt] = field(default_factory=list)
    applied: dict[str, dict[str, Any]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    arrivals: Counter[str] = field(default_factory=Counter)
    _last: dict[str, int] = field(default_factory=dict)
    _release: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        """The HTTP application; post to `PATH`."""
        app = web.Application()
        app.router.add_post(PATH, self._receive)
        app.on_shutdown.append(self._let_go)
        return app

    async def _let_go(self, _app: web.Application) -> None:
        self._release.set()

    def totals(self) -> Counter[str]:
        """Control totals by type."""
        return Counter(str(event["type"]) for event in self.applied.values())

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        problem = self._verify(request, body)
        if problem is not None:
            self.violations.append(problem)
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        event = json.loads(body)
        key, before = event["id"], self.arrivals[event["id"]]
        self.arrivals[key] += 1
        if request.headers["webhook-id"] != key:
            self.violations.append(f"webhook-id differs from the event's id {key}")
        return await self._answer(
            request, event, self.script(event["subject"], event["sequence"], before)
        )

    async def _answer(
        self, request: web.Request, event: dict[str, Any], fault: Fault | None
    ) -> web.StreamResponse:
        self._take(event, applies=fault in (None, Fault.LOST_ANSWER, Fault.CHATTER))
        match fault:
            case Fault.LOST_ANSWER | Fault.CUT:
                if request.transport is not None:
                    request.transport.abort()
            case Fault.HANG:
                await self._release.wait()
            case Fault.CHATTER:
                return await _chatter(request)
            case None:
                return web.json_response({"received": event["id"]})
            case _:
                status, headers = _BAD_ANSWERS[fault]
                return web.Response(status=status, headers=headers, text="no")
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _take(self, event: dict[str, Any], *, applies: bool) -> None:
        """Write down the arrival; apply it once and check that it is the next of its loan."""
        key, loan, sequence = str(event["id"]), str(event["subject"]), int(event["sequence"])
        known = self.applied.get(key)
        self.log.append(
            Receipt(key, loan, sequence, str(event["type"]), applies, known is not None)
        )
        if known is not None and known != event:
            self.violations.append(f"{key} came again with another content")
        if not applies or known is not None:
            return
        if sequence != self._last.get(loan, 0) + 1:
            self.violations.append(f"{key} came after {self._last.get(loan, 0)}")
        self._last[loan] = sequence
        self.applied[key] = event

    def _verify(self, request: web.Request, body: bytes) -> str | None:
        """Standard Webhooks, verified from its specification; None if all is well."""
        headers = request.headers
        message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not message_id or not stamp.isdecimal():
            return "webhook-id or webhook-timestamp is missing"
        if abs(self.now() - int(stamp)) > TOLERANCE_SECONDS:
            return "webhook-timestamp is too far from now"
        mac = hmac.new(base64.b64decode(self.secret.split("_", 1)[1]), digestmod=hashlib.sha256)
        for part in (message_id.encode(), b".", stamp.encode(), b".", body):
            mac.update(part)
        wanted = mac.digest()
        for offered in headers.get("webhook-signature", "").split():
            version, _, text = offered.partition(",")
            if version == "v1" and hmac.compare_digest(base64.b64decode(text), wanted):
                return None
        return "no signature of the body matches"


async def _chatter(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        for _ in range(1000):
            await response.write(b"x" * 65536)
    except ConnectionError:
        pass
    return response

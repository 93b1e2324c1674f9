"""A stateful stand-in for Twilio's Messages API: `python -m tests.support.twilio_stand_in --port N`.

It keeps what it accepted in a log that outlives workers, loses and doubles answers and callbacks as
its script says, lists with a lag and in pages, and signs callbacks with Twilio's own validator.
"""

import asyncio
import os
import random  # noqa: TID251 - seeded
from argparse import ArgumentParser
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urlencode

import aiohttp
import orjson
from aiohttp import web
from twilio.request_validator import RequestValidator

from agent.clock import SystemClock
from tests.support.shared_clock import SharedClock

AUTH_TOKEN = "stand-in-auth-token"
ACCOUNT = "AC" + "0" * 32
_CLOCK = SystemClock()
_FOR_EVER = 60.0  # longer than any sender waits
_KNOWN = {
    "To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod",
    "ContentRetention", "AddressRetention",
}  # fmt: skip


@dataclass
class Script:
    """Shares of creates that go wrong, what callbacks do, and how far the list trails behind."""

    lose_answer: float = 0.0  # accepted, the answer is lost in one of several ways
    drop: float = 0.0  # not accepted, with the same looks
    hang: float = 0.0  # accepted, and nothing is ever said
    too_many: float = 0.0
    at_once: int = 1_000_000  # more creates under way than this are too many
    retry_after: str | None = "1"
    refuse: dict[str, int] = field(default_factory=dict)  # number → error code
    status: int = 400
    lose_callback: float = 0.0
    double_callback: float = 0.0
    shuffle: bool = False
    statuses: tuple[str, ...] = ("sent", "delivered")
    undelivered: float = 0.0  # share of messages that end so instead
    error_code: int | None = None
    delay: float = 0.05
    latency: float = 0.0
    list_lag: float = 0.0
    list_broken: bool = False
    broken_page: int | None = None  # only this page is
    page_max: int = 1000


def script_from(said: dict[str, Any]) -> Script:
    known = {one.name for one in fields(Script)}
    if unknown := said.keys() - known:
        raise ValueError(f"not in a script: {unknown}")
    return Script(**said)


class StandIn:
    """The server's state and its handlers."""

    def __init__(
        self,
        seed: int = 0,
        log: Path | None = None,
        now: Callable[[], datetime] = _CLOCK.now,
    ) -> None:
        self._now = now
        self.script = Script()
        self.messages: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self._inside = self.most_inside = 0
        self.callbacks: list[tuple[str, str, int]] = []
        self.faults: Counter[str] = Counter()
        self.rng = random.Random(seed)  # noqa: S311
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = web.Application()
        base = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        app.router.add_post(base, self._create)
        app.router.add_get(base, self._list)
        app.router.add_get(base.replace(".json", "/{sid}.json"), self._one)
        app.router.add_put("/control/script", self._set_script)
        app.router.add_post("/control/inbound", self._inbound)
        app.router.add_get("/control/log", self._truth)
        app.cleanup_ctx.append(self._session)
        return app

    async def _session(self, _app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self.http:
            yield
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self._inside += 1
        self.most_inside = max(self.most_inside, self._inside)
        try:
            return await self._created(request)
        finally:
            self._inside -= 1

    def _counted(self) -> dict[str, str]:
        """How many requests the account has under way, as Twilio tells it."""
        return {"Twilio-Concurrent-Requests": str(self._inside)}

    async def _created(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization", "") != _basic():
            return _error(401, 20003)
        pairs = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        given, script, draw = dict(pairs), self.script, self.rng.random()
        code = self._problem(given, len(pairs))
        if code is not None:
            self.refused.append({"code": code, **given})
            return _error(script.status, code)
        if draw < script.too_many or self._inside > script.at_once:
            self.faults["too_many"] += 1
            headers = {"Retry-After": script.retry_after} if script.retry_after else {}
            return _error(429, 20429, headers | self._counted())
        if draw < script.too_many + script.drop:
            return await self._spoil(request, None)
        message = self._accept(given)
        if script.latency:
            await asyncio.sleep(script.latency)
        lost = script.too_many + script.drop + script.lose_answer
        if draw < lost:
            return await self._spoil(request, message)
        if draw < lost + script.hang:
            self.faults["answers_lost"] += 1
            await asyncio.sleep(_FOR_EVER)
        return web.json_response(_shown(message), status=201, headers=self._counted())

    def _problem(self, given: dict[str, str], pairs: int) -> int | None:
        if set(given) - _KNOWN or pairs != len(given):
            return 20001
        if given.get("To") in self.script.refuse:
            return self.script.refuse[given["To"]]
        if not given.get("From") and not given.get("MessagingServiceSid"):
            return 21603
        if not given.get("Body"):
            return 21602
        if len(given["Body"]) > 1600:
            return 21617
        valid = given.get("ValidityPeriod", "36000")
        return None if valid.isdigit() and 1 <= int(valid) <= 36000 else 90007

    def _accept(self, given: dict[str, str]) -> dict[str, Any]:
        message = self._stored(given["To"], given.get("From"), given["Body"], "outbound-api")
        message |= {
            "messaging_service_sid": given.get("MessagingServiceSid"),
            "status": "accepted" if given.get("MessagingServiceSid") else "queued",
            "_callback": given.get("StatusCallback"),
            "_given": given,
        }
        if self._log is not None:
            line = {"sid": message["sid"], "to": given["To"], "body": given["Body"]}
            line |= {"callback": given.get("StatusCallback"), "at": message["_at"]}
            os.write(self._log, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        self._soon(self._play(message))
        return message

    def _stored(self, to: str, sender: str | None, body: str, direction: str) -> dict[str, Any]:
        now = self._now()
        message: dict[str, Any] = {
            "sid": f"SM{self.rng.getrandbits(128):032x}", "to": to, "from": sender, "body": body,
            "direction": direction, "account_sid": ACCOUNT, "num_media": "0", "num_segments": "1",
            "date_created": format_datetime(now), "date_sent": None, "error_code": None,
            "error_message": None, "api_version": "2010-04-01", "price": None, "price_unit": "USD",
            "date_updated": format_datetime(now), "uri": "/", "subresource_uris": {},
            "status": "received", "messaging_service_sid": None, "_at": now,
        }  # fmt: skip
        self.messages.append(message)
        return message

    async def _spoil(
        self, request: web.Request, message: dict[str, Any] | None
    ) -> web.StreamResponse:
        """An answer that does not say whether the message was accepted."""
        self.faults["answers_lost" if message else "requests_lost"] += 1
        match self.rng.choice(("abort", "close", "500", "503", "junk", "half", "redirect")):
            case "500":
                return _error(500, 20500)
            case "503":
                return _error(503, 20503)
            case "junk":
                return web.Response(status=201, text="<html>")
            case "redirect":
                return web.Response(status=307, headers={"Location": str(request.url)})
            case "half":
                whole = orjson.dumps(_shown(message or {"sid": "SM"}))
                half = web.StreamResponse(
                    status=201, headers={"Content-Length": str(len(whole) + 9)}
                )
                with suppress(ConnectionError):  # whoever asked was killed meanwhile
                    await half.prepare(request)
                    await half.write(whole[: len(whole) // 2])
                if request.transport is not None:
                    request.transport.close()
                return half
            case how:
                if request.transport is not None:
                    request.transport.abort() if how == "abort" else request.transport.close()
                return web.Response()

    async def _play(self, message: dict[str, Any]) -> None:
        script, posts, statuses = self.script, [], self.script.statuses
        if script.undelivered and self.rng.random() < script.undelivered:
            statuses = (*statuses[:-1], "undelivered")
        for status in statuses:
            await asyncio.sleep(script.delay)
            message["status"] = status
            if message["date_sent"] is None:
                message["date_sent"] = format_datetime(self._now())
            said = {
                "MessageSid": message["sid"], "AccountSid": ACCOUNT, "To": message["to"],
                "From": message["from"] or "+15005550006", "MessageStatus": status,
                "SmsStatus": status, "SmsSid": message["sid"], "ApiVersion": "2010-04-01",
            }  # fmt: skip
            if status in {"undelivered", "failed"}:
                message["error_code"] = script.error_code or 30008
                said["ErrorCode"] = str(message["error_code"])
            if self.rng.random() < script.lose_callback:
                self.faults["callbacks_lost"] += 1
                continue
            doubled = self.rng.random() < script.double_callback
            self.faults["callbacks_doubled"] += doubled
            posts += [said] * (2 if doubled else 1)
        if script.shuffle:
            self.rng.shuffle(posts)
        if message["_callback"]:
            for said in posts:
                await self.post(message["_callback"], said)

    async def post(self, url: str, said: dict[str, str]) -> int:
        """One signed callback, tried as often as the address's fragment asks."""
        bare, fragment = urldefrag(url)
        tries = 1 + int(dict(parse_qsl(fragment)).get("rc", "1"))
        signature = RequestValidator(AUTH_TOKEN).compute_signature(bare, said)
        status = 0
        for _ in range(tries):
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self.http.post(
                    bare, data=said, headers={"X-Twilio-Signature": signature},
                    timeout=aiohttp.ClientTimeout(total=15),
                ) as answer:  # fmt: skip
                    status = answer.status
                    self.callbacks.append((bare, said.get("MessageStatus", ""), status))
            if 200 <= status < 400:
                break
        return status

    async def _list(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "") != _basic():
            return _error(401, 20003)
        if self.script.list_broken:
            return _error(503, 20503)
        query, now = request.query, self._now()
        if query.get("Page", "0") == str(self.script.broken_page):
            return _error(503, 20503)
        found = [one for one in reversed(self.messages) if self._fits(one, query, now)]
        page = int(query.get("Page", "0"))
        size = min(int(query.get("PageSize", "50")), self.script.page_max)
        shown = [_shown(one) for one in found[page * size : (page + 1) * size]]
        more = (page + 1) * size < len(found)
        following = f"{request.path}?{urlencode({**query, 'Page': page + 1})}" if more else None
        return web.json_response(
            {"messages": shown, "page": page, "page_size": size, "next_page_uri": following,
             "previous_page_uri": None, "first_page_uri": request.path, "uri": request.path,
             "start": 0, "end": 0}
        )  # fmt: skip

    async def _one(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "") != _basic():
            return _error(401, 20003)
        sid = request.match_info["sid"]
        found = next((one for one in self.messages if one["sid"] == sid), None)
        return _error(404, 20404) if found is None else web.json_response(_shown(found))

    def _fits(self, one: dict[str, Any], query: Any, now: datetime) -> bool:
        if (now - one["_at"]).total_seconds() < self.script.list_lag:
            return False
        for name, key in (("To", "to"), ("From", "from")):
            if name in query and query[name] != one[key]:
                return False
        after, before = query.get("DateSent>"), query.get("DateSent<")
        if after is None and before is None:
            return True
        # not sent yet: a filter by date of sending hides it
        sent = one["_at"] if one["direction"] == "inbound" or one["date_sent"] else None
        return (
            sent is not None
            and (after is None or sent >= datetime.fromisoformat(after))
            and (before is None or sent <= datetime.fromisoformat(before))
        )

    async def _inbound(self, request: web.Request) -> web.Response:
        """Somebody texts us: `url` null = the webhook is lost, the list has it."""
        said = orjson.loads(await request.read())
        message = self._stored(said["To"], said["From"], said["Body"], "inbound")
        form = {
            "MessageSid": message["sid"], "SmsSid": message["sid"], "AccountSid": ACCOUNT,
            "From": said["From"], "To": said["To"], "Body": said["Body"], "NumMedia": "0",
            "NumSegments": "1", "ApiVersion": "2010-04-01", **said.get("also", {}),
        }  # fmt: skip
        status = await self.post(said["url"], form) if said.get("url") else None
        return web.json_response({"sid": message["sid"], "status": status})

    async def _set_script(self, request: web.Request) -> web.Response:
        self.script = script_from(orjson.loads(await request.read()))
        return web.Response(status=204)

    async def _truth(self, _request: web.Request) -> web.Response:
        shown = [{**_shown(one), "given": one.get("_given")} for one in self.messages]
        return web.json_response(
            {
                "messages": shown,
                "refused": self.refused,
                "callbacks": self.callbacks,
                "faults": self.faults,
            }
        )

    def _soon(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _basic() -> str:
    return aiohttp.encode_basic_auth(ACCOUNT, AUTH_TOKEN)


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if not key.startswith("_")}


def _error(status: int, code: int, headers: dict[str, str] | None = None) -> web.Response:
    body = {"code": code, "message": "no", "more_info": "", "status": status}
    return web.json_response(body, status=status, headers=headers)


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--clock", type=Path)
    given = parser.parse_args()
    clock = SharedClock(given.clock) if given.clock else _CLOCK
    server = StandIn(given.seed, given.log, clock.now)
    web.run_app(server.app(), host="127.0.0.1", port=given.port, access_log=None, print=None)


if __name__ == "__main__":
    main()

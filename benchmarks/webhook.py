"""B9: signed webhooks answered a second, each durable before its answer, divided by an empty handler.

Whoever asks has the requests ready as bytes and keeps 32 connections busy, as wrk does. Receipts are of
attempts that exist; replies come from people that do.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import cast
from urllib.parse import urlencode, urlsplit

from aiohttp.test_utils import unused_port
from twilio.request_validator import RequestValidator

from agent.flows.dispatch import run_lane
from agent.flows.lane import Lane
from agent.flows.rules import packs, texts
from agent.store.connect import open_pool
from benchmarks import village
from benchmarks.bars import Shown, middle_ratio, middles
from benchmarks.parts import Process, part
from benchmarks.receipts import Yes
from benchmarks.shop import Shop
from channels.base import PUSH, SMS
from channels.sms_twilio.wire import status_path

CONNECTIONS = 32
PATIENCE = 60
TURNS = 10
ACCOUNT = "AC" + "0" * 32
SECRET = "12345678901234567890123456789012"
SENDER = "+15005550006"


async def measure(shop: Shop, _wanted: set[str]) -> list[Shown]:
    """Receipts, replies and the empty handler, in turns."""
    count = shop.sized(200, 6_000, 20_000)
    shop.tell("webhook: sending what the receipts are about")

    async def sent(url: str) -> None:
        await village.settle(url, shop.keyring, count, shop.clock.now(), push_every=count + 1)
        pool = await open_pool(url)
        home = await village.portfolio(pool, shop.clock.now())
        ways = {SMS: Yes(), PUSH: Yes()}
        await run_lane(Lane(pool, shop.keyring, shop.clock, home, packs(home.packs), texts(), ways))
        await pool.close()

    template = await shop.prepared(sent)
    rounds = []
    for number in range(shop.rounds):
        shop.tell(f"webhook: round {number + 1} of {shop.rounds}")
        async with shop.copy(template) as url:
            rounds.append(await _round(shop, url))
    also = middles(rounds)
    note = (
        f"{count:,} receipts of attempts, signed by Twilio's own library, {CONNECTIONS} connections,"
        " committed (fsync) before 204; replies: `reply_ratio`"
    )
    return [Shown("B9", middle_ratio(rounds, "receipt_s", "empty_s"), note, rounds, also)]


async def _round(shop: Shop, url: str) -> dict[str, float]:
    port, bare = unused_port(), unused_port()
    public = f"http://127.0.0.1:{port}"
    pool = await open_pool(url)
    rows = await pool.fetch("select portfolio_id, token, provider_id from attempt order by token")
    await pool.close()
    receipts = [_receipt(shop, public, *row) for row in rows]
    replies = [_reply(public, number) for number in range(len(rows))]
    empty = [_request("http://x/empty", receipts[0].partition(b"\r\n\r\n")[2], "")] * len(rows)
    async with part(
        "webhook_process", database_url=url, master_key=bytes(range(32)).hex(), port=port,
        bare_port=bare, public_url=public, account_sid=ACCOUNT, secrets=[SECRET],
    ) as server:  # fmt: skip
        took = await _in_turns(
            server, {"empty": (bare, empty), "receipt": (port, receipts), "reply": (port, replies)}
        )
    pool = await open_pool(url)
    stored = await pool.fetchval("select count(*) from attempt where state = 'delivered'")
    heard = await pool.fetchval("select count(*) from inbound")
    await pool.close()
    if (stored, heard) != (len(rows), len(rows)):
        raise RuntimeError(f"of {len(rows)} webhooks {stored} and {heard} were stored")
    rates = {f"{kind}_s": len(rows) / one["seconds"] for kind, one in took.items()}
    return rates | {
        "receipt_ratio": rates["receipt_s"] / rates["empty_s"],
        "reply_ratio": rates["reply_s"] / rates["empty_s"],
        **{f"{kind}_us": one["cpu"] / len(rows) * 1e6 for kind, one in took.items()},
    }


async def _in_turns(
    server: Process, kinds: Mapping[str, tuple[int, Sequence[bytes]]]
) -> dict[str, Counter[str]]:
    """A slice of each kind after the other: what a neighbour burns meets all of them alike."""
    took = {kind: Counter[str]() for kind in kinds}
    for turn in range(TURNS):
        for kind, (port, requests) in kinds.items():
            took[kind].update(await _drive(server, port, requests[turn::TURNS]))
    return took


def _receipt(shop: Shop, public: str, lane: int, token: str, sid: str) -> bytes:
    said = {
        "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "From": SENDER, "MessageSid": sid,
        "MessageStatus": "delivered", "SmsSid": sid, "SmsStatus": "delivered",
        "To": "+2348000000001", "RawDlrDoneDate": "2611240900",
    }  # fmt: skip
    url = public + status_path(str(lane), token, shop.keyring.callback_key)
    return _signed(url, said)


def _reply(public: str, number: int) -> bytes:
    sid = f"SM{number:032x}"
    said = {
        "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "From": f"+23480{number + 1:08d}",
        "MessageSid": sid, "SmsSid": sid, "To": SENDER, "NumMedia": "0", "NumSegments": "1",
        "Body": "I will pay on Friday",
    }  # fmt: skip
    return _signed(f"{public}/webhooks/twilio/inbound", said)


def _signed(url: str, said: dict[str, str]) -> bytes:
    signature = RequestValidator(SECRET).compute_signature(url, said)
    return _request(url, urlencode(said).encode(), signature)


def _request(url: str, body: bytes, signature: str) -> bytes:
    head = (
        f"POST {urlsplit(url).path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Twilio-Signature: {signature}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Asker(asyncio.Protocol):
    """One connection that asks the next thing when it has been answered; it knows only lengths."""

    def __init__(self, waiting: Iterator[bytes]) -> None:
        self._waiting = waiting
        self._got = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        if head[9:10] != b"2":
            self.done.set_exception(RuntimeError(head.decode()))
            self._transport.close()
            return
        self._got = b""
        self._next()

    def _next(self) -> None:
        asked = next(self._waiting, None)
        if asked is None:
            self.done.set_result(None)
            self._transport.close()
        else:
            self._transport.write(asked)


async def _drive(server: Process, port: int, requests: Sequence[bytes]) -> dict[str, float]:
    loop, waiting = asyncio.get_running_loop(), iter(requests)
    cpu = (await server.ask(what="cpu"))["cpu"]
    begun = perf_counter()
    made = [
        await loop.create_connection(lambda: _Asker(waiting), "127.0.0.1", port)
        for _ in range(min(CONNECTIONS, len(requests)))
    ]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(asker.done for _, asker in made))
    seconds = perf_counter() - begun
    used = (await server.ask(what="cpu"))["cpu"] - cpu
    return {"seconds": seconds, "cpu": used}

"""The HTTP sandbox: four possible answers, a list in pages, signed receipts, a lasting log."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from channels.base import (
    NO_CONNECTION,
    TOO_LATE,
    Accepted,
    Message,
    Receipt,
    Refusal,
    Refused,
    Status,
    Unknown,
)
from channels.sandbox.client import SandboxHttpChannel, open_session
from channels.sandbox.network import SandboxNetwork
from channels.sandbox.script import Act, Loss, Receipts, Rule, Script
from channels.sandbox.server import SandboxServer
from channels.sandbox.wire import SIGNATURE_HEADER, read_receipt, signed_by

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ADDRESS = "+2348030000001"


def message(number: int = 0, left: float = 15.0, status_url: str | None = None) -> Message:
    deadline = time.monotonic() + left
    token = f"{number:032x}"
    return Message(token, "sms", None, ADDRESS, None, f"text {number}", deadline, status_url)


@asynccontextmanager
async def phone(
    script: Script, log: Path | None = None, start: datetime = AT
) -> AsyncIterator[tuple[SandboxHttpChannel, SandboxNetwork]]:
    network = SandboxNetwork(script)
    clock = iter(start + timedelta(seconds=n) for n in range(100_000))
    server = SandboxServer(network, lambda: next(clock), secret=b"s3", log=log)
    async with TestServer(server.app()) as running, open_session() as session:
        url = str(running.make_url("/"))
        yield SandboxHttpChannel(session, url, "sms", time.monotonic), network


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers exactly these bytes and closes; it keeps what it was sent."""
    got: list[bytes] = []
    open_ones: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        with suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            got.append(head + await reader.readexactly(size))
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", got
        for writer in open_ones:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_accepts_with_its_own_id() -> None:
    async with phone(Script()) as (channel, network):
        answer = await channel.send(message())
        assert answer == Accepted(network.accepted[0].provider_id)
        assert network.accepted[0].body == "text 0"


@pytest.mark.parametrize("kind", list(Refusal))
async def test_refusals_come_across(kind: Refusal) -> None:
    async with phone(Script((Rule(Act.REFUSE, refusal=kind, code="21610"),))) as (channel, network):
        answer = await channel.send(message())
        assert isinstance(answer, Refused)
        assert answer.kind is kind
        assert network.accepted == ()


@pytest.mark.parametrize("loss", list(Loss))
@pytest.mark.parametrize("act", [Act.LOSE_ANSWER, Act.DROP])
async def test_lost_answers_are_unknown_and_nothing_is_sent_again(act: Act, loss: Loss) -> None:
    async with phone(Script((Rule(act, loss=loss),))) as (channel, network):
        # twice on one session: the second POST may ride a dropped keep-alive, and must not repeat
        assert isinstance(await channel.send(message(1)), Unknown)
        assert isinstance(await channel.send(message(2)), Unknown)
        tokens = [heard.token for heard in network.accepted]
        assert tokens == ([message(1).token, message(2).token] if act is Act.LOSE_ANSWER else [])


async def test_a_late_answer_is_unknown_before_the_deadline() -> None:
    async with phone(Script((Rule(answer_after=5.0),))) as (channel, network):
        sent = message(left=0.8)
        assert await channel.send(sent) == Unknown("timeout")
        assert time.monotonic() < sent.deadline
        assert len(network.accepted) == 1


async def test_nobody_at_home_is_provably_not_sent() -> None:
    async with open_session() as session:
        channel = SandboxHttpChannel(
            session, f"http://127.0.0.1:{unused_port()}", "sms", time.monotonic
        )
        assert await channel.send(message()) == NO_CONNECTION
        assert not (await channel.listing(ADDRESS, AT)).complete


async def test_no_byte_leaves_once_the_deadline_is_past() -> None:
    ticks = iter([0.0, 100.0])
    async with raw_server(b"") as (url, got), open_session() as session:
        # time jumps between the first look and the write, as when the process was stopped
        channel = SandboxHttpChannel(session, url, "sms", lambda: next(ticks))
        late = Message("t", "sms", None, ADDRESS, None, "text", 15.0)
        assert await channel.send(late) == TOO_LATE
        assert await SandboxHttpChannel(session, url, "sms", lambda: 15.0).send(late) == TOO_LATE
    assert got == []


async def test_waiting_for_a_connection_until_the_time_is_over_is_provably_not_sent() -> None:
    async with phone(Script((Rule(answer_after=1.0),))) as (slow, network):
        async with open_session(connections=1) as session:
            channel = SandboxHttpChannel(session, str(slow.url), "sms", time.monotonic)
            first = asyncio.create_task(channel.send(message(1)))
            second = asyncio.create_task(channel.send(message(2, left=0.8)))
            assert await second == NO_CONNECTION
            assert isinstance(await first, Accepted)
        assert [heard.body for heard in network.accepted] == ["text 1"]


OK = b'HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{"id":"SM1"}'


async def test_an_answer_cut_at_any_byte_is_unknown_and_sent_once() -> None:
    async with open_session() as session:
        for length in range(len(OK)):
            async with raw_server(OK[:length]) as (url, got):
                channel = SandboxHttpChannel(session, url, "sms", time.monotonic)
                assert isinstance(await channel.send(message()), Unknown), length
                assert len(got) == 1
        async with raw_server(OK) as (url, _):
            channel = SandboxHttpChannel(session, url, "sms", time.monotonic)
            assert await channel.send(message()) == Accepted("SM1")


async def test_redirects_are_not_followed() -> None:
    async with raw_server(OK) as (target, got):
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {target}/messages\r\nContent-Length: 0\r\n\r\n"
        async with raw_server(moved.encode()) as (url, _), open_session() as session:
            channel = SandboxHttpChannel(session, url, "sms", time.monotonic)
            assert await channel.send(message()) == Unknown("http-307")
        assert got == []


async def test_the_list_is_read_to_its_last_page() -> None:
    async with phone(Script()) as (channel, network):
        for number in range(120):
            await channel.send(message(number))
        listing = await channel.listing(ADDRESS, AT)
        assert listing.complete
        assert [one.body for one in listing.messages] == [f"text {n}" for n in range(120)]
        assert {one.provider_id for one in listing.messages} == {
            heard.provider_id for heard in network.accepted
        }
        assert (await channel.listing("+1", AT)).messages == ()


async def test_receipts_are_posted_signed_to_the_address_of_the_message() -> None:
    arrived: asyncio.Queue[tuple[str, bytes, str]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await arrived.put(
            (str(request.url), await request.read(), request.headers[SIGNATURE_HEADER])
        )
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/status/{token}", take)
    rule = Rule(receipts=Receipts.DOUBLED, fate=Status.UNDELIVERED, fate_code="30003")
    async with TestServer(app) as ours, phone(Script((rule,))) as (channel, network):
        url = str(ours.make_url("/status/abc"))
        await channel.send(message(status_url=url))
        for _ in range(2):
            posted_to, body, signature = await arrived.get()
            assert posted_to == url
            assert signed_by(b"s3", url, body, signature)
            assert not signed_by(b"other", url, body, signature)
            assert not signed_by(b"s3", url, body + b" ", signature)
            heard = network.accepted[0]
            assert read_receipt(body, "abc") == Receipt(
                "sms",
                heard.provider_id,
                Status.UNDELIVERED,
                "abc",
                "30003",
                heard.at + timedelta(seconds=3),
            )


async def test_the_log_file_survives_the_process(tmp_path: Path) -> None:
    log = tmp_path / "accepted.ndjson"
    async with phone(Script((Rule(Act.DROP, prefix="+1"),)), log) as (channel, first):
        await channel.send(message(1))
        await channel.send(message(2))
    async with phone(Script(), log, AT + timedelta(days=1)) as (channel, second):
        assert second.accepted == first.accepted
        assert len((await channel.listing(ADDRESS, AT)).messages) == 2

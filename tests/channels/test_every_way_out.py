"""What holds for every channel over HTTP: sent at most once, and never sorted better than proven."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from channels.base import NO_CONNECTION, TOO_LATE, Accepted, Channel, Refusal, Refused, Unknown
from channels.handover import open_session
from tests.channels.ways import WAYS, Way
from tests.support.raw_http import JumpingClock, Raw, SleepingConnector, raw_server

pytestmark = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def against(
    way: Way, answer: bytes = b"", *, hangs: bool = False
) -> AsyncIterator[tuple[Channel, Raw]]:
    """The channel with a server that answers with these bytes."""
    async with (
        raw_server(answer, hangs=hangs) as raw,
        open_session() as session,
        way.build(session, raw.url, now) as channel,
    ):
        yield channel, raw


async def test_a_good_answer_is_accepted_under_its_id(way: Way) -> None:
    async with against(way, way.ok) as (channel, raw):
        assert await channel.send(way.message(raw.url, now() + 15)) == Accepted(way.accepted)
        assert len(raw.got) == 1


async def test_an_answer_cut_at_any_byte_is_unknown_and_sent_once(way: Way) -> None:
    async with against(way) as (channel, raw):
        for length in range(len(way.ok)):
            raw.got.clear()
            raw.answer = way.ok[:length]
            answer = await channel.send(way.message(raw.url, now() + 15))
            assert isinstance(answer, Unknown), length
            assert len(raw.got) == 1


async def test_a_request_broken_off_at_any_byte_is_unknown_and_sent_once(way: Way) -> None:
    async with against(way, way.ok) as (channel, raw):
        await channel.send(way.message(raw.url, now() + 15))
        whole = len(raw.got[0])
        for length in [*range(1, whole, 23), whole]:
            raw.got.clear()
            raw.hears = length
            answer = await channel.send(way.message(raw.url, now() + 15))
            assert isinstance(answer, Unknown), length
            assert [len(heard) for heard in raw.got] == [length]


async def test_nobody_at_home_is_provably_not_sent(way: Way) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    async with open_session() as session, way.build(session, url, now) as channel:
        assert await channel.send(way.message(url, now() + 15)) == NO_CONNECTION


async def test_no_byte_leaves_a_process_that_slept_past_its_deadline(way: Way) -> None:
    clock = JumpingClock()
    async with (
        raw_server(way.ok) as raw,
        aiohttp.ClientSession(connector=SleepingConnector(clock)) as session,
        way.build(session, raw.url, clock) as channel,
    ):
        assert await channel.send(way.message(raw.url, clock() + 15)) == TOO_LATE
        assert await channel.send(way.message(raw.url, clock())) == TOO_LATE
        assert raw.got == []


async def test_silence_is_unknown_before_the_deadline(way: Way) -> None:
    async with against(way, way.ok[:20], hangs=True) as (channel, raw):
        deadline = now() + 0.8
        assert await channel.send(way.message(raw.url, deadline)) == Unknown("timeout")
        assert now() < deadline
        assert len(raw.got) == 1


async def test_redirects_are_not_followed(way: Way) -> None:
    async with raw_server(way.ok) as target, against(way) as (channel, raw):
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {target.url}/\r\nContent-Length: 0\r\n\r\n"
        raw.answer = moved.encode()
        answer = await channel.send(way.message(raw.url, now() + 15))
        assert isinstance(answer, Unknown)
        assert target.got == []


@pytest.mark.parametrize("status", ["500 Internal", "502 Bad", "503 Busy", "504 Late", "408 Slow"])
async def test_a_broken_gateway_proves_nothing(way: Way, status: str) -> None:
    page = f"HTTP/1.1 {status}\r\nRetry-After: 3\r\nContent-Length: 6\r\n\r\n<html>"
    async with against(way, page.encode()) as (channel, raw):
        answer = await channel.send(way.message(raw.url, now() + 15))
    assert isinstance(answer, Unknown)


async def test_too_many_requests_is_not_sent(way: Way) -> None:
    page = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with against(way, page) as (channel, raw):
        answer = await channel.send(way.message(raw.url, now() + 15))
    assert isinstance(answer, Refused)
    assert answer.kind is Refusal.TRANSIENT
    assert way.name == "sandbox" or answer.retry_after == 7.0


async def test_an_endless_answer_is_not_read_to_its_end(way: Way) -> None:
    page = way.ok.split(b"\r\n")[0] + b"\r\n\r\n" + b"x" * 200_000
    async with against(way, page, hangs=True) as (channel, raw):
        answer = await channel.send(way.message(raw.url, now() + 15))
    assert isinstance(answer, Unknown)
    assert "too-long" in answer.why


async def test_garbage_instead_of_http_is_unknown(way: Way) -> None:
    for garbage in (b"\x00" * 64, b"HTTP/1.1 999999 x\r\n\r\n", b"HTTP/9.9 200\r\n\r\n"):
        async with against(way, garbage) as (channel, raw):
            answer = await channel.send(way.message(raw.url, now() + 15))
        assert isinstance(answer, Unknown), garbage

"""The Twilio channel over HTTP: the library's requests, our transport, and a server at its worst."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, repeat
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from aiohttp.test_utils import TestServer, unused_port

from channels.base import (
    NO_CONNECTION,
    TOO_LATE,
    Accepted,
    Fault,
    Listing,
    Message,
    Refusal,
    Refused,
    Unknown,
)
from channels.handover import open_session
from channels.sms_twilio.channel import Account, TwilioSms
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN, Script, StandIn

OPTED_OUT = Refused("21610", Refusal.OPTED_OUT, fault=Fault.OPT_OUT)
ADDRESS = "+2348030000001"
KEY = b"k" * 32
PUBLIC = "https://duly.example"
SID = "SM" + "0a" * 16
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
AGO = timedelta(minutes=5)


def account(url: str, sender: str = "+15005550006") -> Account:
    return Account(ACCOUNT, AUTH_TOKEN, sender, PUBLIC, KEY, url)


def message(number: int = 0, left: float = 15.0, **also: Any) -> Message:
    made = Message(
        f"{number:032x}", "sms", None, ADDRESS, None, f"text {number} 欠款 & +1",
        time.monotonic() + left, f"{PUBLIC}/webhooks/sandbox/3/{number:032x}",
    )  # fmt: skip
    return made._replace(**also)


@asynccontextmanager
async def twilio(
    script: Script | None = None, sender: str = "+15005550006"
) -> AsyncIterator[tuple[TwilioSms, StandIn]]:
    server = StandIn()
    # no callbacks: nobody listens here
    server.script = script or Script(statuses=())
    async with TestServer(server.app()) as running, open_session() as session:
        url = str(running.make_url("/"))
        yield TwilioSms(session, account(url, sender), time.monotonic), server


class Rude:
    """A server that reads `reads` bytes of a request, answers `answer` and cuts the line."""

    def __init__(self) -> None:
        self.answer, self.reads, self.reset = b"", 1 << 20, False
        self.got: list[bytes] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        got = b""
        with suppress(OSError, asyncio.IncompleteReadError):
            while len(got) < self.reads and not _whole(got):
                part = await reader.read(min(4096, self.reads - len(got)))
                if not part:
                    break
                got += part
            self.got.append(got)
            writer.write(self.answer)
            await writer.drain()
        writer.transport.abort() if self.reset else writer.close()

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _whole(got: bytes) -> bool:
    head, end, body = got.partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
    return len(body) >= int(length)


@asynccontextmanager
async def rude() -> AsyncIterator[tuple[Rude, TwilioSms]]:
    server = Rude()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, open_session() as session:
        yield server, TwilioSms(session, account(f"http://127.0.0.1:{port}"), time.monotonic)
        await server.close()


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[TwilioSms]:
    """A channel whose provider is this handler."""
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, open_session() as session:
        yield TwilioSms(session, account(f"http://127.0.0.1:{port}"), time.monotonic)


def whole_answer(status: str = "201 Created", body: bytes | None = None) -> bytes:
    said = orjson.dumps({"sid": SID, "status": "queued"}) if body is None else body
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(said)}\r\n\r\n"
    return head.encode() + said


async def test_a_message_goes_out_as_twilio_wants_it() -> None:
    async with twilio() as (channel, server):
        answer = await channel.send(message(7, good_for=120))
        assert answer == Accepted(server.messages[0]["sid"])
        given = server.messages[0]["_given"]
        assert given.pop("StatusCallback").startswith(
            f"{PUBLIC}/webhooks/twilio/status/3/{7:032x}/"
        )
        assert given == {
            "To": ADDRESS, "From": "+15005550006", "Body": "text 7 欠款 & +1",
            "ValidityPeriod": "120",
        }  # fmt: skip


async def test_a_messaging_service_sends_instead_of_a_number() -> None:
    service = "MG" + "1" * 32
    async with twilio(sender=service) as (channel, server):
        await channel.send(message())
        given = server.messages[0]["_given"]
        assert given["MessagingServiceSid"] == service
        assert "From" not in given


@pytest.mark.parametrize(("good_for", "said"), [(None, "900"), (40_000, "900"), (0, "1")])
async def test_the_provider_never_keeps_a_message_longer_than_a_quarter_of_an_hour(
    good_for: int | None, said: str
) -> None:
    async with twilio() as (channel, server):
        await channel.send(message(good_for=good_for))
        assert server.messages[0]["_given"]["ValidityPeriod"] == said


async def test_contents_can_be_discarded_at_the_provider() -> None:
    async with twilio() as (channel, server):
        settled = replace(channel.account, discard_content=True, obfuscate_addresses=True)
        async with open_session() as session:
            await TwilioSms(session, settled, time.monotonic).send(message())
        given = server.messages[0]["_given"]
        assert (given["ContentRetention"], given["AddressRetention"]) == ("discard", "obfuscate")


async def test_refusals_follow_the_table() -> None:
    refuse = Script(refuse={ADDRESS: 21610})
    async with twilio(refuse) as (channel, server):
        assert await channel.send(message()) == OPTED_OUT
        server.script = Script(too_many=1.0, retry_after="7")
        assert await channel.send(message()) == Refused("429", Refusal.TRANSIENT, None, 7.0)
        assert server.messages == []


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_becomes_of_the_answer_is_unknown_and_nothing_goes_twice(seed: int) -> None:
    async with twilio(Script(lose_answer=1.0, statuses=())) as (channel, server):
        server.rng.seed(seed)
        for number in range(3):
            assert isinstance(await channel.send(message(number)), Unknown)
        assert [one["body"] for one in server.messages] == [message(n).body for n in range(3)]
        server.script = Script(drop=1.0)
        assert isinstance(await channel.send(message(9)), Unknown)
        assert len(server.messages) == 3


async def test_an_answer_cut_at_any_byte_is_unknown_and_sent_once() -> None:
    answer = whole_answer()
    async with rude() as (server, channel):
        for length in range(len(answer)):
            server.answer, server.got = answer[:length], []
            assert isinstance(await channel.send(message()), Unknown), length
            assert len(server.got) == 1
        server.answer = answer
        assert await channel.send(message()) == Accepted(SID)


async def test_a_refusal_cut_at_any_byte_is_unknown() -> None:
    answer = whole_answer("400 Bad Request", b'{"code":21610,"message":"no","status":400}')
    async with rude() as (server, channel):
        for length in range(len(answer)):
            server.answer = answer[:length]
            assert isinstance(await channel.send(message()), Unknown), length
        server.answer = answer
        assert await channel.send(message()) == OPTED_OUT


@pytest.mark.parametrize("reset", [True, False])
async def test_a_line_cut_after_any_byte_of_the_request_is_unknown(*, reset: bool) -> None:
    async with rude() as (server, channel):
        server.answer = whole_answer()
        await channel.send(message())
        size = len(server.got[0])
        server.answer, server.reset = b"", reset
        for reads in range(0, size, 1 if reset else 7):
            server.reads, server.got = reads, []
            assert isinstance(await channel.send(message()), Unknown), reads
            assert len(server.got) == 1


async def test_an_answer_with_any_byte_changed_never_refuses() -> None:
    answer = whole_answer()
    async with rude() as (server, channel):
        for place in range(len(answer)):
            server.answer = answer[:place] + bytes([answer[place] ^ 0x01]) + answer[place + 1 :]
            got = await channel.send(message(left=1.5))
            assert isinstance(got, Unknown | Accepted), (place, got)


@pytest.mark.parametrize(
    "answer",
    [
        whole_answer("301 Moved", b""),
        b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        whole_answer("201 Created", b"<html>"),
        whole_answer("201 Created", b"\x1f\x8b" + b"\0" * 40),
        whole_answer("201 Created", b"[" * 200_000),
        b"HTTP/1.1 201 Created\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n{}",
        whole_answer("201 Created", b" " * 2_000_000 + b'{"sid":"' + SID.encode() + b'"}'),
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"not http at all",
    ],
)
async def test_odd_answers_are_unknown(answer: bytes) -> None:
    async with rude() as (server, channel):
        server.answer = answer
        assert isinstance(await channel.send(message()), Unknown)
        assert len(server.got) == 1


async def test_silence_is_unknown_before_the_deadline() -> None:
    silent = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with served(serve) as channel:
        sent = message(left=0.8)
        assert await channel.send(sent) == Unknown("timeout")
        assert time.monotonic() < sent.deadline
        silent.set()


async def test_nobody_at_home_is_provably_not_sent() -> None:
    async with open_session() as session:
        url = f"http://127.0.0.1:{unused_port()}"
        channel = TwilioSms(session, account(url), time.monotonic)
        assert await channel.send(message()) == NO_CONNECTION
        assert not (await channel.listing(ADDRESS, datetime(2026, 1, 1, tzinfo=UTC))).complete


def jumping(*times: float) -> Callable[[], float]:
    """One time a look, and the last of them ever after."""
    ticks: Iterator[float] = chain(times, repeat(times[-1]))
    return lambda: next(ticks)


async def test_no_byte_leaves_once_the_deadline_is_past() -> None:
    async with rude() as (server, channel), open_session() as session:
        late = message()._replace(deadline=15.0)
        # time jumps between the first look and the write, as when the process was stopped
        for looks in ((0.0, 100.0), (0.0, 0.0, 100.0)):
            slept = TwilioSms(session, channel.account, jumping(*looks))
            assert await slept.send(late) == TOO_LATE
        assert await TwilioSms(session, channel.account, lambda: 15.0).send(late) == TOO_LATE
        # a connection, perhaps, and nothing on it
        assert b"".join(server.got) == b""


async def test_the_list_is_read_to_its_last_page_and_needs_no_date() -> None:
    async with twilio() as (channel, server):
        since = datetime.now(UTC) - AGO  # noqa: TID251
        for number in range(3):
            await channel.send(message(number))
        for number in range(1200):
            server._stored(ADDRESS, "+15005550006", f"old {number}", "outbound-api")
        server._stored(ADDRESS, "+1", "a reply", "inbound")
        server._stored("+1", "+15005550006", "to another", "outbound-api")
        listing = await channel.listing(ADDRESS, since)
        assert listing.complete
        assert len(listing.messages) == 1203
        assert [one.body for one in listing.messages[-3:]] == [
            message(number).body for number in (2, 1, 0)
        ]
        assert (await channel.listing("+99", since)).messages == ()


async def test_a_list_that_breaks_or_hides_texts_proves_nothing() -> None:
    async with twilio() as (channel, server):
        since = datetime.now(UTC) - AGO  # noqa: TID251
        server._stored(ADDRESS, "+15005550006", "", "outbound-api")
        assert not (await channel.listing(ADDRESS, since)).complete
        server.script = Script(list_broken=True)
        assert not (await channel.listing(ADDRESS, since)).complete


@pytest.mark.parametrize("broken_page", [0, 1, 17, 29])
async def test_small_pages_are_all_read_and_one_that_breaks_breaks_the_list(
    broken_page: int,
) -> None:
    async with twilio(Script(statuses=(), page_max=1)) as (channel, server):
        since = datetime.now(UTC) - AGO  # noqa: TID251
        for number in range(30):
            await channel.send(message(number))
        listing = await channel.listing(ADDRESS, since)
        assert listing.complete
        assert len(listing.messages) == 30
        server.script = Script(statuses=(), page_max=1, broken_page=broken_page)
        assert not (await channel.listing(ADDRESS, since)).complete


async def test_pages_of_long_texts_in_any_script_are_read() -> None:
    """Twilio writes each character of these as six."""
    async with twilio(Script(statuses=())) as (channel, server):
        for number in range(600):
            server._stored(ADDRESS, "+15005550006", f"{number} " + "欠款提醒" * 100, "outbound-api")
        listing = await channel.listing(ADDRESS, datetime.now(UTC) - AGO)  # noqa: TID251
        assert listing.complete
        assert len(listing.messages) == 600


async def test_a_provider_whose_clock_is_behind_still_shows_what_was_just_sent() -> None:
    async with twilio(Script(statuses=())) as (channel, server):
        server._now = lambda: datetime.now(UTC) - timedelta(minutes=14)  # noqa: TID251
        await channel.send(message())
        listing = await channel.listing(ADDRESS, datetime.now(UTC) - timedelta(minutes=1))  # noqa: TID251
        assert [one.body for one in listing.messages] == [message().body]


async def test_a_message_without_a_date_may_be_the_one_that_is_looked_for() -> None:
    async with twilio(Script(statuses=())) as (channel, server):
        await channel.send(message())
        server.messages[0]["date_created"] = None
        listing = await channel.listing(ADDRESS, datetime.now(UTC) - AGO)  # noqa: TID251
        assert not listing.complete
        assert [one.body for one in listing.messages] == [message().body]


async def test_numbers_that_are_not_shown_prove_nothing() -> None:
    async with twilio() as (channel, _), open_session() as session:
        hiding = TwilioSms(
            session, replace(channel.account, obfuscate_addresses=True), time.monotonic
        )
        since = datetime.now(UTC) - AGO  # noqa: TID251
        assert (await channel.listing(ADDRESS, since)).complete
        assert not (await hiding.listing(ADDRESS, since)).complete


async def test_times_leave_as_utc_whatever_their_zone() -> None:
    """The library writes a Z behind whatever clock it is given."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(whole_answer("200 OK", b'{"messages": [], "next_page_uri": null}'))
        writer.close()

    async with served(serve) as channel:
        nine_in_shanghai = datetime(2026, 3, 2, 9, 0, tzinfo=timezone(timedelta(hours=8)))
        await channel.inbound(nine_in_shanghai)
    assert b"=2026-03-02T01%3A00%3A00Z" in asked[0]


async def list_of(body: bytes) -> Listing:
    """What the channel makes of a server whose list is this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole_answer("200 OK", body))
        writer.close()

    async with served(serve) as channel:
        return await channel.listing(ADDRESS, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b"[]", b'{"messages":[]}', b"<html>", b'{"messages":3,"next_page_uri":null}', b"null",
        b"[" * 200_000, b'{"messages":[],"next_page_uri":"/same"}',
    ],
)  # fmt: skip
async def test_a_list_that_is_none_proves_nothing(body: bytes) -> None:
    assert not (await list_of(body)).complete


async def test_an_empty_list_is_one() -> None:
    assert (await list_of(b'{"messages":[],"next_page_uri":null}')).complete


async def test_a_next_page_elsewhere_is_not_followed_with_our_credentials() -> None:
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with served(elsewhere) as other:
        meta = {"key": "messages", "next_page_url": f"{other.account.base_url}/next"}
        body = orjson.dumps({"messages": [], "next_page_uri": None, "meta": meta})
        assert not (await list_of(body)).complete
    assert asked == []


async def test_what_was_sent_to_us_is_listed_from_a_time_on() -> None:
    async with twilio() as (channel, server):
        server._stored("+15005550006", ADDRESS, "STOP", "inbound")
        await channel.send(message())
        since = datetime.now(UTC) - AGO  # noqa: TID251
        found = await channel.inbound(since)
        assert found.complete
        assert [(one.sender, one.recipient, one.body) for one in found.messages] == [
            (ADDRESS, "+15005550006", "STOP")
        ]
        assert (await channel.inbound(since + 2 * AGO)).messages == ()
        assert (await channel.inbound(since - AGO, since)).messages == ()
        assert len((await channel.inbound(since, since + 2 * AGO)).messages) == 1


async def test_one_odd_reply_keeps_nobody_elses_from_being_read() -> None:
    async with twilio(Script(statuses=(), page_max=2)) as (channel, server):
        for odd in (
            {"num_media": "many"}, {"from": None}, {"date_created": None}, {"body": None},
            {"num_media": None}, {"sid": None}, {"date_created": "yesterday"}, {"to": None},
        ):  # fmt: skip
            server._stored("+15005550006", ADDRESS, "STOP", "inbound").update(odd)
            if "to" in odd:
                server.messages[-1]["to"] = "+15005550006"
        since = datetime.now(UTC) - AGO  # noqa: TID251
        found = await channel.inbound(since)
        assert found.complete
        # of one nobody can say who it was, of another which message
        assert len(found.messages) == 6


async def test_everything_a_service_sent_stands_between_the_replies_and_they_are_found() -> None:
    async with twilio(Script(statuses=()), sender="MG" + "1" * 32) as (channel, server):
        server._stored("+15005550006", ADDRESS, "STOP", "inbound")
        for number in range(11_000):
            made = server._stored(ADDRESS, "+15005550006", f"text {number}", "outbound-api")
            made["date_sent"] = made["date_created"]
        found = await channel.inbound(datetime.now(UTC) - AGO)  # noqa: TID251
        assert found.complete
        assert [one.body for one in found.messages] == ["STOP"]


async def test_answers_come_as_they_are() -> None:
    """A server that is not told may choose an encoding that we do not read."""
    async with rude() as (server, channel):
        server.answer = whole_answer()
        await channel.send(message())
        assert b"Accept-Encoding: identity\r\n" in server.got[0]


async def test_forms_are_encoded_as_every_server_reads_them() -> None:
    async with rude() as (server, channel):
        server.answer = whole_answer()
        await channel.send(message())
        body = server.got[0].partition(b"\r\n\r\n")[2]
        assert parse_qs(body.decode("ascii"))["To"] == [ADDRESS]

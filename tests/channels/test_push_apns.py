"""APNs: what is sent, what each reason means, and what HTTP/2 proves about each stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from aiohttp.test_utils import unused_port
from h2.errors import ErrorCodes
from yarl import URL

from channels import http2
from channels.base import (
    NO_CONNECTION,
    TOO_LATE,
    Accepted,
    Answer,
    Message,
    Refusal,
    Refused,
    Unknown,
)
from channels.http2 import NOT_PROCESSED, Connection
from channels.http2_client import Http2Client
from channels.http_once import HttpAnswer
from channels.jwt import BadKey, read_p256_key
from channels.push import Life
from channels.push_apns import ApnsChannel, AppleKey, ProviderTokens, classify_apns
from tests.support.apple import Apple, Pushed, Talk, apple
from tests.support.push_keys import p256_key, pem, rsa_key
from tests.support.raw_http import JumpingClock, raw_server

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEVICE = "ab" * 32
KEY = AppleKey("TEAM123456", "ABC123DEFG", p256_key())


def message(clock: JumpingClock, number: int = 0, left: float = 15.0) -> Message:
    return Message(
        f"{number:032x}", "push", "apns", DEVICE, "Kobo Credit", "You have a new message.",
        clock() + left, None, 3600, AT, f"notice-{number}", "loan-1",
    )  # fmt: skip


def channel_at(url: str, clock: JumpingClock) -> ApnsChannel:
    client = Http2Client(URL(url), clock)
    tokens = ProviderTokens(KEY, lambda: AT)
    return ApnsChannel(client, "com.kobo.app", tokens, Life(lambda: AT, 14400))


@asynccontextmanager
async def apns(
    server: Apple,
) -> AsyncIterator[tuple[ApnsChannel, JumpingClock]]:
    clock = JumpingClock()
    channel = channel_at(server.url, clock)
    yield channel, clock
    await channel.close()


PERMANENT, OURS, LATER = Refusal.PERMANENT, Refusal.CONFIGURATION, Refusal.TRANSIENT
BEFORE = int((AT - timedelta(hours=1)).timestamp() * 1000)
AFTER = int((AT + timedelta(hours=1)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b"", Accepted("id-1")),
        (410, b'{"reason":"Unregistered","timestamp":%d}' % AFTER,
         Refused("Unregistered", PERMANENT)),
        # heard of since then: Apple's word is older than ours
        (410, b'{"reason":"Unregistered","timestamp":%d}' % BEFORE, Refused("Unregistered", LATER)),
        (410, b'{"reason":"ExpiredToken"}', Refused("ExpiredToken", PERMANENT)),
        (410, b'{"reason":"Unregistered","timestamp":1e400}', Unknown("http-410-without-reason")),
        (400, b'{"reason":"BadDeviceToken"}', Refused("BadDeviceToken", OURS)),
        (400, b'{"reason":"DeviceTokenNotForTopic"}', Refused("DeviceTokenNotForTopic", OURS)),
        (403, b'{"reason":"ExpiredProviderToken"}', Refused("ExpiredProviderToken", OURS)),
        (413, b'{"reason":"PayloadTooLarge"}', Refused("PayloadTooLarge", OURS)),
        (400, b'{"reason":"IdleTimeout"}', Refused("IdleTimeout", LATER)),
        (429, b'{"reason":"TooManyRequests"}',
         Refused("TooManyRequests", LATER, retry_after=4.0)),
        (429, b"", Refused("429", LATER, retry_after=4.0)),
        (503, b'{"reason":"Shutdown"}', Refused("Shutdown", LATER, retry_after=4.0)),
        (503, b"<html>", Unknown("http-503-without-reason")),
        (500, b'{"reason":"InternalServerError"}', Unknown("http-500")),
        (410, b"gone", Unknown("http-410-without-reason")),
        (400, b"[]", Unknown("http-400-without-reason")),
        (400, b'{"reason":7}', Unknown("http-400-without-reason")),
        (201, b'{"reason":"x"}', Unknown("http-201")),
        (302, b'{"reason":"x"}', Unknown("http-302")),
    ],
)  # fmt: skip
def test_table(status: int, body: bytes, answer: Answer) -> None:
    got = HttpAnswer(status, {"Retry-After": "4"}, body)
    assert classify_apns(got, "id-1", AT, right_place=False) == answer


def test_bad_device_is_the_devices_fault_once_apple_knew_another() -> None:
    got = HttpAnswer(400, {}, b'{"reason":"BadDeviceToken"}')
    assert classify_apns(got, "x", None, right_place=True) == Refused("BadDeviceToken", PERMANENT)


def test_only_200_accepts_and_no_5xx_but_503_refuses() -> None:
    for status in range(700):
        got = HttpAnswer(status, {}, b'{"reason":"Unregistered"}')
        answer = classify_apns(got, "x", None, right_place=True)
        assert isinstance(answer, Accepted) == (status == 200)
        assert not isinstance(answer, Refused) or 400 <= status < 500 or status == 503


async def test_what_is_sent_is_neutral_bounded_and_collapses() -> None:
    async with apple() as server, apns(server) as (channel, clock):
        assert await channel.send(message(clock, 7)) == Accepted("id-1")
        sent = server.pushed[0]
        assert sent.headers[":path"] == f"/3/device/{DEVICE}"
        assert sent.headers[":authority"] == server.url.removeprefix("http://")
        assert sent.headers["apns-topic"] == "com.kobo.app"
        assert sent.headers["apns-push-type"] == "alert"
        assert sent.headers["apns-id"] == "00000000-0000-0000-0000-000000000007"
        assert sent.headers["apns-expiration"] == str(int(AT.timestamp()) + 3600)
        assert sent.headers["apns-collapse-id"] == "loan-1"
        assert orjson.loads(sent.body) == {
            "aps": {
                "alert": {"title": "Kobo Credit", "body": "You have a new message."},
                "sound": "default",
                "thread-id": "loan-1",
            },
            "duly_token": f"{7:032x}",
            "duly_notice": "notice-7",
        }


async def test_many_at_once_share_one_connection() -> None:
    async with apple() as server, apns(server) as (channel, clock):
        sends = [channel.send(message(clock, n)) for n in range(300)]
        answers = await asyncio.gather(*sends)
        assert len(set(answers)) == 300
        assert all(isinstance(answer, Accepted) for answer in answers)
        assert server.connections == 1


async def test_streams_above_a_goaway_were_not_processed_and_the_others_go_on() -> None:
    def act(talk: Talk, pushed: Pushed) -> None:
        if pushed.stream == 5:
            talk.go_away(3)
            talk.answer(3, 200)
            talk.answer(1, 200)
            server.act = lambda talk, pushed: talk.answer(pushed.stream, 200)

    async with apple(act) as server, apns(server) as (channel, clock):
        sends = [asyncio.create_task(channel.send(message(clock, n))) for n in range(3)]
        assert await asyncio.gather(*sends) == [Accepted("id-1"), Accepted("id-3"), NOT_PROCESSED]
        assert await channel.send(message(clock, 4)) == Accepted("id-1")
        assert server.connections == 2


async def test_streams_below_a_goaway_that_were_never_answered_are_unknown() -> None:
    def act(talk: Talk, pushed: Pushed) -> None:
        if pushed.stream == 5:
            talk.go_away(3)
            talk.writer.close()

    async with apple(act) as server, apns(server) as (channel, clock):
        sends = [asyncio.create_task(channel.send(message(clock, n))) for n in range(3)]
        lost = Unknown("connection-lost")
        assert await asyncio.gather(*sends) == [lost, lost, NOT_PROCESSED]


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (ErrorCodes.REFUSED_STREAM, NOT_PROCESSED),
        (ErrorCodes.INTERNAL_ERROR, Unknown("stream-reset")),
        (ErrorCodes.CANCEL, Unknown("stream-reset")),
        (ErrorCodes.NO_ERROR, Unknown("stream-reset")),
    ],
)
async def test_only_a_refused_stream_was_never_processed(code: ErrorCodes, answer: Answer) -> None:
    async with apple(lambda talk, pushed: talk.reset(pushed.stream, code)) as server:
        async with apns(server) as (channel, clock):
            assert await channel.send(message(clock)) == answer
        assert server.connections == 1


async def test_a_stream_refused_after_its_answer_began_is_unknown() -> None:
    def act(talk: Talk, pushed: Pushed) -> None:
        talk.h2.send_headers(pushed.stream, [(":status", "200")])
        talk.reset(pushed.stream, ErrorCodes.REFUSED_STREAM)

    async with apple(act) as server, apns(server) as (channel, clock):
        assert await channel.send(message(clock)) == Unknown("stream-reset")


@pytest.mark.parametrize("said", [None, {"reason": "Unregistered", "timestamp": AFTER}])
async def test_an_answer_cut_at_any_byte_is_unknown_and_sent_once(said: object) -> None:
    def act(talk: Talk, pushed: Pushed) -> None:
        talk.answer(pushed.stream, 410 if said else 200, said)

    async with apple(act) as server:
        async with apns(server) as (channel, clock):
            assert not isinstance(await channel.send(message(clock)), Unknown)
        for length in range(server.told):
            server.tells = length
            server.pushed.clear()
            async with apns(server) as (channel, clock):
                answer = await channel.send(message(clock))
                assert isinstance(answer, Unknown), length
                assert len(server.pushed) == 1


async def test_a_request_broken_off_at_any_byte_is_unknown_unless_it_never_began() -> None:
    async with apple() as server:
        async with apns(server) as (channel, clock):
            await channel.send(message(clock))
        whole = server.heard
        answers = []
        for length in range(1, whole + 1, 11):
            server.heard, server.hears, server.connections = 0, length, 0
            server.pushed.clear()
            async with apns(server) as (channel, clock):
                answers.append(await channel.send(message(clock)))
            assert server.pushed == []
            assert server.connections <= 2
        # first the handshake, of which no part is a request; then the request
        kinds = [type(answer) for answer in answers]
        assert set(kinds) <= {Refused, Unknown}
        assert kinds == sorted(kinds, key=lambda kind: kind is Unknown)
        assert kinds[-1] is Unknown


async def test_silence_is_unknown_before_the_deadline_and_the_next_connection_is_another() -> None:
    async with apple(lambda _talk, _pushed: None) as server, apns(server) as (channel, clock):
        late = message(clock, left=0.8)
        assert await channel.send(late) == Unknown("timeout")
        assert clock() < late.deadline
        server.act = lambda talk, pushed: talk.answer(pushed.stream, 200)
        assert await channel.send(message(clock, 1)) == Accepted("id-1")
        assert server.connections == 2
        assert len(server.pushed) == 2


async def test_no_byte_leaves_a_process_that_slept_past_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with apple() as server, apns(server) as (channel, clock):
        hand_over = Connection.hand_over

        def slept(
            self: Connection, headers: list[tuple[str, str]], body: bytes, at: float
        ) -> object:
            clock.offset += 100
            return hand_over(self, headers, body, at)

        monkeypatch.setattr(Connection, "hand_over", slept)
        assert await channel.send(message(clock)) == TOO_LATE
        assert await channel.send(message(clock, left=0.0)) == TOO_LATE
        assert server.pushed == []


async def test_without_room_a_request_waits_and_is_provably_not_sent_when_its_time_ends() -> None:
    held: list[tuple[Talk, Pushed]] = []
    async with apple(lambda talk, pushed: held.append((talk, pushed))) as server:
        server.streams = 1
        async with apns(server) as (channel, clock):
            first = asyncio.create_task(channel.send(message(clock, 1)))
            second = asyncio.create_task(channel.send(message(clock, 2, left=0.8)))
            third = asyncio.create_task(channel.send(message(clock, 3)))
            assert await second == NO_CONNECTION
            server.act = lambda talk, pushed: talk.answer(pushed.stream, 200)
            held[0][0].answer(1, 200)
            held[0][0].flush()
            assert await first == Accepted("id-1")
            assert await third == Accepted("id-3")
            names = [pushed.headers["apns-id"][-1] for pushed in server.pushed]
            assert names == ["1", "3"]


async def test_a_window_that_is_too_small_keeps_the_whole_request_back() -> None:
    async with apple() as server:
        server.window = 50
        async with apns(server) as (channel, clock):
            assert await channel.send(message(clock, left=0.8)) == NO_CONNECTION
            assert server.pushed == []


async def test_a_connection_that_died_in_silence_is_found_out_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http2, "_PING", 0.1)
    async with apple() as server, apns(server) as (channel, clock):
        await channel.send(message(clock, 1))
        clock.offset += 31
        await channel.send(message(clock, 2))
        assert server.connections == 1
        clock.offset += 31
        server.deaf = True
        waiting = asyncio.create_task(channel.send(message(clock, 3)))
        while server.connections == 1:
            await asyncio.wait([waiting], timeout=0.01)
        server.deaf = False
        await asyncio.wait([waiting], timeout=1)
        names = [pushed.headers["apns-id"][-1] for pushed in server.pushed]
        assert names[:2] == ["1", "2"]


async def test_nobody_at_home_is_provably_not_sent() -> None:
    clock = JumpingClock()
    channel = channel_at(f"http://127.0.0.1:{unused_port()}", clock)
    assert await channel.send(message(clock)) == NO_CONNECTION
    await channel.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 4096])
async def test_a_server_that_speaks_something_else_got_no_request(answer: bytes) -> None:
    clock = JumpingClock()
    async with raw_server(answer, hears=24) as raw:
        channel = channel_at(raw.url, clock)
        assert await channel.send(message(clock)) == NO_CONNECTION
        await channel.close()
        assert b"device" not in b"".join(raw.got)


async def test_nonsense_in_the_middle_is_unknown() -> None:
    def act(talk: Talk, pushed: Pushed) -> None:
        assert pushed.stream
        talk.writer.write(b"\xff" * 64)

    async with apple(act) as server, apns(server) as (channel, clock):
        assert await channel.send(message(clock)) == Unknown("connection-lost")


@pytest.mark.parametrize("address", ["", "abc", "../../x", "zz" * 32, "ab" * 32 + "\n", "ab" * 101])
async def test_what_is_no_device_is_never_sent(address: str) -> None:
    async with apple() as server, apns(server) as (channel, clock):
        answer = await channel.send(message(clock)._replace(address=address))
        assert answer == Refused("BadDeviceToken", PERMANENT)
        assert server.connections == 0


def test_another_kind_of_key_is_refused() -> None:
    with pytest.raises(BadKey, match="P-256"):
        read_p256_key(pem(rsa_key()))
    with pytest.raises(BadKey, match="PEM"):
        read_p256_key("nonsense")

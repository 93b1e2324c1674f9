"""FCM: what is sent, what each error means, and one access token that is renewed in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from channels.base import Accepted, Answer, Refusal, Refused, Unknown
from channels.google_token import GoogleTokens, read_service_account
from channels.handover import open_session
from channels.jwt import BadKey
from channels.push import Life
from channels.push_fcm import FcmChannel, classify_fcm
from tests.channels.ways import FCM_NAME, WAYS
from tests.support.google import Google, google
from tests.support.push_keys import p256_key, pem, service_account
from tests.support.raw_http import JumpingClock, Raw, raw_server

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FCM = next(way for way in WAYS if way.name == "fcm")
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def error(
    code: int, status: str, message: str = "", fcm: str | None = None, field: str | None = None
) -> bytes:
    details: list[dict[str, Any]] = []
    if fcm is not None:
        details.append({"@type": FCM_ERROR, "errorCode": fcm})
    if field is not None:
        details.append({"@type": BAD_REQUEST, "fieldViolations": [{"field": field}]})
    said = {"code": code, "message": message, "status": status, "details": details}
    return orjson.dumps({"error": said})


INVALID_TOKEN = "The registration token is not a valid FCM registration token"
PERMANENT, OURS, LATER = Refusal.PERMANENT, Refusal.CONFIGURATION, Refusal.TRANSIENT


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b'{"name":"projects/p/messages/1"}', Accepted("projects/p/messages/1")),
        (200, b'{"name":""}', Unknown("http-200-without-name")),
        (200, b"{}", Unknown("http-200-without-name")),
        (200, b'{"name":"projects/p', Unknown("http-200-without-name")),
        (201, b'{"name":"projects/p/messages/1"}', Unknown("http-201-unreadable")),
        # the app is gone
        (404, error(404, "NOT_FOUND", fcm="UNREGISTERED"), Refused("UNREGISTERED", PERMANENT)),
        # the project or path is not there: no fault of the phone
        (404, error(404, "NOT_FOUND"), Refused("NOT_FOUND", OURS)),
        # INVALID_ARGUMENT may be the phone's token or our payload
        (400, error(400, "INVALID_ARGUMENT", INVALID_TOKEN, "INVALID_ARGUMENT"),
         Refused("INVALID_ARGUMENT", PERMANENT)),
        (400, error(400, "INVALID_ARGUMENT", "x", "INVALID_ARGUMENT", "message.token"),
         Refused("INVALID_ARGUMENT", PERMANENT)),
        (400, error(400, "INVALID_ARGUMENT", INVALID_TOKEN, "INVALID_ARGUMENT", "message.data[0]"),
         Refused("INVALID_ARGUMENT", OURS)),
        (400, error(400, "INVALID_ARGUMENT", "Message is too big", "INVALID_ARGUMENT"),
         Refused("INVALID_ARGUMENT", OURS)),
        (400, error(400, "INVALID_ARGUMENT", INVALID_TOKEN), Refused("INVALID_ARGUMENT", OURS)),
        (400, error(400, "INVALID_ARGUMENT", "x", None, "message"),
         Refused("INVALID_ARGUMENT", OURS)),
        (403, error(403, "PERMISSION_DENIED", fcm="SENDER_ID_MISMATCH"),
         Refused("SENDER_ID_MISMATCH", OURS)),
        (401, error(401, "UNAUTHENTICATED", fcm="THIRD_PARTY_AUTH_ERROR"),
         Refused("THIRD_PARTY_AUTH_ERROR", OURS)),
        (401, error(401, "UNAUTHENTICATED"), Refused("UNAUTHENTICATED", OURS)),
        (403, error(403, "PERMISSION_DENIED"), Refused("PERMISSION_DENIED", OURS)),
        (418, error(418, "NEW", fcm="NEVER_HEARD_OF"), Refused("NEVER_HEARD_OF", OURS)),
        # not taken, come again
        (429, error(429, "RESOURCE_EXHAUSTED", fcm="QUOTA_EXCEEDED"),
         Refused("QUOTA_EXCEEDED", LATER, retry_after=5.0)),
        (429, b"<html>", Refused("429", LATER, retry_after=5.0)),
        (503, error(503, "UNAVAILABLE", fcm="UNAVAILABLE"),
         Refused("UNAVAILABLE", LATER, retry_after=5.0)),
        # may have been taken
        (503, error(503, "UNAVAILABLE"), Unknown("http-503")),
        (503, b"<html>", Unknown("http-503-unreadable")),
        (500, error(500, "INTERNAL", fcm="INTERNAL"), Unknown("http-500")),
        (502, b"<html>", Unknown("http-502-unreadable")),
        (404, b"<html>", Unknown("http-404-unreadable")),
        (400, error(404, "NOT_FOUND", fcm="UNREGISTERED"), Unknown("http-400-unreadable")),
        (408, error(408, "X"), Unknown("http-408")),
        (302, error(302, "X", fcm="UNREGISTERED"), Unknown("http-302")),
    ],
)  # fmt: skip
def test_table(status: int, body: bytes, answer: Answer) -> None:
    assert classify_fcm(status, {"Retry-After": "5"}, body) == answer


def test_only_200_accepts_and_no_5xx_but_unavailable_refuses() -> None:
    for status in range(700):
        said = orjson.loads(error(status, "X", INVALID_TOKEN, "UNREGISTERED"))
        said["name"] = "projects/p/messages/1"
        answer = classify_fcm(status, {}, orjson.dumps(said))
        assert isinstance(answer, Accepted) == (status == 200)
        assert not isinstance(answer, Refused) or 400 <= status < 500


@asynccontextmanager
async def fcm(
    google: Google, answer: bytes = FCM.ok
) -> AsyncIterator[tuple[FcmChannel, Raw, JumpingClock]]:
    clock = JumpingClock()
    async with raw_server(answer) as raw, open_session() as session:
        account = read_service_account(service_account(google.url))
        tokens = GoogleTokens(session, account, lambda: AT, clock)
        channel = FcmChannel(
            session, account.project, tokens, Life(lambda: AT, 14400), clock, raw.url
        )
        yield channel, raw, clock
        await channel.close()


def parts(request: bytes) -> tuple[str, dict[str, Any]]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.decode(), orjson.loads(body)


async def test_what_is_sent_is_neutral_bounded_and_collapses() -> None:
    async with google() as state, fcm(state) as (channel, raw, clock):
        message = FCM.message(raw.url, clock() + 15)
        assert await channel.send(message) == Accepted(FCM_NAME)
        head, body = parts(raw.got[0])
        assert head.startswith("POST /v1/projects/demo-loans/messages:send HTTP/1.1")
        assert "Authorization: Bearer token-1" in head
        sent = body["message"]
        assert sent["token"] == "device-1"
        assert sent["notification"] == {"title": "Kobo Credit", "body": "You have a new message."}
        assert sent["data"] == {"duly_token": message.token, "duly_notice": "notice-1"}
        assert sent["android"]["ttl"] == "3600s"
        assert sent["android"]["collapseKey"] == "loan-1"
        ends = str(int(AT.timestamp()) + 3600)
        assert sent["apns"]["headers"] == {"apns-expiration": ends, "apns-collapse-id": "loan-1"}
        assert sent["webpush"]["headers"]["TTL"] == "3600"


@pytest.mark.parametrize(
    ("good_for", "ttl"), [(None, "14400s"), (1, "1s"), (60, "60s"), (90_000, "14400s")]
)
async def test_the_life_ends_with_the_contact_window(good_for: int | None, ttl: str) -> None:
    async with google() as state, fcm(state) as (channel, raw, clock):
        message = FCM.message(raw.url, clock() + 15)._replace(good_for=good_for)
        assert isinstance(await channel.send(message), Accepted)
        assert parts(raw.got[0])[1]["message"]["android"]["ttl"] == ttl


async def test_what_may_not_be_delivered_any_more_does_not_leave() -> None:
    async with google() as state, fcm(state) as (channel, raw, clock):
        message = FCM.message(raw.url, clock() + 15)._replace(good_for=0)
        assert await channel.send(message) == Refused("deadline", LATER)
        assert raw.got == []


async def test_many_sends_at_once_fetch_one_token() -> None:
    async with google() as state, fcm(state) as (channel, raw, clock):
        state.gate.clear()
        sends = [
            asyncio.create_task(channel.send(FCM.message(raw.url, clock() + 15))) for _ in range(20)
        ]
        await asyncio.wait(sends, timeout=0.05)
        state.gate.set()
        assert set(await asyncio.gather(*sends)) == {Accepted(FCM_NAME)}
        assert len(state.claims) == 1
        issued = int(AT.timestamp())
        assert state.claims[0] == {
            "iss": "duly@demo-loans.example",
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": state.url,
            "iat": issued,
            "exp": issued + 3600,
        }


async def test_a_token_is_renewed_before_it_ends_while_the_old_one_is_used() -> None:
    async with google() as state, fcm(state) as (channel, raw, clock):
        await channel.send(FCM.message(raw.url, clock() + 15))
        clock.offset += 3600 - 500
        state.gate.clear()
        for _ in range(3):
            await channel.send(FCM.message(raw.url, clock() + 15))
        assert "Bearer token-1" in parts(raw.got[-1])[0]
        state.gate.set()
        while "Bearer token-2" not in parts(raw.got[-1])[0]:
            await channel.send(FCM.message(raw.url, clock() + 15))
        assert len(state.claims) == 2


async def test_without_a_token_nothing_is_sent_and_google_is_not_stormed() -> None:
    async with google() as state, fcm(state) as (channel, raw, clock):
        state.status, state.body = 400, b'{"error":"invalid_grant"}'
        for _ in range(5):
            answer = await channel.send(FCM.message(raw.url, clock() + 15))
            assert answer == Refused("oauth-invalid_grant", OURS)
        assert len(state.claims) == 1
        clock.offset += 6
        state.status, state.body = 503, b"<html>"
        answer = await channel.send(FCM.message(raw.url, clock() + 15))
        assert answer == Refused("oauth-away", LATER)
        clock.offset += 6
        state.status, state.body = 200, None
        assert isinstance(await channel.send(FCM.message(raw.url, clock() + 15)), Accepted)
        assert len(raw.got) == 1


async def test_waiting_for_a_token_ends_with_the_deadline() -> None:
    async with google() as state, fcm(state) as (channel, raw, clock):
        state.gate.clear()
        answer = await channel.send(FCM.message(raw.url, clock() + 0.1))
        assert answer == Refused("oauth-slow", LATER)
        assert raw.got == []
        state.gate.set()


def page(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_revoked_token_is_fetched_anew_and_a_fresh_one_that_fails_is_our_mistake() -> None:
    refused = page("401 Unauthorized", error(401, "UNAUTHENTICATED"))
    async with google() as state, fcm(state) as (channel, raw, clock):
        await channel.send(FCM.message(raw.url, clock() + 15))
        clock.offset += 600
        raw.answer = refused
        answer = await channel.send(FCM.message(raw.url, clock() + 15))
        assert answer == Refused("UNAUTHENTICATED", LATER)
        answer = await channel.send(FCM.message(raw.url, clock() + 15))
        assert answer == Refused("UNAUTHENTICATED", OURS)
        assert "Bearer token-2" in parts(raw.got[-1])[0]
        assert len(raw.got) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "lacks project_id"),
        ('{"project_id": 3}', "lacks project_id, client_email"),
    ],
)
def test_a_key_file_that_cannot_be_used_says_why(text: str, said: str) -> None:
    with pytest.raises(BadKey, match=said):
        read_service_account(text)


def test_another_kind_of_key_is_refused_without_repeating_it() -> None:
    said = orjson.loads(service_account("https://x")) | {"private_key": pem(p256_key())}
    with pytest.raises(BadKey, match="RSA") as refused:
        read_service_account(orjson.dumps(said).decode())
    assert "BEGIN" not in str(refused.value)

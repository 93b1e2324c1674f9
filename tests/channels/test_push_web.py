"""Web Push: the RFC's own vector, a browser that decrypts, strangers' endpoints, each status."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from yarl import URL

from agent.clock import random_bytes
from channels.base import Accepted, Answer, Refusal, Refused, Unknown
from channels.handover import open_session
from channels.jwt import base64url, unbase64url
from channels.push import Life
from channels.push_web import (
    BAD_SUBSCRIPTION,
    FOREIGN_HOST,
    KNOWN_HOSTS,
    TOO_BIG,
    Vapid,
    WebPushChannel,
    classify_web,
    known_service,
    read_subscription,
)
from channels.webpush_crypto import TEXT_BYTES_MAX, encrypt, read_browser_keys
from tests.channels.ways import WAYS
from tests.support.browser import decrypt
from tests.support.push_keys import AUTH, p256_key, subscription
from tests.support.raw_http import JumpingClock, Raw, raw_server

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEB = next(way for way in WAYS if way.name == "web")

# RFC 8291, section 5 and appendix A
TEXT = b"When I grow up, I want to be a watermelon"
OWN = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
BROWSER = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
SALT, SECRET = "DGv6ra1nlYgDCS1FRnbzlw", "BTBZMqHH6r4Tts7J_aSIgg"
SEALED = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
    "lcy4a-fN"
)


def test_the_vector_of_rfc_8291() -> None:
    own = ec.derive_private_key(int.from_bytes(unbase64url(OWN)), ec.SECP256R1())
    browser = read_browser_keys(unbase64url(BROWSER), unbase64url(SECRET))
    assert base64url(encrypt(TEXT, browser, unbase64url(SALT), own)) == SEALED


@asynccontextmanager
async def web(
    answer: bytes = WEB.ok,
) -> AsyncIterator[tuple[WebPushChannel, Raw, JumpingClock]]:
    clock = JumpingClock()
    async with raw_server(answer) as raw, open_session() as session:
        channel = WebPushChannel(
            session,
            Vapid(p256_key(), "mailto:ops@kobo.example"),
            Life(lambda: AT, 14400),
            lambda: AT + timedelta(seconds=clock.offset),
            clock,
            random_bytes,
            (raw.url,),
        )
        yield channel, raw, clock


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def claims_of(headers: dict[str, str]) -> dict[str, object]:
    """The claims of a VAPID header whose signature holds for the key it names."""
    token, key = headers["Authorization"].removeprefix("vapid t=").split(", k=")
    head, body, signature = token.split(".")
    raw = unbase64url(signature)
    assert len(raw) == 64
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unbase64url(key))
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public.verify(der, f"{head}.{body}".encode(), ec.ECDSA(SHA256()))
    assert orjson.loads(unbase64url(head)) == {"alg": "ES256", "typ": "JWT"}
    claims: dict[str, object] = orjson.loads(unbase64url(body))
    return claims


async def test_the_browser_reads_a_neutral_text_and_the_push_service_nothing() -> None:
    async with web() as (channel, raw, clock):
        message = WEB.message(raw.url, clock() + 15)
        assert await channel.send(message) == Accepted("https://push.example/m/1")
        headers = headers_of(raw.got[0])
        assert raw.got[0].startswith(b"POST /wpush/v2/gAAA HTTP/1.1")
        assert headers["TTL"] == "3600"
        assert headers["Topic"] == "loan-1"
        assert headers["Urgency"] == "normal"
        assert headers["Content-Encoding"] == "aes128gcm"
        body = raw.got[0].partition(b"\r\n\r\n")[2]
        assert b"message" not in body
        assert orjson.loads(decrypt(body, p256_key("browser"), AUTH)) == {
            "title": "Kobo Credit",
            "body": "You have a new message.",
            "tag": "loan-1",
            "data": {"duly_token": message.token, "duly_notice": "notice-1"},
        }
        assert claims_of(headers) == {
            "aud": raw.url,
            "exp": int(AT.timestamp()) + 12 * 3600,
            "sub": "mailto:ops@kobo.example",
        }


async def test_no_two_messages_share_a_key_or_salt_but_a_token_serves_for_hours() -> None:
    async with web() as (channel, raw, clock):
        for _ in range(3):
            await channel.send(WEB.message(raw.url, clock() + 15))
        clock.offset += 7 * 3600
        await channel.send(WEB.message(raw.url, clock() + 15))
        bodies = [request.partition(b"\r\n\r\n")[2] for request in raw.got]
        assert len({body[:16] for body in bodies}) == len({body[21:86] for body in bodies}) == 4
        tokens = [headers_of(request)["Authorization"] for request in raw.got]
        assert tokens[0] == tokens[2] != tokens[3]
        assert claims_of(headers_of(raw.got[3]))["exp"] == int(AT.timestamp()) + 19 * 3600


@pytest.mark.parametrize(
    ("thread", "topic_is_it"), [("A-_9" * 8, True), ("x" * 33, False), ("loan 42 €", False)]
)
async def test_a_topic_always_fits(thread: str, topic_is_it: bool) -> None:
    async with web() as (channel, raw, clock):
        await channel.send(WEB.message(raw.url, clock() + 15)._replace(thread=thread))
        topic = headers_of(raw.got[0])["Topic"]
        assert (topic == thread) is topic_is_it
        assert len(topic) == 32
        assert topic.isascii()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (201, Accepted("web-t")),
        (404, Refused("http-404", Refusal.PERMANENT)),
        (410, Refused("http-410", Refusal.PERMANENT)),
        (413, Refused("http-413", Refusal.CONFIGURATION)),
        (400, Refused("http-400", Refusal.CONFIGURATION)),
        (401, Refused("http-401", Refusal.CONFIGURATION)),
        (403, Refused("http-403", Refusal.CONFIGURATION)),
        (429, Refused("429", Refusal.TRANSIENT, retry_after=9.0)),
        (408, Unknown("http-408")),
        (200, Unknown("http-200")),
        (202, Unknown("http-202")),
        (307, Unknown("http-307")),
        (500, Unknown("http-500")),
        (503, Unknown("http-503")),
    ],
)
def test_table(status: int, answer: Answer) -> None:
    assert classify_web(status, {"Retry-After": "9"}, "t") == answer


def test_only_201_accepts_and_only_4xx_refuses() -> None:
    for status in range(700):
        answer = classify_web(status, {}, "t")
        assert isinstance(answer, Accepted) == (status == 201)
        assert not isinstance(answer, Refused) or 400 <= status < 500


@pytest.mark.parametrize(
    ("endpoint", "known"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/x", True),
        ("https://web.push.apple.com/x", True),
        ("https://wns2-par02p.notify.windows.com/w/?token=x", True),
        ("http://fcm.googleapis.com/fcm/send/abc", False),
        ("https://fcm.googleapis.com:8443/x", False),
        ("https://user@fcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com.evil.example/x", False),
        ("https://evilpush.apple.com/x", False),
        ("https://push.apple.com/x", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://[::1]/x", False),
        ("https://localhost/x", False),
    ],
)
async def test_only_known_services_are_called(endpoint: str, known: bool) -> None:
    assert known_service(URL(endpoint, encoded=True), KNOWN_HOSTS) is known
    if not known:
        async with web() as (channel, raw, clock):
            message = WEB.message(raw.url, clock() + 15)._replace(address=subscription(endpoint))
            assert await channel.send(message) == FOREIGN_HOST
            assert raw.got == []


KEYS = orjson.loads(subscription("https://x/"))["keys"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "[]",
        "{}",
        '{"endpoint": 3}',
        '{"endpoint": "https://fcm.googleapis.com/x"}',
        orjson.dumps({"endpoint": "https://x/", "keys": KEYS | {"auth": "AAAA"}}).decode(),
        orjson.dumps({"endpoint": "https://x/", "keys": KEYS | {"auth": "ä"}}).decode(),
        orjson.dumps(
            {"endpoint": "https://x/", "keys": KEYS | {"p256dh": base64url(b"\x04" * 65)}}
        ).decode(),
        *(
            orjson.dumps({"endpoint": endpoint, "keys": KEYS}).decode()
            for endpoint in (
                "https://x:port/",
                "https:///x",
                "file:///etc/passwd",
                "//fcm.googleapis.com/x",
                "https://fcm.googleapis.com/x HTTP/1.1\r\nHost: y\r\n\r\n",
                "https://fcm.googleapis.com/\u00e9",
            )
        ),
    ],
)
async def test_a_subscription_that_nothing_can_reach_is_refused_for_good(address: str) -> None:
    assert read_subscription(address) is None
    async with web() as (channel, raw, clock):
        message = WEB.message(raw.url, clock() + 15)._replace(address=address)
        assert await channel.send(message) == BAD_SUBSCRIPTION


async def test_a_text_that_does_not_fit_one_record_is_our_mistake() -> None:
    async with web() as (channel, raw, clock):
        message = WEB.message(raw.url, clock() + 15)._replace(body="x" * TEXT_BYTES_MAX)
        assert await channel.send(message) == TOO_BIG
        assert raw.got == []


async def test_many_at_once() -> None:
    async with web() as (channel, raw, clock):
        sends = [channel.send(WEB.message(raw.url, clock() + 15)) for _ in range(50)]
        assert set(await asyncio.gather(*sends)) == {Accepted("https://push.example/m/1")}
        assert len(raw.got) == 50

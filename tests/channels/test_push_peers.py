"""Push against stand-ins that were written apart from us, and libraries of others as judges.

They are beside the repository, not in it: without `../shared`, Node or a running stand-in these tests
are skipped. `bash ../shared/peers/start.sh WORKDIR` starts the ones that listen on fixed ports.
"""

import asyncio
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from yarl import URL

from agent.clock import SystemClock, random_bytes
from channels.base import Accepted, Answer, Message, Refusal, Refused, Unknown
from channels.google_token import GoogleTokens, read_service_account
from channels.handover import open_session
from channels.http2 import NOT_PROCESSED
from channels.http2_client import Http2Client
from channels.jwt import base64url
from channels.push import Life
from channels.push_apns import ApnsChannel, AppleKey, ProviderTokens
from channels.push_fcm import FcmChannel
from channels.push_web import Vapid, WebPushChannel
from channels.webpush_crypto import point_of
from tests.support.places import SHARED
from tests.support.push_keys import p256_key, pem, service_account
from tests.support.waiting import until

CLOCK = SystemClock()
LIFE = Life(CLOCK.now, 3600)
FCM_PEER, WEB_PEER = "http://127.0.0.1:4020", "http://127.0.0.1:8090"
PERMANENT, OURS, LATER = Refusal.PERMANENT, Refusal.CONFIGURATION, Refusal.TRANSIENT


def message(provider: str, address: str, *, left: float = 15.0, number: int = 1) -> Message:
    return Message(
        f"{number:032x}", "push", provider, address, "还款提醒", "You have a new message 🙂.",
        time.monotonic() + left, None, 3600, datetime(2020, 1, 1, tzinfo=UTC), "notice", "loan-42",
    )  # fmt: skip


async def running(url: str) -> None:
    """Skip unless a stand-in listens there."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url):
            return
    except aiohttp.ClientError:
        pytest.skip(f"no stand-in at {url}; ../shared/peers/start.sh starts them")


# Apple: a stand-in on Node's own HTTP/2, behind TLS


@asynccontextmanager
async def node_apns(folder: Path) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Run it with a key and a certificate of this run."""
    script, node = SHARED / "peers" / "apns_mock.mjs", shutil.which("node")
    if not script.exists() or node is None:
        pytest.skip("no ../shared/peers/apns_mock.mjs or no Node")
    key, port = p256_key("server"), unused_port()
    (folder / "cert.pem").write_bytes(certificate())
    (folder / "key.pem").write_text(pem(key))
    public = p256_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "pub.pem").write_bytes(public)
    process = await asyncio.create_subprocess_exec(
        node, str(script), str(port), "cert.pem", "key.pem", "pub.pem", cwd=folder
    )

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    try:
        await until(listens, 20, "the stand-in listens")
        yield f"https://localhost:{port}", ssl.create_default_context(cafile=folder / "cert.pem")
    finally:
        process.kill()
        await process.wait()


def certificate() -> bytes:
    """For localhost, trusted by nobody but this test."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now, key = CLOCK.now(), p256_key("server")
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )


@pytest.fixture
async def apns(tmp_path: Path) -> AsyncIterator[ApnsChannel]:
    async with node_apns(tmp_path) as (url, trust):
        client = Http2Client(URL(url), time.monotonic, trust)
        # not in the first minute of a token's span, in which a renewed one would be the same
        ago = timedelta(minutes=1 if CLOCK.now().timestamp() % 2400 < 60 else 0)
        key = AppleKey("TEAM123456", "ABC123DEFG", p256_key())
        tokens = ProviderTokens(key, lambda: CLOCK.now() - ago)
        channel = ApnsChannel(client, "com.example.loans", tokens, LIFE)
        yield channel
        await channel.close()


@pytest.mark.parametrize(
    ("begins", "answer"),
    [
        ("aa", Accepted("00000000-0000-0000-0000-000000000001")),
        ("dead", Refused("Unregistered", PERMANENT)),
        ("bad0", Refused("BadDeviceToken", OURS)),
        ("0429", Refused("TooManyRequests", LATER)),
        ("0503", Refused("ServiceUnavailable", LATER)),
        ("0500", Unknown("http-500")),
        ("0a0a", NOT_PROCESSED),
        ("0b0b", NOT_PROCESSED),
        ("0e0e", Unknown("connection-lost")),
        ("0c0c", Unknown("timeout")),
    ],
)
async def test_nodes_apple_is_understood(apns: ApnsChannel, begins: str, answer: Answer) -> None:
    left = 1.0 if begins == "0c0c" else 15.0
    if begins == "0a0a":
        # Node cannot say "none at all" in a GOAWAY, so there has to be a stream before this one
        await apns.send(message("apns", "aa" * 32, number=3))
    assert await apns.send(message("apns", begins.ljust(64, "1"), left=left)) == answer
    # whatever happened to the connection, the next send finds its way
    assert isinstance(await apns.send(message("apns", "aa" * 32, number=2)), Accepted)


async def test_a_token_that_is_too_old_is_another_one_the_next_time(apns: ApnsChannel) -> None:
    to = "e403".ljust(64, "1")
    answers = [await apns.send(message("apns", to, number=n)) for n in range(2)]
    assert answers[0] == Refused("ExpiredProviderToken", LATER)
    assert isinstance(answers[1], Accepted)


async def test_a_device_that_registered_since_is_not_dropped(apns: ApnsChannel) -> None:
    told = message("apns", "dead".ljust(64, "1"))._replace(registered_at=CLOCK.now())
    assert await apns.send(told) == Refused("Unregistered", LATER)


async def test_two_hundred_at_once_through_tls(apns: ApnsChannel) -> None:
    sends = [apns.send(message("apns", "aa" * 32, number=n)) for n in range(200)]
    answers = await asyncio.gather(*sends)
    assert len({answer.provider_id for answer in answers if isinstance(answer, Accepted)}) == 200


# Firebase: requests are judged by Google's own discovery document


@asynccontextmanager
async def fcm() -> AsyncIterator[FcmChannel]:
    await running(FCM_PEER + "/_log")
    async with open_session() as session:
        account = read_service_account(service_account(FCM_PEER + "/token"))
        tokens = GoogleTokens(session, account, CLOCK.now, time.monotonic)
        channel = FcmChannel(session, account.project, tokens, LIFE, time.monotonic, FCM_PEER)
        yield channel
        await channel.close()


@pytest.mark.parametrize(
    ("device", "answer"),
    [
        ("unregistered1", Refused("UNREGISTERED", PERMANENT)),
        ("badtoken1", Refused("INVALID_ARGUMENT", PERMANENT)),
        ("mismatch1", Refused("SENDER_ID_MISMATCH", OURS)),
        ("thirdparty1", Refused("THIRD_PARTY_AUTH_ERROR", OURS)),
        ("auth4011", Refused("UNAUTHENTICATED", OURS)),
        ("quota1", Refused("QUOTA_EXCEEDED", LATER, retry_after=2.0)),
        ("unavailable1", Refused("UNAVAILABLE", LATER, retry_after=1.0)),
        ("internal1", Unknown("http-500")),
        ("html1", Unknown("http-502-unreadable")),
        ("reset1", Unknown("ServerDisconnectedError")),
        ("slow1", Unknown("timeout")),
    ],
)
async def test_the_fcm_stand_in_is_understood(device: str, answer: Answer) -> None:
    async with fcm() as channel:
        left = 1.5 if device == "slow1" else 15.0
        assert await channel.send(message("fcm", device, left=left)) == answer


async def test_googles_own_schema_finds_every_request_valid() -> None:
    async with fcm() as channel:
        answer = await channel.send(message("fcm", "good1"))
        assert isinstance(answer, Accepted)
        assert answer.provider_id.startswith("projects/demo-loans/messages/")


# A browser: npm `web-push-testing` decrypts and checks VAPID


async def call(path: str, **body: Any) -> Any:
    async with aiohttp.ClientSession() as session, session.post(WEB_PEER + path, json=body) as got:
        return (await got.json()).get("data") if got.content_type == "application/json" else None


@asynccontextmanager
async def browser() -> AsyncIterator[tuple[Callable[[str], WebPushChannel], str, str]]:
    await running(WEB_PEER)
    public = base64url(point_of(p256_key("ours")))
    made = await call("/subscribe", applicationServerKey=public, userVisibleOnly="true")
    async with open_session() as session:

        def channel(which: str) -> WebPushChannel:
            vapid = Vapid(p256_key(which), "mailto:ops@example.com")
            hosts = ("http://localhost:8090",)
            return WebPushChannel(
                session, vapid, LIFE, CLOCK.now, time.monotonic, random_bytes, hosts
            )

        address = aiohttp.payload.JsonPayload(
            {"endpoint": made["endpoint"], "keys": made["keys"]}
        ).decode()
        yield channel, address, made["clientHash"]


async def test_a_browser_that_others_wrote_reads_our_messages() -> None:
    async with browser() as (channel, address, client):
        ours = channel("ours")
        answers = [await ours.send(message("web", address, number=n)) for n in range(5)]
        assert [answer for answer in answers if not isinstance(answer, Accepted)] == []
        read = (await call("/get-notifications", clientHash=client))["messages"]
        assert len(read) == 5
        assert '"body":"You have a new message 🙂."' in read[0]
        refused = await channel("another").send(message("web", address))
        assert isinstance(refused, Refused)
        assert refused.kind is Refusal.CONFIGURATION
        await call(f"/expire-subscription/{client}")
        gone = await ours.send(message("web", address))
        assert gone == Refused("http-410", Refusal.PERMANENT)

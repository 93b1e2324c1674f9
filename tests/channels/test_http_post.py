"""Posts over kept connections, against servers that misbehave byte by byte."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from channels.base import NO_CONNECTION, TOO_LATE, Refused, Unknown
from channels.http_post import ANSWER_MAX, Posts, Reply

OK = b'HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{"id":"SM1"}'
YES = Reply(201, b'{"id":"SM1"}')
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5\r\n{"id"\r\n7\r\n:"SM1"}\r\n0\r\n\r\n'
)
Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """What came over which connection."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Event()
        self.url = URL()


@asynccontextmanager
async def server(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Answers every request as told; a connection that `answer` closes stays closed."""
    seen = Server()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                seen.requests.append(head + await reader.readexactly(size))
                await answer(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()
            seen.ended.set()
            with suppress(OSError):
                await writer.wait_closed()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)

    listening = await asyncio.start_server(start, "127.0.0.1", 0, ssl=tls)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        seen.url = URL(f"{'https' if tls else 'http'}://127.0.0.1:{port}/messages?a=b")
        yield seen
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def says(*pieces: bytes, close: bool = False) -> Answering:
    """Each piece in a segment of its own, as far as the kernel lets it be."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return answer


@asynccontextmanager
async def posting(
    url: URL, *, connections: int = 256, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Posts]:
    posts = Posts(url, {"X-A": "b"}, connections=connections, tls=tls)
    try:
        yield posts
    finally:
        await posts.close()


async def post(posts: Posts, left: float = 5.0, body: bytes = b"{}") -> Reply | Refused | Unknown:
    return await posts.post(body, time.monotonic() + left, time.monotonic)


async def answers(
    answer: Answering, times: int = 1, left: float = 5.0
) -> tuple[list[Reply | Refused | Unknown], Server]:
    async with server(answer) as seen, posting(seen.url) as posts:
        return [await post(posts, left) for _ in range(times)], seen


async def test_the_request_is_what_was_asked_for_and_its_connection_is_kept() -> None:
    got, seen = await answers(says(OK), times=3)
    assert got == [YES] * 3
    assert seen.connections == 1
    head = f"POST /messages?a=b HTTP/1.1\r\nHost: 127.0.0.1:{seen.url.port}\r\nX-A: b\r\n"
    assert seen.requests == [f"{head}Content-Length: 2\r\n\r\n{{}}".encode()] * 3


@pytest.mark.parametrize("whole", [OK, CHUNKED])
async def test_an_answer_cut_at_any_byte_is_unknown(whole: bytes) -> None:
    for length in range(len(whole)):
        got, seen = await answers(says(whole[:length], close=True))
        assert isinstance(got[0], Unknown), length
        assert len(seen.requests) == 1


@pytest.mark.parametrize("whole", [OK, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + OK])
async def test_an_answer_may_come_in_pieces_of_any_size(whole: bytes) -> None:
    for size in (1, 2, 7, 50):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        got, seen = await answers(says(*pieces), times=2)
        assert got == [YES, YES]
        assert seen.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01\x02",
        b"HTTP/1.1 201\n\nwhat",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + OK,
        OK + b"x",
        b'HTTP/1.1 201 Created\r\n\r\n{"id":"SM1"}',  # no length: nobody knows whether it is whole
        b"HTTP/1.1 201 Created\r\nX: " + b"x" * ANSWER_MAX,
        b"HTTP/1.1 201 Created\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
    ],
)
async def test_anything_but_one_answer_is_unknown_and_ends_the_connection(answer: bytes) -> None:
    got, seen = await answers(says(answer, close=True), times=2)
    assert [type(each) for each in got] == [Unknown, Unknown]
    assert (seen.connections, len(seen.requests)) == (2, 2)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 201 Cre", OK[:-1], b"HTTP/1.1 100 C\r\n\r\n"])
async def test_nobody_waits_longer_than_asked(said: bytes) -> None:
    begun = time.monotonic()
    assert (await answers(says(said), left=0.3))[0] == [Unknown("timeout")]
    assert time.monotonic() - begun < 2.0


async def test_a_shorter_wait_after_a_longer_one_ends_in_its_own_time() -> None:
    turns = iter([OK, b""])

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(next(turns))

    async with server(answer) as seen, posting(seen.url) as posts:
        assert await post(posts, left=60.0) == YES
        begun = time.monotonic()
        assert await post(posts, left=0.3) == Unknown("timeout")
        assert time.monotonic() - begun < 2.0


async def test_a_connection_that_is_to_be_closed_is_not_used_again() -> None:
    closing = b'HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 12\r\n\r\n{"id":"SM1"}'
    got, seen = await answers(says(closing), times=2)
    assert got == [YES, YES]
    assert seen.connections == 2


async def test_what_a_server_says_unasked_is_never_the_next_answer() -> None:
    answered = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await answered.wait()
        writer.write(OK)

    async with server(answer) as seen, posting(seen.url) as posts:
        for number in (1, 2, 3):
            assert await post(posts) == YES
            answered.set()
            await seen.ended.wait()  # the client has hung up
            seen.ended.clear()
            answered.clear()
            assert seen.connections == number


async def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    async with server(says(OK, close=True)) as seen, posting(seen.url) as posts:
        for _ in range(3):
            assert await post(posts) == YES
            while posts._idle:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)  # until the loop has read the end of the stream
        assert seen.connections == 3


async def test_no_byte_leaves_once_the_deadline_is_past() -> None:
    async with server(says(OK)) as seen, posting(seen.url) as posts:
        for moments in ([0.0, 5.0], [0.0, 9.0], [4.99]):
            assert await posts.post(b"{}", 5.0, iter(moments).__next__) == TOO_LATE
        assert seen.requests == []
        # the connection that was made for nothing is used by the next
        assert await post(posts) == YES
        assert seen.connections == 1


async def test_nobody_at_home_is_provably_not_sent() -> None:
    async with server(says(OK)) as seen:
        url = seen.url
    async with posting(url) as posts:
        assert await post(posts) == NO_CONNECTION


async def test_more_than_there_are_connections_wait_their_turn_or_are_not_sent() -> None:
    go = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    async with server(answer) as seen, posting(seen.url, connections=2) as posts:
        first = [asyncio.create_task(post(posts)) for _ in range(2)]
        patient, hasty = asyncio.create_task(post(posts)), asyncio.create_task(post(posts, 0.2))
        assert await hasty == NO_CONNECTION
        go.set()
        assert await asyncio.gather(*first, patient) == [YES] * 3
        assert (seen.connections, len(seen.requests)) == (2, 3)


async def test_a_send_that_is_cut_off_ends_its_connection() -> None:
    asked = asyncio.Event()
    turns: Sequence[bytes] = [b"", OK]

    async def answer(writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.write(turns[len(seen.requests) - 1])

    async with server(answer) as seen, posting(seen.url, connections=1) as posts:
        cut = asyncio.create_task(post(posts))
        await asked.wait()
        cut.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut
        assert await post(posts) == YES
        assert seen.connections == 2


async def test_whoever_gives_up_waiting_keeps_nobody_waiting() -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await told.wait()
        writer.write(OK)

    async with server(answer) as seen, posting(seen.url, connections=1) as posts:
        first = asyncio.create_task(post(posts))
        await asked.wait()
        cut, patient, handed = (asyncio.create_task(post(posts)) for _ in range(3))
        assert await post(posts, left=0.2) == NO_CONNECTION
        cut.cancel()
        told.set()
        assert await first == YES
        handed.cancel()
        assert await patient == YES
        assert await post(posts) == YES
        with pytest.raises(asyncio.CancelledError):
            await handed
        assert (seen.connections, len(seen.requests)) == (1, 3)


async def test_what_is_in_flight_when_all_is_closed_is_unknown() -> None:
    asked = asyncio.Event()

    async def answer(_: asyncio.StreamWriter) -> None:
        asked.set()

    async with server(answer) as seen:
        async with posting(seen.url) as posts:
            waiting = asyncio.create_task(post(posts))
            await asked.wait()
        assert isinstance(await waiting, Unknown)


def test_a_header_cannot_carry_another() -> None:
    with pytest.raises(ValueError, match="line break"):
        Posts(URL("http://a/"), {"X": "1\r\nY: 2"})


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, of a certificate made here."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(begin + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "both.pem").write_bytes(pem + secret)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "both.pem")
    return serving, ssl.create_default_context(cadata=pem.decode())


async def test_over_tls_only_to_whom_it_trusts(tmp_path: Path) -> None:
    serving, trusting = contexts(tmp_path)
    async with server(says(OK), tls=serving) as seen:
        async with posting(seen.url, tls=trusting) as posts:
            assert [await post(posts), await post(posts)] == [YES, YES]
            assert seen.connections == 1
        async with posting(seen.url) as strangers:
            assert await post(strangers) == NO_CONNECTION
        assert len(seen.requests) == 2

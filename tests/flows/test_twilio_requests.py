"""Requests to Twilio's webhooks as proxies and strangers write them, byte by byte."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlencode

import asyncpg
import pytest
from twilio.request_validator import RequestValidator

from agent.clock import VirtualClock
from agent.store.keyring import Keyring
from tests.support.twilio_office import Office, reply, twilio_office
from tests.support.twilio_stand_in import AUTH_TOKEN
from tests.support.world import phone

SENDER = phone(1)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


def signed(office: Office, said: dict[str, str], url: str | None = None) -> list[str]:
    """The lines of a head that say who wrote this form."""
    signature = RequestValidator(AUTH_TOKEN).compute_signature(url or office.inbound_url, said)
    return [
        "Connection: close", "Content-Type: application/x-www-form-urlencoded",
        f"X-Twilio-Signature: {signature}",
    ]  # fmt: skip


async def written(office: Office, *parts: bytes, leaves: bool = False) -> bytes:
    """What is answered to these bytes: the first line, nothing if whoever wrote them has gone."""
    port = int(office.public.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.writelines(parts)
    await writer.drain()
    if leaves:
        writer.write_eof()
    answer = await reader.read(4096)
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n")[0]


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
@pytest.mark.parametrize("chunked", [True, False])
async def test_the_limit_is_64_kb_to_the_byte(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock, size: int, *, chunked: bool
) -> None:
    said = reply("SM1", "", SENDER)
    said["Body"] = "x" * (size - len(urlencode(said)))
    body = urlencode(said).encode()
    async with twilio_office(pool, keyring, clock) as office:
        head = ["POST /webhooks/twilio/inbound HTTP/1.1", "Host: duly", *signed(office, said)]
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        parts = [b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:999], body[999:])]
        whole = [*parts, b"0\r\n\r\n"] if chunked else [body]
        answer = await written(office, "\r\n".join([*head, length, "", ""]).encode(), *whole)
    taken = size <= 65_536
    assert answer.startswith(b"HTTP/1.1 200" if taken else b"HTTP/1.1 413")
    assert await pool.fetchval("select count(*) from inbound") == taken


async def test_strange_requests_are_answered_and_are_no_failure_of_ours(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    said = reply("SM1", "hello", SENDER)
    body = urlencode(said).encode()
    async with twilio_office(pool, keyring, clock) as office:
        path = "/webhooks/twilio/inbound"

        async def told(
            target: str, *also: str, url: str | None = None, leaves: bool = False
        ) -> bytes:
            lines = [
                f"POST {target} HTTP/1.1", "Host: elsewhere.example", *signed(office, said, url),
                f"Content-Length: {len(body)}", *also, "", "",
            ]  # fmt: skip
            head = "\r\n".join(lines).encode()
            return await written(office, head, body[:9] if leaves else body, leaves=leaves)

        odd = f"{path}?x=1&y=%20a'b"
        assert await told(f"http://elsewhere.example{path}") == b"HTTP/1.1 200 OK"
        assert await told(odd, url=f"{office.public}{odd}") == b"HTTP/1.1 200 OK"
        assert await told(odd) == b"HTTP/1.1 403 Forbidden"
        assert await told(path, "Content-Encoding: identity") == b"HTTP/1.1 200 OK"
        for packed in ("gzip", "deflate"):
            assert await told(path, f"Content-Encoding: {packed}") == b"HTTP/1.1 403 Forbidden"
        assert b" 500 " not in await told(path, leaves=True)
    assert await pool.fetchval("select count(*) from inbound") == 1


@pytest.mark.parametrize("before", ["/lenders/duly", "/webhooks", "/a.b+c"])
async def test_a_proxy_may_take_the_path_of_our_address_off_or_pass_it_on(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock, before: str
) -> None:
    async with twilio_office(pool, keyring, clock, path=before) as office:
        taken_off = office.inbound_url.replace(before + "/webhooks", "/webhooks")
        for number, url in enumerate((office.inbound_url, taken_off)):
            said = reply(f"SM{number}", "hello", SENDER)
            assert (await office.post(url, said, signed_url=office.inbound_url))[0] == 200
            # the other one was signed for nobody
            forged = await office.post(url, said, signed_url=taken_off)
            assert forged[0] == 403
    assert await pool.fetchval("select count(*) from inbound") == 2

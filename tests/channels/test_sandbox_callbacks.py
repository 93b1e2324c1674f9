"""Receipts from the HTTP sandbox: only signed ones, committed before the answer, in groups."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from agent.api.inbox import ReceiptInbox
from agent.api.sandbox_callbacks import add_sandbox_callbacks
from channels.base import Receipt, Status
from channels.sandbox.wire import SIGNATURE_HEADER, receipt_body, sign, status_url

PUBLIC = "https://duly.example"
SECRET = b"s3"
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def receipt(number: int) -> Receipt:
    return Receipt("sms", f"SM{number}", Status.DELIVERED, f"{number:032x}", None, AT)


class Store:
    """Takes receipts when its gate is open."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, list[Receipt]]] = []
        self.gate = asyncio.Event()
        self.broken = False
        self.at_once = 0
        self.poison: Receipt | None = None

    @asynccontextmanager
    async def __call__(self, lane: int) -> AsyncIterator[Callable[[Sequence[Receipt]], Any]]:
        async def store(receipts: Sequence[Receipt]) -> None:
            self.at_once += 1
            await self.gate.wait()
            self.at_once -= 1
            if self.broken or self.poison in receipts:
                raise OSError("the database is away")
            self.groups.append((lane, list(receipts)))

        yield store


def client_of(store: Store) -> TestClient[web.Request, web.Application]:
    app = web.Application()
    add_sandbox_callbacks(app, ReceiptInbox(store), public_url=PUBLIC, secret=SECRET)
    return TestClient(TestServer(app))


async def post(
    client: TestClient[web.Request, web.Application], one: Receipt, secret: bytes = SECRET
) -> int:
    body = receipt_body(one)
    url = status_url(PUBLIC, 3, one.token or "")
    headers = {SIGNATURE_HEADER: sign(secret, url, body)}
    async with client.post(url.removeprefix(PUBLIC), data=body, headers=headers) as response:
        return response.status


async def test_a_signed_receipt_is_stored_before_its_answer() -> None:
    store = Store()
    async with client_of(store) as client:
        posting = asyncio.create_task(post(client, receipt(1)))
        await asyncio.wait([posting], timeout=0.05)
        assert not posting.done()
        store.gate.set()
        assert await posting == 204
    assert store.groups == [(3, [receipt(1)])]


async def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    store = Store()
    inbox = ReceiptInbox(store)
    waiting = [inbox.put(1 + n % 2, receipt(n)) for n in range(1200)]
    await asyncio.wait(waiting[:1], timeout=0.01)
    store.gate.set()
    await asyncio.gather(*waiting)
    assert sorted((lane, len(group)) for lane, group in store.groups) == [
        (1, 100), (1, 500), (2, 100), (2, 500),
    ]  # fmt: skip
    assert len({one.provider_id for _, group in store.groups for one in group}) == 1200


async def test_two_groups_of_a_lane_are_committed_at_a_time_and_all_others_wait_for_them() -> None:
    store = Store()
    inbox = ReceiptInbox(store)
    waiting = []
    for number in range(40):
        waiting.append(inbox.put(1, receipt(number)))
        await asyncio.wait(waiting[-1:], timeout=0.001)
    assert store.at_once == 2
    store.gate.set()
    await asyncio.gather(*waiting)
    assert sorted(len(group) for _, group in store.groups) == [1, 1, 38]
    for number in range(40, 80):
        await inbox.put(1, receipt(number))
    assert len(store.groups) == 43


async def test_one_group_that_fails_is_no_matter_of_the_next() -> None:
    store = Store()
    inbox = ReceiptInbox(store)
    first = inbox.put(1, receipt(1))
    await asyncio.wait([first], timeout=0.01)
    second = inbox.put(1, receipt(2))
    store.poison = receipt(1)
    store.gate.set()
    with pytest.raises(OSError, match="away"):
        await first
    await second
    assert store.groups == [(1, [receipt(2)])]


async def test_a_commit_that_hangs_is_given_up_and_all_who_wait_hear_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.api.inbox._PATIENCE_SECONDS", 0.05)
    store = Store()
    inbox = ReceiptInbox(store)
    first = inbox.put(1, receipt(1))
    await asyncio.wait([first], timeout=0.01)
    second = inbox.put(1, receipt(2))
    for each in (first, second):
        with pytest.raises(TimeoutError):
            await each
    store.gate.set()
    await inbox.put(1, receipt(2))
    assert store.groups == [(1, [receipt(2)])]


@pytest.mark.parametrize("secret", [b"", b"other"])
async def test_an_unsigned_one_is_refused(secret: bytes) -> None:
    store = Store()
    store.gate.set()
    async with client_of(store) as client:
        assert await post(client, receipt(1), secret) == 403
    assert store.groups == []


async def test_when_it_cannot_be_stored_the_sender_hears_so() -> None:
    store = Store()
    store.gate.set()
    store.broken = True
    async with client_of(store) as client:
        assert await post(client, receipt(1)) == 503
        store.broken = False
        assert await post(client, receipt(1)) == 204
    assert store.groups == [(3, [receipt(1)])]


async def test_nonsense_is_refused() -> None:
    store = Store()
    async with client_of(store) as client:
        token = f"{1:032x}"
        url, body = status_url(PUBLIC, 3, token), b'{"id": 3}'
        headers = {SIGNATURE_HEADER: sign(SECRET, url, body)}
        async with client.post(url.removeprefix(PUBLIC), data=body, headers=headers) as response:
            assert response.status == 400
        async with client.post("/webhooks/sandbox/x/y", data=body) as response:
            assert response.status == 404

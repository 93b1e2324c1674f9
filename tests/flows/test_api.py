"""The HTTP API over real sockets on a real database."""

import gzip
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeAlias

import asyncpg
import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from agent.api.app import make_app
from agent.api.deps import Deps
from agent.api.keys import ApiKey, BadKey, Scope
from agent.api.openapi import DOCUMENT
from agent.clock import VirtualClock
from agent.flows.intake import Desk, Taken, take
from agent.store.keyring import Keyring
from schedules import ladder_text
from tests.support.ledger import NOW, make_outcomes, make_portfolio, unacked

Pool: TypeAlias = "asyncpg.Pool[Any]"
Client: TypeAlias = TestClient[web.Request, web.Application]
ALL = {"Authorization": "Bearer all-the-secret-there-is"}
READER = {"Authorization": "Bearer a-reader-and-no-more"}
KEYS = (
    ApiKey.parse("ledger:all-the-secret-there-is"),
    ApiKey.parse("report:a-reader-and-no-more:outcomes:read"),
)
LIMIT = 120_000


def opened(loan: str, phone: str = "+2347010687970") -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"{loan}:opened", "source": "test", "type": "loan.opened",
        "subject": loan, "time": "2026-02-01T09:00:00+01:00",
        "data": {
            "portfolio": "mobile-loans", "product": "term-30d", "currency": "NGN", "principal": "5000.00",
            "borrower": {
                "id": f"person of {loan}", "locale": "en-NG", "region": "NG", "timezone": "Africa/Lagos",
                "contacts": [{"channel": "sms", "address": phone, "consent": {"source": "application"}}],
            },
            "installments": [{"number": 1, "due_on": "2026-02-20", "amount": "6500.00"}],
        },
    }  # fmt: skip


@pytest.fixture
async def client(pool: Pool, keyring: Keyring) -> AsyncIterator[Client]:
    clock = VirtualClock(NOW)
    desk = Desk(pool, keyring, "http", ladder_text("consumer-instalment"))

    async def take_lines(lines: Iterable[tuple[int, bytes]]) -> Taken:
        return await take(desk, lines, clock.now())

    app = make_app(Deps(pool, clock, take_lines, KEYS, body_limit=LIMIT))
    async with TestClient(TestServer(app)) as opened_client:
        yield opened_client


async def problem(response: ClientResponse) -> tuple[int, str]:
    assert response.content_type == "application/problem+json"
    body = await response.json(content_type=None)
    assert body["status"] == response.status
    assert {"type", "title", "detail"} <= body.keys()
    return response.status, body["type"].rpartition(":")[2]


async def test_events_are_taken_once(client: Client, pool: Pool) -> None:
    events = [opened("L1"), opened("L2"), {"id": "x"}, opened("L1")]
    broken = {**opened("L3"), "type": "loan.exploded"}
    body = orjson.dumps([*events, broken])
    kind = {"Content-Type": "application/cloudevents-batch+json", **ALL}
    async with client.post("/v1/events", data=body, headers=kind) as response:
        assert response.status == 200
        first = await response.json()
    assert (first["accepted"], first["duplicate"], first["rejected"]) == (2, 1, 2)
    assert {item["event"] for item in first["problems"]} == {3, 5}
    async with client.post("/v1/events", data=body, headers=kind) as response:
        again = await response.json()
    assert (again["accepted"], again["duplicate"], again["rejected"]) == (0, 3, 2)
    assert await pool.fetchval("select count(*) from loan") == 2


async def test_an_amount_that_is_no_text_is_told_what_to_send(client: Client) -> None:
    bad = opened("L1")
    bad["data"]["installments"][0]["amount"] = 6500.5
    for kind, body in (
        ("application/cloudevents-batch+json", orjson.dumps([bad])),
        ("application/x-ndjson", orjson.dumps(bad)),
    ):
        headers = {"Content-Type": kind, **ALL}
        async with client.post("/v1/events", data=body, headers=headers) as response:
            answer = await response.json()
        assert answer["problems"] == [
            {
                "event": 1,
                "reason": "bad-amount",
                "detail": "installments.amount: number-with-a-point-write-it-as-text;"
                ' right is text such as "1600.50"',
            }
        ]


async def test_lines_are_taken_and_nothing_personal_comes_back(client: Client) -> None:
    bad = {**opened("L9", "+2348099999999"), "time": "no time at all"}
    lines = b"\n".join(
        [orjson.dumps(opened("L1")), b"", b"{broken +2348011111111", orjson.dumps(bad)]
    )
    headers = {"Content-Type": "application/x-ndjson", **ALL}
    async with client.post("/v1/events", data=lines, headers=headers) as response:
        text = await response.text()
    answer = orjson.loads(text)
    assert (answer["accepted"], answer["rejected"]) == (1, 2)
    assert {item["event"] for item in answer["problems"]} == {3, 4}
    assert "+234" not in text
    assert "person of" not in text


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b"{", (400, "bad-json")),
        ("application/json", b"7", (400, "bad-json")),
        ("application/json", b"\xff\xfe", (400, "bad-json")),
        ("application/json", b"", (400, "bad-json")),
        ("application/json", b"[" * 5000, (400, "bad-json")),
        ("text/html", b"[]", (415, "unsupported-media-type")),
        ("application/json", b" " * (LIMIT + 1), (413, "too-large")),
        ("application/json", b"[" + b"1," * 50_000 + b"1]", (413, "too-many-events")),
    ],
)
async def test_bad_bodies(
    client: Client, kind: str, body: bytes, expected: tuple[int, str]
) -> None:
    headers = {"Content-Type": kind, **ALL}
    async with client.post("/v1/events", data=body, headers=headers) as response:
        assert await problem(response) == expected


async def test_a_body_that_is_not_its_encoding(client: Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **ALL}
    async with client.post("/v1/events", data=b"no gzip", headers=headers) as response:
        assert response.status == 400


async def test_a_body_that_unpacks_to_far_more_is_refused(client: Client) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < LIMIT
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **ALL}
    async with client.post("/v1/events", data=bomb, headers=headers) as response:
        assert await problem(response) == (413, "too-large")
    good = gzip.compress(orjson.dumps([opened("L1")]))
    async with client.post("/v1/events", data=good, headers=headers) as response:
        assert (await response.json())["accepted"] == 1


async def test_deep_nesting_refuses_that_event_only(client: Client) -> None:
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    body = b"[" + deep + b"," + orjson.dumps(opened("L1")) + b"]"
    headers = {"Content-Type": "application/json", **ALL}
    async with client.post("/v1/events", data=body, headers=headers) as response:
        answer = await response.json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)


@pytest.mark.parametrize(
    "offered",
    [None, "Bearer wrong", "Basic all-the-secret-there-is", "Bearer "],
)
async def test_without_a_key_nothing_is_shown(client: Client, offered: str | None) -> None:
    headers = {} if offered is None else {"Authorization": offered}
    for method, path in (
        ("GET", "/v1/outcomes"),
        ("POST", "/v1/events"),
        ("POST", "/v1/outcomes/ack"),
    ):
        async with client.request(method, path, headers=headers) as response:
            assert await problem(response) == (401, "unauthorized")
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_may_do_what_its_scopes_say(client: Client, pool: Pool) -> None:
    await make_portfolio(pool)
    async with client.post("/v1/events", data=b"[]", headers=READER) as response:
        assert await problem(response) == (403, "forbidden")
    async with client.get("/v1/outcomes", headers=READER) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"


async def test_unknown_addresses_and_methods_are_problems(client: Client) -> None:
    async with client.get("/v1/nothing/+2348011111111", headers=ALL) as response:
        assert await problem(response) == (404, "not-found")
        assert "+234" not in await response.text()
    async with client.delete("/v1/outcomes", headers=ALL) as response:
        assert await problem(response) == (405, "method-not-allowed")
        assert "GET" in response.headers["Allow"]


async def pull(client: Client, **query: str) -> dict[str, Any]:
    async with client.get("/v1/outcomes", params=query, headers=READER) as response:
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def test_outcomes_are_pulled_in_pages_and_acknowledged(client: Client, pool: Pool) -> None:
    portfolio = await make_portfolio(pool)
    refs = await make_outcomes(pool, portfolio, [3, 1, 4])
    wanted = [
        f"mobile-loans/{ref}/{seq}"
        for ref, count in zip(refs, (3, 1, 4), strict=True)
        for seq in range(1, count + 1)
    ]
    first = await pull(client, limit="3")
    rest = await pull(client, limit="100", cursor=first["next"])
    assert [event["id"] for event in first["outcomes"] + rest["outcomes"]] == wanted
    assert rest["next"] is None

    ids = [*wanted[:5], "mobile-loans/L0001/99", "elsewhere/L0001/1", "nonsense"]
    for expected in ((5, 0), (0, 5)):
        async with client.post("/v1/outcomes/ack", json={"ids": ids}, headers=READER) as response:
            done = await response.json()
        assert (done["acknowledged"], done["already"]) == expected
        assert done["unknown"] == [5, 6, 7]
    assert await unacked(pool, portfolio) == [("L0003", 2), ("L0003", 3), ("L0003", 4)]

    # one that is committed behind the cursor is met by the next walk
    await pool.execute(
        "insert into outcome (portfolio_id, loan_id, seq, type, occurred_at, recorded_at, data,"
        " next_try_at) values ($1, 1, 4, 'account.cured', $2, $2, '{}', $2)",
        portfolio,
        NOW,
    )
    walk = await pull(client)
    assert walk["outcomes"][0]["id"] == "mobile-loans/L0001/4"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "bad-limit"),
        ({"limit": "x"}, "bad-limit"),
        ({"limit": "9999999"}, "bad-limit"),
        ({"cursor": "%%%"}, "bad-cursor"),
        ({"cursor": "AAAA"}, "bad-cursor"),
        ({"cursor": "é"}, "bad-cursor"),
        ({"portfolio": "none"}, "unknown-portfolio"),
    ],
)
async def test_bad_queries(client: Client, pool: Pool, query: dict[str, str], code: str) -> None:
    await make_portfolio(pool)
    async with client.get("/v1/outcomes", params=query, headers=READER) as response:
        assert await problem(response) == (400, code)


async def test_several_portfolios_have_to_be_named(client: Client, pool: Pool) -> None:
    await make_portfolio(pool, "one")
    two = await make_portfolio(pool, "two")
    await make_outcomes(pool, two, [1])
    async with client.get("/v1/outcomes", headers=READER) as response:
        assert await problem(response) == (400, "portfolio-needed")
    page = await pull(client, portfolio="two")
    assert [event["source"] for event in page["outcomes"]] == ["duly/two"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ids":7}', b'{"ids":[7]}', b'{"ids":["a"'])
async def test_bad_acknowledgements(client: Client, body: bytes) -> None:
    async with client.post("/v1/outcomes/ack", data=body, headers=READER) as response:
        assert (await problem(response))[0] == 400


async def test_health_and_metrics(client: Client, pool: Pool) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [2, 1])
    async with client.get("/livez") as response:
        assert response.status == 200
    async with client.get("/readyz") as response:
        assert await response.json() == {"status": "ok", "database": "writable", "doorbell": "none"}
    async with client.get("/metrics") as response:
        text = await response.text()
    assert 'duly_outcomes_unacknowledged{portfolio="mobile-loans"} 3.0' in text


async def answer(app: web.Application, path: str) -> tuple[int, dict[str, Any]]:
    async with TestClient(TestServer(app)) as client, client.get(path) as response:
        return response.status, await response.json(content_type=None)


async def nothing(_lines: Iterable[tuple[int, bytes]]) -> Taken:
    return Taken()


async def test_a_silent_doorbell_is_said_and_does_no_harm(pool: Pool) -> None:
    async def silent() -> bool:
        raise ConnectionError

    app = make_app(Deps(pool, VirtualClock(NOW), nothing, (), silent))
    status, body = await answer(app, "/readyz")
    assert (status, body["doorbell"], body["database"]) == (200, "degraded", "writable")


async def test_a_database_that_takes_no_writes_is_not_ready(database_url: str) -> None:
    settings = {"default_transaction_read_only": "on"}
    async with asyncpg.create_pool(database_url, min_size=1, server_settings=settings) as standby:
        app = make_app(Deps(standby, VirtualClock(NOW), nothing))
        status, body = await answer(app, "/readyz")
    assert (status, body["database"]) == (503, "unavailable")


async def test_a_database_that_is_away_is_said_so(database_url: str) -> None:
    gone = await asyncpg.create_pool(database_url, min_size=1)
    await gone.close()
    app = make_app(Deps(gone, VirtualClock(NOW), nothing, KEYS))
    async with (
        TestClient(TestServer(app)) as client,
        client.get("/v1/outcomes", headers=READER) as response,
    ):
        assert await problem(response) == (503, "unavailable")
        assert response.headers["Retry-After"] == "5"


async def test_an_unexpected_failure_tells_nothing(pool: Pool) -> None:
    async def fails(_lines: Iterable[tuple[int, bytes]]) -> Taken:
        raise RuntimeError("+2348011111111")

    app = make_app(Deps(pool, VirtualClock(NOW), fails, KEYS))
    headers = {"Content-Type": "application/json", **ALL}
    async with (
        TestClient(TestServer(app)) as client,
        client.post("/v1/events", data=b"[]", headers=headers) as response,
    ):
        assert await problem(response) == (500, "internal")
        assert "+234" not in await response.text()


async def test_the_description_names_the_routes_that_are_there(client: Client) -> None:
    assert client.server is not None
    app = client.server.app  # type: ignore[attr-defined]
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD"
    }
    described = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert routes == described
    async with client.get("/openapi.json") as response:
        assert await response.json() == DOCUMENT


def test_keys_from_settings() -> None:
    both = ApiKey.parse("a:secret:events:write+outcomes:read")
    assert both.scopes == frozenset(Scope) == ApiKey.parse("a:secret").scopes
    assert b"secret" not in both.digest
    for text in ("a", "a:", ":secret", "a:secret:everything"):
        with pytest.raises(BadKey) as raised:
            ApiKey.parse(text)
        assert "secret" not in str(raised.value).replace("name:secret", "")

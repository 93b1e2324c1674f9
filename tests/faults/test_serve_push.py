"""`duly serve` with all three push providers: who gets what, how long it may live, what may be read."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiohttp.test_utils import unused_port

from agent.clock import SystemClock
from agent.store.keyring import Keyring, contact_place, seal
from tests.channels.ways import WAYS
from tests.conftest import TEST_MASTER_KEY
from tests.entry.command import duly
from tests.support.apple import apple
from tests.support.browser import decrypt
from tests.support.google import google
from tests.support.push_keys import AUTH, p256_key, pem, service_account, subscription
from tests.support.raw_http import raw_server
from tests.support.serving import ends, serving
from tests.support.village import settle
from tests.support.waiting import until

CLOCK = SystemClock()
ANSWERS = {way.name: way.ok for way in WAYS}
DEVICE = "ab" * 32


async def test_each_phone_hears_through_its_own_provider(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 4, CLOCK.now())
    async with (
        google() as tokens,
        raw_server(ANSWERS["fcm"]) as android,
        raw_server(ANSWERS["web"]) as browser,
        apple() as iphone,
    ):
        addresses = [
            ("fcm", "device-1"),
            ("apns", DEVICE),
            ("web", subscription(f"{browser.url}/wpush/v2/gAAA")),
            ("pigeon", "device-4"),
        ]
        await with_apps(pool, keyring, addresses)
        given = {
            "DULY_DATABASE_URL": database_url, "DULY_REDIS_URL": redis_url,
            "DULY_PORT": str(unused_port()), "DULY_MASTER_KEY": TEST_MASTER_KEY.hex(),
            "DULY_FCM_CREDENTIALS": service_account(tokens.url),
            "DULY_FCM_BASE_URL": android.url,
            "DULY_APNS_KEY": pem(p256_key()), "DULY_APNS_BASE_URL": iphone.url,
            "DULY_APNS_SENDER": "TEAM123456/ABC123DEFG/com.kobo.app",
            "DULY_WEBPUSH_KEY": pem(p256_key()), "DULY_WEBPUSH_HOSTS": browser.url,
            "DULY_WEBPUSH_SUBJECT": "mailto:ops@kobo.example",
        }  # fmt: skip
        process = await serving(tmp_path, **given)

        async def answered() -> bool:
            rows = await pool.fetch(
                "select state, code, count(*) from attempt where channel = 'push' group by 1, 2"
            )
            return {tuple(row) for row in rows} == {
                ("accepted", None, 3),
                ("refused", "push-provider", 1),
            }

        await until(answered, 40, "three have it, one has no provider")
        assert await ends(process) == []
        sent = orjson.loads(android.got[0].partition(b"\r\n\r\n")[2])["message"]
        web = orjson.loads(
            decrypt(browser.got[0].partition(b"\r\n\r\n")[2], p256_key("browser"), AUTH)
        )
        apns = orjson.loads(iphone.pushed[0].body)
    assert (len(android.got), len(browser.got), len(iphone.pushed)) == (1, 1, 1)
    assert 1 <= int(sent["android"]["ttl"].removesuffix("s")) <= 4 * 3600
    neutral_and_named_apart(sent, apns, web)
    known = {row["token"] for row in await pool.fetch("select token from attempt")}
    assert {sent["data"]["duly_token"], apns["duly_token"]} < known


def neutral_and_named_apart(
    sent: dict[str, Any], apns: dict[str, Any], web: dict[str, Any]
) -> None:
    """Nothing of the debt shows on a locked screen; each phone knows a loan and a notice by its own name."""
    shown = [
        sent["notification"],
        apns["aps"]["alert"],
        {"title": web["title"], "body": web["body"]},
    ]
    for one in shown:
        assert one["body"] == "You have a new message. Open the app to read it."
        assert not any(letter.isdigit() for letter in one["title"])
    threads = {sent["android"]["collapseKey"], apns["aps"]["thread-id"], web["tag"]}
    assert {len(thread) for thread in threads} == {32}
    assert len(threads) == 3
    assert len({sent["data"]["duly_notice"], apns["duly_notice"], web["data"]["duly_notice"]}) == 3


async def with_apps(pool: asyncpg.Pool, keyring: Keyring, addresses: list[tuple[str, str]]) -> None:
    """Each person gets an app of one provider."""
    rows = await pool.fetch("select portfolio_id, id, data_key from borrower order by id")
    for number, (row, (provider, address)) in enumerate(zip(rows, addresses, strict=True)):
        point = 900_000 + number
        key = keyring.person_key(row["data_key"])
        index = keyring.blind("push", address)
        await pool.execute(
            "insert into number (portfolio_id, channel, address_key) values ($1, 'push', $2)",
            row["portfolio_id"], index,
        )  # fmt: skip
        await pool.execute(
            "insert into contact_point (portfolio_id, id, borrower_id, channel, provider, address,"
            " address_key, status, told_at) values ($1, $2, $3, 'push', $4, $5, $6, 'active', $7)",
            row["portfolio_id"], point, row["id"], provider,
            seal(key, address.encode(), contact_place(row["portfolio_id"], point)), index,
            CLOCK.now(),
        )  # fmt: skip


async def test_a_key_that_cannot_be_used_is_said_and_not_repeated(
    database_url: str, redis_url: str
) -> None:
    wrong = {
        "DULY_APNS_KEY": "hunter2hunter2",
        "DULY_APNS_SENDER": "TEAM123456/ABC123DEFG/com.kobo.app",
    }
    told = await asyncio.to_thread(
        lambda: duly(
            "serve",
            DULY_DATABASE_URL=database_url,
            DULY_REDIS_URL=redis_url,
            DULY_MASTER_KEY=TEST_MASTER_KEY.hex(),
            **wrong,
        )
    )
    assert told.code == 2, told.err
    assert "DULY_APNS_KEY: not a private key in PEM" in told.err
    assert "hunter2" not in told.err

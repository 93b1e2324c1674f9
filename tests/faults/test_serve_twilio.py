"""`duly serve` against a stand-in for Twilio: it sends, takes receipts and replies, falls back, explains."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import unused_port

from agent.clock import SystemClock
from agent.store.keyring import Keyring
from tests.conftest import TEST_MASTER_KEY
from tests.entry.command import duly
from tests.support.phone_process import phone_process
from tests.support.places import SHARED
from tests.support.prism import PRISM, prism_runs
from tests.support.serving import ends, serving
from tests.support.twilio_process import twilio_process
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN
from tests.support.village import settle
from tests.support.waiting import until

CLOCK = SystemClock()
PHONE = "+2348000000001"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?")


def settings(
    database_url: str, redis_url: str, port: int, url: str, token: str = AUTH_TOKEN
) -> dict[str, str]:
    return {
        "DULY_DATABASE_URL": database_url, "DULY_REDIS_URL": redis_url, "DULY_PORT": str(port),
        "DULY_PUBLIC_URL": f"http://127.0.0.1:{port}", "DULY_MASTER_KEY": TEST_MASTER_KEY.hex(),
        "DULY_TWILIO_ACCOUNT_SID": ACCOUNT, "DULY_TWILIO_AUTH_TOKEN": token,
        "DULY_TWILIO_FROM": "+15005550006", "DULY_TWILIO_BASE_URL": url,
        "DULY_TWILIO_PARTS_PER_SECOND": "50",
    }  # fmt: skip


async def states(pool: asyncpg.Pool) -> dict[str, int]:
    rows = await pool.fetch("select state, count(*) as n from attempt group by 1")
    return {row["state"]: row["n"] for row in rows}


async def test_notices_go_out_receipts_and_replies_come_in(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 12, CLOCK.now())
    port = unused_port()
    async with twilio_process(tmp_path) as twilio:
        given = settings(database_url, redis_url, port, twilio.url)
        process = await serving(tmp_path, **given)

        async def delivered() -> bool:
            return await states(pool) == {"delivered": 12}

        await until(delivered, 40, "everybody's text is delivered")
        inbound = f"http://127.0.0.1:{port}/webhooks/twilio/inbound"
        assert (await twilio.text(inbound, PHONE, "STOP"))["status"] == 200
        assert (await twilio.text(inbound, "+2348000000002", "when is it due?"))["status"] == 200
        truth = await twilio.truth()
        assert len(twilio.accepted()) == 12
        assert truth["refused"] == []
        assert {call[2] for call in truth["callbacks"] if "/status/" in call[0]} == {204}
        given_to_twilio = [one["given"] for one in truth["messages"] if one["given"]]
        assert {1 <= int(one["ValidityPeriod"]) <= 900 for one in given_to_twilio} == {True}
        assert await ends(process) == []
    assert await pool.fetchval("select count(*) from suppression") == 1
    assert await pool.fetchval("select reading from inbound where media = 0 and reading = 'case'")
    told = duly("why", "loan-2", **given)
    assert told.code == 0, told.err
    assert "delivered" in told.out
    assert PHONE not in told.out


async def test_push_without_a_receipt_is_followed_by_one_text(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 3, CLOCK.now())
    await with_push(pool, keyring)
    port = unused_port()
    script = {"rule": [{"act": "refuse", "refusal": "permanent", "code": "gone"}]}
    async with (
        twilio_process(tmp_path) as twilio,
        phone_process(tmp_path, script=script) as phone,
    ):
        given = settings(database_url, redis_url, port, twilio.url)
        process = await serving(tmp_path, **given, DULY_SANDBOX_URL=phone.url)

        async def fell_back() -> bool:
            return await states(pool) == {"refused": 3, "delivered": 3}

        await until(fell_back, 40, "a text follows each refused push")
        assert len(twilio.accepted()) == 3
        assert phone.accepted() == []
        assert await ends(process) == []
    told = duly("why", "loan-1", **given)
    assert "by push, 1001.00 NGN: now refused (gone)" in told.out
    assert "by sms, 1001.00 NGN, because push refused it (gone): now delivered" in told.out


Asked = Callable[[], Awaitable[bool]]


def reach(pool: asyncpg.Pool, **wanted: int) -> Asked:
    """Whether so many attempts are in these states, and none in another."""

    async def asked() -> bool:
        return await states(pool) == wanted

    return asked


def hold_for(pool: asyncpg.Pool, text: str) -> Asked:
    """Whether all that was not sent waits for this text."""

    async def asked() -> bool:
        found = await pool.fetch(
            "select distinct verdict, rules from decision where verdict <> 'send'"
        )
        return [tuple(row) for row in found] == [("snooze", [f"paused:template:{text}"])]

    return asked


async def test_a_filtered_text_is_stopped_for_all_workers_until_it_is_resumed(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 7, CLOCK.now())
    await pool.execute(
        "update notice n set next_at = $1 from loan l where l.id = n.loan_id and l.ref > 'loan-3'",
        CLOCK.now() + timedelta(days=1),
    )
    script = {"statuses": ["sent", "delivered"], "undelivered": 1.0, "error_code": 30007}
    port = unused_port()
    async with twilio_process(tmp_path, script=script) as twilio:
        given = settings(database_url, redis_url, port, twilio.url)
        process = await serving(tmp_path, **given)

        await until(reach(pool, undelivered=3), 40, "the carrier filters all of them")
        text = await pool.fetchval("select subject from pause where scope = 'template'")
        cases = await pool.fetch("select kind, subject from case_item")
        assert [tuple(row) for row in cases] == [("filtered", f"text {text}")]
        assert await ends(process) == []
        await twilio.follow({})
        await pool.execute(
            "update notice set next_at = $1 where closed_at is null and stage = 'due-today'",
            CLOCK.now(),
        )
        # another process knows of it
        process = await serving(tmp_path, **given)
        await until(hold_for(pool, text), 40, "those who are due later are held")
        assert len(twilio.accepted()) == 3
        args = ("resume", "template", text, "--reason", "reworded with the carrier", "--by", "ann")
        done = await asyncio.to_thread(lambda: duly(*args, **given))
        assert "4 notices are looked at again" in done.out, done.err
        await until(reach(pool, undelivered=3, delivered=4), 40, "they go out")
        assert (
            await pool.fetchval(
                "select count(*) from attempt where begun_at > (select max(resumed_at) from pause)"
            )
            == 4
        )
        assert await ends(process) == []
    told = duly("why", "loan-5", **given).out
    assert "This text was stopped until staff let it go on" in told
    assert f"template {text} ends: reworded with the carrier (by ann)" in told


async def with_push(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """Everybody has an app too."""
    from agent.store.keyring import contact_place, seal  # noqa: PLC0415

    rows = await pool.fetch("select portfolio_id, id, data_key from borrower")
    for number, row in enumerate(rows):
        point = 900_000 + number
        key = keyring.person_key(row["data_key"])
        address = f"device-{number}"
        index = keyring.blind("push", address)
        await pool.execute(
            "insert into number (portfolio_id, channel, address_key) values ($1, 'push', $2)",
            row["portfolio_id"], index,
        )  # fmt: skip
        await pool.execute(
            "insert into contact_point (portfolio_id, id, borrower_id, channel, provider, address,"
            " address_key, status) values ($1, $2, $3, 'push', 'fcm', $4, $5, 'active')",
            row["portfolio_id"], point, row["id"],
            seal(key, address.encode(), contact_place(row["portfolio_id"], point)), index,
        )  # fmt: skip


async def test_a_country_without_a_profile_gets_nothing_and_why_says_so(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 1, CLOCK.now())
    own = tmp_path / "countries.toml"
    own.write_text(
        '[[country]]\ncode = "NG"\nloan_content = false\ntwo_way = true\nlinks = true\n'
        'senders = ["number"]\nsource = "counsel"\nchecked_on = 2026-11-01\n'
    )
    async with twilio_process(tmp_path) as twilio:
        given = settings(database_url, redis_url, unused_port(), twilio.url)
        given["DULY_TWILIO_COUNTRIES"] = str(own)
        process = await serving(tmp_path, **given)

        async def cancelled() -> bool:
            return bool(await pool.fetchval("select count(*) from notice where closed_at notnull"))

        await until(cancelled, 40, "the notice is closed")
        assert twilio.accepted() == []
        assert await ends(process) == []
    assert await pool.fetchval("select reason from notice where closed_at notnull") == (
        "route:loan-content"
    )
    assert "No route leads to that country" in duly("why", "loan-1", **given).out


def test_half_of_the_settings_is_explained(tmp_path: Path) -> None:
    answer = duly("serve", DULY_DATA_DIR=str(tmp_path), DULY_TWILIO_ACCOUNT_SID=ACCOUNT)
    assert answer.code == 2
    assert "DULY_TWILIO_AUTH_TOKEN" in answer.err


@asynccontextmanager
async def shared_stand_in(port: int, token: str) -> AsyncIterator[str]:
    """The stateful stand-in that lies beside the repository, with Prism in front where it runs."""
    judge = ("--prism", PRISM) if await prism_runs() else ()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", str(SHARED / "peers" / "twilio_sim.py"),
        "--port", str(port), "--token", token, *judge,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{url}/_state") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    try:
        await until(answers, 20, "the stand-in answers")
        yield url
    finally:
        process.kill()
        await process.wait()


async def test_against_the_stand_in_beside_the_repository(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    if not (SHARED / "peers" / "twilio_sim.py").exists():
        pytest.skip("needs the folder ../shared with the stand-ins")
    await settle(pool, keyring, 8, CLOCK.now())
    port = unused_port()
    async with (
        shared_stand_in(unused_port(), AUTH_TOKEN) as url,
        aiohttp.ClientSession() as http,
    ):
        # doubled, shuffled callbacks; one create meets a 429, one a lost answer, one a broken body
        script = {"statuses": ["queued", "sent", "delivered"], "shuffle": True, "dup": True}
        await http.post(f"{url}/_script", json=script)
        await http.post(f"{url}/_fault", json={"kinds": ["reset_after", "junk_after", "500_after"]})
        given = settings(database_url, redis_url, port, url)
        process = await serving(tmp_path, **given)

        async def delivered() -> bool:
            return await states(pool) == {"delivered": 8}

        await until(delivered, 60, "everybody's text is delivered")
        async with http.get(f"{url}/_state") as answer:
            state = await answer.json()
        assert len(state["messages"]) == 8
        assert state["duplicates"] == []
        assert state["refused"] == []
        said = {
            "url": f"http://127.0.0.1:{port}/webhooks/twilio/inbound",
            "params": {"From": PHONE, "To": "+15005550006", "Body": "退订"},
        }
        async with http.post(f"{url}/_inbound", json=said) as answer:
            heard = await answer.json()
        assert heard["status"] == 200
        assert heard["body"].endswith("<Response />")
        assert await ends(process) == []
    assert await pool.fetchval("select count(*) from suppression") == 1


@asynccontextmanager
async def some_twilio(folder: Path) -> AsyncIterator[str]:
    """The stand-in beside the repository; ours where there is none."""
    if (SHARED / "peers" / "twilio_sim.py").exists():
        async with shared_stand_in(unused_port(), AUTH_TOKEN) as url:
            yield url
    else:
        async with twilio_process(folder) as twilio:
            yield twilio.url


async def test_why_tells_how_a_text_followed_a_push_that_nobody_confirmed(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    village = await settle(pool, keyring, 1, CLOCK.now())
    await with_push(pool, keyring)
    silent = {"rule": [{"act": "accept", "receipts": "lost"}]}
    port = unused_port()
    async with (
        some_twilio(tmp_path) as url,
        phone_process(tmp_path, script=silent) as phone,
    ):
        given = settings(database_url, redis_url, port, url)
        process = await serving(tmp_path, **given, DULY_SANDBOX_URL=phone.url)

        async def waits() -> bool:
            return bool(
                await pool.fetchval("select 1 from notice where state = 'awaiting_receipt'")
            )

        await until(waits, 40, "the push is accepted, and its receipt is waited for")
        # two hours pass without one
        await pool.execute(
            "update notice set next_at = $1 where state = 'awaiting_receipt'", CLOCK.now()
        )

        async def delivered() -> bool:
            return await states(pool) == {"accepted": 1, "delivered": 1}

        await until(delivered, 40, "the text is delivered")
        assert await ends(process) == []
        assert len(phone.accepted()) == 1
    told = duly("why", "loan-1", "due-today", **given)
    assert told.code == 0, told.err
    day, silence = village.today, "because no receipt of push came in time"
    assert [MOMENT.sub("AT", line) for line in told.out.splitlines()[2:]] == [
        f"AT  event     loan.opened currency NGN due {day} 1001.00 (of AT)",
        f"AT  notice    due-today for {day} planned: due AT, useful until AT",
        "AT  decision  due-today: send",
        "AT  attempt   due-today by push, 1001.00 NGN: now accepted",
        "AT  decision  due-today: send",
        f"AT  attempt   due-today by sms, 1001.00 NGN, {silence}: now delivered",
        "AT  notice    due-today is sent",
        "AT  receipt   due-today by sms: sent",
        "AT  receipt   due-today by sms: delivered",
    ]

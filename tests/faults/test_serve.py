"""`duly serve` as a person runs it: it answers, sends what is due, and ends well on SIGTERM."""

from datetime import timedelta
from pathlib import Path

import aiohttp
import asyncpg
from aiohttp.test_utils import unused_port

from agent.clock import SystemClock
from agent.domain.text_change import Signed
from agent.domain.text_files import TextFile
from agent.flows.text_listing import listed
from agent.flows.text_saving import Changed, save
from agent.store.keyring import Keyring
from tests.conftest import TEST_MASTER_KEY
from tests.entry.command import duly
from tests.support.phone_process import phone_process
from tests.support.serving import ends, serving
from tests.support.village import settle
from tests.support.waiting import until

CLOCK = SystemClock()
ALL_AT_WORK = """
select exists (select from tick_slot) and 2 = (
    select count(*) from pg_stat_activity
    where datname = current_database() and query ilike 'listen%'
)
"""


async def test_one_process_sends_what_is_due_and_takes_its_receipts(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 30, CLOCK.now())
    port = unused_port()
    process = await serving(
        tmp_path, DULY_DATABASE_URL=database_url, DULY_REDIS_URL=redis_url, DULY_PORT=str(port),
        DULY_MASTER_KEY=TEST_MASTER_KEY.hex(),
    )  # fmt: skip

    async def delivered() -> bool:
        return bool(
            await pool.fetchval("select count(*) = 30 from attempt where state = 'delivered'")
        )

    await until(delivered, 30, "everybody's message is delivered")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/readyz") as answer,
    ):
        assert answer.status == 200
    assert await ends(process) == []


async def test_a_running_worker_says_words_that_are_saved_meanwhile(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 10, CLOCK.now())
    # half of them are due later, in notices that are planned already
    put_off = (
        "update notice set next_at = $1 where loan_id in (select id from loan order by id limit 5)"
    )
    await pool.execute(put_off, CLOCK.now() + timedelta(hours=1))
    process = await serving(
        tmp_path, DULY_DATABASE_URL=database_url, DULY_REDIS_URL=redis_url,
        DULY_PORT=str(unused_port()), DULY_MASTER_KEY=TEST_MASTER_KEY.hex(),
    )  # fmt: skip
    answered = "select count(*) from attempt where provider_id is not null and template = $1"
    shipped = await words_of(pool)

    async def sent(template: str) -> bool:
        return bool(await pool.fetchval(answered, template) == 5)

    await until(lambda: sent(shipped), 30, "those who are due are told in the shipped words")
    file = TextFile("en/due-today.txt", b"Your instalment of {amount} is due today.")
    signed = Signed("ana", "ben", "shorter")
    done = await save(pool, "village", [file], signed, now=CLOCK.now())
    assert isinstance(done, Changed)
    assert not done.refused
    own = await words_of(pool)
    assert own != shipped
    await pool.execute(put_off, CLOCK.now())
    await until(lambda: sent(own), 10, "the others are told in the new words")
    assert await pool.fetchval(answered, shipped) == 5
    assert await ends(process) == []


async def words_of(pool: asyncpg.Pool) -> str:
    """The text of the village's step as attempts name it."""
    async with pool.acquire() as conn:
        found = await listed(conn, CLOCK.now(), "village")
    assert isinstance(found, list)
    return next(
        one.words["NG"] for one in found if (one.locale, one.message) == ("en", "due-today")
    )


async def test_roles_apart_with_phones_of_their_own(
    pool: asyncpg.Pool, database_url: str, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 30, CLOCK.now())
    port = unused_port()
    async with phone_process(tmp_path, script={"rule": [{"fate_after": 0.2}]}) as phone:
        settings = {
            "DULY_DATABASE_URL": database_url, "DULY_REDIS_URL": redis_url,
            "DULY_MASTER_KEY": TEST_MASTER_KEY.hex(), "DULY_SANDBOX_URL": phone.url,
            "DULY_PORT": str(port), "DULY_PUBLIC_URL": f"http://127.0.0.1:{port}",
        }  # fmt: skip
        api = await serving(tmp_path, "--role", "api", **settings)

        async def answers() -> bool:
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"http://127.0.0.1:{port}/readyz") as answer,
                ):
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await until(answers, 30, "the API answers")
        others = [
            await serving(tmp_path, "--role", role, **settings)
            for role in ("worker", "worker", "scheduler")
        ]

        async def delivered() -> bool:
            return bool(
                await pool.fetchval("select count(*) = 30 from attempt where state = 'delivered'")
            )

        async def at_work() -> bool:
            return bool(await pool.fetchval(ALL_AT_WORK))

        await until(delivered, 30, "everybody's message is delivered")
        # one worker may have sent them all; who is still starting has no good way to end
        await until(at_work, 30, "the other worker and the scheduler are there")
        for process in (*others, api):
            assert await ends(process) == []
        assert len({one.address for one in phone.accepted()}) == len(phone.accepted()) == 30


def test_bad_use_is_explained(tmp_path: Path) -> None:
    answer = duly("serve", "--role", "worker", DULY_DATA_DIR=str(tmp_path))
    assert answer.code == 2
    assert "DULY_SANDBOX_URL" in answer.err
    assert duly("serve", "--role", "cook").code == 2
    ledger = {"DULY_LEDGER_URL": "http://127.0.0.1:1/outcomes"}
    for secret in ({}, {"DULY_LEDGER_SECRET": "whsec_?"}):
        answer = duly("serve", **ledger, **secret)
        assert (answer.code, "set DULY_LEDGER_SECRET" in answer.err) == (2, True)

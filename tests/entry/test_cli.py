"""The command line: help, exit codes, errors that say what to do."""

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from agent.store.migrate import _LOCK_KEY as MIGRATIONS_LOCK
from tests.entry.command import DULY, duly, environment

NOWHERE = "postgresql://duly:hunter2@127.0.0.1:1/duly"


def test_help_and_version() -> None:
    assert duly("--help").code == 0
    assert duly("--version").out.startswith("duly ")


def test_help_loads_nothing_heavy() -> None:
    asked = (
        "import sys; from agent.entry import cli; cli._register_commands();"
        "print([m for m in ('asyncpg', 'aiohttp', 'pydantic', 'cryptography', 'redis', 'arq',"
        " 'jinja2', 'phonenumbers', 'babel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help() -> None:
    listed = "import json; from agent.entry import cli; cli._register_commands();"
    listed += "print(json.dumps([c.name for c in cli.app.registered_commands]))"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True
    )
    names = json.loads(done.stdout)
    assert {"migrate", "doctor"} <= set(names)
    for name in names:
        assert duly(name, "--help").code == 0, name


def test_bad_use_is_2() -> None:
    assert duly("nonsense").code == 2
    assert duly("migrate", "--nonsense").code == 2


def test_a_bad_setting_is_2_and_named() -> None:
    answer = duly("migrate", DULY_PORT="x")
    assert answer.code == 2
    assert answer.err.startswith("duly: DULY_PORT: ")
    assert "Traceback" not in answer.err


def test_an_unreachable_database_is_2_and_shows_no_password() -> None:
    answer = duly("migrate", DULY_DATABASE_URL=NOWHERE)
    assert answer.code == 2
    assert "cannot connect to PostgreSQL at 127.0.0.1/duly" in answer.err
    assert "hunter2" not in answer.err
    assert "Traceback" not in answer.err


def test_a_traceback_on_request() -> None:
    assert "Traceback" in duly("migrate", DULY_DATABASE_URL=NOWHERE, DULY_TRACEBACK="1").err


@pytest.mark.parametrize("asked", ["senders", "portfolio", "invariants", "pause all --reason x"])
def test_a_database_without_schema_is_2_and_says_what_to_do(
    empty_database_url: str, asked: str
) -> None:
    answer = duly(*asked.split(), DULY_DATABASE_URL=empty_database_url)
    assert (answer.code, answer.err) == (
        2, "duly: that database has no schema yet; run `duly migrate`\n",
    )  # fmt: skip


def test_migrate_brings_the_schema_up_once(empty_database_url: str) -> None:
    settings = {"DULY_DATABASE_URL": empty_database_url}
    assert duly("migrate", "--check", **settings).code == 1
    first = duly("migrate", "--json", **settings)
    assert first.code == 0
    assert json.loads(first.out)["applied"][0] == "0001_heart"
    assert json.loads(duly("migrate", "--json", **settings).out) == {"applied": []}
    assert duly("migrate", "--check", **settings).code == 0


async def test_a_schema_of_another_release_is_2_and_says_what_to_do(
    pool: Any, database_url: str
) -> None:
    async with pool.acquire() as conn:
        await conn.execute("alter table portfolio rename column country to country_then")
    try:
        answer = duly("portfolio", DULY_DATABASE_URL=database_url)
    finally:
        async with pool.acquire() as conn:
            await conn.execute("alter table portfolio rename column country_then to country")
    assert (answer.code, answer.err) == (
        2, "duly: that database's schema is of another release; run `duly migrate`\n",
    )  # fmt: skip


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_command_ends_quietly(
    number: signal.Signals, code: int, pool: Any, database_url: str
) -> None:
    async with pool.acquire() as conn:
        await conn.execute("select pg_advisory_lock($1)", MIGRATIONS_LOCK)
        process = subprocess.Popen(  # noqa: ASYNC220 - only started here
            [str(DULY), "migrate"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(DULY_DATABASE_URL=database_url),
        )
        # of this database: others on the same server wait for locks of their own
        waits = (
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
            " where not l.granted and d.datname = current_database()"
        )
        while not await pool.fetchval(waits):
            assert process.poll() is None
        process.send_signal(number)
        _, said = await asyncio.to_thread(process.communicate, timeout=20)
    assert (process.returncode, said) == (code, "")

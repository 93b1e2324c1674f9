"""A database that the next test gets is like one that was just made."""

import asyncio
from collections.abc import Iterator
from datetime import date, time

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.calendar import instant
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from tests.support.schema import dump
from tests.support.stores import SessionStores
from tests.support.world import LAGOS, World

PLANNER_KNOWS = """
select c.relname::text, relpages, reltuples, n_dead_tup,
    (select count(*) from pg_statistic where starelid = oid)
from pg_class c left join pg_stat_user_tables on relid = oid
where oid >= 16384 and relnamespace = 'public'::regnamespace order by 1
"""


@pytest.fixture
def own() -> Iterator[SessionStores]:
    """Stores whose first database is a clone."""
    opened = SessionStores()
    yield opened
    opened.close()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The stores run in a loop of their own, and so do their users."""
    with asyncio.Runner() as opened:
        yield opened


async def planner_knows(url: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return list(await conn.fetch(PLANNER_KNOWS))
    finally:
        await conn.close()


async def use(url: str, keyring: Keyring, *statements: str) -> asyncpg.Connection:
    """Live through a due date, do what is said; a session that nobody ended."""
    pool = await open_pool(url)
    try:
        due = date(2026, 3, 9)
        town = World(pool, keyring, VirtualClock(instant(date(2026, 3, 1), time(9), LAGOS)))
        await town.opens("loan", due)
        await town.live_to(due, "20:00")
        assert town.heard
        for statement in statements:
            await pool.execute(statement)
    finally:
        await pool.close()
    left = await asyncpg.connect(url)
    await left.execute("select pg_advisory_lock(1); begin; create temporary table gone (at date)")
    return left


async def is_gone(session: asyncpg.Connection) -> bool:
    try:
        await session.fetchval("select 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return True
    return False


def test_nothing_is_carried_over(
    own: SessionStores, runner: asyncio.Runner, keyring: Keyring
) -> None:
    url = own.create_database()
    new, knew = dump(url, "--inserts"), runner.run(planner_knows(url))
    session = runner.run(
        use(
            url, keyring,
            "select make_month_partition('decision', '2026-03-01')",
            "select nextval('hold_id_seq')",
            "update portfolio set rev = rev + 1, name = 'else' where id = 0",
            "vacuum analyze",
        )
    )  # fmt: skip
    own.drop_database(url)
    assert runner.run(is_gone(session))
    assert own.create_database() == url
    assert dump(url, "--inserts") == new
    assert runner.run(planner_knows(url)) == knew


@pytest.mark.parametrize(
    "statement",
    [
        "alter table inbound alter column body drop not null",
        "alter table inbound add check (media < 9)",
        "drop index attempt_open_number",
        "alter table loan disable trigger all",
        "create view seen as select from loan",
        "create schema other",
        "create function make_month_partition() returns boolean language sql as 'select false'",
        "do $$ begin execute format('alter database %I set jit = on', current_database()); end $$",
    ],
)
def test_who_changed_more_than_rows_has_no_successor(
    own: SessionStores, runner: asyncio.Runner, keyring: Keyring, statement: str
) -> None:
    url = own.create_database()
    session = runner.run(use(url, keyring, statement))
    own.drop_database(url)
    assert runner.run(is_gone(session))
    assert own.create_database() != url

"""Migrations: applied once, under a lock, and never changed afterwards."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from agent.store.connect import open_connection
from agent.store.migrate import HistoryDiffers, migrate, migrations, pending

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
NAMES = [migration.name for migration in migrations()]


@pytest.fixture
async def conn(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await open_connection(empty_database_url)
    yield opened
    await opened.close()


async def test_an_empty_database_gets_every_migration_once(conn: asyncpg.Connection) -> None:
    assert await pending(conn) == NAMES
    assert await migrate(conn, NOW) == NAMES
    assert await pending(conn) == []
    assert await migrate(conn, NOW) == []
    assert set(await conn.fetch("select applied_at from schema_migration")) == {(NOW,)}


async def test_two_machines_that_start_together_migrate_once(empty_database_url: str) -> None:
    both = [await open_connection(empty_database_url) for _ in range(2)]
    applied = await asyncio.gather(*(migrate(each, NOW) for each in both))
    assert sorted(applied) == sorted([NAMES, []])
    for each in both:
        await each.close()


async def test_a_changed_file_is_refused(conn: asyncpg.Connection) -> None:
    await migrate(conn, NOW)
    await conn.execute("update schema_migration set sha256 = 'other' where name = $1", NAMES[0])
    with pytest.raises(HistoryDiffers, match=f"{NAMES[0]} changed after it was applied"):
        await migrate(conn, NOW)
    with pytest.raises(HistoryDiffers):
        await pending(conn)


async def test_a_database_of_a_newer_release_is_refused(conn: asyncpg.Connection) -> None:
    await migrate(conn, NOW)
    await conn.execute("insert into schema_migration values ('9999_later', 'x', $1)", NOW)
    with pytest.raises(HistoryDiffers, match="newer than this release"):
        await migrate(conn, NOW)

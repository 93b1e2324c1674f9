"""Open a database to look at it: for the commands that only read.

Unlike the composition root this migrates nothing, makes no key and needs none.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    from agent.config import Settings
    from agent.domain.conduct import Pack
    from agent.store.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Looking:
    """A database, the packs that are installed, and the keyring if there is a master key."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    packs: "tuple[Pack, ...]"
    keyring: "Keyring | None"


@asynccontextmanager
async def look(database: str | None) -> AsyncIterator[Looking]:
    """The configured database, or another one on the same server."""
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.flows.rules import packs
    from agent.store.connect import open_pool
    from schedules import conduct_names

    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as server:
        pool = await open_pool(_of_server(server, database), max_size=2)
        try:
            await _take_over_calendars(pool)
            yield Looking(pool, packs(conduct_names()), _keyring(settings))
        finally:
            await pool.close()


async def _take_over_calendars(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """A database that was not brought up to date has none; what else is missing is said later."""
    import asyncpg

    from agent.flows.calendars import take_over

    async with pool.acquire() as conn:
        try:
            await take_over(conn)
        except asyncpg.UndefinedTableError:
            return


@asynccontextmanager
async def opened() -> "AsyncIterator[tuple[asyncpg.Pool[asyncpg.Record], datetime]]":
    """The configured database and the instant, for a command of staff."""
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.clock import SystemClock
    from agent.store.connect import open_pool

    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as url:
        pool = await open_pool(url, max_size=1)
        try:
            yield pool, SystemClock().now()
        finally:
            await pool.close()


def _of_server(server: str, database: str | None) -> str:
    from urllib.parse import quote, urlsplit

    if database is None:
        return server
    return urlsplit(server)._replace(path=f"/{quote(database, safe='')}").geturl()


def _keyring(settings: "Settings") -> "Keyring | None":
    """Reading must not make a key: without one, texts stay closed."""
    from agent import config
    from agent.store.keyring import Keyring

    if settings.master_key is None and not config.key_path(settings).exists():
        return None
    try:
        return Keyring(config.master_key(settings))
    except config.BadSettings:
        return None

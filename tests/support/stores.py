"""Real PostgreSQL and Valkey for tests, started when the first test asks for them.

Sessions that run at the same time share one PostgreSQL; each has databases of its own, cloned from a
template that is migrated once per version of the migrations, and emptied for the next test where they
can be. Each session has a Valkey of its own.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from agent.adapters.embedded import embedded_postgres, embedded_valkey
from agent.adapters.embedded_process import is_alive
from agent.store.connect import open_connection
from agent.store.migrate import migrate, migrations
from tests.support.places import STORES
from tests.support.recycling import Birth, birth, emptied

T = TypeVar("T")
MIGRATED_AT = datetime(2020, 1, 1, tzinfo=UTC)
_NUMBERS = count(1)
_TEMPLATE_LOCK = 0x74657374


class SessionStores:
    """The stores of one test session; everything is lazy."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._open = AsyncExitStack()
        self._server: str | None = None
        self._valkey: str | None = None
        self._template = ""
        self._born: Birth | None = None
        # a connection to each database that may be used again, and those that nobody uses
        self._kept: dict[str, asyncpg.Connection] = {}
        self._empty: list[str] = []

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """Run something to its end in the loop that holds the stores open."""
        return self._runner.run(doing)

    def close(self) -> None:
        """Give the stores back; the last session stops them."""
        for url in list(self._kept):
            self.run(self._drop(url))
        self.run(self._open.aclose())
        self._runner.close()

    def valkey(self) -> str:
        """The address of this session's Valkey."""
        if self._valkey is None:
            self._valkey = self.run(self._start_valkey())
        return self._valkey

    def create_database(self, *, migrated: bool = True) -> str:
        """A fresh database; its address."""
        if self._server is None:
            self._server = self.run(self._start_postgres())
        if not migrated:
            return self.run(self._create("template0"))
        return self._empty.pop() if self._empty else self.run(self._create_to_keep())

    def drop_database(self, url: str) -> None:
        """Drop it or empty it, whoever is still connected."""
        if self.run(self._recycle(url)):
            self._empty.append(url)
        else:
            self.run(self._drop(url))

    async def _start_valkey(self) -> str:
        for number in count(1):
            slot = STORES / f"valkey-{number}"
            slot.mkdir(mode=0o711, parents=True, exist_ok=True)
            held = (slot / "session.lock").open("a")
            self._open.callback(held.close)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return await self._open.enter_async_context(embedded_valkey(slot))
        raise AssertionError("there are always more numbers")

    async def _start_postgres(self) -> str:
        server = await self._open.enter_async_context(embedded_postgres(STORES, durable=False))
        conn = await asyncpg.connect(server)
        try:
            await _drop_left_behind(conn)
            self._template = await _have_template(conn, server)
        finally:
            await conn.close()
        return server

    async def _create(self, template: str) -> str:
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        await self._admin(f'create database "{name}" template "{template}"')
        return address_of(self._server or "", name)

    async def _create_to_keep(self) -> str:
        url = await self._create(self._template)
        self._kept[url] = await asyncpg.connect(url)
        if self._born is None:
            self._born = await birth(self._kept[url])
        return url

    async def _recycle(self, url: str) -> bool:
        if url not in self._kept or self._born is None:
            return False
        try:
            return await emptied(self._kept[url], self._born)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # whatever is in the way there: another database is cloned
            return False

    async def _drop(self, url: str) -> None:
        if conn := self._kept.pop(url, None):
            await conn.close()
        await self._admin(f'drop database if exists "{urlsplit(url).path[1:]}" with (force)')

    async def _admin(self, statement: str) -> None:
        conn = await asyncpg.connect(self._server)
        try:
            await conn.execute(statement)
        finally:
            await conn.close()


def address_of(server: str, database: str) -> str:
    """The same server's address with another database in it."""
    return urlsplit(server)._replace(path=f"/{database}").geturl()


async def _drop_left_behind(conn: asyncpg.Connection) -> None:
    rows = await conn.fetch(r"select datname from pg_database where datname ~ '^test_\d+_\d+$'")
    for name in (row["datname"] for row in rows):
        if not is_alive(int(name.split("_")[1])):
            await conn.execute(f'drop database if exists "{name}" with (force)')


async def _have_template(conn: asyncpg.Connection, server: str) -> str:
    digest = hashlib.sha256("".join(each.sha256 for each in migrations()).encode()).hexdigest()
    name = f"template_{digest[:16]}"
    await conn.execute("select pg_advisory_lock($1)", _TEMPLATE_LOCK)
    try:
        if not await conn.fetchval("select 1 from pg_database where datname = $1", name):
            await _make_template(conn, server, name)
    finally:
        await conn.execute("select pg_advisory_unlock($1)", _TEMPLATE_LOCK)
    return name


async def _make_template(conn: asyncpg.Connection, server: str, name: str) -> None:
    making = f"{name}_making"
    await conn.execute(f'drop database if exists "{making}" with (force)')
    await conn.execute(f'create database "{making}" template template0')
    work = await open_connection(address_of(server, making))
    try:
        await migrate(work, MIGRATED_AT)
    finally:
        await work.close()
    await conn.execute(f'alter database "{making}" rename to "{name}"')

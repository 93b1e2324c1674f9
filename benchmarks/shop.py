"""The stores that everything is measured on: embedded, in a folder that goes away afterwards.

PostgreSQL keeps its promises here (fsync on): a baseline that is divided by must pay for durability
as the product does.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from agent.adapters.embedded import embedded_postgres, embedded_valkey
from agent.clock import Clock, SystemClock
from agent.store.connect import open_connection
from agent.store.keyring import Keyring
from agent.store.migrate import migrate
from benchmarks.bars import Size

Tell = Callable[[str], None]


@dataclass(slots=True)
class Shop:
    """Where a measurement works; databases are cloned from prepared ones."""

    folder: Path
    server: str
    redis_url: str
    size: Size
    rounds: int
    tell: Tell
    clock: Clock = field(default_factory=SystemClock)
    keyring: Keyring = field(default_factory=lambda: Keyring(bytes(range(32))))
    _numbers: "count[int]" = field(default_factory=count)
    _empty: str | None = None

    def sized(self, tiny: int, small: int, full: int) -> int:
        """A count by size."""
        return {Size.TINY: tiny, Size.SMALL: small, Size.FULL: full}[self.size]

    @property
    def postgres_pid(self) -> int:
        """The postmaster: its processes' CPU is the database's."""
        return int((self.folder / "postgres" / "postmaster.pid").read_text().split()[0])

    async def database(self, like: str | None = None) -> str:
        """A database of its own: an empty migrated one, or a copy of a prepared one."""
        return await self._create(like or await self._migrated())

    async def prepared(self, fill: Callable[[str], Awaitable[None]]) -> str:
        """Fill an empty database once, vacuum it, and give it to be copied from."""
        url = await self.database()
        await fill(url)
        conn = await open_connection(url)
        await conn.execute("vacuum analyze")
        await conn.close()
        return url

    async def drop(self, url: str) -> None:
        """Give the space back."""
        await self._admin(f'drop database "{_name(url)}" with (force)')

    @asynccontextmanager
    async def copy(self, of: str | None = None) -> AsyncIterator[str]:
        """A database for one measurement."""
        url = await self.database(of)
        try:
            yield url
        finally:
            await self.drop(url)

    async def _migrated(self) -> str:
        if self._empty is None:
            url = await self._create(None)
            conn = await open_connection(url)
            try:
                await migrate(conn, self.clock.now())
            finally:
                await conn.close()
            self._empty = url
        return self._empty

    async def _create(self, like: str | None) -> str:
        name = f"bench_{next(self._numbers)}"
        template = _name(like) if like else "template0"
        await self._admin(f'create database "{name}" template "{template}" strategy wal_log')
        return urlsplit(self.server)._replace(path=f"/{name}").geturl()

    async def _admin(self, statement: str) -> None:
        conn = await asyncpg.connect(self.server)
        try:
            await conn.execute(statement)
        finally:
            await conn.close()


def _name(url: str) -> str:
    return urlsplit(url).path[1:]


@asynccontextmanager
async def open_shop(size: Size, rounds: int, tell: Tell) -> AsyncIterator[Shop]:
    """Start both stores in a temporary folder; stop them and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="duly-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # as root the servers run as another account, which has to get in
        os.chmod(folder, 0o711)  # noqa: S103, PTH101 - the store's account has to get in
        async with embedded_postgres(folder) as server, embedded_valkey(folder) as redis_url:
            yield Shop(folder, server, redis_url, size, rounds, tell)


def cpu_seconds(pid: int) -> float:
    """User and system CPU of a process, its living descendants and those it has waited for."""
    ticks, parents = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, IndexError, ValueError):
                words = (entry / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                parents[int(entry.name)] = int(words[1])
                ticks[int(entry.name)] = sum(map(int, words[11:15]))
    family = {pid}
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sum(ticks.get(each, 0) for each in family) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> float:
    """CPU that the whole machine has used: what is not ours in it was burnt by neighbours."""
    words = Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, soft = map(int, words[:7])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")

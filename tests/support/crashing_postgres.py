"""A PostgreSQL of our own that keeps its promises, to be crashed while others work with it."""

import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL, SIGQUIT, Signals

import asyncpg

from agent.adapters import embedded_pg
from agent.adapters.embedded_pg import Cluster, cluster_in
from agent.adapters.embedded_process import end_process, is_alive
from agent.store.connect import open_connection
from agent.store.migrate import migrate
from tests.support.stores import MIGRATED_AT, address_of
from tests.support.waiting import until

TEMPLATE = "crash_template"
# `pg_ctl stop -m immediate`, and what the kernel does to a process that is out of memory
WAYS = (SIGQUIT, SIGKILL)


class CrashingPostgres:
    """A durable cluster: what was committed before a crash is there after it."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self._cluster = cluster
        self.url = url

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int(self._cluster.pid_file.read_text().splitlines()[0])

    async def database(self, name: str) -> str:
        """A fresh migrated database; its address."""
        conn = await asyncpg.connect(self.url)
        try:
            await conn.execute(f'create database "{name}" template {TEMPLATE}')
        finally:
            await conn.close()
        return address_of(self.url, name)

    async def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        conn = await asyncpg.connect(self.url)
        try:
            await conn.execute(f'drop database if exists "{name}" with (force)')
        finally:
            await conn.close()

    async def crash(self, how: Signals) -> float:
        """Crash it and start it again; how many seconds nobody could work with it."""
        pid, began = self.pid, time.monotonic()
        os.kill(pid, how)

        async def dead() -> bool:
            return not is_alive(pid)

        await until(dead, 20, "PostgreSQL is gone")
        await embedded_pg.start(self._cluster)
        return time.monotonic() - began


@asynccontextmanager
async def crashing_postgres() -> AsyncIterator[CrashingPostgres]:
    """Made in a folder that goes with it."""
    folder = _folder()
    cluster = cluster_in(folder, durable=True)
    server = CrashingPostgres(cluster, await embedded_pg.start(cluster))
    try:
        await _make_template(server)
        yield server
    finally:
        await end_process(server.pid, SIGQUIT, 10.0)
        shutil.rmtree(folder)


def _folder() -> Path:
    """Its path is short, as those of sockets must be, and the server's own account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="duly-crash-"))
    folder.chmod(0o711)
    return folder


async def _make_template(server: CrashingPostgres) -> None:
    conn = await asyncpg.connect(server.url)
    try:
        await conn.execute(f"create database {TEMPLATE} template template0")
    finally:
        await conn.close()
    work = await open_connection(address_of(server.url, TEMPLATE))
    try:
        await migrate(work, MIGRATED_AT)
    finally:
        await work.close()

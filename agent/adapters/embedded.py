"""Real PostgreSQL and Valkey in a data directory, for whoever has none set up.

Several processes may use one data directory: the first starts the servers, the last stops them. A
server left behind by a process killed with SIGKILL is used again by the next start.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agent.adapters import embedded_kv, embedded_pg
from agent.adapters.embedded_process import Server, StoreFailed, open_data_dir, shared

__all__ = [
    "StoreFailed",
    "Stores",
    "embedded_postgres",
    "embedded_valkey",
    "open_database",
    "open_stores",
]


@dataclass(frozen=True, slots=True)
class Stores:
    """Addresses of the stores in use; they may hold passwords."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


@asynccontextmanager
async def embedded_postgres(data_dir: Path, *, durable: bool = True) -> AsyncIterator[str]:
    """A PostgreSQL address while the context lasts; `durable=False` is fast, apart, and disposable."""
    folder = open_data_dir(data_dir)
    cluster = embedded_pg.cluster_in(folder, durable=durable)
    server = Server(
        cluster.data.name,
        partial(embedded_pg.start, cluster),
        partial(embedded_pg.stop, cluster),
        partial(embedded_pg.ask_to_stop, cluster),
    )
    async with shared(folder, server) as address:
        yield address


@asynccontextmanager
async def embedded_valkey(data_dir: Path) -> AsyncIterator[str]:
    """A Valkey address while the context lasts."""
    folder = open_data_dir(data_dir)
    bell = embedded_kv.doorbell_in(folder)
    server = Server(
        "valkey",
        partial(embedded_kv.start, bell),
        partial(embedded_kv.stop, bell),
        partial(embedded_kv.ask_to_stop, bell),
    )
    async with shared(folder, server) as address:
        yield address


@asynccontextmanager
async def open_database(data_dir: Path, database_url: str | None = None) -> AsyncIterator[str]:
    """The database the user named, or the embedded one."""
    if database_url is not None:
        yield database_url
        return
    async with embedded_postgres(data_dir) as address:
        yield address


@asynccontextmanager
async def open_stores(
    data_dir: Path, *, database_url: str | None = None, redis_url: str | None = None
) -> AsyncIterator[Stores]:
    """The stores the user named; an embedded one for each that is not."""
    async with open_database(data_dir, database_url) as database:
        if redis_url is not None:
            yield Stores(database, redis_url)
            return
        async with embedded_valkey(data_dir) as valkey:
            yield Stores(database, valkey)

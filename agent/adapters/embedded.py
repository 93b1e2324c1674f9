"""Real PostgreSQL and Valkey in a data directory, for whoever has none set up.

Several processes may use one data directory: the first starts the servers, the last stops them. A
server left behind by a process killed with SIGKILL is used again by the next start.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from agent.adapters import embedded_kv, embedded_pg
from agent.adapters.embedded_process import Server, StoreFailed, open_data_dir, shared

__all__ = ["StoreFailed", "embedded_postgres", "embedded_valkey"]


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

"""The demo's place on a server: one at a time, in a database of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.store.connect import open_connection
from agent.store.scratch import scratch_database
from agent.store.sql import execute, fetch_value

DATABASE = "duly_demo"
_LOCK = 0x64656D6F


class DemoRuns(Exception):
    """Another demo has the place; the message says where its page is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo's data lies. `alone`: the server holds nothing else."""

    url: str
    alone: bool


@asynccontextmanager
async def demo_place(server: str, page: str, *, keep: bool = True) -> AsyncIterator[Place]:
    """An empty database that is kept afterwards; raises `DemoRuns` while another demo has it."""
    holder = await open_connection(server)
    try:
        if not await fetch_value(holder, "demo_claim", lock=_LOCK):
            said = await fetch_value(holder, "demo_holder", lock=_LOCK)
            raise DemoRuns(f"another demo runs here already: {said}")
        await execute(holder, "demo_say", said=page)
        alone = not await fetch_value(holder, "demo_neighbours", demo=DATABASE)
        async with scratch_database(server, DATABASE, keep=keep) as url:
            yield Place(url, alone)
    finally:
        await holder.close()

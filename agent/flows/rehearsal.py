"""A dry run: the same intake on temporary twins of the tables, in one session that cannot write elsewhere.

Nothing is locked, so sending goes on meanwhile; nothing stays, whatever ends the session. What a
batch is about is copied into the twins before the batch, so the answer is the one a real run would get.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import cast

import asyncpg

from agent.flows.reading import Read
from agent.flows.routing import person_ref
from agent.store.sql import Connection, execute, fetch

_OF_PEOPLE = (
    "rehearse_people",
    "rehearse_numbers",
    "rehearse_points",
    "rehearse_holds",
    "rehearse_loans",
    "rehearse_instalments",
    "rehearse_payments",
    "rehearse_outcomes",
)


class Rehearsal:
    """Stands for the pool of a real run; hands out its one connection again and again."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """The connection whose tables are the twins."""
        yield self._conn

    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """What a desk takes: intake asks its pool for nothing but connections."""
        return cast("asyncpg.Pool[asyncpg.Record]", self)

    async def copy(self, reads: Iterable[Read]) -> None:
        """Bring in what is stored of the loans and people of a batch."""
        events = [read.event for read in reads]
        refs = {event.subject for event in events}
        refs |= {ref for event in events if (ref := person_ref(event))}
        rows = await fetch(self._conn, "rehearsal_people", refs=list(refs))
        keys = {"portfolios": [row[0] for row in rows], "ids": [row[1] for row in rows]}
        async with self._conn.transaction():
            for statement in _OF_PEOPLE if rows else ():
                await execute(self._conn, statement, **keys)
            await execute(self._conn, "rehearse_events", events=[event.id for event in events])
            await execute(self._conn, "rehearse_parked", refs=list(refs))


async def rehearse(conn: Connection) -> Rehearsal:
    """Turn a fresh connection into a stage: from here on it can change nothing that stays."""
    await execute(conn, "rehearsal_tables")
    await execute(conn, "rehearse_portfolios")
    await execute(conn, "rehearse_schedules")
    await execute(conn, "rehearsal_read_only")
    return Rehearsal(conn)

"""Statistics for a database that is filled faster than PostgreSQL looks at it by itself.

Without any it plans each statement for tables that are empty, keeps that plan, and looks through a
table that has grown a hundredfold meanwhile where a look into an index would do. Its own look comes
once a minute, to a new database later still: a whole portfolio may have been played by then.
"""

from dataclasses import dataclass

import asyncpg

from agent.store.sql import execute

FIRST = 1_000


@dataclass(slots=True)
class Growth:
    """Whoever fills a database says how many rows it has brought; each time they double there is a look.

    It costs next to nothing where no table has grown to several times what it was.
    """

    pool: "asyncpg.Pool[asyncpg.Record]"
    until: int = FIRST

    async def note(self, rows: int) -> None:
        """Gather statistics of what has grown, once there are twice as many rows as the last time."""
        if rows < self.until:
            return
        while self.until <= rows:
            self.until *= 2
        await look_at_grown(self.pool)


async def look_at_grown(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Gather statistics of every table that is several times as long as when it was last looked at."""
    async with pool.acquire() as conn:
        await execute(conn, "gather_of_grown")


async def gather_statistics(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Look at every table now: questions about whole tables are coming."""
    async with pool.acquire() as conn:
        await execute(conn, "gather_statistics")

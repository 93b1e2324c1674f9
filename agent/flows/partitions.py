"""Time partitions: the months ahead are made before anything falls into them."""

from datetime import date, datetime, timedelta

import asyncpg

from agent.store.sql import fetch_value

BEHIND = timedelta(days=62)
AHEAD = timedelta(days=124)


async def make_partitions(
    pool: "asyncpg.Pool[asyncpg.Record]", now: datetime, last: date | None = None
) -> int:
    """Have a partition for every month around `now`, or up to `last`; returns how many were made.

    A month without one falls into the default partition: nothing is lost, it is only less tidy.
    """
    first = (now - BEHIND).date()
    async with pool.acquire() as conn:
        made = await fetch_value(
            conn, "make_partitions", first=first, last=last or (now + AHEAD).date()
        )
    return int(made)

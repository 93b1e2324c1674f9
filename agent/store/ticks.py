"""Slots of background duties in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.store import sql
from agent.store.sql import Connection

# The channel that `ring_urgent` notifies.
URGENT = "duly_urgent"


@dataclass(frozen=True, slots=True)
class Stranded:
    """A slot whose owner died in it."""

    slot: datetime
    superseded: bool


async def claim(
    conn: Connection, duty: str, slot: datetime, owner: str, now: datetime, stale: datetime
) -> bool:
    """Take the slot; False when it is taken, done, or another slot of the duty is at work."""
    await sql.fetch(conn, "lock_duty", duty=duty)
    taken = await sql.fetch_value(
        conn, "claim_slot", duty=duty, slot=slot, owner=owner, now=now, stale=stale
    )
    return taken is not None


async def finish(
    conn: Connection,
    duty: str,
    slot: datetime,
    owner: str,
    now: datetime,
    counts: Mapping[str, int],
) -> bool:
    """Write what the duty did; False when another owner took the slot over meanwhile."""
    changed = await sql.execute(
        conn, "finish_slot", duty=duty, slot=slot, owner=owner, now=now, counts=dict(counts)
    )
    return changed == 1


async def release(conn: Connection, duty: str, slot: datetime, owner: str, stale: datetime) -> None:
    """Give a slot back whose work failed."""
    await sql.execute(conn, "release_slot", duty=duty, slot=slot, owner=owner, stale=stale)


async def stranded(conn: Connection, duty: str, stale: datetime) -> list[Stranded]:
    """Slots claimed before `stale` and never finished."""
    rows = await sql.fetch(conn, "stranded_slots", duty=duty, stale=stale)
    return [Stranded(row["slot"], row["superseded"]) for row in rows]


async def close_stranded(
    conn: Connection, duty: str, slots: Sequence[datetime], now: datetime, stale: datetime
) -> int:
    """Close slots that later ones have made good."""
    return await sql.execute(
        conn, "close_stranded", duty=duty, slots=list(slots), now=now, stale=stale
    )


async def prune(conn: Connection, before: datetime) -> int:
    """Forget finished slots older than `before`."""
    return await sql.execute(conn, "prune_slots", before=before)


async def due_lanes(conn: Connection, now: datetime) -> list[int]:
    """Lanes (portfolios) with a notice whose time has come."""
    return [row["id"] for row in await sql.fetch(conn, "due_portfolios", now=now)]


async def ring_urgent(conn: Connection, lane: int) -> None:
    """Wake the lane's workers when the surrounding transaction commits."""
    await sql.fetch(conn, "ring_urgent", lane=str(lane))


async def try_lead(conn: Connection) -> bool:
    """Try to become the one scheduler that ticks, for as long as this connection lives."""
    return bool(await sql.fetch_value(conn, "try_lead"))

"""Calendars that staff stored: dates with the years that somebody compared with the official list."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from agent.store.sql import Connection, fetch, fetch_value


class StoredCalendar(NamedTuple):
    """The newest version of one calendar."""

    id: int
    name: str
    source: str
    confirmed_years: tuple[int, ...]
    reason: str
    stored_by: str
    stored_at: datetime


async def digest(conn: Connection) -> str:
    """Changes whenever a calendar does; empty while none is stored."""
    found: str | None = await fetch_value(conn, "calendars_digest")
    return found or ""


async def stored(conn: Connection) -> list[StoredCalendar]:
    """What binds in place of the shipped files."""
    rows = await fetch(conn, "calendars_stored")
    return [
        StoredCalendar(
            row["id"], row["name"], row["source"], tuple(row["confirmed_years"]), row["reason"],
            row["stored_by"], row["stored_at"],
        )
        for row in rows
    ]  # fmt: skip


async def store(
    conn: Connection,
    name: str,
    source: str,
    years: Sequence[int],
    *,
    by: str,
    reason: str,
    now: datetime,
) -> int:
    """Write a new version; its number."""
    written: int = await fetch_value(
        conn, "store_calendar", name=name, source=source, years=list(years), by=by, reason=reason,
        now=now,
    )  # fmt: skip
    return written


async def lock(conn: Connection) -> None:
    """Wait for another change of calendars."""
    await fetch_value(conn, "calendars_lock")

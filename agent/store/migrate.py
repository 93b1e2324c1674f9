"""Bring the schema up: numbered plain SQL files, each in a transaction, all under one lock.

A file that was applied never changes again; whoever changes it is told so and nothing runs.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from agent.store import sql
from agent.store.sql import Connection

_LOCK_KEY = 0x64756C79  # "duly"
_LOCK_TIMEOUT = "10s"


class HistoryDiffers(Exception):
    """The database was migrated by files that this release does not have; the message says which."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `migrations/`."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this release, in order."""
    folder = files("agent.store") / "migrations"
    sources = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    return tuple(
        Migration(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in sources
    )


async def migrate(conn: Connection, now: datetime) -> list[str]:
    """Apply what is missing; the names applied. Raises `HistoryDiffers`."""
    async with _alone(conn):
        await sql.execute(conn, "migrations_create_table")
        missing = _missing(await _applied(conn))
        for migration in missing:
            await _apply(conn, migration, now)
    return [migration.name for migration in missing]


async def pending(conn: Connection) -> list[str]:
    """Names that `migrate` would apply. Raises `HistoryDiffers`."""
    known = await sql.fetch_value(conn, "migrations_table_exists")
    applied = await _applied(conn) if known else {}
    return [migration.name for migration in _missing(applied)]


@asynccontextmanager
async def _alone(conn: Connection) -> AsyncIterator[None]:
    await sql.fetch_value(conn, "migrations_lock", key=_LOCK_KEY)
    try:
        yield
    finally:
        await sql.fetch_value(conn, "migrations_unlock", key=_LOCK_KEY)


async def _applied(conn: Connection) -> Mapping[str, str]:
    return {row["name"]: row["sha256"] for row in await sql.fetch(conn, "migrations_applied")}


def _missing(applied: Mapping[str, str]) -> list[Migration]:
    ours = {migration.name: migration for migration in migrations()}
    if unknown := sorted(applied.keys() - ours.keys()):
        raise HistoryDiffers(
            f"the database is newer than this release (it has {', '.join(unknown)}): use the newer release"
        )
    if changed := sorted(name for name, sha256 in applied.items() if ours[name].sha256 != sha256):
        raise HistoryDiffers(
            f"{', '.join(changed)} changed after it was applied: put the file back and write a new migration"
        )
    missing = [migration for migration in ours.values() if migration.name not in applied]
    if applied and missing and missing[0].name < max(applied):
        raise HistoryDiffers(
            f"{missing[0].name} sorts before the applied {max(applied)}: give it the next number"
        )
    return missing


async def _apply(conn: Connection, migration: Migration, now: datetime) -> None:
    async with conn.transaction():
        await sql.fetch_value(conn, "migrations_wait_at_most", timeout=_LOCK_TIMEOUT)
        await conn.execute(migration.text)
        await sql.execute(
            conn, "migrations_record", name=migration.name, sha256=migration.sha256, now=now
        )

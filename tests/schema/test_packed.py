"""Rows packed by hand are stored as rows that asyncpg packs; what a table does not take is refused."""

import struct
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest

from agent.store.begun import ATTEMPT, DECISION
from agent.store.packed import (
    DATE,
    INSTANT,
    INT4,
    OWN_BYTES,
    OWN_INT8,
    OWN_TEXT,
    TEXT,
    TEXTS,
    Layout,
    copy_packed,
)

COLUMNS = {
    "number": ("int", INT4),
    "own_number": ("bigint", OWN_INT8),
    "day": ("date", DATE),
    "at": ("timestamptz", INSTANT),
    "word": ("text", TEXT),
    "own_word": ("text", OWN_TEXT),
    "words": ("text[]", TEXTS),
    "own_bytes": ("bytea", OWN_BYTES),
}
LAYOUT = Layout("shelf", tuple(COLUMNS), tuple(packing for _, packing in COLUMNS.values()))
LAGOS = timezone(timedelta(hours=1))
AT = datetime(2026, 11, 24, 18, 45, 1, 123_456, UTC)
ROWS = (
    (1, 2**63 - 1, date(2026, 2, 28), AT, "due", "a", ("paid", "opted-out"), b"\x00\xff"),
    (1, -(2**63), date(2026, 2, 28), AT.astimezone(LAGOS), "due", "b", (), b""),
    (-(2**31), 0, date(1999, 12, 31), datetime(1969, 7, 20, tzinfo=UTC), "到期 é", "🙂", ("é",), b"x"),
    (None, 7, None, None, None, "", None, b"y" * 70_000),
)  # fmt: skip


async def stored(conn: asyncpg.Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await conn.fetch("select * from shelf order by own_number")]


async def shelf(conn: asyncpg.Connection) -> None:
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    await conn.execute(f"create temp table shelf ({columns})")


async def test_both_ways_store_the_same(pool: Any) -> None:
    async with pool.acquire() as conn:
        await shelf(conn)
        await conn.copy_records_to_table("shelf", records=ROWS, columns=list(COLUMNS))
        expected = await stored(conn)
        await conn.execute("truncate shelf")

        await copy_packed(conn, LAYOUT, ROWS)

        assert await stored(conn) == expected
        await conn.execute("drop table shelf")


async def test_no_rows_are_nothing_to_do(pool: Any) -> None:
    async with pool.acquire() as conn:
        await shelf(conn)
        await copy_packed(conn, LAYOUT, ())
        assert await stored(conn) == []
        await conn.execute("drop table shelf")


@pytest.mark.parametrize(
    ("column", "value"),
    [("number", 2**31), ("own_number", None), ("own_word", None), ("own_bytes", None),
     ("at", AT.replace(tzinfo=None)), ("word", 5)],
)  # fmt: skip
async def test_what_a_column_cannot_hold_is_never_sent(
    pool: Any, column: str, value: object
) -> None:
    row = tuple(value if name == column else ROWS[0][at] for at, name in enumerate(COLUMNS))
    async with pool.acquire() as conn:
        await shelf(conn)
        with pytest.raises((struct.error, AttributeError, TypeError)):
            await copy_packed(conn, LAYOUT, (ROWS[0], row))
        assert await stored(conn) == []
        await conn.execute("drop table shelf")


@pytest.mark.parametrize("layout", [ATTEMPT, DECISION], ids=lambda layout: layout.table)
async def test_a_layout_names_the_types_of_its_table(pool: Any, layout: Layout) -> None:
    kinds = {
        "integer": {INT4},
        "bigint": {OWN_INT8},
        "date": {DATE},
        "timestamp with time zone": {INSTANT},
        "text": {TEXT, OWN_TEXT},
        "text[]": {TEXTS},
        "bytea": {OWN_BYTES},
    }
    async with pool.acquire() as conn:
        rows = await conn.fetch(
            "select attname, format_type(atttypid, atttypmod) as kind from pg_attribute"
            " where attrelid = $1::text::regclass and attnum > 0",
            layout.table,
        )
    of_table = {row["attname"]: row["kind"] for row in rows}
    for column, packing in zip(layout.columns, layout.packings, strict=True):
        assert packing in kinds[of_table[column]], column

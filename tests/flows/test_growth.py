"""Statistics follow the rows: gathered as a database is filled, not looked for where nothing grew."""

import asyncpg

from agent.flows.growth import Growth

# About 40 of these rows fill a page.
_FILL = """
insert into rejected_line (portfolio_id, sha256, origin, line, reason, body, received_at)
select 0, sha256(n::text::bytea), 'test', n, 'not-an-event', repeat('x', 100)::bytea, '2020-01-01'
from generate_series($1::int, $2::int) n
"""


async def _seen(pool: asyncpg.Pool, table: str) -> float:
    value: float = await pool.fetchval(
        "select reltuples from pg_class where oid = $1::regclass", table
    )
    return value


async def test_what_has_grown_is_seen_and_nothing_else(pool: asyncpg.Pool) -> None:
    growth = Growth(pool)
    await pool.execute(_FILL, 1, 1_500)
    await growth.note(999)
    assert await _seen(pool, "rejected_line") == -1, "too few rows to be worth a look"
    await growth.note(1_500)
    assert await _seen(pool, "rejected_line") == 1_500
    assert await _seen(pool, "number") == -1, "an empty table was looked at"


async def test_a_table_is_looked_at_again_once_it_has_grown_fourfold(pool: asyncpg.Pool) -> None:
    growth = Growth(pool)
    await pool.execute(_FILL, 1, 1_500)
    await growth.note(1_500)
    await pool.execute(_FILL, 1_501, 3_000)
    await growth.note(3_000)
    assert await _seen(pool, "rejected_line") == 1_500, "twice as many rows change no plan"
    await pool.execute(_FILL, 3_001, 7_000)
    await growth.note(3_500)
    assert await _seen(pool, "rejected_line") == 1_500, (
        "the rows had not doubled since the last look"
    )
    await growth.note(7_000)
    assert await _seen(pool, "rejected_line") == 7_000

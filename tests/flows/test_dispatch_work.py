"""What a batch makes the database read and lock follows the batch, whatever is known of the tables."""

from datetime import UTC, timedelta

import asyncpg
import pytest

from agent.clock import SystemClock
from agent.flows.dispatch import run_lane
from agent.flows.intake import Desk, take
from agent.flows.lane import Lane, Limits
from agent.flows.planning import plan
from agent.flows.rules import packs, texts
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from agent.store.sql import fetch, fetch_value
from benchmarks import village
from benchmarks.receipts import Yes
from channels.base import PUSH, SMS
from schedules import ladder_text

FEW, MANY, BATCH = 40, 2_000, 50
# A message reads its own rows a few times over; a plan that walks through a table reads hundreds.
ROWS_A_MESSAGE = 5.0
HOT = ("borrower", "contact_point", "number", "loan", "instalment", "notice_default", "attempt",
       "decision_default", "hold", "suppression")  # fmt: skip


@pytest.fixture
async def never_looked_at(database_url: str) -> str:
    """A database that gathers no statistics and keeps the first plan of every statement."""
    conn = await asyncpg.connect(database_url)
    for table in HOT:
        await conn.execute(f"alter table {table} set (autovacuum_enabled = off)")
    name = await conn.fetchval("select current_database()")
    await conn.execute(f'alter database "{name}" set plan_cache_mode = force_generic_plan')
    await conn.close()
    return database_url


async def _take_in(pool: asyncpg.Pool, keyring: Keyring, first: int, last: int) -> None:
    now = SystemClock().now()
    zone, morning = village.day_of(now)
    opened_at = morning.astimezone(UTC) - timedelta(days=20)
    lines = [
        (number, village.opened(number, zone, opened_at, morning, push=number % 3 == 0))
        for number in range(first, last + 1)
    ]
    desk = Desk(pool, keyring, "test", ladder_text("consumer-instalment"))
    # who comes later is planned later
    at = morning.astimezone(UTC) + timedelta(minutes=1 if first > 1 else 0)
    await take(desk, lines, at)
    home = await village.portfolio(pool, now)
    await plan(pool, home, at, horizon=timedelta(hours=24))


async def _send_all(pool: asyncpg.Pool, keyring: Keyring) -> int:
    clock = SystemClock()
    home = await village.portfolio(pool, clock.now())
    channels = {SMS: Yes(), PUSH: Yes()}
    limits = Limits(batch=BATCH, record_every=BATCH)
    lane = Lane(pool, keyring, clock, home, packs(home.packs), texts(), channels, limits)
    return (await run_lane(lane)).sent


async def _rows_read(url: str) -> dict[str, int]:
    conn = await asyncpg.connect(url)
    rows = await conn.fetch(
        "select relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as read"
        " from pg_stat_user_tables where relname = any($1)",
        HOT,
    )
    await conn.close()
    return {row["relname"]: row["read"] for row in rows}


@pytest.mark.parametrize("first", [0, FEW])
async def test_a_message_makes_the_database_read_its_own_rows(
    never_looked_at: str, keyring: Keyring, first: int
) -> None:
    hands = await open_pool(never_looked_at)
    desk = await open_pool(never_looked_at)
    if first:
        await _take_in(desk, keyring, 1, first)
        assert await _send_all(hands, keyring) == first
    await _take_in(desk, keyring, first + 1, MANY)
    await desk.close()
    before = await _rows_read(never_looked_at)
    sent = await _send_all(hands, keyring)
    await hands.close()
    after = await _rows_read(never_looked_at)
    assert sent == MANY - first
    each = {table: (after[table] - before[table]) / sent for table in HOT}
    assert {table: rows for table, rows in each.items() if rows > ROWS_A_MESSAGE} == {}


@pytest.mark.parametrize("looked_at", [False, True])
async def test_people_and_numbers_are_locked_in_the_order_of_their_keys(
    never_looked_at: str, keyring: Keyring, *, looked_at: bool
) -> None:
    pool = await open_pool(never_looked_at)
    # taken in one after the other, numbers do not lie in the order of their keys
    await _take_in(pool, keyring, 1, FEW)
    await _take_in(pool, keyring, FEW + 1, MANY)
    if looked_at:
        await pool.execute("analyze")
    home = await village.portfolio(pool, SystemClock().now())
    people = [row["id"] for row in await pool.fetch("select id from borrower order by ref desc")]
    rows = await pool.fetch("select address_key from number where channel = 'sms' order by ctid")
    keys = [row["address_key"] for row in rows]
    assert people != sorted(people)
    assert keys != sorted(keys)
    async with pool.acquire() as conn, conn.transaction():
        await fetch_value(conn, "portfolio_shared", portfolio=home.id)
        locked = await fetch(conn, "lock_for_begin", portfolio=home.id, ids=people)
        numbers = await fetch(conn, "lock_numbers", portfolio=home.id, channel=SMS, keys=keys)
    await pool.close()
    assert [row["id"] for row in locked] == sorted(people)
    assert [row["address_key"] for row in numbers] == sorted(keys)

"""B1, B2, B3: planning a day, planning it again, and a day on which nothing is due.

Bare is the INSERT … SELECT of exactly the rows that planning made, out of a table that holds nothing
else, into a table with the same partition, checks, primary key and index: what writing them costs.
"""

from datetime import UTC, datetime, timedelta
from time import perf_counter

import asyncpg

from agent.flows.planning import plan
from agent.flows.portfolios import Founding, Portfolio, ensure_portfolios
from agent.store.connect import open_connection, open_pool
from benchmarks.bars import Shown, middle, middle_ratio, middles
from benchmarks.shop import Shop
from schedules import ladder_text

NOW = datetime(2026, 3, 10, 22, 30, tzinfo=UTC)
DAY = timedelta(hours=24)
ZONES = (
    "Africa/Lagos", "Africa/Nairobi", "America/Bogota", "America/Chicago", "America/Mexico_City",
    "America/Sao_Paulo", "Asia/Jakarta", "Asia/Kolkata", "Asia/Manila", "Asia/Shanghai",
    "Europe/Madrid", "Australia/Sydney",
)  # fmt: skip

# Due dates from 31 days ahead to 95 days ago; one in ten paid, one in thirty at the ladder's end, one
# in fifty entered within the last day, one in twenty held (half of them only until yesterday).
_PEOPLE = """
insert into borrower (portfolio_id, id, ref, locale, zones, updated_at)
select $1, n, 'person-' || n, 'en', array[($2::text[])[1 + n % 12]], $3
from generate_series(1, $4::int) n
"""
_LOANS = """
insert into loan (portfolio_id, id, ref, borrower_id, currency, zone, opened_at, status, anchor,
                  anchor_since, balance_minor, paid_minor, contact_ended_at, held_until)
select $1, n, 'loan-' || n, n, 'USD', ($2::text[])[1 + n % 12], $3::timestamptz - interval '120 days',
       case when n % 10 = 3 then 'paid' else 'open' end,
       $3::date + 31 - (n::bigint * 7919 % 127)::int,
       $3::timestamptz - case when n % 50 = 7 then interval '3 hours' else interval '120 days' end,
       case when n % 10 = 3 then 0 else 100000 end, 0,
       case when n % 30 = 11 then $3::timestamptz - interval '2 days' end,
       case when n % 40 = 5 then 'infinity' when n % 40 = 25 then $3::timestamptz - interval '1 day' end
from generate_series(1, $4::int) n
"""
_BARE = """
create table planned as select * from notice order by portfolio_id, loan_id, anchor, stage;
create table bare (like notice including all) partition by range (anchor);
create table bare_default partition of bare default;
"""
_MARK = """
insert into plan_mark (portfolio_id, schedule_version, planned_at, planned_through)
values ($1, 1, $2, $2) on conflict (portfolio_id) do update
set planned_at = excluded.planned_at, planned_through = excluded.planned_through
"""


async def measure(shop: Shop, wanted: set[str]) -> list[Shown]:
    """One portfolio; product and baseline in turn."""
    loans = shop.sized(5_000, 200_000, 1_000_000)
    shop.tell(f"planning: making {loans:,} loans")
    async with shop.copy() as url:
        pool = await open_pool(url)
        try:
            home = await _settle(pool, url, loans)
            shop.tell("planning: a day, the same day again, and bare")
            made = await _prepare_bare(pool, home)
            days = [await _day(pool, home) for _ in range(shop.rounds)]
            shop.tell("planning: idle days")
            idle = [await _idle(pool, home, number) for number in range(shop.rounds)]
        finally:
            await pool.close()
    return [each for each in _shown(loans, made, days, idle) if each.bar in wanted]


async def _settle(pool: "asyncpg.Pool[asyncpg.Record]", url: str, loans: int) -> Portfolio:
    founding = Founding("UTC", "en", "Sample Lender", ladder_text("consumer-instalment"))
    async with pool.acquire() as conn, conn.transaction():
        home = (await ensure_portfolios(conn, {"bench": founding}, NOW))["bench"]
    conn = await open_connection(url)
    try:
        # rows that we make ourselves need no check that their borrower exists
        await conn.execute("set session_replication_role = replica")
        await conn.execute(_PEOPLE, home.id, ZONES, NOW, loans)
        await conn.execute(_LOANS, home.id, ZONES, NOW, loans)
        await conn.execute("vacuum analyze borrower, loan")
    finally:
        await conn.close()
    return home


async def _prepare_bare(pool: "asyncpg.Pool[asyncpg.Record]", home: Portfolio) -> int:
    """The rows of the day, once, as a plain table; and the table that bare writes to."""
    await pool.execute(_MARK, home.id, NOW - timedelta(seconds=1))
    made = await plan(pool, home, NOW, horizon=DAY)
    await pool.execute(_BARE)
    await pool.execute("vacuum analyze planned")
    return made


async def _day(pool: "asyncpg.Pool[asyncpg.Record]", home: Portfolio) -> dict[str, float]:
    await pool.execute("truncate notice, bare")
    await pool.execute(_MARK, home.id, NOW - timedelta(seconds=1))
    bare = await _bare(pool)
    begun = perf_counter()
    made = await plan(pool, home, NOW, horizon=DAY)
    first = perf_counter() - begun
    begun = perf_counter()
    again = await plan(pool, home, NOW, horizon=DAY)
    ticked = perf_counter() - begun
    # as if nobody had planned this day: every loan is looked at, every notice is there already
    await pool.execute(_MARK, home.id, NOW - timedelta(seconds=1))
    begun = perf_counter()
    again += await plan(pool, home, NOW, horizon=DAY)
    whole = perf_counter() - begun
    if again:
        raise RuntimeError(f"planning the same day again made {again} notices")
    return {"made": made, "day_s": first, "bare_s": bare, "again_s": whole, "tick_s": ticked}


async def _bare(pool: "asyncpg.Pool[asyncpg.Record]") -> float:
    begun = perf_counter()
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("insert into bare select * from planned")
    return perf_counter() - begun


async def _idle(
    pool: "asyncpg.Pool[asyncpg.Record]", home: Portfolio, number: int
) -> dict[str, float]:
    """Half a year later: every stage of every loan has passed. A new day and a half, and a minute later."""
    now = NOW + timedelta(days=180 + 2 * number)
    await pool.execute(_MARK, home.id, now)
    begun = perf_counter()
    made = await plan(pool, home, now)
    new_day = perf_counter() - begun
    begun = perf_counter()
    made += await plan(pool, home, now + timedelta(minutes=1))
    tick = perf_counter() - begun
    if made:
        raise RuntimeError(f"a day on which nothing is due made {made} notices")
    return {"new_day_ms": new_day * 1e3, "tick_ms": tick * 1e3}


def _shown(
    loans: int, made: int, days: list[dict[str, float]], idle: list[dict[str, float]]
) -> list[Shown]:
    also = middles(days)
    size = f"{loans:,} loans in 12 zones, {made:,} notices of 24 hours"
    bare = "the same rows out of a plain table into one with the same partition, checks and indexes"
    return [
        Shown("B1", middle_ratio(days, "day_s", "bare_s"), f"{size} ÷ {bare}", days, also),
        Shown(
            "B2",
            middle_ratio(days, "again_s", "bare_s"),
            "every loan looked at again, nothing made; as the next tick does it (only loans changed"
            f" since): {middle_ratio(days, 'tick_s', 'bare_s'):.4f}",
            days,
            also,
        ),
        Shown(
            "B3",
            middle(idle, "new_day_ms"),
            f"{loans:,} loans, a day and a half not planned before; the tick a minute later: "
            f"{middle(idle, 'tick_ms'):.2f} ms",
            idle,
            middles(idle),
        ),
    ]

"""The ledger stand-in on loopback, and outcomes put into the database by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiohttp import web

from agent.adapters.ledger import HttpLedger, read_secrets
from agent.adapters.ledger_stand_in import PATH, LedgerStandIn, Script, behave
from agent.clock import VirtualClock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ZONE = "Africa/Lagos"


@asynccontextmanager
async def ledger_on_loopback(
    clock: VirtualClock, script: Script = behave, *, call_seconds: float = 5
) -> AsyncIterator[tuple[LedgerStandIn, HttpLedger]]:
    """A stand-in that listens, and the client that posts to it; it keeps the same time."""
    stand_in = LedgerStandIn(SECRET, lambda: clock.now().timestamp(), script)
    runner = web.AppRunner(stand_in.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with HttpLedger(
            f"http://127.0.0.1:{port}{PATH}", read_secrets(SECRET), clock, call_seconds=call_seconds
        ) as client:
            yield stand_in, client
    finally:
        await runner.cleanup()


async def make_portfolio(pool: "asyncpg.Pool[Any]", name: str = "mobile-loans") -> int:
    """A portfolio with nothing in it."""
    return int(
        await pool.fetchval(
            "insert into portfolio (name, lender, zone, locale, created_at)"
            " values ($1, 'lender', $2, 'en', $3) returning id",
            name,
            ZONE,
            NOW,
        )
    )


async def make_outcomes(
    pool: "asyncpg.Pool[Any]", portfolio: int, counts: Sequence[int], *, at: datetime = NOW
) -> list[str]:
    """Loans L0001, L0002 …, each with so many outcomes; their references."""
    refs = [f"L{number:04}" for number in range(1, len(counts) + 1)]
    await pool.execute(
        """insert into borrower (portfolio_id, id, ref, locale, zones, updated_at)
           values ($1, 1, 'B1', 'en', array[$2], $3) on conflict do nothing""",
        portfolio,
        ZONE,
        at,
    )
    await pool.execute(
        """insert into loan (portfolio_id, id, ref, borrower_id, currency, zone, opened_at, status,
                             anchor, anchor_since, balance_minor, paid_minor, outcome_seq)
           select $1, o, ref, 1, 'NGN', $2, $3, 'open', '2026-03-01', $3, 100, 0, n
           from unnest($4::text[], $5::int[]) with ordinality as w (ref, n, o)
           on conflict do nothing""",
        portfolio,
        ZONE,
        at,
        refs,
        list(counts),
    )
    await pool.execute(
        """insert into outcome (portfolio_id, loan_id, seq, type, occurred_at, recorded_at, data,
                                next_try_at)
           select $1, o, s, 'account.bucket_changed', $2, $2,
                  jsonb_build_object('to', '1-7', 'from', 'current', 'dpd', s), $2
           from unnest($3::int[]) with ordinality as w (n, o), generate_series(1, w.n) s
           on conflict do nothing""",
        portfolio,
        at,
        list(counts),
    )
    return refs


async def unacked(pool: "asyncpg.Pool[Any]", portfolio: int) -> list[tuple[str, int]]:
    """What the ledger has not acknowledged, as (loan, number)."""
    rows = await pool.fetch(
        """select n.ref, o.seq from outcome o
           join loan n on n.portfolio_id = o.portfolio_id and n.id = o.loan_id
           where o.portfolio_id = $1 and o.acked_at is null order by n.ref, o.seq""",
        portfolio,
    )
    return [(row["ref"], row["seq"]) for row in rows]

"""Everybody at once: intake writes, feeders push, a ledger pulls, staff feed again, time passes.

Whatever the interleaving: each loan's outcomes reach the ledger in order, and none is left behind with
nobody to send it.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random  # noqa: TID251 - seeded
from typing import Any, TypeAlias

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.feed import BACKOFF_MAX, Acknowledged, Answer, Delayed, Rejected, Told
from agent.flows.ledger_desk import acknowledge_pulled, replay
from agent.flows.ledger_feed import Feeder, Pace
from agent.store import outcomes as store
from tests.support.ledger import NOW, make_outcomes, make_portfolio, unacked

Pool: TypeAlias = "asyncpg.Pool[Any]"
LOANS = 20
PACE = Pace(batch=12, run=3, at_once=4, record_every=4, record_within=0.005, trip_after=1_000_000)
STRANDED = """
    select o.loan_id, o.seq from outcome o
    where o.acked_at is null and o.next_try_at = 'infinity' and o.stuck_reason is null
      and not exists (select 1 from outcome p where p.portfolio_id = o.portfolio_id
                        and p.loan_id = o.loan_id and p.seq < o.seq and p.acked_at is null)"""


@dataclass
class Moody:
    """Loses outcomes, loses answers, rejects some; remembers what it first took, in order."""

    chance: Random
    first: dict[str, list[int]] = field(default_factory=dict)

    def take(self, told: Told) -> None:
        taken = self.first.setdefault(told.loan, [])
        if told.seq not in taken:
            taken.append(told.seq)

    async def deliver(self, told: Told) -> Answer:
        mood = self.chance.random()
        await asyncio.sleep(0)
        if mood < 0.04:
            return Delayed("lost")
        if mood < 0.05:
            return Rejected("http-422")
        self.take(told)
        return Delayed("answer lost") if mood < 0.08 else Acknowledged()


class Everybody:
    def __init__(self, pool: Pool, portfolio: int, refs: list[str], seed: int) -> None:
        self.pool, self.portfolio, self.refs = pool, portfolio, refs
        self.chance, self.clock = Random(seed), VirtualClock(NOW)  # noqa: S311
        self.ledger = Moody(Random(seed + 1))  # noqa: S311
        self.written = [2] * LOANS

    async def write(self) -> None:
        for _ in range(100):
            index = self.chance.randrange(LOANS)
            self.written[index] += 1
            await self.pool.execute(
                "insert into outcome (portfolio_id, loan_id, seq, type, occurred_at, recorded_at,"
                " data, next_try_at) values ($1, $2, $3, 'account.cured', $4, $4, '{}', $4)",
                self.portfolio,
                index + 1,
                self.written[index],
                self.clock.now(),
            )

    async def push(self) -> None:
        for _ in range(40):
            await self.feed()

    async def feed(self) -> None:
        await Feeder(self.pool, self.portfolio, self.ledger, self.clock, PACE).feed()

    async def pull(self) -> None:
        for _ in range(40):
            async with self.pool.acquire() as conn:
                page, _ = await store.unacknowledged(conn, self.portfolio, store.BEGINNING, 1000)
            if page:
                loan = self.chance.choice(page).loan
                mine = [told for told in page if told.loan == loan][: self.chance.randint(1, 3)]
                for told in mine:
                    self.ledger.take(told)
                names = [(told.loan, told.seq) for told in mine]
                await acknowledge_pulled(self.pool, self.portfolio, names, self.clock.now())

    async def replay(self) -> None:
        for _ in range(40):
            again = self.chance.choice([None, None, 1])
            loan = self.chance.choice(self.refs)
            await replay(self.pool, loan, actor="ana", now=self.clock.now(), from_seq=again)
            self.clock.advance_to(self.clock.now() + timedelta(seconds=self.chance.randint(0, 60)))


@pytest.mark.parametrize("seed", [3, 11])
async def test_whoever_works_at_the_same_time_order_holds(pool: Pool, seed: int) -> None:
    portfolio = await make_portfolio(pool)
    refs = await make_outcomes(pool, portfolio, [2] * LOANS)
    all_ = Everybody(pool, portfolio, refs, seed)
    await asyncio.gather(all_.write(), all_.push(), all_.push(), all_.pull(), all_.replay())
    assert await pool.fetch(STRANDED) == []
    for _ in range(60):
        all_.clock.advance_to(all_.clock.now() + BACKOFF_MAX)
        await all_.feed()
        for loan, _ in await unacked(pool, portfolio):
            await replay(pool, loan, actor="ana", now=all_.clock.now())
    assert await unacked(pool, portfolio) == []
    assert all_.ledger.first == {
        ref: list(range(1, count + 1)) for ref, count in zip(refs, all_.written, strict=True)
    }

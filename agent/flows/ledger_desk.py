"""What staff and a pulling ledger do with outcomes: let a feed go on, acknowledge, read them all."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.domain.feed import Told
from agent.flows.ledger_feed import REJECTED_CASE, Pool, transact
from agent.store import outcomes as store
from agent.store.sql import Connection

EXPORT_LOANS = 1_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """A loan whose feed goes on: `reopened` outcomes are sent again, under the ids they had."""

    portfolio: str
    loan: str
    reopened: int
    waiting: bool


async def replay(
    pool: Pool, loan: str, *, actor: str, now: datetime, from_seq: int | None = None
) -> list[Replayed]:
    """Staff let a loan's feed go on, once the ledger or the loan is put right.

    With `from_seq`, outcomes that were acknowledged are sent again too: for a ledger that lost them.
    """
    async with pool.acquire() as conn, conn.transaction():
        done = []
        for portfolio_id, loan_id, portfolio in await store.loans_by_ref(conn, loan):
            reopened = 0
            if from_seq is not None:
                reopened = await store.reopen(conn, portfolio_id, loan_id, from_seq)
            waiting = await store.unstick(conn, portfolio_id, loan_id, now)
            await store.close_case(conn, portfolio_id, REJECTED_CASE, loan, actor, now)
            done.append(Replayed(portfolio, loan, reopened, waiting))
        return done


@dataclass(frozen=True, slots=True)
class PullAck:
    """What a pulling ledger's acknowledgement did; `unknown` are places in its list."""

    acked: int
    already: int
    unknown: tuple[int, ...]


async def acknowledge_pulled(
    pool: Pool, portfolio_id: int, names: Sequence[tuple[str, int] | None], now: datetime
) -> PullAck:
    """A pulling ledger has these (loan, number); what it names twice is acknowledged once."""
    wanted = sorted({name for name in names if name is not None})

    async def close(conn: Connection) -> list[store.Named]:
        found = await store.acknowledge_named(conn, portfolio_id, wanted, now)
        await store.wake(conn, portfolio_id, [item.loan_id for item in found], now)
        for item in found:
            if item.stuck:
                await store.close_case(conn, portfolio_id, REJECTED_CASE, item.ref, "ledger", now)
        return found

    found = await transact(pool, close)
    known = {(item.ref, item.seq) for item in found}
    already = sum(item.already for item in found)
    unknown = tuple(place for place, name in enumerate(names) if name not in known)
    return PullAck(len(found) - already, already, unknown)


async def every_outcome(conn: Connection, loan: str | None = None) -> AsyncIterator[Told]:
    """All outcomes, acknowledged or not, page by page, in order of portfolio, loan and number."""
    place: tuple[int, str] | None = (0, "")
    while place is not None:
        page, place = await store.of_next_loans(conn, place, EXPORT_LOANS, loan)
        for told in page:
            yield told

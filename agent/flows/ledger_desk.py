"""What staff and a pulling ledger do with outcomes: let a feed go on, acknowledge, read them all."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from agent.domain.adverse import ADVERSE
from agent.domain.feed import Told
from agent.domain.ladder_compile import BUREAU_REPORT
from agent.flows.ledger_feed import REJECTED_CASE, Pool, transact
from agent.flows.prior_notice import judge
from agent.store import outcomes as store
from agent.store import prior_notice
from agent.store.sql import Connection

EXPORT_LOANS = 1_000
HELD_MOST = 1_000


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
class Noticed:
    """A notice that staff gave: about which due date of which loan."""

    portfolio: str
    loan: str
    anchor: date


async def note_given(
    pool: Pool, loan: str, on: date, *, actor: str, reason: str, now: datetime
) -> list[Noticed]:
    """Staff gave the notice before adverse reporting by other means; its days count from then.

    It is about what is owed now: a later delinquency wants a notice of its own. What waits for it is
    looked at again at once.
    """
    async with pool.acquire() as conn, conn.transaction():
        done = []
        for portfolio_id, loan_id, portfolio in await store.loans_by_ref(conn, loan):
            anchor = await prior_notice.give(
                conn, (portfolio_id, loan_id), BUREAU_REPORT, on, by=actor, reason=reason, now=now
            )
            if anchor is not None:
                await store.unstick(conn, portfolio_id, loan_id, now)
                done.append(Noticed(portfolio, loan, anchor))
        return done


@dataclass(frozen=True, slots=True)
class HeldOutcome:
    """An outcome that waits for its prior notice, the rules that say so, and the next look at it."""

    portfolio: str
    loan: str
    seq: int
    type: str
    rules: tuple[str, ...]
    occurred_at: datetime
    looked_at: datetime


async def held_outcomes(conn: Connection) -> list[HeldOutcome]:
    """What is held back now, loan by loan."""
    return [
        HeldOutcome(
            row["portfolio"], row["loan"], row["seq"], row["type"], tuple(row["held_by"]),
            row["occurred_at"], row["next_try_at"],
        )
        for row in await prior_notice.held(conn, HELD_MOST)
    ]  # fmt: skip


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


async def page_to_pull(
    pool: Pool, portfolio_id: int, after: tuple[int, int], limit: int, now: datetime
) -> tuple[list[Told], tuple[int, int] | None]:
    """One page for a pulling ledger, and the place after it; what waits for its notice is not in it."""
    async with pool.acquire() as conn, conn.transaction():
        page, place = await store.unacknowledged_by_loan(conn, portfolio_id, after, limit)
        adverse = [
            (loan, told.seq) for loan, told in page if told.type in ADVERSE and not told.withheld
        ]
        judged = await judge(conn, portfolio_id, adverse, now)
    waiting = {loan for loan, _ in judged.waits}
    first = {loan: min(seq for at, seq in judged.waits if at == loan) for loan in waiting}
    return [
        replace(told, withheld=told.withheld or (loan, told.seq) in judged.withheld)
        for loan, told in page
        if loan not in first or told.seq < first[loan]
    ], place


async def every_outcome(conn: Connection, loan: str | None = None) -> AsyncIterator[Told]:
    """All outcomes, acknowledged or not, page by page, in order of portfolio, loan and number."""
    place: tuple[int, str] | None = (0, "")
    while place is not None:
        page, place = await store.of_next_loans(conn, place, EXPORT_LOANS, loan)
        for told in page:
            yield told

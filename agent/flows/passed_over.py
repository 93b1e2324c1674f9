"""Stages that came while a loan was held: planning skips it, and each gets a decision that names the hold.

They are called off where the hold ends and where the loan changes under it, and day by day while it
lasts. Nothing is planned for the loan meanwhile: once the hold is over it gets one late message, of the
stage it is at, and that stage is not called off.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from agent.domain.ladder import Ladder, Moment, Plannable, passed_over, stage_moment, superseded_at
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.store.sql import Connection, execute, fetch

BATCH = 2_000
# A sweep looks at loans to which a stage came that lately; whatever one that was missed would have
# seen is called off with the next stage, or when the hold ends.
LATELY = timedelta(days=3)


class Passed(NamedTuple):
    """A held loan as it stood until an instant, and as it stands from then on."""

    portfolio_id: int
    loan_id: int
    borrower_id: int
    before: Plannable
    after: Plannable | None
    at: datetime


class CalledOff(NamedTuple):
    """A closed notice and its decision, unless the notice was planned before the hold."""

    portfolio_id: int
    loan_id: int
    borrower_id: int
    anchor: date
    stage: str
    version: int
    due_at: datetime
    not_after: datetime
    at: datetime
    zone: str
    # the rules that fail besides the hold
    also: str


def called_off(passed: Passed, portfolio: Portfolio) -> Iterator[CalledOff]:
    """One for each stage that came and will not come again."""
    before = passed.before
    for moment in passed_over(before, passed.after, portfolio.ladder, passed.at):
        yield CalledOff(
            passed.portfolio_id, passed.loan_id, passed.borrower_id, moment.anchor, moment.stage,
            portfolio.version, moment.due_at, moment.not_after, passed.at, before.zone,
            ",".join(_also(portfolio.ladder, moment, before.zone, passed.at)),
        )  # fmt: skip


def _also(ladder: Ladder, moment: Moment, zone: str, at: datetime) -> Iterator[str]:
    later = superseded_at(ladder, moment.stage, moment.anchor, zone)
    if later is not None and later <= at:
        yield "superseded"
    if moment.not_after <= at:
        yield "not-after"


async def call_off(conn: Connection, rows: Sequence[CalledOff]) -> int:
    """Write them down; returns how many were new."""
    if not rows:
        return 0
    columns = zip(*rows, strict=True)
    names = (
        "portfolios", "loans", "borrowers", "anchors", "stages", "versions", "dues", "ends", "ats",
        "zones", "also",
    )  # fmt: skip
    return await execute(conn, "call_off_held", **dict(zip(names, map(list, columns), strict=True)))


async def derive_holds(
    conn: Connection, portfolios: Sequence[int], people: Sequence[int], now: datetime
) -> None:
    """Write on the loans of these people until when planning skips them.

    What came to a loan that is held no longer is called off.
    """
    rows = await fetch(conn, "derive_held_until", portfolios=portfolios, ids=people, now=now)
    released = [row for row in rows if row["released"]]
    if released:
        known = await _known(conn, now)
        passed = (_passed(row, row["counted_since"], now) for row in released)
        await call_off(conn, _rows(passed, known))


async def sweep_held(pool: "asyncpg.Pool[asyncpg.Record]", now: datetime) -> int:
    """Call off what came to held loans lately; returns how many stages that were."""
    found, last = 0, (0, 0)
    while True:
        async with pool.acquire() as conn, conn.transaction():
            rows = await fetch(
                conn, "held_loans", now=now, after_portfolio=last[0], after_id=last[1], batch=BATCH
            )
            if rows:
                known, last = await _known(conn, now), (rows[-1]["portfolio_id"], rows[-1]["id"])
                passed = (_passed(row, row["anchor_since"], now) for row in rows)
                lately = (one for one in passed if _came_lately(one, known[one.portfolio_id]))
                found += await call_off(conn, _rows(lately, known))
        if len(rows) < BATCH:
            return found


async def _known(conn: Connection, now: datetime) -> dict[int, Portfolio]:
    return {portfolio.id: portfolio for portfolio in (await load_portfolios(conn, now)).values()}


def _rows(passed: Iterable[Passed], known: Mapping[int, Portfolio]) -> list[CalledOff]:
    return [row for one in passed for row in called_off(one, known[one.portfolio_id])]


def _passed(row: Any, since: datetime, now: datetime) -> Passed:
    before = Plannable(row["zone"], open=True, anchor=row["anchor"], anchor_since=since)
    after = replace(before, anchor_since=now)
    return Passed(row["portfolio_id"], row["id"], row["borrower_id"], before, after, now)


def _came_lately(passed: Passed, portfolio: Portfolio) -> bool:
    ladder, loan = portfolio.ladder, passed.before
    came = (stage_moment(stage, loan.anchor, ladder.calendar, loan.zone) for stage in ladder.stages)
    return any(passed.at - LATELY < at <= passed.at for at in came)

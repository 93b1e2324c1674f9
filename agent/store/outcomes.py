"""The outcomes that the ledger has not acknowledged: leased by loan, recorded by compare-and-set.

`lease_until` is the fence: it differs for every lease of an outcome, because a new one begins only
when the old one has run out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import asyncpg
import orjson

from agent.domain.feed import Told, unbroken
from agent.store.sql import Connection, execute, fetch, fetch_row, fetch_value

BEGINNING = (0, 0)


@dataclass(frozen=True, slots=True)
class Run:
    """The next outcomes of one loan, in order, leased to us."""

    loan_id: int
    lease: datetime
    outcomes: tuple[Told, ...]
    tries: int


@dataclass(frozen=True, slots=True)
class PutOff:
    """A run that stops at an outcome and goes on at an instant."""

    loan_id: int
    seq: int
    lease: datetime
    failed: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Stuck:
    loan_id: int
    seq: int
    lease: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    loan_id: int
    seq: int
    lease: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """Work for a person: about a loan, or about a subject that is none."""

    loan_id: int | None
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a look at the due outcomes gave: runs to send, and whether there may be more."""

    runs: tuple[Run, ...]
    seen: int


async def lease_runs(
    conn: Connection, portfolio_id: int, now: datetime, lease: datetime, batch: int, run: int
) -> Batch:
    """Take the first outcomes of the loans that are due; park what may not be sent yet.

    Inside a transaction of the caller: the locks on the heads are what makes it safe.
    """
    heads = await fetch(conn, "lock_due_heads", portfolio=portfolio_id, now=now, batch=batch)
    if not heads:
        return Batch((), 0)
    ready = [row for row in heads if row["ready"]]
    rows = await fetch(
        conn,
        "lease_runs",
        portfolio=portfolio_id,
        loans=[row["loan_id"] for row in ready],
        heads=[row["seq"] for row in ready],
        run=run,
        lease=lease,
    )
    await execute(
        conn,
        "park_followers",
        portfolio=portfolio_id,
        loans=[row["loan_id"] for row in heads],
        heads=[row["seq"] for row in heads],
    )
    runs = {
        loan_id: _run(loan_id, lease, list(part))
        for loan_id, part in groupby(rows, key=lambda row: int(row["loan_id"]))
    }
    oldest_first = (runs[row["loan_id"]] for row in ready if row["loan_id"] in runs)
    return Batch(tuple(run for run in oldest_first if run.outcomes), len(heads))


def _run(loan_id: int, lease: datetime, rows: Sequence[asyncpg.Record]) -> Run:
    count = unbroken([row["rank"] for row in rows])
    return Run(loan_id, lease, tuple(map(told, rows[:count])), rows[0]["tries"])


def told(row: asyncpg.Record) -> Told:
    """The outcome of a row that carries its portfolio's name and its loan's reference and zone."""
    return Told(
        row["portfolio"],
        row["loan"],
        row["zone"],
        row["seq"],
        row["type"],
        row["occurred_at"],
        row["data"],
        row["corrects"],
        row["withheld_at"] is not None,
    )


async def acknowledge(
    conn: Connection, portfolio_id: int, done: Sequence[Done], now: datetime
) -> int:
    """Close outcomes that the ledger acknowledged to the holder of the lease; how many were ours."""
    return await execute(
        conn,
        "acknowledge",
        portfolio=portfolio_id,
        loans=[item.loan_id for item in done],
        seqs=[item.seq for item in done],
        leases=[item.lease for item in done],
        now=now,
    )


async def wake(conn: Connection, portfolio_id: int, loans: Sequence[int], now: datetime) -> None:
    """Let the next outcome of these loans go; always the statement after an acknowledgement."""
    await execute(conn, "wake_heads", portfolio=portfolio_id, loans=sorted(set(loans)), now=now)


async def put_off(conn: Connection, portfolio_id: int, items: Sequence[PutOff]) -> int:
    """Give heads back with the time of their next try."""
    return await execute(
        conn,
        "put_off",
        portfolio=portfolio_id,
        loans=[item.loan_id for item in items],
        seqs=[item.seq for item in items],
        leases=[item.lease for item in items],
        failed=[int(item.failed) for item in items],
        ats=[item.at for item in items],
    )


async def stick(conn: Connection, portfolio_id: int, items: Sequence[Stuck]) -> list[Stuck]:
    """Stop the feeds of loans whose outcome was rejected; those that were really ours."""
    rows = await fetch(
        conn,
        "stick",
        portfolio=portfolio_id,
        loans=[item.loan_id for item in items],
        seqs=[item.seq for item in items],
        leases=[item.lease for item in items],
        reasons=[item.reason for item in items],
    )
    ours = {(row["loan_id"], row["seq"]) for row in rows}
    return [item for item in items if (item.loan_id, item.seq) in ours]


async def open_cases(
    conn: Connection,
    portfolio_id: int,
    kind: str,
    cases: Sequence[Case],
    now: datetime,
    due: datetime,
) -> None:
    """Open one case a subject, unless one is open."""
    await execute(
        conn,
        "open_feed_cases",
        portfolio=portfolio_id,
        kind=kind,
        loans=[case.loan_id for case in cases],
        subjects=[case.subject for case in cases],
        details=[orjson.dumps(case.detail).decode() for case in cases],
        now=now,
        due=due,
    )


async def close_case(
    conn: Connection, portfolio_id: int, kind: str, subject: str, by: str, now: datetime
) -> int:
    """Close the open case about a subject, if there is one."""
    return await execute(
        conn,
        "close_feed_case",
        portfolio=portfolio_id,
        kind=kind,
        subject=subject,
        by=by,
        now=now,
    )


async def unacknowledged(
    conn: Connection, portfolio_id: int, after: tuple[int, int], page: int
) -> tuple[list[Told], tuple[int, int] | None]:
    """One page of what the ledger has not acknowledged, and the place after it if it was full."""
    found, last = await unacknowledged_by_loan(conn, portfolio_id, after, page)
    return [told for _, told in found], last


async def unacknowledged_by_loan(
    conn: Connection, portfolio_id: int, after: tuple[int, int], page: int
) -> tuple[list[tuple[int, Told]], tuple[int, int] | None]:
    """The same with the id of each loan."""
    rows = await fetch(
        conn,
        "unacknowledged_page",
        portfolio=portfolio_id,
        after_loan=after[0],
        after_seq=after[1],
        page=page,
    )
    last = (rows[-1]["loan_id"], rows[-1]["seq"]) if len(rows) == page else None
    return [(row["loan_id"], told(row)) for row in rows], last


@dataclass(frozen=True, slots=True)
class Named:
    """An outcome that a pulling ledger named, as it was found."""

    loan_id: int
    ref: str
    seq: int
    already: bool
    stuck: bool


async def acknowledge_named(
    conn: Connection, portfolio_id: int, names: Sequence[tuple[str, int]], now: datetime
) -> list[Named]:
    """Close outcomes by (loan reference, number); what is not known is not in the answer."""
    rows = await fetch(
        conn,
        "acknowledge_named",
        portfolio=portfolio_id,
        refs=[ref for ref, _ in names],
        seqs=[seq for _, seq in names],
        now=now,
    )
    return [Named(*row.values()) for row in rows]


async def of_next_loans(
    conn: Connection, after: tuple[int, str], page: int, loan: str | None
) -> tuple[list[Told], tuple[int, str] | None]:
    """All outcomes of the next loans in order of portfolio, reference, number; None ends the walk."""
    rows = await fetch(
        conn,
        "outcomes_of_next_loans",
        after_portfolio=after[0],
        after_ref=after[1],
        loan=loan,
        page=page,
    )
    last = (rows[-1]["portfolio_id"], rows[-1]["loan"]) if rows else None
    return [told(row) for row in rows if row["seq"] is not None], last


async def loans_by_ref(conn: Connection, ref: str) -> list[tuple[int, int, str]]:
    """(portfolio id, loan id, portfolio name) of the loans with this reference."""
    return [tuple(row.values()) for row in await fetch(conn, "loans_by_ref", ref=ref)]


async def unstick(conn: Connection, portfolio_id: int, loan_id: int, now: datetime) -> bool:
    """Let the first unacknowledged outcome of a loan go now; False if there is none to let go."""
    return bool(await execute(conn, "unstick", portfolio=portfolio_id, loan=loan_id, now=now))


async def reopen(conn: Connection, portfolio_id: int, loan_id: int, from_seq: int) -> int:
    """Have acknowledged outcomes from a number on sent again; how many that are."""
    return await execute(
        conn, "reopen_outcomes", portfolio=portfolio_id, loan=loan_id, from_seq=from_seq
    )


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts for operators: no loan and no person is named."""

    unacknowledged: int
    stuck: int
    oldest: datetime | None
    notices: Counter[tuple[str, bool]]
    attempts: Counter[str]
    cases: Counter[str]


async def backlog(conn: Connection, portfolio_id: int, now: datetime) -> Backlog:
    """What waits in one portfolio; reads only what is open."""
    feed = await fetch_row(conn, "feed_backlog", portfolio=portfolio_id)
    assert feed is not None
    notices = await fetch(conn, "notices_open", portfolio=portfolio_id, now=now)
    attempts = await fetch(conn, "attempts_open", portfolio=portfolio_id)
    cases = await fetch(conn, "cases_open", portfolio=portfolio_id)
    return Backlog(
        feed["unacknowledged"],
        feed["stuck"],
        feed["oldest"],
        Counter({(row["state"], row["due"]): row["count"] for row in notices}),
        Counter({row["state"]: row["count"] for row in attempts}),
        Counter({row["kind"]: row["count"] for row in cases}),
    )


async def portfolios(conn: Connection) -> dict[str, int]:
    """Portfolio ids by name."""
    return {row["name"]: row["id"] for row in await fetch(conn, "portfolio_ids")}


async def is_writable(conn: Connection) -> bool:
    """Whether the database takes writes."""
    return bool(await fetch_value(conn, "writable"))

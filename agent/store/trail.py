"""All that is stored about one loan, for the trail."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from agent.store.sql import Connection, fetch

Rows = Sequence[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class LoanRecords:
    """Rows about a loan, by table."""

    loan: asyncpg.Record
    events: Rows
    notices: Rows
    decisions: Rows
    attempts: Rows
    receipts: Rows
    outcomes: Rows
    cases: Rows
    holds: Rows
    pauses: Rows
    suppressions: Rows
    keeping: Rows


async def loans_named(conn: Connection, ref: str) -> Rows:
    """The loans of this reference over all portfolios."""
    return await fetch(conn, "trail_loans", ref=ref)


async def waiting(conn: Connection, ref: str) -> Rows:
    """The events of a loan that is not known."""
    return await fetch(conn, "trail_waiting", ref=ref)


async def records(conn: Connection, loan: asyncpg.Record) -> LoanRecords:
    """Everything about one loan, in order of time within each table."""
    portfolio = loan["portfolio_id"]
    of_loan = {"portfolio": portfolio, "loan": loan["id"]}
    of_person = {**of_loan, "borrower": loan["borrower_id"]}
    attempts = await fetch(conn, "trail_attempts", **of_loan)
    known = [(row["channel"], row["provider_id"]) for row in attempts if row["provider_id"]]
    return LoanRecords(
        loan=loan,
        events=await fetch(
            conn,
            "trail_events",
            portfolio=portfolio,
            ref=loan["ref"],
            borrower_ref=loan["borrower"],
        ),
        notices=await fetch(conn, "trail_notices", **of_loan),
        decisions=await fetch(conn, "trail_decisions", **of_loan),
        attempts=attempts,
        receipts=await fetch(
            conn,
            "trail_receipts",
            portfolio=portfolio,
            channels=[channel for channel, _ in known],
            providers=[provider for _, provider in known],
        ),
        outcomes=await fetch(conn, "trail_outcomes", **of_loan),
        cases=await fetch(conn, "trail_cases", **of_person),
        holds=await fetch(conn, "trail_holds", **of_person),
        pauses=await fetch(
            conn,
            "trail_pauses",
            **of_person,
            ref=loan["ref"],
            borrower_ref=loan["borrower"],
        ),
        suppressions=await fetch(
            conn, "trail_suppressions", portfolio=portfolio, borrower=loan["borrower_id"]
        ),
        keeping=await fetch(
            conn, "trail_retention", portfolio=portfolio, borrower=loan["borrower_id"]
        ),
    )

"""What the invariants read: violations of one statement, and whole loans with all that was stored of them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import asyncpg

from agent.store.sql import Connection, fetch, fetch_value, statements

BATCH = 2_000

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Violations:
    """How many rows violate a statement, and the first few in words."""

    total: int
    examples: tuple[str, ...]


@dataclass(slots=True)
class History:
    """One loan as its rows say it is, with everything it came from."""

    row: asyncpg.Record
    events: list[asyncpg.Record] = field(default_factory=list)
    moves: list[asyncpg.Record] = field(default_factory=list)
    acts: list[asyncpg.Record] = field(default_factory=list)
    outcomes: list[asyncpg.Record] = field(default_factory=list)
    attempts: list[asyncpg.Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    portfolio_id: int
    version: int
    source: str
    active_from: datetime


async def violations(conn: Connection, statement: str, known: Mapping[str, Any]) -> Violations:
    """Run one invariant's statement with those of the known parameters that it takes."""
    wanted = {name: known[name] for name in statements()[statement].params}
    rows = await fetch(conn, statement, **wanted)
    total = rows[0]["total"] if rows else 0
    return Violations(total, tuple(f"{row['subject']}: {row['detail']}" for row in rows))


async def newest_fact(conn: Connection) -> datetime | None:
    """When the last event was taken in or the last attempt begun."""
    newest: datetime | None = await fetch_value(conn, "newest_fact")
    return newest


async def schedules(conn: Connection) -> list[StoredSchedule]:
    """All schedule versions, oldest first within a portfolio."""
    rows = await fetch(conn, "rederive_schedules")
    return [StoredSchedule(*row.values()) for row in rows]


async def histories(conn: Connection, *, batch: int = BATCH) -> AsyncIterator[list[History]]:
    """All loans with their histories, a bounded number at a time."""
    moves: dict[tuple[int, str], list[asyncpg.Record]] = {}
    for row in await fetch(conn, "rederive_moves"):
        moves.setdefault((row["portfolio_id"], row["ref"]), []).append(row)
    after = (0, 0)
    while True:
        loans = await fetch(
            conn, "rederive_loans", after_portfolio=after[0], after_id=after[1], batch=batch
        )
        if not loans:
            return
        after = (loans[-1]["portfolio_id"], loans[-1]["id"])
        yield await _filled(conn, loans, moves)


async def _filled(
    conn: Connection,
    loans: list[asyncpg.Record],
    moves: Mapping[tuple[int, str], list[asyncpg.Record]],
) -> list[History]:
    found = {(row["portfolio_id"], row["id"]): History(row) for row in loans}
    by_ref = {
        (history.row["portfolio_id"], history.row["ref"]): history for history in found.values()
    }
    for history in found.values():
        history.moves = moves.get((history.row["portfolio_id"], history.row["borrower"]), [])
    portfolios = [portfolio for portfolio, _ in found]
    refs = [history.row["ref"] for history in found.values()]
    for row in await fetch(conn, "rederive_events", portfolios=portfolios, refs=refs):
        by_ref[row["portfolio_id"], row["subject"]].events.append(row)
    keys = {"portfolios": portfolios, "ids": [loan for _, loan in found]}
    for row in await fetch(conn, "rederive_outcomes", **keys):
        found[row["portfolio_id"], row["loan_id"]].outcomes.append(row)
    for row in await fetch(conn, "rederive_acts", **keys):
        found[row["portfolio_id"], row["loan_id"]].acts.append(row)
    for row in await fetch(conn, "rederive_attempts", **keys):
        found[row["portfolio_id"], row["loan_id"]].attempts.append(row)
    return list(found.values())


async def recorded_packs(conn: Connection) -> list[str]:
    """The packs with versions that decisions to send went by, each text once."""
    return [row["packs"] for row in await fetch(conn, "packs_recorded")]


async def contacted_people(
    conn: Connection, packs: Sequence[str], *, batch: int = BATCH
) -> AsyncIterator[list[list[asyncpg.Record]]]:
    """The contacts of everybody of whom a decision went by one of these texts, person by person."""
    after = (0, 0)
    while True:
        people = await fetch(
            conn, "people_of_packs", packs=list(packs), after_portfolio=after[0],
            after_id=after[1], batch=batch,
        )  # fmt: skip
        if not people:
            return
        after = (people[-1]["portfolio_id"], people[-1]["borrower_id"])
        rows = await fetch(
            conn,
            "contacts_of_people",
            portfolios=[row["portfolio_id"] for row in people],
            ids=[row["borrower_id"] for row in people],
        )
        grouped = groupby(rows, key=itemgetter("portfolio_id", "borrower_id"))
        yield [list(contacts) for _, contacts in grouped]

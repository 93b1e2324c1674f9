"""What the keeping of people's data depends on, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from agent.store.sql import Connection, execute, fetch

Person = tuple[int, int]
# In this order: what is found by the addresses goes before them.
_ERASE = (
    "erase_events", "erase_inbound", "erase_evidence", "erase_points", "erase_preferences",
    "erase_stated",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One line about a person: kept until when and why, or erased."""

    person: Person
    rules: tuple[str, ...]
    keep_through: date | None
    delete_by: date | None


@dataclass(frozen=True, slots=True)
class Mark(Record):
    reason: str
    look_at: datetime


@dataclass(frozen=True, slots=True)
class Erased(Record):
    packs: str


def _keys(people: Sequence[Person]) -> dict[str, list[int]]:
    return {"portfolios": [p for p, _ in people], "ids": [i for _, i in people]}


async def ended_people(conn: Connection, now: datetime, batch: int) -> list[Person]:
    """The next people who are to be looked at."""
    rows = await fetch(conn, "ended_people", now=now, batch=batch)
    return [(row["portfolio_id"], row["id"]) for row in rows]


async def lock(conn: Connection, people: Sequence[Person]) -> list[Person]:
    """Lock those whose data is still there, in one order."""
    rows = await fetch(conn, "lock_ended_people", **_keys(people))
    return [(row["portfolio_id"], row["id"]) for row in rows]


async def facts(conn: Connection, people: Sequence[Person], now: datetime) -> list[Any]:
    """What decides how long each one's data is kept."""
    return await fetch(conn, "upkeep_of", **_keys(people), now=now)


async def mark(conn: Connection, marks: Sequence[Mark], now: datetime) -> None:
    """Write down why data is kept, and when to look again."""
    if marks:
        await execute(
            conn,
            "mark_retention",
            now=now,
            portfolios=[m.person[0] for m in marks],
            borrowers=[m.person[1] for m in marks],
            looks=[m.look_at for m in marks],
            reasons=[m.reason for m in marks],
            keeps=[m.keep_through for m in marks],
            deletes=[m.delete_by for m in marks],
            rules=[",".join(m.rules) for m in marks],
        )


async def erase(conn: Connection, over: Sequence[Erased], now: datetime) -> int:
    """Destroy keys, addresses and words of these people; returns how many addresses that were."""
    if not over:
        return 0
    keys = _keys([one.person for one in over])
    rows = await fetch(conn, "points_of_erased", **keys)
    points = {(row["portfolio_id"], row["borrower_id"]): int(row["points"]) for row in rows}
    for statement in _ERASE:
        await execute(conn, statement, **keys)
    await execute(conn, "erase_people", **keys, now=now)
    await execute(conn, "forget_retention", **keys)
    await execute(
        conn,
        "note_erasures",
        now=now,
        portfolios=[one.person[0] for one in over],
        borrowers=[one.person[1] for one in over],
        rules=[",".join(one.rules) for one in over],
        packs=[one.packs for one in over],
        keeps=[one.keep_through for one in over],
        deletes=[one.delete_by for one in over],
        erased=[{"addresses": points.get(one.person, 0)} for one in over],
    )
    return sum(points.values())


async def open_cases(
    conn: Connection, conflicts: Sequence[Record], now: datetime, due: datetime
) -> None:
    """A person decides where a duty to keep ends after the limit."""
    if conflicts:
        await execute(
            conn,
            "open_retention_cases",
            **_keys([one.person for one in conflicts]),
            details=[
                {"rules": list(c.rules), "keep": str(c.keep_through), "delete": str(c.delete_by)}
                for c in conflicts
            ],
            now=now,
            due=due,
        )

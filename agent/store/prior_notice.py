"""What decides whether something adverse may leave for the ledger, and what is written down of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from agent.store.sql import Connection, execute, fetch, fetch_value

Ref = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Standing:
    """An adverse outcome that has not left, with what binds it."""

    loan_id: int
    seq: int
    anchor: date | None
    held_by: tuple[str, ...]
    taken_back: bool
    loan: str
    region: str | None
    zones: tuple[str, ...]
    packs: tuple[str, ...]
    role: str | None
    # what the ledger states of the person and the loan
    stated: Mapping[str, Any]
    type: str
    currency: str
    # as late as it was told to be
    dpd: int
    # as it stands now, with the holds in force on it and on its person
    overdue_minor: int
    balance_minor: int
    holds: tuple[str, ...]

    @property
    def ref(self) -> Ref:
        """What names it."""
        return self.loan_id, self.seq


async def standings(
    conn: Connection, portfolio_id: int, refs: Sequence[Ref], now: datetime
) -> list[Standing]:
    """These outcomes by (loan, number), with the zones of the loan and of its person."""
    rows = await fetch(
        conn,
        "adverse_standing",
        portfolio=portfolio_id,
        loans=[loan for loan, _ in refs],
        seqs=[seq for _, seq in refs],
        now=now,
    )
    return [_standing(row) for row in rows]


def _standing(row: Any) -> Standing:
    return Standing(
        row["loan_id"],
        row["seq"],
        date.fromisoformat(row["anchor"]) if row["anchor"] else None,
        tuple(row["held_by"] or ()),
        row["taken_back"],
        row["ref"],
        row["region"],
        tuple(dict.fromkeys((row["zone"], *row["zones"]))),
        tuple(row["packs"]),
        row["role"],
        row["stated"] or {},
        row["type"],
        row["currency"],
        row["dpd"] or 0,
        row["overdue_minor"],
        row["balance_minor"],
        tuple(row["holds"] or ()),
    )


async def attempts(conn: Connection, portfolio_id: int, loans: Sequence[int]) -> list[Any]:
    """Everything that was tried for these loans."""
    return await fetch(conn, "attempts_of_loans", portfolio=portfolio_id, loans=list(loans))


async def by_hand(
    conn: Connection, portfolio_id: int, loans: Sequence[int], before: str
) -> list[Any]:
    """Notices that staff gave."""
    return await fetch(
        conn, "notices_by_hand", portfolio=portfolio_id, loans=list(loans), before=before
    )


async def schedules(conn: Connection, portfolio_id: int, versions: Iterable[int]) -> dict[int, str]:
    """The sources of schedule versions."""
    rows = await fetch(conn, "schedules_of", portfolio=portfolio_id, versions=sorted(set(versions)))
    return {row["version"]: row["source"] for row in rows}


async def mark(
    conn: Connection, portfolio_id: int, held: Sequence[tuple[Ref, Sequence[str]]]
) -> None:
    """Write down which rules hold outcomes back."""
    if held:
        await execute(
            conn,
            "mark_held",
            portfolio=portfolio_id,
            loans=[ref[0] for ref, _ in held],
            seqs=[ref[1] for ref, _ in held],
            rules=[",".join(rules) for _, rules in held],
        )


async def let_go(conn: Connection, portfolio_id: int, refs: Sequence[Ref], now: datetime) -> None:
    """From now on these may have left: they are not asked about again."""
    await _settle(conn, "let_go", portfolio_id, refs, now)


async def withhold(conn: Connection, portfolio_id: int, refs: Sequence[Ref], now: datetime) -> None:
    """Never tell what these said: it was taken back before anybody heard it."""
    await _settle(conn, "withhold", portfolio_id, refs, now)


async def _settle(
    conn: Connection, how: str, portfolio_id: int, refs: Sequence[Ref], now: datetime
) -> None:
    if refs:
        await execute(
            conn,
            how,
            portfolio=portfolio_id,
            loans=[loan for loan, _ in refs],
            seqs=[seq for _, seq in refs],
            now=now,
        )


async def give(
    conn: Connection, loan: Ref, before: str, on: date, *, by: str, reason: str, now: datetime
) -> date | None:
    """Record that staff gave a notice; the anchor that it is about, None if nothing is owed."""
    anchor: date | None = await fetch_value(
        conn,
        "give_notice",
        portfolio=loan[0],
        loan=loan[1],
        before=before,
        given_on=on,
        now=now,
        by=by,
        reason=reason,
    )
    return anchor


async def held(conn: Connection, most: int) -> list[Any]:
    """What is held back now."""
    return await fetch(conn, "held_outcomes", most=most)

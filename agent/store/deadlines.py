"""Facts that deadlines count from, and the duties that began with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from agent.store.sql import Connection, execute, fetch


@dataclass(frozen=True, slots=True)
class Begun:
    """A duty that began: whose, under which rule, since when, and its case."""

    borrower_id: int
    loan: str
    rule: str
    began_on: date
    due_on: date
    due_at: datetime
    subject: str
    detail: dict[str, Any]

    @property
    def key(self) -> tuple[int, str, str, date]:
        """What happens once."""
        return self.borrower_id, self.loan, self.rule, self.began_on


async def begin(conn: Connection, portfolio_id: int, begun: Sequence[Begun], now: datetime) -> int:
    """Note duties that begin and open their cases; those that began before are left alone."""
    if not begun:
        return 0
    rows = await fetch(
        conn,
        "begin_duties",
        portfolio=portfolio_id,
        borrowers=[one.borrower_id for one in begun],
        loans=[one.loan for one in begun],
        rules=[one.rule for one in begun],
        begans=[one.began_on for one in begun],
        dues=[one.due_on for one in begun],
        now=now,
    )
    keys = {tuple(row.values()) for row in rows}
    new = [one for one in begun if one.key in keys]
    if new:
        await execute(
            conn,
            "open_duty_cases",
            portfolio=portfolio_id,
            borrowers=[one.borrower_id for one in new],
            loans=[one.loan for one in new],
            subjects=[one.subject for one in new],
            details=[one.detail for one in new],
            dues=[one.due_at for one in new],
            now=now,
        )
    return len(new)


async def close_done(conn: Connection, portfolio_id: int, now: datetime) -> int:
    """Close the cases of duties that the ledger says were done."""
    return await execute(conn, "close_done_duties", portfolio=portfolio_id, now=now)

"""Looking again at once at notices that only waited for something that has changed."""

from collections.abc import Sequence
from datetime import datetime

from agent.store.sql import Connection, execute

_EVERY_PORTFOLIO = 0


async def wake_held(
    conn: Connection,
    rules: Sequence[str],
    now: datetime,
    *,
    portfolio_id: int = _EVERY_PORTFOLIO,
    most: int | None = None,
) -> int:
    """Wake notices whose last decision was a snooze for one of these rules (patterns of LIKE); how many."""
    return await execute(
        conn, "wake_held", portfolio=portfolio_id, rules=list(rules), now=now, most=most
    )

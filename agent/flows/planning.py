"""Planning: the notices of the next day and a half, in one statement a window.

State is never advanced. The ladder says when each stage comes (domain), the statement joins that to
the loans by their anchor. Its cost follows what is due, never the size of the portfolio.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from agent.domain.ladder import Ladder, LateMoment, Moment, late_moments, moments
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.store.sql import Connection, execute, fetch_row

HORIZON = timedelta(hours=36)
# A loan that was stored before the last pass may have become visible only after it: transactions
# are shorter than this.
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of due times; planned anew for everybody, or only for loans changed since."""

    after: datetime
    until: datetime
    changed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    version: int
    planned_at: datetime
    planned_through: datetime


async def plan_all(pool: "asyncpg.Pool[asyncpg.Record]", now: datetime) -> int:
    """One pass over every portfolio; returns how many notices it made."""
    async with pool.acquire() as conn:
        portfolios = await load_portfolios(conn, now)
    return sum([await plan(pool, portfolio, now) for portfolio in portfolios.values()])


async def plan(
    pool: "asyncpg.Pool[asyncpg.Record]",
    portfolio: Portfolio,
    now: datetime,
    *,
    horizon: timedelta = HORIZON,
    anew: bool = False,
) -> int:
    """Plan the notices that fall due by `now + horizon`; doing it again makes nothing.

    `anew` forgets how far planning had come and looks at every loan again.
    """
    async with pool.acquire() as conn, conn.transaction():
        mark, zones, last_pass = await _state(conn, portfolio)
        if anew:
            mark = None
        through = now + horizon
        made = 0
        for window in windows(mark, portfolio, now, through):
            made += await _plan_window(conn, portfolio, zones, window, now)
        if last_pass is not None:
            changed = Window(last_pass - OVERLAP, through, last_pass - OVERLAP)
            made += await _reopen(conn, portfolio, zones, changed, now)
        await execute(
            conn,
            "set_plan_mark",
            portfolio=portfolio.id,
            version=portfolio.version,
            now=now,
            through=max(through, mark.planned_through) if mark else through,
        )
    return made


async def _state(
    conn: Connection, portfolio: Portfolio
) -> tuple[Mark | None, Sequence[str], datetime | None]:
    """How far this version of the schedule is planned, the zones to plan in, the last pass of any."""
    row = await fetch_row(conn, "plan_state", portfolio=portfolio.id)
    assert row is not None
    zones: Sequence[str] = row["zones"]
    if row["schedule_version"] != portfolio.version:
        return None, zones, row["planned_at"]
    mark = Mark(row["schedule_version"], row["planned_at"], row["planned_through"])
    return mark, zones, mark.planned_at


def windows(
    mark: Mark | None, portfolio: Portfolio, now: datetime, through: datetime
) -> tuple[Window, ...]:
    """What has to be planned: new time for everybody, known time for loans that changed.

    A loan that changed counts from its change on, so known time before that needs no second look. A
    due time that was missed (nobody planned) is still planned while its message could go out.
    """
    if mark is None:
        oldest = now - max(stage.not_after for stage in portfolio.ladder.stages)
        return (Window(oldest, through),)
    since = mark.planned_at - OVERLAP
    old = Window(since, min(mark.planned_through, through), since)
    if mark.planned_through >= through:
        return (old,)
    return old, Window(mark.planned_through, through)


async def _plan_window(
    conn: Connection, portfolio: Portfolio, zones: Sequence[str], window: Window, now: datetime
) -> int:
    regular, late = moments_of(portfolio.ladder, zones, window, now)
    if not regular and not late:
        return 0
    arrays = _regular_arrays(regular) | _late_arrays(late)
    common: dict[str, Any] = {"portfolio": portfolio.id, "version": portfolio.version, "now": now}
    if window.changed_since is not None:
        since = window.changed_since
        return await execute(conn, "plan_changed", **arrays, **common, changed_since=since)
    entered_since = min((moment.since_after for _, moment in late), default=now)
    return await execute(conn, "plan_notices", **arrays, **common, entered_since=entered_since)


async def _reopen(
    conn: Connection, portfolio: Portfolio, zones: Sequence[str], window: Window, now: datetime
) -> int:
    """What was called off comes back where a loan came back to its due date since the last pass."""
    late = late_of(portfolio.ladder, zones, window, now)
    if not late:
        return 0
    return await execute(
        conn, "reopen_notices", **_late_arrays(late), portfolio=portfolio.id,
        version=portfolio.version, now=now, changed_since=window.changed_since,
        endings=[stage.id for stage in portfolio.ladder.stages if stage.ends_contact],
    )  # fmt: skip


def moments_of(
    ladder: Ladder, zones: Sequence[str], window: Window, now: datetime
) -> tuple[list[tuple[str, Moment]], list[tuple[str, LateMoment]]]:
    """All moments of a window whose message could still go out."""
    regular = [
        (zone, moment)
        for zone in zones
        for moment in moments(ladder, zone, window.after, window.until)
        if moment.not_after > now
    ]
    return regular, late_of(ladder, zones, window, now)


def late_of(
    ladder: Ladder, zones: Sequence[str], window: Window, now: datetime
) -> list[tuple[str, LateMoment]]:
    """The same of loans that entered too late for a moment of their own."""
    return [
        (zone, moment)
        for zone in zones
        for moment in late_moments(ladder, zone, window.after, window.until)
        if moment.not_after > now
    ]


def _regular_arrays(regular: Sequence[tuple[str, Moment]]) -> dict[str, list[Any]]:
    return {
        "r_zones": [zone for zone, _ in regular],
        "r_stages": [moment.stage for _, moment in regular],
        "r_anchors": [moment.anchor for _, moment in regular],
        "r_dues": [moment.due_at for _, moment in regular],
        "r_ends": [moment.not_after for _, moment in regular],
    }


def _late_arrays(late: Sequence[tuple[str, LateMoment]]) -> dict[str, list[Any]]:
    return {
        "l_zones": [zone for zone, _ in late],
        "l_stages": [moment.stage for _, moment in late],
        "l_mins": [moment.anchor_min for _, moment in late],
        "l_maxs": [moment.anchor_max for _, moment in late],
        "l_sinces": [moment.since_after for _, moment in late],
        "l_dues": [moment.due_at for _, moment in late],
        "l_ends": [moment.not_after for _, moment in late],
    }

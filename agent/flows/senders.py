"""What staff see of senders and do to them: breakers opened, closed, half-opened, paces set.

Every act says who and why and is kept. One that opens a breaker waits for the begins under way, as a
pause does: what they began is stopped in its line, and the next begin reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

import asyncpg

from agent.clock import Clock
from agent.flows.breakers import EVERYWHERE, HALTED, Proof, Route, place_of
from agent.flows.carriers import PACE
from agent.flows.filtered import StoppedText, stopped_texts
from agent.store.sql import Connection, execute, fetch, fetch_value
from agent.store.waking import wake_held

STAFF = "staff"
STOPPED_TEXT = "stopped-text"
# Enough for the one message that tries it, even if some of these may not be sent just now.
TRIED_BY = 20


class Act(StrEnum):
    """What staff can do to a sender."""

    OPEN = "open"
    CLOSE = "close"
    HALF_OPEN = "half-open"
    PACE = "pace"


class Known(NamedTuple):
    """A sender that the settings name, and its pace there."""

    channel: str
    sender: str
    parts_per_second: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """A route that is out of order: since when, why, who said so, and when it is tried again."""

    country: str
    state: str
    since: datetime
    code: str
    reason: str | None
    by: str | None
    closes_by: str
    next_try: datetime | None
    tries: int


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender as it stands. No pace: the settings do not name it any more, and staff set none."""

    channel: str
    sender: str
    state: str
    breakers: tuple[Breaker, ...]
    parts_per_second: float | None
    pace_by: str | None
    back_off_until: datetime | None
    line_seconds: float


@dataclass(frozen=True, slots=True)
class Senders:
    """Every sender and every stopped text; how many notices wait for a line, a route and a text."""

    senders: tuple[Sender, ...]
    waiting_for_pace: int
    waiting_for_route: int
    stopped_texts: tuple[StoppedText, ...] = ()
    waiting_for_text: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """An act of staff. `country` is None for everywhere, and in a closing for whatever is open."""

    act: Act
    channel: str
    sender: str
    country: str | None = None
    parts_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Forced:
    """What was done. Not `changed`: it was so already. `woken`: notices to be looked at again."""

    order: Order
    changed: bool
    woken: int


@dataclass(frozen=True, slots=True)
class NoSender:
    """Nobody of that name sends; these do."""

    known: tuple[str, ...]


async def list_senders(
    pool: "asyncpg.Pool[asyncpg.Record]", configured: Sequence[Known], now: datetime
) -> Senders:
    """Every sender that the settings name, or that ever had a line or a breaker."""
    async with pool.acquire() as conn:
        lines = {(row["channel"], row["sender"]): row for row in await fetch(conn, "known_senders")}
        halts = await fetch(conn, "breakers")
        texts = await stopped_texts(conn)
        waiting = {row["rule"]: row["notices"] for row in await fetch(conn, "waiting_for_senders")}
    paces = {(one.channel, one.sender): one.parts_per_second for one in configured}
    found = []
    for who in sorted(lines.keys() | paces.keys()):
        ours = [row for row in halts if (row["channel"], row["sender"]) == who]
        found.append(_sender(who, lines.get(who), ours, paces.get(who), now))
    line, route, text = (waiting.get(rule, 0) for rule in (PACE, HALTED, STOPPED_TEXT))
    return Senders(tuple(found), line, route, texts, text)


def _sender(
    who: tuple[str, str],
    line: Mapping[str, Any] | None,
    halts: Sequence[Mapping[str, Any]],
    configured: float | None,
    now: datetime,
) -> Sender:
    breakers = tuple(_breaker(row, now) for row in halts)
    states = {one.state for one in breakers}
    forced = 1 / line["part_takes"].total_seconds() if line and line["part_takes"] else None
    pace = forced or configured
    by = STAFF if forced else "settings" if configured else None
    busy = max((line["busy_until"] - now).total_seconds(), 0.0) if line else 0.0
    waits = line["not_before"] if line and line["not_before"] > now else None
    state = "open" if "open" in states else "half-open" if states else "closed"
    return Sender(*who, state, breakers, pace and round(pace, 3), by, waits, round(busy, 3))


def _breaker(row: Mapping[str, Any], now: datetime) -> Breaker:
    probe = row["probe_at"]
    return Breaker(
        row["country"],
        "half-open" if probe is not None and probe <= now else "open",
        row["halted_at"],
        row["code"],
        row["reason"],
        row["opened_by"],
        row["proof"],
        probe,
        row["strikes"],
    )


async def force(
    pool: "asyncpg.Pool[asyncpg.Record]",
    configured: Sequence[Known],
    order: Order,
    *,
    reason: str,
    by: str,
    clock: Clock,
) -> Forced | NoSender:
    """Do what staff say and keep that they said it; doing it again changes nothing."""
    async with pool.acquire() as conn, conn.transaction():
        known = {(row["channel"], row["sender"]) for row in await fetch(conn, "known_senders")}
        known |= {(one.channel, one.sender) for one in configured}
        if (order.channel, order.sender) not in known:
            return NoSender(tuple(" ".join(one) for one in sorted(known)))
        if order.act is Act.OPEN:
            await _wait_for_begins(conn)
        # read now: whatever was begun until here was begun before
        now = clock.now()
        changed, woken = await _forced(conn, order, reason, by, now)
        await execute(
            conn, "insert_sender_act", channel=order.channel, sender=order.sender,
            country=order.country or EVERYWHERE, act=order.act, part_takes=_takes(order),
            reason=reason, by=by, now=now, changed=changed,
        )  # fmt: skip
    return Forced(order, changed, woken)


async def _wait_for_begins(conn: Connection) -> None:
    for row in await fetch(conn, "portfolios_in_order"):
        await fetch(conn, "take_turn", portfolio=row["id"])


async def _forced(
    conn: Connection, order: Order, reason: str, by: str, now: datetime
) -> tuple[bool, int]:
    route = Route(order.channel, order.sender, order.country or EVERYWHERE)
    match order.act:
        case Act.OPEN:
            return await _open(conn, route, reason, by, now), 0
        case Act.CLOSE:
            return await _close(conn, order, reason, by, now)
        case Act.HALF_OPEN:
            changed = await execute(conn, "try_halt", **route._asdict(), now=now) > 0
            return changed, await _wake(conn, HALTED, TRIED_BY, now) if changed else 0
        case Act.PACE:
            return await _set_pace(conn, order, now)
        case never:
            assert_never(never)


async def _open(conn: Connection, route: Route, reason: str, by: str, now: datetime) -> bool:
    opened = await fetch_value(
        conn, "open_halt", **route._asdict(), code=STAFF, now=now, probe=None, proof=Proof.STAFF,
        reason=reason, by=by, begun=now,
    )  # fmt: skip
    if opened is not None:
        return True
    return await execute(conn, "hold_halts", **route._asdict(), reason=reason, by=by) > 0


async def _close(
    conn: Connection, order: Order, reason: str, by: str, now: datetime
) -> tuple[bool, int]:
    who = {"channel": order.channel, "sender": order.sender}
    open_ones = {
        row["country"]
        for row in await fetch(conn, "open_halts", **who)
        if order.country in {None, row["country"]}
    }
    closed = await execute(
        conn, "close_halts", **who, countries=sorted(open_ones), now=now, by=by[:64],
        before=now + timedelta(days=1), proofs=list(Proof),
    )  # fmt: skip
    cases = await execute(
        conn, "close_halt_cases", route=f"{order.channel} {order.sender}", now=now, by=by[:64],
        place=order.country and place_of(order.country), reason=reason,
    )  # fmt: skip
    patience = await execute(conn, "forget_patience", **who, now=now) if not order.country else 0
    woken = await _wake(conn, HALTED, None, now) if closed or patience else 0
    woken += await _wake(conn, PACE, None, now) if patience else 0
    return closed + cases + patience > 0, woken


async def _set_pace(conn: Connection, order: Order, now: datetime) -> tuple[bool, int]:
    rows = await fetch(
        conn, "set_pace", channel=order.channel, sender=order.sender, now=now,
        part_takes=_takes(order),
    )  # fmt: skip
    return bool(rows), await _wake(conn, PACE, None, now) if rows else 0


def _takes(order: Order) -> timedelta | None:
    return timedelta(seconds=1 / order.parts_per_second) if order.parts_per_second else None


async def _wake(conn: Connection, rule: str, most: int | None, now: datetime) -> int:
    return await wake_held(conn, [rule], now, most=most)

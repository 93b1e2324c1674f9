"""Rescue: what a crash or a lost answer left open is settled by proof, never by another send.

`begun` past its deadline becomes `unknown`; `unknown` is looked up in the provider's own list.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from agent.domain.delivery import (
    DISPATCH_WINDOW,
    RECONCILE_HORIZON,
    STRANDINGS_MAX,
    AttemptState,
    NoticeState,
    Proof,
    Settled,
    after_attempt,
    look_again,
    prove,
)
from agent.flows.lane import Lane, ladder_for
from agent.flows.matching import NOTHING, Matched, match
from agent.store.dispatch import Ending, Move, Settling, move_notices, settle
from agent.store.keyring import Unreadable, contact_place, unseal
from agent.store.sql import Connection, execute, fetch
from channels.crash_points import CrashPoint, reached

BATCH = 200
LOOKS_AT_ONCE = 8
SKEW = timedelta(minutes=1)
STALE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Rescued:
    stranded: int = 0
    found: int = 0
    absent: int = 0
    closed: int = 0
    handed_back: int = 0


@dataclass(frozen=True, slots=True)
class _Look:
    """One unsettled attempt and what the provider's list says of it."""

    row: Any
    proof: Proof
    provider_id: str | None = None


_SETTLED = {
    Proof.FOUND: (AttemptState.ACCEPTED, Settled.ACCEPTED),
    Proof.ABSENT: (AttemptState.ABSENT, Settled.ABSENT),
    Proof.CLOSED: (AttemptState.CLOSED_UNKNOWN, Settled.CLOSED_UNKNOWN),
}


async def rescue(lane: Lane) -> Rescued:
    """One bounded pass over a portfolio's stranded work; several at once do no harm."""
    now, portfolio_id = lane.clock.now(), lane.portfolio.id
    async with lane.pool.acquire() as conn:
        stranded = await execute(
            conn,
            "strand_begun",
            portfolio=portfolio_id,
            now=now,
            look_at=now + RECONCILE_HORIZON - DISPATCH_WINDOW,
        )
        reached(CrashPoint.RESCUE_STRANDED)
        rows = await fetch(conn, "unknown_due", portfolio=portfolio_id, now=now, batch=BATCH)
    looks = await _look_at_all(lane, rows, now)
    reached(CrashPoint.RESCUE_LOOKED)
    async with lane.pool.acquire() as conn, conn.transaction():
        await _keep_looking(conn, lane, looks, now)
        await _settle(conn, lane, [look for look in looks if look.proof in _SETTLED], now)
        back = await fetch(
            conn, "sending_without_attempt", portfolio=portfolio_id, now=now, stale=now - STALE
        )
        reached(CrashPoint.RESCUE_WRITTEN)
    reached(CrashPoint.RESCUE_COMMITTED)
    proofs = [look.proof for look in looks]
    return Rescued(
        stranded,
        proofs.count(Proof.FOUND),
        proofs.count(Proof.ABSENT),
        proofs.count(Proof.CLOSED),
        len(back),
    )


async def _look(lane: Lane, row: Any, now: datetime) -> _Look:
    matched = await _matched(lane, row)
    proof = prove(
        found=matched.provider_id is not None,
        complete=matched.complete,
        begun_at=row["begun_at"],
        deadline_at=row["deadline_at"],
        clear_at=row["clear_at"],
        now=now,
    )
    return _Look(row, proof, matched.provider_id)


async def _matched(lane: Lane, row: Any) -> Matched:
    channel = lane.channels.get(row["channel"])
    if channel is None or row["data_key"] is None:
        return NOTHING
    try:
        key = lane.keyring.person_key(row["data_key"])
        place = contact_place(lane.portfolio.id, row["contact_point_id"])
        address = unseal(key, row["address"], place).decode()
        return await match(lane, row, await channel.listing(address, row["begun_at"] - SKEW))
    except Unreadable:
        return NOTHING  # one damaged row must not keep the others from being settled


async def _look_at_all(lane: Lane, rows: Sequence[Any], now: datetime) -> list[_Look]:
    """Some at a time: a provider that answers slowly would else keep the last ones waiting for hours."""
    turns = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(row: Any) -> _Look:
        async with turns:
            return await _look(lane, row, now)

    return list(await asyncio.gather(*map(look, rows)))


async def _keep_looking(
    conn: Connection, lane: Lane, looks: Sequence[_Look], now: datetime
) -> None:
    still = [look for look in looks if look.proof not in _SETTLED]
    if still:
        await execute(
            conn,
            "mark_clear",
            portfolio=lane.portfolio.id,
            tokens=[look.row["token"] for look in still],
            clears=[now if look.proof is Proof.CLEAR else None for look in still],
            looks=[_look_at(look, now) for look in still],
        )


def _look_at(look: _Look, now: datetime) -> datetime:
    if look.proof is Proof.CLEAR:
        return now + RECONCILE_HORIZON
    return look_again(look.row["begun_at"], now)


async def _settle(conn: Connection, lane: Lane, looks: Sequence[_Look], now: datetime) -> None:
    if not looks:
        return
    rows = await settle(
        conn, lane.portfolio.id, [await _settling(conn, lane, look, now) for look in looks], now
    )
    settled = {row["token"] for row in rows}
    worn = [row for row in rows if (row["strandings"] or 0) >= STRANDINGS_MAX]
    await _give_up(conn, lane, worn, now)
    closed = [look.row for look in looks if look.proof is Proof.CLOSED]
    ours = [row for row in closed if row["token"] in settled]
    await _open_cases(conn, lane, "unknown-send", ours, now)


async def _settling(conn: Connection, lane: Lane, look: _Look, now: datetime) -> Settling:
    row, (state, settled) = look.row, _SETTLED[look.proof]
    ladder = await ladder_for(conn, lane.portfolio, row["version"])
    stage = ladder.stage(row["stage"]) if ladder else None
    step = after_attempt(
        settled,
        now,
        route=row["route"],
        routes=len(stage.channels) if stage else 1,
        fallback_after=stage.fallback_after if stage else None,
    )
    ending = Ending(state, look.proof.value, None, step, step.next_at)
    return Settling(row["token"], row["fence"], look.provider_id, ending)


async def _give_up(conn: Connection, lane: Lane, rows: Sequence[Any], now: datetime) -> None:
    """A notice that strands again and again is taken out, so that it cannot strand the others."""
    moves = [
        Move(
            (row["loan_id"], row["anchor"], row["stage"]), row["fence"], NoticeState.FAILED, None,
            row["route"], "stranded",
        )
        for row in rows
    ]  # fmt: skip
    await move_notices(conn, lane.portfolio.id, moves, now)
    await _open_cases(conn, lane, "stranded", rows, now)


async def _open_cases(
    conn: Connection, lane: Lane, kind: str, rows: Sequence[Any], now: datetime
) -> None:
    if not rows:
        return
    await execute(
        conn,
        "open_cases",
        portfolio=lane.portfolio.id,
        now=now,
        kinds=[kind for _ in rows],
        subjects=[f"loan-id {row['loan_id']}" for row in rows],
        loans=[row["loan_id"] for row in rows],
        borrowers=[row["borrower_id"] for row in rows],
        details=[
            orjson.dumps({"stage": row["stage"], "anchor": row["anchor"]}).decode() for row in rows
        ],
    )


async def archive(lane: Lane, before: datetime) -> int:
    """Move settled attempts of the past out of the hot table; caps never look that far back."""
    async with lane.pool.acquire() as conn:
        return await execute(conn, "archive_attempts", portfolio=lane.portfolio.id, before=before)

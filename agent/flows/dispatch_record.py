"""Record: what came back of each send, written by compare-and-set, many at a time.

Nothing here sends. A row that no longer matches its token, fence and state was settled by a receipt
that was faster; that is normal and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

import asyncpg
import orjson

from agent.clock import jitter
from agent.domain.delivery import (
    AttemptState,
    NoticeState,
    Settled,
    after_attempt,
    look_again,
)
from agent.flows.dispatch_acts import open_failure_cases
from agent.flows.dispatch_begin import Outgoing
from agent.flows.lane import Lane
from agent.store.dispatch import Move, move_notices
from agent.store.sql import Connection, execute, fetch
from channels.base import Accepted, Answer, Refusal, Refused, Unknown

TRIES = 3


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt and its answer."""

    outgoing: Outgoing
    answer: Answer


async def record(lane: Lane, sent: Sequence[Sent]) -> int:
    """Write answers; returns how many attempts they settled or marked unknown.

    Receipts may lock the same attempts in another order; compare-and-set makes starting over safe.
    """
    for _ in range(TRIES - 1):
        try:
            return await _record(lane, sent)
        except asyncpg.DeadlockDetectedError:
            continue
    return await _record(lane, sent)


async def _record(lane: Lane, sent: Sequence[Sent]) -> int:
    now = lane.clock.now()
    async with lane.pool.acquire() as conn, conn.transaction():
        rows = await fetch(
            conn,
            "settle_attempts",
            portfolio=lane.portfolio.id,
            now=now,
            tokens=[one.outgoing.message.token for one in sent],
            fences=[one.outgoing.fence for one in sent],
            states=[_state(one.answer).value for one in sent],
            providers=[_provider_id(one.answer) for one in sent],
            codes=[_code(one.answer) for one in sent],
            looks=[_look_at(one.answer, now) for one in sent],
        )
        settled = {row["token"] for row in rows}
        ours = [one for one in sent if one.outgoing.message.token in settled]
        await _follow(conn, lane, ours, now)
    return len(ours)


def _state(answer: Answer) -> AttemptState:
    match answer:
        case Accepted():
            return AttemptState.ACCEPTED
        case Refused():
            return AttemptState.REFUSED
        case Unknown():
            return AttemptState.UNKNOWN
        case never:
            assert_never(never)


def _provider_id(answer: Answer) -> str | None:
    return answer.provider_id if isinstance(answer, Accepted) else None


def _code(answer: Answer) -> str | None:
    match answer:
        case Refused(code=code):
            return code
        case Unknown(why=why):
            return why
        case _:
            return None


def _look_at(answer: Answer, now: datetime) -> datetime | None:
    return look_again(now, now) if isinstance(answer, Unknown) else None


async def _follow(conn: Connection, lane: Lane, sent: Sequence[Sent], now: datetime) -> None:
    await _suppress(conn, lane, sent, now)
    await _retire(conn, lane, sent)
    await _misconfigured(conn, lane, sent, now)
    moves = [_move(one, now, spread=lane.limits.spread_retries) for one in sent]
    await move_notices(conn, lane.portfolio.id, moves, now)
    await open_failure_cases(conn, lane, [m for m in moves if m.state == NoticeState.FAILED], now)


def _move(one: Sent, now: datetime, *, spread: bool) -> Move:
    outgoing = one.outgoing
    step = after_attempt(
        _settled(one.answer),
        now,
        route=outgoing.route,
        routes=outgoing.routes,
        fallback_after=outgoing.fallback_after,
        tries=outgoing.fence - 1,
    )
    next_at = step.next_at
    if spread and next_at is not None and step.state is NoticeState.WAITING:
        next_at += (next_at - now) * jitter(0, 0.25)
    return Move(
        outgoing.key, outgoing.fence, step.state, next_at, step.route, step.reason, outgoing.fence
    )


def _settled(answer: Answer) -> Settled:
    match answer:
        case Accepted():
            return Settled.ACCEPTED
        case Unknown():
            return Settled.UNKNOWN
        case Refused(kind=Refusal.TRANSIENT):
            return Settled.REFUSED_TRANSIENT
        case Refused():
            return Settled.REFUSED
        case never:
            assert_never(never)


def _refused(sent: Sequence[Sent], kind: Refusal) -> list[Outgoing]:
    return [
        one.outgoing for one in sent if isinstance(one.answer, Refused) and one.answer.kind is kind
    ]


async def _suppress(conn: Connection, lane: Lane, sent: Sequence[Sent], now: datetime) -> None:
    """A provider that says "opted out" is believed at once, for the number and everybody on it."""
    opted_out = _refused(sent, Refusal.OPTED_OUT)
    if opted_out:
        await execute(
            conn,
            "suppress",
            portfolio=lane.portfolio.id,
            now=now,
            reason="provider-opt-out",
            channels=[outgoing.message.channel for outgoing in opted_out],
            keys=[outgoing.address_key for outgoing in opted_out],
        )


async def _retire(conn: Connection, lane: Lane, sent: Sequence[Sent]) -> None:
    gone = _refused(sent, Refusal.PERMANENT)
    if gone:
        await execute(
            conn,
            "point_status",
            portfolio=lane.portfolio.id,
            ids=[outgoing.point_id for outgoing in gone],
            status="disconnected",
        )


async def _misconfigured(conn: Connection, lane: Lane, sent: Sequence[Sent], now: datetime) -> None:
    """Our own mistake concerns a whole channel: one case, however many messages it stops."""
    codes = {
        one.outgoing.message.channel: one.answer.code
        for one in sent
        if isinstance(one.answer, Refused) and one.answer.kind is Refusal.CONFIGURATION
    }
    if codes:
        await execute(
            conn,
            "open_cases",
            portfolio=lane.portfolio.id,
            now=now,
            kinds=["configuration" for _ in codes],
            subjects=[f"channel {channel}" for channel in codes],
            loans=[None for _ in codes],
            borrowers=[None for _ in codes],
            details=[orjson.dumps({"code": code}).decode() for code in codes.values()],
        )

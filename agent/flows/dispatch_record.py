"""Record: what came back of each send, written by compare-and-set, many at a time.

Nothing here sends. A row that no longer matches its token, fence and state was settled by a receipt
that was faster; that is normal and changes nothing.
"""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, NamedTuple, assert_never

import asyncpg

from agent.clock import jitter
from agent.domain.delivery import (
    AttemptState,
    NoticeState,
    Settled,
    after_attempt,
    look_again,
)
from agent.flows.consequences import Subject, case_for, open_code_cases
from agent.flows.dispatch_acts import open_failure_cases
from agent.flows.dispatch_begin import Outgoing
from agent.flows.filtered import filtered_by_answer, stop_filtered
from agent.flows.lane import Lane
from agent.flows.sender_answers import follow_traffic
from agent.store.connect import AWAY
from agent.store.dispatch import Ending, Move, Settling, settle
from agent.store.sql import Connection, execute
from channels.base import Accepted, Answer, Fault, Refusal, Refused, Unknown
from channels.crash_points import CrashPoint, reached

# As long as a server takes to recover, and no longer than a process has to end.
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, *(1.0,) * 12)


class Sent(NamedTuple):
    """One attempt and its answer."""

    outgoing: Outgoing
    answer: Answer


async def record(lane: Lane, sent: Sequence[Sent]) -> int:
    """Write answers; returns how many attempts they settled or marked unknown.

    Receipts may lock the same attempts in another order, and the database may be away for a moment:
    compare-and-set makes starting over safe, and an answer forgotten would be an unknown for minutes.
    """
    for wait in WAITS:
        try:
            return await _record(lane, sent)
        except asyncpg.DeadlockDetectedError:
            continue
        except AWAY:
            await asyncio.sleep(wait * jitter(0.5, 1.5))
    return await _record(lane, sent)


async def _record(lane: Lane, sent: Sequence[Sent]) -> int:
    now = lane.clock.now()
    refusals = [
        (one.outgoing.message.token, one.answer) for one in sent if isinstance(one.answer, Refused)
    ]
    async with lane.pool.acquire() as conn:
        await stop_filtered(conn, lane.portfolio.id, filtered_by_answer(refusals), now)
        return await _write(conn, lane, sent, now)


async def _write(conn: Connection, lane: Lane, sent: Sequence[Sent], now: datetime) -> int:
    async with conn.transaction():
        settlings = _settlings(sent, now, spread=lane.limits.spread_retries)
        rows = await settle(conn, lane.portfolio.id, settlings, now)
        ours = sent if len(rows) == len(sent) else _settled_here(sent, rows)
        refused = [one for one in ours if isinstance(one.answer, Refused)]
        if refused:
            failed = {one.token for one in settlings if _has_failed(one)}
            await _follow(conn, lane, refused, failed, now)
        await follow_traffic(conn, lane, ours, now)
        reached(CrashPoint.RECORD_WRITTEN)
    reached(CrashPoint.RECORD_COMMITTED)
    return len(ours)


def _settled_here(sent: Sequence[Sent], rows: Sequence[Any]) -> list[Sent]:
    """Those that no receipt has settled before us."""
    tokens = {row["token"] for row in rows}
    return [one for one in sent if one.outgoing.message.token in tokens]


def _settlings(sent: Sequence[Sent], now: datetime, *, spread: bool) -> list[Settling]:
    """Nearly all are accepted, and those of one kind of stage end alike: that is worked out once."""
    accepted: dict[tuple[int, int, timedelta | None], Ending] = {}
    settlings = []
    for outgoing, answer in sent:
        if isinstance(answer, Accepted):
            kind = (outgoing.route, outgoing.routes, outgoing.fallback_after)
            ending = accepted.get(kind)
            if ending is None:
                ending = accepted[kind] = _ending(outgoing, answer, now, spread=spread)
        else:
            ending = _ending(outgoing, answer, now, spread=spread)
        settlings.append(
            Settling(outgoing.message.token, outgoing.fence, _provider_id(answer), ending)
        )
    return settlings


def _ending(outgoing: Outgoing, answer: Answer, now: datetime, *, spread: bool) -> Ending:
    step = after_attempt(
        _settled(answer),
        now,
        route=outgoing.route,
        routes=outgoing.routes,
        fallback_after=outgoing.fallback_after,
        tries=outgoing.fence - 1,
    )
    next_at = step.next_at
    if spread and next_at is not None and step.state is NoticeState.WAITING:
        next_at += (next_at - now) * jitter(0, 0.25)
    if next_at is not None and (asked := _asked_to_wait(answer)) is not None:
        next_at = max(next_at, now + asked)
    return Ending(
        _state(answer),
        _code(answer),
        _look_at(answer, now),
        None if step.state is NoticeState.SENDING else step,
        next_at,
    )


def _has_failed(settling: Settling) -> bool:
    step = settling.ending.step
    return step is not None and step.state is NoticeState.FAILED


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


async def _follow(
    conn: Connection, lane: Lane, refused: Sequence[Sent], failed: AbstractSet[str], now: datetime
) -> None:
    """What a refusal means beyond its attempt: for the number, the contact point, the channel, a person."""
    await _suppress(conn, lane, refused, now)
    await _retire(conn, lane, refused)
    await _open_cases(conn, lane, refused, now)
    moves = [
        Move(one.outgoing.key, one.outgoing.fence, NoticeState.FAILED, None, 0, "refused")
        for one in refused
        # a text that was stopped is one case, however many got it
        if one.outgoing.message.token in failed and not _is_filtered(one.answer)
    ]
    await open_failure_cases(conn, lane, moves, now)


def _asked_to_wait(answer: Answer) -> timedelta | None:
    """A provider that takes nothing for a while is not asked again before."""
    if isinstance(answer, Refused) and answer.kind is Refusal.TRANSIENT and answer.retry_after:
        return timedelta(seconds=answer.retry_after)
    return None


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


def _is_filtered(answer: Answer) -> bool:
    return isinstance(answer, Refused) and answer.fault is Fault.FILTERED


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


async def _open_cases(conn: Connection, lane: Lane, sent: Sequence[Sent], now: datetime) -> None:
    """What staff have to look at besides: one case for each code, however many messages it stops."""
    codes: dict[Subject, str] = {}
    for outgoing, answer in sent:
        if not isinstance(answer, Refused):
            continue
        if answer.halt and outgoing.message.channel in lane.carriers:
            continue  # a halt of the sender opens a case of its own
        about = _case_for(outgoing, answer)
        if about is not None:
            codes[about] = answer.code
    await open_code_cases(conn, lane.portfolio.id, codes, now)


def _case_for(outgoing: Outgoing, answer: Refused) -> Subject | None:
    channel = outgoing.message.channel
    if answer.fault is not None:
        return case_for(answer.fault, channel, answer.code, outgoing.borrower_id)
    if answer.kind is Refusal.CONFIGURATION:
        return Subject("configuration", f"channel {channel}", None)
    return None

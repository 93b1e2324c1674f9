"""What people send to us: stored once, before anybody is told so; an opt-out takes effect with it.

Anything else becomes a case: only a reading may do more, and that may only reduce contact by itself.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import asyncpg
import structlog

from agent.domain.calendar import local_date
from agent.domain.conduct import Pack
from agent.domain.optout import wants_no_more
from agent.domain.optout_effect import scopes_closed
from agent.flows.portfolios import Portfolio
from agent.flows.receipts import apply_receipts
from agent.flows.rules import binding, installed
from agent.store import confirmations
from agent.store.confirmations import Closing, Number, Owner
from agent.store.keyring import Keyring, inbound_place
from agent.store.sql import Connection, column, execute, fetch, fetch_value
from channels.base import Inbound, InboundList, Receipt
from channels.crash_points import CrashPoint, reached

TRIES = 3
BATCH = 500
# A message may be listed a little after it was sent; what was seen before is known by its id.
OVERLAP = timedelta(minutes=10)
FIRST_LOOK = timedelta(hours=24)
# A list has an end to its pages: what piled up for longer is read hour by hour.
AT_A_TIME = timedelta(hours=1)
SILENT_AFTER = timedelta(hours=1)
SILENT_BATCH = 100
BODY_MAX = 20_000

_log = structlog.get_logger("duly.inbound")


@runtime_checkable
class Hears(Protocol):
    """A channel that people can answer on, and that can be asked what it knows."""

    @property
    def sender(self) -> str: ...

    async def inbound(self, since: datetime, until: datetime | None = None) -> InboundList:
        """What was sent to us since then, or in that time."""
        ...

    async def told(self, token: str, provider_id: str, now: datetime) -> Receipt | None:
        """What a lost callback would have said."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What one batch of inbound messages did."""

    stored: int = 0
    opt_outs: int = 0
    known: int = 0


async def take_inbound(
    pool: "asyncpg.Pool[asyncpg.Record]",
    keyring: Keyring,
    messages: Sequence[Inbound],
    now: datetime,
    found_by: str = "webhook",
) -> Heard:
    """Store messages with what follows from them in one transaction; again changes nothing."""
    async with pool.acquire() as conn:
        return await _take(conn, keyring, messages, now, found_by)


@asynccontextmanager
async def hearing(
    pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring, now: Callable[[], datetime]
) -> AsyncIterator[Callable[[Sequence[Inbound]], Awaitable[Heard]]]:
    """Where messages go as they come in, group after group on one connection."""
    async with pool.acquire() as conn:
        yield lambda messages: _take(conn, keyring, messages, now(), "webhook")


async def _take(
    conn: Connection, keyring: Keyring, messages: Sequence[Inbound], now: datetime, found_by: str
) -> Heard:
    for _ in range(TRIES - 1):
        try:
            return await _transact(conn, keyring, messages, now, found_by)
        except asyncpg.DeadlockDetectedError:
            continue
    return await _transact(conn, keyring, messages, now, found_by)


async def _transact(
    conn: Connection, keyring: Keyring, messages: Sequence[Inbound], now: datetime, found_by: str
) -> Heard:
    first = {(one.channel, one.provider_id): one for one in reversed(messages)}
    stopping = {key for key, one in first.items() if is_opt_out(one)}
    if stopping:
        async with conn.transaction():
            fresh = await _store(conn, keyring, first, stopping, now, found_by)
            stops = [first[key] for key in fresh & stopping]
            await _suppress(conn, keyring, stops, now)
            reached(CrashPoint.INBOUND_WRITTEN)
    else:
        fresh = await _store(conn, keyring, first, stopping, now, found_by)
    reached(CrashPoint.INBOUND_COMMITTED)
    return Heard(len(fresh), len(fresh & stopping), len(messages) - len(fresh))


def is_opt_out(message: Inbound) -> bool:
    """The provider's own reading or the words say so; START and HELP of the provider do not undo words."""
    return message.opt_out == "STOP" or wants_no_more(message.body)


_Key = tuple[str, str]


async def _store(
    conn: Connection,
    keyring: Keyring,
    messages: Mapping[_Key, Inbound],
    stopping: set[_Key],
    now: datetime,
    found_by: str,
) -> set[_Key]:
    """Store messages, and a case for each that is no opt-out; which of them were new."""
    ones = list(messages.values())
    rows = await fetch(
        conn,
        "store_inbound",
        now=now,
        found_by=found_by,
        channels=column([one.channel for one in ones]),
        providers=column([one.provider_id for one in ones]),
        keys=[keyring.blind(one.channel, one.sender) for one in ones],
        senders=[_sealed(keyring, one, "sender", one.sender) for one in ones],
        recipients=[one.recipient for one in ones],
        bodies=[_sealed(keyring, one, "body", one.body[:BODY_MAX]) for one in ones],
        provider_readings=[one.opt_out for one in ones],
        media=[one.media for one in ones],
        ats=[one.at for one in ones],
        readings=column(["opt_out" if key in stopping else "case" for key in messages]),
    )
    return {(row["channel"], row["provider_id"]) for row in rows}


def _sealed(keyring: Keyring, message: Inbound, name: str, text: str) -> bytes:
    place = inbound_place(name, message.channel, message.provider_id)
    return keyring.seal_loose(text.encode("utf-8", "replace"), place)


async def _suppress(
    conn: Connection, keyring: Keyring, messages: Sequence[Inbound], now: datetime
) -> None:
    if not messages:
        return
    numbers = sorted({(one.channel, keyring.blind(one.channel, one.sender)) for one in messages})
    await close_beyond(conn, numbers, now)
    columns = {"channels": [n[0] for n in numbers], "keys": [n[1] for n in numbers]}
    await execute(conn, "add_numbers_everywhere", **columns)
    await execute(conn, "suppress_everywhere", now=now, reason="opt-out", **columns)


def rules_of(owner: Owner) -> tuple[Pack, ...]:
    """The packs that bind contact with somebody."""
    return binding(installed(owner.packs), owner.packs, owner.region).packs


async def close_beyond(
    conn: Connection,
    numbers: Sequence[Number],
    now: datetime,
    rules: Callable[[Owner], tuple[Pack, ...]] = rules_of,
) -> None:
    """Close what rules close beyond the number: the channel, the loans or the person behind it."""
    what = [
        Closing(owner.portfolio_id, owner.borrower_id, scope, channel)
        for (channel, _), behind in (await confirmations.owners(conn, numbers)).items()
        for owner in behind
        for scope in sorted(_closed(owner, channel, now, rules(owner)))
    ]
    await confirmations.close_more(conn, what, now)


def _closed(owner: Owner, channel: str, now: datetime, packs: tuple[Pack, ...]) -> set[str]:
    """A rule binds on any date that the person's zones show."""
    days = {local_date(now, zone) for zone in owner.zones or ("UTC",)}
    return {scope for day in days for scope in scopes_closed(packs, owner.role, channel, day)}


async def catch_up(
    pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring, channel: str, way: Hears, now: datetime
) -> Mapping[str, int]:
    """Fill in from the provider's list what the webhook missed; a find is an alarm about the receiver."""
    async with pool.acquire() as conn:
        mark = await fetch_value(conn, "inbound_mark", channel=channel, sender=way.sender)
    since = mark - OVERLAP if mark is not None else now - FIRST_LOOK
    missed = opt_outs = 0
    unbroken = True
    for begins, ends in _hours(since, now):
        if not unbroken and ends is not None:
            continue  # of what is left only the newest is looked at: a STOP of now does not wait
        listed = await way.inbound(begins, ends)
        heard = await _take_listed(pool, keyring, listed, now)
        missed, opt_outs = missed + heard.stored, opt_outs + heard.opt_outs
        unbroken = unbroken and listed.complete
        reached(CrashPoint.CATCH_UP_STORED)
        if unbroken:
            async with pool.acquire() as conn:
                await execute(
                    conn, "move_inbound_mark", channel=channel, sender=way.sender,
                    through=ends or now,
                )  # fmt: skip
    if missed:
        _log.warning("inbound_missed", count=missed, opt_outs=opt_outs)
    return {"missed": missed, "incomplete": int(not unbroken)}


def _hours(since: datetime, now: datetime) -> Iterator[tuple[datetime, datetime | None]]:
    """Spans without a gap; the last one is open, because clocks differ."""
    while now - since > 2 * AT_A_TIME:
        yield since, since + AT_A_TIME
        since += AT_A_TIME
    yield since, None


async def _take_listed(
    pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring, listed: InboundList, now: datetime
) -> Heard:
    heard = Heard()
    for start in range(0, len(listed.messages), BATCH):
        batch = listed.messages[start : start + BATCH]
        one = await take_inbound(pool, keyring, batch, now, "list")
        heard = Heard(
            heard.stored + one.stored, heard.opt_outs + one.opt_outs, heard.known + one.known
        )
    return heard


async def ask_the_silent(
    pool: "asyncpg.Pool[asyncpg.Record]",
    portfolio: Portfolio,
    channel: str,
    way: Hears,
    now: datetime,
) -> int:
    """Ask what became of messages that were accepted an hour ago and of which nothing was heard."""
    async with pool.acquire() as conn:
        rows = await fetch(
            conn,
            "silent_attempts",
            portfolio=portfolio.id,
            channel=channel,
            now=now,
            oldest=now - timedelta(days=3),
            newest=now - SILENT_AFTER,
            again=now + 6 * SILENT_AFTER,
            batch=SILENT_BATCH,
        )
    told = [await way.told(row["token"], row["provider_id"], now) for row in rows]
    receipts = [receipt for receipt in told if receipt is not None]
    await apply_receipts(pool, portfolio, receipts, now)
    return len(receipts)

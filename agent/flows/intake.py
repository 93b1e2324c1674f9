"""Ledger events become stored facts: read, route, lock, load, apply (domain), persist.

One transaction a batch. What does not fit is kept with its reason and stops nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import asyncpg
import orjson

from agent.domain.event import Opened, Reason, Rejected
from agent.domain.frame import Role
from agent.flows.behind import Turns, breathe, write_behind
from agent.flows.intake_events import EventRows, write_events
from agent.flows.intake_flags import held_borrowers, read_flags, write_holds
from agent.flows.intake_loans import LoanRows, Work, apply_loans, load_works, write_loans
from agent.flows.intake_people import learn_people, lock_people, write_people
from agent.flows.intake_work import People
from agent.flows.portfolios import Founding, Portfolio, ensure_portfolios
from agent.flows.reading import Read, Unread, read_lines, whole
from agent.flows.routing import (
    PARKED,
    Item,
    Places,
    drop_known,
    find_places,
    in_order,
    place,
    refuse_reopenings,
    wake_parked,
)
from agent.flows.whereabouts import country_of_zone, home_of
from agent.store.keyring import Keyring, line_place
from agent.store.sql import Connection, execute, fetch_value

T = TypeVar("T")
BATCH = 4_000
_SLICE = 50
# loans that are worked out between two looks at what PostgreSQL has done, and that are written together
_FEW = 16
_GROUP = 900
# two imports of one file meet again and again; each time one of them gets further
TRIES = 10
_AGAIN = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that was not applied; the detail names a field, never its content."""

    line: int
    reason: Reason
    detail: str
    event_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """One line of a list of errors: where and why, nothing of what it said."""
        row: dict[str, Any] = {"line": self.line, "reason": self.reason, "detail": self.detail}
        return row if self.event_id is None else {**row, "event": self.event_id}


@dataclass(slots=True)
class Taken:
    """What became of a batch."""

    applied: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unparked: int = 0
    outcomes: int = 0
    problems: list[Problem] = field(default_factory=list)
    # refused until what they wait for comes, and those for which it has come
    waiting: Counter[tuple[str, Reason]] = field(default_factory=Counter)
    came: set[str] = field(default_factory=set)

    def add(self, other: "Taken") -> None:
        """Fold a later batch in. What it brought a thing for that had waited is refused no longer."""
        self.applied += other.applied
        self.duplicates += other.duplicates
        self.rejected += other.rejected
        self.unparked += other.unparked
        self.outcomes += other.outcomes
        self.problems += other.problems
        if other.came:
            self._settle(other.came)
        self.waiting += other.waiting

    def _settle(self, came: set[str]) -> None:
        settled = [key for key in self.waiting if key[0] in came]
        for key in settled:
            times = self.waiting.pop(key)
            self.rejected[key[1]] -= times
            self.duplicates += times - 1
            self.came.add(key[0])
        self.rejected = +self.rejected
        self.problems = [one for one in self.problems if one.event_id not in self.came]

    def refuse(self, line: int, rejected: Rejected, event_id: str | None = None) -> None:
        """Count one line that was kept with a reason."""
        self.rejected[rejected.reason] += 1
        self.problems.append(Problem(line, rejected.reason, rejected.detail, event_id))
        if event_id is not None and rejected.reason in PARKED:
            self.waiting[event_id, rejected.reason] += 1


@dataclass(frozen=True, slots=True)
class Desk:
    """What intake works with.

    Live intake learns of a fact now; with `at_event_time` (replay) it learned of it as it happened.
    """

    pool: "asyncpg.Pool[asyncpg.Record]"
    keyring: Keyring
    origin: str
    schedule: str
    default_portfolio: str = "default"
    lender: str | None = None
    # where a new portfolio and its people are at home; else where the first person it lends to is, and
    # nobody knows of people of whom nothing tells
    home: str | None = None
    packs: tuple[str, ...] = ("house",)
    role: Role | None = None
    at_event_time: bool = False
    turns: Turns = field(default_factory=Turns)


async def take(desk: Desk, lines: Iterable[tuple[int, bytes]], now: datetime) -> Taken:
    """Take numbered lines of CloudEvents, in batches; the same event twice is a no-op.

    One batch is read while the one before it is being stored.
    """
    total = Taken()
    storing: asyncio.Task[Taken] | None = None
    try:
        async for reads, unreads in _batches(desk, lines):
            if storing is not None:
                total.add(await storing)
            storing = asyncio.create_task(take_batch(desk, reads, unreads, now))
        if storing is not None:
            total.add(await storing)
    finally:
        if storing is not None and not storing.done():
            storing.cancel()
    return total


async def _batches(
    desk: Desk,
    lines: Iterable[tuple[int, bytes]],
) -> AsyncIterator[tuple[list[Read], list[Unread]]]:
    coming = iter(lines)
    while batch := list(islice(coming, BATCH)):
        yield await read_in_slices(desk, batch, read_lines)


async def read_in_slices(
    desk: Desk,
    pieces: Sequence[T],
    read: Callable[[Sequence[T]], tuple[list[Read], list[Unread]]],
) -> tuple[list[Read], list[Unread]]:
    """Read a batch ahead, while the one before it only waits for PostgreSQL.

    A thread would not do: the two would take the interpreter from each other.
    """
    reads: list[Read] = []
    unreads: list[Unread] = []
    for start in range(0, len(pieces), _SLICE):
        more, bad = read(pieces[start : start + _SLICE])
        reads += more
        unreads += bad
        await desk.turns.last()
    return reads, unreads


async def take_batch(
    desk: Desk, reads: Sequence[Read], unreads: Sequence[Unread], now: datetime
) -> Taken:
    """Store and apply one batch in one transaction.

    A collision with a concurrent intake (the same new person in both) is settled by doing it again.
    """
    for _ in range(TRIES - 1):
        try:
            return await _transact(desk, reads, unreads, now)
        except _AGAIN:
            continue
    return await _transact(desk, reads, unreads, now)


async def _transact(
    desk: Desk, reads: Sequence[Read], unreads: Sequence[Unread], now: datetime
) -> Taken:
    async with desk.pool.acquire() as conn, conn.transaction():
        taken = Taken()
        if unreads:
            await _keep_lines(conn, desk, unreads, now, taken)
        if reads:
            await _store(conn, desk, reads, now, taken)
        return taken


async def _keep_lines(
    conn: Connection, desk: Desk, unreads: Sequence[Unread], now: datetime, taken: Taken
) -> None:
    for unread in unreads:
        taken.refuse(unread.line, Rejected(unread.reason, unread.detail), unread.event_id)
    await execute(
        conn,
        "keep_lines",
        hashes=[unread.sha256 for unread in unreads],
        origin=desk.origin,
        lines=[unread.line for unread in unreads],
        reasons=[f"{unread.reason}: {unread.detail}" for unread in unreads],
        bodies=[desk.keyring.seal_loose(u.body, line_place(u.sha256)) for u in unreads],
        now=now,
    )


async def _store(
    conn: Connection, desk: Desk, reads: Sequence[Read], now: datetime, taken: Taken
) -> None:
    known = await ensure_portfolios(conn, _foundings(desk, reads), now)
    portfolios = {portfolio.id: portfolio for portfolio in known.values()}
    ids = {name: portfolio.id for name, portfolio in known.items()}
    places = await find_places(conn, [r.event for r in reads], ids, desk.default_portfolio)
    items = []
    for read in reads:
        portfolio_id, refused = place(read.event, places, ids, desk.default_portfolio)
        known_at = read.event.at if desk.at_event_time else now
        items.append(Item(read.event, known_at, portfolio_id, read, refused=refused))
    found = await drop_known(conn, items)
    taken.duplicates = found.duplicates
    if found.reused:
        await _keep_lines(conn, desk, [_reused(item) for item in found.reused], now, taken)
    woken: list[Item] = []
    if found.fresh:
        people = await lock_people(conn, desk.keyring, places)
        woken = await wake_parked(conn, desk.keyring, found.fresh, places, ids)
        work = in_order([*found.fresh, *woken])
        refuse_reopenings(work, places)
        taken.outcomes = await _apply(conn, desk, _Known(portfolios, places, people), work, now)
        for item in work:
            _count(item, taken)
    _count_again(found.still_refused, woken, taken)


class _Known(NamedTuple):
    """What a batch is about, as it was before."""

    portfolios: dict[int, Portfolio]
    places: Places
    people: People


async def _apply(
    conn: Connection, desk: Desk, known: _Known, work: Sequence[Item], now: datetime
) -> int:
    """Apply a batch and store what it changes; returns how many outcomes that made.

    Loans are written group by group: PostgreSQL has the first before the last is worked out.
    """
    keyring, (portfolios, places, people) = desk.keyring, known
    changes = await learn_people(conn, keyring, portfolios, people, work)
    works = await load_works(conn, places, people, work)
    held = await held_borrowers(conn, people, work)
    step, outcomes = await fetch_value(conn, "next_step"), 0
    for position, item in enumerate(work):
        item.position = position
    async with write_behind() as behind:
        behind.add(write_people(conn, people, changes, now))
        with desk.turns.first():
            for group in _cut(works, _GROUP):
                loans, events = LoanRows(), EventRows(step)
                for some in _cut(group, _FEW):
                    for loan in apply_loans(some, portfolios, people):
                        loans.add(loan, people)
                    events.add(keyring, people, [item for loan in some for item in loan.items])
                    await breathe()
                outcomes += len(loans.outcomes)
                behind.add(write_loans(conn, loans))
                behind.add(write_events(conn, events))
        behind.add(write_holds(conn, held, read_flags(people, work, places), now))
        others = EventRows(step)
        others.add(keyring, people, [item for item in work if not item.applies])
        behind.add(write_events(conn, others))
    return outcomes


def _cut(works: Sequence[Work], size: int) -> Iterator[Sequence[Work]]:
    for start in range(0, len(works), size):
        yield works[start : start + size]


def _foundings(desk: Desk, reads: Sequence[Read]) -> Mapping[str, Founding]:
    """A new portfolio takes its zone and locale from the first person it lends to."""
    wanted: dict[str, Founding] = {}
    for read in reads:
        fact = read.event.fact
        if isinstance(fact, Opened):
            name = read.event.portfolio or desk.default_portfolio
            if name not in wanted:
                zone = desk.home or home_of(fact.person, read.event.at)
                locale = fact.person.locale or "en"
                wanted[name] = Founding(
                    zone, locale, desk.lender or name, desk.schedule, desk.packs, desk.role,
                    country_of_zone(desk.home) if desk.home else None,
                )  # fmt: skip
    return wanted


def _reused(item: Item) -> Unread:
    """An id that came again with another content: kept apart, the first one stands."""
    assert item.read is not None
    hidden = orjson.loads(item.read.personal) if item.read.personal else {}
    event = {"id": item.event.id, "type": item.event.type, "time": item.event.at.isoformat()}
    event["subject"] = item.event.subject
    body = orjson.dumps({**event, "data": whole(item.read.public, hidden)})
    return Unread(Reason.ID_REUSED, "id", item.line, item.read.sha256, body, item.event.id)


def _count(item: Item, taken: Taken) -> None:
    if item.refused is None:
        taken.applied += 1
        if item.read is None:
            taken.unparked += 1
            taken.came.add(item.event.id)
    elif item.read is not None:
        taken.refuse(item.line, item.refused, item.event.id)


def _count_again(still: Sequence[Item], woken: Sequence[Item], taken: Taken) -> None:
    """An event that was refused before is still refused, unless this batch brought what it waited for."""
    applied = {(item.event.source, item.event.id) for item in woken if item.refused is None}
    for item in still:
        if (item.event.source, item.event.id) in applied:
            taken.duplicates += 1
        elif item.refused is not None:
            taken.refuse(item.line, item.refused, item.event.id)

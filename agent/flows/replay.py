"""Replay: a portfolio's history through the production flows, on a virtual clock.

Same SQL, same gate, same dispatch; only the clock is told where to go next. It stops wherever
something can happen: at the ladder's clock times in every zone, when a snoozed notice comes back,
when a receipt or a proof is due. Facts are taken in before anything is decided at their instant.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import asyncpg

from agent.clock import VirtualClock, seconds
from agent.domain.calendar import ONE_DAY, instant, local_date
from agent.domain.event import Opened, Updated
from agent.domain.frame import Role
from agent.domain.message import Texts
from agent.flows.dispatch import LaneCounts, run_lane
from agent.flows.growth import Growth
from agent.flows.intake import BATCH, Desk, Taken, take_batch
from agent.flows.lane import Lane, Limits
from agent.flows.passed_over import sweep_held
from agent.flows.passing import lift_holds, pass_time
from agent.flows.planning import plan
from agent.flows.portfolios import Portfolio, ladder_of, load_portfolios
from agent.flows.reading import Read, Unread
from agent.flows.receipts import apply_receipts
from agent.flows.rescue import rescue
from agent.flows.rules import packs, texts
from agent.flows.whereabouts import home_of
from agent.store.keyring import Keyring
from agent.store.sql import fetch_row, fetch_value
from channels.base import PUSH, SMS, Channel, Receipt
from channels.sandbox.channel import SandboxChannel
from channels.sandbox.network import SandboxNetwork

# A business-day shift moves a stage by less than this.
SHIFT_MAX = timedelta(days=15)
PLAN_EVERY = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class History:
    """What is replayed, in order of time."""

    reads: tuple[Read, ...]
    unreads: tuple[Unread, ...]

    @property
    def events(self) -> int:
        """All that the file holds, what is no event included."""
        return len(self.reads) + len(self.unreads)

    @property
    def first(self) -> datetime:
        return self.reads[0].event.at


@dataclass(slots=True)
class Played:
    """What a replay did and how long each part of it took."""

    taken: Taken = field(default_factory=Taken)
    planned: int = 0
    counts: LaneCounts = field(default_factory=LaneCounts)
    until: datetime | None = None
    steps: int = 0
    phases: dict[str, float] = field(default_factory=dict)


Progress = Callable[[int, datetime], None]


async def _nothing(_at: datetime) -> None:
    return


@dataclass(frozen=True, slots=True)
class Hooks:
    """What somebody who looks on does on the way to an instant, and once it is over; who dispatches."""

    before: Callable[[datetime], Awaitable[None]] = _nothing
    after: Callable[[datetime], Awaitable[None]] = _nothing
    # stop at each event, too, instead of taking it in at the next instant of the ladder
    every_event: bool = False
    dispatch: Callable[[Lane], Awaitable[LaneCounts]] = run_lane


def in_time(reads: Sequence[Read], unreads: Sequence[Unread]) -> History:
    """A history whose events stand in order of time; those of one instant stay as they were."""
    return History(tuple(sorted(reads, key=lambda read: read.event.at)), tuple(unreads))


class _Due(NamedTuple):
    """When the next notice, unsettled attempt, end of a hold and new bucket want to be looked at."""

    notice: datetime | None = None
    look: datetime | None = None
    hold_end: datetime | None = None
    bucket: datetime | None = None


class Replay:
    """One run. The database is its own; the network of phones is the sandbox's."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        keyring: Keyring,
        history: History,
        *,
        schedule: str,
        pack_names: Sequence[str],
        network: SandboxNetwork,
        lender: str | None = None,
        role: Role | None = None,
        said: Texts | None = None,
        hooks: Hooks = Hooks(),
    ) -> None:
        self._hooks, self._texts = hooks, said or texts()
        self.clock = VirtualClock(history.first)
        self.network = network
        self.played = Played()
        self.lanes: dict[int, Lane] = {}
        self._pool, self._keyring, self._history = pool, keyring, history
        self.packs = packs(pack_names)
        self._desk = Desk(
            pool, keyring, "replay", schedule, lender=lender, packs=tuple(pack_names), role=role,
            at_event_time=True,
        )  # fmt: skip
        self.ladder = ladder_of(schedule)
        self._channels: dict[str, Channel] = {
            name: SandboxChannel(network, name, self.clock.now, self.clock.monotonic)
            for name in (SMS, PUSH)
        }
        self._taken_to = 0
        self._due = _Due()
        self._looked = False
        self._stirred = False
        self._dirty = False
        # whether any loan is held: those are looked at every midnight
        self._held = False
        self._planned_at = history.first - PLAN_EVERY
        self._growth = Growth(pool)
        # the portfolios that the history may still bring
        opened = (read.event for read in history.reads if isinstance(read.event.fact, Opened))
        self._to_come = {event.portfolio or self._desk.default_portfolio for event in opened}

    async def run(self, until: datetime | None, progress: Progress) -> Played:
        """Play until nothing more can become due, or until an instant, that instant included."""
        if until is not None and until < self._history.first:
            self.played.until = until
            return self.played
        clock_times = self._clock_times()
        upcoming = next(clock_times)
        await self._step(self._history.first)
        while True:
            while upcoming <= self.clock.now():
                upcoming = next(clock_times)
            if not self._looked:
                await self._look_ahead()
            while self._idle_at(upcoming):
                upcoming = next(clock_times)
            at = await self._next(upcoming)
            if at is None:
                break
            if until is not None and at > until:
                # a bucket and a fact wake nobody: what of them came since the last step is known, too
                if until > self.clock.now():
                    await self._visit(until, progress)
                break
            await self._visit(at, progress)
        await self._end(until)
        return self.played

    async def _visit(self, at: datetime, progress: Progress) -> None:
        await self._hooks.before(at)
        self.clock.advance_to(at)
        await self._step(at)
        progress(self._taken_to, at)
        if self._hooks.after is not _nothing:
            await self._hooks.after(at)
            self._looked = False

    def _clock_times(self) -> Iterator[datetime]:
        """The ladder's clock times in every zone, in order: a zone's day begins while another's ends."""
        zones = _zones(self._history.reads)
        clocks = sorted({stage.at for stage in self.ladder.stages})
        day: date = local_date(self._history.first, "UTC") - ONE_DAY
        coming: set[datetime] = set()
        while True:
            coming |= {instant(day, at, zone) for at in clocks for zone in zones}
            day += ONE_DAY
            # no zone's next day begins earlier than this
            settled = datetime.combine(day, time(), UTC) - timedelta(hours=15)
            yield from sorted(at for at in coming if at < settled)
            coming = {at for at in coming if at >= settled}

    async def _look_ahead(self) -> None:
        async with self._pool.acquire() as conn:
            row = await fetch_row(conn, "next_instants")
        assert row is not None
        *due, self._held = row
        self._due, self._looked = _Due(*due), True

    def _idle_at(self, upcoming: datetime) -> bool:
        """Whether a step at this clock time would find nothing to take in, to plan, to tell or to send."""
        left = self._history.reads[self._taken_to : self._taken_to + 1]
        if self._dirty or self._hooks.every_event or not (left or any(self._due)):
            return False
        wanted = (*self._due, *(read.event.at for read in left), self._planned_at + PLAN_EVERY)
        return all(at is None or at > upcoming for at in wanted)

    async def _next(self, upcoming: datetime) -> datetime | None:
        """The next instant at which something can happen; None when nothing can any more."""
        due, midnight = self._due, _next_midnight(self.clock.now()) if self._held else None
        clock_time: datetime | None = upcoming
        if self._taken_to == len(self._history.reads) and (self._held or not any(due)):
            async with self._pool.acquire() as conn:
                last = await fetch_value(conn, "last_anchor")
            if not self._can_come(last, upcoming):
                if not any(due):
                    return None
                # a hold may end in many years: until then nothing comes to anybody but a bucket
                midnight, clock_time = None, upcoming if due.bucket else None
        # a bucket is told with the midnight at which it began, whenever that is noticed
        told = (
            due.notice, due.look, due.hold_end, self.network.next_receipt_at(), clock_time,
            self._next_event(), midnight,
        )  # fmt: skip
        return max(min(at for at in told if at is not None), self.clock.now())

    def _next_event(self) -> datetime | None:
        reads = self._history.reads
        if not self._hooks.every_event or self._taken_to == len(reads):
            return None
        return reads[self._taken_to].event.at

    def _can_come(self, last_anchor: date | None, upcoming: datetime) -> bool:
        """Whether the ladder still has something to say about the youngest open loan."""
        if last_anchor is None:
            return False
        longest = max(stage.offset_days for stage in self.ladder.stages)
        end = last_anchor + timedelta(days=longest) + SHIFT_MAX
        return local_date(upcoming, "UTC") <= end

    async def _step(self, at: datetime) -> None:
        """Facts first, then what they and the hour call for."""
        self.played.steps += 1
        self._looked = False
        await self._timed("intake", self._take(at))
        await self._timed("receipts", self._receipts(at))
        await self._timed("time", self._pass(at))
        await self._timed("planning", self._plan(at))
        await self._timed("dispatch", self._dispatch(at))
        await self._growth.note(self.played.taken.applied + self.played.planned)

    async def _timed(self, phase: str, work: Awaitable[None]) -> None:
        begun = seconds()
        await work
        spent = self.played.phases.get(phase, 0.0)
        self.played.phases[phase] = spent + seconds() - begun

    async def _take(self, at: datetime) -> None:
        """Everything that happened up to an instant becomes known, each fact when it happened."""
        reads = self._history.reads
        unreads = () if self._taken_to else self._history.unreads
        while self._taken_to < len(reads) and reads[self._taken_to].event.at <= at:
            end = self._taken_to
            while end < len(reads) and end - self._taken_to < BATCH and reads[end].event.at <= at:
                end += 1
            batch = reads[self._taken_to : end]
            self.played.taken.add(await take_batch(self._desk, batch, unreads, at))
            unreads, self._taken_to = (), end
            self._dirty = True

    async def _receipts(self, at: datetime) -> None:
        """Each receipt comes back to the portfolio whose address it was given."""
        told: dict[int, list[Receipt]] = {}
        for posted in self.network.post(at):
            assert posted.status_url is not None
            told.setdefault(int(posted.status_url.split("/")[1]), []).append(posted.receipt)
        for portfolio_id, receipts in told.items():
            portfolio = self.lanes[portfolio_id].portfolio
            applied = await apply_receipts(self._pool, portfolio, receipts, at)
            self._stirred |= applied.notices > 0

    async def _pass(self, at: datetime) -> None:
        if _is_due(self._due.bucket, at):
            await pass_time(self._pool, at)
        if _is_due(self._due.hold_end, at) and await lift_holds(self._pool, at):
            self._dirty = True
        if self._held and at == _next_midnight(at) - ONE_DAY:
            await sweep_held(self._pool, at)

    async def _plan(self, at: datetime) -> None:
        """What the tick does every minute; between two facts it would make nothing."""
        if not self._dirty and at < self._planned_at + PLAN_EVERY:
            return
        await self._open_lanes(at)
        for lane in self.lanes.values():
            planned = await plan(self._pool, lane.portfolio, at)
            self.played.planned += planned
            self._stirred |= planned > 0
        self._dirty, self._planned_at = False, at

    async def _open_lanes(self, at: datetime) -> None:
        if not self._to_come:
            return
        async with self._pool.acquire() as conn:
            known = await load_portfolios(conn, at)
        self._to_come -= known.keys()
        for portfolio in known.values():
            if portfolio.id not in self.lanes:
                self.lanes[portfolio.id] = self._lane(portfolio)

    def _lane(self, portfolio: Portfolio) -> Lane:
        return Lane(
            self._pool,
            self._keyring,
            self.clock,
            portfolio,
            self.packs,
            self._texts,
            self._channels,
            # one at a time: the order of what happens at one instant is part of the result
            Limits(at_once=1, record_every=500, spread_retries=False),
            status_url=f"replay/{portfolio.id}",
        )

    async def _dispatch(self, at: datetime) -> None:
        """Look where something is due; what this step itself makes due is found by the next look."""
        before = self._due
        if self._stirred:
            await self._look_ahead()
        wanted = _is_due(before.notice, at) or _is_due(self._due.notice, at)
        for lane in self.lanes.values():
            if _is_due(before.look, at):
                await rescue(lane)
                self._looked = False
            if wanted:
                self.played.counts.merge(await self._hooks.dispatch(lane))
                self._looked = False
        self._stirred = False

    async def _end(self, until: datetime | None) -> None:
        """The last receipts come in; what happened after `until` stays unknown."""
        self.played.until = until or self.clock.now()
        last = self.network.next_receipt_at()
        while last is not None and (until is None or last <= until):
            self.clock.advance_to(max(last, self.clock.now()))
            await self._receipts(self.clock.now())
            last = self.network.next_receipt_at()


def _is_due(instant_at: datetime | None, at: datetime) -> bool:
    return instant_at is not None and instant_at <= at


def _next_midnight(at: datetime) -> datetime:
    """The next one of UTC: the same whatever else a history makes us stop for."""
    return datetime.combine(at.astimezone(UTC).date() + ONE_DAY, time(), UTC)


def _zones(reads: Sequence[Read]) -> tuple[str, ...]:
    """Every zone that a loan of this history may count its days in."""
    zones = set()
    for read in reads:
        fact = read.event.fact
        if isinstance(fact, Opened):
            zones.add(home_of(fact.person, read.event.at))
        elif isinstance(fact, Updated) and fact.person.zones:
            zones.add(fact.person.zones[0])
    return tuple(sorted(zones or {"UTC"}))

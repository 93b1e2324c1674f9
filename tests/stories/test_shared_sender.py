"""Two lenders text by one sender: neither starves the other, and what piled up drains, never floods.

On a clock that moves when everybody waits for it, with the workers' own lanes; the phones' network and
the provider keep the log that is asserted.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

import asyncpg
import orjson
import pytest

from agent.domain.calendar import local_time
from agent.entry.worker import Lanes
from agent.flows.dispatch import Stop, run_lane
from agent.flows.intake import Desk, take
from agent.flows.lane import Limits
from agent.flows.senders import Act, Forced, Known, Order, force
from agent.store import ticks
from agent.store.keyring import Keyring
from channels.base import Accepted, Answer, Listing, Message
from tests.flows.test_carriers import carrier
from tests.support.timeline import Timeline
from tests.support.world import LAGOS, World, ladder_toml, stage_toml, utc

DUE = date(2026, 3, 3)
NEXT = date(2026, 3, 4)
SECOND = timedelta(seconds=1)
SENDER = "+15005550006"
STAGE = stage_toml("due-today", 0, time(9), message="due-today", not_after_hours=30)


@dataclass
class Network:
    """A provider that takes its time; its own log of what it took, and when."""

    clock: Timeline
    latency: float = 0.0
    log: list[tuple[datetime, str]] = field(default_factory=list)

    async def send(self, message: Message) -> Answer:
        self.log.append((self.clock.now(), message.address))
        await self.clock.sleep(self.latency)
        return Accepted(f"SM{message.token}")

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=True)

    def times(self, prefix: str = "+") -> list[datetime]:
        return [at for at, address in self.log if address.startswith(prefix)]


class Late(Timeline):
    """The same clock, as a worker has it that wakes up late each time."""

    def __init__(self, clock: Timeline, seconds: float) -> None:
        self._clock = clock
        self._late = seconds

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds + self._late)


@pytest.fixture
def clock(pool: asyncpg.Pool) -> Timeline:
    return Timeline(utc("2026-03-02T09:00"), pool)


async def settled(world: World, people: int, prefix: str) -> None:
    """So many people with a loan that is due, all at once."""
    desk = Desk(world.pool, world.keyring, world.name, world.schedule, world.name, "Sunrise")
    lines = [
        (number, orjson.dumps({
            "specversion": "1.0", "id": f"{world.name}-{number}", "source": "test",
            "type": "loan.opened", "subject": f"{world.name}-{number}", "time": world.clock.now(),
            "data": {
                "portfolio": world.name, "currency": "NGN",
                "installments": [{"number": 1, "due_on": DUE, "amount": "100.00"}],
                "borrower": {
                    "id": f"{world.name}-{number}", "locale": "en-NG", "timezones": [LAGOS],
                    "contacts": [{"channel": "sms", "address": f"{prefix}{number:07d}",
                                  "consent": {"source": "application"}}],
                },
            },
        }))
        for number in range(1, people + 1)
    ]  # fmt: skip
    taken = await take(desk, lines, world.clock.now())
    assert taken.applied == people
    await world.plan()


@dataclass
class Worker:
    """One process: the production lanes, woken every second by what is due."""

    worlds: Sequence[World]
    network: Network
    parts_per_second: float
    parts: int | None = None
    stop: Stop = field(default_factory=Stop)

    async def live(self, until: datetime) -> None:
        clock, pool = self.network.clock, self.worlds[0].pool
        bound = carrier(self.parts_per_second)
        if self.parts is not None:
            bound = replace(bound, parts_of=lambda _text: self.parts or 1)
        by_id = {(await world.portfolio()).id: world for world in self.worlds}

        async def run(lane: int, stop: Stop) -> None:
            limits = Limits(batch=200, at_once=64, record_every=1, spread_retries=False)
            opened = await by_id[lane].lane(
                channels={"sms": self.network}, carriers={"sms": bound}, limits=limits
            )
            await run_lane(opened, stop)

        lanes = Lanes(run, at_once=2)
        while clock.now() < until and not self.stop.asked:
            async with pool.acquire() as conn:
                due = await ticks.due_lanes(conn, clock.now())
            for lane in due:
                lanes.wake(lane)
            await clock.sleep(1.0)
        assert await lanes.drain()


def busiest(times: Sequence[datetime], span: timedelta = SECOND) -> int:
    """The most of them within any span."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= span:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("latency", [0.02, 0.4])
async def test_a_minute_at_the_limit_is_used_to_the_full_and_never_exceeded(
    pool: asyncpg.Pool, keyring: Keyring, clock: Timeline, latency: float
) -> None:
    """Twenty parts a second for a minute; after half of it one worker leaves and another takes over."""
    town = World(pool, keyring, clock, schedule=ladder_toml(STAGE))
    await settled(town, 1400, "+234801")
    town.wait_to(DUE, "09:05")
    network, began = Network(clock, latency), clock.now()
    first, second = Worker([town], network, 20.0, 1), Worker([town], network, 20.0, 1)

    async def handed_over() -> None:
        await clock.sleep(30)
        first.stop.asked = True
        await second.live(began + timedelta(seconds=62))

    await clock.live(first.live(began + timedelta(seconds=62)), handed_over())
    minute = [at for at in network.times() if at < began + timedelta(seconds=60)]
    assert len(minute) >= 0.95 * 20 * 60
    assert busiest(network.times()) <= 1.05 * 20
    assert len({address for _, address in network.log}) == len(network.log)


async def test_texts_of_two_parts_keep_to_the_limit_while_workers_die(
    pool: asyncpg.Pool, keyring: Keyring, clock: Timeline
) -> None:
    """Three workers at twenty parts a second; two of them are late all the time, and die in the middle."""
    clocks = (clock, Late(clock, 0.06), Late(clock, 0.035))
    places = [
        [World(pool, keyring, each, schedule=ladder_toml(STAGE), name=name) for each in clocks]
        for name in ("town", "village")
    ]
    for prefix, (world, *_) in enumerate(places, start=1):
        await settled(world, 400, f"+23480{prefix}")
    places[0][0].wait_to(DUE, "09:05")
    network, began = Network(clock, 0.1), clock.now()
    until = began + timedelta(seconds=40)
    first, second, third = (
        Worker([town, village], network, 20.0, 2) for town, village in zip(*places, strict=True)
    )

    async def dies(worker: Worker, seconds: float) -> None:
        life = asyncio.create_task(worker.live(until))
        await clock.sleep(seconds)
        life.cancel()
        await asyncio.wait([life])

    await clock.live(first.live(until), dies(second, 8.3), dies(third, 14.15))
    assert 2 * busiest(network.times()) <= 20
    assert 2 * len([at for at in network.times() if at < until]) >= 0.9 * 20 * 40


class Stalling(Timeline):
    """A machine that stands still for two seconds: whoever should have woken meanwhile wakes after it."""

    stalls_at: datetime | None = None

    async def sleep(self, seconds: float) -> None:
        wakes = self.now() + timedelta(seconds=seconds)
        if self.stalls_at and self.stalls_at <= wakes < self.stalls_at + 2 * SECOND:
            seconds = (self.stalls_at + 2 * SECOND - self.now()).total_seconds()
        await super().sleep(seconds)


async def test_after_a_stall_they_do_not_leave_all_at_once(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    clock = Stalling(utc("2026-03-02T09:00"), pool)
    town = World(pool, keyring, clock, schedule=ladder_toml(STAGE))
    await settled(town, 500, "+234801")
    town.wait_to(DUE, "09:05")
    network, began = Network(clock, 0.1), clock.now()
    clock.stalls_at = began + timedelta(seconds=5)
    await clock.live(Worker([town], network, 20.0, 1).live(began + timedelta(seconds=20)))
    assert busiest(network.times()) <= 1.05 * 20
    # what was late is made up for, little by little
    done = [at for at in network.times() if at < began + timedelta(seconds=20)]
    assert len(done) >= 18 * 20


async def test_a_large_backlog_of_one_lender_does_not_starve_another(
    pool: asyncpg.Pool, keyring: Keyring, clock: Timeline
) -> None:
    town = World(pool, keyring, clock, schedule=ladder_toml(STAGE))
    village = World(pool, keyring, clock, schedule=ladder_toml(STAGE), name="village")
    hamlet = World(pool, keyring, clock, schedule=ladder_toml(STAGE), name="hamlet")
    await settled(town, 800, "+234801")
    await settled(village, 30, "+234802")
    await settled(hamlet, 30, "+234803")
    town.wait_to(DUE, "09:05")
    network, began = Network(clock, 0.1), clock.now()
    worker = Worker([town, village, hamlet], network, 10.0, 1)
    await clock.live(worker.live(began + timedelta(seconds=45)))
    for prefix in ("+234802", "+234803"):
        assert len(network.times(prefix)) == 30
        # a third of the line is theirs: thirty messages at three a second, and the line before them
        assert network.times(prefix)[-1] - began <= timedelta(seconds=20)
    # nobody waits for those who are done: all of the line is used
    assert len([at for at in network.times() if at < began + timedelta(seconds=40)]) >= 0.95 * 400
    assert busiest(network.times()) <= 11


async def test_many_lenders_at_a_slow_sender_take_turns(
    pool: asyncpg.Pool, keyring: Keyring, clock: Timeline
) -> None:
    worlds = [
        World(pool, keyring, clock, schedule=ladder_toml(STAGE), name=f"place-{n}")
        for n in range(8)
    ]
    for number, world in enumerate(worlds):
        await settled(world, 40, f"+23480{number}")
    worlds[0].wait_to(DUE, "09:05")
    network, began = Network(clock, 0.1), clock.now()
    await clock.live(Worker(worlds, network, 2.0, 1).live(began + timedelta(seconds=80)))
    used = [at for at in network.times() if at < began + timedelta(seconds=80)]
    assert len(used) >= 0.95 * 160
    # once each of them has come for its first share
    later = began + timedelta(seconds=20)
    shares = [sum(at >= later for at in network.times(f"+23480{n}")) for n in range(8)]
    assert min(shares) >= 0.6 * max(shares), shares


async def test_what_piled_up_drains_inside_the_window_and_goes_on_in_the_morning(
    pool: asyncpg.Pool, keyring: Keyring, clock: Timeline
) -> None:
    """The sender was stopped all day and is started four minutes before the contact window closes."""
    town = World(pool, keyring, clock, schedule=ladder_toml(STAGE))
    await settled(town, 500, "+234801")
    town.wait_to(DUE, "09:05")
    network, known = Network(clock, 0.2), (Known("sms", SENDER, 4.0),)

    async def staff(act: Act) -> None:
        order = Order(act, "sms", SENDER)
        done = await force(pool, known, order, reason="test", by="ann", clock=clock)
        assert isinstance(done, Forced)

    await staff(Act.OPEN)
    await clock.live(Worker([town], network, 4.0, 2).live(clock.now() + timedelta(seconds=5)))
    assert network.log == []
    town.wait_to(DUE, "19:56")
    await staff(Act.CLOSE)
    await clock.live(Worker([town], network, 4.0, 2).live(town.at(DUE, "20:05")))
    evening = len(network.log)
    # two texts a second for four minutes less the guard, and not five hundred at once
    assert 0.9 * 2 * 220 <= evening <= 2 * 240
    town.wait_to(NEXT, "08:00")
    await clock.live(Worker([town], network, 4.0, 2).live(town.at(NEXT, "08:04")))
    assert len(network.log) == len({address for _, address in network.log}) == 500
    for at in network.times():
        assert time(8, 1) <= local_time(at, LAGOS) < time(20)
    assert busiest(network.times()) <= 2
    assert busiest(network.times(), timedelta(seconds=10)) <= 21
    people = await town.rows(
        "select count(*) from attempt group by borrower_id having count(*) > 1"
    )
    assert people == []

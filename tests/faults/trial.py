"""One trial: the parts of `duly serve` are killed, stopped and left without a database while they work.

Time is real while anybody sends, and moves ahead between waves, when nobody does: rescue looks five
minutes apart. In the end everything is well again, and what is left over must settle itself.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from signal import SIGALRM, SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import asyncpg
from aiohttp.test_utils import unused_port

from agent import config
from agent.domain.delivery import DISPATCH_WINDOW
from agent.entry.duties import duties
from agent.entry.server import with_channels
from agent.flows.dispatch import run_lane
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from agent.wiring import open_system
from channels.crash_points import CrashPoint
from tests.conftest import TEST_MASTER_KEY
from tests.entry.command import duly
from tests.faults.verdict import Verdict, judge
from tests.support.crashing_postgres import WAYS, CrashingPostgres
from tests.support.shared_clock import SharedClock
from tests.support.staff import Staff, staff
from tests.support.staff_process import DUTIES, NO_DATABASE
from tests.support.twilio_process import Provider, twilio_process
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN
from tests.support.village import afternoon, move_in
from tests.support.waiting import until

SENDER = "+15005550006"
CALLBACKS: Mapping[str, Any] = {"lose_callback": 0.05, "double_callback": 0.3, "shuffle": True}
ROUGH: Mapping[str, Any] = {
    **CALLBACKS, "lose_answer": 0.07, "hang": 0.005, "drop": 0.02, "too_many": 0.003,
    "undelivered": 0.2, "error_code": 30005,
    "retry_after": None, "list_lag": 2.0, "delay": 0.1, "latency": 0.1,
}  # fmt: skip
CREW = ("worker", "worker", "worker", "api", DUTIES)
STAGES = {
    "worker": ("begin", "send", "record"),
    "api": ("receipts", "inbound"),
    DUTIES: ("rescue", "catch-up"),
}
ARMED = 0.5
PASSES = {"send": 12, "receipts": 12}
# What a receipt says of a number is written in a transaction of several statements; most need one.
RARE = {CrashPoint.RECEIPTS_WRITTEN}
MOMENT = (0.05, 0.25)
SAYS_STOP = 0.2
SILENT = "select count(*) from attempt where state in ('accepted', 'sent')"
# Longer than a horizon: whatever was looked at before is looked at again.
AHEAD = timedelta(minutes=6, seconds=30)
HEALING_ROUNDS = 40
SILENT_ROUNDS = 24
OVERSLEPT = DISPATCH_WINDOW.total_seconds() + 0.5


def points_of(kind: str) -> list[CrashPoint]:
    """Where a part of this kind may end."""
    return [point for point in CrashPoint if point.partition(".")[0] in STAGES[kind]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done to the parts in one trial."""

    kills: int = 40
    crashes: int = 4
    stops: int = 0
    waves: int = 3
    people: int = 130
    parts_per_second: float = 1000.0


@dataclass(slots=True)
class Tally:
    """What was done, and what it came to."""

    kills: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    away: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    asleep: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    provider: Counter[str] = field(default_factory=Counter)
    stops: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    def add(self, other: "Tally") -> None:
        """Count another trial in."""
        for name in ("kills", "points", "crashes", "asleep", "exits", "errors", "provider"):
            getattr(self, name).update(getattr(other, name))
        self.away += other.away
        self.again += other.again
        self.stops += other.stops
        self.verdict.add(other.verdict)


@dataclass(slots=True)
class Trial:
    """A database, a provider and a staff of one trial."""

    postgres: CrashingPostgres
    database_url: str
    clock: SharedClock
    twilio: Provider
    staff: Staff
    settings: Mapping[str, Any]
    rng: Random
    plan: Plan
    began: datetime
    tally: Tally = field(default_factory=Tally)
    people: int = 0
    stops: dict[str, str] = field(default_factory=dict)
    asleep: dict[int, float] = field(default_factory=dict)
    armed: set[int] = field(default_factory=set)

    async def ask(self, statement: str, *values: Any) -> Any:
        """One value from the database, over a connection of its own."""
        conn = await asyncpg.connect(self.database_url)
        try:
            return await conn.fetchval(statement, *values)
        finally:
            await conn.close()

    async def move_in(self, people: int) -> None:
        """More people whose notice is due at once."""
        pool = await open_pool(self.database_url, max_size=2)
        try:
            numbers = range(self.people + 1, self.people + people + 1)
            place = afternoon(self.began)
            await move_in(pool, Keyring(TEST_MASTER_KEY), numbers, self.clock.now(), place)
        finally:
            await pool.close()
        self.people += people

    async def untouched(self) -> int:
        """Notices that nobody has taken up."""
        count: int = await self.ask(
            "select count(*) from notice where state = 'waiting' and next_at <= $1",
            self.clock.now(),
        )
        return count

    async def heard(self, messages: int) -> None:
        """Wait until the provider has accepted so many."""

        async def enough() -> bool:
            return len(self.twilio.accepted()) >= messages

        await until(enough, 30, f"{messages} messages are accepted")

    # what is done to them

    async def wave(self, kills: int, crashes: int, stops: int) -> None:
        """Kill, crash and stop until the numbers are reached, always with work at hand."""
        await self.move_in(self.plan.people)
        for kind in CREW:
            await self.hire(kind)
        for _ in range(stops):
            await self.stop_one()
        done = 0
        while done < kills or crashes:
            await asyncio.sleep(self.rng.uniform(*MOMENT))  # this is the random moment
            done += await self.replace()
            if crashes and self.rng.random() * (kills - done + crashes + 1) < crashes:
                crashes -= 1
                await self.crash()
            elif done < kills:
                self.kill()
            await self.keep_busy()
            if self.rng.random() < SAYS_STOP:
                await self.somebody_says_stop()
        await self.wake_up()
        await self.clear_out()

    async def keep_busy(self) -> None:
        """There is always work that nobody has taken up."""
        if await self.untouched() < 20:
            await self.move_in(40)

    async def hire(self, kind: str) -> None:
        """One more, who may carry a crash point."""
        if self.rng.random() >= ARMED:
            await self.staff.hire(kind)
            return
        point = self.rng.choice(points_of(kind))
        most = 3 if point in RARE else PASSES.get(point.partition(".")[0], 3)
        passes = self.rng.randint(1, most)
        self.armed.add(await self.staff.hire(kind, point, passes))

    def kill(self) -> None:
        """SIGKILL to anybody who is awake; those who carry a point are left to come there."""
        awake = [pid for pid in self.staff.working if pid not in self.asleep]
        if awake:
            os.kill(
                self.rng.choice([pid for pid in awake if pid not in self.armed] or awake), SIGKILL
            )

    async def replace(self) -> int:
        """A successor for each who ended; how many of them were killed."""
        kinds = dict(self.staff.working)
        gone = await self.staff.gone()
        for pid in gone:
            await self.hire(kinds[pid])
        return list(gone.values()).count(-SIGKILL)

    async def crash(self) -> None:
        """PostgreSQL goes, with everything that was not committed, and comes back."""
        how = self.rng.choice(WAYS)
        self.tally.away.append(await self.postgres.crash(how))
        self.tally.crashes[how.name] += 1
        began, before = time.monotonic(), await self.ask("select count(*) from decision")
        if not await self.untouched():
            return

        async def decides() -> bool:
            await self.replace()
            return bool(await self.ask("select count(*) from decision") > before)

        await until(decides, 30, "a notice is claimed after a crash")
        self.tally.again.append(time.monotonic() - began)

    async def stop_one(self) -> None:
        """A worker that does not run any more, with messages in its hands, and is not dead."""
        point = self.rng.choice((CrashPoint.SEND_READY, CrashPoint.SEND_WRITTEN))
        pid = await self.staff.hire("worker", point, self.rng.randint(1, 8), SIGSTOP)

        async def asleep() -> bool:
            await self.replace()
            await self.keep_busy()
            return self.staff.asleep(pid)

        await until(asleep, 30, f"somebody stops at {point}")
        self.asleep[pid] = time.monotonic()

    async def wake_up(self) -> None:
        """Let those run on of whom every deadline is past of what they had in their hands."""
        for pid, since in self.asleep.items():
            await asyncio.sleep(max(0.0, since + OVERSLEPT - time.monotonic()))
            os.kill(pid, SIGCONT)
        ended: dict[int, int] = {}
        patience = time.monotonic() + 2

        async def gone() -> bool:
            ended.update(await self.staff.gone())
            return self.asleep.keys() <= ended.keys() or time.monotonic() > patience

        await until(gone, 10, "they end or have nothing to send")
        for pid in self.asleep:
            by_timer = ended.get(pid) == -SIGALRM
            self.tally.asleep["ended by its timer" if by_timer else "had nothing to send"] += 1
        self.asleep.clear()

    async def somebody_says_stop(self) -> None:
        """One of those who live here; the webhook may find nobody, then the list has it."""
        number = f"+23480{self.rng.randint(1, self.people):08d}"
        if number in self.stops:
            return
        url = f"{self.settings['public_url']}/webhooks/twilio/inbound"
        said = await self.twilio.text(url, number, "STOP")
        self.stops[number] = said["sid"]

    async def clear_out(self) -> None:
        """End everybody, and wait until nothing of theirs is on its way; then time may move."""
        self.tally.kills["at the end of a wave"] += await self.staff.end_all()
        heard = -1

        async def quiet() -> bool:
            nonlocal heard
            before, heard = heard, len((await self.twilio.truth())["messages"])
            return before == heard

        await until(quiet, 20, "nothing is on its way")
        self.clock.move(AHEAD)

    # what makes it good again

    async def heal(self) -> None:
        """The hours after, with nobody killed: until no notice is open and no attempt unsettled.

        Answers and callbacks go on to be lost: the list has the messages, and an hour later the provider is
        asked what became of them.
        """
        await self.twilio.follow({**CALLBACKS, "lose_answer": 0.05, "delay": 0.02})
        await self.staff.hire("api")
        async with (
            open_system(config.load(**self.settings), self.clock) as system,
            with_channels(system) as (equipped, _),
        ):
            works = duties(equipped, None, None)
            for _ in range(HEALING_ROUNDS):
                for name in ("rescue", "inbound"):
                    await works[name](self.clock.now())
                for portfolio in (await equipped.portfolios()).values():
                    await run_lane(equipped.lane(portfolio))
                self.clock.move(AHEAD)
                if not await self.open_work():
                    break
            for _ in range(SILENT_ROUNDS):
                self.clock.move(timedelta(hours=1))
                await works["inbound"](self.clock.now())
                if not await self.ask(SILENT):
                    break

    async def open_work(self) -> int:
        """Notices and attempts that are not settled."""
        now = self.clock.now()
        notices = await self.ask(
            "select count(*) from notice where closed_at is null and due_at <= $1", now
        )
        attempts = await self.ask("select count(*) from attempt where settled_at is null")
        return int(notices + attempts)

    async def conclude(self) -> Tally:
        """What it came to."""
        tally, truth = self.tally, await self.twilio.truth()
        conn = await asyncpg.connect(self.database_url)
        try:
            accepted = self.twilio.accepted()
            tally.verdict = await judge(conn, accepted, self.stops, self.clock.now())
        finally:
            await conn.close()
        tally.verdict.wrong += self.violated()
        if truth["refused"]:
            tally.verdict.wrong.append(f"{len(truth['refused'])} requests were refused as invalid")
        tally.provider.update(truth["faults"])
        tally.points.update({str(point): n for point, n in self.staff.died_at().items()})
        tally.errors.update(self.staff.errors())
        tally.stops = len(self.stops)
        for (kind, code), count in self.staff.exits.items():
            tally.exits[f"{kind} {code}"] += count
            tally.kills["in all"] += count * (code == -SIGKILL)
            if code not in {-SIGKILL, -SIGALRM, NO_DATABASE}:
                tally.verdict.wrong.append(f"{count} {kind} ended with {code}")
        tally.kills["at a named point"] = tally.points.total()
        return tally

    def violated(self) -> list[str]:
        """What `duly invariants` says of the database."""
        answer = duly(
            "invariants", "--at", self.clock.now().isoformat(),
            DULY_DATABASE_URL=self.database_url, DULY_MASTER_KEY=TEST_MASTER_KEY.hex(),
        )  # fmt: skip
        return [] if answer.code == 0 else [answer.out + answer.err]


@asynccontextmanager
async def trial(
    postgres: CrashingPostgres, folder: Path, seed: int, plan: Plan
) -> AsyncIterator[Trial]:
    """A database, a provider and a staff for one trial, gone with it."""
    rng, name = Random(seed), f"trial_{seed}"  # noqa: S311
    url, port = await postgres.database(name), unused_port()
    clock = SharedClock(folder / "clock")
    async with twilio_process(
        folder, script=dict(ROUGH), seed=seed, clock=folder / "clock"
    ) as twilio:
        settings = {
            "database_url": url, "master_key": TEST_MASTER_KEY.hex(), "port": port,
            "public_url": f"http://127.0.0.1:{port}", "twilio_account_sid": ACCOUNT,
            "twilio_auth_token": AUTH_TOKEN, "twilio_from": SENDER,
            "twilio_base_url": twilio.url, "twilio_parts_per_second": plan.parts_per_second,
            "lane_batch": 8, "send_concurrency": 4, "sweep_seconds": 0.1,
        }  # fmt: skip
        async with staff(folder, folder / "clock", settings) as hired:
            yield Trial(postgres, url, clock, twilio, hired, settings, rng, plan, clock.now())
    await postgres.drop(name)


async def run_trial(postgres: CrashingPostgres, folder: Path, seed: int, plan: Plan) -> Tally:
    """All waves of a trial, the hours after, and what it came to."""
    async with trial(postgres, folder, seed, plan) as one:
        for number in range(plan.waves):
            await one.wave(
                share_of(plan.kills, plan.waves, number),
                share_of(plan.crashes, plan.waves, number),
                share_of(plan.stops, plan.waves, number),
            )
        await one.heal()
        return await one.conclude()


def share_of(whole: int, parts: int, number: int) -> int:
    """What of the whole falls to one part of several."""
    return whole * (number + 1) // parts - whole * number // parts

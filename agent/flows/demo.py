"""The demo: the production flows on a paced virtual clock, with people and phones that are invented.

The engine is the replay's. The demo only makes it wait between two instants, feeds the outcomes to a
ledger stand-in over real HTTP, checks the invariants every virtual week, and tells who looks on.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, TypeAlias

import asyncpg
import orjson

from agent.adapters.ledger import SECRET_PREFIX, HttpLedger, read_secrets
from agent.adapters.ledger_stand_in import PATH, Fault, LedgerStandIn
from agent.adapters.loopback import serve_loopback
from agent.clock import random_bytes, seconds
from agent.domain.demo_people import HOUSES, Player, Story
from agent.flows.demo_phones import next_change, script_at
from agent.flows.demo_view import (
    Check,
    LedgerBook,
    Moment,
    Phase,
    Refusal,
    View,
    look,
    refusals_after,
)
from agent.flows.invariants import check
from agent.flows.ledger_feed import Feeder
from agent.flows.portfolios import Founding, ensure_portfolios
from agent.flows.reading import read_lines
from agent.flows.replay import Hooks, Replay, in_time
from agent.store.keyring import Keyring
from agent.store.sql import fetch_row
from channels.sandbox.network import SandboxNetwork
from schedules import ladder_text

SCHEDULE = "consumer-instalment"
PACKS = ("house",)
WEEK = timedelta(days=7)
# The page and the terminal are told this often, in real seconds, however fast the clock runs.
REFRESH_SECONDS = 0.25
# After the story the ledger gets so long, in virtual time, to acknowledge the rest.
LAST_FEED = timedelta(hours=6)
_DAY = timedelta(days=1)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Kind(StrEnum):
    """What a piece of news is about."""

    FACT = "fact"
    MESSAGE = "message"
    REFUSAL = "refusal"
    OUTCOME = "outcome"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened; `said` is what the page or the terminal words."""

    at: datetime
    kind: Kind
    subject: str
    who: Player | None
    said: str
    detail: Mapping[str, Any]


Hear = Callable[[View, Sequence[News]], None]


@dataclass(frozen=True, slots=True)
class Script:
    """What is to be played and how fast: virtual days a second, 0 is as fast as it goes."""

    story: Story
    speed: float
    until: datetime | None = None
    seed: int = 0


class Demo:
    """One performance in a database of its own."""

    def __init__(self, pool: Pool, keyring: Keyring, script: Script, hear: Hear) -> None:
        self._pool, self._keyring, self._script, self._hear = pool, keyring, script, hear
        self._story = script.story
        lines = [(n, orjson.dumps(event)) for n, event in enumerate(self._story.events, start=1)]
        history = in_time(*read_lines(lines))
        self.network = SandboxNetwork(
            script_at(self._story, history.first), script.seed, began=history.first
        )
        self.game = Replay(
            pool, keyring, history, schedule=ladder_text(SCHEDULE), pack_names=PACKS,
            network=self.network, hooks=Hooks(self._before, self._after, every_event=True),
        )  # fmt: skip
        self._began = history.first
        self._secret = SECRET_PREFIX + b64encode(random_bytes(24)).decode()
        clock = self.game.clock
        self.ledger = LedgerStandIn(self._secret, lambda: clock.now().timestamp(), _moods)
        self._feeders: list[Feeder] = []
        self._pace = _Pace(script.speed, history.first)
        self._change = next_change(self._story, history.first)
        self._check_at = history.first + WEEK
        self.check: Check | None = None
        self.violated: set[str] = set()
        self._checks: list[News] = []
        self._refreshed, self._serial, self._phase = 0.0, 0, Phase.RUNNING
        self._taken = self._told_events = self._told_heard = self._told_log = 0
        self._refusals: list[Refusal] = []

    async def run(self) -> View:
        """Play to the end; the last view stands for the rest of the evening."""
        await self._found()
        clock = self.game.clock
        async with (
            serve_loopback(self.ledger.app()) as address,
            HttpLedger(address + PATH, read_secrets(self._secret), clock) as ledger,
        ):
            self._feeders = [
                Feeder(self._pool, portfolio, ledger, clock) for portfolio in self._portfolios
            ]
            await self.game.run(self._script.until, self._note_taken)
            await self._feed_rest()
            await self._check(clock.now())
        self._phase = Phase.ENDED
        return await self._refresh()

    async def _found(self) -> None:
        """Both lenders, with the name that stands in their messages."""
        foundings = {
            house.portfolio: Founding(
                house.zones[0][0], house.locale, house.lender, ladder_text(SCHEDULE), PACKS
            )
            for house in HOUSES
        }
        async with self._pool.acquire() as conn:
            known = await ensure_portfolios(conn, foundings, self._began)
        self._portfolios = [known[name].id for name in foundings]

    def _note_taken(self, taken: int, _at: datetime) -> None:
        self._taken = taken

    async def _before(self, at: datetime) -> None:
        if self._change is not None and self._change <= at:
            self.network.script = script_at(self._story, at)
            self._change = next_change(self._story, at)
        await self._pace.wait_for(at)

    async def _after(self, at: datetime) -> None:
        await self._feed()
        if at >= self._check_at:
            self._check_at += WEEK
            await self._check(at)
        if seconds() - self._refreshed >= REFRESH_SECONDS:
            await self._refresh()

    async def _feed(self) -> bool:
        """Feed what is due; whether anything still waits."""
        async with self._pool.acquire() as conn:
            row = await fetch_row(conn, "demo_unfed")
        assert row is not None
        if row["next"] is not None and row["next"] <= self.game.clock.now():
            for feeder in self._feeders:
                await feeder.feed()
        return bool(row["count"])

    async def _feed_rest(self) -> None:
        """The ledger may ask to be tried again later: time goes on until it has everything."""
        clock = self.game.clock
        last = clock.now() + LAST_FEED
        while await self._feed() and clock.now() < last:
            clock.advance_to(clock.now() + timedelta(minutes=1))

    async def _check(self, at: datetime) -> None:
        found = await check(self._pool, self._keyring, at, packs=self.game.packs)
        self.check = Check(at, found)
        self._checks.append(News(at, Kind.CHECK, "", None, "", {"check": self.check}))
        self.violated |= {finding.id for finding in self.check.violated}

    async def _refresh(self) -> View:
        """Look at everything, and tell who looks on what is new."""
        self._refreshed = seconds()
        self._serial += 1
        last = self._refusals[-1].id if self._refusals else 0
        refused = await refusals_after(self._pool, self._story, last)
        self._refusals += refused
        view = await look(self._pool, self._story, self.game.ladder, self._moment())
        news = [*self._new_facts(), *self._new_messages(view), *self._new_outcomes()]
        news += [_refused(refusal) for refusal in refused] + self._checks
        self._checks = []
        self._hear(view, sorted(news, key=lambda one: one.at))
        return view

    def _moment(self) -> Moment:
        return Moment(
            self._serial, self._phase, self.game.clock.now(), self._began,
            self._script.until or self._story.ends, self._taken, self.network.accepted,
            self._refusals, self._book(), self.check,
        )  # fmt: skip

    def _book(self) -> LedgerBook:
        log = self.ledger.log
        return LedgerBook(len(log), sum(line.again for line in log), tuple(self.ledger.violations))

    def _new_facts(self) -> list[News]:
        fresh = self._story.events[self._told_events : self._taken]
        self._told_events = self._taken
        owner = {loan: player for player in self._story.players for loan in player.loans}
        return [
            News(
                datetime.fromisoformat(event["time"]), Kind.FACT, event["subject"],
                owner.get(event["subject"]), event["type"], event["data"],
            )
            for event in fresh
        ]  # fmt: skip

    def _new_messages(self, view: View) -> list[News]:
        heard = self.network.accepted
        fresh = {one.token for one in heard[self._told_heard :]}
        self._told_heard = len(heard)
        return [
            News(
                bubble.at, Kind.MESSAGE, bubble.loan, phone.players[0], bubble.body,
                {"channel": bubble.channel, "stage": bubble.stage},
            )
            for phone in view.phones
            for bubble in phone.bubbles
            if bubble.token in fresh and bubble.body is not None
        ]  # fmt: skip

    def _new_outcomes(self) -> list[News]:
        fresh = self.ledger.log[self._told_log :]
        self._told_log = len(self.ledger.log)
        owner = {loan: player for player in self._story.players for loan in player.loans}
        return [
            News(
                self.game.clock.now(), Kind.OUTCOME, line.loan, owner.get(line.loan), line.type,
                {"sequence": line.sequence, "applied": line.applied and not line.again},
            )
            for line in fresh
        ]  # fmt: skip


def _refused(refusal: Refusal) -> News:
    return News(
        refusal.at, Kind.REFUSAL, refusal.loan, refusal.who, " ".join(refusal.rules),
        {"stage": refusal.stage, "final": refusal.final, "until": refusal.until},
    )  # fmt: skip


class _Pace:
    """Makes virtual time pass at so many days a second; what it is behind, it does not race after."""

    def __init__(self, speed: float, start: datetime) -> None:
        self._speed = speed
        self._at, self._seconds = start, seconds()

    async def wait_for(self, at: datetime) -> None:
        if self._speed <= 0:
            return
        due = self._seconds + (at - self._at) / _DAY / self._speed
        left = due - seconds()
        if left > 0:
            await asyncio.sleep(left)
        self._at, self._seconds = at, max(due, seconds() - REFRESH_SECONDS)


def _moods(loan: str, sequence: int, before: int) -> Fault | None:
    """A ledger with a bad moment now and then: it fails, is busy, or takes it and loses the answer."""
    if before:
        return None
    draw = blake2b(f"{loan}/{sequence}".encode(), digest_size=2).digest()[0] % 24
    return {0: Fault.ERROR, 1: Fault.LOST_ANSWER, 2: Fault.BUSY}.get(draw)

"""Simulation: an invented ledger and faults of every kind, played by the production flows on a virtual clock.

Phones lose answers, workers die in the middle of a batch, the ledger says things twice and things
that cannot be. At the end the invariants are checked, and what the phones accepted is held against
our own rows: the phones know nothing of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import asyncpg

from agent.domain.invented import Chance
from agent.flows.dispatch import LaneCounts, run_lane
from agent.flows.lane import Lane
from agent.store.connect import open_pool
from agent.store.sql import fetch
from channels.base import Answer, Channel, Listing, Message, Refusal, Status
from channels.sandbox.network import Heard, SandboxNetwork
from channels.sandbox.script import DEFAULT_SCRIPT, Act, Key, Receipts, Rule, Script

# One dispatch in so many ends with the death of its worker, somewhere in its first messages.
DEATHS = 0.25
DIES_WITHIN = 3


class Fault(StrEnum):
    """What goes wrong in a simulation."""

    NETWORK = "network"  # phones and providers: answers and receipts lost, doubled, late, refused
    DEATHS = "deaths"  # workers die between two messages, or between a message and its record
    LEDGER = "ledger"  # events doubled, cut off, impossible


# Shares are far above what happens: a rare fault is found by many seeds, a frequent one by few.
ROUGH = Script(
    rules=(
        Rule(Act.REFUSE, 0.02, key=Key.ADDRESS, refusal=Refusal.PERMANENT, code="gone"),
        Rule(Act.REFUSE, 0.01, key=Key.ADDRESS, refusal=Refusal.OPTED_OUT, code="opted-out"),
        Rule(Act.REFUSE, 0.03, refusal=Refusal.TRANSIENT, code="busy"),
        Rule(Act.LOSE_ANSWER, 0.05),
        Rule(Act.LOSE_ANSWER, 0.02, receipts=Receipts.LOST),
        Rule(Act.DROP, 0.03),
        Rule(Act.ACCEPT, 0.01, answer_after=60.0),
        Rule(Act.ACCEPT, 0.05, receipts=Receipts.LOST),
        Rule(Act.ACCEPT, 0.08, receipts=Receipts.DOUBLED, sent_after=1.0),
        Rule(Act.ACCEPT, 0.05, receipts=Receipts.SHUFFLED, sent_after=1.0),
        Rule(Act.ACCEPT, 0.03, receipts=Receipts.BEFORE_ANSWER),
        Rule(Act.ACCEPT, 0.04, fate=Status.UNDELIVERED, fate_code="unreachable", fate_after=40.0),
        Rule(Act.ACCEPT, 0.03, fate_after=3 * 3600.0),
    ),
    list_lag=45.0,
)


def script_for(faults: Sequence[Fault]) -> Script:
    """How phones behave under these faults."""
    return ROUGH if Fault.NETWORK in faults else DEFAULT_SCRIPT


class Died(Exception):
    """A worker of the simulation is dead; nothing that it had not committed is known to anybody."""


@dataclass(slots=True)
class _Fate:
    """When one worker dies: after so many messages, before or after the last of them left."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    after: int
    handed_over: bool

    def meets(self, *, left: bool) -> None:
        """One more message; the death takes the connections with it, as the operating system would."""
        if left:
            self.after -= 1
        if self.after == 0 and left is self.handed_over:
            self.pool.terminate()
            raise Died


class _Mortal:
    """A channel in the hands of a worker that will die."""

    def __init__(self, channel: Channel, fate: _Fate) -> None:
        self._channel, self._fate = channel, fate

    async def send(self, message: Message) -> Answer:
        self._fate.meets(left=False)
        answer = await self._channel.send(message)
        self._fate.meets(left=True)
        return answer

    async def listing(self, address: str, since: datetime) -> Listing:
        return await self._channel.listing(address, since)


# What a worker that lost its connections may end with.
_ENDS = (Died, OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)


class Workers:
    """Dispatches like `run_lane`, by workers of which some die. Each has connections of its own."""

    def __init__(self, database_url: str, seed: int) -> None:
        self._url, self._chance = database_url, Chance(seed)
        self._hired = 0
        self.died = 0

    async def run(self, lane: Lane) -> LaneCounts:
        """One look at a lane; what the dead leave behind is somebody else's to rescue."""
        self._hired += 1
        if not self._chance.happens(DEATHS, "dies", self._hired):
            return await run_lane(lane)
        pool = await open_pool(self._url, max_size=4, durable=False)
        fate = _Fate(
            pool,
            self._chance.whole(1, DIES_WITHIN, "after", self._hired),
            self._chance.happens(0.6, "left", self._hired),
        )
        # answers wait for their record until the end of a batch, so that a death takes them along
        limits = replace(lane.limits, record_within=timedelta(hours=1))
        channels = {name: _Mortal(channel, fate) for name, channel in lane.channels.items()}
        try:
            return await run_lane(replace(lane, pool=pool, limits=limits, channels=channels))
        except _ENDS:
            self.died += 1
            return LaneCounts()
        finally:
            pool.terminate()


@dataclass(frozen=True, slots=True)
class Witness:
    """What the phones say: how much they accepted, what they got twice, what we sent and they never got."""

    accepted: int = 0
    twice: tuple[str, ...] = ()
    unknown_to_us: tuple[str, ...] = ()
    never_came: tuple[str, ...] = ()
    closed_unknown: int = 0

    @property
    def content(self) -> bool:
        """Nothing came twice, nothing came that we know nothing of, nothing was lost."""
        return not (self.twice or self.unknown_to_us or self.never_came)


async def hear(pool: "asyncpg.Pool[asyncpg.Record]", network: SandboxNetwork) -> Witness:
    """Hold what the phones accepted against every attempt that we wrote down."""
    async with pool.acquire() as conn:
        rows = await fetch(conn, "simulated_attempts")
    known = {row["token"]: row for row in rows}
    came: Counter[str] = Counter()
    strangers = []
    for heard in network.accepted:
        row = known.get(heard.token)
        if row is None:
            strangers.append(_words(heard))
        else:
            came[_notice(row)] += 1
    tokens = {heard.token for heard in network.accepted}
    lost = [_notice(row) for row in rows if row["proven"] and row["token"] not in tokens]
    return Witness(
        len(network.accepted),
        tuple(sorted(name for name, times in came.items() if times > 1)),
        tuple(strangers),
        tuple(sorted(lost)),
        sum(row["state"] == "closed_unknown" for row in rows),
    )


def _notice(row: Any) -> str:
    """A fallback by another channel is not the same message twice; the same channel is."""
    return f"{row['ref']} {row['stage']} {row['anchor']} by {row['channel']}"


def _words(heard: Heard) -> str:
    return f"{heard.channel} {heard.provider_id} at {heard.at}"

"""What one lane of dispatch works with: a portfolio, its rules and texts, and the ways out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from agent.adapters.deadman import NoDeadMan, SendGuard
from agent.clock import Clock
from agent.domain.conduct import Pack
from agent.domain.ladder import Ladder
from agent.domain.message import Texts
from agent.flows.carriers import Carriers
from agent.flows.portfolios import Portfolio, ladder_of
from agent.flows.rules import Binding, binding
from agent.store.keyring import Keyring
from agent.store.sql import Connection, fetch_row
from channels.base import Channel

BATCH = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is in flight at once. A batch is begun while the one before it is being sent.

    What is under way when a worker dies has to be found out, so it is no more than the cores can use: two
    workers of 160 fill two cores at 20 ms an answer as two of 256 do.
    """

    batch: int = BATCH
    at_once: int = 160
    record_every: int = 200
    record_within: timedelta = timedelta(milliseconds=50)
    spread_retries: bool = True


@dataclass(frozen=True, slots=True)
class Lane:
    """Everything a worker needs to dispatch one portfolio."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    keyring: Keyring
    clock: Clock
    portfolio: Portfolio
    packs: tuple[Pack, ...]
    texts: Texts
    channels: Mapping[str, Channel]
    limits: Limits = Limits()
    guard: SendGuard = field(default_factory=NoDeadMan)
    status_url: str | None = None
    carriers: Mapping[str, Carriers] = field(default_factory=dict)
    # channels whose provider keeps a message that it cannot deliver at once
    kept: frozenset[str] = frozenset()

    def rules_for(self, region: str | None) -> Binding:
        """The packs that protect a person of this region: the portfolio's, and those of the place."""
        return binding(self.packs, self.portfolio.packs, region)


async def ladder_for(conn: Connection, portfolio: Portfolio, version: int) -> Ladder | None:
    """The ladder that a notice was planned with; None if that version is gone."""
    if version == portfolio.version:
        return portfolio.ladder
    row = await fetch_row(conn, "schedule_source", portfolio=portfolio.id, version=version)
    return ladder_of(row["source"]) if row else None

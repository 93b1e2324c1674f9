"""The composition root: settings become pools, keys, rules and channels. Nothing else builds them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from agent import config
from agent.adapters.deadman import NoDeadMan, SendGuard
from agent.adapters.embedded import open_database, open_stores
from agent.clock import Clock, SystemClock
from agent.config import Settings
from agent.flows.carriers import Carriers
from agent.flows.intake import Desk
from agent.flows.lane import Lane, Limits
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.flows.rules import installed, texts
from agent.store import migrate
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from channels.base import Channel
from schedules import ladder_text

SCHEDULE = "consumer-instalment"
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class System:
    """Everything a process works with."""

    settings: Settings
    clock: Clock
    pool: "asyncpg.Pool[asyncpg.Record]"
    keyring: Keyring
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    guard: SendGuard = field(default_factory=NoDeadMan)
    limits: Limits = DEFAULT_LIMITS
    carriers: Mapping[str, Carriers] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    def desk(self, origin: str, schedule: str | None = None) -> Desk:
        """Where events of one origin are taken in."""
        return Desk(self.pool, self.keyring, origin, schedule or ladder_text(SCHEDULE))

    def lane(self, portfolio: Portfolio) -> Lane:
        """What dispatch of one portfolio works with."""
        return Lane(
            self.pool,
            self.keyring,
            self.clock,
            portfolio,
            installed(portfolio.packs),
            texts(),
            self.channels,
            self.limits,
            self.guard,
            f"{self.settings.public_url}/webhooks/sandbox/{portfolio.id}",
            self.carriers,
            self.kept,
        )

    async def portfolios(self) -> dict[int, Portfolio]:
        """Every portfolio by id, as it stands now."""
        async with self.pool.acquire() as conn:
            known = await load_portfolios(conn, self.clock.now())
        return {portfolio.id: portfolio for portfolio in known.values()}


@asynccontextmanager
async def open_system(
    settings: Settings | None = None,
    clock: Clock | None = None,
    *,
    queue: bool = False,
    database_url: str | None = None,
) -> AsyncIterator[System]:
    """Open the stores, bring the schema up and compose a system; `queue` opens Valkey as well.

    `database_url` names another database than the settings do, for commands that bring their own.
    """
    settings = settings or config.load()
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        named = database_url or config.revealed(settings.database_url)
        if queue:
            stores = await stack.enter_async_context(
                open_stores(
                    settings.data_dir,
                    database_url=named,
                    redis_url=config.revealed(settings.redis_url),
                )
            )
            url, redis_url = stores.database_url, stores.redis_url
        else:
            url = await stack.enter_async_context(open_database(settings.data_dir, named))
            redis_url = None
        pool = await open_pool(url, max_size=settings.database_connections)
        stack.push_async_callback(pool.close)
        async with pool.acquire() as conn:
            await migrate.migrate(conn, clock.now())
        keyring = Keyring(config.master_key(settings))
        yield System(settings, clock, pool, keyring, url, redis_url)

"""Answers outlive a moment without database: written once, whether the lost COMMIT happened or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, time
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.dispatch import run_lane
from agent.store.keyring import Keyring
from channels.base import Refusal
from channels.sandbox.script import Act, Rule
from tests.support.world import World, ladder_toml, stage_toml, utc

DUE = date(2026, 3, 5)


class AwayAfter:
    """A pool whose server is away for some commits after the first ones; some of them happened."""

    def __init__(self, pool: asyncpg.Pool, *, kept: int, lost: int, happened: bool) -> None:
        self._pool, self._kept, self._lost, self._happened = pool, kept, lost, happened

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as conn:
            yield _Away(conn, self)

    @asynccontextmanager
    async def transaction(self, conn: asyncpg.Connection) -> AsyncIterator[None]:
        self._kept -= 1
        transaction = conn.transaction()
        await transaction.start()
        yield
        if self._kept >= 0 or not self._lost:
            await transaction.commit()
            return
        self._lost -= 1
        await (transaction.commit() if self._happened else transaction.rollback())
        raise asyncpg.ConnectionDoesNotExistError("the server went away")


class _Away:
    def __init__(self, conn: asyncpg.Connection, pool: AwayAfter) -> None:
        self._conn, self._pool = conn, pool

    def transaction(self) -> Any:
        return self._pool.transaction(self._conn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(stage_toml("one", 1, time(10)))
    town = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)
    for loan in ("L1", "L2"):
        await town.opens(loan, DUE)
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    return town


@pytest.mark.parametrize("happened", [True, False])
async def test_an_answer_is_written_once_though_the_server_went_away(
    town: World, *, happened: bool
) -> None:
    away = AwayAfter(town.pool, kept=1, lost=3, happened=happened)
    await run_lane(await town.lane(pool=away))
    assert [state for *_, state in await town.attempts()] == ["accepted", "accepted"]
    assert len(town.heard) == 2
    assert await town.notices() == {"one": "sent"}


@pytest.mark.parametrize("happened", [True, False])
async def test_what_a_refusal_means_is_done_once(town: World, *, happened: bool) -> None:
    town.follow(Rule(act=Act.REFUSE, refusal=Refusal.OPTED_OUT, code="21610"))
    away = AwayAfter(town.pool, kept=1, lost=2, happened=happened)
    await run_lane(await town.lane(pool=away))
    assert [state for *_, state in await town.attempts()] == ["refused", "refused"]
    assert await town.value("select count(*) from suppression") == 2
    assert town.heard == ()

"""Where receipts go that the server takes: to the portfolio of their lane, however new, or to nobody."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest

from agent import config
from agent.clock import VirtualClock
from agent.entry.receiving import KEEP_SECONDS, Addressees, receipt_inbox
from agent.store.keyring import Keyring
from agent.wiring import System
from channels.base import Receipt, Status
from tests.support.world import World, ladder_toml, phone, sms, stage_toml

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LADDER = ladder_toml(stage_toml("due-today", 0, time(9), message="due-today"))


@pytest.fixture
def world(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(NOW), schedule=LADDER)


@pytest.fixture
def system(world: World) -> System:
    return System(config.load(), world.clock, world.pool, world.keyring, "", None)


async def sent(world: World) -> Receipt:
    await world.opens("loan-1", date(2026, 3, 3), contacts=[sms(phone(1))])
    await world.plan()
    world.wait_to(date(2026, 3, 3), "09:05")
    await world.dispatch()
    row = await world.pool.fetchrow("select provider_id, token from attempt")
    return Receipt("sms", row[0], Status.DELIVERED, row[1], None, world.clock.now())


async def test_a_receipt_is_applied_in_its_lane_and_dropped_in_one_that_is_gone(
    world: World, system: System
) -> None:
    receipt = await sent(world)
    lane, inbox = (await world.portfolio()).id, receipt_inbox(system)
    await inbox.put(lane + 1, receipt)
    assert await world.value("select count(*) from receipt") == 0
    await inbox.put(lane, receipt)
    assert await world.value("select state from attempt") == "delivered"


async def test_a_portfolio_is_looked_up_when_it_is_new_and_again_after_a_while(
    world: World, system: System
) -> None:
    addressees = Addressees(replace(system, clock=world.clock))
    assert await addressees.get(1) is None
    await world.opens("loan-1", date(2026, 3, 3), contacts=[sms(phone(1))])
    portfolio = await world.portfolio()
    assert await addressees.get(portfolio.id) == portfolio
    await world.pool.execute(
        "insert into schedule_version select portfolio_id, 2, name, source, sha256, $1, 'staff', 'why'"
        " from schedule_version", NOW,
    )  # fmt: skip
    found = await addressees.get(portfolio.id)
    assert found is not None
    assert found.version == 1
    world.clock.advance_to(NOW + timedelta(seconds=KEEP_SECONDS))
    found = await addressees.get(portfolio.id)
    assert found is not None
    assert found.version == 2

"""A loan that comes back to a due date it had: steps called off meanwhile are not lost for ever."""

from datetime import date

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.store.keyring import Keyring
from tests.support.world import World, utc

MARCH_5 = date(2026, 3, 5)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    """Lagos, the first of March, nine in the morning; the shipped schedule and the house rules."""
    return World(pool, keyring, VirtualClock(utc("2026-03-01T08:00")))


async def test_step_called_off_by_a_payment_that_bounced_comes_late(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.live_to(date(2026, 5, 4), "12:00")
    payment = await town.pays("L1")
    await town.live_to(date(2026, 5, 7), "12:00")
    assert (await town.notices())["final-61"] == "cancelled: paid"
    await town.reverses("L1", payment)
    await town.live_to(date(2026, 5, 20), "12:00")
    assert (await town.sent())[-2:] == [
        "2026-05-08 10:00 final-61 sms",
        "2026-05-19 10:00 final-75 sms",
    ]


async def test_step_that_was_sent_is_not_sent_again(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.live_to(date(2026, 3, 8), "12:00")
    payment = await town.pays("L1")
    await town.live_to(date(2026, 3, 9), "12:00")
    await town.reverses("L1", payment)
    await town.live_to(date(2026, 3, 11), "12:00")
    assert (await town.sent())[-1] == "2026-03-08 10:00 overdue-3 sms"


async def test_step_called_off_for_an_earlier_due_date_comes_late_once(town: World) -> None:
    await town.opens("L1", MARCH_5, date(2026, 3, 19))
    await town.live_to(date(2026, 3, 12), "09:00")
    payment = await town.pays("L1")
    await town.live_to(date(2026, 3, 12), "12:00")
    assert (await town.notices())["overdue-7"] == "cancelled: wrong-anchor"
    await town.reverses("L1", payment)
    await town.live_to(date(2026, 3, 14), "12:00")
    assert (await town.sent())[-1] == "2026-03-13 10:00 overdue-7 sms"
    assert await town.plan() == 0

"""A loan that comes back, to a due date it had or to an owner who moved, and where days are counted then."""

from datetime import date, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.invariants import check
from agent.flows.rules import packs
from agent.store.keyring import Keyring
from tests.support.world import World, utc

MARCH_5 = date(2026, 3, 5)


async def nothing_went_wrong(town: World) -> None:
    findings = await check(town.pool, town.keyring, town.clock.now(), packs=packs(("house",)))
    assert [(found.id, found.examples) for found in findings if found.violated] == []


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
    await nothing_went_wrong(town)


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


async def test_loan_that_is_open_again_counts_where_its_owner_lives_now(town: World) -> None:
    await town.opens("L1", MARCH_5, person="ann")
    payment = await town.pays("L1")
    await town.moves_to("ann", "Asia/Kathmandu")
    await town.live_to(date(2026, 3, 6), "12:00")
    await town.reverses("L1", payment)
    await town.live_to(date(2026, 3, 8), "12:00")
    assert await town.sent(zone="Asia/Kathmandu") == [
        "2026-03-07 10:00 overdue-1 sms",
        "2026-03-08 10:00 overdue-3 sms",
    ]
    assert await town.value("select zone from loan") == "Asia/Kathmandu"
    await nothing_went_wrong(town)


async def test_a_later_loan_need_not_say_again_where_its_owner_lives(town: World) -> None:
    await town.opens("L0", date(2026, 3, 20), person="bo")
    await town.opens("L1", date(2026, 3, 20), person="ann", zones=["Asia/Kathmandu"])
    parts = [{"number": 1, "due_on": "2026-02-20", "amount": "10.00"}]
    told = {"portfolio": town.name, "currency": "NGN", "borrower": {"id": "ann"}}
    await town.take("loan.opened", "L2", told | {"installments": parts})
    assert await town.value("select zone from loan where ref = 'L2'") == "Asia/Kathmandu"
    await nothing_went_wrong(town)


async def test_a_loan_told_late_counts_where_its_owner_lives_by_then(town: World) -> None:
    await town.opens("L1", date(2026, 3, 20), person="ann")
    await town.moves_to("ann", "Asia/Kathmandu")
    earlier = town.clock.now() - timedelta(days=3)
    borrower = {"id": "ann", "timezone": "Africa/Lagos"}
    parts = [{"number": 1, "due_on": "2026-02-20", "amount": "10.00"}]
    told = {"portfolio": town.name, "currency": "NGN", "borrower": borrower, "installments": parts}
    await town.take("loan.opened", "L2", told, at=earlier)
    assert await town.value("select zone from loan where ref = 'L2'") == "Asia/Kathmandu"
    await nothing_went_wrong(town)


async def test_a_charge_off_that_was_taken_back_is_recommended_again(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.live_to(date(2026, 6, 6), "12:00")
    payment = await town.pays("L1", value_date="2026-05-30")
    assert (await town.told("L1"))[-1] == "account.paid_off"
    await town.live_to(date(2026, 6, 8), "12:00")
    await town.reverses("L1", payment)
    await town.live_to(date(2026, 6, 12), "12:00")
    assert (await town.told("L1"))[-2:] == [
        "account.bucket_changed 91+",
        "account.charge_off_recommended",
    ]
    assert await town.value("select contact_ended_at is not null from loan")
    await nothing_went_wrong(town)

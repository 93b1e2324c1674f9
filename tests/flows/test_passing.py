"""Time passes without a fact from the ledger: buckets at local midnight, holds that end."""

import asyncio
from datetime import date, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.passing import lift_holds, pass_time
from agent.store.keyring import Keyring
from tests.support.world import World, utc

DUE = date(2026, 3, 5)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-01T08:00")))


async def test_a_bucket_is_told_at_local_midnight(town: World) -> None:
    await town.opens("lagos", DUE)
    await town.opens("shanghai", DUE, zones=["Asia/Shanghai"])
    town.wait_to(date(2026, 3, 6), "00:00", "Asia/Shanghai")
    assert await pass_time(town.pool, town.clock.now() - timedelta(seconds=1)) == 0
    assert await pass_time(town.pool, town.clock.now()) == 1
    assert (await town.told("shanghai"), await town.told("lagos")) == (
        ["account.bucket_changed 1-7"],
        [],
    )
    town.wait_to(date(2026, 3, 6), "00:00")
    assert await pass_time(town.pool, town.clock.now()) == 1
    assert await town.value("select next_bucket_at from loan where ref = 'lagos'") == town.at(
        date(2026, 3, 13), "00:00"
    )


async def test_passing_again_and_at_once_tells_nothing_twice(town: World) -> None:
    await town.opens("L1", DUE)
    town.wait_to(date(2026, 3, 6), "09:00")
    made = await asyncio.gather(*(pass_time(town.pool, town.clock.now()) for _ in range(3)))
    assert sum(made) == 1
    assert await pass_time(town.pool, town.clock.now()) == 0
    assert await town.told("L1") == ["account.bucket_changed 1-7"]


async def test_days_that_nobody_looked_are_told_one_after_the_other(town: World) -> None:
    await town.opens("L1", DUE)
    town.wait_to(date(2026, 4, 10), "09:00")
    await pass_time(town.pool, town.clock.now())
    assert await town.told("L1") == [
        "account.bucket_changed 1-7",
        "account.bucket_changed 8-30",
        "account.bucket_changed 31-60",
    ]
    rows = await town.rows("select occurred_at from outcome order by seq")
    days = [date(2026, 3, 6), date(2026, 3, 13), date(2026, 4, 5)]
    assert [row[0] for row in rows] == [town.at(day, "00:00") for day in days]


async def test_a_loan_paid_in_time_enters_no_bucket(town: World) -> None:
    await town.opens("L1", DUE)
    await town.pays("L1")
    town.wait_to(date(2026, 4, 10), "09:00")
    assert await pass_time(town.pool, town.clock.now()) == 0


async def test_a_hold_ends_by_itself_and_its_loans_count_anew(town: World) -> None:
    await town.opens("L1", DUE)
    end = town.at(date(2026, 3, 6), "12:00")
    await town.flags("owner-of-L1", "hardship", end)
    assert await town.value("select held_until from loan") == end
    rev = await town.value("select rev from borrower")
    town.clock.advance_to(end - timedelta(seconds=1))
    assert await lift_holds(town.pool, town.clock.now()) == 0
    await town.plan()
    assert await town.notices() == {}, "everything until the end of the hold is skipped"
    town.clock.advance_to(end)
    assert await lift_holds(town.pool, town.clock.now()) == 1
    assert await town.rows("select held_until, anchor_since from loan") == [(None, end)]
    assert await town.rows("select lifted_at, lifted_rev from hold") == [(end, rev + 1)]
    assert await lift_holds(town.pool, town.clock.now()) == 0
    await town.plan()
    # overdue-1 was missed under the hold: it comes the next morning; what came before it is called off
    assert await town.rows("select stage, due_at from notice where state = 'waiting'") == [
        ("overdue-1", town.at(date(2026, 3, 7), "10:00"))
    ]
    over = ["due-in-3-days", "due-tomorrow", "due-today"]
    off = "cancelled: hold:hardship"
    assert await town.notices() == {"overdue-1": "waiting"} | dict.fromkeys(over, off)


async def test_the_longest_of_several_holds_counts(town: World) -> None:
    await town.opens("L1", DUE)
    first, second = town.at(date(2026, 3, 2), "12:00"), town.at(date(2026, 3, 3), "12:00")
    await town.flags("owner-of-L1", "hardship", second)
    await town.flags("owner-of-L1", "dispute", first)
    entered = await town.value("select anchor_since from loan")
    town.clock.advance_to(first)
    assert await lift_holds(town.pool, town.clock.now()) == 1
    assert await town.rows("select held_until, anchor_since from loan") == [(second, entered)]
    town.clock.advance_to(second)
    assert await lift_holds(town.pool, town.clock.now()) == 1
    assert await town.rows("select held_until, anchor_since from loan") == [(None, second)]


async def test_a_hold_on_a_person_covers_loans_that_come_later(town: World) -> None:
    await town.opens("L1", DUE, person="ann")
    end = town.at(date(2026, 3, 20), "12:00")
    await town.flags("ann", "hardship", end)
    await town.opens("L2", date(2026, 3, 10), person="ann")
    assert await town.value("select held_until from loan where ref = 'L2'") == end
    await town.live_to(date(2026, 3, 19), "12:00")
    assert town.heard == ()
    assert set((await town.notices()).values()) == {"cancelled: hold:hardship"}
    assert {loan for (loan,) in await town.rows("select distinct loan_id from notice")} == {
        loan for (loan,) in await town.rows("select id from loan")
    }


async def test_a_notice_under_a_hold_goes_out_when_it_ends(town: World) -> None:
    await town.opens("L1", DUE)
    await town.live_to(date(2026, 3, 6), "09:00")
    await town.flags("owner-of-L1", "dispute", town.at(date(2026, 3, 6), "15:00"))
    await town.live_to(date(2026, 3, 6), "20:00")
    assert (await town.sent())[-1] == "2026-03-06 15:00 overdue-1 sms"
    assert [d for d in await town.decisions() if d[0] == "overdue-1"] == [
        ("overdue-1", "snooze", ["hold:dispute"]),
        ("overdue-1", "send", []),
    ]

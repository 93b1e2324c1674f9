"""Duties claim their slots: one owner each, dead owners replaced, failures retried, old slots gone."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import VirtualClock
from agent.flows.ticks import Duty, Ran, Taken, due_slot, prune, rescue_slots, tick
from agent.store import ticks

AT = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
SLOT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DUTY = Duty("plan", timedelta(minutes=1), timedelta(minutes=2))


class Counting:
    """Work that counts its passes."""

    def __init__(self) -> None:
        self.passes: list[datetime] = []

    async def __call__(self, now: datetime) -> Mapping[str, int]:
        self.passes.append(now)
        return {"made": len(self.passes)}


async def failing(now: datetime) -> Mapping[str, int]:
    raise RuntimeError(f"broken at {now}")


async def rows(pool: asyncpg.Pool) -> list[tuple[str, datetime, str, bool, object]]:
    found = await pool.fetch("select * from tick_slot order by duty, slot")
    return [
        (r["duty"], r["slot"], r["claimed_by"], r["finished_at"] is not None, r["counts"])
        for r in found
    ]


@given(
    st.timedeltas(timedelta(days=1), timedelta(days=40_000)),
    st.integers(1, 200_000),
)
def test_a_slot_is_a_multiple_of_its_period_and_not_in_the_future(
    since: timedelta, every: int
) -> None:
    period, at = timedelta(seconds=every), datetime(1970, 1, 1, tzinfo=UTC) + since
    slot = due_slot(Duty("any", period), at)
    assert slot <= at < slot + period
    assert (slot - datetime(1970, 1, 1, tzinfo=UTC)) % period == timedelta(0)


async def test_a_slot_runs_once_whoever_asks(pool: asyncpg.Pool) -> None:
    work, clock = Counting(), VirtualClock(AT)
    done = await asyncio.gather(*(tick(pool, clock, DUTY, work, f"o{n}") for n in range(8)))
    assert [one for one in done if isinstance(one, Ran)] == [Ran(SLOT, {"made": 1})]
    assert done.count(Taken(SLOT)) == 7
    assert work.passes == [AT]
    [(duty, slot, _, finished, counts)] = await rows(pool)
    assert (duty, slot, finished, counts) == ("plan", SLOT, True, {"made": 1})


async def test_the_next_slot_waits_for_a_busy_one_of_the_same_duty(pool: asyncpg.Pool) -> None:
    clock, other = VirtualClock(AT), Duty("feed", timedelta(seconds=1))
    async with pool.acquire() as conn:
        assert await ticks.claim(conn, "plan", SLOT, "busy", AT, AT - DUTY.rescue_after)
    clock.advance_to(AT + timedelta(minutes=1))
    assert isinstance(await tick(pool, clock, DUTY, Counting(), "b"), Taken)
    assert isinstance(await tick(pool, clock, other, Counting(), "b"), Ran)


async def test_a_dead_owner_is_replaced_after_the_rescue_time(pool: asyncpg.Pool) -> None:
    work, clock = Counting(), VirtualClock(AT)
    async with pool.acquire() as conn:
        assert await ticks.claim(conn, "plan", SLOT, "dead", AT, AT - DUTY.rescue_after)
    assert await rescue_slots(pool, clock, DUTY, work, "b") is None
    clock.advance_to(AT + DUTY.rescue_after)
    assert await rescue_slots(pool, clock, DUTY, work, "b") == Ran(SLOT, {"made": 1})
    assert await rows(pool) == [("plan", SLOT, "b", True, {"made": 1})]
    # the dead one wakes up: its result is too late
    async with pool.acquire() as conn:
        assert not await ticks.finish(conn, "plan", SLOT, "dead", clock.now(), {"made": 9})
    assert await rows(pool) == [("plan", SLOT, "b", True, {"made": 1})]


async def test_a_stranded_slot_is_closed_when_a_later_one_did_its_work(pool: asyncpg.Pool) -> None:
    work, clock = Counting(), VirtualClock(AT)
    async with pool.acquire() as conn:
        assert await ticks.claim(conn, "plan", SLOT, "dead", AT, AT - DUTY.rescue_after)
    clock.advance_to(AT + DUTY.rescue_after)
    later = due_slot(DUTY, clock.now())
    assert isinstance(await tick(pool, clock, DUTY, work, "b"), Ran)
    assert await rescue_slots(pool, clock, DUTY, work, "b") is None
    assert await rows(pool) == [
        ("plan", SLOT, "dead", True, {"superseded": 1}),
        ("plan", later, "b", True, {"made": 1}),
    ]


async def test_failed_work_holds_up_nothing_and_is_tried_again(pool: asyncpg.Pool) -> None:
    work, clock = Counting(), VirtualClock(AT)
    with pytest.raises(RuntimeError):
        await tick(pool, clock, DUTY, failing, "a")
    assert await rows(pool) == [("plan", SLOT, "a", False, None)]
    assert await rescue_slots(pool, clock, DUTY, work, "b") == Ran(SLOT, {"made": 1})
    assert await rows(pool) == [("plan", SLOT, "b", True, {"made": 1})]


async def test_old_slots_go_and_the_last_of_each_duty_stays(pool: asyncpg.Pool) -> None:
    clock, daily = VirtualClock(AT), Duty("partitions", timedelta(days=1))
    await tick(pool, clock, daily, Counting(), "a")
    for minutes in range(3):
        clock.advance_to(AT + timedelta(minutes=minutes))
        await tick(pool, clock, DUTY, Counting(), "a")
    assert await prune(pool, AT + timedelta(days=9)) == {"slots": 2}
    assert [(duty, slot) for duty, slot, *_ in await rows(pool)] == [
        ("partitions", due_slot(daily, AT)),
        ("plan", SLOT + timedelta(minutes=2)),
    ]

"""Calendars that staff confirm: what waited for one goes out, and every decision says which it counted by."""

from collections.abc import AsyncIterator
from datetime import date, time

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.calendars import (
    Stored,
    calendars_in_force,
    confirm,
    edition,
    listed,
    shipped_calendars,
    store,
    take_over,
)
from agent.flows.dispatch import run_lane
from agent.flows.unclear import Unclear
from agent.store.keyring import Keyring
from schedules import calendar_text
from tests.support.conduct import answers, decided, lane_under
from tests.support.world import World, ladder_toml, stage_toml, utc

BANGKOK = "Asia/Bangkok"
MISSING = ("snooze", ["ENGINE-CALENDAR-MISSING"])
OFFICIAL = """
name = "th-sample"
weekend = ["sat", "sun"]
covers = [2026-01-01, 2026-12-31]
source = "Royal Gazette"
checked_on = 2026-02-20
confirmed = true
off = [2026-03-03]
"""


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> AsyncIterator[World]:
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), not_after_hours=47))
    yield World(pool, keyring, VirtualClock(utc("2026-03-02T01:00")), ladder, zone=BANGKOK)
    async with pool.acquire() as conn:
        await take_over(conn, "")


async def again(town: World) -> list[tuple[str, list[str]]]:
    """Dispatch what was woken."""
    await run_lane(await lane_under(town, ("house", "th-dca")))
    return await answers(town, town.clock.now())


async def test_what_waits_for_a_calendar_goes_out_when_it_is_confirmed(town: World) -> None:
    await town.opens("L1", date(2026, 3, 1))
    town.wait_to(date(2026, 3, 2), "10:00", BANGKOK)
    assert await decided(town, ("house", "th-dca")) == [MISSING]
    done = await confirm(
        town.pool, "th-sample", [2026], by="ana", reason="Royal Gazette", now=town.clock.now()
    )
    assert isinstance(done, Stored)
    assert (done.confirmed, done.woken) == ((2026,), 1)
    assert (await again(town))[-1] == ("send", [])
    kept = await town.pool.fetchrow("select * from calendar_version")
    assert (kept["name"], kept["stored_by"], kept["reason"]) == (
        "th-sample",
        "ana",
        "Royal Gazette",
    )
    assert kept["source"] == calendar_text("th-sample")
    packs = await town.value("select packs from decision order by id desc limit 1")
    assert f"calendar:th-sample@{done.version}" in packs.split()


async def test_a_file_of_ones_own_takes_its_place(town: World) -> None:
    """The sample does not know that the third of March is Makha Bucha: shorter hours."""
    done = await store(
        town.pool, OFFICIAL, [2026], by="ana", reason="Royal Gazette", now=town.clock.now()
    )
    assert isinstance(done, Stored)
    await town.opens("L1", date(2026, 3, 2))
    town.wait_to(date(2026, 3, 3), "18:30", BANGKOK)
    assert await decided(town, ("house", "th-dca")) == [("snooze", ["TH-S9-TIME"])]
    assert not town.heard


async def test_a_year_is_confirmed_by_itself_and_other_databases_know_nothing_of_it(
    town: World,
) -> None:
    await confirm(town.pool, "co-sample", [2027], by="ana", reason="decree", now=town.clock.now())
    async with town.pool.acquire() as conn:
        rows = {one.name: one for one in await listed(conn)}
        assert (rows["co-sample"].confirmed, rows["co-sample"].unconfirmed) == ((2027,), (2026,))
        assert (rows["co-sample"].by, rows["co-sample"].reason) == ("ana", "decree")
        assert rows["id-sample"].confirmed == ()
        assert rows["cn-state-council"].confirmed == (2026,)
        known = calendars_in_force()["co-sample"]
        assert not known.is_known(date(2026, 12, 31))
        assert known.is_known(date(2027, 1, 1))
        await take_over(conn, "")
    assert edition() == ""
    assert dict(calendars_in_force()) == dict(shipped_calendars())


@pytest.mark.parametrize(
    ("name", "years", "why"),
    [("atlantis", [2026], "there is no calendar atlantis"), ("co-sample", [2031], "no holidays of 2031")],
)  # fmt: skip
async def test_what_is_not_listed_cannot_be_confirmed(
    town: World, name: str, years: list[int], why: str
) -> None:
    done = await confirm(town.pool, name, years, by="ana", reason="r", now=town.clock.now())
    assert isinstance(done, Unclear)
    assert why in done.why
    assert await town.value("select count(*) from calendar_version") == 0


@pytest.mark.parametrize("text", ["name = ", 'name = "x"', OFFICIAL.replace('"th-sample"', "3")])
async def test_what_is_no_calendar_is_not_stored(town: World, text: str) -> None:
    done = await store(town.pool, text, [2026], by="ana", reason="r", now=town.clock.now())
    assert isinstance(done, Unclear)
    assert await town.value("select count(*) from calendar_version") == 0

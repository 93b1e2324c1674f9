"""Texts that gateways must know wait for their id; who collects is told wherever a person may be."""

from datetime import date, time
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.dispatch import run_lane
from agent.flows.portfolios import load_portfolios
from agent.flows.registered_texts import Registered, missing, register
from agent.flows.unclear import Unclear
from agent.store.keyring import Keyring
from agent.store.registered import TextKey
from tests.support.conduct import answers, decided, lane_under
from tests.support.world import World, ladder_toml, phone, sms, stage_toml, utc

DUE = date(2026, 3, 5)
HELD = ("snooze", ["ENGINE-FACT-MISSING:template_id", "IN-TRAI-DLT"])
KEY = TextKey("IN", "overdue-1", "en")
MUMBAI = "+919820098200"


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), not_after_hours=47))
    return World(pool, keyring, VirtualClock(utc("2026-03-04T02:00")), ladder, zone="Asia/Kolkata")


async def owing(town: World, number: str, **person: Any) -> None:
    await town.opens("L1", DUE, person="ann", contacts=[sms(number)], locale="en-IN")
    if person:
        await town.take("borrower.updated", "ann", {"id": "ann", **person})
    town.wait_to(date(2026, 3, 6), "10:00", "Asia/Kolkata")


async def test_a_text_without_an_id_waits_until_it_is_registered(town: World) -> None:
    await owing(town, MUMBAI, region="IN-MH")
    assert await decided(town, ("house", "by-place")) == [HELD]
    async with town.pool.acquire() as conn:
        (portfolio,) = (await load_portfolios(conn, town.clock.now())).values()
        assert await missing(conn, portfolio) == (KEY,)
    done = await register(
        town.pool, town.name, KEY, "1107161", by="ana", reason="DLT", now=town.clock.now()
    )
    assert isinstance(done, Registered)
    assert done.woken == 1
    await run_lane(await lane_under(town, ("house", "by-place")))
    assert (await answers(town, town.clock.now()))[-1] == ("send", [])
    async with town.pool.acquire() as conn:
        assert await missing(conn, portfolio) == ()
    row = await town.pool.fetchrow("select * from registered_text")
    assert (row["template_id"], row["registered_by"], row["reason"]) == ("1107161", "ana", "DLT")


async def test_an_id_that_is_taken_back_and_one_of_another_text_do_not_count(town: World) -> None:
    await owing(town, MUMBAI)
    now = town.clock.now()
    other = TextKey("IN", "overdue-3", "en")
    for key, known_as in (
        (KEY, "1"),
        (KEY, None),
        (other, "2"),
        (TextKey("IN", "overdue-1", "es"), "3"),
    ):
        await register(town.pool, town.name, key, known_as, by="ana", reason="DLT", now=now)
    assert await decided(town, ("house", "in-trai")) == [HELD]


async def test_a_number_of_a_country_without_registration_needs_none(town: World) -> None:
    await owing(town, phone(1))
    assert await decided(town, ("house", "in-trai")) == [("send", [])]


@pytest.mark.parametrize(
    "key",
    [
        TextKey("XX", "overdue-1", "en"),
        TextKey("IN", "nothing", "en"),
        TextKey("IN", "overdue-1", "xx"),
    ],
)
async def test_what_is_no_text_is_not_registered(town: World, key: TextKey) -> None:
    await town.opens("L1", DUE)
    now = town.clock.now()
    done = await register(town.pool, town.name, key, "1", by="ana", reason="DLT", now=now)
    assert isinstance(done, Unclear)
    assert await town.value("select count(*) from registered_text") == 0


@pytest.mark.parametrize(
    ("region", "role", "told"),
    [("US-NY", "third_party", True), ("US-NY", "first_party", False), ("MX", "third_party", False)],
)
async def test_who_collects_is_told_wherever_the_person_may_be(
    town: World, region: str, role: str, told: bool
) -> None:
    """A person of New York whose phone is from elsewhere is protected by the same words."""
    await owing(town, phone(1), region=region)
    assert await decided(town, ("house",), role=role) == [("send", [])]
    (heard,) = town.heard
    assert ("attempt to collect a debt" in heard.body) is told

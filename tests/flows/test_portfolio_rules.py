"""Choosing who collects and which packs bind: at once, with a trace, and never what is not there."""

from datetime import date, time

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.frame import Role
from agent.flows.portfolio_rules import NOWHERE, Chosen, Wanted, choose
from agent.flows.unclear import Unclear
from agent.store.keyring import Keyring
from tests.support.world import NAME, World, ladder_toml, sms, stage_toml, utc

DUE = date(2026, 3, 5)
US = "+12025550123"


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), not_after_hours=47))
    town = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)
    await town.opens("L1", DUE, contacts=[sms(US)])
    return town


async def chosen(town: World, wanted: Wanted, reason: str = "counsel's advice") -> Chosen | Unclear:
    return await choose(
        town.pool, NAME, wanted, reason=reason, by="ann", now=town.clock.now()
    )  # fmt: skip


async def test_what_is_chosen_binds_the_next_begin_and_wakes_what_waited(town: World) -> None:
    assert await chosen(town, Wanted(packs=("house", "us-fed-regf"))) == Chosen(
        NAME, None, ("house", "us-fed-regf"), 0
    )
    town.wait_to(date(2026, 3, 6), "16:00")
    await town.plan()
    await town.dispatch()
    ((_, verdict, rules),) = await town.decisions()
    assert verdict == "snooze"
    assert "ENGINE-FACT-MISSING:role" in rules
    town.wait_to(date(2026, 3, 6), "16:05")
    assert await chosen(town, Wanted(role=Role.FIRST_PARTY)) == Chosen(
        NAME, Role.FIRST_PARTY, ("house", "us-fed-regf"), 1
    )
    await town.dispatch()
    assert [verdict for _, verdict, _ in await town.decisions()] == ["snooze", "send"]


async def test_a_country_places_people_of_whom_nothing_tells(town: World) -> None:
    push = {"channel": "push", "provider": "fcm", "address": "app"}
    told = {"id": "ken", "locale": "en", "contacts": [push]}
    parts = [{"number": 1, "due_on": DUE, "amount": "100.00"}]
    data = {"portfolio": NAME, "currency": "NGN", "installments": parts}
    await town.take("loan.opened", "L2", data | {"borrower": told})
    zones = "select zones from borrower where ref = 'ken'"
    assert await town.value(zones) == []
    await town.pool.execute(
        "update schedule_version set source = replace(source, '[\"sms\"]', '[\"push\"]')"
    )
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    await town.dispatch()
    assert ("day-1", "snooze", ["zone-unknown"]) in await town.decisions()
    town.wait_to(date(2026, 3, 6), "11:00")
    done = await chosen(town, Wanted(country="NG"))
    assert isinstance(done, Chosen)
    assert (done.country, done.moved, done.woken) == ("NG", 1, 1)
    assert await town.value(zones) == ["Africa/Lagos"]
    # whose zone the ledger names is where they were
    assert await town.value("select count(*) from place_before") == 1
    await town.dispatch()
    assert "2026-03-06 11:00 day-1 push" in await town.sent("L2")
    # named again nothing moves; taken back, nobody knows
    assert await chosen(town, Wanted(country="NG")) == Chosen(NAME, None, ("house",), 0, "NG")
    assert await chosen(town, Wanted(country=NOWHERE)) == Chosen(
        NAME, None, ("house",), 0, None, moved=1
    )
    assert await town.value(zones) == []
    kept = await town.rows("select country from portfolio_rules order by id")
    assert kept == [("NG",), ("NG",), (None,)]
    assert isinstance(await chosen(town, Wanted(country="XX")), Unclear)


async def test_every_choice_is_kept_with_who_and_why(town: World) -> None:
    before = await town.value("select rev from portfolio where name = $1", NAME)
    await chosen(town, Wanted(role=Role.THIRD_PARTY), "bought the debts")
    await chosen(town, Wanted(packs=("house",)), "back to our own")
    rows = await town.rows("select role, packs, reason, chosen_by from portfolio_rules order by id")
    assert rows == [
        ("third_party", ["house"], "bought the debts", "ann"),
        ("third_party", ["house"], "back to our own", "ann"),
    ]
    assert await town.value("select rev from portfolio where name = $1", NAME) == before + 2


@pytest.mark.parametrize("packs", [(), ("atlantis",), ("house", "HOUSE")])
async def test_what_is_not_there_cannot_be_chosen(town: World, packs: tuple[str, ...]) -> None:
    assert isinstance(await chosen(town, Wanted(packs=packs)), Unclear)
    assert await town.value("select count(*) from portfolio_rules") == 0


async def test_a_portfolio_that_is_not_there_is_named_with_those_that_are(town: World) -> None:
    done = await choose(
        town.pool, "village", Wanted(Role.FIRST_PARTY), reason="x", by="ann", now=town.clock.now()
    )  # fmt: skip
    assert done == Unclear("there is no portfolio village", f"use one of: {NAME}")

"""Choosing who collects and which packs bind: at once, with a trace, and never what is not there."""

from datetime import date, time

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.frame import Role
from agent.flows.portfolio_rules import Chosen, Wanted, choose
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

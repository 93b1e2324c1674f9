"""Packs at dispatch: a portfolio chooses, places select, what is missing holds, all of it is stored."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, time, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.calendar import ZONE_DATA
from agent.flows.dispatch import run_lane
from agent.flows.invariants import check
from agent.flows.rules import every_pack, installed
from agent.flows.trail import MARKS, Question, Trail, trail
from agent.store.keyring import Keyring
from tests.support.world import World, ladder_toml, stage_toml, utc

DUE = date(2026, 3, 5)
STEPS = ladder_toml(
    *(
        stage_toml(f"day-{day}", day, time(10), catch_up="skip", not_after_hours=23)
        for day in (1, 2, 3)
    )
)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), STEPS)


async def dispatch(town: World, named: Sequence[str], day: int) -> list[tuple[str, list[str]]]:
    """Dispatch one morning under packs of these names; every decision of that morning."""
    town.wait_to(date(2026, 3, 5 + day), "10:00")
    await town.plan()
    lane = await town.lane()
    portfolio = replace(lane.portfolio, packs=tuple(named))
    await run_lane(replace(lane, portfolio=portfolio, packs=installed(named)))
    rows = await town.pool.fetch(
        "select verdict, rules from decision where decided_at = $1 order by id", town.clock.now()
    )
    return [(row["verdict"], row["rules"]) for row in rows]


async def test_a_law_counts_contacts_over_days_where_the_house_does_not(town: World) -> None:
    await town.opens("L1", DUE)
    named = ("house", "us-ma")
    assert await dispatch(town, named, 1) == [("send", [])]
    assert await dispatch(town, named, 2) == [("send", [])]
    # two in seven days: the third would come too late to be useful
    assert await dispatch(town, named, 3) == [("cancel", ["MA-7.04-1F", "not-after"])]
    stored = await town.pool.fetchval("select packs from decision limit 1")
    house, massachusetts, zones = stored.split()
    assert house.startswith("house@")
    assert massachusetts.startswith("us-ma@")
    assert zones == f"tzdata@{ZONE_DATA}"


async def test_a_pack_that_is_named_and_not_installed_holds_every_notice(town: World) -> None:
    await town.opens("L1", DUE)
    assert await dispatch(town, ("house", "atlantis"), 1) == [("snooze", ["pack-missing:atlantis"])]
    assert not town.heard


@pytest.mark.parametrize(
    ("region", "verdicts"),
    [
        (None, [("snooze", ["pack-missing:place-unknown"])]),
        ("NG", [("snooze", ["pack-missing:NG"])]),
        # nobody said whether it is an agent who writes, of whom India wants people to be told first
        ("IN", [("snooze", ["ENGINE-FACT-MISSING:role", "IN-RBI-AGENT-NOTICE"])]),
        ("CN-SH", [("send", [])]),
    ],
)
async def test_where_places_select_a_place_without_rules_holds(
    town: World, region: str | None, verdicts: list[tuple[str, list[str]]]
) -> None:
    await town.opens("L1", DUE)
    await town.pool.execute("update borrower set region = $1", region)
    assert await dispatch(town, ("house", "by-place"), 1) == verdicts


async def test_why_tells_rule_clause_and_words(town: World) -> None:
    await town.opens("L1", DUE)
    for day in (1, 2, 3):
        await dispatch(town, ("house", "us-ma"), day)
    found = await trail(town.pool, Question("L1", "day-3"), packs=every_pack())
    assert isinstance(found, Trail)
    (decision,) = [entry for entry in found.entries if entry.kind == "decision"]
    rule = decision.rules[0]
    assert (rule.id, rule.clause) == ("MA-7.04-1F", "940 CMR 7.04(1)(f); 209 CMR 18.16(1)(d)")
    assert "two such communications" in rule.words
    assert MARKS[rule.mark] == "read in the source"


async def test_invariants_hold_attempts_against_the_hours_of_laws_too(town: World) -> None:
    await town.opens("L1", DUE)
    await town.pool.execute("update portfolio set role = 'first_party'")
    await dispatch(town, ("house", "in-rbi"), 1)
    await town.pool.execute("update portfolio set packs = '{house,in-rbi}' where name = 'town'")

    async def outside() -> int:
        found = await check(town.pool, None, town.clock.now(), packs=every_pack())
        return next(finding.violations for finding in found if finding.id == "5")

    assert await outside() == 0
    # half past seven in the evening: inside the hours of the house, outside those of the law
    evening = town.at(date(2026, 3, 6), "19:30")
    await town.pool.execute(
        "update attempt set begun_at = $1, deadline_at = $2",
        evening,
        evening + timedelta(seconds=15),
    )
    assert await outside() == 1

"""Stages that come while a loan is held: each is called off with the hold, and one late message follows."""

from datetime import date, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.invariants import check
from agent.flows.passed_over import sweep_held
from agent.flows.passing import lift_holds
from agent.flows.rules import packs
from agent.flows.trail import Question, Trail, trail
from agent.store.keyring import Keyring
from tests.support.world import World, utc

MARCH_5 = date(2026, 3, 5)
HELD = ["hold:hardship"]


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    """Lagos, the first of March, nine in the morning; the shipped schedule and the house rules."""
    return World(pool, keyring, VirtualClock(utc("2026-03-01T08:00")))


async def called_off(town: World, loan: str = "L1") -> dict[str, list[str]]:
    """Stage to the rules of the decision that called it off, of notices that nobody else planned."""
    rows = await town.rows(
        "select n.stage, d.rules from notice n join loan l on l.id = n.loan_id join decision d"
        " on d.loan_id = n.loan_id and d.anchor = n.anchor and d.stage = n.stage"
        " where l.ref = $1 and n.state = 'cancelled' and n.planned_at = n.closed_at"
        " and n.reason = d.rules[1] order by n.due_at", loan,
    )  # fmt: skip
    return dict(rows)


async def violated(town: World) -> dict[str, tuple[str, ...]]:
    found = await check(town.pool, town.keyring, town.clock.now(), packs=packs(["house"]))
    return {one.id: one.examples for one in found if one.violations}


async def test_what_passed_is_called_off_and_the_true_stage_comes_late(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "hardship", utc("2026-03-17T12:00"))
    await town.live_to(date(2026, 3, 21), "12:00")
    found = await called_off(town)
    assert list(found) == [
        "due-in-3-days", "due-tomorrow", "due-today", "overdue-1", "overdue-3", "overdue-7",
    ]  # fmt: skip
    assert {rules[0] for rules in found.values()} == set(HELD)
    # the stage it was at comes once, late; the next ones in their time
    assert await town.sent() == [
        "2026-03-18 10:00 overdue-10 sms",
        "2026-03-20 10:00 overdue-15 sms",
    ]
    assert await violated(town) == {}


async def test_a_hold_that_does_not_end_calls_off_day_by_day(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "deceased")
    await town.live_to(date(2026, 3, 10), "12:00")
    # the stage it is at would still come, were the hold lifted today
    assert list(await called_off(town)) == [
        "due-in-3-days",
        "due-tomorrow",
        "due-today",
        "overdue-1",
    ]
    assert "overdue-3" not in await town.notices()
    before = await town.rows("select * from decision")
    assert await sweep_held(town.pool, town.clock.now()) == 0
    assert await town.rows("select * from decision") == before
    assert await town.sent() == []
    assert await violated(town) == {}


async def test_what_was_planned_before_the_hold_keeps_its_own_end(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.live_to(date(2026, 3, 4), "12:00")
    await town.flags("owner-of-L1", "hardship", utc("2026-03-06T12:00"))
    await town.live_to(date(2026, 3, 9), "12:00")
    decided = [rules for stage, _, rules in await town.decisions() if stage == "due-tomorrow"]
    assert decided[0] == HELD
    assert "due-tomorrow" not in await called_off(town)
    assert await violated(town) == {}


async def test_a_payment_under_a_hold_does_not_forget_the_due_date_before(town: World) -> None:
    await town.opens("L1", MARCH_5, date(2026, 4, 5))
    await town.live_to(date(2026, 3, 6), "12:00")
    await town.flags("owner-of-L1", "hardship", utc("2026-03-30T12:00"))
    await town.live_to(date(2026, 3, 16), "12:00")
    await town.pays("L1")
    # the present stage, too: that due date is over
    assert list(await called_off(town)) == ["overdue-3", "overdue-7", "overdue-10"]
    await town.live_to(date(2026, 4, 2), "12:00")
    assert (await town.sent())[-1] == "2026-04-02 10:00 due-in-3-days sms"
    assert await violated(town) == {}


async def test_a_loan_that_ends_under_a_hold_says_what_it_missed(town: World) -> None:
    for loan in ("paid", "sold"):
        await town.opens(loan, MARCH_5)
        await town.flags(f"owner-of-{loan}", "dispute")
    await town.live_to(date(2026, 3, 6), "12:00")
    await town.pays("paid")
    await town.closes("sold", "sold")
    for loan in ("paid", "sold"):
        assert list(await called_off(town, loan))[-1] == "overdue-1"
    assert await violated(town) == {}


async def test_a_move_under_a_hold_does_not_lose_the_present_stage(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "hardship", utc("2026-03-09T12:00"))
    await town.live_to(date(2026, 3, 8), "12:00")
    await town.moves_to("owner-of-L1", "Europe/London")
    # whatever becomes of the loan now; it comes back with the end of the hold
    assert list(await called_off(town))[-1] == "overdue-3"
    await town.live_to(date(2026, 3, 11), "12:00")
    assert await town.sent(zone="Europe/London") == ["2026-03-10 10:00 overdue-3 sms"]
    assert await violated(town) == {}


async def test_a_stage_that_comes_again_further_west_is_not_called_off(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "hardship", utc("2026-03-08T12:00"))
    await town.live_to(date(2026, 3, 8), "11:00")
    await town.moves_to("owner-of-L1", "America/New_York")
    assert "overdue-3" not in await called_off(town)
    await town.live_to(date(2026, 3, 8), "18:00")
    assert await town.sent(zone="America/New_York") == ["2026-03-08 10:00 overdue-3 sms"]
    assert await violated(town) == {}


async def test_a_flag_that_the_ledger_takes_back_ends_like_any_other(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "dispute")
    town.clock.advance_to(utc("2026-03-09T12:00"))
    await town.take("borrower.flagged", "owner-of-L1", {"flag": "dispute", "active": False})
    assert (await called_off(town))["due-today"] == ["hold:dispute", "superseded", "not-after"]
    await town.live_to(date(2026, 3, 11), "12:00")
    assert await town.sent() == ["2026-03-10 10:00 overdue-3 sms"]
    assert await violated(town) == {}


async def test_holds_that_overlap_are_named_together(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "hardship", utc("2026-03-06T08:00"))
    town.clock.advance_to(town.clock.now() + timedelta(hours=1))
    await town.flags("owner-of-L1", "dispute", utc("2026-03-08T08:00"))
    await town.live_to(date(2026, 3, 8), "12:00")
    found = await called_off(town)
    assert found["due-today"][:2] == ["hold:dispute", "hold:hardship"]
    assert "hold:hardship" not in found["overdue-1"]


async def test_why_tells_which_stages_a_hold_skipped(town: World) -> None:
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "hardship", utc("2026-03-08T12:00"))
    await town.live_to(date(2026, 3, 9), "12:00")
    found = await trail(town.pool, Question("L1", "overdue-1"), packs=packs(["house"]))
    assert isinstance(found, Trail)
    (decided,) = [entry for entry in found.entries if entry.kind == "decision"]
    assert decided.text == "overdue-1: cancel"
    assert decided.rules[0].id == "hold:hardship"


async def test_nobody_held_costs_one_look(town: World) -> None:
    await town.opens("L1", MARCH_5)
    assert await sweep_held(town.pool, town.clock.now()) == 0


async def test_a_lift_names_all_that_failed_by_then(town: World) -> None:
    """No sweep came round: the end of the hold tells of everything at once."""
    await town.opens("L1", MARCH_5)
    await town.flags("owner-of-L1", "hardship", utc("2026-03-10T12:00"))
    town.clock.advance_to(utc("2026-03-10T12:00"))
    await lift_holds(town.pool, town.clock.now())
    found = await called_off(town)
    assert found["due-today"] == [*HELD, "superseded", "not-after"]
    assert list(found)[-1] == "overdue-1"
    await town.live_to(date(2026, 3, 11), "12:00")
    assert await town.sent() == ["2026-03-11 10:00 overdue-3 sms"]

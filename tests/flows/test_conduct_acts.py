"""At dispatch: what must come before a contact, what it says of a debt, how often it is tried."""

from datetime import date, time
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.store.keyring import Keyring
from tests.support.conduct import decided, pack_of
from tests.support.world import World, ladder_toml, phone, sms, stage_toml, utc

DUE = date(2026, 3, 5)
MISSING = "ENGINE-FACT-MISSING:"


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), not_after_hours=47))
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)


async def owing(town: World, **facts: Any) -> None:
    """A loan of which the ledger states these facts, on the morning after it was due."""
    await town.opens("L1", DUE, person="ann", contacts=[sms(phone(1))])
    await town.take("borrower.updated", "ann", {"id": "ann", "loan_facts": {"L1": facts}})
    town.wait_to(date(2026, 3, 6), "10:00")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ("snooze", [MISSING + "written_notice_mailed", "DC-3814-D4B-I"])),
        ({"written_notice_mailed": False}, ("cancel", ["DC-3814-D4B-I"])),
        ({"written_notice_mailed": True}, ("send", [])),
        ({"written_notice_mailed": "2026-03-01"}, ("send", [])),
        # one that will be mailed on Saturday was not mailed on Friday
        ({"written_notice_mailed": "2026-03-07"}, ("snooze", ["DC-3814-D4B-I"])),
    ],
)
async def test_the_district_of_columbia_wants_its_letter_before_any_text(
    town: World, facts: dict[str, Any], expected: tuple[str, list[str]]
) -> None:
    await owing(town, **facts)
    town.wait_to(date(2026, 3, 6), "15:00")
    assert await decided(town, ("house", "us-dc")) == [expected]
    assert len(town.heard) == (expected[0] == "send")


@pytest.mark.parametrize(
    ("role", "facts", "expected"),
    [
        ("third_party", {}, ("snooze", [MISSING + "agent_details_sent", "IN-RBI-AGENT-NOTICE"])),
        ("third_party", {"agent_details_sent": False}, ("cancel", ["IN-RBI-AGENT-NOTICE"])),
        ("third_party", {"agent_details_sent": True}, ("send", [])),
        # a lender that collects for itself is no agent
        ("first_party", {}, ("send", [])),
        (None, {"agent_details_sent": False}, ("snooze", [MISSING + "role", "IN-RBI-AGENT-NOTICE"])),
    ],
)  # fmt: skip
async def test_who_collects_is_told_before_an_agent_writes(
    town: World, role: str | None, facts: dict[str, Any], expected: tuple[str, list[str]]
) -> None:
    await owing(town, **facts)
    assert await decided(town, ("house", "in-rbi"), role=role) == [expected]
    assert len(town.heard) == (expected[0] == "send")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"currency": "NGN", "amount_lte": 100}, ("cancel", ["SMALL"])),
        ({"currency": "NGN", "amount_lte": 99}, ("send", [])),
        ({"currency": "KES", "amount_lte": 100}, ("send", [])),
        ({"balance_lte": 299}, ("send", [])),
        ({"balance_lte": 300}, ("cancel", ["SMALL"])),
        ({"dpd_lte": 1}, ("cancel", ["SMALL"])),
        ({"dpd_lte": 1, "rate_gte": 48}, ("snooze", [MISSING + "rate", "SMALL"])),
    ],
)
async def test_an_amount_is_what_the_ledger_says_is_due_that_day(
    town: World, when: dict[str, Any], expected: tuple[str, list[str]]
) -> None:
    """One instalment of three is due; the other two are owed as well, and not yet asked for."""
    later = (date(2026, 4, 5), date(2026, 5, 5))
    await town.opens("L1", DUE, *later, contacts=[sms(phone(1))])
    town.wait_to(date(2026, 3, 6), "10:00")
    rule = {"id": "SMALL", "type": "amount_limit", "when": when}
    assert await decided(town, ("house",), pack_of(rule)) == [expected]


async def test_what_is_said_of_a_disputed_debt_must_be_marked(town: World) -> None:
    rule = {"id": "MARK", "type": "accuracy", "when": {"dispute_open": True, "marked": False}}
    await owing(town)
    await town.plan()
    await town.flags("ann", "dispute")
    held = ["hold:dispute", MISSING + "marked", "MARK"]
    assert await decided(town, ("house",), pack_of(rule)) == [("snooze", held)]


async def test_after_two_failures_in_a_row_it_is_not_tried_a_third_time(town: World) -> None:
    rule = {
        "id": "TWICE", "type": "attempt_limit", "max": 2, "counts": ["not_connected"], "scope": "number",
    }  # fmt: skip
    for day, loan in enumerate(("L1", "L2", "L3"), 6):
        due = date(2026, 3, day - 1)
        await town.opens(loan, due, person="ann", contacts=[sms(phone(1))])
        town.wait_to(date(2026, 3, day), "10:00")
        answer = await decided(town, ("house",), pack_of(rule))
        assert answer == [("cancel", ["TWICE"]) if loan == "L3" else ("send", [])]
        await town.pool.execute("update attempt set state = 'undelivered'")
    assert len(await town.attempts()) == 2


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ("snooze", [MISSING + "human_review", "LOOKED-AT"])),
        ({"human_review": False}, ("snooze", ["LOOKED-AT"])),
        ({"human_review": True}, ("send", [])),
    ],
)
async def test_a_step_waits_until_a_person_has_looked(
    town: World, facts: dict[str, Any], expected: tuple[str, list[str]]
) -> None:
    rule = {
        "id": "LOOKED-AT", "type": "step_gate",
        "when": {"grade": ["friendly", "formal"], "human_review": False},
    }  # fmt: skip
    await owing(town, **facts)
    assert await decided(town, ("house",), pack_of(rule)) == [expected]
    other = {**rule, "when": {"grade": ["formal"], "human_review": False}}
    town.wait_to(date(2026, 3, 7), "10:00")
    if expected[0] == "snooze":
        assert await decided(town, ("house",), pack_of(other)) == [("send", [])]


async def test_an_opt_out_is_named_by_the_law_of_the_place(town: World) -> None:
    await owing(town)
    number = await town.pool.fetchrow("select * from number where channel = 'sms'")
    await town.pool.execute(
        "insert into suppression (portfolio_id, channel, address_key, reason, stored_at, number_rev)"
        " values ($1, 'sms', $2, 'opt-out', $3, $4)",
        number["portfolio_id"], number["address_key"], town.clock.now(), number["rev"],
    )  # fmt: skip
    rule = {"id": "ANY-DEBT", "type": "opt_out_effect", "scope": "address_any_debt"}
    assert await decided(town, ("house",), pack_of(rule)) == [("cancel", ["opted-out", "ANY-DEBT"])]


@pytest.mark.parametrize(
    ("grade", "facts", "expected"),
    [
        ("formal", {}, ("snooze", [MISSING + "human_review", "CN-PIPL-24"])),
        ("final", {"human_review": False}, ("snooze", ["CN-PIPL-24"])),
        ("final", {"human_review": True}, ("send", [])),
        ("firm", {}, ("send", [])),
    ],
)
async def test_in_china_a_person_looks_before_a_formal_step(
    town: World, grade: str, facts: dict[str, Any], expected: tuple[str, list[str]]
) -> None:
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), grade=grade, not_after_hours=47))
    graded = World(town.pool, town.keyring, town.clock, ladder)
    await owing(graded, **facts)
    assert await decided(graded, ("house", "cn-pipl")) == [expected]
    assert len(graded.heard) == (expected[0] == "send")


@pytest.mark.parametrize(
    ("given_to", "expected"),
    [("lender", ("send", [])), ("collector", ("cancel", ["DC-3814-D4B-II"]))],
)
async def test_the_district_of_columbia_wants_consent_after_its_letter(
    town: World, given_to: str, expected: tuple[str, list[str]]
) -> None:
    points = [
        {"channel": "sms", "address": phone(1), "consent": {"source": "f", "given_to": given_to}}
    ]
    await town.opens("L1", DUE, person="ann", contacts=points)
    stated = {"L1": {"written_notice_mailed": True}}
    await town.take("borrower.updated", "ann", {"id": "ann", "loan_facts": stated})
    town.wait_to(date(2026, 3, 6), "15:00")
    assert await decided(town, ("house", "us-dc")) == [expected]

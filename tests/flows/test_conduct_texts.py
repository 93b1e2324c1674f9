"""Rules about what a message says, asked of the text that would leave, before an attempt is written."""

from dataclasses import replace
from datetime import date, time
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.message import Texts, compile_texts
from agent.flows.dispatch import run_lane
from agent.flows.rules import countries, frames
from agent.store.keyring import Keyring
from tests.support.conduct import Answer, answers, lane_under, pack_of
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
STEPS = ladder_toml(
    stage_toml("day-1", 1, time(10), not_after_hours=47), stage_toml("day-4", 4, time(10))
)
US, CHINA = "+12025550123", "+8613800138000"
EVERY = {"id": "SIGNED", "type": "required_content", "channels": ["sms"], "element": "signature"}
LATE = "You are late: please pay {amount}."


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), STEPS)


def texts(sms_text: str = LATE, push_text: str = "{lender}\nThere is a message for you.") -> Texts:
    """One text for every step, with the shipped frames around it."""
    found = compile_texts({("en", "overdue-1"): sms_text, ("en", "neutral.push"): push_text})
    assert isinstance(found, Texts)
    return replace(found, frames=frames(), countries=countries())


async def decided(
    town: World,
    *named: str,
    more: tuple[Any, ...] = (),
    role: str | None = "first_party",
    **lane: Any,
) -> list[Answer]:
    """One morning under packs and texts of one's choice."""
    await town.plan()
    under = await lane_under(town, ("house", *named), *more, role=role)
    await run_lane(replace(under, **({"texts": texts()} | lane)))
    return await answers(town, town.clock.now())


async def cases(town: World) -> list[tuple[Any, ...]]:
    return await town.rows("select kind, subject, detail -> 'rules' from case_item order by id")


async def test_a_text_without_what_a_rule_requires_is_never_begun_and_is_one_case(
    town: World,
) -> None:
    await town.opens("L1", DUE)
    await town.opens("L2", DUE)
    town.wait_to(date(2026, 3, 6), "10:00")
    assert await decided(town, more=(pack_of(EVERY),)) == [("cancel", ["SIGNED"])] * 2
    assert await town.attempts() == []
    assert await town.notices("L1") == {"day-1": "cancelled: SIGNED"}
    assert await cases(town) == [("text-refused", "text en/overdue-1", ["SIGNED"])]
    # the next step with the same text adds no second case while the first is open
    town.wait_to(date(2026, 3, 9), "10:00")
    assert await decided(town, more=(pack_of(EVERY),)) == [("cancel", ["SIGNED"])] * 2
    assert len(await cases(town)) == 1


async def test_what_the_frame_adds_for_a_country_counts(town: World) -> None:
    """The same text is signed for a Chinese number, and not for one of elsewhere."""
    await town.opens("L1", DUE, contacts=[sms(CHINA)])
    await town.opens("L2", DUE, contacts=[sms(phone(1))])
    town.wait_to(date(2026, 3, 6), "10:00")
    assert await decided(town, more=(pack_of(EVERY),)) == [("send", []), ("cancel", ["SIGNED"])]
    assert [one.body[:9] for one in town.heard] == ["【Sunrise】"]


async def test_a_collector_says_so_first_in_full_and_later_in_short(town: World) -> None:
    told = {"source": "form", "at": "2026-02-01T00:00:00+00:00", "given_to": "collector"}
    await town.opens("L1", DUE, contacts=[{"channel": "sms", "address": US, "consent": told}])
    for day in (6, 9):
        town.wait_to(date(2026, 3, day), "16:00")
        await town.pool.execute(
            "update notice set not_after = $1", town.at(date(2026, 4, 1), "10:00")
        )
        assert await decided(town, "us-fed-regf", role="third_party") == [("send", [])], day
    first, later = (one.body for one in town.heard)
    assert "attempt to collect a debt" in first
    assert "attempt to collect" not in later
    assert "from a debt collector" in later
    assert all("Reply STOP" in body for body in (first, later))


async def test_a_rule_on_first_messages_knows_what_was_sent_long_ago(town: World) -> None:
    rule = {
        "id": "FIRST", "type": "forbidden_content", "when": {"first_communication": False},
    }  # fmt: skip
    await town.opens("L1", DUE)
    town.wait_to(date(2026, 3, 6), "10:00")
    assert await decided(town, more=(pack_of(rule),)) == [("send", [])]
    await town.pool.execute(
        "with gone as (delete from attempt returning *) insert into attempt_archive select * from gone"
    )
    town.wait_to(date(2026, 3, 9), "10:00")
    assert await decided(town, more=(pack_of(rule),)) == [("cancel", ["FIRST"])]
    await town.pool.execute("update attempt_archive set state = 'absent'")
    await town.pool.execute("update notice set state = 'waiting', reason = null, closed_at = null")
    town.clock.advance_to(town.at(date(2026, 3, 9), "10:05"))
    await town.pool.execute("update notice set next_at = $1", town.clock.now())
    assert ("send", []) in await decided(town, more=(pack_of(rule),))


async def test_who_collects_must_be_known_where_only_one_side_is_bound(town: World) -> None:
    await town.opens("L1", DUE, contacts=[sms(US)])
    town.wait_to(date(2026, 3, 6), "16:00")
    ((verdict, rules),) = await decided(town, "us-fed-regf", role=None)
    assert verdict == "snooze"
    assert {"ENGINE-FACT-MISSING:role", "REGF-18E1-INITIAL"} <= set(rules)
    assert not town.heard


SUING = "Pay {amount} or we will sue you."


async def test_a_threat_that_nobody_says_is_meant_holds(town: World) -> None:
    await town.opens("L1", DUE, contacts=[sms(US)])
    town.wait_to(date(2026, 3, 6), "16:00")
    assert await decided(town, "us-fed-regf", texts=texts(SUING)) == [
        ("snooze", [
            "ENGINE-FACT-MISSING:time_barred", "REGF-26B-TIMEBARRED",
            "ENGINE-FACT-MISSING:action_intended", "REGF-18C1-THREAT",
        ])
    ]  # fmt: skip
    assert await cases(town) == [
        ("text-refused", "text en/overdue-1", [
            "ENGINE-FACT-MISSING:time_barred", "REGF-26B-TIMEBARRED",
            "ENGINE-FACT-MISSING:action_intended", "REGF-18C1-THREAT",
        ])
    ]  # fmt: skip


async def test_one_selling_line_makes_the_whole_message_a_solicitation(town: World) -> None:
    """Florida's hours of sales end at eight, those of collections at nine."""
    await town.opens("L1", DUE, zones=["Africa/Lagos"])
    selling = texts("Please pay {amount}. Borrow again today!")
    florida = pack_of(
        {
            "id": "SALES", "type": "contact_window", "channels": ["sms"],
            "windows": {"all_days": ["08:00", "10:00"]}, "when": {"content_class": "solicitation"},
        }
    )  # fmt: skip
    town.wait_to(date(2026, 3, 6), "10:00")
    assert await decided(town, more=(florida,), texts=selling) == [("snooze", ["SALES"])]
    assert await town.value("select until_at from decision") == town.at(date(2026, 3, 7), "08:01")
    town.wait_to(date(2026, 3, 7), "08:01")
    assert await decided(town, more=(florida,)) == [("send", [])]  # the selling line was taken out


async def test_advertising_wants_its_own_consent(town: World) -> None:
    wanted = {
        "id": "EXPRESS", "type": "consent_required", "channels": ["sms"], "fact": "express_consent",
        "when": {"content_class": ["commercial", "solicitation"]},
    }  # fmt: skip
    await town.opens("L1", DUE)
    town.wait_to(date(2026, 3, 6), "10:00")
    selling = texts("Please pay {amount}. Borrow again today!")
    assert await decided(town, more=(pack_of(wanted),), texts=selling) == [("cancel", ["EXPRESS"])]


async def test_a_push_that_tells_of_the_debt_is_not_shown_to_others(town: World) -> None:
    both = {"channels": ["push", "sms"], "fallback_after_minutes": 60}
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), **both))
    place = World(town.pool, town.keyring, town.clock, ladder)
    await place.opens("L1", DUE, contacts=[push("app"), sms(phone(1))])
    place.wait_to(date(2026, 3, 6), "10:00")
    quiet = {"id": "DISCREET", "type": "forbidden_content", "when": {"lockscreen_shows_debt": True}}
    loud = texts(push_text="{lender}\nYour debt is overdue.")
    assert await decided(place, more=(pack_of(quiet),), texts=loud) == [("send", [])]
    assert [one.channel for one in place.heard] == ["sms"]
    # it went another way, and whoever wrote the text is told all the same
    assert await cases(place) == [("text-refused", "text en/overdue-1 by push", ["DISCREET"])]


async def test_what_gateways_to_a_country_refuse_goes_another_way(town: World) -> None:
    both = {"channels": ["sms", "push"], "fallback_after_minutes": 60}
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), **both))
    place = World(town.pool, town.keyring, town.clock, ladder)
    await place.opens("L1", DUE, contacts=[push("app"), sms(CHINA)], locale="zh-CN")
    await place.opens("L2", DUE, contacts=[sms(CHINA)], locale="zh-CN")
    place.wait_to(date(2026, 3, 6), "10:00")
    lane = await place.lane()
    assert await decided(place, "carrier", texts=lane.texts) == [
        ("send", []), ("cancel", ["CARRIER-CONTENT"])
    ]  # fmt: skip
    assert [one.channel for one in place.heard] == ["push"]


@pytest.mark.parametrize(
    ("role", "number", "answer"),
    [
        ("third_party", US, ("cancel", ["CARRIER-3P-DEBT"])),
        ("third_party", phone(1), ("send", [])),
        ("first_party", US, ("send", [])),
        (None, US, ("snooze", ["ENGINE-FACT-MISSING:role", "CARRIER-3P-DEBT"])),
        # of a country that nobody described, nobody knows the route
        ("third_party", "+358401234567", ("snooze", [
            "ENGINE-FACT-MISSING:route", "CARRIER-3P-DEBT",
            "ENGINE-FACT-MISSING:gateway_bans", "CARRIER-CONTENT",
        ])),
    ],
)  # fmt: skip
async def test_lawful_is_not_deliverable(
    town: World, role: str | None, number: str, answer: Answer
) -> None:
    await town.opens("L1", DUE, contacts=[sms(number)])
    town.wait_to(date(2026, 3, 6), "16:00")
    assert await decided(town, "carrier", role=role) == [answer]


async def test_a_step_waits_for_the_facts_that_its_gate_wants(town: World) -> None:
    gate = {
        "id": "PERSON-FIRST", "type": "step_gate",
        "when": {"grade": ["formal", "final"], "approved_by_person": False},
    }  # fmt: skip
    ladder = ladder_toml(
        stage_toml("day-1", 1, time(10)), stage_toml("day-2", 2, time(10), grade="formal")
    )
    place = World(town.pool, town.keyring, town.clock, ladder)
    await place.opens("L1", DUE)
    place.wait_to(date(2026, 3, 6), "10:00")
    assert await decided(place, more=(pack_of(gate),)) == [("send", [])]
    place.wait_to(date(2026, 3, 7), "10:00")
    assert await decided(place, more=(pack_of(gate),)) == [
        ("snooze", ["ENGINE-FACT-MISSING:approved_by_person", "PERSON-FIRST"])
    ]


async def test_what_the_ledger_states_of_a_loan_answers_what_a_rule_asks(town: World) -> None:
    await town.opens("L1", DUE, person="ann", contacts=[sms(US)])
    facts = {"L1": {"time_barred": False, "action_intended": True}, "L2": {"time_barred": True}}
    await town.take("borrower.updated", "ann", {"id": "ann", "loan_facts": facts})
    town.wait_to(date(2026, 3, 6), "16:00")
    assert await decided(town, "us-fed-regf", texts=texts(SUING)) == [("send", [])]
    await town.opens("L2", DUE, person="ann", contacts=[])
    town.wait_to(date(2026, 3, 9), "16:00")
    ours = await decided(town, "us-fed-regf", texts=texts(SUING))
    assert [rules[0] for verdict, rules in ours if verdict == "cancel"] == ["REGF-26B-TIMEBARRED"]


async def test_that_the_ledger_states_what_a_text_says_makes_no_text_say_it(town: World) -> None:
    rule = {**EVERY, "fact": "signed"}
    await town.opens("L1", DUE, person="ann")
    await town.take("borrower.updated", "ann", {"id": "ann", "facts": {"signed": True}})
    town.wait_to(date(2026, 3, 6), "10:00")
    assert await decided(town, more=(pack_of(rule),)) == [("cancel", ["SIGNED"])]

"""Rules that look at consents, waivers, quiet hours, checked numbers and holds, asked at dispatch."""

from datetime import date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.calendar import BusinessCalendar
from agent.domain.conduct import Pack, compile_pack
from agent.domain.conduct_asked import facts_asked
from agent.flows.dispatch_conduct import NOTHING, read_conduct
from agent.flows.trail import Question, Trail, trail
from agent.store.dispatch import read_facts
from agent.store.keyring import Keyring
from tests.support.conduct import answers, decided, lane_under, pack_of
from tests.support.world import World, ladder_toml, phone, push, stage_toml, utc

DUE = date(2026, 3, 5)
STEPS = ladder_toml(stage_toml("day-1", 1, time(10), not_after_hours=47))
TEXTS = ("house", "us-fed-tcpa")
DIRECT = {
    "id": "DIRECT", "type": "consent_required", "channels": ["sms"], "fact": "sms_consent",
}  # fmt: skip
ADVERTISING = {
    "id": "EXPRESS", "type": "consent_required", "channels": ["sms"], "fact": "express_consent",
}  # fmt: skip
SIXTY = {
    "id": "SIXTY", "type": "revalidate", "channels": ["sms"], "max_age_days": 60,
    "needs": "a check", "evidence_days": [
        "days_since_consumer_text", "days_since_consent", "reassigned_number_check_days",
    ],
}  # fmt: skip
QUIET = {"id": "QUIET", "type": "quiet_preference"}
SHUT = {
    "id": "SHUT", "type": "contact_window", "windows": {"all_days": ["12:00", "20:00"]},
    "waivable_by": "consent_time",
}  # fmt: skip


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), STEPS)


def consent(**said: Any) -> list[dict[str, Any]]:
    return [{"channel": "sms", "address": phone(1), "consent": {"source": "form", **said}}]


async def at_ten(town: World) -> None:
    town.wait_to(date(2026, 3, 6), "10:00")


@pytest.mark.parametrize(
    ("role", "given_to", "answer"),
    [
        ("first_party", None, ("send", [])),
        ("first_party", "lender", ("send", [])),
        ("first_party", "collector", ("cancel", ["DIRECT"])),
        ("third_party", "collector", ("send", [])),
        # what the lender was told does not carry over to a collector
        ("third_party", "lender", ("cancel", ["DIRECT"])),
        ("third_party", None, ("snooze", ["ENGINE-FACT-MISSING:sms_consent", "DIRECT"])),
        (None, "lender", ("snooze", ["ENGINE-FACT-MISSING:sms_consent", "DIRECT"])),
    ],
)
async def test_a_consent_counts_only_for_whom_it_was_given_to(
    town: World, role: str | None, given_to: str | None, answer: tuple[str, list[str]]
) -> None:
    said = {} if given_to is None else {"given_to": given_to}
    await town.opens("L1", DUE, contacts=consent(**said))
    await at_ten(town)
    assert await decided(town, ("house",), pack_of(DIRECT), role=role) == [answer]
    assert len(town.heard) == (answer[0] == "send")
    assert len(await town.attempts()) == len(town.heard)


async def test_a_consent_taken_back_is_none_for_the_house_too(town: World) -> None:
    await town.opens("L1", DUE, person="ann", contacts=consent())
    gone = {"revoked_at": "2026-03-05T08:00:00+00:00"}
    await town.take("borrower.updated", "ann", {"id": "ann", "contacts": consent(**gone)})
    await at_ten(town)
    assert await decided(town, ("house",), pack_of(DIRECT)) == [
        ("cancel", ["no-consent", "DIRECT"])
    ]
    assert not town.heard


@pytest.mark.parametrize(
    ("scope", "answer"),
    [(["service"], ("cancel", ["EXPRESS"])), (["commercial"], ("send", []))],
)
async def test_express_consent_is_consent_to_advertising(
    town: World, scope: list[str], answer: tuple[str, list[str]]
) -> None:
    await town.opens("L1", DUE, contacts=consent(scope=scope))
    await at_ten(town)
    assert await decided(town, ("house",), pack_of(ADVERTISING)) == [answer]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"consent": {"source": "form", "at": "2026-01-05T08:00:00+00:00"}}, ("send", [])),
        ({"consent": {"source": "form", "at": "2026-01-04T08:00:00+00:00"}}, ("snooze", ["SIXTY"])),
        ({"consent": {"source": "form"}}, ("snooze", ["SIXTY"])),
        (
            {"consent": {"source": "form"}, "number_checked_at": "2026-02-01T08:00:00+00:00"},
            ("send", []),
        ),
        # what is dated in the future is no evidence
        (
            {"consent": {"source": "form"}, "number_checked_at": "2026-04-01T08:00:00+00:00"},
            ("snooze", ["SIXTY"]),
        ),
    ],
)
async def test_a_number_is_trusted_for_sixty_days(
    town: World, said: dict[str, Any], answer: tuple[str, list[str]]
) -> None:
    await town.opens("L1", DUE, contacts=[{"channel": "sms", "address": phone(1), **said}])
    await at_ten(town)
    assert await decided(town, ("house",), pack_of(SIXTY)) == [answer]


async def test_a_text_from_the_number_renews_it(town: World, keyring: Keyring) -> None:
    await town.opens("L1", DUE, contacts=consent())
    await at_ten(town)
    row = (
        "insert into inbound (portfolio_id, channel, provider_id, sender_key, sender, recipient, body, at,"
        " received_at, found_by, reading) values (0, 'sms', $1, $2, '', '', '', $3, $3, 'webhook', $4)"
    )
    key, then = keyring.blind("sms", phone(1)), town.clock.now() - timedelta(days=3)
    await town.pool.execute(row, "SM1", key, then, "opt_out")
    assert await decided(town, ("house",), pack_of(SIXTY)) == [("snooze", ["SIXTY"])]
    await town.pool.execute(row, "SM2", key, then, "case")
    town.clock.advance_to(town.clock.now() + timedelta(days=1))
    assert await decided(town, ("house",), pack_of(SIXTY)) == [("send", [])]


async def test_a_rule_of_one_channel_leaves_the_other_open(town: World) -> None:
    ladder = ladder_toml(
        stage_toml("day-1", 1, time(10), channels=["sms", "push"], fallback_after_minutes=60)
    )
    both = World(town.pool, town.keyring, town.clock, ladder)
    await both.opens("L1", DUE, contacts=[*consent(given_to="collector"), push("app")])
    await at_ten(both)
    assert await decided(both, ("house",), pack_of(DIRECT)) == [("send", [])]
    assert [one.channel for one in both.heard] == ["push"]


async def test_quiet_hours_defer_to_the_first_minute_after_them(town: World) -> None:
    await town.opens("L1", DUE, person="ann")
    hours = [{"days": ["fri"], "from": "09:30", "to": "12:15"}]
    await town.take("borrower.updated", "ann", {"id": "ann", "quiet_hours": hours})
    await at_ten(town)
    assert await decided(town, ("house",), pack_of(QUIET)) == [("snooze", ["QUIET"])]
    until = await town.value("select until_at from decision")
    assert until == town.at(date(2026, 3, 6), "12:16")
    # without a rule that respects them they are not even read
    town.clock.advance_to(until)
    assert await decided(town, ("house",), pack_of(QUIET)) == [("send", [])]


async def test_quiet_hours_of_a_shipped_pack_reach_the_gate_by_place(town: World) -> None:
    await town.opens("L1", DUE, person="ann")
    hours = [{"from": "09:30", "to": "12:15"}]
    await town.take("borrower.updated", "ann", {"id": "ann", "region": "GB", "quiet_hours": hours})
    await at_ten(town)
    assert await decided(town, ("house", "by-place")) == [("snooze", ["UK-CONC-7.9.4-PREF"])]


@pytest.mark.parametrize(
    ("role", "given_to", "answer"),
    [
        ("third_party", "collector", ("send", [])),
        ("third_party", "lender", ("snooze", ["SHUT"])),
        ("first_party", "lender", ("send", [])),
        (None, "collector", ("snooze", ["SHUT"])),
        ("first_party", None, ("snooze", ["SHUT"])),
    ],
)
async def test_a_waiver_lifts_only_rules_that_name_it_for_whom_it_was_given_to(
    town: World, role: str | None, given_to: str | None, answer: tuple[str, list[str]]
) -> None:
    await town.opens("L1", DUE, person="ann")
    given = [{"waives": "consent_time", "given_to": given_to, "at": "2026-03-01T08:00:00+00:00"}]
    if given_to is not None:
        await town.take("borrower.updated", "ann", {"id": "ann", "waivers": given})
    await at_ten(town)
    assert await decided(town, ("house",), pack_of(SHUT), role=role) == [answer]
    unwaivable = pack_of({key: SHUT[key] for key in SHUT if key != "waivable_by"} | {"id": "FIRM"})
    town.clock.advance_to(town.clock.now() + timedelta(hours=1))
    if answer[0] == "snooze":
        await town.pool.execute("update notice set next_at = $1", town.clock.now())
        verdicts = await decided(town, ("house",), pack_of(SHUT), unwaivable, role=role)
        assert verdicts == [("snooze", ["SHUT", "FIRM"])]


CEASE = {"id": "CEASE", "type": "hold", "reasons": ["cease_communication"]}
COUNTED = {
    "id": "COUNTED", "type": "hold", "reasons": ["breathing_space"], "days": 60, "effect": "defer",
    "zone": "Africa/Lagos", "opens": "08:00",
}  # fmt: skip


async def test_a_pack_may_close_for_good_what_a_hold_only_puts_off(town: World) -> None:
    await town.opens("L1", DUE, person="ann")
    await at_ten(town)
    await town.plan()
    await town.flags("ann", "cease_communication")
    assert await decided(town, ("house",), pack_of(CEASE)) == [
        ("cancel", ["CEASE", "hold:cease_communication"])
    ]
    assert await town.notices() == {"day-1": "cancelled: CEASE"}


async def test_days_of_a_hold_are_counted_from_its_first(town: World) -> None:
    await town.opens("L1", DUE, person="ann")
    await at_ten(town)
    await town.plan()
    await town.flags("ann", "breathing_space", until=utc("2026-12-01T00:00"))
    assert await decided(town, ("house",), pack_of(COUNTED)) == [
        ("snooze", ["hold:breathing_space", "COUNTED"])
    ]


async def test_the_house_asks_for_nothing_and_nothing_is_read(town: World) -> None:
    """The house is what most lenders run: its begin reads what it always read."""
    await town.opens("L1", DUE)
    lane = await lane_under(town, ("house",), role=None)
    async with town.pool.acquire() as conn:
        facts = await read_facts(conn, lane.portfolio.id, [], town.clock.now())
        assert await read_conduct(conn, lane, facts) == NOTHING
    assert facts_asked(lane.packs, None) == frozenset()
    assert "sms_consent" in facts_asked((*lane.packs, pack_of(DIRECT)), None)


async def test_why_tells_which_fact_was_missing_and_where_the_rule_stands(town: World) -> None:
    await town.opens("L1", DUE, contacts=consent())
    await at_ten(town)
    stated = {**DIRECT, "source": {"clause": "§ 7", "phrase": "Only with consent.", "mark": "read"}}
    own = pack_of(stated)
    await decided(town, ("house",), own, role="third_party")
    found = await trail(town.pool, Question("L1", "day-1"), packs=(own,))
    assert isinstance(found, Trail)
    (decision,) = [entry for entry in found.entries if entry.kind == "decision"]
    missing, rule = decision.rules
    assert missing.words == "A fact that a rule needs was not known: sms consent"
    assert (rule.words, rule.clause) == ("Only with consent.", "§ 7")


async def test_what_was_stored_is_what_was_asked(town: World) -> None:
    await town.opens("L1", DUE, contacts=consent(given_to="lender"))
    await at_ten(town)
    await decided(town, ("house",), pack_of(DIRECT), role="third_party")
    packs = await town.value("select packs from decision")
    assert "test@1" in packs.split()
    later = datetime.fromisoformat("2026-03-06T10:00:00+00:00")
    assert await answers(town, later) == []


LAWYER = {
    "id": "LAWYER", "type": "hold", "reasons": ["attorney"], "lifted_by": ["attorney_consents"],
}  # fmt: skip
FIVE = {
    "id": "FIVE", "type": "deadline", "from": "initial_communication", "days": 2, "duty": "tell",
    "done": "validation_sent",
}  # fmt: skip
WORKDAYS = {
    "id": "WORKDAYS", "type": "deadline", "from": "objection_received", "days": 3, "duty": "answer",
    "business": True, "calendar": "us-federal", "done": "objection_answered",
}  # fmt: skip


async def states(town: World, person: str, loan: str | None = None, **facts: Any) -> None:
    body = {"facts": facts} if loan is None else {"loan_facts": {loan: facts}}
    await town.take("borrower.updated", person, {"id": person, **body})


async def test_what_the_ledger_states_lifts_what_a_rule_makes_of_a_hold(town: World) -> None:
    await town.opens("L1", DUE, person="ann")
    await at_ten(town)
    await town.plan()
    await town.flags("ann", "attorney")
    await states(town, "ann", attorney_consents=True)
    # the hold itself is the ledger's to take back
    assert await decided(town, ("house",), pack_of(LAWYER)) == [("snooze", ["hold:attorney"])]
    await states(town, "ann", attorney_consents=None)
    await town.pool.execute("update notice set next_at = $1", town.clock.now())
    town.clock.advance_to(town.clock.now() + timedelta(minutes=1))
    assert await decided(town, ("house",), pack_of(LAWYER)) == [
        ("cancel", ["LAWYER", "hold:attorney"])
    ]


async def test_past_the_deadline_of_a_duty_the_next_step_waits_for_it(town: World) -> None:
    steps = [stage_toml(f"day-{n}", n, time(10), not_after_hours=23) for n in (1, 3, 4, 5, 6)]
    place = World(town.pool, town.keyring, town.clock, ladder_toml(*steps))
    await place.opens("L1", DUE, person="ann")
    told = {}
    for day in (6, 8, 9):
        place.wait_to(date(2026, 3, day), "10:00")
        told[day] = await decided(place, ("house",), pack_of(FIVE))
    # two days from the first message, the second included
    unknown = ["ENGINE-FACT-MISSING:validation_sent", "FIVE"]
    assert told == {6: [("send", [])], 8: [("send", [])], 9: [("snooze", unknown)]}
    await states(place, "ann", "L1", validation_sent=False)
    place.wait_to(date(2026, 3, 10), "10:00")
    assert ("cancel", ["FIVE"]) in await decided(place, ("house",), pack_of(FIVE))
    await states(place, "ann", "L1", validation_sent="2026-03-09")
    place.wait_to(date(2026, 3, 11), "10:00")
    assert await decided(place, ("house",), pack_of(FIVE)) == [("send", [])]


async def test_deadlines_may_be_counted_in_business_days(town: World) -> None:
    steps = [stage_toml(f"day-{n}", n, time(10), not_after_hours=23) for n in (4, 5)]
    place = World(town.pool, town.keyring, town.clock, ladder_toml(*steps))
    await place.opens("L1", DUE, person="ann")
    # a Wednesday: Thursday, Friday, Monday are three business days
    await states(place, "ann", "L1", objection_received="2026-03-04", objection_answered=False)
    place.wait_to(date(2026, 3, 9), "10:00")
    assert await decided(place, ("house",), pack_of_workdays()) == [("send", [])]
    place.wait_to(date(2026, 3, 10), "10:00")
    assert await decided(place, ("house",), pack_of_workdays()) == [("cancel", ["WORKDAYS"])]


def pack_of_workdays() -> Pack:
    weekend, covers = frozenset({6, 7}), (date(2026, 1, 1), date(2026, 12, 31))
    calendar = BusinessCalendar("us-federal", weekend, frozenset(), frozenset(), covers)
    found = compile_pack(
        {"pack": {"id": "test"}, "rules": [WORKDAYS]}, "1", {"us-federal": calendar}
    )
    assert isinstance(found, Pack)
    return found


async def test_a_holiday_calendar_that_is_missing_holds(town: World) -> None:
    await town.opens("L1", DUE, person="ann")
    await states(town, "ann", objection_received="2026-03-04")
    await at_ten(town)
    assert await decided(town, ("house",), pack_of(WORKDAYS)) == [
        ("snooze", ["ENGINE-CALENDAR-MISSING"])
    ]

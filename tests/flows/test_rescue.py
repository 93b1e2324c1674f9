"""Rescue: what a crash or a lost answer left open is settled by proof, and only then goes on."""

from dataclasses import replace
from datetime import date, time, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.delivery import CLOSE_UNKNOWN_AFTER, RECONCILE_HORIZON
from agent.flows.dispatch_begin import Outgoing, begin
from agent.flows.dispatch_record import Sent, record
from agent.flows.invariants import check
from agent.flows.rescue import archive, rescue
from agent.flows.rules import packs
from agent.store.keyring import Keyring, body_place, unseal
from channels.base import Accepted, Message
from channels.sandbox.script import Act, Loss, Receipts, Rule
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
NEXT_DAY = date(2026, 3, 6)
ONE_WAY = ladder_toml(stage_toml("one", 1, time(10)))
LOST = Rule(Act.LOSE_ANSWER, receipts=Receipts.LOST)
DROPPED = Rule(Act.DROP, loss=Loss.ERROR)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ONE_WAY)


async def ready(town: World, *contacts: dict[str, object]) -> None:
    await town.opens("L1", DUE, contacts=contacts or [sms(phone(1))])
    town.wait_to(NEXT_DAY, "10:00")
    await town.plan()


async def looks(town: World) -> None:
    """Live on for an hour, with rescue and dispatch wherever something is due."""
    await town.until(town.clock.now() + timedelta(hours=1))


async def attempt(town: World) -> asyncpg.Record:
    return await town.pool.fetchrow("select * from attempt order by begun_at limit 1")


async def test_a_crash_between_begin_and_send_is_sent_once_after_proof_of_absence(
    town: World,
) -> None:
    await ready(town)
    assert len((await begin(await town.lane())).sent_off) == 1  # and here the worker dies
    begun_at = town.clock.now()
    assert (await town.rescue()).stranded == 0, "not before its deadline"
    town.clock.advance_to(begun_at + timedelta(seconds=16))
    assert (await town.rescue()).stranded == 1
    assert await town.attempts() == [("one", "sms", "unknown")]
    absent_at = None
    while absent_at is None:
        town.clock.advance_to(await town.value("select look_at from attempt"))
        found = await town.rescue()
        absent_at = town.clock.now() if found.absent else None
        assert await town.notices() == {"one": "waiting" if absent_at else "sending"}
    row = await attempt(town)
    assert absent_at - row["clear_at"] >= RECONCILE_HORIZON
    assert row["clear_at"] > row["deadline_at"]
    await town.dispatch()
    assert [state for _, _, state in await town.attempts()] == ["absent", "accepted"]
    assert await town.rows("select fence, strandings from notice") == [(2, 1)]
    assert len(town.heard) == 1


async def test_a_lost_answer_is_found_in_the_providers_list(town: World) -> None:
    await ready(town)
    town.follow(LOST)
    await looks(town)
    assert await town.attempts() == [("one", "sms", "accepted")]
    assert await town.notices() == {"one": "sent"}
    assert (await attempt(town))["provider_id"] == town.heard[0].provider_id
    assert len(town.heard) == 1


async def test_a_lost_answer_is_settled_by_a_receipt(town: World) -> None:
    await ready(town)
    town.follow(replace(LOST, receipts=Receipts.ONCE), listed=frozenset())
    await looks(town)
    assert await town.attempts() == [("one", "sms", "delivered")]
    assert len(town.heard) == 1


async def test_a_dropped_message_is_sent_again_after_two_lists(town: World) -> None:
    await ready(town)
    town.follow(DROPPED)
    await town.dispatch()
    town.follow()
    await looks(town)
    assert [state for _, _, state in await town.attempts()] == ["absent", "delivered"]
    assert len(town.heard) == 1


async def test_a_list_that_lags_is_not_taken_for_absence(town: World) -> None:
    await ready(town)
    town.follow(LOST, list_lag=8 * 60.0)
    await looks(town)
    assert await town.attempts() == [("one", "sms", "accepted")]
    assert len(town.heard) == 1


async def test_only_the_exact_body_is_proof(town: World) -> None:
    await ready(town)
    town.follow(DROPPED)
    await town.dispatch()
    town.follow()
    address = phone(1)
    another = Message("f" * 32, "sms", None, address, None, "something else", float("inf"))
    town.network.accept(another, town.clock.now())
    await looks(town)
    assert [state for _, _, state in await town.attempts()] == ["absent", "delivered"]


async def test_a_message_that_another_attempt_explains_is_no_proof(town: World) -> None:
    """Two loans of two people on one number may have the same text to send."""
    await ready(town)
    town.follow(DROPPED)
    await town.dispatch()
    lane = await town.lane()
    body = await opened_body(town)
    town.follow()
    reply = town.network.accept(
        Message("e" * 32, "sms", None, phone(1), None, body, float("inf")), town.clock.now()
    )
    assert reply.heard is not None
    await town.pool.execute(
        "insert into attempt select portfolio_id, $1, loan_id, anchor, 'other', borrower_id,"
        " contact_point_id, channel, address_key, fence, 'accepted', begun_at, deadline_at, person_rev,"
        " number_rev, portfolio_rev, amount_minor, currency, template, body, $2, null, begun_at"
        " from attempt",
        "e" * 32,
        reply.heard.provider_id,
    )
    for _ in range(4):
        town.clock.advance_to(town.clock.now() + timedelta(minutes=6))
        await rescue(lane)
    assert await town.value("select state from attempt where stage = 'one'") == "absent"


async def opened_body(town: World) -> str:
    row = await town.pool.fetchrow(
        "select a.token, a.body, b.data_key from attempt a join borrower b on b.id = a.borrower_id"
    )
    key = town.keyring.person_key(row["data_key"])
    return unseal(key, row["body"], body_place(row["token"])).decode()


async def test_without_proof_it_is_closed_after_a_day_counted_and_a_case(town: World) -> None:
    await ready(town)
    town.follow(LOST, listed=frozenset())
    await town.dispatch()
    await town.live_to(date(2026, 3, 7), "09:59")
    assert await town.attempts() == [("one", "sms", "unknown")]
    begun_at = (await attempt(town))["begun_at"]
    # a second loan of the same person would be texted today, were it not for the cap
    await town.live_to(date(2026, 3, 7), "10:01")
    row = await attempt(town)
    assert (row["state"], row["settled_at"]) == ("closed_unknown", begun_at + CLOSE_UNKNOWN_AFTER)
    assert await town.notices() == {"one": "sent"}
    assert [kind for kind, _ in await town.cases()] == ["unknown-send"]
    assert len(town.heard) == 1


async def test_closed_without_proof_counts_for_the_caps(town: World) -> None:
    town.schedule = ladder_toml(stage_toml("one", 1, time(10)), stage_toml("two", 1, time(15)))
    await ready(town)
    await begin(await town.lane())
    await town.pool.execute(
        "update attempt set state = 'closed_unknown', settled_at = $1", town.clock.now()
    )
    town.wait_to(NEXT_DAY, "15:00")
    await town.dispatch()
    assert (await town.decisions())[-1] == ("two", "snooze", ["HOUSE-DAY"])


async def test_a_push_without_a_list_is_never_sent_again(town: World) -> None:
    town.schedule = ladder_toml(
        stage_toml("one", 1, time(10), channels=["push", "sms"], fallback_after_minutes=60)
    )
    await ready(town, push("app"), sms(phone(1)))
    town.follow(replace(DROPPED, channel="push"))
    await town.live_to(date(2026, 3, 8), "12:00")
    assert [(c, s) for _, c, s in await town.attempts()] == [("push", "closed_unknown")]
    assert town.heard == ()


async def test_the_third_stranding_makes_a_case_and_the_others_go_on(town: World) -> None:
    town.schedule = ladder_toml(stage_toml("one", 1, time(9), not_after_hours=72))
    await town.opens("L2", DUE, contacts=[sms(phone(99))])
    await ready(town)
    town.follow(replace(DROPPED, prefix=phone(1)))
    await town.live_to(NEXT_DAY, "12:00")
    assert await town.notices("L1") == {"one": "failed: stranded"}
    assert await town.notices("L2") == {"one": "sent"}
    assert [kind for kind, _ in await town.cases()] == ["stranded"]
    assert [state for _, _, state in await town.attempts()].count("absent") == 3


async def test_a_notice_whose_attempt_was_void_is_handed_back(town: World) -> None:
    await ready(town)
    await begin(await town.lane())
    await town.pool.execute(
        "update attempt set state = 'refused', settled_at = $1", town.clock.now()
    )
    town.clock.advance_to(town.clock.now() + timedelta(minutes=3))
    assert (await town.rescue()).handed_back == 1
    assert await town.notices() == {"one": "waiting"}


async def test_a_notice_whose_attempt_may_have_arrived_is_not_handed_back(town: World) -> None:
    await ready(town)
    await begin(await town.lane())
    await town.pool.execute(
        "update attempt set state = 'accepted', settled_at = $1", town.clock.now()
    )
    town.clock.advance_to(town.clock.now() + timedelta(minutes=3))
    assert (await town.rescue()).handed_back == 0
    assert await town.notices() == {"one": "sending"}


async def test_a_rescue_that_lost_the_race_changes_nothing(town: World) -> None:
    await ready(town)
    one: Outgoing
    (one,) = (await begin(await town.lane())).sent_off
    town.clock.advance_to(town.clock.now() + timedelta(seconds=16))
    await town.rescue()
    # the worker was slow, not dead: its answer settles the attempt
    await record(await town.lane(), [Sent(one, Accepted("SM1"))])
    town.clock.advance_to(town.clock.now() + timedelta(hours=1))
    found = await town.rescue()
    assert (found.stranded, found.found, found.absent) == (0, 0, 0)
    assert await town.attempts() == [("one", "sms", "accepted")]


async def test_settled_attempts_are_archived_and_nothing_is_forgotten(
    town: World, keyring: Keyring
) -> None:
    town.schedule = World(town.pool, keyring, town.clock).schedule
    await town.opens("L1", date(2026, 3, 5), contacts=[sms(phone(1))])
    await town.live_to(date(2026, 4, 20), "12:00")
    counts = await town.rows("select count(*), count(distinct stage) from attempt")
    moved = await archive(await town.lane(), town.clock.now() - timedelta(days=33))
    kept = await town.value("select count(*) from attempt")
    assert moved > 0
    assert kept > 0
    assert moved + kept == counts[0][0]
    assert await town.value(
        "select max(begun_at) from attempt_archive"
    ) < town.clock.now() - timedelta(33)
    findings = await check(town.pool, keyring, town.clock.now(), packs=packs(("house",)))
    assert [(f.id, f.examples) for f in findings if f.violated] == []
    assert await archive(await town.lane(), town.clock.now() - timedelta(days=33)) == 0

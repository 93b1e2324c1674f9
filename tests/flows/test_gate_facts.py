"""What a begin hands to the gate is what the database says, read under the locks."""

from datetime import date, time, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.alike import Kinds
from agent.domain.gate import GUARD, Hold, NoticeFacts
from agent.domain.ladder import Action
from agent.domain.standing import Status
from agent.flows.dispatch_case import case_of
from agent.flows.lane import ladder_for
from agent.store.dispatch import Facts, claim_due, read_facts
from agent.store.keyring import Keyring
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
LADDER = ladder_toml(
    stage_toml("one", 1, time(10), channels=["push", "sms"], fallback_after_minutes=60),
    stage_toml("two", 4, time(9)),
)


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    town = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), LADDER)
    await town.opens(
        "L1", DUE, date(2026, 4, 5), person="ann", zones=["Africa/Lagos", "Europe/London"],
        contacts=[push("app"), sms(phone(1)), {"channel": "sms", "address": phone(2)}],
    )  # fmt: skip
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    return town


async def looked_at(town: World) -> tuple[NoticeFacts, Facts]:
    """The facts of the one notice that is due, as a begin would see them."""
    lane, now = await town.lane(), town.clock.now()
    async with town.pool.acquire() as conn, conn.transaction():
        (notice,) = await claim_due(conn, lane.portfolio.id, now, 10)
        facts = await read_facts(conn, lane.portfolio.id, [notice], now)
        ladder = await ladder_for(conn, lane.portfolio, notice.version)
        return case_of(notice, ladder, facts, lane, Kinds(now)).facts, facts


async def test_all_that_the_gate_asks_is_there(town: World) -> None:
    seen, facts = await looked_at(town)
    assert (seen.loan, seen.stage, seen.action, seen.stage_known) == (
        "L1",
        "one",
        Action.MESSAGE,
        True,
    )
    assert (seen.anchor, seen.loan_anchor, seen.status) == (DUE, DUE, Status.OPEN)
    assert seen.due_at == town.clock.now()
    assert seen.not_after == town.clock.now() + timedelta(hours=48)
    assert seen.superseded_at == town.at(date(2026, 3, 9), "09:00")
    assert seen.route == ("push", "sms")
    assert seen.contact.zones == ("Africa/Lagos", "Europe/London")
    assert (seen.contact.history, seen.contact.guard) == ((), GUARD)
    assert (seen.holds, seen.pauses, seen.paused_channels, seen.contact_ended) == (
        (),
        (),
        (),
        False,
    )
    # a push needs no consent of its own; a number that came without one may not be texted
    assert [(p.channel, p.status, p.consented, p.opted_out, p.held) for p in seen.points] == [
        ("push", "active", True, False, False),
        ("sms", "active", True, False, False),
        ("sms", "active", False, False, False),
    ]
    loan = next(iter(facts.loans.values()))
    assert loan.amount_due(date(2026, 3, 6)) == 10_000
    assert loan.amount_due(date(2026, 4, 5)) == 20_000


async def test_holds_cover_their_person_loan_or_channel_while_they_last(town: World) -> None:
    await town.opens("L2", date(2026, 5, 5), person="ann", contacts=[])
    now = town.clock.now()
    rows = [
        ("a", "person", None, None, now, None), ("b", "loan", "L1", None, now, now + timedelta(1)),
        ("c", "loan", "L2", None, now, None), ("d", "channel", None, "sms", now, None),
        ("e", "person", None, None, now - timedelta(9), now),
        ("f", "person", None, None, now + timedelta(1), None),
    ]  # fmt: skip
    await town.pool.executemany(
        "insert into hold (portfolio_id, reason, scope, borrower_id, loan_id, channel, from_at, until_at,"
        " placed_by, placed_rev) select b.portfolio_id, $1, $2, b.id, (select id from loan where ref = $3),"
        " $4, $5, $6, 'test', 1 from borrower b where b.ref = 'ann'", rows,
    )  # fmt: skip
    seen, _ = await looked_at(town)
    assert sorted(seen.holds, key=lambda hold: hold.reason) == [
        Hold("a", None), Hold("b", now + timedelta(1)), Hold("d", None, "sms"),
    ]  # fmt: skip


async def test_stops_and_holds_of_a_number_bind_everybody_on_it(town: World) -> None:
    await town.opens("L2", date(2026, 5, 5), person="bob", contacts=[sms(phone(1))])
    number = "from number n join contact_point c using (portfolio_id, channel, address_key)"
    number += " join borrower b on b.id = c.borrower_id where b.ref = 'bob'"
    await town.pool.execute(
        "insert into suppression (portfolio_id, channel, address_key, reason, stored_at, number_rev)"
        f" select n.portfolio_id, n.channel, n.address_key, 'stop', $1, n.rev {number}",
        town.clock.now(),
    )
    await town.pool.execute(
        "insert into hold (portfolio_id, reason, scope, channel, address_key, from_at, placed_by, placed_rev)"
        f" select n.portfolio_id, 'wrong-number', 'number', n.channel, n.address_key, $1, 'test', 1 {number}",
        town.clock.now(),
    )
    seen, _ = await looked_at(town)
    assert [(p.opted_out, p.held) for p in seen.points] == [
        (False, False),
        (True, True),
        (False, False),
    ]
    await town.pool.execute(
        "update suppression set lifted_at = $1, lifted_rev = 9", town.clock.now()
    )
    seen, _ = await looked_at(town)
    assert [p.opted_out for p in seen.points] == [False, False, False]


async def test_contacts_count_once_a_notice_at_their_first_attempt_and_never_when_void(
    town: World,
) -> None:
    await town.dispatch()  # a push at ten
    town.network.receipts(town.clock.now() + timedelta(hours=1))  # which never arrives
    await town.live_to(date(2026, 3, 6), "11:00")  # so a text at eleven
    assert [one.channel for one in town.heard] == ["push", "sms"]
    town.wait_to(date(2026, 3, 9), "09:00")
    await town.plan()
    seen, _ = await looked_at(town)
    assert seen.contact.history == (town.at(date(2026, 3, 6), "10:00"),)
    await town.pool.execute("update attempt set state = 'refused' where channel = 'push'")
    seen, _ = await looked_at(town)
    assert seen.contact.history == (town.at(date(2026, 3, 6), "11:00"),)
    await town.pool.execute("update attempt set state = 'absent'")
    seen, _ = await looked_at(town)
    assert seen.contact.history == ()


async def test_the_notice_itself_does_not_count_against_its_fallback(town: World) -> None:
    await town.dispatch()
    town.clock.advance_to(town.clock.now() + timedelta(hours=1))
    seen, _ = await looked_at(town)
    assert (seen.route, seen.contact.history) == (("sms",), ())


async def test_a_stage_that_its_version_does_not_have_is_unknown(town: World) -> None:
    await town.pool.execute("update notice set stage = 'gone'")
    seen, _ = await looked_at(town)
    assert (seen.stage_known, seen.route, seen.superseded_at) == (False, (), None)
    await town.dispatch()
    assert await town.notices() == {"gone": "cancelled: stage-unknown"}


def fingerprint(facts: NoticeFacts) -> bytes:
    return Kinds(facts.due_at).of(facts, ()).fingerprint(facts)


async def test_the_same_facts_have_the_same_hash_and_other_facts_another(town: World) -> None:
    first, _ = await looked_at(town)
    again, _ = await looked_at(town)
    assert fingerprint(first) == fingerprint(again)
    await town.pool.execute(
        "update contact_point set status = 'disconnected' where channel = 'push'"
    )
    other, _ = await looked_at(town)
    assert fingerprint(other) != fingerprint(first)


async def test_looking_raises_the_rev_of_the_person_and_of_all_their_numbers(town: World) -> None:
    revs = "select rev from borrower union all select rev from number"
    before = await town.rows(revs)
    await looked_at(town)
    assert await town.rows(revs) == [(rev + 1,) for (rev,) in before]

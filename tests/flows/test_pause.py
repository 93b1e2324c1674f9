"""Kill switches: who is covered, that the next begin knows, and that resuming wakes what waited."""

import asyncio
import json
from datetime import date, time, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.dispatch_begin import begin
from agent.flows.invariants import check
from agent.flows.pause import Scope, Switch, Switched, pause, resume
from agent.flows.rules import packs
from agent.flows.unclear import Unclear
from agent.store.keyring import Keyring
from agent.store.sql import fetch_value
from tests.entry.command import duly
from tests.support.waiting import until
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
NEXT_DAY = date(2026, 3, 6)
TWO_WAYS = ladder_toml(
    stage_toml("one", 1, time(10), channels=["push", "sms"], fallback_after_minutes=120)
)


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    """Three people with a notice each that is due now: one with both ways in, one with each."""
    town = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), TWO_WAYS)
    await town.opens("both", DUE, contacts=[push("app-1"), sms(phone(1))])
    await town.opens("texts", DUE, contacts=[sms(phone(2))])
    await town.opens("app", DUE, contacts=[push("app-3")])
    town.wait_to(NEXT_DAY, "10:00")
    await town.plan()
    return town


async def stop(town: World, scope: Scope, subject: str | None = None) -> Switched:
    switch = Switch(scope, subject)
    done = await pause(town.pool, switch, reason="a fault", by="ann", now=town.clock.now())
    assert isinstance(done, Switched), done
    return done


async def go_on(town: World, scope: Scope, subject: str | None = None) -> Switched:
    done = await resume(
        town.pool, Switch(scope, subject), reason="repaired", by="bob", now=town.clock.now()
    )
    assert isinstance(done, Switched), done
    return done


async def reached(town: World) -> dict[str, str]:
    rows = await town.rows(
        "select l.ref, a.channel from attempt a join loan l on l.id = a.loan_id order by 1"
    )
    return dict(rows)


EVERYBODY = {"app": "push", "both": "push", "texts": "sms"}
COVERED = [
    (Scope.ALL, None, {}),
    (Scope.PORTFOLIO, "town", {}),
    (Scope.STAGE, "one", {}),
    (Scope.CHANNEL, "push", {"both": "sms", "texts": "sms"}),
    (Scope.CHANNEL, "sms", {"app": "push", "both": "push"}),
    (Scope.LOAN, "both", {"app": "push", "texts": "sms"}),
    (Scope.PERSON, "owner-of-both", {"app": "push", "texts": "sms"}),
]


@pytest.mark.parametrize(("scope", "subject", "left"), COVERED)
async def test_each_scope_stops_what_it_covers_until_resumed(
    town: World, scope: Scope, subject: str | None, left: dict[str, str]
) -> None:
    assert (await stop(town, scope, subject)).changed
    await town.dispatch()
    assert await reached(town) == left
    held = [rules for _, verdict, rules in await town.decisions() if verdict == "snooze"]
    assert held == [[f"paused:{scope}"]] * (3 - len(left))
    town.clock.advance_to(town.clock.now() + timedelta(hours=1))
    done = await go_on(town, scope, subject)
    assert (done.changed, done.woken) == (True, 3 - len(left))
    await town.dispatch()
    assert await reached(town) == EVERYBODY | left
    await town.live_to(NEXT_DAY, "11:30")
    findings = await check(town.pool, town.keyring, town.clock.now(), packs=packs(("house",)))
    assert [(f.id, f.examples) for f in findings if f.violated] == []


async def test_pausing_and_resuming_again_changes_nothing(town: World) -> None:
    assert (await stop(town, Scope.LOAN, "both")).changed
    assert not (await stop(town, Scope.LOAN, "both")).changed
    assert await town.rows("select reason, paused_by, resumed_at from pause") == [
        ("a fault", "ann", None)
    ]
    assert (await go_on(town, Scope.LOAN, "both")).changed
    assert not (await go_on(town, Scope.LOAN, "both")).changed
    assert (await stop(town, Scope.LOAN, "both")).changed
    assert await town.value("select count(*) from pause") == 2


async def test_one_switch_does_not_undo_another(town: World) -> None:
    await stop(town, Scope.ALL)
    await stop(town, Scope.PORTFOLIO, "town")
    await town.dispatch()
    await go_on(town, Scope.ALL)
    await town.dispatch()
    assert await reached(town) == {}
    assert (await go_on(town, Scope.PORTFOLIO, "town")).woken == 3
    await town.dispatch()
    assert await reached(town) == EVERYBODY


async def test_every_switch_raises_what_a_begin_compares(town: World) -> None:
    await stop(town, Scope.ALL)
    await stop(town, Scope.LOAN, "both")
    assert await town.value("select rev from portfolio where name = 'town'") == 2
    assert await town.rows("select scope, paused_rev from pause order by id") == [
        ("all", 1),
        ("loan", 2),
    ]
    await go_on(town, Scope.ALL)
    assert await town.value("select rev from portfolio where name = 'town'") == 3
    await town.dispatch()
    assert set(await town.rows("select portfolio_rev from attempt")) == {(3,)}


async def test_a_fallback_is_held_as_well(town: World) -> None:
    await town.dispatch()
    await stop(town, Scope.CHANNEL, "sms")
    town.network.receipts(town.clock.now() + timedelta(hours=1))  # none of them arrives
    await town.live_to(NEXT_DAY, "12:30")
    assert await town.notices("both") == {"one": "awaiting_receipt"}
    await go_on(town, Scope.CHANNEL, "sms")
    await town.dispatch()
    assert await town.notices("both") == {"one": "sent"}
    assert [one.channel for one in town.heard] == ["push", "sms", "push", "sms"]


@pytest.mark.parametrize(
    ("switch", "fix"),
    [
        (Switch(Scope.ALL, "everything"), "leave out the subject"),
        (Switch(Scope.LOAN), "name the loan"),
        (Switch(Scope.LOAN, "L9"), "the ledger's reference"),
        (Switch(Scope.PERSON, "nobody"), "the ledger's reference"),
        (Switch(Scope.CHANNEL, "pigeon"), "push, sms"),
        (Switch(Scope.STAGE, "two"), "schedule file"),
        (Switch(Scope.PORTFOLIO, "city"), "town"),
        (Switch(Scope.CHANNEL, "sms", "city"), "town"),
    ],
)
async def test_what_is_unclear_is_refused_with_what_to_write(
    town: World, switch: Switch, fix: str
) -> None:
    done = await pause(town.pool, switch, reason="x", by="ann", now=town.clock.now())
    assert isinstance(done, Unclear)
    assert fix in done.fix
    assert await town.value("select count(*) from pause") == 0


# ---- in time with begins


async def blocked(pool: asyncpg.Pool, count: int) -> bool:
    waiting: int = await pool.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock'"
    )
    return waiting == count


async def test_a_begin_under_way_ends_first_and_the_next_one_knows(town: World) -> None:
    """Nor can a stream of begins, each sharing the lock with the one before, keep a pause out."""
    portfolio = (await town.portfolio()).id
    async with town.pool.acquire() as conn, conn.transaction():
        assert await fetch_value(conn, "portfolio_shared", portfolio=portfolio) == 0
        stopping = asyncio.create_task(stop(town, Scope.ALL))
        await until(lambda: blocked(town.pool, 1), 10, "the pause waits for the begin")
        following = asyncio.create_task(begin(await town.lane()))
        await until(lambda: blocked(town.pool, 2), 10, "the next begin waits for the pause")
        assert await town.value("select count(*) from pause") == 0
    await stopping
    begun = await following
    assert (begun.sent_off, begun.snoozed) == ((), 3)
    assert await town.attempts() == []


async def test_a_resume_does_not_wait_for_notices_that_a_begin_holds(town: World) -> None:
    await stop(town, Scope.ALL)
    await town.dispatch()
    town.clock.advance_to(town.clock.now() + timedelta(minutes=1))
    async with town.pool.acquire() as conn, conn.transaction():
        await conn.execute("select 1 from notice for update")
        done = await asyncio.wait_for(go_on(town, Scope.ALL), 5)
    assert (done.changed, done.woken) == (True, 0)


# ---- the commands


async def test_the_commands(town: World, database_url: str) -> None:
    def run(*args: str) -> tuple[int, object]:
        answer = duly(*args, "--json", DULY_DATABASE_URL=database_url)
        return answer.code, json.loads(answer.out) if answer.out else answer.err

    code, done = await asyncio.to_thread(
        run, "pause", "loan", "both", "--reason", "a fault", "--by", "ann"
    )
    assert (code, done) == (
        0,
        {"scope": "loan", "subject": "both", "portfolio": "town", "paused": True, "woken": 0},
    )
    assert await town.rows("select scope, subject, reason, paused_by from pause") == [
        ("loan", "both", "a fault", "ann")
    ]
    code, done = await asyncio.to_thread(run, "resume", "loan", "both", "--reason", "repaired")
    assert code == 0
    assert isinstance(done, dict)
    assert done["resumed"] is True
    assert await town.value("select resume_reason from pause") == "repaired"
    for wrong in (
        ("pause", "all"),
        ("pause", "village", "--reason", "x"),
        ("resume", "loan", "L9"),
    ):
        code, said = await asyncio.to_thread(run, *wrong)
        assert (code, str(said)[:6]) == (2, "duly: "), wrong

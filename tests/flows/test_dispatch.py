"""Dispatch on a real database: what is begun, what is not, and what follows from each answer."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, time, timedelta
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.dispatch import run_lane
from agent.flows.dispatch_begin import begin
from agent.flows.dispatch_record import Sent, record
from agent.flows.lane import Limits
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from channels.base import Accepted, Refusal, Refused, Status, Unknown
from channels.sandbox.script import Act, Receipts, Rule
from tests.support.waiting import until
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
NEXT_DAY = date(2026, 3, 6)
# one step at ten in the morning of the day after the due date, by text
ONE_STEP = ladder_toml(stage_toml("one", 1, time(10)))
TWO_WAYS = ladder_toml(
    stage_toml("one", 1, time(10), channels=["push", "sms"], fallback_after_minutes=120)
)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ONE_STEP)


async def ready(town: World, *loans: str, **opening: Any) -> None:
    """Loans whose one step is due now."""
    for loan in loans:
        await town.opens(loan, DUE, **opening)
    town.wait_to(NEXT_DAY, "10:00")
    await town.plan()


async def test_one_attempt_a_notice_with_its_decision_and_revs(town: World) -> None:
    await ready(town, "L1")
    before = await town.rows("select rev from borrower union all select rev from number")
    counts = await town.dispatch()
    assert (counts.claimed, counts.sent) == (1, 1)
    assert await town.attempts() == [("one", "sms", "accepted")]
    assert await town.decisions() == [("one", "send", [])]
    person, number = await town.rows("select rev from borrower union all select rev from number")
    assert (person, number) == ((before[0][0] + 1,), (before[1][0] + 1,))
    row = await town.pool.fetchrow("select * from attempt")
    assert (row["person_rev"], row["number_rev"], row["portfolio_rev"]) == (person[0], number[0], 0)
    assert (row["fence"], row["amount_minor"], row["currency"]) == (1, 10_000, "NGN")
    # which words it had: language, text, and the version of both and of what is around them
    assert re.fullmatch(r"en/[a-z0-9-]+@[0-9a-f]{8}", row["template"])
    assert row["deadline_at"] - row["begun_at"] == timedelta(seconds=15)
    decision = await town.pool.fetchrow("select * from decision")
    assert len(decision["facts_hash"]) == 32
    assert decision["person_rev"] == person[0]
    assert decision["packs"].startswith("house@")
    assert [(one.channel, one.token) for one in town.heard] == [("sms", row["token"])]
    assert "NGN 100.00" in town.heard[0].body.replace("\u00a0", " ")
    assert town.heard[0].status_url == f"http://duly.example/status/{row['token']}"
    assert (await town.dispatch()).claimed == 0
    assert await town.notices() == {"one": "sent"}


async def test_all_failing_rules_are_stored_and_the_strictest_wins(town: World) -> None:
    await ready(town, "L1")
    await town.pays("L1")
    await town.flags("owner-of-L1", "dispute", None)
    town.wait_to(NEXT_DAY, "21:00")
    await town.dispatch()
    assert await town.decisions() == [("one", "cancel", ["paid", "hold:dispute", "HOUSE-WINDOW"])]
    assert await town.notices() == {"one": "cancelled: paid"}
    assert town.heard == ()


async def test_two_loans_of_one_person_one_is_sent_one_waits_for_the_morning(town: World) -> None:
    await ready(town, "L1", "L2", person="ann", contacts=[sms(phone(1))])
    counts = await town.dispatch()
    assert (counts.sent, counts.snoozed) == (1, 1)
    assert await town.decisions() == [("one", "send", []), ("one", "snooze", ["HOUSE-DAY"])]
    snoozed = await town.value("select next_at from notice where state = 'waiting'")
    assert snoozed == town.at(date(2026, 3, 7), "08:01")
    await town.live_to(date(2026, 3, 7), "09:00")
    assert await town.sent() == ["2026-03-06 10:00 one sms", "2026-03-07 08:01 one sms"]


async def test_two_people_on_one_number_are_texted_one_after_the_other(town: World) -> None:
    await ready(town, "L1", "L2", contacts=[sms(phone(7))])
    counts = await town.dispatch()
    assert (counts.sent, counts.snoozed) == (1, 1)
    assert ("one", "snooze", ["number-busy"]) in await town.decisions()
    await town.live_to(NEXT_DAY, "11:00")
    assert [line[:16] for line in await town.sent()] == ["2026-03-06 10:00", "2026-03-06 10:00"]
    assert set((await town.notices()).values()) == {"sent"}


async def test_a_number_whose_attempt_stays_unknown_is_asked_about_less_and_less(
    town: World,
) -> None:
    await ready(town, "L1", "L2", contacts=[sms(phone(7))])
    town.follow(Rule(Act.DROP), listed=frozenset())
    await town.live_to(NEXT_DAY, "19:00")
    asked = [rules for _, _, rules in await town.decisions()]
    # nine hours: every thirty seconds at first, every ten minutes in the end
    assert asked[:2] == [[], ["number-busy"]]
    assert 50 < len(asked) < 70
    assert len(await town.attempts()) == 1


async def test_payment_between_plan_and_begin_cancels(town: World) -> None:
    await ready(town, "L1")
    await town.pays("L1")
    counts = await town.dispatch()
    assert (counts.sent, counts.cancelled) == (0, 1)
    assert await town.notices() == {"one": "cancelled: paid"}
    assert town.heard == ()


@pytest.mark.parametrize("change", ["closed", "wrong-anchor", "part paid"])
async def test_other_moves_of_the_debt_count_too(town: World, change: str) -> None:
    await ready(town, "L1")
    match change:
        case "closed":
            await town.closes("L1", "written_off")
        case "wrong-anchor":
            await town.reschedules("L1", date(2026, 4, 5))
        case _:
            await town.pays("L1", "60.00")
    await town.dispatch()
    if change == "part paid":
        assert "NGN 40.00" in town.heard[0].body.replace("\u00a0", " ")
    else:
        assert await town.notices() == {"one": f"cancelled: {change}"}


# ---- facts that commit while a begin waits


async def waits_for_lock(pool: asyncpg.Pool) -> bool:
    return bool(
        await pool.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock'"
        )
    )


@asynccontextmanager
async def during(town: World) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that commits only once a begin waits for one of its locks."""
    async with town.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        yield conn
        begun = asyncio.create_task(town.dispatch())
        await until(lambda: waits_for_lock(town.pool), 10, "the begin waits")
        await transaction.commit()
    await begun


async def test_payment_that_commits_while_the_begin_waits_for_the_person(town: World) -> None:
    await ready(town, "L1")
    async with during(town) as conn:
        await conn.execute("update borrower set rev = rev + 1")
        await conn.execute(
            "insert into payment (portfolio_id, loan_id, ref, amount_minor, paid_at, known_at)"
            " select portfolio_id, id, 'p', 10000, $1, $1 from loan", town.clock.now(),
        )  # fmt: skip
        await conn.execute(
            "update loan set status = 'paid', paid_minor = 10000, next_bucket_at = null"
        )
    assert await town.notices() == {"one": "cancelled: paid"}
    assert town.heard == ()


SUPPRESS = """
    insert into suppression (portfolio_id, channel, address_key, reason, stored_at, number_rev)
    select portfolio_id, channel, address_key, 'stop', $1, rev from number where channel = 'sms'
"""


async def test_stop_that_commits_while_the_begin_waits_for_the_number(town: World) -> None:
    await ready(town, "L1")
    async with during(town) as conn:
        await conn.execute("update number set rev = rev + 1")
        await conn.execute(SUPPRESS, town.clock.now())
    assert await town.notices() == {"one": "cancelled: opted-out"}
    assert town.heard == ()


async def test_attempt_of_another_person_that_commits_while_the_begin_waits_for_the_number(
    town: World,
) -> None:
    """Two workers, two people, one number: the second sees the first one's unsettled attempt."""
    await ready(town, "L1", "L2", contacts=[sms(phone(7))])
    async with during(town) as conn:
        first = await begin(await town.lane(pool=Joined(conn), limits=small(1)))
    assert len(first.sent_off) == 1
    assert await town.decisions() == [("one", "send", []), ("one", "snooze", ["number-busy"])]
    assert town.heard == ()


class Joined:
    """A pool of one connection whose transaction somebody else ends."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        yield self._conn


def small(batch: int) -> Limits:
    return Limits(batch=batch, spread_retries=False)


# ---- facts that were stored before


async def test_a_stop_stored_before(town: World) -> None:
    await ready(town, "L1")
    await town.pool.execute(SUPPRESS, town.clock.now())
    await town.dispatch()
    assert await town.notices() == {"one": "cancelled: opted-out"}


HOLD = """
    insert into hold (portfolio_id, reason, scope, borrower_id, loan_id, channel, address_key, from_at,
                      until_at, placed_by, placed_rev)
    select l.portfolio_id, 'hardship', $1, case when $1 = 'number' then null else l.borrower_id end,
           case when $1 = 'loan' then l.id end, case when $1 in ('number', 'channel') then 'sms' end,
           case when $1 = 'number' then c.address_key end, $2, $3, 'test', 1
    from loan l join contact_point c on c.borrower_id = l.borrower_id and c.channel = 'sms'
    where l.ref = 'L1'
"""


@pytest.mark.parametrize("scope", ["person", "loan", "number", "channel"])
async def test_a_hold_stored_before_delays_only_what_it_covers(town: World, scope: str) -> None:
    await town.opens("L1", DUE, person="ann", contacts=[sms(phone(1))])
    await ready(town, "L2", person="ann", contacts=[sms(phone(1))])
    end = town.clock.now() + timedelta(hours=3)
    await town.pool.execute(HOLD, scope, town.clock.now() - timedelta(hours=1), end)
    await town.dispatch()
    reason = "hold:number" if scope == "number" else "hold:hardship"
    expected = [reason] if scope == "loan" else [reason, reason]
    assert [rules[0] for _, verdict, rules in await town.decisions() if rules] == expected
    assert len(town.heard) == (1 if scope == "loan" else 0)
    held_to = await town.value("select min(next_at) from notice where state = 'waiting'")
    # of a number we only know that it is held, not until when: the notice is looked at a day later
    assert held_to == (end if scope != "number" else town.clock.now() + timedelta(days=1))


async def test_other_ways_out_stay_open_when_one_channel_is_held(town: World) -> None:
    town.schedule = TWO_WAYS
    await ready(town, "L1", contacts=[push("app"), sms(phone(1))])
    await town.pool.execute(HOLD.replace("'sms' end", "'push' end"), "channel", DUE_AT, None)
    await town.dispatch()
    assert await town.sent() == ["2026-03-06 10:00 one sms"]


DUE_AT = utc("2026-03-05T09:00")


async def test_an_erased_person_gets_nothing_and_stops_nobody(town: World) -> None:
    await ready(town, "L1", "L2")
    await town.pool.execute("update borrower set data_key = null where ref = 'owner-of-L1'")
    await town.dispatch()
    assert await town.notices("L1") == {"one": "cancelled: no-contact-point"}
    assert await town.notices("L2") == {"one": "sent"}


async def test_a_damaged_address_is_work_for_a_person_and_stops_nobody(town: World) -> None:
    await ready(town, "L1", "L2")
    await town.pool.execute(
        "update contact_point c set address = '\\x00112233445566778899aabbccddeeff00112233445566'"
        " from borrower b where b.id = c.borrower_id and b.ref = 'owner-of-L1'"
    )
    await town.dispatch()
    assert await town.notices("L1") == {"one": "failed: unreadable-address"}
    assert await town.notices("L2") == {"one": "sent"}
    assert [kind for kind, _ in await town.cases()] == ["undeliverable"]


async def test_a_text_that_is_missing_is_work_for_a_person(town: World) -> None:
    town.schedule = ladder_toml(stage_toml("one", 1, time(10), message="no-such-text"))
    await ready(town, "L1")
    await town.dispatch()
    assert await town.notices() == {"one": "failed: no-text"}
    assert [kind for kind, _ in await town.cases()] == ["undeliverable"]


# ---- compare and set


async def test_a_stale_record_changes_nothing(town: World) -> None:
    await ready(town, "L1")
    lane = await town.lane()
    (outgoing,) = (await begin(lane)).sent_off
    stale = outgoing._replace(fence=outgoing.fence - 1)
    foreign = outgoing._replace(message=outgoing.message._replace(token="f" * 32))
    rows = "select state, fence, settled_at, provider_id from attempt"
    before = await town.rows(rows)
    assert await record(lane, [Sent(stale, Accepted("x")), Sent(foreign, Accepted("y"))]) == 0
    assert await town.rows(rows) == before
    assert await record(lane, [Sent(outgoing, Accepted("first"))]) == 1
    refused = Refused("21610", Refusal.OPTED_OUT)
    assert await record(lane, [Sent(outgoing, refused)]) == 0
    assert await town.attempts() == [("one", "sms", "accepted")]
    assert await town.value("select count(*) from suppression") == 0
    assert await town.notices() == {"one": "sent"}


# ---- what an answer leads to


def refuse(kind: Refusal, **rule: Any) -> Rule:
    return Rule(Act.REFUSE, refusal=kind, code=f"code-{kind}", **rule)


async def test_not_sent_for_sure_is_tried_again_after_a_growing_pause(town: World) -> None:
    await ready(town, "L1")
    town.follow(refuse(Refusal.TRANSIENT))
    waits = []
    for _ in range(4):
        await town.dispatch()
        upcoming = await town.value("select next_at from notice")
        waits.append((upcoming - town.clock.now()).total_seconds())
        town.clock.advance_to(upcoming)
    assert waits == [30, 60, 120, 240]
    town.follow()
    await town.dispatch()
    assert [state for _, _, state in await town.attempts()] == ["refused"] * 4 + ["accepted"]
    assert await town.notices() == {"one": "sent"}
    assert len(town.heard) == 1


async def test_refused_for_good_retires_the_number_and_takes_the_next_channel(town: World) -> None:
    town.schedule = TWO_WAYS
    await ready(town, "L1", contacts=[push("app"), sms(phone(1))])
    town.follow(refuse(Refusal.PERMANENT, channel="push"))
    await town.live_to(NEXT_DAY, "10:01")
    assert await town.rows("select channel, status from contact_point order by channel") == [
        ("push", "disconnected"), ("sms", "active"),
    ]  # fmt: skip
    assert [(c, s) for _, c, s in await town.attempts()] == [
        ("push", "refused"),
        ("sms", "delivered"),
    ]
    assert await town.notices() == {"one": "sent"}
    assert await town.cases() == []


async def test_refused_for_good_everywhere_is_a_case(town: World) -> None:
    await ready(town, "L1")
    town.follow(refuse(Refusal.PERMANENT))
    await town.dispatch()
    assert await town.notices() == {"one": "failed: refused"}
    assert [kind for kind, _ in await town.cases()] == ["undeliverable"]


async def test_opted_out_at_the_provider_is_stored_with_the_answer(town: World) -> None:
    await ready(town, "L1")
    town.follow(refuse(Refusal.OPTED_OUT))
    await town.dispatch()
    assert await town.notices() == {"one": "failed: refused"}
    rows = await town.rows(
        "select s.reason, s.number_rev, n.rev, a.number_rev, a.settled_at = s.stored_at"
        " from suppression s join number n using (portfolio_id, channel, address_key)"
        " join attempt a using (portfolio_id, channel, address_key)"
    )
    assert rows == [("provider-opt-out", 2, 2, 1, True)]
    await town.opens("L2", date(2026, 3, 7), person="owner-of-L1", contacts=[])
    await town.live_to(date(2026, 3, 8), "12:00")
    assert await town.notices("L2") == {"one": "cancelled: opted-out"}
    assert town.heard == ()


async def test_our_own_mistake_is_one_case_for_the_channel(town: World) -> None:
    town.schedule = TWO_WAYS
    for number in range(3):
        await town.opens(f"L{number}", DUE, contacts=[push(f"app-{number}"), sms(phone(number))])
    await ready(town)
    town.follow(refuse(Refusal.CONFIGURATION, channel="push"))
    await town.live_to(NEXT_DAY, "10:01")
    assert await town.cases() == [("configuration", "channel push")]
    assert Counter((c, s) for _, c, s in await town.attempts()) == {
        ("push", "refused"): 3, ("sms", "delivered"): 3,
    }  # fmt: skip
    assert await town.value("select count(*) from contact_point where status <> 'active'") == 0


async def test_a_channel_that_is_not_there_is_our_own_mistake(town: World) -> None:
    await ready(town, "L1")
    await run_lane(await town.lane(channels={}))
    assert await town.notices() == {"one": "failed: refused"}
    assert ("configuration", "channel sms") in await town.cases()


async def test_unknown_is_never_followed_by_another_attempt(town: World) -> None:
    await ready(town, "L1")
    town.follow(Rule(Act.DROP), listed=frozenset())
    for _ in range(20):
        await town.dispatch()
        await town.rescue()
        town.clock.advance_to(town.clock.now() + timedelta(minutes=30))
    assert await town.attempts() == [("one", "sms", "unknown")]
    assert await town.notices() == {"one": "sending"}


# ---- push first, text when it does not arrive


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(), ["2026-03-06 10:00 one push"]),
        (Rule(receipts=Receipts.LOST), ["2026-03-06 10:00 one push", "2026-03-06 12:00 one sms"]),
        (
            Rule(fate=Status.UNDELIVERED, fate_after=60),
            ["2026-03-06 10:00 one push", "2026-03-06 10:01 one sms"],
        ),
        (Rule(fate_after=3 * 3600), ["2026-03-06 10:00 one push", "2026-03-06 12:00 one sms"]),
        (Rule(fate_after=2 * 3600), ["2026-03-06 10:00 one push"]),
        (Rule(receipts=Receipts.BEFORE_ANSWER), ["2026-03-06 10:00 one push"]),
        (Rule(receipts=Receipts.DOUBLED, sent_after=1), ["2026-03-06 10:00 one push"]),
        (Rule(receipts=Receipts.SHUFFLED, sent_after=1), ["2026-03-06 10:00 one push"]),
    ],
    ids=[
        "in time",
        "none",
        "undelivered",
        "too late",
        "at the last moment",
        "early",
        "twice",
        "mixed",
    ],
)
async def test_text_only_when_the_push_did_not_arrive(
    town: World, rule: Rule, expected: list[str]
) -> None:
    town.schedule = TWO_WAYS
    await ready(town, "L1", contacts=[push("app"), sms(phone(1))])
    town.follow(replace(rule, channel="push"))
    await town.live_to(NEXT_DAY, "19:00")
    assert await town.sent() == expected
    assert await town.notices() == {"one": "sent"}
    unsettled = await town.value("select count(*) from attempt where settled_at is null")
    assert unsettled == 0


async def test_payment_while_waiting_for_the_push_calls_the_text_off(town: World) -> None:
    town.schedule = TWO_WAYS
    await ready(town, "L1", contacts=[push("app"), sms(phone(1))])
    town.follow(Rule(receipts=Receipts.LOST))
    await town.live_to(NEXT_DAY, "11:00")
    await town.pays("L1")
    await town.live_to(NEXT_DAY, "19:00")
    assert await town.sent() == ["2026-03-06 10:00 one push"]
    assert await town.notices() == {"one": "sent"}
    assert await town.decisions() == [("one", "send", []), ("one", "cancel", ["paid"])]


# ---- a commit whose answer is lost


class LosesCommits:
    """A pool over which the answer to COMMIT gets lost, after or before it happened."""

    def __init__(self, pool: asyncpg.Pool, *, committed: bool) -> None:
        self._pool, self._committed, self.times = pool, committed, 1

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as conn:
            yield _Losing(conn, self) if self.times else conn

    @asynccontextmanager
    async def transaction(self, conn: asyncpg.Connection) -> AsyncIterator[None]:
        transaction = conn.transaction()
        await transaction.start()
        try:
            yield
        except BaseException:
            await transaction.rollback()
            raise
        self.times -= 1
        await (transaction.commit() if self._committed else transaction.rollback())
        raise ConnectionResetError("the answer to COMMIT never came")


class _Losing:
    def __init__(self, conn: asyncpg.Connection, pool: LosesCommits) -> None:
        self._conn, self._pool = conn, pool

    def transaction(self) -> Any:
        return self._pool.transaction(self._conn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)


async def test_a_lost_commit_is_read_back_and_sent_once(town: World) -> None:
    await ready(town, "L1")
    lane = await town.lane(pool=LosesCommits(town.pool, committed=True))
    counts = await run_lane(lane)
    assert (counts.claimed, counts.sent) == (1, 1)
    assert await town.attempts() == [("one", "sms", "accepted")]
    assert [one.token for one in town.heard] == [await town.value("select token from attempt")]
    assert (await town.dispatch()).claimed == 0


async def test_a_commit_that_never_happened_sends_nothing(town: World) -> None:
    await ready(town, "L1")
    lane = await town.lane(pool=LosesCommits(town.pool, committed=False))
    with pytest.raises(ConnectionResetError):
        await run_lane(lane)
    assert (await town.attempts(), town.heard) == ([], ())
    await town.dispatch()
    assert len(town.heard) == 1


# ---- stages that act


ACTING = ladder_toml(
    stage_toml("call", 1, time(10), action="case", case="call", channels=None, message=None),
    stage_toml(
        "advice", 2, time(10), action="outcome", outcome="account.charge_off_recommended",
        channels=None, message=None, not_after_hours=8000,
    ),
    stage_toml(
        "end", 3, time(10), action="outcome", outcome="account.charge_off_recommended",
        ends_contact=True, channels=None, message=None, not_after_hours=8000,
    ),
)  # fmt: skip


async def test_a_case_stage_opens_one_case(town: World) -> None:
    town.schedule = ACTING
    await ready(town, "L1")
    counts = await town.dispatch()
    assert (counts.acted, counts.sent) == (1, 0)
    assert await town.cases() == [("call", "loan L1")]
    assert await town.notices() == {"call": "done", "advice": "waiting"}
    assert (await town.dispatch()).claimed == 0


async def test_an_outcome_stage_tells_the_ledger_and_ends_contact(town: World) -> None:
    town.schedule = ACTING
    await ready(town, "L1")
    await town.live_to(date(2026, 3, 9), "12:00")
    assert await town.told("L1") == [
        "account.bucket_changed 1-7",
        "account.charge_off_recommended",
        "account.charge_off_recommended",
    ]
    ended = await town.value("select contact_ended_at from loan")
    assert ended == town.at(date(2026, 3, 8), "10:00")
    assert town.heard == ()


async def test_two_last_words_in_one_batch_are_numbered_in_turn(town: World) -> None:
    """After an outage both are due at once."""
    town.schedule = ACTING
    await town.opens("L1", DUE)
    town.wait_to(date(2026, 3, 9), "12:00")
    await town.plan(anew=True)
    await town.dispatch()
    assert await town.told("L1") == [
        "account.bucket_changed 1-7",
        "account.charge_off_recommended",
        "account.charge_off_recommended",
    ]
    assert await town.rows("select seq from outcome order by seq") == [(1,), (2,), (3,)]
    assert await town.value("select outcome_seq from loan") == 3


# ---- several workers


async def test_two_workers_send_every_notice_exactly_once(town: World, database_url: str) -> None:
    people = 60
    for number in range(people):
        # every third person shares a number with two others
        await town.opens(f"L{number}", DUE, contacts=[sms(phone(number // 3))])
    await ready(town)
    other = await open_pool(database_url, max_size=4)
    try:
        for _ in range(8):
            lanes = [await town.lane(limits=small(7)), await town.lane(limits=small(5), pool=other)]
            await asyncio.gather(*(run_lane(lane) for lane in lanes))
            town.clock.advance_to(town.clock.now() + timedelta(seconds=31))
    finally:
        await other.close()
    assert Counter(one.address for one in town.heard) == dict.fromkeys(map(phone, range(20)), 3)
    assert await town.value("select count(distinct loan_id) from attempt") == people
    assert await town.value("select count(*) from notice where state = 'sent'") == people


async def test_answers_that_are_unknown_are_recorded_as_such(town: World) -> None:
    await ready(town, "L1")
    lane = await town.lane()
    (outgoing,) = (await begin(lane)).sent_off
    await record(lane, [Sent(outgoing, Unknown("http-502"))])
    row = await town.pool.fetchrow("select state, code, settled_at, look_at from attempt")
    assert (row["state"], row["code"], row["settled_at"]) == ("unknown", "http-502", None)
    assert row["look_at"] == town.clock.now() + timedelta(minutes=5)

"""Receipts: whatever their order and number, an attempt and its notice end the same."""

from datetime import date, time, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.clock import VirtualClock
from agent.domain.delivery import AttemptState, NoticeState, after_receipt, apply_receipt
from agent.flows.dispatch_begin import Outgoing, begin
from agent.flows.dispatch_record import Sent, record
from agent.flows.invariant_rows import INVARIANTS
from agent.flows.receipts import JOIN_WITHIN, apply_receipts, join_late
from agent.store.invariants import violations
from agent.store.keyring import Keyring
from channels.base import Accepted, Fault, Receipt, Status
from tests.support.world import World, ladder_toml, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
ONE_WAY = ladder_toml(stage_toml("one", 1, time(10)))
TWO_WAYS = ladder_toml(
    stage_toml("one", 1, time(10), channels=["push", "sms"], fallback_after_minutes=120)
)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ONE_WAY)


async def begun(town: World, loan: str = "L1") -> Outgoing:
    """One attempt that left and whose answer is not recorded yet."""
    addresses = (f"app-of-{loan}", f"+234801{int(loan[1:]):07d}")
    await town.opens(loan, DUE, contacts=[push(addresses[0]), sms(addresses[1])])
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    left = (await begin(await town.lane())).sent_off
    (outgoing,) = (one for one in left if one.message.address in addresses)
    return outgoing


def told(town: World, one: Outgoing, status: Status, **change: object) -> Receipt:
    receipt = Receipt(one.message.channel, "SM1", status, one.message.token, None, town.clock.now())
    return receipt._replace(**change)  # type: ignore[arg-type]


async def come(town: World, *receipts: Receipt) -> int:
    applied = await apply_receipts(town.pool, await town.portfolio(), receipts, town.clock.now())
    assert applied.receipts == len(receipts)
    return applied.notices


async def effects(town: World) -> dict[str, str]:
    return dict(await town.rows("select status, effect from receipt"))


async def test_a_receipt_before_our_own_record_does_what_the_record_would(town: World) -> None:
    one = await begun(town)
    assert await come(town, told(town, one, Status.SENT)) == 1
    assert await town.attempts() == [("one", "sms", "sent")]
    assert await town.notices() == {"one": "sent"}
    assert await record(await town.lane(), [Sent(one, Accepted("SM1"))]) == 0
    assert await town.attempts() == [("one", "sms", "sent")]
    assert await town.value("select provider_id from attempt") == "SM1"


async def test_the_same_receipt_again_changes_nothing(town: World) -> None:
    one = await begun(town)
    await record(await town.lane(), [Sent(one, Accepted("SM1"))])
    delivered = told(town, one, Status.DELIVERED)
    await come(town, delivered, delivered)
    before = await town.rows("select * from attempt"), await town.rows("select * from receipt")
    town.clock.advance_to(town.clock.now() + timedelta(days=3))
    await come(town, delivered)
    assert (
        await town.rows("select * from attempt"),
        await town.rows("select * from receipt"),
    ) == before


async def test_a_receipt_finds_its_attempt_by_the_providers_id(town: World) -> None:
    one = await begun(town)
    await record(await town.lane(), [Sent(one, Accepted("SM1"))])
    await come(town, told(town, one, Status.DELIVERED, token=None))
    assert await town.attempts() == [("one", "sms", "delivered")]


async def test_a_receipt_of_nobody_is_kept_and_does_nothing(town: World) -> None:
    one = await begun(town)
    await come(
        town,
        told(town, one, Status.DELIVERED, token="f" * 32),
        told(town, one, Status.SENT, token=None, provider_id="SM2"),
    )
    assert await town.attempts() == [("one", "sms", "begun")]
    assert await effects(town) == {"delivered": "unmatched", "sent": "unmatched"}


@pytest.mark.parametrize("together", [True, False])
async def test_contradictory_last_words_the_first_stands(town: World, *, together: bool) -> None:
    one = await begun(town)
    words = [told(town, one, Status.FAILED, code="30003"), told(town, one, Status.DELIVERED)]
    for batch in [words] if together else [[word] for word in words]:
        await come(town, *batch)
    assert await town.attempts() == [("one", "sms", "failed")]
    assert await effects(town) == {"failed": "moved", "delivered": "contradiction"}
    assert await town.value("select code from attempt") == "30003"


async def test_a_late_receipt_of_the_first_channel_leaves_the_second_alone(town: World) -> None:
    town.schedule = TWO_WAYS
    one = await begun(town)
    await record(await town.lane(), [Sent(one, Accepted("PN1"))])
    assert await town.notices() == {"one": "awaiting_receipt"}
    town.clock.advance_to(town.clock.now() + timedelta(hours=2))
    (second,) = (await begin(await town.lane())).sent_off
    assert second.message.channel == "sms"
    assert await come(town, told(town, one, Status.DELIVERED, provider_id="PN1")) == 0
    assert await town.notices() == {"one": "sending"}
    await record(await town.lane(), [Sent(second, Accepted("SM1"))])
    assert await town.notices() == {"one": "sent"}
    assert [(c, s) for _, c, s in await town.attempts()] == [
        ("push", "delivered"),
        ("sms", "accepted"),
    ]


async def test_proof_that_comes_after_absence_was_declared_stops_the_second_send(
    town: World,
) -> None:
    one = await begun(town)
    await town.pool.execute(
        "update attempt set state = 'absent', settled_at = $1", town.clock.now()
    )
    await town.pool.execute("update notice set state = 'waiting'")
    assert await come(town, told(town, one, Status.DELIVERED)) == 1
    assert await town.notices() == {"one": "sent"}
    assert (await town.dispatch()).claimed == 0
    assert one.message.token in {row[0] for row in await town.rows("select token from attempt")}


# ---- faster than our own record, and without its token


async def unjoined(town: World) -> int:
    [rule] = [one for one in INVARIANTS if one.id == "15-receipt"]
    known = {"now": town.clock.now(), "grace": timedelta(minutes=15), "examples": 5}
    async with town.pool.acquire() as conn:
        return (await violations(conn, str(rule.statement), known)).total


async def test_a_receipt_without_its_token_waits_for_the_record_of_its_message(town: World) -> None:
    one = await begun(town)
    portfolio = await town.portfolio()
    gone = told(town, one, Status.UNDELIVERED, token=None, code="30005", fault=Fault.NUMBER)
    await come(town, gone)
    assert await join_late(town.pool, portfolio, town.clock.now()) == 0
    await record(await town.lane(), [Sent(one, Accepted("SM1"))])
    town.clock.advance_to(town.clock.now() + timedelta(minutes=10))
    assert await unjoined(town) == 0
    town.clock.advance_to(town.clock.now() + timedelta(minutes=10))
    assert await unjoined(town) == 1
    assert await join_late(town.pool, portfolio, town.clock.now()) == 1
    assert await town.attempts() == [("one", "sms", "undelivered")]
    rows = await town.rows("select token, status, effect, fault from receipt")
    assert rows == [(one.message.token, "undelivered", "moved", "number")]
    assert await join_late(town.pool, portfolio, town.clock.now()) == 0
    assert await unjoined(town) == 0


async def test_a_receipt_of_another_day_is_not_joined_any_more(town: World) -> None:
    one = await begun(town)
    await come(town, told(town, one, Status.DELIVERED, token=None))
    await record(await town.lane(), [Sent(one, Accepted("SM1"))])
    town.clock.advance_to(town.clock.now() + JOIN_WITHIN)
    assert await join_late(town.pool, await town.portfolio(), town.clock.now()) == 0
    assert await unjoined(town) == 0
    assert await effects(town) == {"delivered": "unmatched"}


async def test_words_about_one_message_with_and_without_its_token_come_together(
    town: World,
) -> None:
    one = await begun(town)
    await record(await town.lane(), [Sent(one, Accepted("SM1"))])
    words = [Status.QUEUED, Status.DELIVERED, Status.SENT, Status.DELIVERED]
    await come(town, *[told(town, one, word, token=None) for word in words])
    await come(town, *[told(town, one, word) for word in words])
    assert await town.attempts() == [("one", "sms", "delivered")]
    assert await effects(town) == {"queued": "behind", "delivered": "moved", "sent": "behind"}


# ---- notices of another version of the schedule


async def test_a_notice_of_an_older_schedule_falls_back_as_that_one_says(town: World) -> None:
    town.schedule = TWO_WAYS
    one = await begun(town)
    await record(await town.lane(), [Sent(one, Accepted("PN1"))])
    await town.pool.execute(
        "insert into schedule_version select portfolio_id, 2, name, $1, 'x', $2, 'staff', 'why'"
        " from schedule_version", ONE_WAY, town.clock.now(),
    )  # fmt: skip
    assert (await town.portfolio()).version == 2
    assert await come(town, told(town, one, Status.UNDELIVERED, provider_id="PN1")) == 1
    assert await town.notices() == {"one": "waiting"}
    assert await town.value("select route from notice") == 1


# ---- any order, any number

RECORD = "record"
WORDS = {
    "delivered": [Status.QUEUED, Status.SENT, Status.DELIVERED],
    "undelivered": [Status.QUEUED, Status.SENT, Status.UNDELIVERED],
    "failed": [Status.FAILED],
    "sent": [Status.QUEUED, Status.SENT],
    "nothing": [],
}


@st.composite
def tellings(draw: st.DrawFn) -> tuple[str, list[list[str]]]:
    """One story, told in any order, with words doubled, in batches; our own record among them."""
    story = draw(st.sampled_from(sorted(WORDS)))
    words = [status.value for status in WORDS[story]] + [RECORD]
    doubled = draw(st.lists(st.sampled_from(words), max_size=4))
    order = draw(st.permutations(words + doubled))
    batches: list[list[str]] = [[]]
    for word in order:
        if batches[-1] and (word == RECORD or RECORD in batches[-1] or draw(st.booleans())):
            batches.append([])
        batches[-1].append(word)
    return story, batches


# story → end of the attempt, end of the notice with one way out, with two
ENDS = {
    "delivered": ("delivered", "sent", "sent"),
    "undelivered": ("undelivered", "sent", "waiting"),
    "failed": ("failed", "sent", "waiting"),
    "sent": ("sent", "sent", "awaiting_receipt"),
    "nothing": ("accepted", "sent", "awaiting_receipt"),
}


@pytest.mark.parametrize("ways", [1, 2])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(telling=tellings())
async def test_any_order_and_number_of_receipts_ends_the_same(
    town: World, ways: int, telling: tuple[str, list[list[str]]]
) -> None:
    story, batches = telling
    town.schedule = ONE_WAY if ways == 1 else TWO_WAYS
    loan = f"L{await town.value('select count(*) from loan')}"
    one = await begun(town, loan)
    lane = await town.lane()
    provider = f"SM-of-{loan}"
    for batch in batches:
        if batch == [RECORD]:
            await record(lane, [Sent(one, Accepted(provider))])
        else:
            words = [told(town, one, Status(word), provider_id=provider) for word in batch]
            await come(town, *words)
    attempt, with_one, with_two = ENDS[story]
    token = one.message.token
    assert await town.value("select state from attempt where token = $1", token) == attempt
    assert await town.value("select provider_id from attempt where token = $1", token) == provider
    assert await town.notices(loan) == {"one": with_one if ways == 1 else with_two}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from(sorted(set(AttemptState) - {AttemptState.BEGUN, AttemptState.UNKNOWN})),
    words=st.lists(st.sampled_from(list(Status)), min_size=1, max_size=5),
)
async def test_the_statement_and_the_rule_say_the_same(
    town: World, start: AttemptState, words: list[Status]
) -> None:
    loan = f"L{await town.value('select count(*) from loan')}"
    one = await begun(town, loan)
    token, provider = one.message.token, f"SM-of-{loan}"
    await town.pool.execute(
        "update attempt set state = $1, settled_at = $2 where token = $3",
        start,
        town.clock.now(),
        token,
    )
    state = start
    effect: dict[str, str] = {}
    for word in words:
        moved = apply_receipt(state, word)
        effect.setdefault(word.value, moved.effect.value)
        state = moved.state
        await come(town, told(town, one, word, provider_id=provider))
    assert await town.value("select state from attempt where token = $1", token) == state
    rows = await town.rows("select status, effect from receipt where provider_id = $1", provider)
    assert dict(rows) == effect


OPEN = [NoticeState.WAITING, NoticeState.SENDING, NoticeState.AWAITING_RECEIPT]


@pytest.mark.parametrize("schedule", [ONE_WAY, TWO_WAYS], ids=["one way", "two ways"])
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(word=st.sampled_from(list(Status)), state=st.sampled_from(OPEN), route=st.integers(0, 2))
async def test_the_statement_moves_a_notice_as_the_rule_says(
    town: World,
    schedule: str,
    word: Status,
    state: NoticeState,
    route: int,
) -> None:
    town.schedule = schedule
    loan = f"L{await town.value('select count(*) from loan')}"
    one = await begun(town, loan)
    key = one.message.token
    where = "where (loan_id, anchor, stage) = (select loan_id, anchor, stage from attempt where token = $1)"
    await town.pool.execute(f"update notice set state = $2, route = $3 {where}", key, state, route)
    before = await town.value(f"select next_at from notice {where}", key)
    stage = (await town.portfolio()).ladder.stages[0]
    now = town.clock.now()
    expected = after_receipt(
        apply_receipt(AttemptState.BEGUN, word).state, state, now,
        route=route, routes=len(stage.channels), fallback_after=stage.fallback_after,
    )  # fmt: skip
    await come(town, told(town, one, word, provider_id=f"SM-of-{loan}"))
    rows = await town.rows(f"select state, next_at, route, closed_at from notice {where}", key)
    closed = now if expected.state is NoticeState.SENT else None
    assert rows == [(expected.state, expected.next_at or before, expected.route, closed)]

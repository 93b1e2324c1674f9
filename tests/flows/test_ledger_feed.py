"""The feed on a real database against a ledger that misbehaves; the ledger's own log is the witness."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import orjson
import pytest

from agent.adapters.ledger import FileBusy, FileLedger, Ledger
from agent.adapters.ledger_stand_in import Fault, LedgerStandIn
from agent.clock import VirtualClock
from agent.domain.feed import (
    BACKOFF_MAX,
    CONFLICT_TRIES,
    Acknowledged,
    Answer,
    Delayed,
    Told,
    parse_outcome_id,
)
from agent.flows.ledger_desk import acknowledge_pulled, replay
from agent.flows.ledger_feed import Feeder, Pace
from agent.store import outcomes as store
from agent.store.sql import statements
from tests.support.ledger import (
    NOW,
    ledger_on_loopback,
    make_outcomes,
    make_portfolio,
    unacked,
)

Pool: TypeAlias = "asyncpg.Pool[Any]"
PACE = Pace(batch=16, run=4, at_once=4, record_every=8, record_within=0.02, trip_after=6)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


def feeder(pool: Pool, portfolio: int, ledger: Ledger, clock: VirtualClock) -> Feeder:
    return Feeder(pool, portfolio, ledger, clock, PACE)


async def drain(pool: Pool, portfolio: int, ledger: Ledger, clock: VirtualClock) -> None:
    """Feed again and again, as ticks do, until no outcome has a time of its own."""
    for _ in range(60):
        await feeder(pool, portfolio, ledger, clock).feed()
        if not await unacked(pool, portfolio):
            return
        clock.advance_to(clock.now() + BACKOFF_MAX)


def assert_in_order(stand_in: LedgerStandIn, refs: list[str], counts: list[int]) -> None:
    assert stand_in.violations == []
    for ref, count in zip(refs, counts, strict=True):
        numbers = [int(e["sequence"]) for e in stand_in.applied.values() if e["subject"] == ref]
        assert numbers == list(range(1, count + 1))


async def test_all_outcomes_arrive_once_and_in_order(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    counts = [1 + number % 7 for number in range(60)]
    refs = await make_outcomes(pool, portfolio, counts)
    async with ledger_on_loopback(clock) as (stand_in, ledger):
        done = await feeder(pool, portfolio, ledger, clock).feed()
        again = await feeder(pool, portfolio, ledger, clock).feed()
    assert (done.acked, done.delayed, done.rejected, done.tripped) == (sum(counts), 0, 0, False)
    assert again.acked == 0
    assert_in_order(stand_in, refs, counts)
    assert set(stand_in.arrivals.values()) == {1}
    assert await unacked(pool, portfolio) == []
    first = stand_in.applied["mobile-loans/L0001/1"]
    assert first["time"] == "2026-03-02T10:00:00+01:00"
    assert first["data"] == {"dpd": 1, "from": "current", "to": "1-7"}


@pytest.mark.parametrize(
    "fault", [Fault.ERROR, Fault.CONFLICT, Fault.LOST_ANSWER, Fault.CUT, Fault.CHATTER]
)
async def test_a_fault_on_first_arrival_changes_nothing_in_the_end(
    pool: Pool, clock: VirtualClock, fault: Fault
) -> None:
    portfolio = await make_portfolio(pool)
    counts = [3] * 12
    refs = await make_outcomes(pool, portfolio, counts)

    def script(_loan: str, sequence: int, before: int) -> Fault | None:
        return fault if before == 0 and sequence == 2 else None

    async with ledger_on_loopback(clock, script) as (stand_in, ledger):
        await drain(pool, portfolio, ledger, clock)
    assert_in_order(stand_in, refs, counts)
    assert await unacked(pool, portfolio) == []


async def test_a_conflict_that_lasts_is_a_case(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [2])
    async with ledger_on_loopback(clock, lambda *_: Fault.CONFLICT) as (stand_in, ledger):
        await drain(pool, portfolio, ledger, clock)
    assert stand_in.arrivals == {"mobile-loans/L0001/1": CONFLICT_TRIES}
    case = await pool.fetchrow("select kind, subject, detail from case_item")
    assert case is not None
    assert tuple(case.values()) == (
        "ledger-rejected",
        "L0001",
        {"sequence": 1, "reason": "http-409"},
    )


async def test_a_rejected_outcome_stops_its_loan_only(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    refs = await make_outcomes(pool, portfolio, [4] * 9)

    def script(loan: str, sequence: int, _before: int) -> Fault | None:
        return Fault.REFUSE if (loan, sequence) == ("L0003", 2) else None

    async with ledger_on_loopback(clock, script) as (stand_in, ledger):
        await drain(pool, portfolio, ledger, clock)
        assert await unacked(pool, portfolio) == [("L0003", 2), ("L0003", 3), ("L0003", 4)]
        assert stand_in.arrivals["mobile-loans/L0003/2"] == 1
        case = await pool.fetchrow("select kind, subject, detail, closed_at from case_item")
        assert case is not None
        assert tuple(case.values()) == (
            "ledger-rejected",
            "L0003",
            {"sequence": 2, "reason": "http-422"},
            None,
        )

        # a later outcome of the stuck loan waits too
        await pool.execute(
            "insert into outcome (portfolio_id, loan_id, seq, type, occurred_at, recorded_at, data,"
            " next_try_at) values ($1, 3, 5, 'account.cured', $2, $2, '{}', $2)",
            portfolio,
            NOW,
        )
        await drain(pool, portfolio, ledger, clock)
        assert len(await unacked(pool, portfolio)) == 4

        stand_in.script = lambda _loan, _sequence, _before: None
        done = await replay(pool, "L0003", actor="ana", now=clock.now())
        await feeder(pool, portfolio, ledger, clock).feed()
    assert [(r.loan, r.reopened, r.waiting) for r in done] == [("L0003", 0, True)]
    assert await unacked(pool, portfolio) == []
    assert_in_order(stand_in, refs, [4, 4, 5, 4, 4, 4, 4, 4, 4])
    assert await pool.fetchval("select closed_by from case_item") == "ana"


async def test_a_loan_that_keeps_failing_does_not_block_others(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [2] * 40)

    def script(loan: str, _sequence: int, _before: int) -> Fault | None:
        return Fault.ERROR if loan == "L0001" else None

    async with ledger_on_loopback(clock, script) as (stand_in, ledger):
        await feeder(pool, portfolio, ledger, clock).feed()
        assert await unacked(pool, portfolio) == [("L0001", 1), ("L0001", 2)]
        for _ in range(20):
            clock.advance_to(clock.now() + timedelta(seconds=30))
            await feeder(pool, portfolio, ledger, clock).feed()
    # backoff: ten minutes of half-minute ticks bring a few tries, not twenty
    assert 5 <= stand_in.arrivals["mobile-loans/L0001/1"] <= 10
    tries = await pool.fetchval("select tries from outcome where acked_at is null and seq = 1")
    assert tries == stand_in.arrivals["mobile-loans/L0001/1"]


async def test_a_ledger_that_is_down_is_probed_not_stormed(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    counts = [2] * 100
    refs = await make_outcomes(pool, portfolio, counts)
    async with ledger_on_loopback(clock, lambda *_: Fault.ERROR) as (stand_in, ledger):
        for _ in range(5):
            done = await feeder(pool, portfolio, ledger, clock).feed()
            assert done.tripped
            assert done.acked == 0
        assert stand_in.arrivals.total() <= 5 * (PACE.trip_after + PACE.at_once)
        stand_in.script = lambda *_: None
        await drain(pool, portfolio, ledger, clock)
    assert_in_order(stand_in, refs, counts)
    assert await pool.fetchval("select count(*) from case_item") == 0


async def test_retry_after_silences_the_whole_feed(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [1] * 30)
    async with ledger_on_loopback(clock, lambda *_: Fault.BUSY) as (stand_in, ledger):
        feed = feeder(pool, portfolio, ledger, clock)
        await feed.feed()
        after_first = stand_in.arrivals.total()
        assert after_first <= PACE.at_once
        clock.advance_to(NOW + timedelta(seconds=29))
        await feed.feed()
        assert stand_in.arrivals.total() == after_first
        stand_in.script = lambda *_: None
        clock.advance_to(NOW + timedelta(seconds=30))
        await feed.feed()
    assert await unacked(pool, portfolio) == []


async def test_wrong_credentials_make_one_case_and_stick_no_loan(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [1] * 30)
    async with ledger_on_loopback(clock, lambda *_: Fault.UNAUTHORIZED) as (stand_in, ledger):
        for _ in range(3):
            await feeder(pool, portfolio, ledger, clock).feed()
        cases = await pool.fetch("select kind, subject, detail, closed_at from case_item")
        assert [tuple(row.values()) for row in cases] == [
            ("ledger-address", "ledger", {"reason": "http-401"}, None)
        ]
        assert (
            await pool.fetchval("select count(*) from outcome where stuck_reason is not null") == 0
        )
        stand_in.script = lambda *_: None
        await drain(pool, portfolio, ledger, clock)
    assert await unacked(pool, portfolio) == []
    assert await pool.fetchval("select closed_by from case_item") == "duly"


async def test_a_redirect_is_not_followed(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [1])
    async with ledger_on_loopback(clock, lambda *_: Fault.REDIRECT) as (stand_in, ledger):
        done = await feeder(pool, portfolio, ledger, clock).feed()
    assert (done.delayed, stand_in.arrivals.total()) == (1, 1)
    assert await pool.fetchval("select detail from case_item") == {
        "reason": "http-307-redirect-refused"
    }


class DiesAfterSending:
    """A process that is gone between the ledger's answer and our record of it."""

    def __init__(self, inner: Ledger) -> None:
        self._inner = inner

    async def deliver(self, told: Told) -> Answer:
        await self._inner.deliver(told)
        raise SystemError("killed")


async def test_a_crash_between_post_and_record_sends_the_same_id_again(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio = await make_portfolio(pool)
    counts = [3] * 8
    refs = await make_outcomes(pool, portfolio, counts)
    async with ledger_on_loopback(clock) as (stand_in, ledger):
        with pytest.raises(BaseExceptionGroup):
            await feeder(pool, portfolio, DiesAfterSending(ledger), clock).feed()
        sent = set(stand_in.arrivals)
        assert sent
        assert len(await unacked(pool, portfolio)) == sum(counts)

        # the leases of the dead feeder hold until they run out
        await feeder(pool, portfolio, ledger, clock).feed()
        assert all(stand_in.arrivals[key] == 1 for key in sent)
        clock.advance_to(clock.now() + PACE.lease)
        await feeder(pool, portfolio, ledger, clock).feed()
    assert all(stand_in.arrivals[key] == 2 for key in sent)
    assert_in_order(stand_in, refs, counts)
    assert await unacked(pool, portfolio) == []


class AnswersLast:
    """Does not answer for one loan before it has taken everything of all the others."""

    def __init__(self, slow: str, others: int) -> None:
        self._slow, self._left = slow, others
        self._rest_done = asyncio.Event()

    async def deliver(self, told: Told) -> Answer:
        if told.loan == self._slow:
            await self._rest_done.wait()
            return Acknowledged()
        self._left -= 1
        if self._left == 0:
            self._rest_done.set()
        return Acknowledged()


async def test_a_slow_loan_holds_up_one_sender_only(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [2] * 200)
    async with asyncio.timeout(60):
        done = await feeder(pool, portfolio, AnswersLast("L0001", 398), clock).feed()
    assert done.acked == 400


async def test_a_ledger_that_hangs_is_given_up(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [2] * 20)

    def script(loan: str, _sequence: int, _before: int) -> Fault | None:
        return Fault.HANG if loan == "L0001" else None

    async with ledger_on_loopback(clock, script, call_seconds=2) as (_, ledger):
        done = await feeder(pool, portfolio, ledger, clock).feed()
    assert (done.acked, done.delayed, done.tripped) == (38, 1, False)
    assert await unacked(pool, portfolio) == [("L0001", 1), ("L0001", 2)]


async def test_two_feeders_share_the_work(pool: Pool, clock: VirtualClock) -> None:
    portfolio = await make_portfolio(pool)
    counts = [1 + number % 9 for number in range(150)]
    refs = await make_outcomes(pool, portfolio, counts)
    async with ledger_on_loopback(clock) as (stand_in, ledger):
        shares = await asyncio.gather(
            *(feeder(pool, portfolio, ledger, clock).feed() for _ in range(3))
        )
        await drain(pool, portfolio, ledger, clock)
    assert sum(share.acked for share in shares) == sum(counts)
    assert_in_order(stand_in, refs, counts)
    assert set(stand_in.arrivals.values()) == {1}


async def test_outcomes_written_while_feeding_are_not_stranded(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio = await make_portfolio(pool)
    counts = [2] * 30
    refs = await make_outcomes(pool, portfolio, counts)

    async def write_more() -> None:
        for seq in range(3, 9):
            await pool.execute(
                """insert into outcome (portfolio_id, loan_id, seq, type, occurred_at, recorded_at,
                                        data, next_try_at)
                   select $1, id, $2, 'account.cured', $3, $3, '{}', $3 from loan
                   where portfolio_id = $1""",
                portfolio,
                seq,
                NOW,
            )

    async with ledger_on_loopback(clock) as (stand_in, ledger):
        feeds = [feeder(pool, portfolio, ledger, clock).feed() for _ in range(2)]
        await asyncio.gather(write_more(), *feeds)
        # no time passes: what is left must be due now, not parked for ever
        while (await feeder(pool, portfolio, ledger, clock).feed()).acked:
            pass
    assert await unacked(pool, portfolio) == []
    assert_in_order(stand_in, refs, [8] * 30)


async def test_an_acknowledged_outcome_is_sent_again_only_when_staff_ask(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [4, 4])
    async with ledger_on_loopback(clock) as (stand_in, ledger):
        await drain(pool, portfolio, ledger, clock)
        done = await replay(pool, "L0002", actor="ana", now=clock.now(), from_seq=3)
        await feeder(pool, portfolio, ledger, clock).feed()
    assert [item.reopened for item in done] == [2]
    again = Counter(r.id for r in stand_in.log if r.again)
    assert again == {"mobile-loans/L0002/3": 1, "mobile-loans/L0002/4": 1}
    assert stand_in.violations == []
    assert await replay(pool, "no such loan", actor="ana", now=clock.now()) == []


async def test_a_late_answer_does_not_count_after_the_lease(pool: Pool) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [1])
    async with pool.acquire() as conn:
        async with conn.transaction():
            batch = await store.lease_runs(conn, portfolio, NOW, NOW + PACE.lease, batch=10, run=5)
        later = NOW + PACE.lease
        async with conn.transaction():
            second = await store.lease_runs(
                conn, portfolio, later, later + PACE.lease, batch=10, run=5
            )
        stale = [store.Done(batch.runs[0].loan_id, 1, batch.runs[0].lease)]
        fresh = [store.Done(second.runs[0].loan_id, 1, second.runs[0].lease)]
        assert await store.acknowledge(conn, portfolio, stale, later) == 0
        assert await store.acknowledge(conn, portfolio, fresh, later) == 1


async def test_a_pulling_ledger_reads_pages_and_acknowledges_by_name(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio = await make_portfolio(pool)
    refs = await make_outcomes(pool, portfolio, [3, 2, 2])
    seen: list[str] = []
    async with pool.acquire() as conn:
        page, place = await store.unacknowledged(conn, portfolio, store.BEGINNING, 3)
        seen += [item.id for item in page]
        while place is not None:
            page, place = await store.unacknowledged(conn, portfolio, place, 3)
            seen += [item.id for item in page]
    assert seen == [
        f"mobile-loans/{ref}/{seq}" for ref, n in zip(refs, (3, 2, 2), strict=True)
        for seq in range(1, n + 1)
    ]  # fmt: skip
    names = [(found[1], found[2]) if (found := parse_outcome_id(key)) else None for key in seen[:4]]
    done = await acknowledge_pulled(pool, portfolio, [*names, ("nobody", 1), None], clock.now())
    assert (done.acked, done.already, done.unknown) == (4, 0, (4, 5))
    again = await acknowledge_pulled(pool, portfolio, names, clock.now())
    assert (again.acked, again.already) == (0, 4)
    # what the pull left over can still be pushed
    async with ledger_on_loopback(clock) as (stand_in, ledger):
        await drain(pool, portfolio, ledger, clock)
    assert set(stand_in.arrivals) == set(seen[4:])
    assert await unacked(pool, portfolio) == []


async def test_a_file_takes_outcomes_once_over_restarts(
    pool: Pool, clock: VirtualClock, tmp_path: Path
) -> None:
    portfolio = await make_portfolio(pool)
    counts = [3] * 20
    refs = await make_outcomes(pool, portfolio, counts)
    path = tmp_path / "out" / "outcomes.ndjson"
    async with FileLedger(path) as ledger:
        with pytest.raises(BaseExceptionGroup):
            await feeder(pool, portfolio, DiesAfterSending(ledger), clock).feed()
    written = path.read_bytes()
    path.write_bytes(written + b'{"specversion":"1.0","id":"half')
    clock.advance_to(clock.now() + PACE.lease)
    async with FileLedger(path) as ledger:
        await drain(pool, portfolio, ledger, clock)
        with pytest.raises(FileBusy):
            async with FileLedger(path):
                pass
    events = [orjson.loads(text) for text in path.read_bytes().splitlines()]
    assert path.read_bytes().startswith(written)
    for ref, count in zip(refs, counts, strict=True):
        assert [e["sequence"] for e in events if e["subject"] == ref] == list(range(1, count + 1))
    assert await unacked(pool, portfolio) == []


async def test_what_was_being_written_as_its_feed_ended_is_in_the_file_once(tmp_path: Path) -> None:
    told = [
        Told("P", "A1", "Africa/Lagos", number, "account.cured", NOW, {}) for number in range(1, 41)
    ]
    path = tmp_path / "outcomes.ndjson"
    async with FileLedger(path) as ledger:
        under_way = [asyncio.create_task(ledger.deliver(each)) for each in told]
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        answers = [await ledger.deliver(each) for each in told]
    assert answers == [Acknowledged()] * len(told)
    lines = path.read_bytes().splitlines()
    assert sorted(orjson.loads(text)["id"] for text in lines) == sorted(each.id for each in told)


class Forgetful:
    """Fails at random places, forgetting nothing it acknowledged; order is checked at the first time."""

    def __init__(self, seed: int) -> None:
        self.state = seed
        self.first: dict[str, list[int]] = {}

    async def deliver(self, told: Told) -> Answer:
        self.state = (self.state * 1103515245 + 12345) % 2**31
        seen = self.first.setdefault(told.loan, [])
        if self.state % 3 == 0:
            return Delayed("lost")
        if told.seq not in seen:
            seen.append(told.seq)
        return Delayed("answer lost") if self.state % 5 == 0 else Acknowledged()


@pytest.mark.parametrize("seed", [1, 7, 42])
async def test_random_failures_keep_the_order(pool: Pool, clock: VirtualClock, seed: int) -> None:
    portfolio = await make_portfolio(pool)
    counts = [1 + number % 6 for number in range(40)]
    refs = await make_outcomes(pool, portfolio, counts)
    ledger = Forgetful(seed)
    await drain(pool, portfolio, ledger, clock)
    assert await unacked(pool, portfolio) == []
    assert ledger.first == {
        ref: list(range(1, count + 1)) for ref, count in zip(refs, counts, strict=True)
    }


def _plan_nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(n for part in plan.get("Plans", []) for n in _plan_nodes(part))]


async def test_the_look_for_due_outcomes_reads_an_index_only(pool: Pool) -> None:
    portfolio = await make_portfolio(pool)
    await make_outcomes(pool, portfolio, [5] * 400)
    await pool.execute("update outcome set acked_at = $1 where loan_id > 5", NOW)
    await pool.execute("vacuum analyze outcome")
    statement = statements()["lock_due_heads"]
    given = {"portfolio": portfolio, "now": NOW, "batch": 100}
    values = [given[name] for name in statement.params]
    async with pool.acquire() as conn:
        text = await conn.fetchval(f"explain (format json) {statement.text}", *values)
    nodes = _plan_nodes(orjson.loads(text)[0]["Plan"])
    scans = {
        n.get("Index Name") or n["Node Type"] for n in nodes if n.get("Relation Name") == "outcome"
    }
    assert "Seq Scan" not in scans
    assert "outcome_unacked" in scans

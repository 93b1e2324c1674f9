"""Workers die at random while notices go out: nobody gets a message twice, nobody is forgotten."""

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import asyncpg
import pytest

from agent.adapters.deadman import NoDeadMan
from agent.clock import SystemClock, VirtualClock
from agent.flows.dispatch import run_lane
from agent.flows.rescue import rescue
from agent.store.keyring import Keyring
from channels.sandbox.client import SandboxHttpChannel, open_session
from tests.conftest import TEST_MASTER_KEY
from tests.support.crew import Crew, crew
from tests.support.phone_process import Phone, phone_process
from tests.support.post_office import post_office
from tests.support.village import Village, settle
from tests.support.waiting import until
from tests.support.worker_process import WorkerConfig, lane_of

PEOPLE = 400
SECONDS = 60
CLOCK = SystemClock()
ROUGH = {
    "list_lag": 0.2,
    "rule": [
        {"act": "lose_answer", "share": 0.05, "loss": "cut", "receipts": "lost"},
        {"act": "lose_answer", "share": 0.05, "loss": "half", "fate_after": 0.3},
        {"act": "lose_answer", "share": 0.03, "loss": "error", "receipts": "doubled"},
        {"act": "lose_answer", "share": 0.03, "loss": "without_id", "receipts": "before_answer"},
        {"act": "drop", "share": 0.05, "loss": "cut"},
        {"act": "drop", "share": 0.03, "loss": "error"},
        {"act": "refuse", "share": 0.04, "refusal": "transient", "code": "429"},
        {"act": "accept", "share": 0.1, "answer_after": 0.4, "receipts": "before_answer"},
        {"act": "accept", "share": 0.3, "receipts": "lost"},
        {"act": "accept", "receipts": "shuffled", "sent_after": 0.2, "fate_after": 0.5},
    ],
}  # fmt: skip


async def waiting(pool: asyncpg.Pool) -> int:
    count: int = await pool.fetchval(
        "select count(*) from notice where state = 'waiting' and fence = 0 and next_at <= $1",
        CLOCK.now(),
    )
    return count


async def kill_at_random(pool: asyncpg.Pool, workers: Crew, rng: Random) -> int:
    """Kill and replace workers until every notice has been taken up once; how many died."""
    killed = 0
    async with asyncio.timeout(SECONDS):
        while await waiting(pool):
            pid = rng.choice(workers.pids)
            await asyncio.sleep(rng.uniform(0.1, 0.5))  # this is the random moment
            assert await workers.end(pid, signal.SIGKILL) == -signal.SIGKILL
            await workers.hire()
            killed += 1
    return killed


async def make_good(
    pool: asyncpg.Pool, config: WorkerConfig, village: Village, phone_url: str
) -> VirtualClock:
    """What rescue and dispatch do in the next hours, on a clock that does not wait."""
    clock = VirtualClock(CLOCK.now())
    async with open_session() as session:
        channel = SandboxHttpChannel(session, phone_url, "sms", clock.monotonic)
        lane = lane_of(config, pool, village.portfolio, clock, channel, NoDeadMan())
        for _ in range(20):
            clock.advance_to(clock.now() + timedelta(minutes=6))
            await rescue(lane)
            await run_lane(lane)
    return clock


async def states(pool: asyncpg.Pool, table: str) -> Mapping[str, int]:
    rows = await pool.fetch(
        f"select state, count(*) from {table} t where exists (select 1 from notice n"
        " where n.loan_id = t.loan_id and n.stage = t.stage and n.due_at <= $1) group by state",
        CLOCK.now(),
    )
    return {row["state"]: row["count"] for row in rows}


async def check(pool: asyncpg.Pool, phone: Phone) -> None:
    """The phone's own log against our rows."""
    heard = phone.accepted()
    assert len(heard) == PEOPLE
    assert set(Counter(one.address for one in heard).values()) == {1}
    rows = await pool.fetch("select token, state from attempt")
    settled = {row["token"]: row["state"] for row in rows}
    assert not {"begun", "unknown"} & set(settled.values())
    went_out = {token for token, state in settled.items() if state not in {"refused", "absent"}}
    assert went_out == {one.token for one in heard}
    assert await states(pool, "notice") == {"sent": PEOPLE}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
async def test_killed_at_random_every_notice_is_sent_exactly_once(
    pool: asyncpg.Pool,
    database_url: str,
    redis_url: str,
    keyring: Keyring,
    tmp_path: Path,
    seed: int,
) -> None:
    village = await settle(pool, keyring, PEOPLE, CLOCK.now())
    async with (
        phone_process(tmp_path, script=ROUGH, seed=seed, latency_ms=20) as phone,
        post_office(pool, village.portfolio, CLOCK.now) as status_url,
    ):
        config = WorkerConfig(
            database_url, redis_url, phone.url, TEST_MASTER_KEY.hex(), status_url, batch=6
        )
        async with crew(tmp_path, config) as workers:
            await workers.hire()
            await workers.hire()
            killed = await kill_at_random(pool, workers, Random(seed))  # noqa: S311
            assert killed >= 5
            for pid in tuple(workers.pids):
                assert await workers.end(pid, signal.SIGTERM) == 0
        stranded = await states(pool, "attempt")
        assert stranded.get("begun", 0) > 0, "no worker died with work in its hands"
        await phone.follow({})
        await make_good(pool, config, village, phone.url)
        await check(pool, phone)


async def test_a_term_signal_lets_everything_in_flight_be_recorded(
    pool: asyncpg.Pool, database_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    await settle(pool, keyring, 60, CLOCK.now())
    async with phone_process(tmp_path, script={}, latency_ms=20) as phone:
        config = WorkerConfig(database_url, None, phone.url, TEST_MASTER_KEY.hex())

        async def sending() -> bool:
            return len(phone.accepted()) >= 5

        async with crew(tmp_path, config) as workers:
            pid = await workers.hire()
            await until(sending, 10, "the worker sends")
            assert await workers.end(pid, signal.SIGTERM) == 0
        heard = {one.token for one in phone.accepted()}
        rows = await pool.fetch("select token, state from attempt")
        assert {row["token"] for row in rows} == heard
        assert {row["state"] for row in rows} == {"accepted"}
        assert 5 <= len(heard) < 60


@pytest.mark.parametrize("dead_man", [True, False])
async def test_stopped_past_the_deadline_nothing_leaves_any_more(
    pool: asyncpg.Pool, database_url: str, keyring: Keyring, tmp_path: Path, *, dead_man: bool
) -> None:
    """With the timer the process ends; without it the look at the clock before the write holds."""
    await settle(pool, keyring, 20, CLOCK.now())
    async with phone_process(tmp_path, script={}, latency_ms=100) as phone:
        config = WorkerConfig(
            database_url, None, phone.url, TEST_MASTER_KEY.hex(),
            window_seconds=3, dead_man=dead_man,
        )  # fmt: skip

        async def sending() -> bool:
            return len(phone.accepted()) >= 4

        async def overslept() -> bool:
            deadline = await pool.fetchval("select max(deadline_at) from attempt")
            return bool(CLOCK.now() > deadline + timedelta(seconds=0.2))

        async def recorded() -> bool:
            return not await pool.fetchval("select count(*) from attempt where state = 'begun'")

        async with crew(tmp_path, config) as workers:
            pid = await workers.hire()
            await until(sending, 10, "the worker sends")
            workers.signal(pid, signal.SIGSTOP)
            await until(overslept, 10, "the deadline is past")
            heard = len(phone.accepted())
            workers.signal(pid, signal.SIGCONT)
            if dead_man:
                assert await workers.ended(pid) == -signal.SIGALRM
            else:
                await until(recorded, 10, "the worker records what it did not send")
                assert await workers.end(pid, signal.SIGTERM) == 0
        assert len(phone.accepted()) == heard < 20
        rows = await pool.fetch("select state, code, count(*) as n from attempt group by 1, 2")
        if not dead_man:
            codes = {row["code"]: row["n"] for row in rows if row["state"] == "refused"}
            assert codes.keys() == {"deadline"}

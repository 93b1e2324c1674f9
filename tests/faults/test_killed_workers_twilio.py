"""Workers die at random while texts go out through a Twilio stand-in at its worst; its log is the truth."""

import signal
from collections import Counter
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
from channels.handover import open_session
from tests.conftest import TEST_MASTER_KEY
from tests.faults.test_killed_workers import kill_at_random
from tests.support.crew import crew
from tests.support.twilio_office import twilio_office
from tests.support.twilio_process import Provider, twilio_process
from tests.support.village import Village, settle
from tests.support.worker_process import WorkerConfig, channel_of, lane_of

PEOPLE = 200
CLOCK = SystemClock()
ROUGH = {
    "lose_answer": 0.12, "drop": 0.06, "too_many": 0.02, "retry_after": None,
    "lose_callback": 0.3, "double_callback": 0.3, "shuffle": True, "list_lag": 0.3, "delay": 0.1,
    "latency": 0.05,
}  # fmt: skip


async def make_good(pool: asyncpg.Pool, config: WorkerConfig, village: Village) -> None:
    """What rescue and dispatch do in the next hours, on a clock that does not wait."""
    clock = VirtualClock(CLOCK.now())
    async with open_session() as session:
        channel = channel_of(config, session, clock.monotonic)
        lane = lane_of(config, pool, village.portfolio, clock, channel, NoDeadMan())
        for _ in range(20):
            clock.advance_to(clock.now() + timedelta(minutes=6))
            await rescue(lane)
            await run_lane(lane)


async def check(pool: asyncpg.Pool, twilio: Provider) -> None:
    """The provider's own log against our rows."""
    accepted = twilio.accepted()
    assert len(accepted) == PEOPLE
    assert set(Counter(one["to"] for one in accepted).values()) == {1}
    rows = await pool.fetch("select token, state from attempt")
    settled = {row["token"]: row["state"] for row in rows}
    assert not {"begun", "unknown", "closed_unknown"} & set(settled.values())
    went_out = {token for token, state in settled.items() if state not in {"refused", "absent"}}
    assert went_out == {one["callback"].split("/")[-2] for one in accepted}
    due = await pool.fetch("select distinct state from notice where due_at <= $1", CLOCK.now())
    assert [row["state"] for row in due] == ["sent"]
    assert (await twilio.truth())["refused"] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
async def test_killed_at_random_the_provider_gets_every_text_once(
    pool: asyncpg.Pool,
    database_url: str,
    redis_url: str,
    keyring: Keyring,
    tmp_path: Path,
    seed: int,
) -> None:
    village = await settle(pool, keyring, PEOPLE, CLOCK.now())
    async with (
        twilio_process(tmp_path, script=ROUGH, seed=seed) as twilio,
        twilio_office(pool, keyring, CLOCK, lambda: village.portfolio) as office,
    ):
        status_url = f"{office.public}/webhooks/sandbox/{village.portfolio.id}"
        config = WorkerConfig(
            database_url, redis_url, twilio.url, TEST_MASTER_KEY.hex(), status_url, batch=6, twilio=True
        )  # fmt: skip
        async with crew(tmp_path, config) as workers:
            await workers.hire()
            await workers.hire()
            killed = await kill_at_random(pool, workers, Random(seed))  # noqa: S311
            assert killed >= 5
            for pid in tuple(workers.pids):
                assert await workers.end(pid, signal.SIGTERM) == 0
        stranded = await pool.fetchval("select count(*) from attempt where settled_at is null")
        assert stranded > 0, "no answer was lost and no worker died with work in its hands"
        await twilio.follow({"statuses": []})
        await make_good(pool, config, village)
        await check(pool, twilio)

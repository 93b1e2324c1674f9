"""A small fault campaign; the whole one is a command (see tests/README.md)."""

from pathlib import Path

import pytest

from tests.faults.trial import CREW, Plan, run_trial, trial
from tests.support.crashing_postgres import WAYS, CrashingPostgres


@pytest.mark.slow
async def test_killed_and_without_database_at_random_nothing_is_doubled_or_lost(
    postgres: CrashingPostgres, tmp_path: Path
) -> None:
    tally = await run_trial(postgres, tmp_path, 1, Plan(kills=16, crashes=2, waves=2, people=60))
    assert tally.verdict.wrong == []
    assert tally.verdict.notices >= 120
    assert (tally.verdict.accepted_twice, tally.verdict.lost) == (0, 0)
    assert tally.verdict.closed_unknown == 0
    assert tally.kills["in all"] >= 16
    assert tally.crashes.total() == 2
    assert tally.provider["answers_lost"] > 0
    assert tally.provider["callbacks_lost"] > 0


@pytest.mark.slow
async def test_whoever_works_outlives_crashes_of_postgresql(
    postgres: CrashingPostgres, tmp_path: Path
) -> None:
    async with trial(postgres, tmp_path, 2, Plan()) as one:
        await one.move_in(80)
        for kind in CREW:
            await one.staff.hire(kind)
        heard = 0
        for how in WAYS:
            heard += 10
            await one.heard(heard)
            await one.postgres.crash(how)
            assert await one.staff.gone() == {}
        await one.heard(heard + 10)
        await one.clear_out()
        await one.heal()
        tally = await one.conclude()
    assert tally.verdict.wrong == []
    assert tally.verdict.notices == 80

"""A small fault campaign; the whole one is a command (see tests/README.md)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels.sms_twilio.segments import segments
from tests.faults.trial import CREW, Plan, run_trial, trial
from tests.support.crashing_postgres import WAYS, CrashingPostgres
from tests.support.waiting import until


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


def busiest_second(accepted: Sequence[Mapping[str, Any]]) -> int:
    """The most parts that the provider took within any second, by its own log."""
    took = sorted((datetime.fromisoformat(one["at"]), segments(one["body"])) for one in accepted)
    return max(
        sum(parts for at, parts in took[first:] if at - begun < timedelta(seconds=1))
        for first, (begun, _) in enumerate(took)
    )


@pytest.mark.slow
async def test_a_pace_holds_in_every_second_while_workers_are_killed(
    postgres: CrashingPostgres, tmp_path: Path
) -> None:
    """Twenty parts a second, three workers, one of them killed again and again and replaced."""
    async with trial(postgres, tmp_path, 3, Plan(parts_per_second=20.0)) as one:
        await one.twilio.follow({"statuses": []})
        # whoever is killed takes what it has begun along, and nobody rescues it here
        await one.move_in(600)
        for _ in range(3):
            await one.staff.hire("worker")
        for heard in range(20, 200, 20):

            async def enough(heard: int = heard) -> bool:
                await one.replace()
                return len(one.twilio.accepted()) >= heard

            await until(enough, 40, f"{heard} texts are accepted")
            one.kill()
        accepted = one.twilio.accepted()
    assert len({message["callback"] for message in accepted}) == len(accepted) >= 180
    assert busiest_second(accepted) <= 1.05 * 20

"""A small fault campaign; the whole one is a command (see tests/README.md)."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from channels.sms_twilio.segments import segments
from tests.faults.trial import CREW, Plan, Trial, run_trial, trial
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


PACE = 20.0


def busiest(parts: Sequence[tuple[datetime, int]], seconds: float) -> int:
    """The most parts within any stretch of so many seconds."""
    took, stretch = sorted(parts), timedelta(seconds=seconds)
    return max(
        sum(count for at, count in took[first:] if at - begun < stretch)
        for first, (begun, _) in enumerate(took)
    )


class Leaving:
    """When the texts of the trial's sender left, by what the workers took in the database."""

    def __init__(self, one: Trial) -> None:
        self._one = one
        self._parts: dict[datetime, int] = {}
        self._over = False
        self._watching = asyncio.create_task(until(self._look, 300, "the trial is over"))

    async def _look(self) -> bool:
        # the database keeps those of the last second only
        kept = await self._one.ask("select left_at from sender_pace where channel = 'sms'")
        for at, parts in Counter(kept or ()).items():
            self._parts[at] = max(parts, self._parts.get(at, 0))
        return self._over

    async def to_the_end(self) -> Sequence[tuple[datetime, int]]:
        """Look once more, and no longer."""
        self._over = True
        await self._watching
        return list(self._parts.items())


@pytest.mark.slow
async def test_a_pace_holds_in_every_second_while_workers_are_killed(
    postgres: CrashingPostgres, tmp_path: Path
) -> None:
    """Twenty parts a second, three workers, one of them killed again and again and replaced."""
    async with trial(postgres, tmp_path, 3, Plan(parts_per_second=PACE)) as one:
        await one.twilio.follow({"statuses": []})
        leaving = Leaving(one)
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
        left = await leaving.to_the_end()
    assert len({message["callback"] for message in accepted}) == len(accepted) >= 180
    # a look may miss a few moments, hardly many
    assert sum(parts for _, parts in left) >= 0.9 * len(accepted)
    assert busiest(left, 1) <= 1.05 * PACE
    # between leaving and the provider's log lies a busy machine: over a longer stretch it evens out
    came = [(datetime.fromisoformat(each["at"]), segments(each["body"])) for each in accepted]
    assert busiest(came, 4) <= 1.05 * PACE * 4

"""The benchmarks run, at a size that says nothing about speed, and answer for every bar they name."""

import pytest

from benchmarks.bars import BARS, Met, Size, middle_ratio
from benchmarks.run import NoSuchBar, named, run


@pytest.mark.slow
async def test_every_group_answers_for_its_bars() -> None:
    wanted = ("planning", "intake", "dispatch", "gate", "receipts", "urgent")
    said: list[str] = []

    shown = await run(wanted, Size.TINY, 1, said.append)

    assert {each.bar for each in shown} == named(wanted)
    assert all(each.value is not None and each.value > 0 for each in shown)
    assert all(each.rounds for each in shown)
    assert said


def test_a_bar_is_met_in_the_direction_it_says() -> None:
    assert BARS["B1"].met(1.9) is Met.EXTREME
    assert BARS["B1"].met(2.9) is Met.FIRST
    assert BARS["B1"].met(3.1) is Met.NO
    assert BARS["B5"].met(4.9) is Met.NO
    assert BARS["B5"].met(9.0) is Met.EXTREME


def test_groups_and_bars_can_be_named() -> None:
    assert named(["b5", "planning"]) == {"B5", "B1", "B2", "B3"}
    assert named([]) == set(BARS)
    with pytest.raises(NoSuchBar, match="B12"):
        named(["B13"])


def test_a_ratio_is_taken_round_by_round() -> None:
    """A slow round is slow for both sides, and a neighbour spoils one side of another."""
    rounds = [{"ours": 10.0, "base": 5.0}, {"ours": 4.0, "base": 4.0}, {"ours": 6.0, "base": 3.0}]

    assert middle_ratio(rounds, "ours", "base") == 2.0

"""Each named moment of the protocols: a process ends there, and nothing is doubled or lost."""

import ast
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from channels.crash_points import CrashPoint
from tests.faults.trial import CALLBACKS, Plan, Trial, points_of, trial
from tests.support.crashing_postgres import CrashingPostgres
from tests.support.places import ROOT
from tests.support.staff_process import DUTIES
from tests.support.waiting import until

# What is written down about a send, a receipt or a reply is written in these.
PROTOCOL = ("dispatch", "dispatch_begin", "dispatch_record", "receipts", "inbound", "rescue")


def named(path: Path) -> Iterator[str]:
    """The points that a module says it has reached."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="reached"), args=[ast.Attribute(attr=name)]):
                yield name


def test_every_point_is_named_by_production_code_and_by_no_other_name() -> None:
    sources = [file for folder in ("agent", "channels") for file in (ROOT / folder).rglob("*.py")]
    found = {name for file in sources for name in named(file)}
    assert found == {point.name for point in CrashPoint}


@pytest.mark.parametrize("module", PROTOCOL)
def test_every_transaction_of_the_protocols_ends_at_a_point_and_another_follows(
    module: str,
) -> None:
    tree = ast.parse((ROOT / "agent" / "flows" / f"{module}.py").read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        blocks = [node for node in ast.walk(function) if isinstance(node, ast.AsyncWith)]
        opened = [node for node in blocks if "transaction()" in ast.unparse(node.items)]  # type: ignore[arg-type]
        for block in opened:
            assert "_WRITTEN)" in ast.unparse(block.body[-1]), (module, function.name)
            after = "".join(map(ast.unparse, function.body)).partition("_WRITTEN)")[2]
            assert "_COMMITTED)" in after, (module, function.name)


@pytest.mark.slow
async def test_whoever_ends_at_a_point_leaves_nothing_doubled_and_nothing_lost(
    postgres: CrashingPostgres, tmp_path: Path
) -> None:
    async with trial(postgres, tmp_path, 1, Plan()) as one:
        await one.move_in(80)
        await one.staff.hire("api")
        for point in points_of("worker"):
            await ends_there(one, await one.staff.hire("worker", point), point)
        await one.staff.end_all()
        await one.staff.hire("worker")
        for point in points_of("api"):
            pid = await one.staff.hire("api", point)
            await one.somebody_says_stop()
            # only what follows from an error code takes more than one statement
            gone = (
                {"statuses": ["sent", "undelivered"]}
                if point is CrashPoint.RECEIPTS_WRITTEN
                else {}
            )
            await one.twilio.follow({**CALLBACKS, **gone})
            await ends_there(one, pid, point)
        await one.clear_out()
        for point in points_of(DUTIES):
            await ends_there(one, await one.staff.hire(DUTIES, point), point)
            await one.clear_out()
        await one.heal()
        tally = await one.conclude()
    assert tally.verdict.wrong == []
    assert (tally.verdict.accepted_twice, tally.verdict.lost) == (0, 0)
    assert tally.points == {str(point): 1 for point in CrashPoint}


async def ends_there(one: Trial, pid: int, point: CrashPoint) -> None:
    """Wait until it has ended, by its own hand and there."""

    async def ended() -> bool:
        if not await one.untouched():
            await one.move_in(20)
        if point.name.startswith("INBOUND"):
            await one.somebody_says_stop()
        return (await one.staff.gone()).get(pid) == -SIGKILL

    await until(ended, 20, f"somebody comes to {point}")
    assert one.staff.died_at()[point] == 1

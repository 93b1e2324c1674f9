"""The fault campaign: `python -m tests.faults.campaign --kills 1000 --postgres-crashes 100 --seed 1`.

Trial after trial until the numbers are reached or the time is over; then one JSON document with what was
done, what it came to and the seed. Exit code 1 when something is wrong. A trial that went wrong is named
by its own seed: `--kills 100 --postgres-crashes 10 --seed THAT` repeats what was done to it.
"""

import asyncio
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from agent.telemetry import set_up_logging
from tests.faults.trial import Plan, Tally, run_trial, share_of
from tests.support.crashing_postgres import crashing_postgres

KILLS_A_TRIAL = 100
PEOPLE_A_WAVE = 350
SHOWN = 20


def asked() -> Namespace:
    """What the command line says."""
    parser = ArgumentParser(prog="python -m tests.faults.campaign")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--postgres-crashes", type=int, default=100)
    parser.add_argument("--stops", type=int, default=10, help="workers stopped past a deadline")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    return parser.parse_args()


def plans(given: Namespace) -> list[Plan]:
    """The trials that add up to what was asked for."""
    trials: int = max(1, -(-given.kills // KILLS_A_TRIAL))

    def share(whole: int, number: int) -> int:
        return share_of(whole, trials, number)

    return [
        Plan(
            share(given.kills, number),
            share(given.postgres_crashes, number),
            share(given.stops, number),
            people=PEOPLE_A_WAVE,
        )
        for number in range(trials)
    ]


async def run(given: Namespace) -> dict[str, Any]:
    """Every trial; the document."""
    total, began, done = Tally(), time.monotonic(), 0
    async with crashing_postgres() as postgres:
        for number, plan in enumerate(plans(given)):
            if time.monotonic() - began > given.minutes * 60:
                break
            seed = given.seed + number
            with tempfile.TemporaryDirectory() as folder:
                one = await run_trial(postgres, Path(folder), seed, plan)
            one.verdict.wrong = [f"seed {seed}: {what}" for what in one.verdict.wrong]
            total.add(one)
            done += 1
            _tell(f"trial {done}, seed {seed}: {one.verdict.notices} notices, {one.verdict.wrong}")
    return document(given, total, done, time.monotonic() - began)


def document(given: Namespace, total: Tally, trials: int, seconds: float) -> dict[str, Any]:
    """The figures."""
    verdict = total.verdict
    return {
        "seed": given.seed,
        "trials": trials,
        "seconds": round(seconds, 1),
        "kills": total.kills,
        "kills_at": dict(sorted(total.points.items())),
        "postgres_crashes": total.crashes,
        "postgres_away_seconds": _spread(total.away),
        "seconds_until_claimed_again": _spread(total.again),
        "stopped_past_deadline": total.asleep,
        "exits": dict(sorted(total.exits.items())),
        "logged_errors": total.errors,
        "provider": total.provider,
        "people_who_said_stop": total.stops,
        "notices": verdict.notices,
        "accepted": verdict.accepted,
        "accepted_twice": verdict.accepted_twice,
        "lost": verdict.lost,
        "closed_unknown": verdict.closed_unknown,
        "notices_closed": verdict.closed,
        "attempts": verdict.attempts,
        "wrong": len(verdict.wrong),
        "first_wrong": verdict.wrong[:SHOWN],
    }


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {"median": round(median(values), 3), "most": round(max(values), 3)}


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """Run it and say what came of it."""
    set_up_logging("error")
    found = asyncio.run(run(asked()))
    sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()

"""Parts of `duly serve` that may be killed: `python -m tests.support.staff_process SETTINGS.json`.

One process imports everything and forks a part for each line `hire KIND [POINT PASS SIGNAL]`, answering with
its process id; `gone` answers with those that ended and how. A part hired with a point sends itself that
signal the PASS-th time it comes there: 9 ends it at once, 19 stops it in the middle.
"""

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
import uvloop

from agent import config
from agent.clock import Clock
from agent.entry.duties import duties
from agent.entry.server import Role, serve, with_channels
from agent.entry.worker import DATABASE_AWAY
from agent.flows.rules import installed, texts
from agent.flows.ticks import Work
from agent.store.connect import Unreachable
from agent.store.sql import statements
from agent.telemetry import set_up_logging
from agent.wiring import System, open_system
from channels.crash_points import CrashPoint, listen
from tests.support.shared_clock import SharedClock

DUTIES = "duties"
DUTY_SECONDS = 0.15
# sysexits.h: temporary failure
NO_DATABASE = 75

_log = structlog.get_logger("duly.tests")


def arm(point: CrashPoint, passes: int, how: signal.Signals, came: Path) -> None:
    """From now on end or stop this process at that moment, and leave its name in a file."""
    left = passes

    def come(to: CrashPoint) -> None:
        nonlocal left
        if to is not point:
            return
        left -= 1
        if left == 0:
            with came.open("a") as file:
                file.write(f"{os.getpid()} {how.name} {point}\n")
            os.kill(os.getpid(), how)

    listen(come)


async def tend(system: System, stop: asyncio.Event) -> int:
    """What the scheduler's duties do about what is stranded and what was missed, without pause."""
    async with with_channels(system) as (equipped, _):
        works = duties(equipped, None, None)
        while not stop.is_set():
            for name in ("rescue", "inbound"):
                await do(name, works[name], system.clock)
            await asyncio.sleep(DUTY_SECONDS)
    return 0


async def do(name: str, work: Work, clock: Clock) -> None:
    """One duty; when it fails the next round tries again, as with ticks."""
    try:
        await work(clock.now())
    except DATABASE_AWAY:
        return
    except Exception:  # noqa: BLE001
        _log.exception("duty_failed", duty=name)


async def part(kind: str, settings: Mapping[str, Any], clock: Clock) -> int:
    """One part until SIGTERM; its exit code."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_system(config.load(**settings), clock) as system:
        if kind == DUTIES:
            return await tend(system, stop)
        return await serve(system, Role(kind), stop)


def work(kind: str, settings: Mapping[str, Any], clock: Clock) -> int:
    """The part's life; a supervisor starts it again when there was no database."""
    try:
        return uvloop.run(part(kind, settings, clock))
    except (*DATABASE_AWAY, Unreachable):
        return NO_DATABASE


def gone() -> list[tuple[int, int]]:
    """Who ended since the last time, and how."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def main() -> None:
    """Answer lines until there are no more."""
    set_up_logging("error")
    given = json.loads(Path(sys.argv[1]).read_text())
    clock, came = SharedClock(Path(given["clock"])), Path(given["came"])
    installed(("house",))
    texts()
    statements()
    gc.freeze()
    for line in sys.stdin:
        match line.split():
            case ["gone"]:
                print(json.dumps(gone()), flush=True)  # noqa: T201
            case ["hire", kind, *armed]:
                pid = os.fork()
                if pid == 0:
                    sys.stdin.close()
                    if armed:
                        point, passes, how = armed
                        arm(CrashPoint(point), int(passes), signal.Signals(int(how)), came)
                    os._exit(work(kind, given["settings"], clock))
                print(json.dumps(pid), flush=True)  # noqa: T201
            case _:
                raise ValueError(line)


if __name__ == "__main__":
    main()

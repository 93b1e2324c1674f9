"""Workers, webhooks and duties as processes of their own, which a test kills, stops and replaces."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGSTOP, Signals
from typing import Any

import orjson

from channels.crash_points import CrashPoint
from tests.support.places import ROOT
from tests.support.waiting import until


class Staff:
    """Who works now, and how those ended who do not any more."""

    def __init__(self, nursery: asyncio.subprocess.Process, folder: Path) -> None:
        self._nursery = nursery
        self._folder = folder
        self.working: dict[int, str] = {}
        self.exits: Counter[tuple[str, int]] = Counter()

    async def _ask(self, line: str) -> Any:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{line}\n".encode())
        return orjson.loads(await self._nursery.stdout.readline())

    async def hire(
        self,
        kind: str,
        point: CrashPoint | None = None,
        passes: int = 1,
        how: Signals = SIGKILL,
    ) -> int:
        """One more; with a point it ends or stops itself there."""
        armed = "" if point is None else f" {point} {passes} {how:d}"
        pid: int = await self._ask(f"hire {kind}{armed}")
        self.working[pid] = kind
        return pid

    async def gone(self) -> dict[int, int]:
        """Those who ended since the last time: process ids with exit codes."""
        ended = {pid: code for pid, code in await self._ask("gone") if pid in self.working}
        for pid, code in ended.items():
            self.exits[self.working.pop(pid), code] += 1
        return ended

    async def end(self, pid: int, how: Signals) -> int:
        """Send a signal that ends it; its exit code."""
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        codes: dict[int, int] = {}

        async def ended() -> bool:
            codes.update(await self.gone())
            return pid in codes

        await until(ended, 40, f"{self.working.get(pid)} {pid} ends by {how.name}")
        return codes[pid]

    async def end_all(self) -> int:
        """Kill everybody; how many that were."""
        there = list(self.working)
        for pid in there:
            os.kill(pid, SIGKILL)

        async def nobody() -> bool:
            await self.gone()
            return not self.working

        await until(nobody, 20, "everybody is gone")
        return len(there)

    def died_at(self) -> Counter[CrashPoint]:
        """How often somebody ended at each point."""
        came = self._came()
        return Counter(CrashPoint(point) for _, how, point in came if how == SIGKILL.name)

    def asleep(self, pid: int) -> bool:
        """Whether it has stopped itself."""
        return [str(pid), SIGSTOP.name] in [line[:2] for line in self._came()]

    def _came(self) -> list[list[str]]:
        file = self._folder / "came"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def errors(self) -> Counter[str]:
        """What was logged as an error."""
        lines = (self._folder / "staff.log").read_bytes().splitlines()
        events = (orjson.loads(line)["event"] for line in lines if line.startswith(b"{"))
        # what a library says has the address of an object in it
        return Counter(event.partition(" <")[0].partition("\n")[0] for event in events)


@asynccontextmanager
async def staff(folder: Path, clock: Path, settings: Mapping[str, Any]) -> AsyncIterator[Staff]:
    """Nobody yet; and nobody outlives the context."""
    given = folder / "staff.json"
    said = {"clock": str(clock), "came": str(folder / "came"), "settings": settings}
    given.write_bytes(orjson.dumps(said))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DULY_")}
    with (folder / "staff.log").open("wb") as log:
        nursery = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.staff_process", str(given),
            cwd=ROOT, env=kept, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )  # fmt: skip
    hired = Staff(nursery, folder)
    try:
        yield hired
    finally:
        for pid in hired.working:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        nursery.kill()
        await nursery.wait()

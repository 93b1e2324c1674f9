"""`duly serve` as a process of its own, which no test leaves behind."""

import asyncio
import json
import signal
from pathlib import Path

from tests.entry.command import DULY, environment

_started: list[asyncio.subprocess.Process] = []


async def serving(folder: Path, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
    """Start it."""
    process = await asyncio.create_subprocess_exec(
        DULY, "serve", *arguments, env=environment(**settings), cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _started.append(process)
    return process


async def ends(process: asyncio.subprocess.Process) -> list[str]:
    """End it; what it logged as an error."""
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in err.splitlines()]
    return [line["event"] for line in lines if line["level"] in {"error", "critical"}]


async def end_what_is_left() -> None:
    """A worker that outlives its failed test would answer the next one's doorbell."""
    while _started:
        process = _started.pop()
        if process.returncode is None:
            process.kill()
            await process.wait()

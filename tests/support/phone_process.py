"""A sandbox phone in a process of its own, which survives what tests do to workers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import unused_port

from channels.sandbox.network import Heard
from channels.sandbox.wire import read_heard
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Phone:
    """Where the phone answers, and the file of what it accepted."""

    url: str
    log: Path

    def accepted(self) -> list[Heard]:
        """The truth: every message that the phone accepted, in order."""
        return [read_heard(line) for line in self.log.read_bytes().splitlines()]

    async def follow(self, script: dict[str, Any]) -> None:
        """From now on act by this script."""
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{self.url}/control/script", json=script) as response,
        ):
            assert response.status == 204, await response.text()


@asynccontextmanager
async def phone_process(
    folder: Path, *, script: dict[str, Any], seed: int = 0, latency_ms: float = 0.0
) -> AsyncIterator[Phone]:
    """Run the phone while the context lasts."""
    phone = Phone(f"http://127.0.0.1:{unused_port()}", folder / "phone.ndjson")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "channels.sandbox.server",
        "--port", phone.url.rpartition(":")[2], "--log", str(phone.log),
        "--seed", str(seed), "--latency-ms", str(latency_ms),
        cwd=ROOT,
    )  # fmt: skip

    async def answers() -> bool:
        try:
            await phone.follow(script)
        except aiohttp.ClientConnectionError:
            return False
        return True

    try:
        await until(answers, 20, "the phone answers")
        yield phone
    finally:
        process.kill()
        await process.wait()

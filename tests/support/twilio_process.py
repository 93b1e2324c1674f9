"""The Twilio stand-in in a process of its own, which survives what tests do to workers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp.test_utils import unused_port

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Provider:
    """Where the stand-in answers, and the file of what it accepted."""

    url: str
    log: Path

    def accepted(self) -> list[dict[str, Any]]:
        """The truth: every message that it accepted, in order."""
        if not self.log.exists():
            return []
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines()]

    async def follow(self, script: dict[str, Any]) -> None:
        """From now on act by this script."""
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{self.url}/control/script", json=script) as response,
        ):
            assert response.status == 204, await response.text()

    async def text(self, url: str | None, sender: str, body: str, **also: str) -> dict[str, Any]:
        """Somebody texts us."""
        said = {"url": url, "From": sender, "To": "+15005550006", "Body": body, "also": also}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/control/inbound", json=said) as response,
        ):
            answer: dict[str, Any] = await response.json()
            return answer

    async def truth(self) -> dict[str, Any]:
        """Messages, refusals and callbacks as it knows them."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/control/log") as response,
        ):
            answer: dict[str, Any] = await response.json()
            return answer


@asynccontextmanager
async def twilio_process(
    folder: Path,
    *,
    script: dict[str, Any] | None = None,
    seed: int = 0,
    clock: Path | None = None,
) -> AsyncIterator[Provider]:
    """Run the stand-in while the context lasts."""
    provider = Provider(f"http://127.0.0.1:{unused_port()}", folder / "twilio.ndjson")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.twilio_stand_in",
        "--port", provider.url.rpartition(":")[2], "--log", str(provider.log), "--seed", str(seed),
        *(("--clock", str(clock)) if clock else ()), cwd=ROOT,
    )  # fmt: skip

    async def answers() -> bool:
        try:
            await provider.follow(script or {})
        except aiohttp.ClientConnectionError:
            return False
        return True

    try:
        await until(answers, 20, "the stand-in answers")
        yield provider
    finally:
        process.kill()
        await process.wait()

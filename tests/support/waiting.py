"""Waiting for something to become true in another process, with a limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_LOOK_EVERY = 0.02


async def until(true: Callable[[], Awaitable[bool]], seconds: float, what: str) -> float:
    """Look until it is true; how many seconds it took. Fails the test when the time is over."""
    started = time.monotonic()
    while not await true():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(_LOOK_EVERY)
    return time.monotonic() - started

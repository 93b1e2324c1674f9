"""The only place that reads a clock or draws randomness.

Everything else gets instants, tokens and jitter from here as arguments, which is what lets replay,
preview and simulation run the production code.
"""

import asyncio
import os
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

_PREFIX_BYTES = 6
_TOKEN_BYTES = 16


class Clock(Protocol):
    """What a process believes the time to be."""

    def now(self) -> datetime:
        """The instant, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Return when so much of this clock's time is over."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that stands still until it is told to move on."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._start = self._now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start) / timedelta(seconds=1)

    async def sleep(self, seconds: float) -> None:
        """Whoever waits moves the clock on: nothing else happens meanwhile."""
        self.advance_to(max(self._now, self._now + timedelta(seconds=seconds)))
        await asyncio.sleep(0)

    def advance_to(self, at: datetime) -> None:
        """Move on to `at`; raises `ValueError` rather than run backwards."""
        if at < self._now:
            raise ValueError(f"the clock stands at {self._now}, it cannot go back to {at}")
        self._now = at.astimezone(UTC)


def seconds() -> float:
    """For measuring how long our own work took; never for a business rule."""
    return time.perf_counter()


_DRAW = 4096


class _Drawn:
    """Bytes of the system's generator, drawn many at a time: every message needs some, twice.

    Apart from `_Drawing`, whose every attribute costs a look for the thread's own.
    """

    __slots__ = ("at", "stock")

    def __init__(self) -> None:
        self.stock, self.at = b"", 0

    def take(self, count: int) -> bytes:
        begin = self.at
        end = self.at = begin + count
        if end > len(self.stock):
            self.stock = os.urandom(max(_DRAW, count))
            begin, end = 0, count
            self.at = end
        return self.stock[begin:end]


class _Drawing(threading.local):
    """None is given out twice, neither to two threads nor to a forked child of what its parent still has."""

    def __init__(self) -> None:
        self.drawn = _Drawn()

    def forget(self) -> None:
        self.drawn = _Drawn()


_drawing = _Drawing()
os.register_at_fork(after_in_child=_drawing.forget)


def random_bytes(count: int) -> bytes:
    """Unpredictable bytes for keys and nonces."""
    return _drawing.drawn.take(count)


def new_token(now: datetime) -> str:
    """A token of 32 hex characters that nobody can guess; it sorts by time, which keeps its index small."""
    return (_millis(now) + random_bytes(_TOKEN_BYTES - _PREFIX_BYTES)).hex()


@lru_cache(maxsize=16)
def _millis(now: datetime) -> bytes:
    return int(now.timestamp() * 1000).to_bytes(_PREFIX_BYTES, "big")


def jitter(low: float, high: float) -> float:
    """A factor or delay that keeps many processes from acting in step."""
    return random.uniform(low, high)

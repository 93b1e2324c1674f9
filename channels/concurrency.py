"""How many requests may be under way at a provider at once: as many as it bears, found by trying.

One more after every full round of answers, half as many once the provider says that it is too many
(additive increase, multiplicative decrease: whoever shares the provider ends up with a fair part). The
arithmetic is pure; `Turns` applies it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

FEWEST = 1.0
START = 16.0
# What the provider bore when it refused is believed for so long, then tried again.
CEILING_SECONDS = 60.0
# This near to what was too many we do not grow.
NEAR = 0.9


@dataclass(frozen=True, slots=True)
class Window:
    """How many may be under way, what the provider had under way when it refused, and when that was."""

    size: float
    ceiling: int | None = None
    narrowed_at: float | None = None


class Told(NamedTuple):
    """What one answer says: too many or not, and how many the provider counts for all of us together."""

    crowded: bool
    sent_at: float
    at: float
    concurrent: int | None = None


def opened(most: int) -> Window:
    """Before anything is known."""
    return Window(min(START, float(most)))


def after(window: Window, told: Told, most: int) -> Window:
    """The window after one answer, never under one nor over `most`.

    A refusal of something that was sent before the last narrowing is news of the same crowd.
    """
    if told.crowded:
        if window.narrowed_at is not None and told.sent_at <= window.narrowed_at:
            return window
        return Window(max(FEWEST, window.size / 2), told.concurrent, told.at)
    if _near_ceiling(window, told):
        return window
    grown = min(float(most), window.size + 1 / window.size)
    return Window(grown, window.ceiling, window.narrowed_at)


def _near_ceiling(window: Window, told: Told) -> bool:
    if window.ceiling is None or told.concurrent is None or window.narrowed_at is None:
        return False
    recent = told.at - window.narrowed_at < CEILING_SECONDS
    return recent and told.concurrent >= NEAR * window.ceiling


class Turns:
    """Lets in as many as the window is wide; the others wait, in order."""

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        self._most = most
        self._monotonic = monotonic
        self._window = opened(most)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def width(self) -> int:
        """How many may be inside now."""
        return int(self._window.size)

    async def enter(self, seconds: float) -> bool:
        """Wait for a place; False when there is none within so many seconds."""
        if self._inside < self.width and not self._waiting:
            self._inside += 1
            return True
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await place
        except TimeoutError:
            # it may have been given in the same moment
            return _given(place)
        except asyncio.CancelledError:
            if _given(place):
                self.leave(None)
            raise
        finally:
            if not _given(place) and place in self._waiting:
                self._waiting.remove(place)
        return True

    def leave(self, told: Told | None) -> None:
        """Give the place back with what the answer said; None if there was none."""
        self._inside -= 1
        if told is not None:
            self._window = after(self._window, told, self._most)
        while self._waiting and self._inside < self.width:
            place = self._waiting.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)


def _given(place: "asyncio.Future[None]") -> bool:
    return place.done() and not place.cancelled()

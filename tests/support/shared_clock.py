"""The machine's clock for several processes, which a test moves ahead for all of them at once.

Only the wall clock moves: deadlines of sends are monotonic. So it may be moved only while nobody sends,
or a list would be read "later" than a deadline that has not passed.
"""

import mmap
import struct
from datetime import datetime, timedelta
from pathlib import Path

from agent.clock import SystemClock

_AHEAD = struct.Struct("d")


class SharedClock(SystemClock):
    """Ahead of the machine's clock by what stands in the file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_AHEAD.pack(0.0))
        with path.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), _AHEAD.size)

    def now(self) -> datetime:
        (seconds,) = _AHEAD.unpack_from(self._ahead)
        return super().now() + timedelta(seconds=seconds)

    def move(self, by: timedelta) -> None:
        """Move every process that shares the file ahead."""
        (seconds,) = _AHEAD.unpack_from(self._ahead)
        _AHEAD.pack_into(self._ahead, 0, seconds + by.total_seconds())

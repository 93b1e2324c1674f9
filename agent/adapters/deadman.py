"""A timer that ends this process when it has slept through the deadline of a send.

The check "is it still before the deadline?" and handing bytes to the socket are one step, but the
kernel may stop a process between any two instructions, for hours. SIGALRM with its default action
ends it without running Python: when a stopped process wakes up, the pending signal comes first.
Ending a sender is safe, that is what the whole send protocol is for.
"""

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class SendGuard(Protocol):
    """Watches over sends in flight until each one's deadline."""

    def until(self, deadline: float) -> AbstractContextManager[None]:
        """Sends inside this context must have ended before `deadline` (monotonic)."""
        ...


class DeadMan:
    """The process's one dead-man timer, armed to the earliest open deadline.

    Only for the main thread of a process that sends; nothing else in it may use SIGALRM.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the dead-man timer lives in the main thread")
        self._monotonic = monotonic
        self._open: dict[float, _Sends] = {}
        self._armed: float | None = None
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def until(self, deadline: float) -> AbstractContextManager[None]:
        """Arm while sends with this deadline are open; they end by themselves before it."""
        return self._open.get(deadline) or _Sends(self, deadline)

    def begin(self, sends: "_Sends") -> None:
        """The first send with this deadline. Those of a batch share it, so the timer is seldom set."""
        self._open[sends.deadline] = sends
        self._arm()

    def end(self, sends: "_Sends") -> None:
        """The last send with this deadline has ended."""
        del self._open[sends.deadline]
        self._arm()

    def _arm(self) -> None:
        earliest = min(self._open, default=None)
        if earliest == self._armed:
            return
        self._armed = earliest
        left = 0.0 if earliest is None else earliest - self._monotonic()
        # A deadline already past needs no timer: no check before a write lets anything through any
        # more. setitimer takes 0 as "disarm", which is what is wanted then.
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.0))


class _Sends:
    """All sends in flight with one deadline, each of which enters once."""

    __slots__ = ("_count", "_man", "deadline")

    def __init__(self, man: DeadMan, deadline: float) -> None:
        self._man, self.deadline = man, deadline
        self._count = 0

    def __enter__(self) -> None:
        self._count += 1
        if self._count == 1:
            self._man.begin(self)

    def __exit__(self, *_problem: object) -> None:
        self._count -= 1
        if not self._count:
            self._man.end(self)


class NoDeadMan:
    """For virtual clocks and for threads, where real seconds mean nothing."""

    def until(self, deadline: float) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's
        """Nothing to watch."""
        return nullcontext()


def dead_man(monotonic: Callable[[], float], *, real_clock: bool = True) -> SendGuard:
    """The timer where it can work, and nothing where it cannot."""
    if real_clock and threading.current_thread() is threading.main_thread():
        return DeadMan(monotonic)
    return NoDeadMan()

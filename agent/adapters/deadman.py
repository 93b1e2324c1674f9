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
        self._open: dict[float, int] = {}
        self._armed: float | None = None
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def until(self, deadline: float) -> AbstractContextManager[None]:
        """Arm while sends with this deadline are open; they end by themselves before it."""
        return _Sending(self, deadline)

    def begin(self, deadline: float) -> None:
        """One more send has this deadline. Those of a batch share it, so the timer is seldom set."""
        others = self._open.get(deadline, 0)
        self._open[deadline] = others + 1
        if not others:
            self._arm()

    def end(self, deadline: float) -> None:
        """One send less."""
        others = self._open[deadline] - 1
        if others:
            self._open[deadline] = others
        else:
            del self._open[deadline]
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


class _Sending:
    """One send in flight. There is one for every message: a generator would take twice as long."""

    __slots__ = ("_deadline", "_man")

    def __init__(self, man: DeadMan, deadline: float) -> None:
        self._man, self._deadline = man, deadline

    def __enter__(self) -> None:
        self._man.begin(self._deadline)

    def __exit__(self, *_problem: object) -> None:
        self._man.end(self._deadline)


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

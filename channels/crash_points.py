"""Named moments of sending, receiving and settling at which a process may die.

What a crash leaves behind at each of them is part of the protocols, so production code names them and
`tests/faults` ends real processes there. Nobody listens in production: a moment costs a look at an
empty list. They stand here because a channel names one of them, and channels know nothing of `agent`.
"""

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """Where; "written" is before its COMMIT, "committed" right after it."""

    BEGIN_CLAIMED = "begin.claimed"  # notices, people and numbers are locked
    BEGIN_WRITTEN = "begin.written"
    BEGIN_COMMITTED = "begin.committed"  # may be sent from now on, by nobody else
    SEND_READY = "send.ready"  # its turn has come, no byte has left
    SEND_WRITTEN = "send.written"  # the last byte has left, there is no answer
    SEND_ANSWERED = "send.answered"  # the answer is only in memory
    RECORD_WRITTEN = "record.written"
    RECORD_COMMITTED = "record.committed"
    RECEIPTS_WRITTEN = "receipts.written"
    RECEIPTS_COMMITTED = "receipts.committed"  # the provider has no answer yet
    INBOUND_WRITTEN = "inbound.written"
    INBOUND_COMMITTED = "inbound.committed"  # as above
    CATCH_UP_STORED = "catch-up.stored"  # what the list showed is kept, where to go on is not
    RESCUE_STRANDED = "rescue.stranded"  # begun became unknown
    RESCUE_LOOKED = "rescue.looked"  # the provider's lists are only in memory
    RESCUE_WRITTEN = "rescue.written"
    RESCUE_COMMITTED = "rescue.committed"


Listener = Callable[[CrashPoint], None]
_listeners: list[Listener] = []


def reached(point: CrashPoint) -> None:
    """Say that this moment has come."""
    for listener in _listeners:
        listener(point)


def listen(listener: Listener) -> None:
    """From now on tell this listener of every moment; only tests do."""
    _listeners.append(listener)

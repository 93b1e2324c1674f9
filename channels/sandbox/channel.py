"""The sandbox phone in our own process: no socket, no waiting, the same four possible answers."""

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

from channels.base import (
    TOO_LATE,
    Accepted,
    Answer,
    Listing,
    Message,
    Refused,
    Unknown,
)
from channels.sandbox.network import Lost, SandboxNetwork


class SandboxChannel:
    """One channel of a `SandboxNetwork`.

    `now` stamps what the network accepts; `monotonic` meets the deadline in the same step.
    """

    def __init__(
        self,
        network: SandboxNetwork,
        channel: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._network = network
        self._channel = channel
        self._now = now
        self._monotonic = monotonic

    async def send(self, message: Message) -> Answer:
        """Hand over before the deadline or not at all; an answer that comes later is none."""
        left = message.deadline - self._monotonic()
        if left <= 0:
            return TOO_LATE
        reply = self._network.accept(message, self._now())
        if reply.after >= left:
            return Unknown("timeout")
        match reply.answer:
            case Accepted() | Refused() | Unknown() as answer:
                return answer
            case Lost(loss=loss):
                return Unknown(f"sandbox-{loss}")
            case never:
                assert_never(never)

    async def listing(self, address: str, since: datetime) -> Listing:
        """The network's own list, complete where the channel has one."""
        return self._network.listing(self._channel, address, since, self._now())
